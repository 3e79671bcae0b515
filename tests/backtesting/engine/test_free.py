"""The free schedule: participants really run at once, and limits, waits and failures keep their meaning.

What the threads do is not reproducible, so the tests hold what must be so whoever is faster. Where two have to run at
once, each waits for the other for real; alone, neither would go on.
"""

from collections.abc import Callable
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.free_controller import FreeTimeController
from src.backtesting.engine.pacing import Pacer, TimeMode
from src.backtesting.reconcile import check_money
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.free import Free
from src.backtesting.tracing import Probe
from src.backtesting.tracing.track import Kind, Span
from src.core.bars import Bar
from src.core.config import BotConfig
from src.core.errors import (
    ConfigError,
    DeadlockError,
    LivelockError,
    StalledThreadError,
    Stopping,
    StrategyError,
)
from src.core.strategy import BarStrategy
from src.core.sync import Event, Lock, runtime_named
from src.core.timeframe import SECOND_NS
from src.testing import bar_series, bot_config, build_world
from tests.backtesting.contended import BALANCE, SYMBOLS, Greedy, check_limits, prices
from tests.backtesting.engine import test_against_reference_model as random_worlds
from tests.delays import DelayedThreads, Delays, wait_for_real
from tests.generators import World, worlds

Act = Callable[[Any], object]
PAIR = ("AAA", "BBB")
BARS = 6
#: Real seconds after which a thread that waits for another gives up; nobody waits so long when all is well.
PATIENCE_S = 120.0


class Acts(BarStrategy):
    """Does what is planned for its symbol, at its third bar or at every one; `board` is shared by all of them."""

    plan: dict[str, Act] = {}
    every_bar = False
    board: dict[str, Any] = {}

    def on_bar(self, bar: Bar) -> None:
        act = self.plan.get(self.symbol)
        if act is not None and (self.every_bar or len(self.bars) == 3):
            act(self)


def quick() -> Pacer:
    """A pace of which nothing is felt."""
    return Pacer(market_factor=1e12)


def world_of(
    plan: dict[str, Act], *, every_bar: bool = False, policy: SchedulePolicy | None = None,
    config: BotConfig | None = None, symbols: tuple[str, ...] = PAIR, **how: Any,
) -> BacktestController:  # fmt: skip
    """A world of symbols whose strategies do what is planned."""
    Acts.plan, Acts.every_bar, Acts.board = plan, every_bar, {}
    series = [bar_series(symbol, [100.0] * BARS) for symbol in symbols]
    return build_world(series, [Acts], config, policy=policy or Free(), pacer=quick(), stall_s=PATIENCE_S, **how)


def go(plan: dict[str, Act], **how: Any) -> BacktestResult:
    """Run it."""
    return world_of(plan, **how).run()


def meets(me: str, other: str) -> Act:
    """Says that it is here and waits, for real, until the other is as well."""

    def act(strategy: Any) -> None:
        strategy.board[me].set()
        strategy.board[f"{me} met"] = strategy.board[other].wait(PATIENCE_S)

    return act


def test_two_workers_run_at_the_same_time() -> None:
    """Each waits in its turn for the other's turn to have begun."""
    world = world_of({"AAA": meets("a", "b"), "BBB": meets("b", "a")})
    Acts.board.update(a=Event(), b=Event())

    result = world.run()

    assert result.outcome is Outcome.COMPLETED, result.error
    assert Acts.board["a met"]
    assert Acts.board["b met"]


def test_who_waits_goes_on_while_the_other_turn_lasts() -> None:
    """A clock's event that one raises in the middle of its turn lets the other go on before that turn ends."""

    def raises(strategy: Any) -> None:
        strategy.board["flag"].set()
        strategy.board["answered"] = strategy.board["answer"].wait(PATIENCE_S)

    def waits(strategy: Any) -> None:
        strategy.board["flag"].wait()
        strategy.board["answer"].set()

    world = world_of({"AAA": raises, "BBB": waits})
    Acts.board.update(flag=world.time_controller.event(), answer=Event())

    result = world.run()

    assert result.outcome is Outcome.COMPLETED, result.error
    assert Acts.board["answered"]


def test_a_helper_thread_runs_beside_its_participant() -> None:
    """What it does is seen before the turn that started it ends."""

    def starts(strategy: Any) -> None:
        ran = Event()
        helper = strategy.clock.start_thread(ran.set)
        strategy.board["seen"] = ran.wait(PATIENCE_S)
        helper.join()

    result = go({"AAA": starts})

    assert result.outcome is Outcome.COMPLETED, result.error
    assert Acts.board["seen"]


