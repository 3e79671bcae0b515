"""The time controller alone: in which order participants get turns, and how a run ends that cannot go on."""

import itertools
import threading
from collections.abc import Callable

import pytest

from src.backtesting.engine.pacing import Pacer
from src.backtesting.engine.time_controller import MAX_TURNS_AT_ONE_INSTANT
from src.backtesting.schedules.seeded import Seeded
from src.core.errors import ConfigError, DeadlockError, InternalError, LivelockError, StalledThreadError, Stopping
from tests.backtesting.engine.scripted import Deaf, Stage

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
def test_a_deadlock_names_everybody_and_what_they_wait_for(runtime: str) -> None:
    """Nobody ready, no timer, nobody waiting for the market: an error with names, never a hang."""
    stage = Stage([10], runtime=runtime)
    stage.add("worker:AAA", lambda: void(stage.clock.wait_until(lambda: False, "a lock of BBB")), symbol="AAA")
    stage.add("worker:BBB", lambda: void(stage.clock.wait_until(lambda: False, "a lock of AAA")), symbol="BBB", rank=1)

    with pytest.raises(DeadlockError, match="worker:AAA waits for a lock of BBB .*worker:BBB waits for") as caught:
        stage.run()

    assert caught.value.participants == ["worker:AAA", "worker:BBB"]
    assert stage.stopped == ["worker:AAA", "worker:BBB"]


def void(value: object) -> None:
    """Forget a result."""


class Always(Deaf):
    """Rings for ever."""

    def __call__(self) -> bool:
        return True


class Stuck(Deaf):
    """A timer that stays due."""

    def next_due_ns(self) -> int | None:
        return 5


@both
@pytest.mark.parametrize("how", ["predicate", "timer", "sleep"])
def test_turns_without_end_at_one_instant_are_a_livelock_that_names_who(how: str, runtime: str) -> None:
    """A predicate that stays true, a timer that stays due and a sleep of nothing in a loop all end the run."""
    stage = Stage([10, 20], runtime=runtime)

    def doze() -> None:
        while True:
            stage.clock.sleep(0)

    stage.add("worker:BBB", symbol="BBB", rank=1)
    if how == "sleep":
        stage.add("worker:AAA", doze, symbol="AAA")
    else:
        stage.add("worker:AAA", symbol="AAA", wake=(Always if how == "predicate" else Stuck)(stage.market), timed=True)

    with pytest.raises(LivelockError, match="busiest participants are worker:AAA") as caught:
        stage.run()

    assert caught.value.participants[0] == "worker:AAA"
    assert stage.clock.statistics().turns < MAX_TURNS_AT_ONE_INSTANT + 10


