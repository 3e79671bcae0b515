"""What the risk manager is asked and answers, what it looks up before, and what it keeps for an entry. Plain data."""

from dataclasses import dataclass

from src.core.broker import Broker
from src.core.instrument import Instrument
from src.core.record import maker, record
from src.core.records import Position, Quote, Side

__all__ = [
    "EntryIntent",
    "Market",
    "Reservation",
    "Verdict",
    "make_entry_intent",
    "make_verdict",
    "position_risk",
    "refuse",
    "stop_distance",
]


@record
class EntryIntent:
    """An entry that a strategy wants; `volume` None lets the configured size decide.

    `price` is the limit or trigger, None at the market. With `reverse`, what the book holds on the other side is closed
    first.
    """

    client_id: str
    book: str
    symbol: str
    side: Side
    volume: float | None = None
    price: float | None = None
    stop: float | None = None
    stop_distance: float | None = None
    reverse: bool = False


make_entry_intent = maker(EntryIntent)


@record
class Verdict:
    """The answer to an intent: a volume and the cost of its stop, or a code and a sentence."""

    volume: float = 0.0
    stop_cost: float = 0.0
    code: str = ""
    message: str = ""

    @property
    def accepted(self) -> bool:
        """True when slot, margin and risk are reserved."""
        return not self.code


make_verdict = maker(Verdict)


class Market:
    """What the broker says of a symbol, asked before the lock is taken: no other lock is waited for inside it."""

    __slots__ = ("ask", "bid", "entry_cost", "exit_cost", "margin", "price", "rate", "rules")

    def __init__(self, broker: Broker, symbol: str, price: float, quote: Quote) -> None:
        self.rules: Instrument = broker.instrument(symbol)
        self.price, self.bid, self.ask, self.rate = price, quote.bid, quote.ask, quote.rate
        self.entry_cost = broker.entry_per_unit(symbol, price)
        self.exit_cost = broker.exit_per_unit(symbol, price)
        self.margin = broker.margin_per_unit(symbol, price)


@dataclass(slots=True)
class Reservation:
    """Margin and risk of an entry that is under way."""

    book: str
    symbol: str
    margin: float
    risk: float
    sent: bool = False
    #: Nobody answered: whether the order exists is not known.
    unknown: bool = False
    #: Margin and risk before the change that was judged last.
    unchanged: tuple[float, float] | None = None


def refuse(code: str, message: str) -> Verdict:
    """The answer that refuses an entry."""
    return Verdict(code=code, message=message)


def stop_distance(intent: EntryIntent, price: float) -> float | None:
    """How far an entry at a price lies from its stop, in price units; None without one."""
    if intent.stop is not None:
        return max(0.0, intent.side.sign * (price - intent.stop))
    return intent.stop_distance


def position_risk(position: Position, stop: float | None) -> float:
    """What the position loses down to a stop, everything without one."""
    if stop is None:
        return abs(position.volume) * position.entry_price * position.rate
    sign = 1.0 if position.volume > 0 else -1.0
    per_unit = sign * (position.entry_price - stop) * position.rate + position.stop_cost
    return max(0.0, per_unit * abs(position.volume))
