"""What a break condition reads: the clock, prices, the account, positions and events of one run, as plain values.

Read between steps by whoever performs them; nothing here waits or changes anything.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from src.core.broker import Broker
from src.core.journal import Journal, JournalRecord
from src.core.records import OrderState
from src.core.timeframe import SECOND_NS

__all__ = ["KINDS", "Happening", "Instant", "World", "names_of"]

_NONE = math.nan
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Instant(int):
    """Nanoseconds UTC with the parts of the date and the time of day."""

    __slots__ = ()

    @property
    def _parts(self) -> dt.datetime:
        return _EPOCH + dt.timedelta(seconds=self // SECOND_NS)

    @property
    def hour(self) -> int:
        """0 to 23, UTC."""
        return self._parts.hour

    @property
    def minute(self) -> int:
        """0 to 59."""
        return self._parts.minute

    @property
    def second(self) -> int:
        """0 to 59."""
        return self._parts.second

    @property
    def weekday(self) -> int:
        """0 for Monday to 6 for Sunday, UTC."""
        return self._parts.weekday()

    @property
    def date(self) -> str:
        """Such as 2024-01-31."""
        return self._parts.strftime("%Y-%m-%d")

    @property
    def time(self) -> str:
        """Such as 09:30:00."""
        return self._parts.strftime("%H:%M:%S")


class NoInstant(float):
    """Stands where there is no instant: not a number, and neither are its parts."""

    __slots__ = ()
    hour = minute = second = weekday = _NONE
    date = time = ""


class Happening(NamedTuple):
    """A record of the journal as a condition reads it.

    Attributes:
        event: the record's kind, such as `order`, `fill`, `trade`, `refusal`, `decision`.
        kind: an order's state, a fill's kind, a trade's way out, a refusal's code, a decision's verdict.
        net: a trade's profit, not a number for everything else.
    """

    event: str
    kind: str
    symbol: str
    book: str
    side: str
    code: str
    participant: str
    volume: float
    price: float
    net: float


#: Which field of a record is its `kind`.
_KIND_FIELD = {
    "order": "state", "fill": "fill_kind", "trade": "exit_kind", "refusal": "code", "decision": "verdict",
    "protect": "by", "participant": "how", "limit": "limit",
}  # fmt: skip

_EXITS = (
    "exit", "stop", "target", "trailing", "break_even", "time_exit", "session_close", "daily_loss", "reverse",
    "end_of_data",
)  # fmt: skip

#: What a `kind` can be, of the events of which that is known beforehand.
KINDS: Mapping[str, tuple[str, ...]] = {
    "order": tuple(state.value for state in OrderState),
    "fill": ("entry", *_EXITS),
    "trade": _EXITS,
}


def _happening(entry: JournalRecord) -> Happening:
    values = dict(entry.fields)

    def text(name: str) -> str:
        value = values.get(name)
        return "" if value is None else str(value)

    def number(name: str) -> float:
        value = values.get(name)
        return float(value) if isinstance(value, int | float) else _NONE

    return Happening(
        event=entry.kind, kind=text(_KIND_FIELD.get(entry.kind, "")), symbol=entry.stream, book=text("book"),
        side=text("side"), code=text("code"), participant=entry.participant, volume=number("volume"),
        price=number("price"), net=number("net"),
    )  # fmt: skip


class World:
    """What there is to read in one run.

    Args:
        broker: prices, account and positions.
        journal: where events are found.
        symbols: the symbols of the run.
        now_ns: the clock's present.
    """

    def __init__(self, broker: Broker, journal: Journal, symbols: Sequence[str], now_ns: Callable[[], int]) -> None:
        self.broker = broker
        self.journal = journal
        self.symbols = tuple(symbols)
        self.now_ns = now_ns
        self._seen = 0
        self._events: list[Happening] = []

    def forget(self) -> None:
        """Begin to watch: what was recorded until now counts as seen."""
        self._seen = self._recorded()
        self._events = []

    def look(self) -> None:
        """Take what was recorded since the last time as the events of now."""
        recorded = self._recorded()
        # Only records of instants before this one are ever settled, and those were looked at before they were.
        fresh = list(islice(reversed(self.journal.pending), recorded - self._seen))
        self._seen = recorded
        self._events = [_happening(entry) for entry in reversed(fresh)]

    def present(self) -> Mapping[str, Any]:
        """The names that change from step to step."""
        now, events = Instant(self.now_ns()), self._events
        return {
            "now": now,
            "clock": now,
            "events": events,
            "orders": [each for each in events if each.event == "order"],
            "fills": [each for each in events if each.event == "fill"],
            "trades": [each for each in events if each.event == "trade"],
        }

    def happened(self, event: str | None = None, **fields: Any) -> bool:
        """Whether one of the events of now is of that kind and has these values."""
        return any(
            (event is None or each.event == event)
            and all(getattr(each, name) == value for name, value in fields.items())
            for each in self._events
        )

    def _recorded(self) -> int:
        return self.journal.count + len(self.journal.pending)


class _Symbol:
    """The last closed base bar and the quote of a symbol."""

    def __init__(self, world: World, symbol: str) -> None:
        self._broker = world.broker
        self._symbol = symbol
        self._series = world.broker.base_series(symbol)

    def _last(self, column: Any) -> float:
        length = self._series.length
        return float(column[length - 1]) if length else _NONE

    @property
    def open(self) -> float:
        return self._last(self._series.open_at)

    @property
    def high(self) -> float:
        return self._last(self._series.high_at)

    @property
    def low(self) -> float:
        return self._last(self._series.low_at)

    @property
    def close(self) -> float:
        return self._last(self._series.close_at)

    @property
    def volume(self) -> float:
        return self._last(self._series.volume_at)

    @property
    def bars(self) -> int:
        return self._series.length

    @property
    def bid(self) -> float:
        quote = self._broker.quote(self._symbol)
        return _NONE if quote is None else quote.bid

    @property
    def ask(self) -> float:
        quote = self._broker.quote(self._symbol)
        return _NONE if quote is None else quote.ask


class _Account:
    """Money now."""

    def __init__(self, world: World) -> None:
        self._broker = world.broker

    @property
    def balance(self) -> float:
        return self._broker.snapshot().account.balance

    @property
    def equity(self) -> float:
        return self._broker.equity()

    @property
    def margin_used(self) -> float:
        return self._broker.snapshot().account.margin_used

    @property
    def margin_free(self) -> float:
        return self._broker.snapshot().account.margin_free


class _Position:
    """What is held of a symbol, by one strategy or summed over all; protection and risk of the oldest."""

    def __init__(self, world: World, symbol: str, book: str | None = None) -> None:
        self._broker = world.broker
        self._symbol = symbol
        self._held = [each for each in world.broker.positions(symbol) if book is None or each.book == book]
        self.volume = sum(each.volume for each in self._held)

    @property
    def is_flat(self) -> bool:
        return not self._held

    @property
    def is_long(self) -> bool:
        return self.volume > 0

    @property
    def is_short(self) -> bool:
        return self.volume < 0

    @property
    def entry_price(self) -> float:
        return sum(each.volume * each.entry_price for each in self._held) / self.volume if self.volume else _NONE

    @property
    def opened(self) -> Instant | NoInstant:
        return Instant(self._held[0].opened_ns) if self._held else NoInstant(_NONE)

    @property
    def stop(self) -> float:
        return _number(self._held[0].stop if self._held else None)

    @property
    def target(self) -> float:
        return _number(self._held[0].target if self._held else None)

    @property
    def risk(self) -> float:
        return _number(self._held[0].initial_risk if self._held else None)

    @property
    def profit(self) -> float:
        quote = self._broker.quote(self._symbol)
        if quote is None:
            return 0.0
        points = sum(
            each.volume * ((quote.bid if each.volume > 0 else quote.ask) - each.entry_price) for each in self._held
        )
        return points * quote.rate


def _number(value: float | None) -> float:
    return _NONE if value is None else value


def names_of(world: World) -> Mapping[str, Any]:
    """The names and functions of a condition that stay the same during a run."""
    symbols = {symbol: _Symbol(world, symbol) for symbol in world.symbols}

    def position(symbol: str, book: str | None = None) -> _Position:
        return _Position(world, symbol, book)

    return {
        **symbols,
        "abs": abs, "all": all, "any": any, "len": len, "max": max, "min": min, "round": round, "sum": sum,
        "account": _Account(world), "event": world.happened, "position": position, "symbol": symbols.__getitem__,
    }  # fmt: skip
