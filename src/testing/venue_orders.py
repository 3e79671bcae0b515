"""The order book of the local venue: what its account has asked for, under the exchange's numbers and client ids.

Each order is one order of the simulated broker; what happens to it there is read after each step of time. Under the
venue's lock.
"""

from src.core.errors import invariant
from src.core.instrument import Instrument
from src.core.records import Fill, Order, OrderEvent, OrderRequest, OrderState, OrderType, Side, TimeInForce
from src.testing.venue_market import assets_of
from src.testing.venue_order import Shelf, VenueOrder, VenueTrade
from src.testing.venue_wire import MILLISECOND_NS, Params, Refusal, decimals, refusal_of
from src.testing.venue_world import BOOK, VenueWorld

__all__ = ["VenueOrders"]

#: Closes whatever is held, however large it is.
_WHOLE = 1e9
#: What is held is nothing below this.
_NOISE = 1e-12
#: Numbers of as many digits as they will ever need: clients sort them as texts.
_FIRST_ORDER, _FIRST_TRADE = 1_000_000_000, 100_000_001
_REGULAR = ("LIMIT", "MARKET")
_FORCES = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "GTX": TimeInForce.GTC,
           "GTD": TimeInForce.GTD}  # fmt: skip
_CONDITIONAL = {"STOP_MARKET": OrderType.STOP, "STOP": OrderType.STOP_LIMIT, "TAKE_PROFIT_MARKET": OrderType.LIMIT,
                "TRAILING_STOP_MARKET": OrderType.TRAILING_STOP}  # fmt: skip
_STATES = {
    OrderState.WORKING: "NEW", OrderState.PARTLY_FILLED: "PARTIALLY_FILLED", OrderState.FILLED: "FILLED",
    OrderState.CANCELLED: "CANCELED", OrderState.EXPIRED: "EXPIRED", OrderState.REJECTED: "REJECTED",
}  # fmt: skip


