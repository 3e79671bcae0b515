"""Translation between our records and ccxt's structures, nothing else: pure, any thread.

The client id of an order is its identity on both sides. A conditional order (a stop, a stop-limit, a trailing stop) has
an id of its own at the exchange, and becomes another order, with another id, when it is triggered.

The exchange triggers by its last price or by its mark; so a trigger by the quote becomes one by the last price.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from src.core.errors import BrokerContractError
from src.core.record import record
from src.core.records import OrderRequest, OrderState, OrderType, Side, TimeInForce, TriggerBy

__all__ = [
    "Execution",
    "Held",
    "Money",
    "Report",
    "contracts_of",
    "execution_of",
    "held_of",
    "is_conditional",
    "money_of",
    "placement_of",
    "protective_id",
    "protective_role",
    "report_of",
    "request_of",
    "units_of",
]

_MS = 1_000_000
#: Of volumes; the noise of floats is further behind.
_DIGITS = 10
_CONDITIONAL = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)
_SETTLED = {
    "closed": OrderState.FILLED, "canceled": OrderState.CANCELLED, "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}  # fmt: skip
#: Besides ccxt's own words those of Binance which ccxt passes on: for orders of a liquidation, and on spot for those
#: that wait for another one of their list, as other people's may.
_LIVE = ("open", "canceling", "NEW_INSURANCE", "NEW_ADL", "PENDING_NEW")
_WORKING_TYPES = {TriggerBy.MARK: "MARK_PRICE"}


@record
class Report:
    """What the exchange says of an order at one moment.

    Attributes:
        venue_id: its id at the exchange, empty when it gave none.
        became_id: of a conditional order that was triggered, the id of the order that it became.
        filled: executed volume in base units.
        message, number: why it was rejected, in the exchange's words and by its number; 0 for none.
        triggered: a conditional order that has been triggered, and does not tell yet what it became.
    """

    client_id: str
    venue_id: str
    symbol: str
    state: OrderState
    volume: float
    filled: float
    average_price: float | None
    price: float | None
    trigger: float | None
    updated_ns: int
    became_id: str = ""
    message: str = ""
    number: int = 0
    triggered: bool = False


@record
class Execution:
    """One execution; `fee` is positive when it was paid, `fee_volume` what of it was kept of the coins bought."""

    trade_id: str
    venue_id: str
    symbol: str
    side: Side
    volume: float
    price: float
    at_ns: int
    fee: float
    fee_currency: str
    fee_volume: float = 0.0


@record
class Money:
    """What the account has in its currency: without open profit, with it, and what open positions and orders tie up."""

    balance: float
    equity: float
    margin_used: float


@record
class Held:
    """The position of a symbol; `volume` is signed."""

    symbol: str
    volume: float
    entry_price: float


def is_conditional(request: OrderRequest) -> bool:
    """Whether the exchange keeps this order apart until a price triggers it."""
    return request.type in _CONDITIONAL


def placement_of(request: OrderRequest, contract_size: float = 1.0) -> tuple[Any, ...]:
    """The arguments of ccxt's `create_order` after the symbol: type, side, amount, price and parameters."""
    params: dict[str, Any] = {"clientOrderId": request.client_id}
    if request.reduce_only:
        params["reduceOnly"] = True
    kind, price = "market", None
    if request.type is OrderType.LIMIT:
        kind, price = "limit", request.price
    elif request.type is OrderType.STOP_LIMIT:
        kind, price = "limit", request.limit
    if request.type in (OrderType.STOP, OrderType.STOP_LIMIT):
        params["triggerPrice"] = request.price
    elif request.type is OrderType.TRAILING_STOP:
        params["trailingPercent"] = request.trail_percent
    if is_conditional(request) and request.trigger_by in _WORKING_TYPES:
        params["workingType"] = _WORKING_TYPES[request.trigger_by]
    if request.post_only:
        params["postOnly"] = True
    elif request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) and kind == "limit":
        params["timeInForce"] = request.time_in_force.upper()
    elif request.expires_ns is not None:
        params |= {"timeInForce": "GTD", "goodTillDate": request.expires_ns // _MS}
    return kind, str(request.side), contracts_of(request.volume, contract_size), price, params


def contracts_of(volume: float, contract_size: float) -> float:
    """A volume in contracts, without the noise of the division: ccxt cuts it to the step below."""
    return volume if contract_size == 1.0 else round(volume / contract_size, _DIGITS)


def units_of(contracts: float, contract_size: float) -> float:
    """A number of contracts as a volume, without the noise of the multiplication."""
    return contracts if contract_size == 1.0 else round(contracts * contract_size, _DIGITS)


def report_of(order: Mapping[str, Any], symbol: str, contract_size: float = 1.0) -> Report:
    """Read an order of ccxt.

    Raises:
        BrokerContractError: it has no state that is known.
    """
    info = order.get("info") or {}
    status = order.get("status")
    filled = units_of(_number(order.get("filled")), contract_size)
    became = str(info.get("actualOrderId") or "")
    if status in _LIVE:
        state = OrderState.PARTLY_FILLED if filled > 0 else OrderState.WORKING
    elif status in _SETTLED:
        state = _SETTLED[status]
    elif status is None and not order.get("id"):  # accepted, and nothing else was said
        state = OrderState.WORKING
    else:
        raise BrokerContractError(f"expected an order with a known state, found {status!r}", symbol=symbol)
    if became in ("0", "None"):
        became = ""
    if filled == 0.0:
        filled = units_of(_number(info.get("actualQty")), contract_size)
    triggered = bool(info.get("algoId")) and state is OrderState.FILLED and not filled and not became
    if triggered:
        state = OrderState.WORKING
    return Report(
        client_id=str(order.get("clientOrderId") or ""), venue_id=str(order.get("id") or ""), symbol=symbol,
        state=state,
        volume=units_of(_number(order.get("amount")), contract_size), filled=filled,
        average_price=_positive(order.get("average")), price=_positive(order.get("price")),
        trigger=_positive(order.get("triggerPrice")),
        updated_ns=int(order.get("lastUpdateTimestamp") or order.get("timestamp") or 0) * _MS, became_id=became,
        message=str(info.get("msg") or info.get("rejectReason") or ""), number=int(_number(info.get("code"))),
        triggered=triggered,
    )  # fmt: skip


def request_of(report: Report, order: Mapping[str, Any]) -> OrderRequest:
    """What must have been asked for, of an order that nobody here remembers; its book is not known and empty."""
    kind = OrderType.MARKET
    if report.trigger is not None:
        kind = OrderType.STOP if report.price is None else OrderType.STOP_LIMIT
    elif order.get("type") == "limit":
        kind = OrderType.LIMIT
    price = report.price if kind is OrderType.LIMIT else report.trigger
    return OrderRequest(
        client_id=report.client_id, book="", symbol=report.symbol, side=Side(order["side"]), type=kind,
        volume=report.volume, price=price, limit=report.price if kind is OrderType.STOP_LIMIT else None,
        reduce_only=bool(order.get("reduceOnly")),
    )  # fmt: skip


def execution_of(trade: Mapping[str, Any], symbol: str, contract_size: float = 1.0) -> Execution:
    """Read an own trade of ccxt.

    Raises:
        BrokerContractError: it lacks what an execution has.
    """
    volume, price = units_of(_number(trade.get("amount")), contract_size), _number(trade.get("price"))
    if not (trade.get("id") and trade.get("order") and trade.get("timestamp") and volume > 0 and price > 0):
        raise BrokerContractError(f"expected an execution with id, order, time, volume and price of {symbol}")
    fee = trade.get("fee") or {}
    return Execution(
        trade_id=str(trade["id"]), venue_id=str(trade["order"]), symbol=symbol, side=Side(trade["side"]), volume=volume,
        price=price, at_ns=int(trade["timestamp"]) * _MS, fee=_number(fee.get("cost")),
        fee_currency=str(fee.get("currency") or ""),
    )  # fmt: skip


def money_of(balance: Mapping[str, Any], currency: str) -> Money:
    """Read a balance of ccxt.

    Raises:
        BrokerContractError: the exchange does not tell the wallet of the currency, without open profit, apart.
    """
    assets = (balance.get("info") or {}).get("assets") or ()
    for asset in assets if isinstance(assets, list) else ():
        if asset.get("asset") == currency and "walletBalance" in asset:
            return Money(
                balance=_number(asset["walletBalance"]), equity=_number(asset.get("marginBalance")),
                margin_used=_number(asset.get("initialMargin")),
            )  # fmt: skip
    raise BrokerContractError(f"expected the wallet of {currency} in the balance, found none", currency=currency)


def held_of(position: Mapping[str, Any], symbol: str) -> Held:
    """Read a position of ccxt.

    Raises:
        BrokerContractError: the account keeps long and short apart.
    """
    if position.get("hedged"):
        raise BrokerContractError(f"expected one position of {symbol}, found long and short apart; use one-way mode")
    volume = units_of(_number(position.get("contracts")), float(position.get("contractSize") or 1.0))
    sign = -1.0 if position.get("side") == "short" else 1.0
    return Held(symbol=symbol, volume=sign * volume, entry_price=_number(position.get("entryPrice")))


def protective_id(position_id: str, role: str, number: int) -> str:
    """The client id of the `number`-th stop (`s`) or target (`t`) of a position; the same after a restart."""
    return f"p{role}{_hash(position_id)}{number:06x}"


def protective_role(client_id: str, position_id: str) -> tuple[str, int] | None:
    """Which stop or target of a position an order is, as role and number; None when it is none of its."""
    if len(client_id) != 32 or client_id[0] != "p" or client_id[2:26] != _hash(position_id):
        return None
    try:
        return client_id[1], int(client_id[26:], 16)
    except ValueError:
        return None


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _number(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    number = float(value)
    if not math.isfinite(number):
        raise BrokerContractError(f"expected a number, found {value!r}")
    return number


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number > 0 else None
