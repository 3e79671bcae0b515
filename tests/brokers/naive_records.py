"""What the naive ledger writes down: orders, executions, what guards a position, what is held. Plain records."""

from dataclasses import dataclass, field
from fractions import Fraction

__all__ = ["Bar", "Execution", "Guard", "Paper", "Stock", "Tie", "Trail", "Way"]

#: Open, high, low, close.
Bar = tuple[Fraction, Fraction, Fraction, Fraction]


class Tie(Exception):
    """Two amounts of money are equal to the last digit, so that rounding decides; such a story tells nothing."""


@dataclass(frozen=True)
class Trail:
    """How far something follows the price: by price units, or by a share of the price."""

    distance: Fraction = Fraction(0)
    share: Fraction = Fraction(0)

    def behind(self, quote: Fraction, way: int) -> Fraction:
        """The level for what wins from rising (1) or falling (-1) prices."""
        return quote - way * (self.distance + quote * self.share)


@dataclass
class Paper:
    """An order: what was asked for and what became of it.

    `limit` is that of a stop-limit order, `trail` that of an order whose trigger follows the price, `follow` that of
    the stop of what it opens; `filled` says whether anything of its volume was.
    """

    name: str
    symbol: str
    kind: str
    sign: int
    volume: Fraction
    price: Fraction | None
    stop: Fraction | None
    target: Fraction | None
    reduce: bool
    reverse: bool
    position: str | None
    placed: Fraction
    counts_from: Fraction
    cancel_at: Fraction | None = None
    state: str = "working"
    coming: list[tuple[Fraction, Fraction, Fraction]] = field(default_factory=list)
    limit: Fraction | None = None
    trail: Trail | None = None
    follow: Trail | None = None
    group: str = ""
    parent: str = ""
    expires: Fraction | None = None
    immediate: str = ""
    triggered: bool = False
    arrives: Fraction = Fraction(0)
    filled: bool = False
    exit_kind: str = "exit"

    @property
    def is_working(self) -> bool:
        """Whether it can still fill."""
        return self.state == "working"

    @property
    def at_once(self) -> bool:
        """Whether it takes its first price or none."""
        return self.kind == "market" or self.immediate != ""

    @property
    def is_limit(self) -> bool:
        """Whether it waits for a better price now; a stop-limit order does so once its trigger was met."""
        return self.kind == "limit" or self.triggered

    @property
    def level(self) -> Fraction | None:
        """The price that it waits for now; None for one that has none yet."""
        return self.limit if self.triggered else self.price

    @property
    def slips(self) -> bool:
        """Whether it takes what the market gives."""
        return self.kind in ("market", "stop", "trailing_stop")


@dataclass
class Execution:
    """One fill: signed volume at a price, for a position, known at a minute and possible since another.

    `profit` and `fee` are money of the account at the rates of that instant.
    """

    order: str
    symbol: str
    position: str
    signed: Fraction
    price: Fraction
    fee: Fraction
    profit: Fraction
    kind: str
    known: Fraction
    since: Fraction


@dataclass
class Guard:
    """Stop and target of a position, how the stop follows the price, and the changes that are under way to it."""

    stop: Fraction | None = None
    target: Fraction | None = None
    coming: list[tuple[Fraction, Fraction | None, Fraction | None]] = field(default_factory=list)
    trail: Trail | None = None
    kind: str = "stop"


@dataclass
class Stock:
    """What is held under one name."""

    name: str
    symbol: str
    volume: Fraction
    average: Fraction


@dataclass
class Way:
    """A position on the way from the open of a bar to the adverse extreme; `stopped` is the share at its stop."""

    stock: Stock
    first: Fraction
    last: Fraction
    mark: Fraction
    extreme: Fraction
    stop: Fraction | None
    stopped: Fraction

    def quote(self, share: Fraction) -> Fraction:
        """What closing gets after a share of the way."""
        return self.first + share * (self.last - self.first)

    def shown(self, share: Fraction) -> Fraction:
        """What bars show there."""
        return self.mark + share * (self.extreme - self.mark)

    def profit(self, share: Fraction, after: Fraction | None = None) -> Fraction:
        """What the position has made there; at its stop once that lies behind."""
        passed = self.stopped < share if after is None else self.stopped <= after
        quote = self.stop if self.stop is not None and passed else self.quote(share)
        return self.stock.volume * (quote - self.stock.average)
