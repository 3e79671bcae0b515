"""The questions and requests of a spot account in our own words; see `ccxt_wire`, of which it says what differs.

Coins are balances, so what is held of a symbol is what the account has of its base currency, whoever has brought it.
Nothing only reduces. A stop and a target that exclude each other are one list (OCO), placed and cancelled as a whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_errors import Refusal
from src.brokers.ccxt_records import Execution, Held, Money, Report, report_of
from src.brokers.ccxt_wire import CcxtWire, Item
from src.core.errors import BrokerContractError, BrokerUnavailable
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import HOUR_NS

__all__ = ["SPOT_OPTIONS", "SpotWire"]

#: What ccxt's client is made with, so that it loads the markets of a spot account alone.
SPOT_OPTIONS = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}

#: Spot exchanges answer for a day at most.
_WINDOW_MS = 20 * HOUR_NS // 1_000_000


class SpotWire(CcxtWire):
    """See `CcxtWire`."""

    def __init__(self, client: CcxtClient, markets: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(client, markets)
        self._ids = {symbol: str(market["id"]) for symbol, market in markets.items()}
        self._coins = {symbol: str(market["base"]) for symbol, market in markets.items()}
        #: The balances that came with the money that was read last, until they are asked for.
        self._balances: Mapping[str, Any] | None = None

    # -- orders --------------------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> Report | Refusal:
        """See `CcxtWire.place`."""
        return super().place(replace(request, reduce_only=False))

    def place_pair(self, stop: OrderRequest, target: OrderRequest, list_id: str) -> tuple[Report, ...] | Refusal:
        """Send a stop and a target to sell, of which one cancels the other, once; without reports when it has no id.

        Raises:
            BrokerUnavailable: no answer, or one that says nothing.
        """
        name = self._names[stop.symbol]

        def send(client: Any) -> tuple[Report, ...]:
            answer = client.privatePostOrderListOco({
                "symbol": self._ids[stop.symbol], "side": "SELL",
                "quantity": client.amount_to_precision(name, stop.volume), "listClientOrderId": list_id,
                "aboveType": "LIMIT_MAKER", "abovePrice": client.price_to_precision(name, target.price),
                "aboveClientOrderId": target.client_id, "belowType": "STOP_LOSS",
                "belowStopPrice": client.price_to_precision(name, stop.price),
                "belowClientOrderId": stop.client_id, "newOrderRespType": "RESULT",
            })  # fmt: skip
            return self._reports(client, answer, stop.symbol)

        answer = self.client.act("a stop with its target", send)
        if isinstance(answer, Refusal) and answer.code == "duplicate_id":
            raise BrokerUnavailable(f"expected an answer to {list_id}, found {answer.message}")
        return answer

    def withdraw(self, symbol: str, client_id: str, venue_id: str) -> tuple[Report, ...] | Refusal:
        """Cancel an order, and tell what it has filled."""
        name = self._names[symbol]
        params = {} if venue_id else {"clientOrderId": client_id}

        def send(client: Any) -> tuple[Report, ...]:
            return (replace(report_of(client.cancel_order(venue_id, name, params), symbol), client_id=client_id),)

        return self.client.act("a cancellation", send)

    def withdraw_pair(self, symbol: str, list_id: str) -> tuple[Report, ...] | Refusal:
        """Cancel a list, and tell what its orders have filled; their client ids are not told."""
        params = {"symbol": self._ids[symbol], "listClientOrderId": list_id}
        return self.client.act(
            "a cancellation", lambda client: self._reports(client, client.privateDeleteOrderList(params), symbol)
        )

    def _reports(self, client: Any, answer: Mapping[str, Any], symbol: str) -> tuple[Report, ...]:
        market = client.market(self._names[symbol])
        return tuple(
            report_of(client.parse_order(each, market), symbol) for each in answer.get("orderReports") or ()
        )  # fmt: skip

    def cancel(self, symbol: str, client_id: str, venue_id: str, *, conditional: bool) -> Refusal | None:
        """See `CcxtWire.cancel`; conditional orders are orders like any other here."""
        return super().cancel(symbol, client_id, venue_id, conditional=False)

    def find(
        self, symbol: str, *, client_id: str = "", venue_id: str = "", conditional: bool = False
    ) -> tuple[Report, OrderRequest] | None:
        """See `CcxtWire.find`."""
        return super().find(symbol, client_id=client_id, venue_id=venue_id, conditional=False)

    def open_orders(self, symbol: str, *, conditional: bool) -> list[Report]:
        """See `CcxtWire.open_orders`; none is kept apart."""
        return [] if conditional else super().open_orders(symbol, conditional=False)

    def all_orders(self, symbol: str, since_ns: int, *, conditional: bool) -> list[tuple[Report, OrderRequest]]:
        """See `CcxtWire.all_orders`; none is kept apart."""
        return [] if conditional else super().all_orders(symbol, since_ns, conditional=False)

    def _told(self, symbol: str, order: dict[str, Any]) -> tuple[Report, OrderRequest]:
        report, request = super()._told(symbol, order)
        if request.type is OrderType.MARKET and report.price is not None:  # one that had to rest
            request = replace(request, type=OrderType.LIMIT, price=report.price)
        return report, request

    def executions(self, symbol: str, since_ms: int) -> list[Execution]:
        """See `CcxtWire.executions`, with what the exchange has kept of the coins that were bought."""
        coin = self._coins[symbol]
        return [
            replace(each, fee_volume=each.fee) if each.fee_currency == coin and each.side is Side.BUY else each
            for each in super().executions(symbol, since_ms)
        ]

    def _pages(self, since_ms: int, page: Callable[[int, int | None], list[Item]]) -> list[Item]:
        """See `CcxtWire._pages`, in shorter windows."""
        found: list[Item] = []
        now_ms = self.client.venue_ms()
        while now_ms - since_ms > _WINDOW_MS:
            found += self._window(since_ms, since_ms + _WINDOW_MS, page)
            since_ms += _WINDOW_MS
        return found + super()._pages(since_ms, page)

    # -- the account ---------------------------------------------------------------------------------------------------

    def coin(self, symbol: str) -> str:
        """What is bought there."""
        return self._coins[symbol]

    def money(self, currency: str) -> Money:
        """What there is of the account's currency: in all, what is free, and what orders tie up."""
        balances = self._balances = self._ask_balances()
        total, free = (_amount(balances, currency, name) for name in ("total", "free"))
        return Money(balance=total, equity=free, margin_used=total - free)

    def holdings(self) -> dict[str, Held]:
        """What there is of each coin, other people's as well; of one answer with the money that was read before."""
        balances = self._balances if self._balances is not None else self._ask_balances()
        self._balances = None
        held = {symbol: _amount(balances, coin, "total") for symbol, coin in self._coins.items()}
        return {
            symbol: Held(symbol=symbol, volume=volume, entry_price=0.0) for symbol, volume in held.items() if volume
        }

    def _ask_balances(self) -> Mapping[str, Any]:
        def ask(client: Any) -> Mapping[str, Any]:
            found: Mapping[str, Any] = client.fetch_balance({"type": "spot"})
            if "balances" not in (found.get("info") or {}):
                raise BrokerContractError("expected the coins of a spot account, found another answer")
            return found

        return self.client.read("the balance", ask)

    def one_way(self) -> bool:
        """A spot account has no positions that could be kept apart."""
        return True

    def set_leverage(self, symbol: str, leverage: float) -> Refusal | None:
        """A spot account borrows nothing."""
        return None


def _amount(balances: Mapping[str, Any], currency: str, name: str) -> float:
    found = (balances.get(currency) or {}).get(name)
    return 0.0 if found is None else float(found)
