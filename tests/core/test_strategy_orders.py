"""The rarer words of `buy` and `sell`, and `modify`: what a strategy writes and what the venue gets."""

import math
from typing import Any, cast

import pytest

from src.core.config import RiskConfig, StrategyConfig
from src.core.features import FeatureStore
from src.core.order_desk import OrderDesk
from src.core.records import Order, OrderRequest, OrderState, OrderType, TimeInForce, TriggerBy, make_order_result
from src.core.risk_manager import RiskManager
from src.core.strategy import BarStrategy, Strategy
from src.core.strategy_runner import StrategyRunner
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue


def flat(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


class Trader:
    """One strategy before a venue, without a bot around it; 100 unless other bars are given."""

    def __init__(self, bars: list[Prices] | None = None, limits: dict[str, Any] | None = None, **venue: Any) -> None:
        self.venue = Venue(bars or [flat(100.0)] * 20, **venue)
        broker, clock, journal = self.venue.broker, self.venue.clock, self.venue.journal
        config = RiskConfig(**{"size": {"volume": 1}, **(limits or {})})
        hedging = self.venue.config.positions == "hedging"
        self.risk = RiskManager(config, broker, clock, hedging=hedging)  # type: ignore[arg-type]  # asked for the time only
        self.desk = OrderDesk("worker", "main", broker, self.risk, clock, journal)  # type: ignore[arg-type]  # as above
        self.runner = StrategyRunner(
            BarStrategy, StrategyConfig(use="sma", name="sma"), "AAA", broker, clock, self.desk, FeatureStore(), "here",  # type: ignore[arg-type]  # as above
        )  # fmt: skip

    @property
    def strategy(self) -> Strategy:
        """The strategy, with everything shown to it that has closed."""
        self.runner.run()
        return self.runner.strategy

    @property
    def orders(self) -> tuple[Order, ...]:
        """The working orders."""
        return self.venue.broker.snapshot().orders

    @property
    def request(self) -> OrderRequest:
        """The only working order's request."""
        (order,) = self.orders
        return order.request


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ({"trigger": 101.2, "trigger_limit": 102.3}, {"type": OrderType.STOP_LIMIT, "price": 101.0, "limit": 102.5}),
        ({"trail_distance": 3}, {"type": OrderType.TRAILING_STOP, "price": None, "trail_distance": 3.0}),
        ({"trail_percent": 2}, {"type": OrderType.TRAILING_STOP, "trail_percent": 2.0}),
        ({"limit": 99.0, "time_in_force": "day"}, {"type": OrderType.LIMIT, "time_in_force": TimeInForce.DAY}),
        ({"time_in_force": "fok"}, {"type": OrderType.MARKET, "time_in_force": TimeInForce.FOK}),
        ({"limit": 99.0, "post_only": True}, {"post_only": True}),
        ({"trigger": 101.0, "trigger_by": "last"}, {"trigger_by": TriggerBy.LAST}),
        ({"limit": 99.0, "group": "g"}, {"group": "g", "parent": "", "reduce_only": False}),
        ({"stop_trail_distance": 2}, {"stop_trail_distance": 2.0, "stop": None}),
        ({"stop": 95, "stop_trail_percent": 2}, {"stop": 95.0, "stop_trail_percent": 2.0}),
    ],
)
def test_words_become_terms_of_the_order(written: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each word of `buy` arrives as the field of the request; prices on the tick, numbers as floats."""
    trader = Trader(instrument={"tick": 0.5})

    assert trader.strategy.buy(**written).accepted
    assert {name: getattr(trader.request, name) for name in sent} == sent
    ((identity, *terms),) = trader.venue.recorded("terms")
    assert identity == trader.request.client_id
    assert trader.request.time_in_force in terms


def test_an_order_without_such_words_leaves_no_record_of_terms() -> None:
    """What is not used is not written down."""
    trader = Trader()

    trader.strategy.buy(limit=99.0, stop=95.0)

    assert trader.venue.recorded("terms") == []


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ({"time_in_force": "soon"}, "time_in_force"),
        ({"trigger_by": "news"}, "trigger_by"),
        ({"trigger_limit": 102.0}, "no_trigger"),
        ({"limit": 99.0, "trigger_limit": 102.0}, "no_trigger"),
        ({"limit": 99.0, "trail_distance": 1.0}, "trail"),
        ({"trigger": 101.0, "trail_percent": 1.0}, "trail"),
        ({"trail_distance": 1.0, "trail_atr": 1.0}, "trail"),
        ({"trail_distance": 1.0, "trail_percent": 1.0}, "trail"),
        ({"trail_atr": 2.0}, "no_atr"),
        ({"trail_distance": math.nan}, "not_a_number"),
        ({"trail_percent": math.inf}, "not_a_number"),
        ({"trail_distance": -1.0}, "distance"),
        ({"stop_trail_distance": -1.0}, "distance"),
        ({"stop_trail_percent": math.nan}, "not_a_number"),
        ({"trigger": 101.0, "trigger_limit": -1.0}, "price"),
        ({"limit": 99.0, "time_in_force": "gtd"}, "no_expiry"),
        ({"reduce_only": True}, "nothing_to_reduce"),
        ({"reduce_only": True, "volume": 0.1}, "too_small"),
        ({"reduce_only": True, "volume": 1.0, "target_r": 2.0}, "reduce_only"),
        ({"reduce_only": True, "volume": 1.0, "stop_trail_percent": 2.0}, "reduce_only"),
        ({"limit": 99.0, "parent": "nobody"}, "no_parent"),
        ({"time_in_force": ["ioc"]}, "time_in_force"),
        ({"trigger_by": {"mark": 1}}, "trigger_by"),
        ({"group": 7}, "group"),
        ({"parent": ["o1"]}, "parent"),
        ({"trail_distance": "far"}, "not_a_number"),
        ({"volume": "much"}, "not_a_number"),
        ({"limit": [99.0]}, "not_a_number"),
        ({"trigger": {"at": 101.0}}, "not_a_number"),
        ({"limit": "low", "trigger": 101.0}, "not_a_number"),
        ({"limit": 99.0, "trigger": 101.0}, "limit_and_trigger"),
        ({"stop": "below", "target_r": 2.0}, "not_a_number"),
        ({"stop_distance": 10**400}, "not_a_number"),
        ({"stop_trail_percent": [2]}, "not_a_number"),
        ({"trail_atr": 2.0, "atr_length": 0}, "atr_length"),
        ({"trail_atr": 2.0, "atr_length": 2.5}, "atr_length"),
        ({"stop": 95.0, "stop_distance": 2.0}, "unused_distance"),
        ({"target_distance": 2.0, "target_r": 2.0, "stop": 95.0}, "unused_distance"),
    ],
)
def test_words_that_do_not_fit_are_refused_and_recorded(written: dict[str, Any], code: str) -> None:
    """A value with a code and a sentence, counted once, with nothing left behind."""
    trader = Trader(instrument={"volume_step": 0.5}, limits={"max_open_positions": 1})

    result = trader.strategy.buy(**written)

    assert (result.accepted, result.code, trader.desk.refusals) == (False, code, {code: 1})
    assert result.message
    assert (trader.orders, trader.risk.reserved) == ((), ())
    assert len(trader.venue.recorded("decision")) == 1


def test_a_multiple_of_average_true_ranges_that_is_no_number_is_refused() -> None:
    """There are bars enough, and still nothing can be worked out."""
    trader = Trader([[100.0, 102.0, 98.0, 100.0]] * 20)
    trader.venue.go_to(5)

    multiples: list[Any] = ["two", [2], 10**400, 2]

    codes = [trader.strategy.buy(trail_atr=two, atr_length=3).code for two in multiples]

    assert codes == ["not_a_number"] * 3 + [""]


def test_what_is_said_of_a_position_or_an_order_with_no_number_is_refused() -> None:
    """Nothing moves, closes or changes, and each is counted."""
    trader = Trader()
    trader.strategy.buy(volume=1.0)
    trader.venue.go_to(1)
    resting = trader.strategy.buy(volume=1.0, limit=95.0).order_id
    strategy, text, numbers = trader.strategy, cast(Any, "x"), cast(Any, [1])

    results = [
        strategy.close(volume=text), strategy.move_stop(text), strategy.move_target(numbers),
        strategy.modify(resting, price=text), strategy.modify(resting, volume=numbers),
    ]  # fmt: skip

    assert [result.code for result in results] == ["not_a_number"] * 5
    assert trader.desk.refusals == {"not_a_number": 5}
    assert (trader.request.price, trader.venue.position.volume) == (95.0, 1.0)


def test_average_true_ranges_become_the_distances_that_they_are_now() -> None:
    """A venue knows no average true range: the bot says how far that is at the bar that it has reached."""
    trader = Trader([[100.0, 102.0, 98.0, 100.0]] * 20)
    trader.venue.go_to(5)

    first = trader.strategy.sell(trail_atr=2, atr_length=3)
    second = trader.strategy.buy(limit=95.0, stop_trail_atr=1.5, atr_length=3)

    assert (first.code, second.code) == ("", "")
    by_id = {order.order_id: order.request for order in trader.orders}
    assert by_id[first.order_id].trail_distance == 8.0
    assert by_id[second.order_id].stop_trail_distance == 6.0


def test_a_volume_off_the_step_is_rounded_down_and_that_is_recorded() -> None:
    """For an entry, a close, and a change; a volume on the step leaves no record."""
    trader = Trader(instrument={"volume_step": 0.5})
    entry = trader.strategy.buy(volume=2.3).order_id
    trader.venue.go_to(1)
    resting = trader.strategy.buy(volume=1.0, limit=95.0).order_id
    trader.strategy.modify(resting, volume=1.7)
    trader.strategy.close(volume=0.8)

    adjusted = trader.venue.recorded("adjusted")

    assert [values[1:] for values in adjusted] == [("volume", 2.3, 2.0), ("volume", 1.7, 1.5), ("volume", 0.8, 0.5)]
    assert [values[0] for values in adjusted][:2] == [entry, resting]


# -- what only reduces ---------------------------------------------------------------------------------------------


def test_what_only_reduces_takes_no_slot_and_closes_what_is_held() -> None:
    """A target and a stop as orders of one group: the size is what is held, and the other one goes with the first."""
    bars = [flat(100.0), flat(100.0), [100.0, 106.0, 100.0, 106.0], flat(106.0), flat(106.0)]
    trader = Trader(bars, limits={"max_open_positions": 1})
    trader.strategy.buy(volume=3.0)
    trader.venue.go_to(1)

    results = [
        trader.strategy.sell(limit=105.0, reduce_only=True, group="exit"),
        trader.strategy.sell(trigger=95.0, reduce_only=True, group="exit"),
    ]
    trader.venue.go_to(3)

    assert [result.code for result in results] == ["", ""]
    assert (trader.orders, trader.venue.position.volume) == ((), 0.0)
    assert trader.strategy.buy().accepted
    assert [values[1] for values in trader.venue.recorded("decision")] == [
        "enter", "reduce", "reduce", "enter",
    ]  # fmt: skip


def test_what_only_reduces_belongs_to_the_position_it_was_placed_for() -> None:
    """When that position has been closed, the order does not touch the next one of the strategy."""
    bars = [flat(100.0)] * 5 + [[100.0, 106.0, 100.0, 106.0], flat(106.0)]
    trader = Trader(bars)
    trader.strategy.buy()
    trader.venue.go_to(1)
    trader.strategy.sell(limit=105.0, reduce_only=True)
    trader.strategy.close()
    trader.venue.go_to(2)
    trader.strategy.buy()
    trader.venue.go_to(6)

    assert trader.venue.position.volume == 1.0
    assert trader.venue.broker.orders()[-1].code == "nothing_to_reduce"


def test_an_exit_can_be_placed_together_with_its_entry() -> None:
    """As a child it has the size of its parent, sleeps until that has filled, and goes when that goes."""
    trader = Trader([flat(100.0), flat(100.0), [100.0, 100.0, 94.0, 100.0], [100.0, 106.0, 100.0, 106.0], flat(106.0)])
    entry = trader.strategy.buy(volume=2.0, limit=95.0)
    other = trader.strategy.buy(volume=2.0, limit=50.0)
    for parent in (entry, other):
        assert trader.strategy.sell(limit=105.0, reduce_only=True, parent=parent.order_id).accepted

    trader.strategy.cancel(other.order_id)
    trader.venue.go_to(4)

    assert [(fill.price, fill.volume) for fill in trader.venue.fills] == [(95.0, 2.0), (105.0, 2.0)]
    assert trader.orders == ()


# -- what an entry with such words risks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "volume"),
    [
        ({"stop_trail_distance": 4.0}, 25.0),
        ({"stop_trail_percent": 5.0}, 20.0),
        ({"trigger": 102.0, "trigger_limit": 104.0, "stop": 99.0}, 20.0),  # at worst it fills at the limit
        ({"trail_distance": 4.0, "stop": 99.0}, 20.0),  # its trigger would be 104 now
    ],
)
def test_a_size_by_risk_counts_the_worst_entry_and_where_its_stop_begins(
    written: dict[str, Any], volume: float
) -> None:
    """One percent of 10,000 over the distance from entry to stop."""
    trader = Trader(limits={"size": {"risk_percent": 1.0}})

    assert trader.strategy.buy(**written).accepted
    assert trader.request.volume == pytest.approx(volume)


# -- changing ------------------------------------------------------------------------------------------------------


def test_a_change_is_judged_as_the_entry_that_it_makes() -> None:
    """More volume than the limits allow is refused and leaves the order; what is allowed is reserved."""
    trader = Trader(limits={"max_open_risk_percent": 1.0})
    order = trader.strategy.buy(volume=10.0, limit=99.0, stop=95.0).order_id

    too_much = trader.strategy.modify(order, volume=30.0)
    kept = trader.request.volume
    more = trader.strategy.modify(order, volume=20.0, price=98.0)
    beside = trader.strategy.buy(volume=25.0, limit=97.0, stop=95.0)

    assert (too_much.code, kept, more.code, beside.code) == ("open_risk", 10.0, "", "open_risk")
    assert (trader.request.volume, trader.request.price) == (20.0, 98.0)
    assert [values[1:3] for values in trader.venue.recorded("decision")] == [
        ("enter", "accepted"), ("modify", "open_risk"), ("modify", "accepted"), ("enter", "open_risk"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        {"limit": 99.0, "stop_trail_percent": 2.0},
        {"trail_distance": 1.0, "stop_distance": 1.98},
        {"trail_percent": 1.0, "stop_trail_percent": 1.9},
    ],
)
def test_a_change_is_judged_by_a_stop_and_a_trigger_that_follow_the_price(entry: dict[str, Any]) -> None:
    """10 units risk nearly 20 of the allowed 100, 40 units 80; 60 are too much, and no number is lost on the way."""
    trader = Trader(limits={"max_open_risk_percent": 1.0})
    order = trader.strategy.buy(volume=10.0, **entry).order_id

    codes = [trader.strategy.modify(order, volume=volume).code for volume in (60.0, 40.0)]

    assert (codes, trader.request.volume) == (["open_risk", ""], 40.0)


def test_a_change_takes_no_second_slot() -> None:
    """The order keeps the one that it has, also where each entry takes one of its own."""
    trader = Trader(limits={"max_open_positions": 1}, account={"positions": "hedging"})
    order = trader.strategy.buy(limit=99.0).order_id

    assert trader.strategy.modify(order, price=98.0).accepted
    assert trader.risk.reserved == (order,)
    assert trader.strategy.buy(limit=99.0).code == "max_open_positions"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"volume": math.nan}, "not_a_number"),
        ({"price": math.inf}, "not_a_number"),
        ({"volume": -1.0}, "too_small"),
        ({"price": -1.0}, "price"),
        ({"price": 101.0}, "post_only"),
    ],
)
def test_a_change_to_what_is_no_order_is_refused(change: dict[str, Any], code: str) -> None:
    """A value with a code; the order stays as it was and keeps what it has reserved."""
    trader = Trader()
    order = trader.strategy.buy(limit=95.0, post_only=True).order_id

    result = trader.strategy.modify(order, **change)

    assert (result.accepted, result.code) == (False, code)
    assert result.message
    assert (trader.request.price, trader.request.volume, trader.risk.reserved) == (95.0, 1.0, (order,))


def test_the_limit_of_a_stop_limit_is_changed_and_its_risk_with_it() -> None:
    """It stands in the journal with the decision; 3 at 105 down to 95 were 30 of 60, and at 116 they are 63."""
    trader = Trader(limits={"max_open_risk_percent": 0.6}, instrument={"tick": 0.5})
    order = trader.strategy.buy(volume=3, trigger=103.0, trigger_limit=105.0, stop=95.0).order_id

    codes = [trader.strategy.modify(order, limit=limit).code for limit in (116.0, 110.2)]

    assert (codes, trader.request.price, trader.request.limit) == (["open_risk", ""], 103.0, 110.0)
    assert [record[2] for record in trader.venue.recorded("terms")] == [105.0, 116.0, 110.0]


@pytest.mark.parametrize(("code", "beside"), [("", True), ("unanswered", False), ("rate_limit", False)])
def test_a_change_that_the_venue_refuses_keeps_no_larger_reservation(
    monkeypatch: pytest.MonkeyPatch, code: str, beside: bool
) -> None:
    """160 of 200 were accepted and 1 is at risk as before; a change that may still be made keeps what it would need."""
    trader = Trader(limits={"max_open_risk_percent": 2.0})
    order = trader.strategy.buy(volume=1, limit=98.0, stop=97.0, post_only=True).order_id
    if code:
        answer = make_order_result(accepted=False, code=code, message="come again")
        monkeypatch.setattr(trader.venue.broker, "modify", lambda *_, **__: answer)

    refused = trader.strategy.modify(order, price=101.0, volume=40.0)

    assert refused.code == (code or "post_only")
    assert trader.strategy.buy(volume=90, stop=99.0).accepted is beside


def test_a_refused_change_gives_back_what_it_alone_would_need() -> None:
    """What an accepted change has reserved before stays: 40 at 98 down to 97, beside which 160 of 200 have room."""
    trader = Trader(limits={"max_open_risk_percent": 2.0})
    order = trader.strategy.buy(volume=1, limit=98.0, stop=97.0, post_only=True).order_id
    trader.strategy.modify(order, volume=40.0)

    refused = [trader.strategy.modify(order, price=101.0).code for _ in range(2)]
    codes = [trader.strategy.buy(volume=volume, stop=96.0).code for volume in (41, 40)]

    assert (refused, codes) == (["post_only", "post_only"], ["open_risk", ""])


def test_changing_or_cancelling_what_has_filled_is_refused() -> None:
    """The race that live has: the fill came first, and the strategy did not know."""
    trader = Trader([flat(100.0), [100.0, 100.0, 94.0, 100.0], flat(100.0), flat(100.0)])
    order = trader.strategy.buy(limit=95.0).order_id
    trader.venue.go_to(1)

    codes = [trader.strategy.modify(order, price=94.0).code, trader.strategy.cancel(order).code]

    assert codes == ["not_working", "not_working"]
    assert trader.venue.position.volume == 1.0


def test_a_day_order_gives_its_slot_back_when_the_session_closes() -> None:
    """What expires returns what it had reserved."""
    trader = Trader(limits={"max_open_positions": 1}, minutes=1441)
    trader.venue.clock.instant_ns = START_NS
    order = trader.strategy.buy(limit=95.0, time_in_force="day", expires_ns=START_NS + 3 * MINUTE_NS)
    trader.venue.go_to(4)

    assert order.accepted
    assert trader.venue.broker.orders()[0].state is OrderState.EXPIRED
    assert trader.strategy.sell().accepted


def test_a_strategy_closes_its_two_sides_against_each_other() -> None:
    """The oldest long against the oldest short, as far as both reach; without two sides there is nothing to do."""
    trader = Trader(account={"positions": "hedging"}, costs={"spread_points": 2.0}, instrument={"volume_step": 0.5})
    trader.strategy.buy(volume=3.0)
    trader.venue.go_to(1)
    before = trader.strategy.close_by()
    trader.strategy.sell(volume=2.0)
    trader.venue.go_to(2)

    codes = [trader.strategy.close_by(volume=0.7).code]
    trader.venue.go_to(3)
    codes.append(trader.strategy.close_by().code)
    trader.venue.go_to(4)

    assert (before.code, codes) == ("no_position", ["", ""])
    assert [fill.volume for fill in trader.venue.fills[2:]] == [0.5, 0.5, 1.5, 1.5]
    assert [each.volume for each in trader.venue.broker.positions("AAA")] == [1.0]
