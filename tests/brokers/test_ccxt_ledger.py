"""Orders and positions are added up from what an exchange tells, in whatever order it tells it."""

from dataclasses import replace

from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import STOP, VenueOrder
from src.brokers.ccxt_records import Execution, Report
from src.core.instrument import Instrument
from src.core.records import OrderRequest, OrderState, OrderType, Side

RULES = Instrument(
    symbol="AAA", kind="perpetual", quote_currency="USDT", tick=0.1, volume_step=0.1, min_volume=0.1, base_currency="A"
)
REPORT = Report(
    client_id="k1", venue_id="7", symbol="AAA", state=OrderState.FILLED, volume=1.0, filled=1.0, average_price=100.0,
    price=None, trigger=None, updated_ns=5,
)  # fmt: skip
BUY = Execution(
    trade_id="1", venue_id="7", symbol="AAA", side=Side.BUY, volume=1.0, price=100.0, at_ns=4, fee=0.0,
    fee_currency="USDT",
)  # fmt: skip


def request(client_id: str = "k1", side: Side = Side.BUY, volume: float = 1.0, **more: float) -> OrderRequest:
    """A market order."""
    made = OrderRequest(client_id=client_id, book="S", symbol="AAA", side=side, type=OrderType.MARKET, volume=volume)
    return replace(made, **more)  # type: ignore[arg-type]  # prices


def ledger_with(*requests: OrderRequest) -> tuple[CcxtLedger, list[VenueOrder]]:
    """A ledger in which these were sent and acknowledged, under the exchange's ids 7, 8 ..."""
    ledger, orders = CcxtLedger({"AAA": RULES}), []
    for i, each in enumerate(requests):
        order = ledger.register(each, 1)
        ledger.acknowledge(
            order, replace(REPORT, client_id=each.client_id, venue_id=str(7 + i), state=OrderState.WORKING)
        )
        orders.append(order)
    return ledger, orders


def test_an_order_has_ended_when_its_executions_are_here() -> None:
    """An answer that says filled comes before the execution that it speaks of."""
    ledger, (order,) = ledger_with(request())
    ledger.acknowledge(order, REPORT)

    early = ledger.finish("AAA"), list(ledger.events["AAA"]), order.order().state
    ledger.execute(BUY, 0.1)

    assert early == (False, [], OrderState.WORKING)
    (event,) = ledger.events["AAA"]
    assert (event.order.state, event.order.filled_volume) == (OrderState.FILLED, 1.0)
    assert event.fill is not None
    assert (event.fill.kind, event.fill.commission, event.fill.filled_ns) == ("entry", 0.1, 4)


def test_an_execution_counts_once() -> None:
    """However often it is told."""
    ledger, _ = ledger_with(request())

    counted = [ledger.execute(BUY, 0.0) for _ in range(3)]

    assert counted == [True, False, False]
    assert ledger.held("AAA") == 1.0


def test_an_order_cancelled_after_a_part_keeps_it() -> None:
    """The end is told after the part, whichever of both the exchange tells first."""
    ledger, (order,) = ledger_with(request())
    ledger.acknowledge(order, replace(REPORT, state=OrderState.CANCELLED, filled=0.4))
    ledger.finish("AAA")
    ledger.execute(replace(BUY, volume=0.4), 0.0)
    ledger.finish("AAA")

    states = [event.order.state for event in ledger.events["AAA"]]
    assert states == [OrderState.PARTLY_FILLED, OrderState.CANCELLED]
    assert ledger.held("AAA") == 0.4


def test_an_opposite_order_closes_before_it_opens() -> None:
    """One execution, two fills, with its fee shared between them."""
    ledger, _ = ledger_with(request(), request("k2", Side.SELL, 3.0))
    ledger.execute(BUY, 0.0)
    ledger.execute(replace(BUY, trade_id="2", venue_id="8", side=Side.SELL, volume=3.0), 0.3)

    fills = [event.fill for event in ledger.events["AAA"] if event.fill is not None]
    assert [(fill.fill_id, fill.kind, fill.volume) for fill in fills] == [
        ("1", "entry", 1.0), ("2", "reverse", 1.0), ("2-2", "entry", 2.0),
    ]  # fmt: skip
    assert [round(fill.commission, 9) for fill in fills] == [0.0, 0.1, 0.2]
    assert [(each.volume, each.position_id) for each in ledger.positions("AAA")] == [(-2.0, "k2")]


def test_volumes_that_are_added_up_stay_on_the_step() -> None:
    """What is left of 0.3 after 0.1 is 0.2, and an order over it is cut by nothing."""
    ledger, _ = ledger_with(request(volume=0.3), request("k2", Side.SELL, 0.1))
    ledger.execute(replace(BUY, volume=0.3), 0.0)
    ledger.execute(replace(BUY, trade_id="2", venue_id="8", side=Side.SELL, volume=0.1), 0.0)

    assert [each.volume for each in ledger.positions("AAA")] == [0.2]


