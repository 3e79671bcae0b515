"""Which state of an order may follow which; every part that changes a state asks here. Pure, any thread.

| from | to | when |
|---|---|---|
| created | sent | the request left the bot |
| created | rejected | refused before it left |
| sent | working, partly filled, filled | acknowledged, or filled before the acknowledgement came |
| sent | unknown | nobody answered |
| sent | cancelled, expired, rejected | the answer told of an end |
| unknown | working, partly filled, filled, cancelled, expired | the order was found at the venue |
| unknown | rejected | it never reached the venue |
| working | partly filled, filled | an execution |
| working | cancelled, expired, rejected | an end without an execution |
| partly filled | partly filled, filled | a further execution |
| partly filled | cancelled, expired, rejected | an end that keeps the filled part |

Filled, cancelled, expired and rejected are final. Anything else is an old answer that must not bring an ended order
back to life, and raises.
"""

from collections.abc import Mapping
from types import MappingProxyType

from src.core.errors import InternalError
from src.core.records import OrderState

__all__ = ["LEGAL", "check"]

_ENDS = frozenset({OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})
_LIVES = frozenset({OrderState.WORKING, OrderState.PARTLY_FILLED, OrderState.FILLED})
_FILLS = frozenset({OrderState.PARTLY_FILLED, OrderState.FILLED})
_NONE: frozenset[OrderState] = frozenset()

#: The states that may follow each state; one that changes nothing is no transition, but PARTLY_FILLED may be repeated.
LEGAL: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType({
    OrderState.CREATED: frozenset({OrderState.SENT, OrderState.REJECTED}),
    OrderState.SENT: _LIVES | _ENDS | {OrderState.UNKNOWN},
    OrderState.UNKNOWN: _LIVES | _ENDS,
    OrderState.WORKING: _FILLS | _ENDS,
    OrderState.PARTLY_FILLED: _FILLS | _ENDS,
    OrderState.FILLED: _NONE,
    OrderState.CANCELLED: _NONE,
    OrderState.EXPIRED: _NONE,
    OrderState.REJECTED: _NONE,
})  # fmt: skip


def check(state: OrderState, following: OrderState, order_id: str = "") -> None:
    """Hold that an order in `state` may become `following`.

    Raises:
        InternalError: the table has no such transition.
    """
    if following not in LEGAL[state]:
        allowed = ", ".join(sorted(LEGAL[state])) or "nothing: it is final"
        raise InternalError(
            f"expected an order that is {state} to become {allowed}; found {following}", order_id=order_id
        )
