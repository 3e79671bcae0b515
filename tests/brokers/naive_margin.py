"""When the naive ledger's equity no longer carries what is held: what is closed then, and at which price."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.brokers.naive_records import Bar, Stock, Tie, Way

if TYPE_CHECKING:
    from tests.brokers.naive_ledger import NaiveLedger

__all__ = ["at_marks", "on_the_way"]


def at_marks(ledger: NaiveLedger, now: Fraction, ended: dict[str, Bar]) -> None:
    """While equity is too little for the margin at the marks, the largest loss that has a price is closed."""
    while (
        ledger.stop_out is not None and ledger.stocks() and lacks(ledger.equity() - ledger.margin() * ledger.stop_out)
    ):
        profits = [
            (each.volume * (ledger.leaving(each, ledger.mark[each.symbol]) - each.average), each)
            for each in ledger.stocks()
            if each.symbol in ended
        ]
        if not profits:
            return
        worst = largest_loss(profits)
        ledger.leave(worst, "stop_out", ledger.leaving(worst, ledger.mark[worst.symbol]), now)


def on_the_way(
    ledger: NaiveLedger,
    ended: dict[str, Bar],
    now: Fraction,
    nets: dict[str, Fraction],
    began: set[str],
    share: Fraction,
) -> Fraction:
    """All symbols go evenly from their opens to their adverse extremes; stops on the way close their positions.

    Which extreme that is follows from what was held at first, `nets`; what `began` inside the bar comes from its
    entry. It begins at a share of the way and tells where it ended.
    """
    while ledger.stop_out is not None and ledger.stocks():
        ways = [way_of(ledger, each, ended, nets[each.symbol], each.name in began) for each in ledger.stocks()]
        found = breach(ledger, ways, share)
        if found is None:
            break
        share = found
        standing = [way for way in ways if way.stopped >= share and way.stock.symbol in ended]
        if not standing:
            break
        worst = largest_loss([(way.profit(share), way.stock) for way in standing])
        way = next(each for each in ways if each.stock is worst)
        ledger.leave(worst, "stop_out", way.quote(share), now)
    return share


def way_of(ledger: NaiveLedger, stock: Stock, ended: dict[str, Bar], net: Fraction, began: bool) -> Way:
    """The way of a position through the bar of its symbol, to where all that is held of it loses most."""
    bar, mark = ended.get(stock.symbol), ledger.mark[stock.symbol]
    to = mark if bar is None else bar[2] if net >= 0 else bar[1]
    way, stop, stopped = (1 if stock.volume > 0 else -1), ledger.guards[stock.name].stop, Fraction(2)
    first, last = ledger.leaving(stock, mark), ledger.leaving(stock, to)
    if began:
        half = ledger.half_of(stock.symbol)
        entered = stock.average - way * 2 * half
        first = max(entered, last) if way > 0 else min(entered, last)
        mark = first + way * half
    if stop is not None and way * (last - stop) <= 0 and first != last:
        stopped = max(Fraction(0), (first - stop) / (first - last))
    return Way(stock, first, last, mark, to, stop, stopped)


def breach(ledger: NaiveLedger, ways: list[Way], begin: Fraction) -> Fraction | None:
    """The first share of the way at which equity is too little, None when there is none."""

    def room(share: Fraction, *, after: Fraction) -> Fraction:
        # Between two stops everything is a straight line; `after` says between which.
        needed = sum(
            (abs(way.stock.volume) * way.shown(share) / ledger.leverage for way in ways if way.stopped > after),
            Fraction(0),
        )
        if not needed:
            return Fraction(1)
        equity = ledger.balance() + sum((way.profit(share, after=after) for way in ways), Fraction(0))
        return equity - needed * (ledger.stop_out or 0)

    edges = sorted({begin, Fraction(1), *(way.stopped for way in ways if begin < way.stopped < 1)})
    for low, high in zip(edges, edges[1:], strict=False):
        over, under = room(low, after=low), room(high, after=low)
        if lacks(over):
            return low
        if lacks(under):
            return low + (high - low) * over / (over - under)
    return None


def lacks(room: Fraction) -> bool:
    """Whether nothing is left; a rest that floats cannot show ends the story."""
    if abs(room) < Fraction(1, 10**9):
        raise Tie
    return room < 0


def largest_loss(profits: list[tuple[Fraction, Stock]]) -> Stock:
    """The position with the largest loss; of two that are equal rounding decides, which ends the story."""
    ordered = sorted(profits, key=lambda each: each[0])
    if len(ordered) > 1 and ordered[1][0] - ordered[0][0] < Fraction(1, 10**9):
        raise Tie
    return ordered[0][1]