def test_a_lock_of_the_clock_excludes_threads_that_really_run() -> None:
    """A sum that is read, waited with and written under the lock misses nothing."""

    def adds(strategy: Any) -> None:
        with strategy.board["lock"]:
            before = strategy.board["sum"]
            wait_for_real(0.0005)
            strategy.board["sum"] = before + 1

    symbols = ("AAA", "BBB", "CCC", "DDD", "EEE")
    world = world_of(dict.fromkeys(symbols, adds), every_bar=True, symbols=symbols)
    Acts.board.update(lock=world.time_controller.lock(), sum=0)

    result = world.run()

    assert result.outcome is Outcome.COMPLETED, result.error
    assert Acts.board["sum"] == len(symbols) * BARS


def test_sleeps_and_timers_end_at_their_instants() -> None:
    """Virtual time is as exact as ever: only who is faster at one instant is open."""
    instants: dict[str, int] = {}

    def sleeps(strategy: Any) -> None:
        began = strategy.clock.now_ns()
        strategy.clock.set_timer(
            7 * SECOND_NS, lambda: instants.update({f"timer {strategy.symbol}": strategy.clock.now_ns() - began})
        )
        strategy.clock.sleep(20 * SECOND_NS)
        instants[f"sleep {strategy.symbol}"] = strategy.clock.now_ns() - began

    result = go({"AAA": sleeps, "BBB": sleeps})

    assert result.outcome is Outcome.COMPLETED, result.error
    assert {name: after_ns // SECOND_NS for name, after_ns in instants.items()} == {
        "timer AAA": 7, "timer BBB": 7, "sleep AAA": 20, "sleep BBB": 20,
    }  # fmt: skip


# -- limits --------------------------------------------------------------------------------------------


def contended_world(policy: SchedulePolicy, delays: Delays | None = None) -> tuple[BacktestController, list[Any]]:
    """Six symbols that compete for two slots and the last margin."""
    series = [bar_series(symbol, prices(symbol)) for symbol in SYMBOLS]
    config = bot_config(
        SYMBOLS, [Greedy], balance=BALANCE, max_open_positions=2,
        manage={"trailing": {"start_r": 0.5, "distance_percent": 0.5}, "time_exit": {"after": "570s"}},
    )  # fmt: skip
    world = build_world(
        series, [Greedy], config, policy=policy, pacer=quick(),
        runtime=runtime_named("threads", pin=False) if delays is None else DelayedThreads(delays),
        prepare=None if delays is None else delays.inject,
    )  # fmt: skip
    return world, series


@pytest.mark.slow
def test_no_limit_is_exceeded_however_the_threads_meet() -> None:
    """24 runs under real delays inside the broker's calls: slots, margin and money hold in each of them."""
    digests = set()
    for seed in range(24):
        world, series = contended_world(Free(), Delays(seed))
        result = world.run()
        check_limits(result, series)
        check_money(result)
        digests.add(result.digest)

    assert len(digests) > 1, "all runs went alike: nothing was really at once"


@pytest.mark.slow
def test_no_two_orders_get_one_id() -> None:
    """A worker and two threads of its own that place orders at once: as many orders as were asked for."""

    def buys(strategy: Any) -> None:
        def several() -> None:
            for _ in range(20):
                strategy.buy(volume=0.01, limit=50.0)

        helpers = [strategy.clock.start_thread(several) for _ in range(2)]
        several()
        for helper in helpers:
            helper.join()

    config = bot_config(PAIR, [Acts], max_open_positions=2)
    delays = Delays(3)

    result = go({"AAA": buys, "BBB": buys}, config=config, prepare=delays.inject)

    assert result.outcome is Outcome.COMPLETED, result.error
    assert len({order.order_id for order in result.orders}) == len(result.orders) == 120
    assert not result.refusals


# -- what goes wrong ends, and says why -------------------------------------------------------------------


def test_locks_in_opposite_orders_are_a_deadlock() -> None:
    """Each holds one before it asks for the other; the one that closes the circle says so."""

    def crosswise(first: str, second: str, me: str, other: str) -> Act:
        def act(strategy: Any) -> None:
            with strategy.board[first]:
                meets(me, other)(strategy)
                with strategy.board[second]:
                    pass

        return act

    world = world_of({"AAA": crosswise("one", "two", "a", "b"), "BBB": crosswise("two", "one", "b", "a")})
    clock = world.time_controller
    Acts.board.update(a=Event(), b=Event(), one=clock.lock("one"), two=clock.lock("two"))

    result = world.run()

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, DeadlockError)
    assert set(result.error.participants) == {"worker:AAA", "worker:BBB"}


