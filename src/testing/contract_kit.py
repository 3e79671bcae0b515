"""What the cases of the broker contract are written with: capabilities, the bench they run on, and words for asking.

A case runs in the turn of a participant of its bench's clock, whichever that is. It promises nothing about prices and
says everything relative to the present quote, so that it can be run at a venue which nobody controls.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from src.core.broker import Broker
from src.core.errors import BrokerContractError
from src.core.order_states import LEGAL
from src.core.records import (
    Fill,
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderState,
    OrderType,
    Position,
    Quote,
    Side,
    Trade,
)

__all__ = ["Bench", "Capability", "Case", "Talk", "case", "collected"]

BOOK = "contract"


class Capability(StrEnum):
    """What a broker can do; a case that needs something else is left out."""

    NETTING = "netting"
    HEDGING = "hedging"
    SPOT = "spot"
    SHORT = "short"
    REVERSE = "reverse"
    MODIFY = "modify"
    STOP_ORDERS = "stop_orders"
    PROTECTION = "protection"
    EXPIRY = "expiry"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"
    TRAILING_PROTECTION = "trailing_protection"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"
    GROUPS = "groups"
    PARENTS = "parents"
    FIND_ORDER = "find_order"
    CLOSE_BY = "close_by"
    #: The bench can let prices go where it wants.
    MOVES_PRICES = "moves_prices"


class Bench(Protocol):
    """A fresh account at the broker under test, flat and without orders."""

    @property
    def broker(self) -> Broker:
        """What is tested."""
        ...

    @property
    def symbol(self) -> str:
        """What is traded."""
        ...

    @property
    def prefix(self) -> str:
        """Begins each client id; letters that no earlier run at the same account has used."""
        ...

    def now_ns(self) -> int:
        """The present."""
        ...

    def until(self, condition: Callable[[], bool]) -> bool:
        """Let time go on until the condition holds; False when it does not within what the bench finds long enough."""
        ...

    def move_to(self, price: float) -> None:
        """Let prices go to `price` from the next one on, without a gap; for `Capability.MOVES_PRICES` alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One numbered case; `title` is what it holds, in a sentence."""

    number: str
    title: str
    needs: frozenset[Capability]
    without: frozenset[Capability]
    run: Callable[["Talk"], None]


_CASES: dict[str, Case] = {}


def case(
    number: str, *needs: Capability, without: tuple[Capability, ...] = ()
) -> Callable[[Callable[["Talk"], None]], Callable[["Talk"], None]]:
    """Make a function a case; its docstring is the title.

    Args:
        needs: what a broker must be able to do for this case to mean something.
        without: what it must not be.
    """

    def register(run: Callable[["Talk"], None]) -> Callable[["Talk"], None]:
        title = (run.__doc__ or "").strip().splitlines()[0]
        if number in _CASES:
            raise BrokerContractError(f"expected one case {number}, found a second one: {title}")
        _CASES[number] = Case(
            number=number, title=title, needs=frozenset(needs), without=frozenset(without), run=run
        )  # fmt: skip
        return run

    return register


def collected() -> tuple[Case, ...]:
    """All cases that have been imported, by number."""
    return tuple(_CASES[number] for number in sorted(_CASES))


class Talk:
    """What a case says to its bench.

    Attributes:
        events: all order events so far, taken from the mailbox whenever something is asked.
    """

    def __init__(self, bench: Bench, number: str) -> None:
        self.bench = bench
        self.broker = bench.broker
        self.symbol = bench.symbol
        self.number = number
        self.events: list[OrderEvent] = []
        self._asked = 0
        self._least = 0.0

    # -- judging -------------------------------------------------------------------------------------------------------

    def hold(self, condition: object, sentence: str) -> None:
        """Fail the case unless the condition is true.

        Raises:
            BrokerContractError: it is not; the sentence says what was expected and what was found.
        """
        if not condition:
            raise BrokerContractError(f"{self.number}: {sentence}", number=self.number)

    def equal(self, found: object, expected: object, what: str) -> None:
        """Fail the case unless both are equal."""
        self.hold(found == expected, f"expected {what} {expected!r}, found {found!r}")

    def near(self, found: float, expected: float, what: str) -> None:
        """Fail the case unless two amounts are equal but for rounding."""
        close = math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-6)
        self.hold(close, f"expected {what} of {expected!r}, found {found!r}")

    def refused(self, result: OrderResult, *codes: str) -> None:
        """Fail the case unless a request was refused with one of these codes and a sentence."""
        self.hold(not result.accepted, f"expected a refusal with {' or '.join(codes)}, found an acknowledgement")
        found = f"found {result.code!r}: {result.message}"
        self.hold(result.code in codes, f"expected a refusal with {' or '.join(codes)}, {found}")
        self.hold(result.message.strip(), f"expected the refusal {result.code!r} with a sentence, found none")

    def accepted(self, result: OrderResult) -> str:
        """Fail the case unless a request was accepted; the order's id."""
        self.hold(result.accepted, f"expected an acknowledgement, found the refusal {result.code!r}: {result.message}")
        self.hold(result.order_id, "expected an acknowledgement with the order's id, found none")
        self.equal(result.code, "", "of an acknowledgement the code")
        return result.order_id

    # -- asking --------------------------------------------------------------------------------------------------------

    def next_id(self) -> str:
        """A client id that is used once: letters and digits, beginning with a letter."""
        self._asked += 1
        return f"{self.bench.prefix}{self.number.lower().replace('-', '')}n{self._asked}"

    def request(self, side: Side, type_: OrderType = OrderType.MARKET, **more: Any) -> OrderRequest:
        """A request with an id of its own, by default of the least volume that makes sense."""
        values: dict[str, Any] = {
            "client_id": self.next_id(), "book": BOOK, "symbol": self.symbol, "volume": self.volume(), **more,
        }  # fmt: skip
        return OrderRequest(side=side, type=type_, **values)

    def place(self, side: Side, type_: OrderType = OrderType.MARKET, **more: Any) -> OrderResult:
        """Place such a request."""
        return self.broker.place(self.request(side, type_, **more))

    def buy(self, **more: Any) -> str:
        """Buy at the market; the order's id."""
        return self.accepted(self.place(Side.BUY, **more))

    def sell(self, **more: Any) -> str:
        """Sell at the market; the order's id."""
        return self.accepted(self.place(Side.SELL, **more))

    def bought(self, times: float = 1, **more: Any) -> Position:
        """Buy `times` the least volume and wait for the fill; the position."""
        order_id = self.buy(volume=self.volume(times), **more)
        self.filled(order_id)
        return self.position()

    def close(self, position: Position, volume: float | None = None) -> str:
        """Close a position, or a part of it; the order's id."""
        return self.accepted(self.broker.close(position.position_id, client_id=self.next_id(), volume=volume))

    def resting(self, side: Side = Side.BUY, factor: float = 0.8, **more: Any) -> str:
        """Place a limit far from the market; the order's id."""
        return self.accepted(self.place(side, OrderType.LIMIT, price=self.price(factor), **more))

    # -- looking -------------------------------------------------------------------------------------------------------

    def quote(self) -> Quote:
        """The present quote, for which it waits a while."""
        self.bench.until(lambda: self.broker.quote(self.symbol) is not None)
        quote = self.broker.quote(self.symbol)
        if quote is None:
            raise BrokerContractError(f"{self.number}: expected a quote of {self.symbol}, found none")
        return quote

    def price(self, factor: float) -> float:
        """A price so many times the middle of the quote, on the tick."""
        return self.broker.instrument(self.symbol).round_price(self.quote().mid * factor)

    def volume(self, times: float = 1) -> float:
        """`times` a small volume that the instrument allows, also at half the price; the same all through a case."""
        rules = self.broker.instrument(self.symbol)
        if self._least == 0.0:
            least = max(rules.min_volume, rules.volume_step, 2 * rules.min_notional / self.quote().mid) or 1.0
            step = rules.volume_step or least
            self._least = rules.round_volume(math.ceil(least / step - 1e-9) * step)
        return rules.round_volume(times * self._least)

    def position(self) -> Position:
        """What the book holds now."""
        return self.broker.position(BOOK, self.symbol)

    def working(self) -> dict[str, Order]:
        """The live orders of the symbol, by their ids."""
        return {order.order_id: order for order in self.broker.snapshot().orders if order.request.symbol == self.symbol}

    def read(self) -> list[OrderEvent]:
        """Take the new events; all of them so far."""
        mailbox = self.broker.mailbox(self.symbol)
        while mailbox:
            self.events.append(mailbox.popleft())
        return self.events

    def fills(self, order_id: str | None = None) -> list[Fill]:
        """The executions so far, of one order or of all."""
        found = [event.fill for event in self.read() if event.fill is not None]
        return [fill for fill in found if order_id in (None, fill.order_id)]

    def trades(self) -> list[Trade]:
        """The trades that have ended so far."""
        return [event.trade for event in self.read() if event.trade is not None]

    def last(self, order_id: str) -> Order | None:
        """The order as its latest event tells it."""
        found = [event.order for event in self.read() if event.order.order_id == order_id]
        return found[-1] if found else None

    def ended(self, order_id: str, *states: OrderState) -> Order:
        """Wait for the end of an order, which is one of the states; the order then."""
        self.bench.until(lambda: (order := self.last(order_id)) is not None and order.state.is_final)
        order = self.last(order_id)
        if order is None or not order.state.is_final:
            found = "no event" if order is None else f"it {order.state}"
            raise BrokerContractError(
                f"{self.number}: expected {order_id} to end as {' or '.join(states)}, found {found}"
            )
        wanted = f"expected {order_id} to end as {' or '.join(states)}, found {order.state} ({order.code})"
        self.hold(order.state in states, wanted)
        return order

    def filled(self, order_id: str) -> Order:
        """Wait until an order has filled."""
        return self.ended(order_id, OrderState.FILLED)

    def flat(self) -> None:
        """Wait until nothing is held any more."""
        self.hold(
            self.bench.until(lambda: self.position().is_flat), "expected a flat position, found that it stays open"
        )

    def check_events(self) -> None:
        """Events come once, each state may follow the one before it, and nothing follows an end."""
        states: dict[str, OrderState] = {}
        executions: list[str] = []
        for event in self.read():
            order, before = event.order, states.get(event.order.order_id, OrderState.SENT)
            legal = order.state is before or order.state in LEGAL[before]
            self.hold(legal and not before.is_final, f"{order.order_id} was {before} and became {order.state}")
            states[order.order_id] = order.state
            self.equal(order.request.symbol, self.symbol, "in this mailbox the symbol")
            if event.fill is not None:
                executions.append(event.fill.fill_id)
        self.equal(len(executions), len(set(executions)), "of different executions the number")
