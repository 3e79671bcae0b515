"""The bot's guard gives a broker that keeps the contract, also over a venue that repeats itself and answers late."""

from collections.abc import Callable

import pytest

from src.backtesting.engine.faulty_market import FaultyMarket
from src.backtesting.engine.time_controller import TimeController
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.brokers.faulty import FaultyBroker
from src.core.clock import PHASE_WORKER, Participant
from src.core.errors import BrokerContractError
from src.core.journal import Journal
from src.core.records import OrderRequest, OrderType, Side
from src.core.steady_broker import SteadyBroker
from src.core.wall_clock import WallClock
from src.testing.broker_contract import CASES, Bench, BenchFactory, Case, cases_for, check
from tests.brokers.contract_benches import ACCOUNTS, START_NS, Silent, VenueBench

ALWAYS = {
    "nothing": (),
    "twice": (Fault(kind=FaultKind.DUPLICATE_ACK, chance_percent=100.0),),
    "late": (Fault(kind=FaultKind.STALE_REPLY, chance_percent=100.0),),
}


def _factory(faults: tuple[Fault, ...], account: str, *, guarded: bool = True) -> BenchFactory:
    def compose(run: Callable[[Bench], None]) -> None:
        bench = VenueBench(ACCOUNTS[account][0], None)
        clock, venue = TimeController(()), bench.broker
        faulty = FaultyBroker(venue, FaultPlan(faults), clock, Journal(), venue.signals)
        steady = SteadyBroker(faulty, clock, Journal())
        clock.attach(FaultyMarket(bench.market, faulty))
        bench.start(clock)
        bench.broker = steady if guarded else faulty  # type: ignore[assignment]  # a broker like any other

        def case() -> None:
            try:
                run(bench)
            finally:
                clock.stop("the case is over")

        steady.start(1_000_000_000)
        clock.spawn(Participant(name="case", phase=PHASE_WORKER, rank=0, wake=Silent()), case)
        clock.drive()

    return compose


@pytest.mark.parametrize(
    ("faults", "account", "case"),
    [
        pytest.param(ALWAYS[name], account, case, id=f"{case.number}-{account}-{name}")
        for name in ALWAYS
        for account, (_, able) in ACCOUNTS.items()
        for case in cases_for(able)
        if account == "netting" or name == "nothing"
    ],
)
def test_the_guard_keeps_to_the_contract(faults: tuple[Fault, ...], account: str, case: Case) -> None:
    """Whatever the venue repeats or tells too late, the bot behind the guard sees a broker that keeps its word."""
    check(case, _factory(faults, account))


def test_without_the_guard_the_contract_is_broken() -> None:
    """The same venue without it tells an event twice."""
    (once,) = [each for each in CASES if each.number == "BC-06"]

    with pytest.raises(BrokerContractError, match="BC-06"):
        check(once, _factory(ALWAYS["twice"], "netting", guarded=False))


def test_an_order_that_was_lost_is_given_up_under_a_clock_that_really_waits() -> None:
    """The guard's own participant looks the order up at its polls, and the strategy's mailbox tells of the end."""
    bench = VenueBench(ACCOUNTS["netting"][0], None)
    clock = WallClock(speed=120_000.0, origin_ns=START_NS)
    bench.start(clock)
    plan = FaultPlan([Fault(kind=FaultKind.TIMEOUT_LOST, call=1)])
    steady = SteadyBroker(FaultyBroker(bench.broker, plan, clock, Journal(), bench.broker.signals), clock, Journal())
    request = OrderRequest(
        client_id="k1", book="S", symbol=bench.symbol, side=Side.BUY, type=OrderType.MARKET, volume=1.0
    )
    told: list[tuple[str, str]] = []

    def case() -> None:
        try:
            mailbox = steady.mailbox(bench.symbol)
            told.append((steady.place(request).code, ""))
            clock.wait_until(lambda: bool(mailbox), "the order's end", 3600 * 10**9)
            told.extend((str(event.order.state), event.order.code) for event in mailbox)
        finally:
            clock.stop("the case is over")

    steady.start(10**9)
    clock.spawn(Participant(name="case", phase=PHASE_WORKER, rank=0, wake=Silent()), case)
    clock.drive()

    assert told == [("unanswered", ""), ("rejected", "lost")]
    assert len(steady.unanswered) == 0
