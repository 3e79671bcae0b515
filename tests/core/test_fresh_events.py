"""A mailbox that is sifted: nothing twice, nothing old after something new."""

from collections import deque

from src.core.fresh_events import FreshEvents
from src.core.records import Fill, Order, OrderEvent, OrderRequest, OrderState, OrderType, Side

REQUEST = OrderRequest(client_id="k1", book="S", symbol="AAA", side=Side.BUY, type=OrderType.MARKET, volume=2.0)


def _order(state: OrderState, filled: float, at_ns: int) -> Order:
    return Order(
        order_id="k1", request=REQUEST, state=state, placed_ns=1, effective_ns=1, updated_ns=at_ns, filled_volume=filled
    )


def _filled(state: OrderState, filled: float, at_ns: int, number: int) -> OrderEvent:
    fill = Fill(
        fill_id=f"k1-{number}", order_id="k1", position_id="k1", book="S", symbol="AAA", side=Side.BUY, volume=1.0,
        price=10.0, filled_ns=at_ns, filled_from_ns=at_ns,
    )  # fmt: skip
    return OrderEvent(order=_order(state, filled, at_ns), fill=fill)


ACKNOWLEDGED = OrderEvent(order=_order(OrderState.WORKING, 0.0, 1))
HALF = _filled(OrderState.PARTLY_FILLED, 1.0, 2, 1)
WHOLE = _filled(OrderState.FILLED, 2.0, 3, 2)
CANCELLED = OrderEvent(order=_order(OrderState.CANCELLED, 1.0, 4))


def _read(arriving: list[OrderEvent]) -> list[OrderEvent]:
    mailbox = FreshEvents(deque(arriving), lambda event: None)
    return [mailbox.popleft() for _ in range(len(mailbox))]


def test_what_comes_twice_is_read_once() -> None:
    """An execution counts by its id, an end by the order's."""
    assert _read([HALF, HALF, CANCELLED, HALF, CANCELLED]) == [HALF, CANCELLED]


def test_an_old_answer_brings_no_ended_order_back() -> None:
    """After its end an order is never working again, whatever arrives."""
    old = OrderEvent(order=_order(OrderState.WORKING, 0.0, 9))

    assert _read([HALF, WHOLE, old, ACKNOWLEDGED, CANCELLED]) == [HALF, WHOLE]


def test_a_late_execution_is_news_although_the_order_has_ended() -> None:
    """Money that moved is never dropped because of the order in which it is told."""
    assert _read([CANCELLED, HALF]) == [CANCELLED, HALF]


def test_an_acknowledgement_is_no_news() -> None:
    """Whoever placed the order has had it as the answer."""
    assert _read([ACKNOWLEDGED, ACKNOWLEDGED, WHOLE]) == [WHOLE]


def test_who_reads_is_told_after_the_guard() -> None:
    """The guard hears of each event once, before its reader, and of none that was dropped; the mailbox counts anew."""
    arriving, told = deque([HALF, HALF]), []
    mailbox = FreshEvents(arriving, told.append)

    assert (len(mailbox), bool(mailbox), told) == (1, True, [])
    assert (mailbox.popleft(), told, bool(mailbox), mailbox.dropped) == (HALF, [HALF], False, 1)
    arriving.append(CANCELLED)
    assert bool(mailbox)
