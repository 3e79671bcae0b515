"""The time controller alone: in which order participants get turns, how they wait, and how they end."""

import threading
from collections.abc import Callable

import pytest

from src.backtesting.engine.pacing import Pacer
from src.core.errors import ConfigError, Stopping
from tests.backtesting.engine.scripted import Bell, Deaf, Stage

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


@both
def test_first_turns_come_in_key_order_at_the_windows_start(runtime: str) -> None:
    """However participants were registered, the first turns go by phase and rank."""
    stage = Stage(runtime=runtime)
    instants: list[int] = []
    stage.add("worker:CCC", symbol="CCC", rank=2)
    stage.add("worker:AAA", symbol="AAA", rank=0)
    stage.add("monitor", lambda: instants.append(stage.clock.now_ns()))
    stage.add("worker:BBB", symbol="BBB", rank=1)

    stage.run()

    assert stage.born == ["monitor", "worker:AAA", "worker:BBB", "worker:CCC"]
    assert instants == []


@both
def test_at_each_step_the_monitor_comes_before_the_workers_in_configured_order(runtime: str) -> None:
    """Inside an instant turns go by phase, then by the place in the configuration."""
    stage = Stage([10, 20], runtime=runtime)
    for rank, symbol in ((1, "AAA"), (0, "BBB")):
        stage.add(f"worker:{symbol}", symbol=symbol, rank=rank)
    stage.add("monitor")

    log = stage.run()

    assert log == [(t, name) for t in (10, 20) for name in ("monitor", "worker:BBB", "worker:AAA")]


@both
def test_who_has_nothing_to_do_gets_no_turn(runtime: str) -> None:
    """A participant whose predicate stays false has its first and its last turn only."""
    stage = Stage(range(10, 100, 10), runtime=runtime)
    stage.add("worker:AAA", symbol="AAA")
    stage.add("monitor", wake=Deaf(stage.market))

    stage.run()

    assert stage.clock.statistics().turns_by_participant == {"worker:AAA": 11, "monitor": 2}