class VenueOrders:
    """See the module's text.

    Attributes:
        orders, algos: the regular and the conditional orders.
        trades: all executions.
    """

    def __init__(self, world: VenueWorld) -> None:
        self._world = world
        self.orders, self.algos = Shelf(), Shelf()
        self.trades: list[VenueTrade] = []
        self._by_identity: dict[str, VenueOrder] = {}
        self._numbers = _FIRST_ORDER
        #: Signed volume and average entry of each symbol, from the executions.
        self._held: dict[str, tuple[float, float]] = {}

    # -- asking ------------------------------------------------------------------------------------

    def place(self, rules: Instrument, params: Params, *, cut: bool = False) -> VenueOrder:
        """A regular order.

        Args:
            cut: only a half of it may fill, the rest ends as REJECTED.
        """
        side, kind = _side(params), params.text("type")
        if kind in _CONDITIONAL or kind == "TAKE_PROFIT":
            sentence = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            raise Refusal(-4120, sentence)
        if kind not in _REGULAR:
            raise Refusal(-1116, "Invalid orderType.")
        force = params.text("timeInForce") if kind == "LIMIT" else params.text("timeInForce", "GTC")
        if force not in _FORCES:
            raise Refusal(-1115, "Invalid timeInForce.")
        good_till_ms = params.whole("goodTillDate") if force == "GTD" else 0
        quantity = params.number("quantity", decimals(rules.volume_step))
        price = params.number("price", decimals(rules.tick)) if kind == "LIMIT" else 0.0
        reduces = params.flag("reduceOnly")
        client_id = self._free_id(params.client_id("newClientOrderId"), self.orders)
        self._check_sides(rules, reduces=reduces, side=side)
        order = self._new(
            rules, client_id, side, kind, quantity, price=price, force=force, reduce_only=reduces,
            good_till_ms=good_till_ms,
        )  # fmt: skip
        order.cut = cut
        limit = kind == "LIMIT"
        request = OrderRequest(
            client_id=order.identity, book=BOOK, symbol=rules.symbol, side=Side(side.lower()),
            type=OrderType.LIMIT if limit else OrderType.MARKET,
            volume=rules.round_volume(quantity / 2) if cut else quantity, price=price if limit else None,
            reduce_only=reduces, time_in_force=_FORCES[force] if limit else TimeInForce.GTC, post_only=force == "GTX",
            expires_ns=good_till_ms * MILLISECOND_NS if force == "GTD" else None,
        )  # fmt: skip
        quote = self._world.broker.quote(rules.symbol)
        crosses = quote is not None and (price >= quote.ask if side == "BUY" else price <= quote.bid)
        order.maker = limit and not crosses
        self._send(rules, order, request)
        self.orders.add(order)
        self._settle()
        return order

    def place_algo(self, rules: Instrument, params: Params) -> VenueOrder:
        """A conditional order."""
        side, kind = _side(params), params.text("type")
        if params.text("algoType") != "CONDITIONAL":
            raise Refusal(-1102, "Mandatory parameter 'algoType' was not sent, was empty/null, or malformed.")
        if kind not in _CONDITIONAL:
            raise Refusal(-1116, "Invalid orderType.")
        closes = params.flag("closePosition")
        if closes and (params.has("quantity") or params.flag("reduceOnly")):
            raise Refusal(-1106, "Parameter 'quantity' or 'reduceOnly' sent when not required.")
        places = decimals(rules.tick)
        quantity = rules.round_volume(_WHOLE) if closes else params.number("quantity", decimals(rules.volume_step))
        price = params.number("price", places) if kind == "STOP" else 0.0
        trails = kind == "TRAILING_STOP_MARKET"
        trigger = 0.0 if trails else params.number("triggerPrice", places)
        callback = params.number("callbackRate", 2) if trails else 0.0
        if trails and not 0.1 <= callback <= 10:
            raise Refusal(-2007, "Invalid callBack rate.")
        if trails and params.has("activatePrice"):
            raise Refusal(-1106, "Parameter 'activatePrice' sent when not required.")
        client_id = self._free_id(params.client_id("clientAlgoId"), self.algos)
        order = self._new(
            rules, client_id, side, kind, quantity, price=price, trigger=trigger, callback=callback,
            reduce_only=params.flag("reduceOnly") or closes, close_position=closes, algo=True,
            working_type=params.text("workingType", "CONTRACT_PRICE"),
        )  # fmt: skip
        type_ = _CONDITIONAL[kind]
        request = OrderRequest(
            client_id=order.identity, book=BOOK, symbol=rules.symbol, side=Side(side.lower()), type=type_,
            volume=quantity, price=None if trails else trigger, limit=price if kind == "STOP" else None,
            trail_percent=callback if trails else None, reduce_only=order.reduce_only,
        )  # fmt: skip
        if kind == "TAKE_PROFIT_MARKET":
            self._check_target(rules, side, trigger)
        self._send(rules, order, request)
        self.algos.add(order)
        self._settle()
        return order

    def _new(
        self, rules: Instrument, client_id: str, side: str, kind: str, quantity: float, **more: object
    ) -> VenueOrder:
        self._numbers += 1
        now_ns = self._world.now_ns
        return VenueOrder(
            number=self._numbers, client_id=client_id or f"venue{self._numbers}", symbol=rules.symbol, side=side,
            kind=kind, quantity=quantity, identity=f"o{self._numbers}", created_ns=now_ns, updated_ns=now_ns,
            **more,  # type: ignore[arg-type]  # the fields of the record, named by the callers above
        )  # fmt: skip

    def _send(self, rules: Instrument, order: VenueOrder, request: OrderRequest) -> None:
        self._by_identity[order.identity] = order
        result = self._world.broker.place(request)
        if not result.accepted:
            del self._by_identity[order.identity]
            raise refusal_of(result, rules.min_notional)

    def _settle(self) -> None:
        """What was placed at the very open of a bar fills at it."""
        self._world.catch_up()
        self.sync()

    def _free_id(self, client_id: str, among: Shelf) -> str:
        """The client id; refused while another order works under it, and free again once that one has ended."""
        if client_id in among.by_client and among.by_client[client_id].live:
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        return client_id

    def _check_sides(self, rules: Instrument, *, reduces: bool, side: str) -> None:
        held = self.held(rules.symbol)
        if reduces and not (held < 0 if side == "BUY" else held > 0):
            raise Refusal(-2022, "ReduceOnly Order is rejected.")

    def _check_target(self, rules: Instrument, side: str, trigger: float) -> None:
        quote = self._world.broker.quote(rules.symbol)
        if quote is not None and (trigger <= quote.bid if side == "SELL" else trigger >= quote.ask):
            raise Refusal(-2021, "Order would immediately trigger.")

    def find(self, params: Params, *, algo: bool = False) -> VenueOrder:
        """The order that is asked for by its number or else by its client id, of those the last one.

        Raises:
            Refusal: there is none.
        """
        by_number, by_client = ("algoId", "clientAlgoId") if algo else ("orderId", "origClientOrderId")
        if not params.has(by_number) and not params.has(by_client):
            raise Refusal(-1102, f"Param '{by_client}' or '{by_number}' must be sent, but both were empty/null!")
        number = params.whole(by_number, 0)
        client_id = params.values.get(by_client, "")
        shelf = self.algos if algo else self.orders
        order = shelf.by_number.get(number) if number else shelf.by_client.get(client_id)
        if order is None or params.values.get("symbol", order.symbol) != order.symbol:
            raise Refusal(-2013, "Order does not exist.")
        return order

    def cancel(self, order: VenueOrder) -> None:
        """End a working order.

        Raises:
            Refusal: it does not work any more.
        """
        if not order.live:
            raise Refusal(-2011, "Unknown order sent.")
        result = self._world.broker.cancel(order.identity)
        self.sync()
        if not result.accepted:
            raise refusal_of(result)

    def modify(self, order: VenueOrder, rules: Instrument, params: Params) -> None:
        """Change price and volume of a resting limit order; less than what has filled ends it.

        Raises:
            Refusal: it does not rest, the change is none, or it breaks a rule.
        """
        if _side(params) != order.side or order.kind != "LIMIT":
            raise Refusal(-4122, "Only limit orders of the same side can be modified.")
        if not order.live:
            raise Refusal(-2013, "Order does not exist.")
        price = params.number("price", decimals(rules.tick))
        quantity = params.number("quantity", decimals(rules.volume_step))
        if (price, quantity) == (order.price, order.quantity):
            raise Refusal(-5027, "No need to modify the order.")
        if quantity <= order.executed:
            self.cancel(order)
            return
        result = self._world.broker.modify(order.identity, price=price, volume=quantity)
        if not result.accepted:
            raise refusal_of(result, rules.min_notional)
        order.price, order.quantity, order.updated_ns = price, quantity, self._world.now_ns
        self.sync()

    # -- what happened -----------------------------------------------------------------------------

    def sync(self) -> None:
        """Read what has happened at the broker, and end what only reduced a position that is gone."""
        broker = self._world.broker
        for _ in range(3):  # what is ended here makes events of its own
            for symbol in self._world.instruments:
                mailbox = broker.mailbox(symbol)
                while mailbox:
                    self._happened(mailbox.popleft())
            if not self._end_idle():
                return

    def _end_idle(self) -> bool:
        """Expire what reduces nothing any more: regular orders, and conditional ones that close a whole position."""
        idle = [order for order in self.orders.working() if order.reduce_only and order.kind == "LIMIT"]
        idle += [order for order in self.algos.working() if order.close_position and order.actual is None]
        idle = [order for order in idle if self._is_idle(order)]
        for order in idle:
            self._world.broker.cancel(order.identity)
            order.status, order.updated_ns = "EXPIRED", self._world.now_ns
        return bool(idle)

    def _is_idle(self, order: VenueOrder) -> bool:
        held = self._held.get(order.symbol, (0.0, 0.0))[0]
        return held >= 0 if order.side == "BUY" else held <= 0

    def _happened(self, event: OrderEvent) -> None:
        told = event.order
        order = self._by_identity.get(told.order_id)
        if order is None:
            order = self._forced(told)
        if event.fill is not None:
            order = self._executed(order, event.fill)
        if order.status == "EXPIRED":
            return
        status = _STATES.get(told.state, order.status)
        if order.cut and status == "FILLED":
            status = "REJECTED"
        if status == "CANCELED" and told.code != "cancelled":
            status = "EXPIRED"
        target, updated_ns = order.actual or order, max(told.updated_ns, order.updated_ns)
        target.status, target.updated_ns = status, updated_ns
        if order.actual is not None:
            order.status, order.updated_ns = "FINISHED", updated_ns

    def _forced(self, told: Order) -> VenueOrder:
        """An order that the venue made itself: a liquidation."""
        request = told.request
        rules = self._world.instruments[request.symbol]
        self._numbers += 1
        order = self._new(
            rules, f"autoclose-{self._numbers}", request.side.upper(), "LIMIT", request.volume, reduce_only=True
        )  # fmt: skip
        order.identity = told.order_id
        self._by_identity[told.order_id] = order
        self.orders.add(order)
        return order

    def _executed(self, order: VenueOrder, fill: Fill) -> VenueOrder:
        target = order
        if order.algo:
            target = order.actual = order.actual or self._triggered(order, fill)
        asset = assets_of(self._world.instruments[fill.symbol])[1]
        trade = VenueTrade(
            number=_FIRST_TRADE + len(self.trades), order=target.number, symbol=fill.symbol, side=fill.side.upper(),
            quantity=fill.volume, price=fill.price, commission=fill.commission, asset=asset,
            realized=self._realize(fill), filled_ns=max(fill.filled_ns, order.created_ns), maker=order.maker,
        )  # fmt: skip
        self.trades.append(trade)
        target.trades.append(trade)
        return order

    def _triggered(self, order: VenueOrder, fill: Fill) -> VenueOrder:
        """The order that a conditional one has become, under a number of its own and the same client id."""
        self._numbers += 1
        actual = VenueOrder(
            number=self._numbers, client_id=order.client_id, symbol=order.symbol, side=order.side,
            kind="LIMIT" if order.kind == "STOP" else "MARKET", quantity=order.quantity, identity=order.identity,
            created_ns=max(fill.filled_ns, order.created_ns), updated_ns=fill.filled_ns, price=order.price,
            trigger=order.trigger,
            reduce_only=order.reduce_only, close_position=order.close_position,
        )  # fmt: skip
        self.orders.add(actual)
        return actual

    def _realize(self, fill: Fill) -> float:
        """Take an execution into the holding; what its closing part made."""
        held, entry = self._held.get(fill.symbol, (0.0, 0.0))
        signed = fill.side.sign * fill.volume
        closing = min(abs(held), fill.volume) if held * signed < 0 else 0.0
        made = closing * (fill.price - entry) * (1 if held > 0 else -1)
        left = self._world.instruments[fill.symbol].round_volume(abs(held + signed))
        left = 0.0 if left < _NOISE else left * (1 if held + signed > 0 else -1)
        if closing == 0.0:
            entry = (abs(held) * entry + fill.volume * fill.price) / (abs(held) + fill.volume)
        elif left * held <= 0:
            entry = fill.price
        self._held[fill.symbol] = (left, entry if left else 0.0)
        return made * fill.rate

    def held(self, symbol: str) -> float:
        """The signed volume that is held, by the executions."""
        volume = self._held.get(symbol, (0.0, 0.0))[0]
        own = sum(position.volume for position in self._world.broker.positions(symbol))
        step = self._world.instruments[symbol].volume_step
        invariant(abs(volume - own) <= max(step / 2, 1e-9), f"{symbol}: {volume} executed, {own} held")
        return volume

    @staticmethod
    def working(symbol: str | None, among: Shelf) -> list[VenueOrder]:
        """The working ones of a symbol, or of all."""
        return [order for order in among.working() if symbol in (None, order.symbol)]


def _side(params: Params) -> str:
    side = params.text("side")
    if side not in ("BUY", "SELL"):
        raise Refusal(-1117, "Invalid side.")
    if params.text("positionSide", "BOTH") != "BOTH":
        raise Refusal(-4061, "Order's position side does not match user's setting.")
    return side
