"""The time controller alone: runs that cannot go on, and errors of the engine's own parts."""

import threading

import greenlet
import pytest

from src.backtesting.engine.pacing import Pacer
from src.backtesting.engine.watchdog import MAX_TURNS_AT_ONE_INSTANT
from src.core.errors import DeadlockError, InternalError, LivelockError, StalledThreadError
from tests.backtesting.engine.scripted import Deaf, Stage

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


@both
def test_a_deadlock_names_everybody_and_what_they_wait_for(runtime: str) -> None:
    """Nobody ready, no timer, nobody waiting for the market: an error with names, never a hang."""
    stage = Stage([10], runtime=runtime)
    stage.add("worker:AAA", lambda: blocked(stage, "a lock of BBB"), symbol="AAA")
    stage.add("worker:BBB", lambda: blocked(stage, "a lock of AAA"), symbol="BBB", rank=1)

    with pytest.raises(DeadlockError, match="worker:AAA waits for a lock of BBB .*worker:BBB waits for") as caught:
        stage.run()

    assert caught.value.participants == ["worker:AAA", "worker:BBB"]
    assert caught.value.since_ns == [10, 10]
    assert all("in wait_until" in caught.value.stacks[name] for name in caught.value.participants)
    assert stage.stopped == ["worker:AAA", "worker:BBB"]


def blocked(stage: Stage, what: str) -> None:
    """Wait for what only another participant could do, and none does."""
    stage.clock.wait_until(lambda: False, what, by_others=True)


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
@both
def test_a_thread_that_keeps_its_turn_is_named_with_its_stack(runtime: str) -> None:
    """A turn that is not given back within the limit ends the run; the thread finds it over when it comes back."""
    stage = Stage([10, 20, 30], stall_s=0.1, runtime=runtime)
    released = threading.Event()
    stage.add("worker:AAA", lambda: void(released.wait()), symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    with pytest.raises(StalledThreadError, match="worker:AAA has not given its turn back") as caught:
        stage.run()
    log = list(stage.log)
    released.set()
    for thread in threading.enumerate():
        if thread.name.startswith(("worker:", "fibers")):
            thread.join(5)

    assert "released.wait()" in caught.value.stacks["worker:AAA"]
    assert caught.value.waits_for == "threading.Event released"
    assert stage.log == log == [(10, "worker:AAA")]
    assert stage.clock.statistics().now_ns == 10


class Refusing:
    """A policy that fails at its n-th choice."""

    in_order = preempts = False

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

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
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
        stage.add(
            f"worker:{symbol}", symbol=symbol, rank=rank, wake=Failing(stage.market) if part == "predicate" else None
        )

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
@pytest.mark.parametrize("kind", [KeyError, SystemExit, greenlet.GreenletExit, KeyboardInterrupt, BaseException])
def test_a_participant_that_dies_without_leaving_is_taken_out_and_ends_the_run(
    kind: type[BaseException], runtime: str
) -> None:
    """The others are not left waiting for it, whatever it died of."""
    stage = Stage([10, 20, 30], runtime=runtime)

    def die() -> None:
        raise kind("gone")

    stage.add("worker:AAA", die, symbol="AAA", leaves=False)
    stage.add("worker:BBB", symbol="BBB", rank=1)

    with pytest.raises(kind, match="gone"):
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
def test_a_market_that_names_one_instant_for_ever_ends_the_run(runtime: str) -> None:
    """Steps at one instant are bounded as turns are, so a defect of the market is an error and not a hang."""
    stage = Stage([10, 20, 30], runtime=runtime)
    stage.market.advance = lambda instant_ns: ()  # type: ignore[method-assign]  # it never gets on
    stage.add("worker:AAA", symbol="AAA", rank=0, wake=Never())

    with pytest.raises(InternalError, match="again and again and time does not move"):
        stage.run()


class Never:
    """A predicate that sees nothing."""

    def __call__(self) -> bool:
        return False

    def next_due_ns(self) -> None:
        return None