def test_waiting_for_what_nobody_does_is_a_deadlock() -> None:
    """All workers wait for ever; the error names them and what they wait for."""

    def waits(strategy: Any) -> None:
        strategy.clock.event(f"never {strategy.symbol}").wait()

    result = go({"AAA": waits, "BBB": waits})

    assert isinstance(result.error, DeadlockError)
    assert set(result.error.waits) == {"the event never AAA", "the event never BBB"}


def test_sleeping_for_no_time_again_and_again_is_a_livelock() -> None:
    """Turns that follow each other without time moving come to an end."""

    def sleeps(strategy: Any) -> None:
        while True:
            strategy.clock.sleep(0)

    result = go({"AAA": sleeps})

    assert isinstance(result.error, LivelockError)


def test_asking_the_clock_again_and_again_is_a_livelock() -> None:
    """The error names who polls, though others run beside it."""

    def polls(strategy: Any) -> None:
        while strategy.now_ns > 0:
            pass

    result = go({"AAA": polls, "BBB": lambda strategy: wait_for_real(0.05)})

    assert isinstance(result.error, LivelockError)
    assert result.error.participants == ["worker:AAA"]


@pytest.mark.slow
def test_of_several_that_run_the_one_that_does_not_come_back_is_named() -> None:
    """BBB is in the same turn for as long, but it waits for a plain lock that AAA holds."""
    held, release = Lock(), Event()
    holding = Event()

    def holds(strategy: Any) -> None:
        with held:
            holding.set()
            release.wait(PATIENCE_S)

    def asks(strategy: Any) -> None:
        holding.wait(PATIENCE_S)
        with held:
            pass

    Acts.plan, Acts.every_bar = {"AAA": holds, "BBB": asks}, False
    series = [bar_series(symbol, [100.0] * BARS) for symbol in (*PAIR, "CCC")]
    result = build_world(series, [Acts], policy=Free(), pacer=quick(), stall_s=0.5).run()
    release.set()

    assert isinstance(result.error, StalledThreadError)
    assert result.error.participant == "worker:AAA"


def test_a_worker_that_raises_ends_the_run_or_its_symbol() -> None:
    """As the policy says, with the other's turn under way."""

    def fails(strategy: Any) -> None:
        raise ValueError("as planned")

    stopped = go({"AAA": fails, "BBB": lambda strategy: wait_for_real(0.02)})
    dropped = go({"AAA": fails}, config=bot_config(PAIR, [Acts], on_error="stop_symbol"))

    assert isinstance(stopped.error, StrategyError)
    assert dropped.outcome is Outcome.DEGRADED
    assert list(dropped.failures) == ["AAA"]
    assert [each.bars for each in dropped.symbols] == [BARS, BARS]


def test_a_stop_from_inside_a_turn_ends_all_others() -> None:
    """One that waits for ever and one that works are both let out of their waits."""
    unwound: list[str] = []

    def waits(strategy: Any) -> None:
        try:
            strategy.clock.sleep(10**15)
        except Stopping:
            unwound.append(strategy.symbol)
            raise

    world = world_of({"AAA": waits, "BBB": lambda strategy: world.stop("enough")})

    result = world.run()

    assert result.outcome is Outcome.INTERRUPTED
    assert unwound == ["AAA"]


