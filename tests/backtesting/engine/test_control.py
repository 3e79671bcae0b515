"""Control while it runs: each request takes effect between two steps, and none of them changes a result."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.control import ControlState
from src.backtesting.result import Outcome
from src.backtesting.run import execute, prepare
from src.backtesting.schedules import policy_named
from src.core.bars import Bar
from src.core.config_file import parse_config
from src.core.errors import ConfigError
from src.core.rng import stream
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing import bar_series, build_world, run_world
from tests.backtesting.engine.underway import PATIENCE_S, Underway
from tests.cli.small import CONFIG
from tests.delays import wait_for_real

START = parse_instant("2024-01-01")
both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


class Flips(BarStrategy):
    """Long after an even bar, flat after an odd one."""

    def on_bar(self, bar: Bar) -> None:
        if self.position.is_flat:
            self.buy(stop=bar.close - 50)
        elif len(self.bars) % 4 == 0:
            self.close()


class Idle(BarStrategy):
    """Looks at its bars and does nothing."""


ROWS = [100.0, 101.0, 99.0, 102.0, 103.0, 98.0, 97.0, 99.0, 101.0, 104.0, 103.0, 102.0] * 3


def world(cls: type[BarStrategy] = Flips, **how: Any) -> BacktestController:
    """Two symbols, 36 bars of a minute."""
    return build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS[::-1])], [cls], **how)


def uncontrolled(**how: Any) -> str:
    """The digest of the same run without control."""
    return world(**how).run().digest


def minute(number: int) -> int:
    """The instant so many minutes after the start."""
    return START + number * MINUTE_NS


@both
def test_a_run_that_is_paused_before_its_start_waits_before_the_first_step(runtime: str) -> None:
    """The first turns are taken, no step is made, and after `resume` everything is as if nothing had been."""
    controller = world(runtime=runtime)
    controller.pause()
    with Underway(controller) as run:
        first = run.paused_at()
        steps = controller.time_controller.statistics().steps
        result = run.finished()

    assert (first, steps) == (START, 0)
    assert (result.outcome, result.digest) == (Outcome.COMPLETED, uncontrolled())


@both
def test_steps_are_made_one_by_one_and_then_by_number(runtime: str) -> None:
    """`step` makes a step and pauses, `step(5)` makes five."""
    controller = world(Idle, runtime=runtime)
    controller.pause()
    with Underway(controller) as run:
        seen = [run.paused_at()]
        for count in (1, 1, 5):
            controller.step(count)
            seen.append(run.paused_at())
        result = run.finished()

    assert seen == [minute(n) for n in (0, 1, 2, 7)]
    assert result.outcome is Outcome.COMPLETED


def test_a_step_before_the_start_makes_one_step() -> None:
    """It needs no pause before it."""
    controller = world(Idle)
    controller.step()
    with Underway(controller) as run:
        assert run.paused_at() == minute(1)


def test_a_step_of_timers_is_a_step_of_its_own() -> None:
    """A sleeper's instant between two bars is stopped at, too."""

    class Sleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.clock.sleep(MINUTE_NS // 2)

    controller = world(Sleeps)
    controller.step()
    with Underway(controller) as run:
        seen = [run.paused_at()]
        for _ in range(2):
            controller.step()
            seen.append(run.paused_at())
        run.finished()

    assert [instant - START for instant in seen] == [MINUTE_NS, MINUTE_NS * 3 // 2, MINUTE_NS * 2]


@both
def test_a_run_goes_to_an_instant_and_finishes_it(runtime: str) -> None:
    """Everything of that instant has happened, nothing later has; between two bars it is the bar before."""
    controller = world(runtime=runtime)
    controller.run_to("2024-01-01 00:10")
    with Underway(controller) as run:
        at = run.paused_at()
        bars = controller.market.bars
        controller.run_to(minute(20) + 1)
        later = run.paused_at()
        result = run.finished()

    assert (at, bars, later) == (minute(10), 20, minute(20))
    assert result.digest == uncontrolled()


def test_time_does_not_go_back() -> None:
    """An instant before the present is refused at once."""
    controller = world()
    controller.run_to(minute(5))
    with Underway(controller) as run:
        run.paused_at()

        with pytest.raises(ConfigError, match="time does not go back"):
            controller.run_to(minute(4))


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (minute(36), "found 2024-01-01 00:36:00Z: the run is over then, with nothing left to pause before"),
        ("2030-01-01", "found 2030-01-01 00:00:00Z: the run is over then"),
        ("2023-12-31", "found 2023-12-31 00:00:00Z: the run begins later, and time does not go back"),
    ],
)
def test_an_instant_outside_the_run_is_refused(at: str | int, why: str) -> None:
    """Accepted, it would never pause; the run is as if it had not been asked."""
    controller = world()
    window = "expected an instant to run to from 2024-01-01 00:00:00Z to before 2024-01-01 00:36:00Z"
    with pytest.raises(ConfigError, match=f"{window}, {why}"):
        controller.run_to(at)

    assert controller.run().digest == uncontrolled()
    assert controller.control_records == ()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", 10**10])
