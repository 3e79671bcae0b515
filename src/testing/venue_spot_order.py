"""Orders of the spot market of the local venue, and what the dialect says of them. Under the venue's lock."""

from dataclasses import dataclass, field

from src.testing.venue_order import VenueOrder, VenueTrade
from src.testing.venue_wire import Json, milliseconds, number_text

__all__ = ["OrderList", "SpotOrder", "list_json", "placed_json", "spot_json", "spot_trade_json"]


@dataclass(slots=True, kw_only=True, eq=False)
class SpotOrder(VenueOrder):
    """See `VenueOrder`; what triggers keeps its number here.

    Attributes:
        in_list: the list that it belongs to, of which one order alone fills.
    """

    in_list: "OrderList | None" = None


@dataclass(slots=True, kw_only=True, eq=False)
class OrderList:
    """Orders of which one cancels the other."""

    number: int
    client_id: str
    symbol: str
    created_ns: int
    orders: list[SpotOrder] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether any of them works."""
        return any(order.live for order in self.orders)


def spot_json(order: SpotOrder) -> dict[str, Json]:
    """An order as GET order and its kin show it."""
    executed = order.executed
    return {
        "symbol": order.symbol, "orderId": order.number,
        "orderListId": -1 if order.in_list is None else order.in_list.number, "clientOrderId": order.client_id,
        "price": number_text(order.price), "origQty": number_text(order.quantity),
        "executedQty": number_text(executed), "origQuoteOrderQty": "0",
        "cummulativeQuoteQty": number_text(executed * order.average), "status": order.status,
        "timeInForce": order.force, "type": order.kind, "side": order.side,
        "stopPrice": number_text(order.trigger), "icebergQty": "0", "time": milliseconds(order.created_ns),
        "updateTime": milliseconds(order.updated_ns), "isWorking": not order.trigger or bool(executed),
        "workingTime": milliseconds(order.created_ns), "selfTradePreventionMode": "EXPIRE_MAKER",
    }  # fmt: skip


def placed_json(order: SpotOrder, *, cancelled_as: str = "") -> dict[str, Json]:
    """An order as the answer to its placement shows it, or to its cancellation under an id of its own."""
    told = spot_json(order)
    for name in ("time", "updateTime", "isWorking", "icebergQty"):
        del told[name]
    told["transactTime"] = milliseconds(order.updated_ns)
    if cancelled_as:
        return told | {"origClientOrderId": order.client_id, "clientOrderId": cancelled_as}
    return told | {
        "fills": [
            {"price": number_text(each.price), "qty": number_text(each.quantity), "tradeId": each.number,
             "commission": number_text(each.commission), "commissionAsset": each.asset}
            for each in order.trades
        ]
    }  # fmt: skip


def list_json(each: OrderList, reports: list[Json] | None = None) -> dict[str, Json]:
    """A list of orders, with what is told of each when it was just placed or cancelled."""
    status = ("EXEC_STARTED", "EXECUTING") if each.live else ("ALL_DONE", "ALL_DONE")
    told: dict[str, Json] = {
        "orderListId": each.number, "contingencyType": "OCO", "listStatusType": status[0],
        "listOrderStatus": status[1], "listClientOrderId": each.client_id,
        "transactionTime": milliseconds(each.created_ns), "symbol": each.symbol,
        "orders": [
            {"symbol": order.symbol, "orderId": order.number, "clientOrderId": order.client_id}
            for order in each.orders
        ],
    }  # fmt: skip
    return told if reports is None else told | {"orderReports": reports}


def spot_trade_json(trade: VenueTrade, order: SpotOrder) -> Json:
    """An execution as GET myTrades shows it."""
    return {
        "symbol": trade.symbol, "id": trade.number, "orderId": trade.order,
        "orderListId": -1 if order.in_list is None else order.in_list.number, "price": number_text(trade.price),
        "qty": number_text(trade.quantity), "quoteQty": number_text(trade.quantity * trade.price),
        "commission": number_text(trade.commission), "commissionAsset": trade.asset,
        "time": milliseconds(trade.filled_ns), "isBuyer": trade.side == "BUY", "isMaker": trade.maker,
        "isBestMatch": True,
    }  # fmt: skip
