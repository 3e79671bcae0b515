"""The account's equity at each step, worked out once at the end from what changed on the way. Pure.

Between two changes equity is a function of prices alone, so keeping it at each step would be work for nothing. The
arithmetic is `Ledger.equity`'s, operation by operation and in the same order, so the values are the same to the bit.
"""

from collections.abc import Sequence

import numpy as np

from src.brokers.simulated.desk import Desk
from src.core.bars import FloatArray, IntArray

__all__ = ["equity_curve"]


def equity_curve(
    start_ns: int, steps_ns: Sequence[int], balances: Sequence[tuple[int, float]], by_name: Sequence[Desk]
) -> tuple[IntArray, FloatArray]:
    """Equity after everything that happened at an instant, for each instant at which a bar closed or a step was.

    Args:
        start_ns: the first instant.
        steps_ns: steps besides the closes of bars.
        balances: the balance from an instant on, in time order, the first at or before `start_ns`.
        by_name: the desks in the order in which `Ledger.equity` adds them.

    Returns:
        Instants, strictly increasing, and equity, both of shape (n,).
    """
    closes = [_closes(desk) for desk in by_name]
    extra = np.array([start_ns, *steps_ns], dtype=np.int64)
    instants = _merged([extra, *closes])
    total = _at(instants, [at for at, _ in balances], np.array([value for _, value in balances]))
    for desk, close_ns in zip(by_name, closes, strict=True):
        if desk.history:
            mark = _marks(instants, desk, close_ns)
            for slot in range(max(len(books) for _, books in desk.history)):
                _add_slot(total, instants, desk, mark, slot)
    return instants, total


def _merged(parts: Sequence[IntArray]) -> IntArray:
    """Each value once, in order; a stable sort, because merging sorted runs is what it is good at."""
    together = np.sort(np.concatenate(parts), kind="stable")
    new = np.concatenate((np.ones(1, np.bool_), together[1:] != together[:-1]))
    once: IntArray = together[new]
    return once


def _closes(desk: Desk) -> IntArray:
    series = desk.series
    return series.open_ns[desk.first + 1 : desk.index + 1] + series.timeframe_ns


def _marks(instants: IntArray, desk: Desk, close_ns: IntArray) -> FloatArray:
    """The last close, or the open at which a market order was worked since then."""
    series, first = desk.series, desk.first
    before = series.close[first : first + 1] if first >= 0 else np.array([np.nan])
    closes = np.concatenate((before, series.close[first + 1 : desk.index + 1]))
    at = np.searchsorted(close_ns, instants, side="right")
    mark: FloatArray = closes[at]
    if desk.worked:
        worked_ns = np.array([at for at, _ in desk.worked], dtype=np.int64)
        opens = np.array([price for _, price in desk.worked])
        last = np.searchsorted(worked_ns, instants, side="right") - 1
        close_at = np.concatenate((np.array([np.iinfo(np.int64).min]), close_ns))[at]
        # At the same instant the open comes after the close.
        newer = (last >= 0) & (worked_ns[last] >= close_at)
        mark[newer] = opens[last[newer]]
    return mark


def _add_slot(total: FloatArray, instants: IntArray, desk: Desk, mark: FloatArray, slot: int) -> None:
    flat = (0.0, 0.0)
    held = [books[slot] if slot < len(books) else flat for _, books in desk.history]
    when = [at for at, _ in desk.history]
    volume = _at(instants, when, np.array([each[0] for each in held]))
    entry = _at(instants, when, np.array([each[1] for each in held]))
    quotes = desk.quotes
    long, short = volume > 0, volume < 0
    total[long] += volume[long] * (mark[long] * quotes.bid_factor - quotes.bid_offset - entry[long])
    total[short] += volume[short] * (mark[short] * quotes.ask_factor + quotes.ask_offset - entry[short])


def _at(instants: IntArray, when: Sequence[int], values: FloatArray) -> FloatArray:
    """The value in force at each instant, 0 before the first; of several at one instant the last."""
    at = np.searchsorted(np.array(when, dtype=np.int64), instants, side="right")
    out: FloatArray = np.concatenate((np.zeros(1), values))[at]
    return out
