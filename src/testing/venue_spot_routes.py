"""Which request of the spot dialect is answered by what, and what it weighs. Under the venue's lock."""

from src.testing.venue_routes import Route, VenueRoutes
from src.testing.venue_spot_account import SpotAccount
from src.testing.venue_spot_market import SpotMarket
from src.testing.venue_spot_order import OrderList, SpotOrder, list_json, placed_json, spot_json
from src.testing.venue_spot_orders import SpotOrders
from src.testing.venue_wire import Json, Params, Refusal

__all__ = ["SpotRoutes"]


class SpotRoutes(VenueRoutes):
    """See `VenueRoutes`."""

    duplicate = -2010, "Duplicate order sent."

    def __init__(self, market: SpotMarket, orders: SpotOrders, account: SpotAccount) -> None:
        self._spot_market, self._spot, self._coins = market, orders, account
        self.cut_next = False
        self._cancelled = 0
        self._routes = self._spot_public() | self._spot_private()

    def find(self, endpoint: str, version: str) -> Route | None:
        """See `VenueRoutes.find`."""
        return self._routes.get(endpoint)

    def _spot_public(self) -> dict[str, Route]:
        market = self._spot_market
        return {
            "GET ping": Route(answer=market.ping, signed=False),
            "GET time": Route(answer=market.time, signed=False),
            "GET exchangeInfo": Route(answer=market.exchange_info, weight=20, signed=False),
            "GET klines": Route(answer=market.klines, weight=2, signed=False),
            "GET ticker/bookTicker": Route(answer=market.book_ticker, weight=2, weight_all=4, signed=False),
            "GET ticker/24hr": Route(answer=market.day, weight=2, weight_all=80, signed=False),
            "GET ticker/price": Route(answer=market.price, weight=2, weight_all=4, signed=False),
            "GET depth": Route(answer=market.depth, weight=5, signed=False),
        }

    def _spot_private(self) -> dict[str, Route]:
        return {
            "GET account": Route(answer=self._coins.account, weight=20),
            "GET myTrades": Route(answer=self._coins.my_trades, weight=20),
            "POST order": Route(answer=self._place_one, orders=1, reads=False),
            "DELETE order": Route(answer=self._cancel_one, reads=False),
            "GET order": Route(answer=lambda params: spot_json(self._found_one(params)), weight=4),
            "GET openOrders": Route(answer=self._working, weight=6, weight_all=80),
            "GET allOrders": Route(answer=lambda params: [spot_json(each) for each in self._coins.orders(params)],
                                   weight=20),
            "DELETE openOrders": Route(answer=self._cancel_every, reads=False),
            "POST orderList/oco": Route(answer=self._place_list, orders=2, reads=False),
            "DELETE orderList": Route(answer=self._cancel_list, reads=False),
            "GET orderList": Route(answer=lambda params: list_json(self._spot.find_list(params)), weight=4),
            "GET openOrderList": Route(answer=self._open_lists, weight=6),
        }  # fmt: skip

    def _place_one(self, params: Params) -> Json:
        cut, self.cut_next = self.cut_next, False
        return placed_json(self._spot.place(self._spot_market.rules(params), params, cut=cut))

    def _place_list(self, params: Params) -> Json:
        placed = self._spot.place_oco(self._spot_market.rules(params), params)
        return list_json(placed, [placed_json(each) for each in placed.orders])

    def _found_one(self, params: Params) -> SpotOrder:
        self._spot_market.rules(params)
        order = self._spot.find(params)
        if not isinstance(order, SpotOrder):
            raise Refusal(-2013, "Order does not exist.")
        return order

    def _cancel_one(self, params: Params) -> Json:
        """DELETE order: one that belongs to a list takes the list with it."""
        try:
            order = self._found_one(params)
        except Refusal as refusal:
            if refusal.code == -2013:
                raise Refusal(-2011, "Unknown order sent.") from None
            raise
        if order.in_list is not None:
            return self._end_list(order.in_list)
        self._spot.cancel(order)
        return placed_json(order, cancelled_as=self._next_id())

    def _cancel_list(self, params: Params) -> Json:
        self._spot_market.rules(params)
        try:
            found = self._spot.find_list(params)
        except Refusal:
            raise Refusal(-2011, "Unknown order sent.") from None
        return self._end_list(found)

    def _end_list(self, found: OrderList) -> Json:
        self._spot.cancel_list(found)
        return list_json(found, [placed_json(each, cancelled_as=self._next_id()) for each in found.orders])

    def _cancel_every(self, params: Params) -> Json:
        working = self._spot.spot_working(self._spot_market.rules(params).symbol)
        if not working:
            raise Refusal(-2011, "Unknown order sent.")
        for order in working:
            if order.live:
                self._spot.cancel(order)
        return [placed_json(each, cancelled_as=self._next_id()) for each in working]

    def _working(self, params: Params) -> Json:
        symbol = self._spot_market.rules(params).symbol if params.has("symbol") else None
        return [spot_json(each) for each in self._spot.spot_working(symbol)]

    def _open_lists(self, params: Params) -> Json:
        return [list_json(each) for each in self._spot.lists if each.live]

    def _next_id(self) -> str:
        self._cancelled += 1
        return f"cancel{self._cancelled}"
