"""A paper account after a killed process: what happened, told again, gives the same orders, fills, ids and money."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import DataError
from src.core.records import OrderType, Side
from src.core.sync import start_thread
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.paper import PaperBroker
from tests.live.paper_world import COSTS, START_NS, PaperWorld

SYMBOLS = ("AAA", "BBB")
COSTLY = {**COSTS, "latency": "300ms", "latency_jitter": "400ms", "reject_percent": 10}


def restored(world: PaperWorld, **more: Any) -> PaperWorld:
    """A second account that was told what the first one wrote down, before it has begun."""
    other = PaperWorld(SYMBOLS, feed=world.feed, **more)
    other.now_ns = world.now_ns
    other.broker.restore(json.loads(json.dumps(world.events)))
    return other


def state(broker: PaperBroker) -> tuple[Any, ...]:
    """All that an account can be asked for."""
    instants, equity = broker.equity_samples()
    return (
        broker.snapshot(), broker.fills(), broker.trades(), broker.payments(), broker.orders(), broker.equity(),
        [list(broker.mailbox(symbol)) for symbol in SYMBOLS], [broker.quote(symbol) for symbol in SYMBOLS],
        [broker.base_series(symbol).low[: broker.base_series(symbol).length].tolist() for symbol in SYMBOLS],
        instants.tolist(), equity.tolist(), broker.journal.close(),
    )  # fmt: skip


def test_a_day_that_is_told_again_is_the_same() -> None:
    """Entries, stops, cancels, changes, expiry and closes come out alike, though nobody is told a second time."""
    world = PaperWorld(SYMBOLS)
    world.broker.start()
    world.pass_time(30)
    world.order(stop=95.0, target=110.0)
    world.order(Side.SELL, OrderType.LIMIT, symbol="BBB", price=101.0, expires_ns=world.now_ns + MINUTE_NS)
    world.order(Side.BUY, OrderType.STOP, symbol="BBB", price=103.0, group="g")
    world.order(Side.BUY, OrderType.LIMIT, symbol="BBB", price=97.0, group="g", stop_distance=3.0)
    world.pass_time(1)
    world.broker.protect("o1", stop=96.0)
    world.broker.modify("o4", price=98.0)
    world.pass_time(60, 97.0, "BBB")
    world.broker.close("o1", client_id="c1", volume=0.5, reason="half")
    world.pass_time(1, 90.0, "AAA")
    world.broker.cancel("o2")

    other = restored(world)

    assert len(world.broker.fills()) == 4
    assert state(other.broker) == state(world.broker)
    assert other.events == []


def test_an_account_goes_on_where_it_was() -> None:
    """After a restart the bars of the time in between are worked, in which a stop has been resting as before."""
    free = {"spread_points": 0, "commission_percent": 0, "slippage_points": 0}
    world = PaperWorld(SYMBOLS, costs=free)
    world.broker.start()
    world.order(stop=95.0)
    world.pass_time()
    world.pass_time(60)
    other = restored(world, costs=free)
    held = other.broker.snapshot().positions

    for seconds, price in ((120, 100.0), (1, 94.0), (120, 100.0), (60, 101.0)):
        other.now_ns = world.now_ns = world.now_ns + seconds * SECOND_NS
        world.feed.touch("AAA", price, world.now_ns)
    other.broker.start()

    assert [(each.position_id, each.stop) for each in held] == [("o1", 95.0)]
    assert [(each.kind, each.price) for each in other.broker.fills()][1:] == [("stop", 95.0)]
    assert [each["what"] for each in other.events] == ["pump"]


def test_what_was_taken_out_of_a_mailbox_is_not_told_again() -> None:
    """After a restart the mailboxes hold the order events that nobody has taken yet."""
    world = PaperWorld(SYMBOLS)
    world.broker.start()
    world.order(stop=95.0)
    world.order(Side.BUY, OrderType.LIMIT, price=90.0)
    world.broker.cancel("o2")
    world.pass_time()
    world.broker.close("o1", client_id="c1")
    world.pass_time()
    other = PaperWorld(SYMBOLS, feed=world.feed)

    other.broker.restore(world.events, {"AAA": 2})

    told = list(world.broker.mailbox("AAA"))
    assert [each.order.order_id for each in told] == ["o2", "o1", "c1"]
    assert list(other.broker.mailbox("AAA")) == told[2:]


def test_nothing_is_done_that_could_not_be_written_down() -> None:
    """An order whose event cannot be kept is not placed, and its error reaches who placed it."""
    world = PaperWorld()
    world.broker.start()
    broken = world.request(Side.BUY, OrderType.MARKET, symbol="AAA")

    def fail(event: Any) -> None:
        raise OSError("the disk is full")

    world.broker._on_event = fail
    with pytest.raises(OSError, match="full"):
        world.broker.place(broken)
    world.broker._on_event = None

    world.pass_time()

    assert world.told() == []
    assert world.broker.find_order(broken.client_id) is None


def test_quotes_that_reach_nothing_are_told_of_once() -> None:
    """Without orders, and while a stop is far, the last quotes are told of only with what happens next."""
    world = PaperWorld()
    world.broker.start()
    for _ in range(10):
        world.pass_time()
    quiet = [each["what"] for each in world.events]
    world.order(stop=95.0)
    world.pass_time()
    for price in (101.0, 96.0, 99.0, 95.0):
        world.pass_time(1, price)

    told = [(each["what"], (each["at"] - START_NS) // SECOND_NS) for each in world.events]

    assert quiet == ["start"]
    assert told == [("start", 0), ("pump", 10), ("place", 10), ("pump", 11), ("pump", 14), ("pump", 15)]
    assert [each["quotes"][0][2] for each in world.events if each["what"] == "pump"] == [99.99, 99.99, 98.99, 94.99]


def test_threads_that_place_at_once_take_their_turns() -> None:
    """Orders of several threads come one after the other, each whole, and telling them again gives the same."""
    world = PaperWorld(SYMBOLS)
    world.broker.start()
    requests = {
        symbol: [world.request(Side.BUY, OrderType.LIMIT, symbol=symbol, price=90.0 + 0.01 * k) for k in range(100)]
        for symbol in SYMBOLS
    }

    def place(symbol: str) -> None:
        for request in requests[symbol]:
            assert world.broker.place(request).accepted

    threads = [start_thread(symbol, lambda symbol=symbol: place(symbol)) for symbol in SYMBOLS]  # type: ignore[misc]  # the checker cannot see the type of a default
    for _ in range(50):
        world.broker.refresh()
    for thread in threads:
        thread.join()

    assert len(world.broker.snapshot().orders) == 200
    assert state(restored(world).broker) == state(world.broker)


def test_orders_of_before_are_judged_by_the_rules_of_then() -> None:
    """A venue that has changed its least volume meanwhile undoes nothing; what is ordered later keeps to it."""
    world = PaperWorld(SYMBOLS)
    world.broker.start()
    world.order(volume=0.5, stop=95.0)
    world.pass_time()

    other = restored(world, min_volume=1.0)
    held = other.broker.position("b", "AAA").volume
    other.broker.start()
    refused = other.order(symbol="BBB", volume=0.5, client_id="x")
    again = PaperWorld(SYMBOLS, feed=world.feed)
    again.broker.restore([*world.events, *other.events])

    assert held == 0.5
    assert refused.code == "min_volume"
    assert [each["what"] for each in other.events] == ["rules", "place"]
    assert other.broker.instrument("AAA").min_volume == again.broker.instrument("AAA").min_volume == 1.0


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"at": START_NS, "what": "dance"}, "expected an event"),
        ({"at": START_NS, "what": "pump", "quotes": [["CCC", START_NS, 1.0, 2.0]], "bars": []}, "expected prices of"),
        ({"at": START_NS, "what": "pump", "quotes": [], "bars": [["AAA", 7, 0, 1, 1, 1, 1, 0]]}, "expected prices of"),
    ],
)
def test_events_of_something_else_are_refused(event: dict[str, Any], words: str) -> None:
    """What is no event of a paper account, or one of other symbols and timeframes, says so."""
    world = PaperWorld()

    with pytest.raises(DataError, match=words):
        world.broker.restore([event])


PRICES = st.sampled_from([92.0, 95.0, 98.0, 99.0, 100.0, 101.0, 102.0, 105.0, 108.0])
STEPS = st.one_of(
    st.tuples(st.just("time"), st.sampled_from([0.25, 1.0, 20.0, 61.0]), PRICES, st.sampled_from(SYMBOLS)),
    st.tuples(st.just("touch"), st.just(0.0), PRICES, st.sampled_from(SYMBOLS)),
    st.tuples(st.sampled_from([
        "market", "limit", "stop", "trailing", "bracket", "cancel", "modify", "protect", "close",
    ]), st.sampled_from([0.0, 0.4]), PRICES, st.sampled_from(SYMBOLS)),
)  # fmt: skip


def do(world: PaperWorld, what: str, seconds: float, price: float, symbol: str) -> None:
    """One step of a made-up day; what is refused is part of it."""
    broker = world.broker
    side = Side.BUY if price < 100 else Side.SELL
    world.now_ns += round(seconds * SECOND_NS)
    orders, held = broker.snapshot().orders, broker.positions(symbol)
    match what:
        case "time":
            world.now_ns -= round(seconds * SECOND_NS)
            world.pass_time(seconds, price, symbol)
        case "touch":
            world.feed.touch(symbol, price, world.now_ns)
        case "market":
            world.order(side, symbol=symbol, stop_distance=2.0, target_r=2.0)
        case "limit":
            world.order(side, OrderType.LIMIT, symbol=symbol, price=price, expires_ns=world.now_ns + MINUTE_NS)
        case "stop":
            world.order(Side.BUY if price > 100 else Side.SELL, OrderType.STOP, symbol=symbol, price=price, group="g")
        case "trailing":
            world.order(side, symbol=symbol, stop_trail_distance=1.5)
        case "bracket":
            world.order(side, OrderType.LIMIT, symbol=symbol, price=price, group="g", stop_distance=3.0)
        case "cancel" if orders:
            broker.cancel(orders[0].order_id)
        case "modify" if orders:
            broker.modify(orders[-1].order_id, price=price)
        case "protect" if held:
            broker.protect(held[0].position_id, stop=price)
        case "close" if held:
            broker.close(held[0].position_id, client_id=f"c{world.now_ns}", volume=0.5)


@settings(max_examples=35, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=60), st.booleans(), st.sampled_from(["netting", "hedging"]))
def test_any_day_that_is_told_again_is_the_same(
    steps: list[tuple[str, float, float, str]], costly: bool, positions: str
) -> None:
    """Whatever is ordered while prices go anywhere, the same things give the same account."""
    more: dict[str, Any] = {"costs": COSTLY if costly else COSTS, "account": {"positions": positions}}
    world = PaperWorld(SYMBOLS, **more)
    world.broker.start()
    for step in steps:
        do(world, *step)

    world.order(symbol="AAA")  # brings along what nobody was told of yet

    again = restored(world, **more)

    assert state(again.broker) == state(world.broker)
