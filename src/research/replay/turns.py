"""When the threads of a recorded run went on, and how long its venue let them wait. One thread; nothing is written."""

from pathlib import Path

import numpy as np

from src.backtesting.report import RecordedThread
from src.live.recording import FILE, read_entries

__all__ = ["recorded_threads"]

_KINDS = ("turn", "call", "reply")


def recorded_threads(folder: Path) -> dict[str, RecordedThread]:
    """Each participant of the run in a folder; none where there is no recording.

    Raises:
        DataError: the recording is one of another version.
    """
    if not (folder / FILE).is_file():
        return {}
    turns: dict[str, list[int]] = {}
    replies: dict[str, list[int]] = {}
    asked: dict[tuple[str, int], int] = {}
    for entry in read_entries(folder / FILE, kinds=_KINDS):
        who = entry.participant
        if entry.kind == "turn":
            turns.setdefault(who, []).append(entry.instant_ns)
        elif entry.kind == "call":
            asked[who, int(entry.body["n"])] = entry.instant_ns
        else:
            began_ns = asked.pop((who, int(entry.body["n"])), None)
            if began_ns is not None:
                replies.setdefault(who, []).append(entry.instant_ns - began_ns)
    open_calls = [who for who, _ in asked]
    return {
        who: RecordedThread(
            turns_ns=np.array(turns.get(who, ()), dtype=np.int64),
            replies_ns=np.array(replies.get(who, ()), dtype=np.int64), unanswered=open_calls.count(who),
        )
        for who in sorted({*turns, *replies, *open_calls})
    }  # fmt: skip
