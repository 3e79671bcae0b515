"""Which request of the dialect is answered by what, and what it weighs. Under the venue's lock."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from src.testing.venue_account import VenueAccount
from src.testing.venue_market import VenueMarket
from src.testing.venue_order import Shelf, VenueOrder, algo_json, order_json
from src.testing.venue_orders import VenueOrders
from src.testing.venue_wire import Json, Params, Refusal

__all__ = ["Route", "VenueRoutes"]

#: What a batch holds at most.
_BATCH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A request that can be answered.

    Attributes:
        weight, weight_all: what it counts with a symbol and without.
        orders: how many placements it counts.
        signed: whether it has to be signed.
        reads: whether it changes nothing.
    """

    answer: Callable[[Params], Json]
    weight: int = 1
    weight_all: int = 0
    orders: int = 0
    signed: bool = True
    reads: bool = True


class VenueRoutes:
    """The requests by method and path after its version, `GET klines`; see the module's text.

    Attributes:
        cut_next: the next placement fills by a half, the rest ends as REJECTED.
    """

    #: What the second one of two placements under one client id is told.
    duplicate = -4116, "ClientOrderId is duplicated."

    def __init__(self, market: VenueMarket, orders: VenueOrders, account: VenueAccount) -> None:
        self._market, self._orders, self._account = market, orders, account
        self.cut_next = False
        self._routes = self._public() | self._private() | self._trading()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All of them, `GET klines` and so on."""
        return tuple(self._routes)

    def find(self, endpoint: str, version: str) -> Route | None:
        """The route of an endpoint, None when there is none."""
        if endpoint == "GET positionRisk" and version == "v2":
            return Route(answer=self._account.position_risk_v2, weight=5)
        return self._routes.get(endpoint)

    def _public(self) -> dict[str, Route]:
        market = self._market
        return {
            "GET ping": Route(answer=market.ping, signed=False),
            "GET time": Route(answer=market.time, signed=False),
            "GET exchangeInfo": Route(answer=market.exchange_info, signed=False),
            "GET klines": Route(answer=market.klines, weight=2, signed=False),
            "GET ticker/bookTicker": Route(answer=market.book_ticker, weight=2, weight_all=5, signed=False),
            "GET ticker/24hr": Route(answer=market.day, weight=1, weight_all=40, signed=False),
            "GET depth": Route(answer=market.depth, weight=2, signed=False),
            "GET system/status": Route(answer=lambda params: {"status": 0, "msg": "normal"}, signed=False),
            "GET ticker/price": Route(answer=market.price, weight=1, weight_all=2, signed=False),
            "GET premiumIndex": Route(answer=market.premium_index, weight=1, weight_all=10, signed=False),
        }

    def _private(self) -> dict[str, Route]:
        account = self._account
        return {
            "GET positionRisk": Route(answer=account.position_risk, weight=5),
            "GET account": Route(answer=account.account, weight=5),
            "GET balance": Route(answer=account.balance, weight=5),
            "GET capital/config/getall": Route(answer=account.currencies, weight=10),
            "GET margin/allPairs": Route(answer=lambda params: []),
            "GET margin/isolated/allPairs": Route(answer=lambda params: []),
            "GET userTrades": Route(answer=account.user_trades, weight=5),
            "GET income": Route(answer=account.income, weight=30),
            "GET leverageBracket": Route(answer=account.leverage_bracket),
            "GET symbolConfig": Route(answer=account.symbol_config, weight=5),
            "GET accountConfig": Route(answer=account.account_config, weight=5),
            "GET commissionRate": Route(answer=account.commission_rate, weight=20),
            "POST leverage": Route(answer=account.set_leverage, reads=False),
            "POST marginType": Route(answer=account.set_margin_type, reads=False),
            "GET positionSide/dual": Route(answer=account.position_mode, weight=30),
            "POST positionSide/dual": Route(answer=account.set_position_mode, reads=False),
        }

    def _trading(self) -> dict[str, Route]:
        return {
            "POST order": Route(answer=self._place, orders=1, reads=False),
            "PUT order": Route(answer=self._modify, orders=1, reads=False),
            "DELETE order": Route(answer=self._cancel, reads=False),
            "GET order": Route(answer=lambda params: order_json(self._found(params))),
            "GET openOrder": Route(answer=self._open_order),
            "GET openOrders": Route(answer=self._open_orders, weight=1, weight_all=40),
            "GET allOrders": Route(answer=self._all_orders, weight=5),
            "DELETE allOpenOrders": Route(answer=self._cancel_all, reads=False),
            "POST batchOrders": Route(answer=lambda params: self._batch(params, self._place), weight=5, orders=5,
                                      reads=False),
            "PUT batchOrders": Route(answer=lambda params: self._batch(params, self._modify), weight=5, orders=5,
                                     reads=False),
            "DELETE batchOrders": Route(answer=self._cancel_some, reads=False),
            "POST algoOrder": Route(answer=self._place_algo, orders=1, reads=False),
            "DELETE algoOrder": Route(answer=self._cancel_algo, reads=False),
            "GET algoOrder": Route(answer=lambda params: algo_json(self._orders.find(params, algo=True))),
            "GET openAlgoOrders": Route(answer=self._open_algos, weight=1, weight_all=40),
            "GET allAlgoOrders": Route(answer=self._all_algos, weight=5),
            "DELETE algoOpenOrders": Route(answer=self._cancel_algos, reads=False),
        }  # fmt: skip

    # -- regular orders ----------------------------------------------------------------------------

    def _place(self, params: Params) -> Json:
        cut, self.cut_next = self.cut_next, False
        return order_json(self._orders.place(self._market.rules(params), params, cut=cut))

    def _modify(self, params: Params) -> Json:
        rules, order = self._market.rules(params), self._found(params)
        self._orders.modify(order, rules, params)
        return order_json(order)

    def _found(self, params: Params) -> VenueOrder:
        self._market.rules(params)
        return self._orders.find(params)

    def _cancel(self, params: Params) -> Json:
        self._market.rules(params)
        try:
            order = self._orders.find(params)
        except Refusal as refusal:
            if refusal.code == -2013:
                raise Refusal(-2011, "Unknown order sent.") from None
            raise
        self._orders.cancel(order)
        return order_json(order)

    def _open_order(self, params: Params) -> Json:
        order = self._found(params)
        if not order.live:
            raise Refusal(-2013, "Order does not exist.")
        return order_json(order)

    def _symbol(self, params: Params) -> str | None:
        return self._market.rules(params).symbol if params.has("symbol") else None

    def _open_orders(self, params: Params) -> Json:
        return [order_json(order) for order in self._orders.working(self._symbol(params), self._orders.orders)]

    def _all_orders(self, params: Params) -> Json:
        return [order_json(order) for order in self._asked_for(params, self._orders.orders, "orderId")]

    def _asked_for(self, params: Params, among: Shelf, number: str) -> list[VenueOrder]:
        symbol, first = self._market.rules(params).symbol, params.whole(number, 0)
        if params.has(number):
            found = [order for order in among.all if order.symbol == symbol and order.number >= first]
        else:
            start_ns, end_ns = self._account.span(params)
            found = [
                order for order in among.all if order.symbol == symbol and start_ns <= order.created_ns < end_ns
            ]  # fmt: skip
        return found[-max(1, min(params.whole("limit", 500), 1000)) :]

    def _cancel_all(self, params: Params) -> Json:
        for order in self._orders.working(self._market.rules(params).symbol, self._orders.orders):
            self._orders.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _batch(self, params: Params, act: Callable[[Params], Json]) -> Json:
        try:
            rows = json.loads(params.text("batchOrders"))
        except ValueError:
            raise Refusal(-1130, "Invalid data sent for a parameter 'batchOrders'.") from None
        if not isinstance(rows, list) or len(rows) > _BATCH:
            raise Refusal(-4082, "Invalid number of batch place orders.")
        return [self._one(act, Params({name: _text(value) for name, value in row.items()})) for row in rows]

    def _cancel_some(self, params: Params) -> Json:
        symbol = self._market.rules(params).symbol
        numbers = json.loads(params.values.get("orderidlist", "[]"))
        clients = json.loads(params.values.get("origclientorderidlist", "[]"))
        rows = [{"orderId": str(each)} for each in numbers] + [{"origClientOrderId": each} for each in clients]
        return [self._one(self._cancel, Params({"symbol": symbol, **row})) for row in rows]

    @staticmethod
    def _one(act: Callable[[Params], Json], params: Params) -> Json:
        try:
            return act(params)
        except Refusal as refusal:
            return {"code": refusal.code, "msg": refusal.sentence}

    # -- conditional orders ------------------------------------------------------------------------

    def _place_algo(self, params: Params) -> Json:
        return algo_json(self._orders.place_algo(self._market.rules(params), params))

    def _cancel_algo(self, params: Params) -> Json:
        try:
            order = self._orders.find(params, algo=True)
        except Refusal as refusal:
            if refusal.code == -2013:
                raise Refusal(-2011, "Unknown order sent.") from None
            raise
        self._orders.cancel(order)
        return {"algoId": order.number, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}

    def _open_algos(self, params: Params) -> Json:
        return [algo_json(order) for order in self._orders.working(self._symbol(params), self._orders.algos)]

    def _all_algos(self, params: Params) -> Json:
        return [algo_json(order) for order in self._asked_for(params, self._orders.algos, "algoId")]

    def _cancel_algos(self, params: Params) -> Json:
        for order in self._orders.working(self._market.rules(params).symbol, self._orders.algos):
            self._orders.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _text(value: object) -> str:
    """A parameter out of a batch as it stands in a query."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
