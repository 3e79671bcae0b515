"""What a recorded run has come to so far, in numbers: executions, trades, and what was refused and why.

Reads a recording that may still be written to; any thread.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from src.live.recording import read_entries, skips_of

__all__ = ["RunSummary", "summary_of"]

#: Verdicts of the risk manager that are no refusals.
_TAKEN = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Counts over all processes of a run.

    Attributes:
        net: what the trades brought, in the account's money.
        refusals: how many intents and orders were refused, by code, the most frequent first.
    """

    fills: int = 0
    trades: int = 0
    net: float = 0.0
    refusals: dict[str, int] = field(default_factory=dict)


def summary_of(recording: Path) -> RunSummary:
    """The counts of a recording.

    Raises:
        DataError: there is none, or one of another version.
    """
    skips = skips_of(recording)
    fills = trades = 0
    net = 0.0
    refusals: Counter[str] = Counter()
    for entry in read_entries(recording, kinds=("outcome",)):
        if any(first <= entry.n <= last for first, last in skips):
            continue  # the end of a process after which the run went on; what counts of it is told again
        kind, values = entry.body["kind"], entry.body["values"]
        if kind == "fill":
            fills += 1
        elif kind == "trade":
            trades += 1
            net += values[2]
        elif kind in ("decision", "refusal") and values[2] != _TAKEN:
            refusals[values[2]] += 1
    ordered = dict(sorted(refusals.items(), key=lambda each: (-each[1], each[0])))
    return RunSummary(fills=fills, trades=trades, net=net, refusals=ordered)
