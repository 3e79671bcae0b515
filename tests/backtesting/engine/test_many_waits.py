"""The time controller alone: many participants, many helpers, waits that only the market ends, waits that fail."""

import sys

import pytest

from src.backtesting.schedules.fifo import Fifo
from src.core.clock import PHASE_WORKER, Participant
from src.core.errors import InternalError, LivelockError
from tests.backtesting.engine.scripted import Bell, Stage

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


@both
def test_no_participant_begins_on_the_stack_of_another(runtime: str) -> None:
    """Three hundred participants have the same room for their own calls, the last like the first."""
    symbols = [f"S{i:03}" for i in range(300)]
    stage = Stage([10], symbols=symbols, runtime=runtime)
    deepest: list[int] = []

    def depth() -> int:
        frame, count = sys._getframe(), 0
        while frame.f_back is not None:
            frame, count = frame.f_back, count + 1
        return count

    for rank, symbol in enumerate(symbols):
        stage.add(f"worker:{symbol}", lambda: deepest.append(depth()), symbol=symbol, rank=rank)
    stage.run()

    assert len(deepest) == 300
    assert max(deepest) < 40


@both
def test_a_wait_that_the_market_ends_is_no_deadlock(runtime: str) -> None:
    """Nobody else can do it, but a step can: the wait ends there."""
    stage = Stage([10, 20, 30], runtime=runtime)

    def wait() -> None:
        if stage.clock.now_ns() == 10:
            stage.clock.wait_until(lambda: stage.market.count == 2, "the second step")
            stage.note("met")

    stage.add("worker:AAA", wait, symbol="AAA")
    log = stage.run()

    assert log == [(10, "worker:AAA"), (20, "met"), (20, "worker:AAA"), (30, "worker:AAA")]


@both
@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_condition_that_raises_does_so_in_its_owners_turn(error: type[BaseException], runtime: str) -> None:
    """Others ask it, but the fault is with whoever waits; everybody else goes on."""
    stage = Stage([10, 20], runtime=runtime)
    caught: list[str] = []

    def fail() -> bool:
        raise error

    def wait() -> None:
        try:
            stage.clock.wait_until(fail, "a number")
        except error:
            caught.append("worker:AAA")

    stage.add("worker:AAA", wait, symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)
    log = stage.run()

    assert caught == ["worker:AAA"] * 2
    assert log.count((20, "worker:BBB")) == 1


@both
def test_one_that_is_retired_while_the_market_moves_has_one_last_turn(runtime: str) -> None:
    """It is asked in the same step whether it has something to do, and stands in the line once all the same."""
    stage = Stage([10, 20, 30], runtime=runtime)
    advance = stage.market.advance

    def retiring(instant_ns: int) -> object:
        ended = advance(instant_ns)
        if instant_ns == 20:
            stage.clock.retire("worker:AAA")
        return ended

    stage.market.advance = retiring  # type: ignore[method-assign, assignment]  # a market that does what it should not
    stage.add("worker:AAA", symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    assert stage.run() == [(10, "worker:AAA"), (10, "worker:BBB"), (20, "worker:BBB"), (30, "worker:BBB")]


@both
def test_who_joins_while_a_sleeper_is_due_takes_its_place_by_rank(runtime: str) -> None:
    """The place of a sleeper that is due holds for its turn, not for those who come to stand beside it."""
    stage = Stage([10, 20, 30], symbols=["A", "B", "C", "D"], runtime=runtime)
    clock = stage.clock

    def join() -> None:
        if clock.now_ns() == 20:
            bell = Bell(stage.market)

            def run() -> None:
                while clock.wait_for_next_step("worker:C"):
                    bell.hear()
                    stage.note("worker:C")

            clock.spawn(Participant(name="worker:C", phase=PHASE_WORKER, rank=2, wake=bell, symbol="C"), run)

    def doze() -> None:
        if clock.now_ns() == 10:
            clock.sleep(10)

    stage.add("worker:A", join, symbol="A")
    stage.add("worker:D", doze, symbol="D", rank=3)
    log = stage.run()

    assert [name for at, name in log if at == 30] == ["worker:A", "worker:C", "worker:D"]


@both
def test_a_request_may_end_a_wait(runtime: str) -> None:
    """What is posted is done, and looked at, before anybody is called stuck."""
    stage = Stage([10, 20], runtime=runtime)

    def wait() -> None:
        event = stage.clock.event()
        stage.clock.post(event.set)
        event.wait()

    stage.add("worker:AAA", wait, symbol="AAA")

    assert stage.run() == [(10, "worker:AAA"), (20, "worker:AAA")]


@both
def test_helpers_that_have_left_are_forgotten(runtime: str) -> None:
    """One timer for each bar for a year must not fill the memory."""
    stage = Stage(list(range(10, 410)), runtime=runtime)
    rung: list[int] = []
    stage.add("worker:AAA", lambda: void(stage.clock.set_timer(0, lambda: rung.append(1))), symbol="AAA")
    stage.run()

    assert len(rung) == 400
    assert [each.name for each in stage.clock.statistics().participants] == ["worker:AAA"]
    assert stage.clock.statistics().turns > 800


@both
def test_a_timer_of_no_length_that_sets_itself_again_is_a_livelock_of_its_owner(runtime: str) -> None:
    """Each time it is another thread; the one that began it is named."""
    stage = Stage([10, 20], runtime=runtime)

    def again() -> None:
        stage.clock.set_timer(0, again)

    stage.add("monitor:positions")
    stage.add("worker:AAA", again, symbol="AAA")

    with pytest.raises(LivelockError, match="busiest participants are worker:AAA.*a wait of no length"):
        stage.run()


@both
def test_a_turn_that_is_shown_more_and_more_may_ask_as_often_as_it_likes(runtime: str) -> None:
    """Catching up with many bars in one turn is no polling; asking the same again and again is."""
    for catches_up in (True, False):
        stage = Stage([10], runtime=runtime)
        shown = [0]

        def ask(stage: Stage = stage, shown: list[int] = shown, catches_up: bool = catches_up) -> None:
            for _ in range(150_000):
                stage.clock.now_ns()
                shown[0] += catches_up

        bell = Bell(stage.market)

        def run(stage: Stage = stage, bell: Bell = bell, ask: object = ask) -> None:
            while stage.clock.wait_for_next_step("worker:AAA"):
                bell.hear()
                ask()  # type: ignore[operator]  # the function above

        def progress(shown: list[int] = shown) -> int:
            return shown[0]

        worker = Participant(name="worker:AAA", phase=PHASE_WORKER, rank=0, wake=bell, symbol="AAA", progress=progress)
        stage.clock.spawn(worker, run)
        if catches_up:
            stage.run()
        else:
            with pytest.raises(LivelockError, match="100,000 calls in one turn"):
                stage.run()


class Astray(Fifo):
    """Names a place that is not there."""

    in_order = False

    def choose(self, ready: object, now_ns: int) -> int:
        return -1


@both
def test_a_schedule_that_chooses_nobody_ends_the_run_with_its_name(runtime: str) -> None:
    """Also a negative place, which a list would take."""
    stage = Stage([10], runtime=runtime, policy=Astray())
    stage.add("worker:AAA", symbol="AAA")
    stage.add("worker:BBB", symbol="BBB", rank=1)

    with pytest.raises(InternalError, match="chose -1, expected a whole number from 0 to 1"):
        stage.run()


def void(value: object) -> None:
    """Forget a result."""
