"""The account of the spot market of the local venue in its dialect: coins and executions. Under the venue's lock."""

from src.core.timeframe import DAY_NS
from src.testing.venue_market import VenueMarket, assets_of
from src.testing.venue_spot_order import SpotOrder, spot_trade_json
from src.testing.venue_spot_orders import SpotOrders
from src.testing.venue_wire import MILLISECOND_NS, Json, Params, Refusal, milliseconds, number_text
from src.testing.venue_world import VenueWorld

__all__ = ["SpotAccount"]


class SpotAccount:
    """See the module's text."""

    def __init__(self, world: VenueWorld, market: VenueMarket, orders: SpotOrders) -> None:
        self._world = world
        self._market = market
        self._orders = orders

    def account(self, params: Params) -> Json:
        """GET account: what is free and what resting orders tie up, of each coin."""
        locked = self._orders.locked()
        names = dict.fromkeys(each for rules in self._world.instruments.values() for each in assets_of(rules))
        names |= dict.fromkeys(self._orders.totals)
        return {
            "makerCommission": 10, "takerCommission": 10, "buyerCommission": 0, "sellerCommission": 0,
            "canTrade": True, "canWithdraw": False, "canDeposit": True, "brokered": False,
            "requireSelfTradePrevention": False, "preventSor": False, "updateTime": milliseconds(self._world.now_ns),
            "accountType": "SPOT", "permissions": ["SPOT"], "uid": 1,
            "balances": [
                {"asset": name, "free": number_text(self._orders.free(name)),
                 "locked": number_text(locked.get(name, 0.0))}
                for name in names
            ],
        }  # fmt: skip

    def my_trades(self, params: Params) -> Json:
        """GET myTrades: of one symbol, oldest first; the last ones unless a start is named."""
        symbol = self._market.rules(params).symbol
        trades = [each for each in self._orders.trades if each.symbol == symbol]
        begins = params.has("fromId") or params.has("startTime")
        if params.has("fromId") and (params.has("startTime") or params.has("endTime")):
            raise Refusal(-1128, "Combination of optional parameters invalid.")
        if params.has("orderId"):
            trades = [each for each in trades if each.order == params.whole("orderId")]
        if params.has("fromId"):
            trades = [each for each in trades if each.number >= params.whole("fromId")]
        else:
            start_ns, end_ns = self.span(params)
            trades = [each for each in trades if start_ns <= each.filled_ns < end_ns]
        limit = max(1, min(params.whole("limit", 500), 1000))
        chosen = trades[:limit] if begins else trades[-limit:]
        return [spot_trade_json(each, self._orders.told_by(each)) for each in chosen]

    def orders(self, params: Params) -> list[SpotOrder]:
        """The orders of GET allOrders."""
        start_ns, end_ns = self.span(params)
        found = [
            each for each in self._orders.spot_all(self._market.rules(params).symbol)
            if start_ns <= each.created_ns < end_ns
        ]  # fmt: skip
        limit = max(1, min(params.whole("limit", 500), 1000))
        return found[:limit] if params.has("startTime") else found[-limit:]

    def span(self, params: Params) -> tuple[int, int]:
        """From when until when; with a start a day at most."""
        end_ns = self._world.now_ns + MILLISECOND_NS
        if params.has("endTime"):
            end_ns = (params.whole("endTime") + 1) * MILLISECOND_NS
        if not params.has("startTime"):
            return 0, end_ns
        start_ns = params.whole("startTime") * MILLISECOND_NS
        if params.has("endTime") and end_ns - start_ns > DAY_NS + MILLISECOND_NS:
            raise Refusal(-1127, "More than 24 hours between startTime and endTime.")
        return start_ns, min(end_ns, start_ns + DAY_NS)
