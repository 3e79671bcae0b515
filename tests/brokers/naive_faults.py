"""What a plan of faults does to each call, worked out from the words of the documentation alone.

Imports nothing of the product. Time is in minutes; everything lies on half minutes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["NaivePlan", "Row"]

HALF = Fraction(1, 2)
#: Kinds that hit an order with a part of it filled, and those with which a request never arrives.
PARTS = ("rejected_with_fill", "partly_silent")
UNHEARD = ("disconnect", "timeout_lost", "rate_limit", "reject")
DEAD = ("feed_hole", "price_freeze")


@dataclass(frozen=True)
class Row:
    """One fault: what it hits, by a count from 1, or when it lasts."""

    kind: str
    call: int = 0
    order: int = 0
    symbol: str = ""
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    after: Fraction = Fraction(0)
    calls: int = 0
    factor: int = 1

    def lasts(self, now: Fraction, symbol: str) -> bool:
        """Whether it acts at a minute."""
        return self.start <= now < self.end and (not self.symbol or not symbol or self.symbol == symbol)


class NaivePlan:
    """All faults of a story, and all calls that there were.

    Attributes:
        met: the fault that each order met which the venue accepted.
        under_way: what arrives later: when, and what it will look like to the venue.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.past: list[tuple[str, str, Fraction]] = []
        self.asked: list[tuple[Row, Fraction]] = []
        self.met: dict[str, Row] = {}
        self.under_way: list[tuple[Fraction, tuple[str, str]]] = []

    def hit(self, name: str, symbol: str, now: Fraction, able: Callable[[Row], bool]) -> Row | None:
        """A call is made: what happens to it."""
        self.past.append((name, symbol, now))
        away = self.away(now)
        if away is not None:
            return away
        for row in self.rows:
            if row.kind == "rate_limit" and row.symbol in ("", symbol) and row.lasts(now, symbol):
                self.asked.append((row, now))
                before = [each for each, at in self.asked if each is row and int(at) == int(now)]
                if len(before) > row.calls:
                    return row
        for row in self.rows:
            if (row.call or row.order) and self.is_turn(row, name, symbol) and able(row):
                return row
        return None

    def is_turn(self, row: Row, name: str, symbol: str) -> bool:
        """Whether it is the call, or the order, that a fault counts to."""
        if row.symbol not in ("", symbol):
            return False
        own = [each for each, other, _ in self.past if not row.symbol or other == row.symbol]
        if row.call:
            return len(own) == row.call
        orders = [each for each in own if each in ("place", "close")]
        return name in ("place", "close") and len(orders) == row.order

    def away(self, now: Fraction) -> Row | None:
        """The disconnection at a minute."""
        return next((row for row in self.rows if row.kind == "disconnect" and row.lasts(now, "")), None)

    def is_dead(self, symbol: str, since: Fraction, until: Fraction) -> bool:
        """Whether no price came from one minute to another, both included."""
        at = since
        while at <= until:
            if not any(row.kind in DEAD and row.lasts(at, symbol) for row in self.rows):
                return False
            at += HALF
        return True

    def arriving(self, now: Fraction) -> list[tuple[str, str]]:
        """Take what was under way and is there now."""
        due = [what for at, what in self.under_way if at <= now]
        self.under_way = [each for each in self.under_way if each[0] > now]
        return due
