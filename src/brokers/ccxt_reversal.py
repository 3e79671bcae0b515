"""Reversals at an exchange that has none: an order that only closes what is held, and then the entry.

Not one larger order: whatever closed the position a moment before would leave that one opening too much. When the
entry is refused after the closing has been accepted, the book is flat. The closing order's id is a function of the
entry's, so that it is recognised after a restart. Pure; any thread.
"""

from collections.abc import Iterable

from src.core.records import OrderRequest, OrderType, Side, make_order_request

__all__ = ["closing_id", "closing_part", "with_closing_parts"]

#: What an exit is called that makes room for a position the other way.
REVERSE = "reverse"


def closing_id(client_id: str) -> str:
    """The id of the order that closes what an entry reverses."""
    return f"r{client_id[1:]}"


def closing_part(request: OrderRequest, held: float, position_id: str) -> OrderRequest | None:
    """What has to be closed first; None when nothing is held on the other side.

    Args:
        held: what the book holds, positive when long.
    """
    if held * request.side.sign >= 0:
        return None
    return make_order_request(
        client_id=closing_id(request.client_id), book=request.book, symbol=request.symbol, side=request.side,
        type=OrderType.MARKET, volume=abs(held), reduce_only=True, position_id=position_id, exit_kind=REVERSE,
        reason=request.reason,
    )  # fmt: skip


def with_closing_parts(known: Iterable[OrderRequest]) -> list[OrderRequest]:
    """Requests of before, each reversal with the order that may have closed what it reversed."""
    found: list[OrderRequest] = []
    for request in known:
        if request.reverse and not request.reduce_only:
            held = request.volume if request.side is Side.SELL else -request.volume
            part = closing_part(request, held, "")
            if part is not None:
                found.append(part)
        found.append(request)
    return found
