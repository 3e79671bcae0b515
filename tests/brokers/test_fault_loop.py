"""The fault loop: every call of a busy bot fails once in each way, and it notices a bot that does not survive that."""

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.schedules import policy_named
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.brokers.simulated import Commission, Costs, Slippage
from src.core.bars import Bar
from src.core.changes import no_answer
from src.core.closing import Closing
from src.core.errors import BrokerUnavailable, InternalError
from src.core.records import OrderRequest, OrderResult
from src.core.risk_manager import RiskManager
from src.core.steady_broker import SteadyBroker
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.testing.fault_loop import EVERY_FAULT, fault_loop, problems_of
from tests.brokers.fault_worlds import Moving, Script, busy_world, play
from tests.generators import faults

START_NS = parse_instant("2024-01-01")
LATE = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=1, after_ns=20 * SECOND_NS)
#: The venue tells of an order by itself while it is being asked for it.
FOUND_WHILE_ASKED = [
    Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=1, after_ns=SECOND_NS),
    Fault(
        kind=FaultKind.DISCONNECT, from_ns=START_NS + 61 * SECOND_NS, to_ns=START_NS + 121 * SECOND_NS, calls=1,
        per_ns=MINUTE_NS, factor=5.0,
    ),
]  # fmt: skip


@pytest.mark.slow
def test_a_bot_survives_the_failure_of_each_of_its_calls() -> None:
    """Place, close, cancel, modify or protect: whichever fails, money, positions and orders add up afterwards."""
    runs = fault_loop(lambda plan: busy_world(plan, cls=Moving), most_positions=2)

    acted = Counter(run.kind for run in runs if run.acted)
    assert set(acted) == {fault.kind for fault in EVERY_FAULT}
    assert min(acted.values()) >= 10
    assert len({run.digest for run in runs if not run.acted}) == 1


@pytest.mark.parametrize("fault", [LATE, Fault(kind=FaultKind.STALE_REPLY, call=1)])
def test_it_survives_them_when_it_loses_its_turn_at_each_call(fault: Fault) -> None:
    """What others do between a call and its answer makes no order double."""

    def scenario(plan: FaultPlan) -> BacktestController:
        return busy_world(plan, bars=12, runtime="fibers", policy=policy_named("preemptive", 5))

    assert fault_loop(scenario, [fault], most_positions=2)[-1].acted is False


@pytest.mark.parametrize(
    "kind", [FaultKind.DISCONNECT, FaultKind.RATE_LIMIT, FaultKind.PRICE_FREEZE, FaultKind.FEED_HOLE]
)
def test_it_survives_what_lasts_for_a_while(kind: FaultKind) -> None:
    """For three minutes from each half minute on."""
    for i in range(24):
        from_ns, length_ns = START_NS + i * 30 * SECOND_NS, 3 * MINUTE_NS
        limit = {"calls": 1, "per_ns": MINUTE_NS} if kind is FaultKind.RATE_LIMIT else {}
        fault = Fault(kind=kind, from_ns=from_ns, to_ns=from_ns + length_ns, **limit)
        controller = busy_world(FaultPlan([fault]), bars=24)

        assert problems_of(controller, controller.run(), most_positions=2, away_ns=length_ns) == []


@pytest.mark.slow
@given(planned=st.lists(faults(START_NS, 20), min_size=1, max_size=4), seed=st.integers(0, 99), hedging=st.booleans())
@example(planned=FOUND_WHILE_ASKED, seed=1, hedging=False)
@settings(max_examples=50, deadline=None)
def test_it_survives_several_faults_at_once(planned: list[Fault], seed: int, hedging: bool) -> None:
    """What recovers from one fault may meet the next one; partial fills, delays and other turns on top of it."""
    costs = Costs(
        commission=Commission(), slippage=Slippage(), spread_percent=0.1, spread_points=0.0,
        volume_share=1.0 if seed % 3 == 0 else None, latency_ns=90 * SECOND_NS if seed % 5 == 0 else 0,
    )  # fmt: skip
    away_ns = sum((each.to_ns or 0) - (each.from_ns or 0) for each in planned)
    controller = busy_world(
        FaultPlan(planned, seed), cls=Moving, costs=costs, positions="hedging" if hedging else "netting",
        runtime="fibers", policy=policy_named("preemptive" if seed % 2 else "fifo", seed),
    )  # fmt: skip

    # What gets a position closed may itself be lost, or fall silent.
    patience_ns = away_ns + 10 * MINUTE_NS
    assert problems_of(controller, controller.run(), most_positions=2, away_ns=patience_ns) == []


