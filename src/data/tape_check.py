"""What is wrong with a tape of quotes, trades or funding rates.

Pure; any thread.
"""

from dataclasses import dataclass, fields

import numpy as np

from src.core.timeframe import format_instant
from src.core.words import counted
from src.data.tapes import QuoteTape, Tape, TradeTape

__all__ = ["TapeReport", "check_tape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeReport:
    """The findings about one tape.

    Attributes:
        unordered: events whose stamp is before that of the event in front of them.
        not_finite: events with a number that is none.
        non_positive: quotes and trades with a price of zero or less, or a size below zero.
        crossed, locked: quotes whose ask is below, or at, their bid; what a feed really sent, so no fault.
        faults: a sentence for each kind of fault with the first event that has it.
    """

    symbol: str
    kind: str
    events: int
    first_ns: int
    last_ns: int
    unordered: int
    not_finite: int
    non_positive: int
    crossed: int
    locked: int
    faults: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong."""
        return not self.faults


def check_tape(tape: Tape, kind: str) -> TapeReport:
    """Judge every event of a tape, which must have one at least."""
    stamps = tape.ts_ns
    back = np.concatenate((np.zeros(1, np.bool_), stamps[1:] < stamps[:-1]))
    broken = np.zeros(len(stamps), np.bool_)
    for field in fields(tape):
        column = getattr(tape, field.name)
        if field.name != "symbol" and column.dtype == np.float64:
            broken |= ~np.isfinite(column)
    low = np.zeros(len(stamps), np.bool_)
    crossed = locked = 0
    if isinstance(tape, QuoteTape):
        low = (np.minimum(tape.bid, tape.ask) <= 0) | (np.minimum(tape.bid_size, tape.ask_size) < 0)
        crossed, locked = int(np.count_nonzero(tape.ask < tape.bid)), int(np.count_nonzero(tape.ask == tape.bid))
    elif isinstance(tape, TradeTape):
        low = (tape.price <= 0) | (tape.volume < 0)
    faults = []
    for one, many, words, mask in (
        ("lies", "lie", "before the event in front", back),
        ("holds", "hold", "a number that is none", broken),
        ("has", "have", "a price of zero or less, or a size below zero", low & ~broken),
    ):
        found = np.flatnonzero(mask)
        if len(found):
            first = format_instant(int(stamps[found[0]]))
            events = counted(len(found), f"event {one}", f"events {many}")
            faults.append(f"{events} {words}; the first is row {found[0] + 1}, {first}")
    return TapeReport(
        symbol=tape.symbol, kind=kind, events=len(stamps), first_ns=int(stamps.min()), last_ns=int(stamps.max()),
        unordered=int(np.count_nonzero(back)), not_finite=int(np.count_nonzero(broken)),
        non_positive=int(np.count_nonzero(low & ~broken)), crossed=crossed, locked=locked, faults=tuple(faults),
    )  # fmt: skip