def test_a_stop_is_shown_when_it_rests_and_not_when_it_is_wished() -> None:
    """What nobody has acknowledged guards nothing."""
    ledger, _ = ledger_with(request(stop=90.0))
    ledger.execute(BUY, 0.0)
    wished = ledger.positions("AAA")[0].stop
    guard = replace(request("pstop", Side.SELL), type=OrderType.STOP, price=90.0, reduce_only=True, position_id="k1")
    order = ledger.register(guard, 2)
    order.role, order.position_id, order.number = STOP, "k1", 1
    unanswered = ledger.positions("AAA")[0].stop
    ledger.acknowledge(order, replace(REPORT, client_id="pstop", venue_id="9", state=OrderState.WORKING))

    assert (wished, unanswered, ledger.positions("AAA")[0].stop) == (None, None, 90.0)


def test_distances_are_measured_from_the_fill() -> None:
    """The stop's from the average of what has filled, the target's in multiples of it."""
    ledger, _ = ledger_with(request(stop_distance=10.0, target_r=2.0))
    ledger.execute(BUY, 0.0)
    (book,) = ledger.books("AAA")

    assert (book.stop, book.target) == (90.0, 120.0)


def test_a_triggered_order_goes_on_as_what_it_became() -> None:
    """Its own end is no end, and executions of the other id are its."""
    ledger, (order,) = ledger_with(replace(request(), type=OrderType.STOP, price=100.0))
    ledger.acknowledge(order, replace(REPORT, filled=0.0, became_id="99"))
    ledger.finish("AAA")

    assert order.is_live
    ledger.execute(replace(BUY, venue_id="99"), 0.0)
    assert [event.order.order_id for event in ledger.events["AAA"]] == ["k1"]


def test_what_is_not_ours_is_kept_apart() -> None:
    """A sale of others takes from what is theirs first."""
    ledger, _ = ledger_with(request())
    ledger.execute(BUY, 0.0)
    ledger.execute(replace(BUY, trade_id="2", venue_id="55", volume=2.0), 0.0)
    ledger.execute(replace(BUY, trade_id="3", venue_id="56", side=Side.SELL, volume=2.5), 0.0, "x-hand")

    assert (ledger.foreign["AAA"], ledger.held("AAA")) == (0.0, 0.5)
    assert [each.volume for each in ledger.positions("AAA")] == [0.5]


def test_what_a_triggered_order_became_counts_for_it_when_the_exchange_says_so_late() -> None:
    """Its execution was taken for somebody else's; the stop ends with what it has filled, and nothing counts twice."""
    ledger, _ = ledger_with(request())
    ledger.execute(BUY, 0.0)
    guard = replace(request("pstop", Side.SELL), type=OrderType.STOP, price=90.0, reduce_only=True, position_id="k1")
    order = ledger.register(guard, 2)
    order.role, order.position_id, order.number = STOP, "k1", 1
    ledger.acknowledge(order, replace(REPORT, client_id="pstop", venue_id="9", state=OrderState.WORKING))
    ledger.execute(replace(BUY, trade_id="2", venue_id="99", side=Side.SELL), 0.0, "unknown")

    ledger.acknowledge(order, replace(REPORT, client_id="pstop", venue_id="9", became_id="99"))
    ledger.acknowledge(order, replace(REPORT, client_id="pstop", venue_id="99"))
    ended = ledger.finish("AAA")

    assert (ended, order.state, order.filled) == (True, OrderState.FILLED, 1.0)
    assert (ledger.held("AAA"), ledger.foreign["AAA"], len(ledger.events["AAA"])) == (0.0, 0.0, 2)


def test_executions_that_are_never_told_are_not_waited_for_without_end() -> None:
    """The order ends as the exchange says, with what was told."""
    ledger, (order,) = ledger_with(request())
    ledger.acknowledge(order, REPORT)
    ledger.execute(replace(BUY, volume=0.5), 0.0)

    ledger.stop_waiting("AAA", 100, 60)
    ledger.stop_waiting("AAA", 150, 60)
    waiting = order.is_live
    ledger.stop_waiting("AAA", 160, 60)

    assert (waiting, order.state, order.code) == (True, OrderState.FILLED, "untold")
    assert ledger.events["AAA"][-1].order.filled_volume == 0.5


def test_an_order_that_was_given_up_and_is_seen_lives_again() -> None:
    """Whoever does not want it any more has to see that it works."""
    ledger = CcxtLedger({"AAA": RULES})
    order = ledger.register(request(), 1)
    ledger.give_up("AAA", 100)
    given_up = order.order()

    ledger.acknowledge(order, replace(REPORT, state=OrderState.WORKING))

    assert (given_up.state, given_up.code) == (OrderState.REJECTED, "lost")
    assert (order.order().state, order.order().code) == (OrderState.WORKING, "")
    ledger.execute(BUY, 0.0)
    assert order.state is OrderState.FILLED
