"""The account that stands in for the venue's: the simulated broker on recorded prices, request by request.

Called by one thread; reads no clock.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from src.brokers.simulated import Costs, FillRules, LiveSimulatedBroker
from src.core.clock import Clock
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.journal import Journal
from src.core.records import Fill, OrderResult, OrderType, Side, make_order_request
from src.research.parity.asked import Asked, Price, RecordedMarket
from src.research.parity.decisions import Stream
from src.research.parity.seen import SeenFill, SeenQuote

__all__ = ["RESYNC", "Simulation"]

#: How the ids of the orders begin that bring a position to where it was.
RESYNC = "resync"
_MONEY = 1e12
_SAME = 1e-9


class _Instant:
    """The simulated present."""

    def __init__(self, instant_ns: int) -> None:
        self.instant_ns = instant_ns

    def now_ns(self) -> int:
        return self.instant_ns


class Simulation:
    """The simulated account over the recorded prices."""

    def __init__(
        self, market: RecordedMarket, account: AccountConfig, instruments: Mapping[str, Instrument], costs: Costs
    ) -> None:
        self.instruments = {
            # Money plays no part: every symbol is settled in the account's currency, and nothing is charged overnight.
            symbol: dataclasses.replace(
                instruments[symbol], quote_currency=account.currency, swap=None, funding=False, margin_tiers=()
            )
            for symbol in market.base
        }
        rich = account.model_copy(
            update={
                "balance": _MONEY,
                "margin_call_percent": None,
                "stop_out_percent": None,
                "negative_balance": "keep",
            }
        )
        plain = dataclasses.replace(
            costs, spread_percent=0.0, spread_points=0.0, spread_by_hour=None, spread_column=False, sides={},
            volume_share=None, reject_percent=0.0, blow_outs=(),
        )  # fmt: skip
        self.broker = LiveSimulatedBroker(rich, self.instruments, market.base, {}, plain, FillRules(at_end="keep"))
        self._clock = _Instant(market.start_ns)
        self._journal = Journal()
        self.broker.bind(cast(Clock, self._clock), self._journal)  # of the port it asks for the present alone
        self.broker.rewind(market.start_ns)
        self._prices = market.prices
        self._next = 0
        self._priced_ns: dict[str, int] = {}
        self.symbols = frozenset(market.base)
        self.end_ns = market.end_ns
        self.rates = _rates(market.quotes)
        self._taken = 0

    def step(self, until_ns: int) -> bool:
        """Let the next thing happen that is due by an instant; False when nothing is."""
        price = self._prices[self._next] if self._next < len(self._prices) else None
        ending_ns = self.broker.next_ending_ns
        if ending_ns is not None and ending_ns <= until_ns and (price is None or ending_ns <= price.instant_ns):
            self._go_to(ending_ns)
            self.broker.end_orders(self._clock.instant_ns)
            return True
        if price is None or price.seen_ns > until_ns:
            self._go_to(until_ns)
            return False
        self._next += 1
        self._go_to(price.seen_ns)
        self._take(price)
        self._journal.settle(self._clock.instant_ns)
        return True

    def _go_to(self, instant_ns: int) -> None:
        self._clock.instant_ns = max(self._clock.instant_ns, instant_ns)

    def _take(self, price: Price) -> None:
        broker, now_ns = self.broker, self._clock.instant_ns
        if price.bar is not None:
            series = broker.base_series(price.symbol)
            if not series.length or price.bar[0] > series.open_ns_at[series.length - 1]:
                broker.close_bar(price.symbol, series.timeframe_ns, price.bar, now_ns)
        elif price.quote is not None:
            bid, ask = price.quote
            last = broker.quote(price.symbol)
            # A source tells the last quote until it has a newer one.
            if 0 < bid <= ask and (last is None or price.instant_ns > last.instant_ns):
                broker.take_quote(price.symbol, bid, ask, price.instant_ns, now_ns)
                self._priced_ns[price.symbol] = now_ns

    def priced_ns(self, symbol: str) -> int:
        """When the last quote of a symbol became known, -1 before the first."""
        return self._priced_ns.get(symbol, -1)

    def new_fills(self) -> list[Fill]:
        """Executions since the last question."""
        fills = self.broker.fills()
        found = fills[self._taken :]
        self._taken = len(fills)
        return found

    def ask(self, asked: Asked) -> OrderResult | None:
        """Send a request; None when it is about something that is not there."""
        broker, args = self.broker, asked.args
        if asked.request is not None:
            return broker.place(dataclasses.replace(asked.request, position_id=None))
        held = broker.position(asked.book, asked.symbol)
        if asked.method == "cancel":
            return broker.cancel(str(args["order_id"]))
        if asked.method == "modify":
            changes = {name: args.get(name) for name in ("price", "limit", "volume")}
            return broker.modify(str(args["order_id"]), **changes)
        if held.is_flat:
            return None
        if asked.method == "protect":
            stop, target = args.get("stop"), args.get("target")
            return broker.protect(held.position_id, stop=stop, target=target, kind=str(args.get("kind", "stop")))
        return broker.close(
            held.position_id, client_id=str(args["client_id"]), volume=args.get("volume"),
            kind=str(args.get("kind", "exit")),
        )  # fmt: skip

    def bring_to(self, stream: Stream, volume: float, name: str) -> None:
        """Have a book hold a volume: with market orders, at the next quote."""
        symbol, book = stream
        held = self.broker.position(book, symbol)
        if held.volume and (volume == 0.0 or (volume > 0) != held.is_long):
            self.broker.close(held.position_id, client_id=f"{name}-close", kind=RESYNC)
            missing = volume
        else:
            missing = volume - held.volume
        if abs(missing) <= _SAME * max(abs(volume), abs(held.volume)):
            return
        shrinks = held.volume * missing < 0 and abs(missing) < abs(held.volume)
        self.broker.place(
            make_order_request(
                client_id=f"{name}-order", book=book, symbol=symbol, side=Side.BUY if missing > 0 else Side.SELL,
                type=OrderType.MARKET, volume=abs(missing), reduce_only=shrinks, exit_kind=RESYNC,
            )
        )  # fmt: skip

    def end_nearest(self, fill: SeenFill) -> None:
        """Cancel the working order that a recorded execution was most likely of: one at the market before all."""
        own = fill.symbol, fill.book, fill.side
        working = [
            (0.0 if order.request.price is None else abs(order.request.price - fill.price), order.order_id)
            for order in self.broker.snapshot().orders
            if (order.request.symbol, order.request.book, str(order.request.side)) == own
        ]
        if working:
            self.broker.cancel(min(working)[1])


def _rates(quotes: Sequence[SeenQuote]) -> Callable[[str, int], float]:
    """The account's money for one unit of a symbol's currency at an instant, by the quotes; 1 before the first."""
    steps: dict[str, list[tuple[int, float]]] = {}
    for each in quotes:
        own = steps.setdefault(each.symbol, [])
        if each.rate > 0 and (not own or own[-1][1] != each.rate):
            own.append((each.seen_ns, each.rate))

    def rate(symbol: str, instant_ns: int) -> float:
        known = [value for at_ns, value in steps.get(symbol, ()) if at_ns <= instant_ns]
        return known[-1] if known else 1.0

    return rate
