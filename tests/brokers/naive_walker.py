"""The price on its way through one bar of the naive ledger: whatever it meets happens there and then."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.brokers.naive_records import Bar, Paper, Stock

if TYPE_CHECKING:
    from tests.brokers.naive_ledger import NaiveLedger

__all__ = ["Walker"]


class Walker:
    """The price on its way through one bar, and what it does to the positions and orders that belong together.

    Args:
        ledger: which writes down what happens.
        held: the names of the positions that were there before.
        papers: the names of the orders.
    """

    def __init__(
        self, ledger: NaiveLedger, symbol: str, held: list[str], papers: list[str], bar: Bar, now: Fraction
    ) -> None:
        self.ledger, self.symbol, self.held, self.papers, self.bar, self.now = ledger, symbol, held, papers, bar, now
        self.price = bar[0]

    def go(self, *, up: bool, turns: bool) -> None:
        """From the open to one extreme, to the other, to the close; it may turn at the first entry, and only there."""
        one, two = (self.bar[1], self.bar[2]) if up else (self.bar[2], self.bar[1])
        ahead = [one, two, self.bar[3]]
        while ahead:
            event = self.nearest(ahead[0])
            if event is None:
                self.price = ahead.pop(0)
                self.follow()
                continue
            self.price = event[0]
            if self.happen(*event[4:]) and turns and len(ahead) > 1:
                turns = False
                self.follow()
                ahead = [two if ahead[0] == one and len(ahead) == 3 else one, ahead[0], self.bar[3]]

    def nearest(self, goal: Fraction) -> tuple[Fraction, bool, int, int, Stock | Paper, str, Fraction] | None:
        """What the price meets first on its way: where, what comes first at one place, what, and at which quote."""
        half = self.ledger.half_of(self.symbol)
        found: list[tuple[Fraction, bool, int, int, Stock | Paper, str, Fraction]] = []
        for place, stock in enumerate(self.stocks()):
            way, guard = (1 if stock.volume > 0 else -1), self.ledger.guards[stock.name]
            for kind, level in (("stop", guard.stop), ("target", guard.target)):
                if level is not None:
                    upward = (way > 0) == (kind == "target")
                    at = self.meets(level + way * half, goal, upward=upward, stop=kind == "stop")
                    if at is not None:
                        found.append((at, kind == "target", 0, place, stock, kind, at - way * half))
        for place, name in enumerate(self.papers):
            paper = self.ledger.find(name)
            if paper is not None and paper.level is not None:
                stop, level = not paper.is_limit, paper.level - paper.sign * half
                at = self.meets(level, goal, upward=(paper.sign > 0) == stop, stop=stop)
                if at is not None:
                    found.append((at, not stop, 1, place, paper, paper.kind, at + paper.sign * half))
        return min(found, key=lambda each: (abs(each[0] - self.price), each[1:4]), default=None)

    def stocks(self) -> list[Stock]:
        """What is held of what the walk is about."""
        return [
            each for each in self.ledger.stocks(self.symbol)
            if not self.ledger.hedging or each.name in self.held or each.name in self.papers
        ]  # fmt: skip

    def follow(self) -> None:
        """Where the price turns, what follows it has got as far as it goes."""
        for stock in self.stocks():
            self.ledger.follow(stock, self.price)
        for name in self.papers:
            paper = self.ledger.find(name)
            if paper is not None:
                self.ledger.follow(paper, self.price)

    def meets(self, level: Fraction, goal: Fraction, *, upward: bool, stop: bool) -> Fraction | None:
        """Where on the way to the goal a level does something: here when it lies behind, at itself, or nowhere."""
        way = 1 if upward else -1
        behind, then = way * (self.price - level), way * (goal - level)
        if behind > 0 or (behind == 0 and stop):
            return self.price
        if then > 0 or (then == 0 and (stop or self.ledger.touch)):
            return level
        return None

    def happen(self, what: Stock | Paper, kind: str, quote: Fraction) -> bool:
        """Leave a position, or fill an order; whether something was opened."""
        if isinstance(what, Stock):
            self.ledger.leave(what, kind, quote, self.now)
            return False
        if what.kind == "stop_limit" and not what.triggered:
            what.triggered = True
            if what.limit is None or what.sign * (quote - what.limit) > 0:
                return False  # a limit from here on, to which the price has to come back
        return self.ledger.fill(what, quote, self.now, self.now - 1, slips=what.slips) is not None