def test_the_loop_notices_a_bot_that_sends_an_unanswered_order_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request arrives after all, and so the venue has two."""

    def sent_twice(self: SteadyBroker, request: OrderRequest) -> OrderResult:
        try:
            return self._broker.place(request)
        except BrokerUnavailable:
            return self._broker.place(request)

    monkeypatch.setattr(SteadyBroker, "place", sent_twice)

    with pytest.raises(InternalError, match=r"faults: \[\{kind: timeout_accepted, call: 1, .*was sent 2 times"):
        fault_loop(busy_world, [LATE], most_positions=2)


def test_the_loop_notices_a_bot_that_gives_a_reservation_back_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot of an order that may still arrive is given to another one, and then there are three."""
    monkeypatch.setattr(RiskManager, "hold", lambda self, symbol, client_id: None)

    with pytest.raises(InternalError, match="3 books held something at once, 2 were allowed"):
        fault_loop(busy_world, [LATE], most_positions=2)


def test_the_loop_notices_a_bot_that_leaves_a_position_naked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose stop was refused goes on without one."""
    monkeypatch.setattr(SteadyBroker, "_hold_protected", lambda self, fill, request: None)

    with pytest.raises(InternalError, match="without a stop"):
        fault_loop(busy_world, [Fault(kind=FaultKind.STOP_WITHOUT_ID, call=1)])


def test_the_loop_notices_a_bot_that_believes_an_old_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account from before the last order has a slot too many."""
    monkeypatch.setattr(SteadyBroker, "_misses", lambda self, snapshot: False)

    with pytest.raises(InternalError, match="3 books held something at once, 2 were allowed"):
        fault_loop(busy_world, [Fault(kind=FaultKind.STALE_REPLY, call=1)], most_positions=2)


def _asked_once(name: str) -> Callable[..., OrderResult]:
    """A call that gives up when nobody answers."""

    def ask(self: SteadyBroker, *about: Any, **values: Any) -> OrderResult:
        try:
            return cast(OrderResult, getattr(self._broker, name)(*about, **values))
        except BrokerUnavailable as error:
            return no_answer(error)

    return ask


LOST = Fault(kind=FaultKind.TIMEOUT_LOST, call=1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cancel", "was to be cancelled, and it worked on"),
        ("protect", "the stop of .* was to be .*, and the venue has"),
    ],
)
def test_the_loop_notices_a_bot_that_asks_once(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    """An order that nobody wants any more works on, and a stop stays where it was."""
    monkeypatch.setattr(SteadyBroker, name, _asked_once(name))

    with pytest.raises(InternalError, match=rf"faults: \[\{{kind: timeout_lost, .*{said}"):
        fault_loop(busy_world, [LOST], most_positions=2)


def test_the_loop_notices_a_bot_that_changes_an_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that was to be moved rests where it was."""
    monkeypatch.setattr(SteadyBroker, "modify", _asked_once("modify"))

    assert _resting_and_moved(Fault(kind=FaultKind.TIMEOUT_LOST, call=2)) == [
        "the price of the order was to be 94, and the venue has 95.0"
    ]


def test_the_loop_notices_a_bot_that_forgets_an_order_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It works at the venue, nothing is reserved for it, and its slot is given to another one."""
    resolve = RiskManager.resolve

    def forget(self: RiskManager, symbol: str, client_id: str, *, found: bool) -> None:
        resolve(self, symbol, client_id, found=False)

    monkeypatch.setattr(RiskManager, "resolve", forget)

    script: Script = {(symbol, minute): _rest for symbol, minute in (("AAA", 2), ("BBB", 5))}
    fault = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=1)
    played = play(script, [fault], symbols=("AAA", "BBB"), risk={"max_open_positions": 1})

    assert problems_of(played.controller, played.result, most_positions=1) == [
        "2 books held something or had an entry at work, 1 were allowed"
    ]


def _rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.buy(limit=95.0, stop=90.0)


def _resting_and_moved(fault: Fault) -> list[str]:
    """What does not add up when a limit is placed, moved, and rests on; its id is put in words."""
    placed: list[str] = []

    def rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
        result = _rest(strategy, bar)
        placed.append(result.order_id)
        return result

    script: Script = {("AAA", 2): rest, ("AAA", 4): lambda strategy, bar: strategy.modify(placed[0], price=94.0)}
    return [each.replace(placed[0], "the order") for each in play(script, [fault]).problems]


def test_the_loop_notices_a_bot_that_does_not_replace_an_exit_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wanted out stays in until a stop is reached, some minutes later."""
    monkeypatch.setattr(Closing, "ended", lambda self, order: None)

    with pytest.raises(
        InternalError, match="timeout_lost, .* was to close what Busy holds of .*, and it is still held"
    ):
        fault_loop(busy_world, [LOST], most_positions=2)


def test_what_is_sent_again_inside_a_long_bar_may_wait_for_its_end() -> None:
    """An exit was lost; another one is sent two minutes later and fills when the hour is over."""
    script: Script = {
        ("AAA", 60): lambda strategy, bar: strategy.buy(),
        ("AAA", 180): lambda strategy, bar: strategy.close(),
    }

    played = play(script, [Fault(kind=FaultKind.TIMEOUT_LOST, order=2)], timeframe="1h")

    assert [(minute, kind) for minute, kind, _ in played.fills()] == [(60, "entry"), (240, "exit")]
    assert played.problems == []
