"""Market data of the spot market of the local venue in its dialect. Under the venue's lock."""

import json
import math

from src.core.instrument import Instrument
from src.testing.venue_market import VenueMarket, assets_of
from src.testing.venue_wire import Json, Params, Refusal, milliseconds, number_text

__all__ = ["SpotMarket"]

_MOST = 1e9
#: The order types that the venue takes.
ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"]


class SpotMarket(VenueMarket):
    """See `VenueMarket`: bars and quotes are the same, rules are told otherwise."""

    def exchange_info(self, params: Params) -> Json:
        """GET exchangeInfo."""
        return {
            "timezone": "UTC", "serverTime": milliseconds(self._world.now_ns), "rateLimits": self._limits,
            "exchangeFilters": [], "symbols": [self._symbol(each) for each in self._world.instruments.values()],
        }  # fmt: skip

    def _symbol(self, rules: Instrument) -> Json:
        base, quote = assets_of(rules)
        step, tick = rules.volume_step or 1e-8, rules.tick or 1e-8
        most = number_text(rules.max_volume if math.isfinite(rules.max_volume) else _MOST)
        lot = {"minQty": number_text(rules.min_volume or step), "maxQty": most, "stepSize": number_text(step)}
        return {
            "symbol": rules.symbol, "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8,
            "quoteAsset": quote, "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8, "orderTypes": ORDER_TYPES, "icebergAllowed": False, "ocoAllowed": True,
            "otoAllowed": False, "quoteOrderQtyMarketAllowed": False, "allowTrailingStop": False,
            "cancelReplaceAllowed": False, "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": number_text(tick), "maxPrice": number_text(_MOST),
                 "tickSize": number_text(tick)},
                {"filterType": "LOT_SIZE", **lot},
                {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": most, "stepSize": "0.00000000"},
                {"filterType": "NOTIONAL", "minNotional": number_text(rules.min_notional), "applyMinToMarket": True,
                 "maxNotional": number_text(_MOST), "applyMaxToMarket": False, "avgPriceMins": 5},
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
            ],
            "permissions": [], "permissionSets": [["SPOT"]], "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
        }  # fmt: skip

    def book_ticker(self, params: Params) -> Json:
        """GET ticker/bookTicker: of one symbol, of some, or of all at once; without a time."""
        symbols = list(self._world.instruments)
        if params.has("symbols"):
            try:
                symbols = [str(each) for each in json.loads(params.text("symbols"))]
            except ValueError:
                raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.") from None
            if not set(symbols) <= set(self._world.instruments):
                raise Refusal(-1121, "Invalid symbol.")
        elif params.has("symbol"):
            return self._without_time(self.rules(params).symbol)
        return [each for each in map(self._without_time, symbols) if each is not None]

    def _without_time(self, symbol: str) -> Json | None:
        quote = self._quote(symbol)
        return None if quote is None else {name: quote[name] for name in quote if name not in ("time", "lastUpdateId")}
