"""An order of the local venue and its executions, and what the dialect says of them. Under the venue's lock."""

from dataclasses import dataclass, field

from src.testing.venue_wire import Json, milliseconds, number_text

__all__ = ["LIVE", "Shelf", "VenueOrder", "VenueTrade", "algo_json", "order_json", "trade_json"]

#: The states in which an order works.
LIVE = frozenset({"NEW", "PARTIALLY_FILLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueTrade:
    """An execution.

    Attributes:
        number: its id; they grow.
        realized: what the closing part made, commission not subtracted.
    """

    number: int
    order: int
    symbol: str
    side: str
    quantity: float
    price: float
    commission: float
    asset: str
    realized: float
    filled_ns: int
    maker: bool


@dataclass(slots=True, kw_only=True, eq=False)
class VenueOrder:
    """An order.

    Attributes:
        number: `orderId`, or `algoId` of a conditional order.
        kind: as the exchange calls it, `LIMIT`, `STOP_MARKET` ...
        identity: the order's id at the simulated broker.
        algo: whether it is a conditional order, which the exchange keeps apart; what it triggers is `actual`.
        cut: the rest ends as REJECTED when a part has filled.
        trades: its executions; those of a conditional order belong to what it triggered.
    """

    number: int
    client_id: str
    symbol: str
    side: str
    kind: str
    quantity: float
    identity: str
    created_ns: int
    updated_ns: int
    price: float = 0.0
    trigger: float = 0.0
    callback: float = 0.0
    force: str = "GTC"
    good_till_ms: int = 0
    reduce_only: bool = False
    close_position: bool = False
    working_type: str = "CONTRACT_PRICE"
    algo: bool = False
    maker: bool = False
    cut: bool = False
    status: str = "NEW"
    actual: "VenueOrder | None" = None
    trades: list[VenueTrade] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether it works."""
        return self.status in LIVE

    @property
    def executed(self) -> float:
        """What has filled."""
        return sum(trade.quantity for trade in self.trades)

    @property
    def average(self) -> float:
        """At which price, 0 before the first execution."""
        executed = self.executed
        return sum(trade.quantity * trade.price for trade in self.trades) / executed if executed else 0.0


class Shelf:
    """Orders in the order in which they were accepted, found by number and by client id."""

    def __init__(self) -> None:
        self.all: list[VenueOrder] = []
        self.by_number: dict[int, VenueOrder] = {}
        #: The last one of each client id: it may be used again when the order has ended.
        self.by_client: dict[str, VenueOrder] = {}
        self._working: dict[int, VenueOrder] = {}

    def add(self, order: VenueOrder) -> None:
        """Take one more."""
        self.all.append(order)
        self.by_number[order.number] = self.by_client[order.client_id] = order
        self._working[order.number] = order

    def working(self) -> list[VenueOrder]:
        """Those that work; one that has ended never works again."""
        ended = [order.number for order in self._working.values() if not order.live]
        for number in ended:
            del self._working[number]
        return list(self._working.values())


def order_json(order: VenueOrder) -> Json:
    """An order as GET order and its kin show it."""
    executed, average = order.executed, order.average
    # An order that reduces is cut to what there was to reduce.
    quantity = executed if order.status == "FILLED" else order.quantity
    return {
        "orderId": order.number, "symbol": order.symbol, "status": order.status, "clientOrderId": order.client_id,
        "price": number_text(order.price), "avgPrice": number_text(average), "origQty": number_text(quantity),
        "executedQty": number_text(executed), "cumQty": number_text(executed),
        "cumQuote": number_text(executed * average), "timeInForce": order.force, "type": order.kind,
        "reduceOnly": order.reduce_only, "closePosition": order.close_position, "side": order.side,
        "positionSide": "BOTH", "stopPrice": number_text(order.trigger), "workingType": order.working_type,
        "priceProtect": False, "origType": order.kind, "priceMatch": "NONE", "selfTradePreventionMode": "NONE",
        "goodTillDate": order.good_till_ms, "time": milliseconds(order.created_ns),
        "updateTime": milliseconds(order.updated_ns),
    }  # fmt: skip


#: What becomes of a conditional order when the order that it triggered is in a state.
_ALGO_STATES = {"NEW": "TRIGGERED", "PARTIALLY_FILLED": "TRIGGERED"}


def algo_json(order: VenueOrder) -> Json:
    """A conditional order as GET algoOrder and its kin show it."""
    actual = order.actual
    status = order.status if actual is None else _ALGO_STATES.get(actual.status, "FINISHED")
    shown = {
        "algoId": order.number, "clientAlgoId": order.client_id, "algoType": "CONDITIONAL", "orderType": order.kind,
        "symbol": order.symbol, "side": order.side, "positionSide": "BOTH", "timeInForce": order.force,
        "quantity": "0" if order.close_position else number_text(order.quantity), "algoStatus": status,
        "actualOrderId": "" if actual is None else str(actual.number),
        "actualPrice": "0.00000" if actual is None else number_text(actual.average),
        "triggerPrice": number_text(order.trigger), "price": number_text(order.price), "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": order.working_type, "priceMatch": "NONE",
        "closePosition": order.close_position, "priceProtect": False, "reduceOnly": order.reduce_only,
        "createTime": milliseconds(order.created_ns), "updateTime": milliseconds(order.updated_ns),
        "triggerTime": 0 if actual is None else milliseconds(actual.created_ns), "goodTillDate": order.good_till_ms,
    }  # fmt: skip
    if order.callback:
        shown |= {"callbackRate": number_text(order.callback), "activatePrice": None}
    return shown


def trade_json(trade: VenueTrade) -> Json:
    """An execution as GET userTrades shows it."""
    return {
        "symbol": trade.symbol, "id": trade.number, "orderId": trade.order, "side": trade.side,
        "price": number_text(trade.price), "qty": number_text(trade.quantity),
        "realizedPnl": number_text(trade.realized), "marginAsset": trade.asset,
        "quoteQty": number_text(trade.quantity * trade.price), "commission": number_text(trade.commission),
        "commissionAsset": trade.asset, "time": milliseconds(trade.filled_ns), "positionSide": "BOTH",
        "maker": trade.maker, "buyer": trade.side == "BUY",
    }  # fmt: skip
