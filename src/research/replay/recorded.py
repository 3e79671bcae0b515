"""A recorded run, replayed: the same core, the same threads, turns and replies as recorded; decisions must be the same.

The bot is composed as it was live, but follows the recording as a script and has nobody to send anything to. The first
thing that it does otherwise ends the replay. Called by one thread.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.config_file import ConfigDocument
from src.core.errors import DataError, LockstepError
from src.core.instrument import Instrument
from src.core.journal import JournalRecord
from src.core.strategy import Strategy
from src.live.assembly import assemble
from src.live.broker import Venue
from src.live.clock import LiveClock
from src.live.config import LiveConfig, read_live_config
from src.live.executor import executor_maker
from src.live.keeping import memory_of
from src.live.recording import FILE, read_meta, read_story
from src.live.runs import venue_of
from src.live.script import ReplayDivergedError, Script
from src.live.tape import Tape
from src.live.world import World
from src.strategies import load_strategy

__all__ = ["ReplayedRun", "replay_recorded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedRun:
    """What came of a replay.

    Attributes:
        difference: the first thing that the bot did otherwise, None when it did everything as recorded.
        error: what ended the run, as it was recorded too; None for an orderly end.
        records: the journal of the replay, up to the first difference, in digest order.
        recorded: the journal of the live run.
        turns, calls: how many were replayed.
    """

    folder: Path
    difference: ReplayDivergedError | None
    error: LockstepError | None
    records: Sequence[JournalRecord]
    recorded: Sequence[JournalRecord]
    turns: int
    calls: int
    instruments: dict[str, Instrument] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether every decision was made again."""
        return self.difference is None


def replay_recorded(
    folder: Path, *, classes: Mapping[str, type[Strategy]] | None = None,
    entries: Callable[[Path], Any] = read_story,
) -> ReplayedRun:  # fmt: skip
    """Replay the run in `folder`.

    Args:
        classes: the strategy class of each instance name; by default those that the configuration names now.
        entries: reads the recording; for somebody who wants to change it on the way.

    Raises:
        DataError: there is no recording, or not one of this version.
        ConfigError: the recorded configuration or its strategies cannot be used any more.
    """
    path = folder / FILE
    meta = read_meta(path)
    if "instruments" not in meta:
        raise DataError(f"expected a recording of a run in {path}, found one that had not begun to trade")
    config, document = config_of(meta, path)
    if classes is None:
        classes = {each.instance: load_strategy(each.use, document.folder).cls for each in config.strategies}
    instruments, connection = venue_of(meta)
    script = Script(iter(entries(path)))
    tape = Tape(None)
    clock = LiveClock(tape, script=script)
    series = [(str(symbol), int(length), str(side)) for symbol, length, side in json.loads(meta["series"])]
    world = World(series, config.account.currency)
    records: list[JournalRecord] = []
    bot = assemble(
        config, classes, Venue(instruments, connection, None), world, clock, tape, executor_maker(_nobody, config),
        script=script, sink=records.extend, memory=memory_of(meta),
    )  # fmt: skip
    difference, error = None, None
    try:
        bot.controller.wait()
    except ReplayDivergedError as problem:
        difference = problem
    except LockstepError as problem:
        error = problem
    if difference is None:
        script.finish()
        bot.journal.close()
        difference = clock.difference
    if difference is not None:
        records += bot.journal.pending  # what it did otherwise, which is settled no more
    recorded = [record_of(each) for each in read_story(path, kinds=("outcome",))]
    return ReplayedRun(
        folder=folder, difference=difference, error=error, records=records, recorded=recorded, turns=script.turns,
        calls=script.calls, instruments=instruments,
    )  # fmt: skip


def config_of(meta: Mapping[str, str], path: Path) -> tuple[LiveConfig, ConfigDocument]:
    """The configuration that a recording was made with."""
    document = ConfigDocument(json.loads(meta["configuration"]), {}, path.name, Path(meta["folder"]))
    return read_live_config(document, meta["mode"]), document


def record_of(entry: Any) -> JournalRecord:
    """The journal's record that an `outcome` entry holds."""
    body = entry.body
    return JournalRecord(entry.instant_ns, body["stream"], body["kind"], entry.participant, tuple(body["values"]))


def _nobody(number: int, ok: bool, text: str) -> None:
    return