@pytest.mark.slow
def test_a_thread_that_keeps_its_turn_is_named_with_its_stack() -> None:
    """A turn that is not given back within the limit ends the run; the thread finds it over when it comes back."""
    stage = Stage([10, 20, 30], stall_s=0.1)
    released = threading.Event()
    stage.add("worker:AAA", lambda: void(released.wait()), symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    with pytest.raises(StalledThreadError, match="worker:AAA has not given its turn back") as caught:
        stage.run()
    log = list(stage.log)
    released.set()
    for thread in threading.enumerate():
        if thread.name.startswith("worker:"):
            thread.join(5)

    assert "released.wait()" in caught.value.stacks["worker:AAA"]
    assert stage.log == log == [(10, "worker:AAA")]
    assert stage.clock.statistics().now_ns == 10


class Refusing:
    """A policy that fails at its n-th choice."""

    def __init__(self, after: int) -> None:
        self._after = after

    def choose(self, ready: object, now_ns: int) -> int:
        self._after -= 1
        if self._after < 0:
            raise ZeroDivisionError("policy")
        return 0

    def describe(self) -> str:
        return "refusing"


class Breaking(Pacer):
    """A pacer that fails."""

    def wait(self, from_ns: int, to_ns: int) -> None:
        raise ZeroDivisionError("pacer")


@both
@pytest.mark.parametrize("part", ["policy at the first turn", "policy", "pacer", "market", "predicate"])
def test_an_error_of_the_engines_parts_ends_the_run_with_its_own_type(part: str, runtime: str) -> None:
    """It is blamed on nobody whose thread happened to meet it: every participant ends in order."""
    policy = Refusing(0 if part == "policy at the first turn" else 4) if part.startswith("policy") else None
    stage = Stage([10, 20, 30], runtime=runtime, policy=policy, pacer=Breaking(1.0) if part == "pacer" else None)
    if part == "market":
        stage.market.advance = lambda instant_ns: 1 / 0  # type: ignore[method-assign, assignment, return-value]  # a broken one
    for rank, symbol in enumerate(("AAA", "BBB", "CCC")):
        stage.add(f"worker:{symbol}", symbol=symbol, rank=rank, wake=Failing(stage.market) if part == "predicate" else None)

    with pytest.raises(ZeroDivisionError):
        stage.run()

    assert stage.stopped == []
    assert stage.clock.statistics().now_ns <= 20
    assert all(turns >= 1 for turns in stage.clock.statistics().turns_by_participant.values())


class Failing(Deaf):
    """A predicate that fails once there is a market."""

    def __call__(self) -> bool:
        return self._market.count > 0 and 1 / 0 > 0


@both
def test_a_participant_that_dies_without_leaving_is_taken_out_and_ends_the_run(runtime: str) -> None:
    """The others are not left waiting for it."""
    stage = Stage([10, 20, 30], runtime=runtime)

    def die() -> None:
        raise KeyError("gone")

    stage.add("worker:AAA", die, symbol="AAA", leaves=False)
    stage.add("worker:BBB", symbol="BBB", rank=1)

    with pytest.raises(KeyError, match="gone"):
        stage.run()

    assert stage.log == [(10, "worker:AAA")]


@both
def test_a_run_that_failed_before_somebodys_first_turn_does_not_give_it_one(runtime: str) -> None:
    """Who was never begun is not begun for a run that is over."""
    stage = Stage([10], runtime=runtime)
    stage.add("worker:BBB", symbol="BBB", rank=1)
    stage.clock.fail(InternalError("before the start"))
    stage.add("worker:AAA", symbol="AAA")

    with pytest.raises(InternalError, match="before the start"):
        stage.run()

    assert stage.born == []


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
        def wait(self, from_ns: int, to_ns: int) -> None:
            pacing.set()
            super().wait(from_ns, to_ns)

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
        for wait in (lambda: clock.sleep(1), lambda: void(clock.wait_until(lambda: True, "anything"))):
            with pytest.raises(Stopping):
                wait()
            said.append("stopping")

    stage.add("worker:AAA", lambda: linger(), symbol="AAA", wake=Once(stage.market))

    stage.run()

    assert said == [False, "stopping", "stopping"]


class Once(Deaf):
    """Rings at the first step."""

    def __call__(self) -> bool:
        return self._market.count > self.heard


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


class Named:
    """A candidate with a name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name


def orders(seed: int, names: list[str], instants: range) -> list[list[str]]:
    """In which order a seeded policy works off the names at each instant."""
    policy, out = Seeded(seed), []
    for now in instants:
        ready = [Named(name) for name in names]
        done = []
        while ready:
            done.append(ready.pop(policy.choose(ready, now)).name)
        out.append(done)
    return out


def test_a_seeded_order_is_a_function_of_the_seed() -> None:
    """Equal seeds give equal orders, other seeds other ones, and every order occurs."""
    names = ["a", "b", "c"]

    assert orders(7, names, range(200)) == orders(7, names, range(200))
    assert orders(7, names, range(200)) != orders(8, names, range(200))
    assert {tuple(order) for order in orders(7, names, range(200))} == set(itertools.permutations(names))


def test_an_idle_participant_more_does_not_reorder_the_others() -> None:
    """The order of two participants does not depend on who else is ready or how often the policy was asked."""
    few, more = orders(7, ["a", "b", "c"], range(100)), orders(7, ["a", "b", "idle", "c"], range(100))

    assert [[name for name in order if name != "idle"] for order in more] == few
