"""The account's equity at each step, worked out once at the end from what changed on the way. Pure.

Between two changes equity is a function of prices alone, so keeping it at each step would be work for nothing. The
arithmetic is `Ledger.equity`'s, operation by operation and in the same order, so the values are the same to the bit.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.spread import QuoteRule, QuoteRules
from src.core.bars import FloatArray, IntArray

__all__ = ["equity_curve"]

FLAT = (0.0, 0.0)


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
    instants = _merged(np.array([start_ns, *steps_ns], dtype=np.int64), closes)
    total = _in_force(instants, [at for at, _ in balances], [balance for _, balance in balances])
    for desk, close_ns in zip(by_name, closes, strict=True):
        if desk.history:
            mark = _marks(instants, desk, close_ns)
            quotes = _varying(instants, desk, close_ns) if desk.varies else desk.quotes
            lengths = _lengths(instants, [at for at, _ in desk.history])
            books = [held for _, held in desk.history]
            for slot in range(max(map(len, books))):
                _add_slot(total, quotes, mark, lengths, [held[slot] if slot < len(held) else FLAT for held in books])
    return instants, total


def _merged(steps_ns: IntArray, closes: Sequence[IntArray]) -> IntArray:
    """Each value once, in order; the first step comes before all closes."""
    longest = max(closes, key=len)
    # Mostly all symbols close together, and what else happens does so at closes: then there is nothing to merge.
    if all(np.array_equal(each, longest) for each in closes) and _are_among(steps_ns[1:], longest):
        return np.concatenate((steps_ns[:1], longest))
    # A stable sort, because merging sorted runs is what it is good at.
    together = np.sort(np.concatenate((steps_ns, *closes)), kind="stable")
    new = np.concatenate((np.ones(1, np.bool_), together[1:] != together[:-1]))
    once: IntArray = together[new]
    return once


def _are_among(few: IntArray, many: IntArray) -> bool:
    """Whether each of `few` is one of `many`, which are in order."""
    if not len(few) or not len(many):
        return not len(few)
    return bool(np.array_equal(many[np.minimum(np.searchsorted(many, few), len(many) - 1)], few))


def _closes(desk: Desk) -> IntArray:
    series = desk.series
    return series.open_ns[desk.first + 1 : desk.index + 1] + series.timeframe_ns


def _marks(instants: IntArray, desk: Desk, close_ns: IntArray) -> FloatArray:
    """The last close, or the open at which a market order was worked since then."""
    series, first = desk.series, desk.first
    before = series.close_at[first] if first >= 0 else float("nan")
    closes = series.close[first + 1 : desk.index + 1]
    if len(close_ns) == len(instants) - 1:  # nothing else happened, or only at closes: each instant has its own close
        mark = np.concatenate(([before], closes))
    else:
        mark = _in_force(instants, close_ns, closes, before)
    begin, end, prices = _worked(instants, desk, close_ns)
    if np.array_equal(end, begin + 1):  # nearly always
        mark[begin] = prices
        return mark
    for at, until, price in zip(begin.tolist(), end.tolist(), prices.tolist(), strict=True):
        mark[at:until] = price
    return mark


def _worked(instants: IntArray, desk: Desk, close_ns: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """From which to which instant an open was the last price, and that price, in time order; three of shape (n,)."""
    # From the instant of the open, which comes after a close of the same instant, until the next close.
    when = np.array([at for at, _ in desk.worked], dtype=np.int64)
    begin = np.searchsorted(instants, when, side="left")
    closing = np.searchsorted(close_ns, when, side="right")
    end = np.full(len(when), len(instants), dtype=np.int64)
    ends = closing < len(close_ns)
    end[ends] = np.searchsorted(instants, close_ns[closing[ends]], side="left")
    return begin, end, np.array([price for _, price in desk.worked], dtype=np.float64)


def _varying(instants: IntArray, desk: Desk, close_ns: IntArray) -> QuoteRules:
    """How quotes followed from the marks at each instant, where the spread is another one for each bar."""
    closed = desk.first + np.searchsorted(close_ns, instants, side="right")
    opened = np.full(len(instants), -1, dtype=np.int64)
    begin, end, _ = _worked(instants, desk, close_ns)
    for at, until in zip(begin.tolist(), end.tolist(), strict=True):
        opened[at:until] = np.searchsorted(desk.series.open_ns, instants[at], side="left")
    return desk.rules_of(closed, opened)


def _add_slot(
    total: FloatArray, quotes: QuoteRule | QuoteRules, mark: FloatArray, lengths: IntArray,
    held: Sequence[tuple[float, float]],
) -> None:  # fmt: skip
    pairs = np.fromiter(chain(FLAT, chain.from_iterable(held)), np.float64, 2 * len(held) + 2)  # quicker than an array
    volume, entry = np.repeat(pairs[0::2], lengths), np.repeat(pairs[1::2], lengths)
    long = volume > 0
    quote = mark * np.where(long, quotes.bid_factor, quotes.ask_factor)
    quote += np.where(long, -quotes.bid_offset, quotes.ask_offset)
    quote -= entry
    quote *= volume
    np.add(total, quote, out=total, where=volume != 0)


def _lengths(instants: IntArray, when: Sequence[int] | IntArray) -> IntArray:
    """At how many instants nothing is in force yet, and then each of what is from `when` on; of several the last."""
    begin = np.searchsorted(instants, np.asarray(when, dtype=np.int64), side="left")
    lengths: IntArray = np.diff(begin, prepend=0, append=len(instants))
    return lengths


def _in_force(
    instants: IntArray, when: Sequence[int] | IntArray, values: Sequence[float] | FloatArray, before: float = 0.0
) -> FloatArray:
    """The value in force at each instant, `before` ahead of the first; of several at one instant the last."""
    out: FloatArray = np.repeat(np.concatenate(([before], values)), _lengths(instants, when))
    return out