def test_a_number_of_steps_is_a_positive_integer(count: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigError, match="a number of steps"):
        world().step(count)


@both
def test_a_break_pauses_once_where_its_condition_holds(runtime: str) -> None:
    """It says why, and then it is forgotten."""
    controller = world(runtime=runtime)
    controller.break_when("AAA.close > 103.5")
    with Underway(controller) as run:
        at, state = run.paused_at(), run.control.state
        result = run.finished()

    assert (at, state.why, state.break_when) == (minute(10), "AAA.close > 103.5 holds", None)
    assert result.digest == uncontrolled()


def test_a_lasting_break_pauses_each_time_its_condition_begins_to_hold() -> None:
    """Not at each step while it holds."""
    controller = world()
    controller.break_when("AAA.close > 100.5", once=False)
    seen = []
    with Underway(controller) as run:
        while run.control.wait_paused(PATIENCE_S):
            seen.append((run.control.state.now_ns - START) // MINUTE_NS)
            controller.resume()

    begins = [i + 1 for i, close in enumerate(ROWS) if close > 100.5 and (i == 0 or ROWS[i - 1] <= 100.5)]
    assert seen == begins


def test_a_break_that_is_cleared_pauses_nothing() -> None:
    """The run ends without having stopped."""
    controller = world()
    controller.break_when("AAA.close > 103.5")
    controller.clear_break()
    with Underway(controller) as run:
        result = run.ended()

    assert result.outcome is Outcome.COMPLETED
    assert [record["action"] for record in controller.control_records] == ["break_when", "clear_break"]


def test_a_condition_that_cannot_be_told_pauses_and_is_forgotten() -> None:
    """A division by zero is no reason to lose the run."""
    controller = world()
    controller.break_when("1 / position.AAA.volume > 0")
    with Underway(controller) as run:
        run.paused_at()
        why = run.control.state.why
        result = run.finished()

    assert "cannot be told" in why
    assert result.digest == uncontrolled()


@both
def test_a_pause_that_is_asked_for_in_a_turn_comes_after_the_turns_of_that_instant(runtime: str) -> None:
    """The other worker still has its turn; the next bar has not come."""
    asked: list[Callable[[], None]] = []
    turns: list[tuple[str, int]] = []

    class Asks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            turns.append((self.symbol, len(self.bars)))
            if self.symbol == "AAA" and len(self.bars) == 3:
                asked[0]()

    controller = world(Asks, runtime=runtime)
    asked.append(controller.pause)
    with Underway(controller) as run:
        at = run.paused_at()
        before = list(turns)
        run.finished()

    assert (at, before[-2:]) == (minute(3), [("AAA", 3), ("BBB", 3)])


@both
def test_a_stop_ends_a_pause(runtime: str) -> None:
    """The run is interrupted, not hung."""
    controller = world(runtime=runtime)
    controller.pause()
    with Underway(controller) as run:
        run.paused_at()
        controller.stop("enough")
        result = run.ended()

    assert result.outcome is Outcome.INTERRUPTED
    assert run.control.state.status == "ended"
    assert not run.control.wait_paused()


def test_a_run_that_nobody_controls_has_no_gate() -> None:
    """Nothing stands between its steps, and asking for the control puts nothing there."""
    controller = world()
    state = controller.control.state
    controller.run()

    assert controller.time_controller.pacer is None
    assert (state.status, controller.control.state.status) == ("running", "ended")
    assert controller.control_records == ()


def test_a_control_that_has_nothing_more_to_do_takes_its_gate_away() -> None:
    """After `resume` the run is as quick as one that was never paused; a later pause puts it back."""
    gates: list[object] = []

    class Looks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            gates.append(controller.time_controller.pacer)
            if len(self.bars) == 20 and self.symbol == "BBB":
                controller.pause()

    controller = world(Looks)
    controller.pause()
    with Underway(controller) as run:
        run.paused_at()
        controller.resume()
        again = run.paused_at()
        run.finished()

    assert again == minute(20)
    assert set(gates) == {None}


def test_every_effect_is_a_record_with_its_instant() -> None:
    """In the order in which they took effect."""
    controller = world(Idle)
    controller.pause()
    with Underway(controller) as run:
        run.paused_at()
        controller.step(2)
        run.paused_at()
        controller.set_pace("1e9x")
        controller.break_when("AAA.bars == 5")
        controller.run_to(minute(9))
        run.paused_at()
        controller.clear_break()
        controller.resume()
        run.paused_at()
        run.finished()

    assert [(r["action"], (r["instant_ns"] - START) // MINUTE_NS) for r in controller.control_records] == [
        ("pause", 0), ("step", 0), ("pause", 2), ("pace", 2), ("break_when", 2), ("run_to", 2), ("pause", 5),
        ("resume", 5), ("pause", 9), ("resume", 9),
    ]  # fmt: skip
    assert json.dumps(controller.control_records)


def test_listeners_hear_when_the_run_stands_still_and_when_it_goes_on() -> None:
    """Each of the two once."""
    heard: list[ControlState] = []
    controller = world(Idle)
    controller.control.listen(heard.append)
    controller.run_to(minute(4))
    with Underway(controller) as run:
        run.paused_at()
        run.finished()

    assert [(each.status, each.now_ns) for each in heard] == [("paused", minute(4)), ("running", minute(4))]
    assert heard[0].why == "everything up to 2024-01-01 00:04:00Z has happened"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("schedule", ["fifo", "seeded"])
def test_no_sequence_of_requests_changes_the_digest(seed: int, schedule: str) -> None:
    """Pauses, steps, breaks, instants and paces in any order, in both runtimes: one digest."""
    numbers = stream(seed, "requests")
    controller = world(policy=policy_named(schedule, 1), runtime=("threads", "fibers")[seed % 2])
    requests: list[Callable[[], None]] = [
        controller.pause,
        controller.resume,
        lambda: controller.step(numbers.randint(1, 4)),
        lambda: controller.break_when('event("fill")', once=numbers.random() < 0.5),
        controller.clear_break,
        lambda: controller.run_to(run.control.state.now_ns + numbers.randint(0, 5) * MINUTE_NS),
        lambda: controller.set_pace(numbers.choice(["1e9x", None])),
    ]
    controller.pause()
    with Underway(controller) as run:
        for _ in range(25):
            if not run.control.wait_paused(PATIENCE_S):
                break
            try:
                numbers.choice(requests)()
            except ConfigError:
                continue  # the run went on meanwhile, and the instant lies behind it
            controller.step()
        controller.clear_break()
        while run.control.wait_paused(PATIENCE_S):
            controller.resume()
        result = run.ended()

    assert result.outcome is Outcome.COMPLETED
    assert result.digest == uncontrolled(policy=policy_named(schedule, 1))


def test_many_threads_may_ask_at_once() -> None:
    """Nothing is lost, nothing hangs: so many pauses and resumes, and the run ends with its digest."""
    controller = world()
    controller.pause()

    def pester() -> None:
        with suppress(ConfigError):  # the run may end between two of them, and is then too late to be paused
            for _ in range(50):
                controller.pause()
                controller.resume()

    with Underway(controller) as run:
        threads = [threading.Thread(target=pester) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        controller.resume()
        result = run.ended()

    assert result.digest == uncontrolled()


@pytest.mark.slow
def test_no_pause_is_too_long_for_the_watchdog() -> None:
    """Nobody has a turn then, so nobody is late."""
    controller = world(stall_s=0.1)
    controller.run_to(minute(3))
    with Underway(controller) as run:
        run.paused_at()
        wait_for_real(2.5)
        result = run.finished()

    assert (result.outcome, result.error) == (Outcome.COMPLETED, None)


def test_the_records_stand_in_the_run_s_folder(tmp_path: Path) -> None:
    """`control.jsonl` has a line for each; that of the same run, stored before without control, is replaced."""

    def texts(controlled: bool) -> list[dict[str, Any]]:
        @contextmanager
        def watch(controller: BacktestController) -> Iterator[None]:
            if controlled:
                controller.set_pace("1e12x")
            yield

        run = execute(prepare(parse_config(CONFIG, "small.yaml", tmp_path)), watch=watch, report=False)
        lines = (run.folder / "control.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    before, after, again = texts(False), texts(True), texts(False)

    assert before == []
    assert after == again == [{"instant_ns": START, "action": "pace", "pace": "1000000000000x"}]


def test_what_is_asked_after_the_end_is_refused_and_leaves_no_record() -> None:
    """With the reason; to go on and to forget a break are always allowed."""
    series = [bar_series("AAA", [100.0, 101.0])]
    controller = build_world(series, [Idle])
    controller.run()
    refused: list[Callable[[], None]] = [
        controller.pause,
        controller.step,
        lambda: controller.run_to("2030-01-01"),
        lambda: controller.break_when("account.equity < 1"),
        lambda: controller.set_pace("60x"),
    ]
    for ask in refused:
        with pytest.raises(ConfigError, match="the run is over and cannot be"):
            ask()
    controller.resume()
    controller.clear_break()

    assert controller.control.state.status == "ended"
    assert controller.control_records == ()
    assert run_world(series, [Idle]).outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda run: run.run_to(None), "expected an instant such as"),
        (lambda run: run.run_to(1.5), "expected an instant such as"),
        (lambda run: run.set_pace(0), "expected a pace such as 60x"),
        (lambda run: run.break_when(3), "expected a break condition such as"),
        (lambda run: run.stop(3), "expected the reason of the stop as a text"),
        (lambda run: run.step("2"), "expected a number of steps"),
    ],
)
def test_what_is_no_instant_pace_condition_or_reason_is_refused(ask: Callable[[Any], None], told: str) -> None:
    """With a sentence that says what was expected, and the run is as if it had not been asked."""
    controller = build_world([bar_series("AAA", [100.0, 101.0])], [Idle])
    with pytest.raises(ConfigError, match=told):
        ask(controller)

    assert controller.run().outcome is Outcome.COMPLETED
    assert controller.control_records == ()


def test_a_controller_runs_once() -> None:
    """A second run is refused; it would show the figures of the first."""
    controller = build_world([bar_series("AAA", [100.0, 101.0])], [Idle])
    first = controller.run()
    with pytest.raises(ConfigError, match="runs once; make another one"):
        controller.run()

    assert first.outcome is Outcome.COMPLETED
