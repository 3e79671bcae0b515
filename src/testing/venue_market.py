"""Market data of the local venue in its dialect: rules of the symbols, klines, quotes. Under the venue's lock."""

import math

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.instrument import QUOTE_CURRENCIES, Instrument
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from src.testing.venue_wire import MILLISECOND_NS, Json, Params, Refusal, decimals, milliseconds, number_text
from src.testing.venue_world import VenueWorld

__all__ = ["VenueMarket", "assets_of"]

INTERVALS_NS = {
    "1s": SECOND_NS, "1m": MINUTE_NS, "3m": 3 * MINUTE_NS, "5m": 5 * MINUTE_NS, "15m": 15 * MINUTE_NS,
    "30m": 30 * MINUTE_NS, "1h": HOUR_NS, "2h": 2 * HOUR_NS, "4h": 4 * HOUR_NS, "6h": 6 * HOUR_NS, "8h": 8 * HOUR_NS,
    "12h": 12 * HOUR_NS, "1d": DAY_NS, "3d": 3 * DAY_NS, "1w": 7 * DAY_NS,
}  # fmt: skip

#: What an order may be at most where the instrument says nothing, and a price.
_MOST = 1e9
#: The order types that the venue takes.
ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]


def assets_of(rules: Instrument) -> tuple[str, str]:
    """The currencies of a symbol: what is bought and what it is paid with."""
    quote = rules.quote_currency
    if rules.base_currency:
        return rules.base_currency, quote
    for each in (quote, *QUOTE_CURRENCIES):
        if rules.symbol.endswith(each) and len(rules.symbol) > len(each):
            return rules.symbol[: -len(each)], quote
    return rules.symbol, quote


