"""The fault loop: every call of a busy bot fails once in each way, and it notices a bot that does not survive that."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.schedules import policy_named
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.brokers.simulated import Commission, Costs, Slippage
from src.core.errors import BrokerUnavailable, InternalError
from src.core.records import OrderRequest, OrderResult
from src.core.risk_manager import RiskManager
from src.core.steady_broker import SteadyBroker
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.testing.fault_loop import EVERY_FAULT, fault_loop, problems_of
from tests.brokers.fault_worlds import Moving, busy_world
from tests.generators import faults

START_NS = parse_instant("2024-01-01")
LATE = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=1, after_ns=20 * SECOND_NS)


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