@both
def test_a_sleep_ends_at_its_instant_also_between_steps(runtime: str) -> None:
    """A sleeper wakes exactly when its time is over, in a step that shows nobody a new market."""
    stage = Stage([10, 20, 30], runtime=runtime)
    naps = iter([5, 7])

    def nap() -> None:
        length = next(naps, None)
        if length is not None:
            stage.clock.sleep(length)
            stage.note("woke")

    stage.add("worker:AAA", nap, symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    log = stage.run()

    a, b = "worker:AAA", "worker:BBB"
    assert log == [(10, a), (10, b), (15, "woke"), (20, a), (20, b), (27, "woke"), (30, a), (30, b)]
    assert stage.clock.statistics().steps == 3


@both
def test_a_sleep_that_ends_with_a_step_comes_after_its_market_and_before_everybody_else(runtime: str) -> None:
    """At one instant: the market, then sleeps that fell due, then the monitor, then the workers."""
    stage = Stage([10, 20], runtime=runtime)
    counts: list[int] = []

    def nap() -> None:
        if stage.clock.now_ns() == 10:
            stage.clock.sleep(10)
            counts.append(stage.market.count)
            stage.note("woke")

    stage.add("worker:AAA", nap, symbol="AAA")
    stage.add("monitor")

    log = stage.run()

    a = "worker:AAA"
    assert counts == [2]
    assert log == [(10, "monitor"), (10, a), (20, "woke"), (20, "monitor"), (20, a)]


@both
def test_a_sleep_set_inside_a_sleepers_turn_may_be_due_before_the_next_bar(runtime: str) -> None:
    """A timer made in a timer's turn, due before the next step, is a step of its own."""
    stage = Stage([10, 100], runtime=runtime)

    def nap() -> None:
        if stage.clock.now_ns() == 10:
            for _ in range(3):
                stage.clock.sleep(7)
                stage.note("woke")

    stage.add("worker:AAA", nap, symbol="AAA")

    log = stage.run()

    a = "worker:AAA"
    assert log == [(10, a), (17, "woke"), (24, "woke"), (31, "woke"), (100, a)]


@both
def test_a_sleep_beyond_the_window_ends_with_stopping(runtime: str) -> None:
    """Timers after the window's end never fall due; who waits for one is told to stop."""
    stage = Stage([10, 20], end_ns=50, runtime=runtime)
    stage.add("worker:AAA", lambda: stage.clock.sleep(100), symbol="AAA")
    stage.add("worker:BBB", lambda: stage.clock.sleep(40 - stage.clock.now_ns()), symbol="BBB", rank=1)

    stage.run()

    assert stage.stopped == ["worker:AAA"]
    assert stage.log == [(10, "worker:AAA"), (10, "worker:BBB"), (40, "worker:BBB")]


class Alarm(Deaf):
    """Rings by its timer alone."""

    due: int | None = None

    def next_due_ns(self) -> int | None:
        return self.due


@both
def test_a_timer_due_before_the_next_bar_is_a_step_for_its_owner_alone(runtime: str) -> None:
    """Nobody else is woken by it, and the market does not move."""
    stage = Stage([10, 20], runtime=runtime)
    alarm = Alarm(stage.market)
    alarm.due = 13

    def ring() -> None:
        assert stage.market.count == 1
        alarm.due = None

    stage.add("monitor", ring, wake=alarm, timed=True)
    stage.add("worker:AAA", symbol="AAA")

    log = stage.run()

    assert log == [(10, "worker:AAA"), (13, "monitor"), (20, "worker:AAA")]


@both
def test_wait_until_returns_when_another_participant_fulfils_the_condition(runtime: str) -> None:
    """The waiter goes on in the same instant, before the workers that have not had their turn."""
    stage = Stage([10, 20], runtime=runtime)
    flag: list[bool] = []

    def wait() -> None:
        if not flag:
            stage.note(f"met {stage.clock.wait_until(lambda: bool(flag), 'the flag')}")

    def raise_flag() -> None:
        if stage.clock.now_ns() == 20:
            flag.append(True)

    stage.add("worker:AAA", wait, symbol="AAA")
    stage.add("worker:BBB", raise_flag, symbol="BBB", rank=1)
    stage.add("worker:CCC", symbol="CCC", rank=2)

    log = stage.run()

    at_20 = [name for instant, name in log if instant == 20]
    assert at_20 == ["worker:BBB", "met True", "worker:AAA", "worker:CCC"]


@both
def test_an_event_at_the_deadline_beats_the_deadline(runtime: str) -> None:
    """What is fulfilled by the step of the deadline counts as fulfilled."""
    stage = Stage([10, 20], runtime=runtime)
    results: list[bool] = []

    def wait() -> None:
        if stage.clock.now_ns() == 10:
            results.append(stage.clock.wait_until(lambda: stage.market.count == 2, "the second step", 10))
            results.append(stage.clock.wait_until(lambda: False, "nothing", 5))

    stage.add("worker:AAA", wait, symbol="AAA")

    stage.run()

    assert results == [True, False]


@both
def test_a_wait_whose_condition_was_undone_goes_on_waiting(runtime: str) -> None:
    """Two wait for one thing: the one that comes second does not return with nothing before its time."""
    stage = Stage([10, 20, 30], runtime=runtime)
    lamps: list[int] = []
    taken: list[tuple[str, int]] = []

    def take(name: str) -> Callable[[], None]:
        def act() -> None:
            if stage.clock.now_ns() == 10:
                assert stage.clock.wait_until(lambda: bool(lamps), "a lamp")
                lamps.pop()
                taken.append((name, stage.clock.now_ns()))

        return act

    stage.add("worker:AAA", take("AAA"), symbol="AAA")
    stage.add("worker:BBB", take("BBB"), symbol="BBB", rank=1)
    stage.add("worker:CCC", lambda: lamps.append(1), symbol="CCC", rank=2)

    stage.run()

    assert taken == [("AAA", 10), ("BBB", 20)]


@both
def test_a_symbol_whose_data_end_takes_its_worker_with_it(runtime: str) -> None:
    """The worker sees the last step, then leaves; the others go on."""
    stage = Stage([10, 20, 30], ends={20: ["AAA"]}, runtime=runtime)
    stage.add("worker:AAA", symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    log = stage.run()

    a, b = "worker:AAA", "worker:BBB"
    assert log == [(10, a), (10, b), (20, a), (20, b), (30, b)]


@both
def test_a_stop_from_inside_a_turn_takes_effect_between_steps(runtime: str) -> None:
    """The instant is finished for everybody, then all end."""
    stage = Stage([10, 20, 30], runtime=runtime)

    def stop() -> None:
        if stage.clock.now_ns() == 20:
            stage.clock.stop("enough")

    stage.add("worker:AAA", stop, symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    log = stage.run()

    assert log == [(t, name) for t in (10, 20) for name in ("worker:AAA", "worker:BBB")]
    assert stage.clock.stopped_because == "enough"


def test_a_stop_from_another_thread_ends_a_long_pace_at_once() -> None:
    """Nobody has to wait until the paced step is over."""
    pacing = threading.Event()

    class Slow(Pacer):
        def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
            pacing.set()
            super().before_step(now_ns, at_ns, market=market)

    stage = Stage([10, 20], pacer=Slow(3_600.0))
    stage.add("worker:AAA", symbol="AAA")

    def stop() -> None:
        pacing.wait(60)
        stage.clock.stop("from outside")

    outsider = threading.Thread(target=stop)
    outsider.start()
    log = stage.run()
    outsider.join()

    assert (log, stage.clock.stopped_because) == ([], "from outside")


@both
def test_after_the_end_every_wait_says_so(runtime: str) -> None:
    """`wait_for_next_step` keeps returning False and the other waits raise Stopping."""
    stage = Stage([10], runtime=runtime)
    said: list[object] = []

    def linger() -> None:
        clock = stage.clock
        while clock.wait_for_next_step("worker:AAA"):
            pass
        said.append(clock.wait_for_next_step("worker:AAA"))
        with pytest.raises(Stopping):
            clock.sleep(1)
        with pytest.raises(Stopping):
            clock.wait_until(lambda: True, "anything")
        said.append("stopping twice")

    stage.add("worker:AAA", linger, symbol="AAA", wake=Bell(stage.market))

    stage.run()

    assert said == [False, "stopping twice"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"name": "worker:AAA", "symbol": "AAA"}, "registered already"),
        ({"name": "worker:XXX", "symbol": "XXX"}, "XXX is not one of the symbols AAA, BBB, CCC"),
        ({"name": "monitor"}, "without a position monitor"),
    ],
)
def test_a_wrong_participant_is_refused_and_leaves_no_thread(second: dict[str, str], message: str) -> None:
    """A composition that fails half-way leaves nothing behind."""
    stage = Stage(include_position_monitor=False)
    stage.add("worker:AAA", symbol="AAA")

    with pytest.raises(ConfigError, match=message):
        stage.add(**second)  # type: ignore[arg-type]  # a table of keyword arguments

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("worker")] == []


def test_without_participants_a_drive_returns() -> None:
    """Nothing to do is no error."""
    stage = Stage([10])

    assert stage.run() == []