def test_a_condition_that_raises_ends_the_run() -> None:
    """Whoever asks it is not blamed, and nobody is left behind."""

    def waits(strategy: Any) -> None:
        strategy.clock.wait_until(lambda: bool(1 // 0), "a number")

    result = go({"AAA": waits, "BBB": lambda strategy: wait_for_real(0.01)})

    assert result.outcome is Outcome.FAILED
    assert "ZeroDivisionError" in str(result.error)


@pytest.mark.slow
@settings(max_examples=60)
@given(worlds(most=8))
def test_no_random_program_of_waits_hangs(world: World) -> None:
    """Each ends, by itself or with an error that its words can bring about, and time never runs backwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            random_worlds,
            "TimeController",
            lambda symbols, **how: FreeTimeController(symbols, pacer=quick(), stall_s=how["stall_s"]),
        )
        play = random_worlds.played(world, "threads")

    assert play.end[0] in ("", "DeadlockError", "LivelockError", "ValueError")
    assert [at for at, _, _, _ in play.log] == sorted(at for at, _, _, _ in play.log)


# -- what is seen of it -----------------------------------------------------------------------------------


def spans_of(probe: Probe, participant: str, kind: Kind, name: str = "") -> list[Span]:
    """The spans of a kind on a participant's track."""
    track = next(each for each in probe.tracks if each.name == participant)
    return [span for span in track.spans if span.kind is kind and span.name in (name or span.name,)]


def overlap(one: list[Span], other: list[Span]) -> bool:
    """Whether two spans lie at one moment."""
    return any(a.begin_ns < b.end_ns and b.begin_ns < a.end_ns for a in one for b in other)


def before(owner: Any, name: str, what: Callable[[], object]) -> None:
    """Have something done before each call."""
    call = getattr(owner, name)

    def after_that(*arguments: Any, **named: Any) -> Any:
        what()
        return call(*arguments, **named)

    setattr(owner, name, after_that)


def buys(strategy: Any) -> None:
    strategy.buy(volume=0.1, stop=90.0)


def test_the_trace_shows_turns_and_broker_calls_that_overlap() -> None:
    """Of two orders that wait for each other on the way to the broker."""
    probe, both = Probe(max_spans=10_000), Barrier(2, timeout=PATIENCE_S)

    result = go({"AAA": buys, "BBB": buys}, probe=probe, prepare=lambda broker: before(broker, "place", both.wait))

    assert result.outcome is Outcome.COMPLETED, result.error
    one, other = "worker:AAA", "worker:BBB"
    assert overlap(spans_of(probe, one, Kind.TURN), spans_of(probe, other, Kind.TURN))
    assert overlap(spans_of(probe, one, Kind.BROKER), spans_of(probe, other, Kind.BROKER))


def test_the_trace_shows_real_waits_for_the_brokers_lock() -> None:
    """Of two orders whose judgement takes its time inside the lock, the later one waits."""
    probe, both = Probe(max_spans=10_000), Barrier(2, timeout=PATIENCE_S)

    def prepare(broker: Any) -> None:
        before(broker, "place", both.wait)  # outside of the lock
        before(broker._venue, "place", lambda: wait_for_real(0.05))

    result = go({"AAA": buys, "BBB": buys}, probe=probe, prepare=prepare)

    assert result.outcome is Outcome.COMPLETED, result.error
    waits = [span for name in ("worker:AAA", "worker:BBB") for span in spans_of(probe, name, Kind.LOCK)]
    assert max(span.end_ns - span.begin_ns for span in waits) > 0.02e9
    assert {span.details["for"] for span in waits} >= {"broker"}


def test_the_trace_shows_waits_for_a_lock_of_the_clock() -> None:
    """As a wait of its own, beside the turn of the one that holds the lock."""
    probe, both = Probe(max_spans=10_000), Barrier(2, timeout=PATIENCE_S)

    def holds(strategy: Any) -> None:
        lock = strategy.board.setdefault("lock", strategy.clock.lock("till"))
        both.wait()
        with lock:
            wait_for_real(0.05)

    result = go({"AAA": holds, "BBB": holds}, probe=probe)

    assert result.outcome is Outcome.COMPLETED, result.error
    waits = {name: spans_of(probe, name, Kind.WAIT, "lock wait") for name in ("worker:AAA", "worker:BBB")}
    assert any(waits.values())
    waiting, holder = ("worker:AAA", "worker:BBB") if waits["worker:AAA"] else ("worker:BBB", "worker:AAA")
    assert overlap(waits[waiting], spans_of(probe, holder, Kind.TURN))


def test_several_are_shown_as_running() -> None:
    """What displays read, asked in the middle of two turns."""
    states: list[list[str]] = []

    def looks(me: str, other: str) -> Act:
        def act(strategy: Any) -> None:
            meets(me, other)(strategy)
            states.append([each.state for each in world.time_controller.statistics().participants])
            strategy.board[f"{me} done"].set()
            strategy.board[f"{other} done"].wait(PATIENCE_S)

        return act

    world = world_of({"AAA": looks("a", "b"), "BBB": looks("b", "a")})
    Acts.board.update({name: Event() for name in ("a", "b", "a done", "b done")})

    assert world.run().outcome is Outcome.COMPLETED
    assert states == [["waiting", "running", "running"]] * 2


def test_a_free_run_can_be_paused_and_stepped() -> None:
    """Nobody runs while it stands still."""
    world = world_of({})
    world.pause()
    stood: list[tuple[str, ...]] = []

    def looks(state: Any) -> None:
        if state.status == "paused":
            stood.append(tuple(each.state for each in world.time_controller.statistics().participants))
            world.resume()

    world.control.listen(looks)

    assert world.run().outcome is Outcome.COMPLETED
    assert stood == [("waiting", "waiting", "waiting")]


# -- where it is allowed ----------------------------------------------------------------------------------


def test_a_free_controller_needs_a_pace_and_threads() -> None:
    """At full speed there is nothing to watch, and fibers never run at once."""
    with pytest.raises(ConfigError, match="without a pace"):
        FreeTimeController(PAIR)
    with pytest.raises(ConfigError, match="found fibers"):
        FreeTimeController(PAIR, TimeMode.FAST, runtime=runtime_named("fibers"))

    assert FreeTimeController(PAIR, TimeMode.REALTIME).policy.describe() == "1:free"