class VenueMarket:
    """See the module's text.

    Args:
        limits: what `exchangeInfo` says of the rate limits.
    """

    def __init__(self, world: VenueWorld, limits: list[Json]) -> None:
        self._world = world
        self._limits = limits
        self._late_ns: dict[str, int] = {}

    def delay_bars(self, symbol: str, late_ns: int) -> None:
        """Show the bars of a symbol so much later than they close, from now on; 0 for at once."""
        self._late_ns[symbol] = late_ns

    def rules(self, params: Params) -> Instrument:
        """The rules of the symbol that is asked for."""
        symbol = params.text("symbol")
        rules = self._world.instruments.get(symbol)
        if rules is None:
            raise Refusal(-1121, "Invalid symbol.")
        return rules

    def ping(self, params: Params) -> Json:
        """GET ping."""
        return {}

    def time(self, params: Params) -> Json:
        """GET time."""
        return {"serverTime": milliseconds(self._world.now_ns)}

    def exchange_info(self, params: Params) -> Json:
        """GET exchangeInfo."""
        rules = self._world.instruments.values()
        currency = self._world.account.currency
        assets = sorted({currency, *(each.quote_currency for each in rules)})
        return {
            "timezone": "UTC",
            "serverTime": milliseconds(self._world.now_ns),
            "futuresType": "U_MARGINED",
            "rateLimits": self._limits,
            "exchangeFilters": [],
            "assets": [{"asset": each, "marginAvailable": True, "autoAssetExchange": "-10000"} for each in assets],
            "symbols": [self._symbol(each) for each in rules],
        }

    def _symbol(self, rules: Instrument) -> Json:
        base, quote = assets_of(rules)
        most = number_text(rules.max_volume if math.isfinite(rules.max_volume) else _MOST)
        step = rules.volume_step or 1e-8
        tick = rules.tick or 1e-8
        lot = {"stepSize": number_text(step), "minQty": number_text(rules.min_volume or step), "maxQty": most}
        return {
            "symbol": rules.symbol, "pair": rules.symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": base, "quoteAsset": quote,
            "marginAsset": quote, "pricePrecision": decimals(tick), "quantityPrecision": decimals(step),
            "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [],
            "triggerProtect": "0.0500", "liquidationFee": "0.012500", "marketTakeBound": "0.05",
            "maxMoveOrderLimit": 10000, "orderTypes": ORDER_TYPES, "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "permissionSets": ["GRID", "COPY"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": number_text(tick), "maxPrice": number_text(_MOST),
                 "tickSize": number_text(tick)},
                {"filterType": "LOT_SIZE", **lot},
                {"filterType": "MARKET_LOT_SIZE", **lot},
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 200},
                {"filterType": "MIN_NOTIONAL", "notional": number_text(rules.min_notional)},
                {"filterType": "PERCENT_PRICE", "multiplierUp": "1000", "multiplierDown": "0.0001",
                 "multiplierDecimal": "4"},
            ],
        }  # fmt: skip

    # -- klines ------------------------------------------------------------------------------------

    def klines(self, params: Params) -> Json:
        """GET klines: what has closed, and the bar that is under way, whose close time lies in the future."""
        rules = self.rules(params)
        length_ns = INTERVALS_NS.get(params.text("interval"))
        if length_ns is None:
            raise Refusal(-1120, "Invalid interval.")
        try:
            series = self._world.series(rules.symbol, length_ns)
        except ConfigError:
            raise Refusal(-1120, "Invalid interval.") from None
        now_ns = self._world.now_ns - self._late_ns.get(rules.symbol, 0)
        closed = series.count_closed(now_ns)
        limit = max(1, min(params.whole("limit", 500), 1500))
        opens = series.open_ns[:closed]
        first, last = 0, closed
        if params.has("startTime"):
            first = int(np.searchsorted(opens, params.whole("startTime") * MILLISECOND_NS, side="left"))
        until_ms = params.whole("endTime", milliseconds(now_ns))
        last = min(last, int(np.searchsorted(opens, until_ms * MILLISECOND_NS, side="right")))
        if not params.has("startTime"):
            first = max(0, last - limit)
        rows = [_row(series, i) for i in range(first, min(last, first + limit))]
        under_way = self._under_way(rules.symbol, length_ns, now_ns) if last == closed else None
        if under_way is not None and under_way[6] < milliseconds(self._world.now_ns):
            under_way = None  # it has ended by now, and is shown when it is complete
        if under_way is not None and params.whole("startTime", 0) <= under_way[0] <= until_ms:
            rows.append(under_way)
        return rows[:limit] if params.has("startTime") else rows[-limit:]

    def _under_way(self, symbol: str, length_ns: int, now_ns: int) -> Json | None:
        """The bar that has begun: made of the base bars that have closed in it and of the one that has just opened."""
        base = self._world.broker.base_series(symbol)
        begin_ns = now_ns - _since_begin(now_ns, length_ns)
        first = int(np.searchsorted(base.open_ns[: base.loaded], begin_ns, side="left"))
        closed = base.count_closed(now_ns)
        highs = base.high[first:closed].tolist()
        lows = base.low[first:closed].tolist()
        closes = base.close[first:closed].tolist()
        opens = base.open[first:closed].tolist()
        volume = float(base.volume[first:closed].sum())
        if closed < base.loaded and base.open_ns_at[closed] <= now_ns:
            opening = base.open_at[closed]
            for prices in (opens, highs, lows, closes):
                prices.append(opening)
        if not opens:
            return None
        return _kline(begin_ns, length_ns, (opens[0], max(highs), min(lows), closes[-1]), volume)

    # -- quotes ------------------------------------------------------------------------------------

    def book_ticker(self, params: Params) -> Json:
        """GET ticker/bookTicker: of one symbol, or of all at once."""
        if params.has("symbol"):
            return self._quote(self.rules(params).symbol)
        quotes = [self._quote(symbol) for symbol in self._world.instruments]
        return [quote for quote in quotes if quote is not None]

    def _quote(self, symbol: str) -> Json | None:
        found = self._sides(symbol)
        if found is None:
            return None
        instant_ns, bid, ask = found
        time = milliseconds(instant_ns)
        return {
            "symbol": symbol, "bidPrice": number_text(bid), "bidQty": "1000", "askPrice": number_text(ask),
            "askQty": "1000", "time": time, "lastUpdateId": time,
        }  # fmt: skip

    def _sides(self, symbol: str) -> tuple[int, float, float] | None:
        """Since when the quote stands, bid and ask: of a bar that is under way the open, which a market order pays."""
        broker = self._world.broker
        base = broker.base_series(symbol)
        following = base.length
        if broker.prices is None and following < base.loaded and base.open_ns_at[following] <= self._world.now_ns:
            return base.open_ns_at[following], *broker.sides_of(symbol, base.open_at[following])
        quote = broker.quote(symbol)
        return None if quote is None else (quote.instant_ns, quote.bid, quote.ask)

    def depth(self, params: Params) -> Json:
        """GET depth: the quote alone, one level on either side."""
        quote = self._quote(self.rules(params).symbol)
        bids = [] if quote is None else [[quote["bidPrice"], quote["bidQty"]]]
        asks = [] if quote is None else [[quote["askPrice"], quote["askQty"]]]
        time = milliseconds(self._world.now_ns)
        return {"lastUpdateId": time, "E": time, "T": time, "bids": bids, "asks": asks}

    def day(self, params: Params) -> Json:
        """GET ticker/24hr: of the base bars that have closed in the last 24 hours."""
        if params.has("symbol"):
            return self._day(self.rules(params).symbol)
        return [self._day(symbol) for symbol in self._world.instruments]

    def _day(self, symbol: str) -> Json:
        base, now_ns = self._world.broker.base_series(symbol), self._world.now_ns
        last = base.count_closed(now_ns)
        first = int(np.searchsorted(base.open_ns[:last], now_ns - DAY_NS, side="left"))
        opening, close = (base.open_at[first], base.close_at[last - 1]) if first < last else (0.0, 0.0)
        volume = float(base.volume[first:last].sum())
        worth = float((base.volume[first:last] * base.close[first:last]).sum())
        return {
            "symbol": symbol, "priceChange": number_text(close - opening),
            "priceChangePercent": number_text(100 * (close - opening) / opening if opening else 0.0),
            "weightedAvgPrice": number_text(worth / volume if volume else 0.0), "lastPrice": number_text(close),
            "lastQty": "1", "openPrice": number_text(opening),
            "highPrice": number_text(float(base.high[first:last].max(initial=0.0))),
            "lowPrice": number_text(float(base.low[first:last].min(initial=math.inf))),
            "volume": number_text(volume), "quoteVolume": number_text(worth),
            "openTime": milliseconds(now_ns - DAY_NS), "closeTime": milliseconds(now_ns), "firstId": 1,
            "lastId": last, "count": last - first,
        }  # fmt: skip

    def price(self, params: Params) -> Json:
        """GET ticker/price."""
        if params.has("symbol"):
            return self._price(self.rules(params).symbol)
        return [self._price(symbol) for symbol in self._world.instruments]

    def _price(self, symbol: str) -> Json:
        return {"symbol": symbol, "price": number_text(self.mark(symbol)), "time": milliseconds(self._world.now_ns)}

    def premium_index(self, params: Params) -> Json:
        """GET premiumIndex: the mark is the middle of the quote."""
        if params.has("symbol"):
            return self._premium(self.rules(params).symbol)
        return [self._premium(symbol) for symbol in self._world.instruments]

    def _premium(self, symbol: str) -> Json:
        now_ns, mark = self._world.now_ns, number_text(self.mark(symbol))
        return {
            "symbol": symbol, "markPrice": mark, "indexPrice": mark, "estimatedSettlePrice": mark,
            "lastFundingRate": "0.00000000", "interestRate": "0.00000000",
            "nextFundingTime": milliseconds(now_ns - now_ns % (8 * HOUR_NS) + 8 * HOUR_NS),
            "time": milliseconds(now_ns),
        }  # fmt: skip

    def mark(self, symbol: str) -> float:
        """The middle of the quote; 0 before the first price."""
        found = self._sides(symbol)
        return 0.0 if found is None else (found[1] + found[2]) / 2


def _since_begin(now_ns: int, length_ns: int) -> int:
    """How long ago the bar of that length began; weeks begin on Mondays."""
    anchor_ns = 4 * DAY_NS if length_ns == 7 * DAY_NS else 0
    return (now_ns - anchor_ns) % length_ns


def _row(series: BarSeries, i: int) -> Json:
    prices = series.open_at[i], series.high_at[i], series.low_at[i], series.close_at[i]
    return _kline(series.open_ns_at[i], series.close_of(i) - series.open_ns_at[i], prices, series.volume_at[i])


def _kline(open_ns: int, length_ns: int, prices: tuple[float, float, float, float], volume: float) -> Json:
    opening, high, low, close = map(number_text, prices)
    return [
        milliseconds(open_ns), opening, high, low, close, number_text(volume), milliseconds(open_ns + length_ns) - 1,
        number_text(volume * prices[3]), 1, number_text(volume / 2), number_text(volume * prices[3] / 2), "0",
    ]  # fmt: skip
