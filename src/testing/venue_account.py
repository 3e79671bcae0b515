"""The account of the local venue in its dialect: positions, balances, executions, settings. Under the venue's lock."""

from src.core.records import Position
from src.core.timeframe import DAY_NS
from src.testing.venue_market import VenueMarket, assets_of
from src.testing.venue_order import trade_json
from src.testing.venue_orders import VenueOrders
from src.testing.venue_wire import MILLISECOND_NS, Json, Params, Refusal, milliseconds, number_text
from src.testing.venue_world import VenueWorld

__all__ = ["VenueAccount"]

#: The share of the initial margin that a position has to keep.
_MAINTENANCE = 0.5
_SEVEN_DAYS_NS = 7 * DAY_NS


class VenueAccount:
    """See the module's text."""

    def __init__(self, world: VenueWorld, market: VenueMarket, orders: VenueOrders) -> None:
        self._world = world
        self._market = market
        self._orders = orders

    # -- positions ---------------------------------------------------------------------------------

    def position_risk(self, params: Params) -> Json:
        """GET positionRisk, version 3: the symbols with a position or a working order."""
        only = self._market.rules(params).symbol if params.has("symbol") else None
        return [self._risk(symbol) for symbol in self._busy() if only in (None, symbol)]

    def position_risk_v2(self, params: Params) -> Json:
        """GET positionRisk, version 2: all symbols, with leverage and margin type."""
        only = self._market.rules(params).symbol if params.has("symbol") else None
        more = {
            "leverage": number_text(self._world.account.leverage), "maxNotionalValue": "1000000000",
            "marginType": "cross", "isAutoAddMargin": "false", "isolated": False,
        }  # fmt: skip
        return [self._risk(symbol) | more for symbol in self._world.instruments if only in (None, symbol)]

    def _busy(self) -> list[str]:
        shelves = self._orders.orders, self._orders.algos
        working = {order.symbol for shelf in shelves for order in shelf.working()}
        return [each for each in self._world.instruments if each in working or self._world.broker.positions(each)]

    def _risk(self, symbol: str) -> dict[str, Json]:
        held = self._position(symbol)
        mark = self._market.mark(symbol)
        volume = held.volume if held is not None else 0.0
        entry = held.entry_price if held is not None else 0.0
        notional = volume * mark
        initial = abs(notional) / self._world.account.leverage
        return {
            "symbol": symbol, "positionSide": "BOTH", "positionAmt": number_text(volume),
            "entryPrice": number_text(entry), "breakEvenPrice": number_text(entry), "markPrice": number_text(mark),
            "unRealizedProfit": number_text(self._open_profit(held)), "liquidationPrice": "0", "isolatedMargin": "0",
            "notional": number_text(notional), "marginAsset": assets_of(self._world.instruments[symbol])[1],
            "isolatedWallet": "0", "initialMargin": number_text(initial),
            "maintMargin": number_text(initial * _MAINTENANCE), "positionInitialMargin": number_text(initial),
            "openOrderInitialMargin": "0", "adl": 0, "bidNotional": "0", "askNotional": "0",
            "updateTime": 0 if held is None else milliseconds(self._touched_ns(symbol, held)),
        }  # fmt: skip

    def _position(self, symbol: str) -> Position | None:
        held = self._world.broker.positions(symbol)
        return held[0] if held else None

    def _touched_ns(self, symbol: str, held: Position) -> int:
        """When the position last changed."""
        trades = self._orders.trades
        return next((each.filled_ns for each in reversed(trades) if each.symbol == symbol), held.opened_ns)

    def _open_profit(self, held: Position | None) -> float:
        """At the price that would close it, as the balance counts it."""
        quote = None if held is None else self._world.broker.quote(held.symbol)
        if held is None or quote is None:
            return 0.0
        price = quote.bid if held.volume > 0 else quote.ask
        return held.volume * (price - held.entry_price) * held.rate

    # -- money -------------------------------------------------------------------------------------

    def account(self, params: Params) -> Json:
        """GET account, versions 2 and 3."""
        told = self._world.broker.snapshot().account
        profit = told.equity - told.balance
        available = max(0.0, told.margin_free)
        maintenance = told.margin_used * _MAINTENANCE
        asset = {
            "asset": told.currency, "walletBalance": number_text(told.balance),
            "unrealizedProfit": number_text(profit), "marginBalance": number_text(told.equity),
            "maintMargin": number_text(maintenance), "initialMargin": number_text(told.margin_used),
            "positionInitialMargin": number_text(told.margin_used), "openOrderInitialMargin": "0",
            "crossWalletBalance": number_text(told.balance), "crossUnPnl": number_text(profit),
            "availableBalance": number_text(available), "maxWithdrawAmount": number_text(available),
            "marginAvailable": True, "updateTime": milliseconds(self._world.now_ns),
        }  # fmt: skip
        return {
            "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": False, "updateTime": 0,
            "multiAssetsMargin": False, "totalInitialMargin": asset["initialMargin"],
            "totalMaintMargin": asset["maintMargin"], "totalWalletBalance": asset["walletBalance"],
            "totalUnrealizedProfit": asset["unrealizedProfit"], "totalMarginBalance": asset["marginBalance"],
            "totalPositionInitialMargin": asset["initialMargin"], "totalOpenOrderInitialMargin": "0",
            "totalCrossWalletBalance": asset["walletBalance"], "totalCrossUnPnl": asset["unrealizedProfit"],
            "availableBalance": asset["availableBalance"], "maxWithdrawAmount": asset["availableBalance"],
            "assets": [asset], "positions": [self._account_position(symbol) for symbol in self._busy()],
        }  # fmt: skip

    def _account_position(self, symbol: str) -> Json:
        risk = self._risk(symbol)
        names = ("symbol", "positionSide", "positionAmt", "notional", "isolatedMargin", "isolatedWallet",
                 "initialMargin", "maintMargin", "updateTime", "entryPrice", "positionInitialMargin",
                 "openOrderInitialMargin", "breakEvenPrice")  # fmt: skip
        return {name: risk[name] for name in names} | {
            "unrealizedProfit": risk["unRealizedProfit"], "isolated": False,
            "leverage": number_text(self._world.account.leverage),
        }  # fmt: skip

    def balance(self, params: Params) -> Json:
        """GET balance, versions 2 and 3."""
        asset = self.account(params)["assets"][0]
        names = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount",
                 "marginAvailable", "updateTime")  # fmt: skip
        return [{name: asset[name] for name in names} | {"balance": asset["walletBalance"], "accountAlias": "venue"}]

    def currencies(self, params: Params) -> Json:
        """GET capital/config/getall: the account's currency alone."""
        coin = self._world.account.currency
        return [{"coin": coin, "name": coin, "trading": True, "isLegalMoney": False, "networkList": []}]

    # -- what happened -----------------------------------------------------------------------------

    def user_trades(self, params: Params) -> Json:
        """GET userTrades: of one symbol, oldest first; the last ones unless a start is named."""
        symbol = self._market.rules(params).symbol
        trades = [trade for trade in self._orders.trades if trade.symbol == symbol]
        begins = params.has("fromId") or params.has("startTime")
        if params.has("fromId") and (params.has("startTime") or params.has("endTime")):
            raise Refusal(-1128, "Combination of optional parameters invalid.")
        if params.has("orderId"):
            number = params.whole("orderId")
            trades = [trade for trade in trades if trade.order == number]
        if params.has("fromId"):
            first = params.whole("fromId")
            trades = [trade for trade in trades if trade.number >= first]
        start_ns, end_ns = self.span(params)
        trades = [trade for trade in trades if start_ns <= trade.filled_ns < end_ns]
        limit = max(1, min(params.whole("limit", 500), 1000))
        return [trade_json(trade) for trade in (trades[:limit] if begins else trades[-limit:])]

    def span(self, params: Params) -> tuple[int, int]:
        """From when until when; seven days at most, the last ones unless something else is named."""
        now_ns = self._world.now_ns
        if params.has("fromId"):
            return 0, now_ns + 1
        start_ns = params.whole("startTime", 0) * MILLISECOND_NS
        end_ns = (params.whole("endTime") + 1) * MILLISECOND_NS if params.has("endTime") else now_ns + MILLISECOND_NS
        if params.has("startTime") and params.has("endTime") and end_ns - start_ns > _SEVEN_DAYS_NS + MILLISECOND_NS:
            raise Refusal(-4166, "Search window is restricted to recent 7 days only.")
        if not params.has("startTime"):
            start_ns = end_ns - _SEVEN_DAYS_NS
        elif not params.has("endTime"):
            end_ns = min(end_ns, start_ns + _SEVEN_DAYS_NS)
        return start_ns, end_ns

    def income(self, params: Params) -> Json:
        """GET income: what was realized, the commissions, and what funding paid or took."""
        coin = self._world.account.currency
        rows: list[tuple[int, str, str, float, str]] = []
        for trade in self._orders.trades:
            rows.append((trade.filled_ns, "REALIZED_PNL", trade.symbol, trade.realized, str(trade.number)))
            rows.append((trade.filled_ns, "COMMISSION", trade.symbol, -trade.commission, str(trade.number)))
        for paid in self._world.broker.payments():
            kind = "FUNDING_FEE" if paid.kind == "funding" else "INSURANCE_CLEAR"
            rows.append((paid.instant_ns, kind, paid.symbol, paid.amount, ""))
        wanted, symbol = params.values.get("incomeType", ""), params.values.get("symbol", "")
        start_ns, end_ns = self.span(params)
        rows = [
            row for row in sorted(rows)
            if row[3] and wanted in ("", row[1]) and symbol in ("", row[2]) and start_ns <= row[0] < end_ns
        ]  # fmt: skip
        return [
            {"symbol": row[2], "incomeType": row[1], "income": number_text(row[3]), "asset": coin, "info": row[1],
             "time": milliseconds(row[0]), "tranId": i + 1, "tradeId": row[4]}
            for i, row in enumerate(rows[-max(1, min(params.whole("limit", 100), 1000)) :])
        ]  # fmt: skip

    # -- settings ----------------------------------------------------------------------------------

    def leverage_bracket(self, params: Params) -> Json:
        """GET leverageBracket: one for each symbol, the account's leverage."""
        leverage = _whole(self._world.account.leverage)
        symbols = [self._market.rules(params).symbol] if params.has("symbol") else list(self._world.instruments)
        bracket = {
            "bracket": 1, "initialLeverage": leverage, "notionalCap": 1e12, "notionalFloor": 0,
            "maintMarginRatio": _MAINTENANCE / leverage, "cum": 0.0,
        }  # fmt: skip
        return [{"symbol": symbol, "brackets": [bracket]} for symbol in symbols]

    def symbol_config(self, params: Params) -> Json:
        """GET symbolConfig: crossed margin and the account's leverage, for each symbol."""
        symbols = [self._market.rules(params).symbol] if params.has("symbol") else list(self._world.instruments)
        leverage = _whole(self._world.account.leverage)
        return [
            {"symbol": symbol, "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": leverage,
             "maxNotionalValue": "1000000000"}
            for symbol in symbols
        ]  # fmt: skip

    def account_config(self, params: Params) -> Json:
        """GET accountConfig."""
        return {
            "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": False, "dualSidePosition": False,
            "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1,
        }  # fmt: skip

    def set_leverage(self, params: Params) -> Json:
        """POST leverage: the account has one, which cannot be changed."""
        symbol, leverage = self._market.rules(params).symbol, params.whole("leverage")
        if leverage != self._world.account.leverage:
            raise Refusal(-4028, f"Leverage {leverage} is not valid")
        return {"leverage": leverage, "maxNotionalValue": "1000000000", "symbol": symbol}

    def set_margin_type(self, params: Params) -> Json:
        """POST marginType: crossed it is, and it stays so."""
        self._market.rules(params)
        if params.text("marginType") == "CROSSED":
            raise Refusal(-4046, "No need to change margin type.")
        raise Refusal(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")

    def position_mode(self, params: Params) -> Json:
        """GET positionSide/dual: one-way."""
        return {"dualSidePosition": False}

    def set_position_mode(self, params: Params) -> Json:
        """POST positionSide/dual: one-way it is, and it stays so."""
        if params.flag("dualSidePosition"):
            raise Refusal(-4068, "Position side cannot be changed if there exists position.")
        raise Refusal(-4059, "No need to change position side.")

    def commission_rate(self, params: Params) -> Json:
        """GET commissionRate: what a unit of value costs at the present price."""
        rules = self._market.rules(params)
        mark = self._market.mark(rules.symbol)
        rate = self._world.broker.entry_per_unit(rules.symbol, mark) / mark if mark else 0.0
        return {
            "symbol": rules.symbol,
            "makerCommissionRate": number_text(rate),
            "takerCommissionRate": number_text(rate),
        }


def _whole(value: float) -> float:
    """A whole number without a point."""
    return int(value) if value == int(value) else value
