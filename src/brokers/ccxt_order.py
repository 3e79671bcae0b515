"""An order at an exchange, as far as it is known. Plain data: whoever owns the ledger that it is in holds a lock."""

from dataclasses import dataclass, replace

from src.brokers.ccxt_records import Report
from src.core.errors import InternalError
from src.core.instrument import Instrument
from src.core.records import Order, OrderRequest, OrderState, OrderType, make_order

__all__ = ["FLAT", "LOST", "NAKED", "STOP", "TARGET", "VenueOrder", "as_told", "protection_of"]

#: The parts that an order of a position's protection plays: its stop, its target, and what flattens it without a stop.
STOP, TARGET, FLAT = "s", "t", "x"
#: How a fill is called that flattens a position without a stop.
NAKED = "naked"
#: The code of an order that never reached the exchange.
LOST = "lost"


@dataclass(slots=True)
class VenueOrder:
    """An order of ours, as far as it is known.

    Attributes:
        acknowledged: the exchange has told of it; else it may exist or not.
        became_id: the id of what a conditional order became when it was triggered.
        value: executed volume times price.
        ending: how the exchange says that it ended, until all its executions are here.
        role, position_id, number: of an order that guards a position.
    """

    request: OrderRequest
    sent_ns: int
    acknowledged: bool = False
    venue_id: str = ""
    became_id: str = ""
    state: OrderState = OrderState.SENT
    filled: float = 0.0
    value: float = 0.0
    updated_ns: int = 0
    code: str = ""
    message: str = ""
    ending: Report | None = None
    role: str = ""
    position_id: str = ""
    number: int = 0
    #: When it was first absent where it should have been, 0 while it is not.
    absent_ns: int = 0
    #: When it was first known that it has ended, while not all its executions are here.
    ending_ns: int = 0
    #: The ledger's count when it was last told of by an answer to a request, see `CcxtLedger.answers`.
    touched: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it may still change."""
        return not self.state.is_final

    def order(self) -> Order:
        """The order as our record."""
        state = OrderState.WORKING if self.state is OrderState.SENT and self.acknowledged else self.state
        return make_order(
            order_id=self.request.client_id, request=self.request, state=state, placed_ns=self.sent_ns,
            effective_ns=self.sent_ns, updated_ns=max(self.updated_ns, self.sent_ns), filled_volume=self.filled,
            average_price=self.value / self.filled if self.filled else None, code=self.code, message=self.message,
        )  # fmt: skip


def protection_of(request: OrderRequest, price: float, rules: Instrument) -> tuple[float | None, float | None]:
    """Stop and target of an entry that has filled at a price on average."""
    sign = request.side.sign
    stop, target = request.stop, request.target
    if stop is None and request.stop_distance is not None:
        stop = rules.round_price(price - sign * request.stop_distance)
    if target is None and request.target_distance is not None:
        target = rules.round_price(price + sign * request.target_distance)
    if target is None and request.target_r is not None:
        if stop is None:
            raise InternalError(f"{request.client_id} has a target_r and no stop")
        target = rules.round_price(price + sign * request.target_r * abs(price - stop))
    return stop, target


def as_told(request: OrderRequest, report: Report) -> OrderRequest:
    """What rests under the id of a request: an older order of that id may have another level or volume."""
    level = report.trigger if request.type is OrderType.STOP else report.price
    if level is None or report.volume <= 0:
        return request
    return replace(request, price=level, volume=report.volume)
