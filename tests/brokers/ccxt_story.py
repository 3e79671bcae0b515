"""A short life of a bot at the local venue, behind its guard, under a clock that controls time: for tests of faults.

The market of the clock is the venue and a feed that reads the account every few seconds, as a feed thread does.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from src.backtesting.engine.time_controller import TimeController
from src.core.clock import PHASE_WORKER, Participant
from src.core.errors import BrokerUnavailable
from src.core.journal import Journal
from src.core.records import OrderEvent, OrderRequest, OrderState, OrderType, Side
from src.core.steady_broker import SteadyBroker
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault
from tests.brokers.ccxt_benches import SYMBOL, CcxtBench, ccxt_bench
from tests.brokers.contract_benches import Silent

__all__ = ["Story", "tell"]

POLL_NS = 15 * SECOND_NS
LASTS_NS = 40 * MINUTE_NS


class Feed:
    """See `src.backtesting.engine.ports.Market`: the venue's time goes on, and the account is read."""

    def __init__(self, bench: CcxtBench) -> None:
        self.start_ns = bench.now_ns()
        self.end_ns = self.start_ns + LASTS_NS
        self.signals = bench.broker.signals
        self._bench = bench
        self.unread = 0

    def next_ns(self) -> int | None:
        """See `Market.next_ns`."""
        due_ns = self._bench.now_ns() + POLL_NS
        return due_ns if due_ns <= self.end_ns else None

    def advance(self, instant_ns: int) -> Sequence[str]:
        """See `Market.advance`."""
        self._bench.venue.advance_to(instant_ns)
        try:
            self._bench.broker.refresh()
        except BrokerUnavailable:
            self.unread += 1
        return ()


@dataclass(slots=True)
class Story:
    """What came of it.

    Attributes:
        calls: how many requests the venue got, before the bot began and in all.
        problems: what does not add up, a sentence each.
    """

    began: int = 0
    calls: int = 0
    endpoints: list[str] = field(default_factory=list)
    events: list[OrderEvent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def tell(
    fault: Fault | None = None, make: Callable[..., AbstractContextManager[CcxtBench]] = ccxt_bench,
    look: "Callable[[CcxtBench, Story], None] | None" = None,
) -> Story:  # fmt: skip
    """Let it happen, with one thing going wrong.

    Args:
        fault: the number of its call counts from the bot's first one.
        make: the account.
        look: finds problems in the end.
    """
    with make() as bench:
        clock, feed = TimeController(()), Feed(bench)
        clock.attach(feed)
        steady = SteadyBroker(bench.broker, clock, Journal())
        story = Story(began=bench.venue.calls[-1].number)
        if fault is not None:
            bench.venue.fail(fault)

        def life() -> None:
            try:
                _live(steady, clock, story)
            finally:
                clock.stop("the story is over")

        steady.start(SECOND_NS)
        clock.spawn(Participant(name="bot", phase=PHASE_WORKER, rank=0, wake=Silent()), life)
        clock.drive()
        story.calls = bench.venue.calls[-1].number
        story.endpoints = [call.endpoint for call in bench.venue.calls if call.number > story.began]
        (look or _look_for_problems)(bench, story)
    return story


def _live(steady: SteadyBroker, clock: TimeController, story: Story) -> None:
    mailbox = steady.mailbox(SYMBOL)

    def wait(condition: Callable[[], bool], minutes: int) -> bool:
        def read() -> bool:
            while mailbox:
                story.events.append(mailbox.popleft())
            return condition()

        if not read():
            clock.wait_until(read, "something to happen", minutes * MINUTE_NS)
        return read()

    def held() -> float:
        return steady.position("S", SYMBOL).volume

    def request(name: str, type_: OrderType, volume: float, **more: float) -> OrderRequest:
        return OrderRequest(
            client_id=f"kstory{name}", book="S", symbol=SYMBOL, side=Side.BUY, type=type_, volume=volume,
            **more,  # type: ignore[arg-type]  # prices
        )  # fmt: skip

    steady.place(request("in", OrderType.MARKET, 1.0, stop=90.0, target=130.0))
    wait(lambda: held() != 0, 4)
    if held():
        steady.protect(steady.position("S", SYMBOL).position_id, stop=92.0)
        steady.place(request("rest", OrderType.LIMIT, 0.5, price=80.0))
        wait(lambda: False, 1)
        steady.modify("kstoryrest", price=81.0)
        wait(lambda: False, 1)
        steady.cancel("kstoryrest")
        if held():
            steady.close(steady.position("S", SYMBOL).position_id, client_id="kstorypart", volume=0.3)
        wait(lambda: held() <= 0.7, 3)
        if held():
            steady.close(steady.position("S", SYMBOL).position_id, client_id="kstoryout")
    wait(lambda: not held(), 8)
    steady.end_entries(SYMBOL)
    wait(lambda: False, 4)


def _look_for_problems(bench: CcxtBench, story: Story) -> None:
    """The venue's own truth against what the bot believes."""
    venue = bench.venue
    venue.heal()
    with suppress(BrokerUnavailable):
        bench.broker.refresh()
    truth = venue.broker.snapshot()
    if truth.positions:
        story.problems.append(f"held in the end: {truth.positions}")
    if truth.orders:
        story.problems.append(f"working in the end: {[each.request for each in truth.orders]}")
    if bench.broker.snapshot().positions:
        story.problems.append(f"believed in the end: {bench.broker.snapshot().positions}")
    net = sum(event.trade.net for event in story.events if event.trade is not None)
    gained = truth.account.balance - 10_000
    if abs(net - gained) > 1e-6:
        story.problems.append(f"the trades made {net} and the balance changed by {gained}")
    fills = [event.fill.fill_id for event in story.events if event.fill is not None]
    if len(fills) != len(set(fills)):
        story.problems.append(f"executions told twice: {fills}")
    bought = sum(event.fill.volume for event in story.events if event.fill is not None and event.fill.side is Side.BUY)
    if bought > 1.0 + 1e-9:
        story.problems.append(f"bought {bought}, wanted 1")
    ended = {event.order.order_id: event.order.state for event in story.events}
    open_ids = [order_id for order_id, state in ended.items() if not OrderState(state).is_final]
    if [each for each in open_ids if not each.startswith("ps")]:
        story.problems.append(f"never ended: {open_ids}")
