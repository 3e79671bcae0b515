"""`breakpoint()` in a strategy: a debugger that works although the bot has threads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.engine.debugging import Foreground, debugger_during
from src.backtesting.result import Outcome
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.testing import bar_series, build_world

SCRIPT = Path(__file__).with_name("debugged.py")
ROOT = SCRIPT.parents[3]
both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


def environment(**extra: str) -> dict[str, str]:
    """That of the test, with the product on the path and no debugger chosen by its user."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONBREAKPOINT"}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "dumb", **extra}


def piped(runtime: str, *words: str, **extra: str) -> list[str]:
    """The lines of a run without a terminal."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), runtime, *words],
        cwd=ROOT, env=environment(**extra), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
        timeout=240, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def undisturbed() -> str:
    """The digest of the run in which nobody asks for the debugger."""
    digest = json.loads(piped("threads")[-1])["digest"]
    assert isinstance(digest, str)
    return digest


def at_terminal(runtime: str, **extra: str) -> Any:
    """The run at a pseudo-terminal, not answered yet."""
    pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
    return pexpect.spawn(
        sys.executable, [str(SCRIPT), runtime, "debug"], cwd=str(ROOT), env=environment(**extra), encoding="utf-8",
        timeout=240, dimensions=(50, 160),
    )  # fmt: skip


def result_of(child: Any) -> dict[str, Any]:
    """The JSON line at the end of the run."""
    child.expect(r"(\{.*\})\r\n")
    found: dict[str, Any] = json.loads(child.match.group(1))
    child.wait()
    child.close()
    return found


@both
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_a_breakpoint_in_a_turn_opens_a_debugger_and_changes_nothing(runtime: str, undisturbed: str) -> None:
    """In the frame that called it, for each worker in its turn; however long one looks, no turn is too long."""
    child = at_terminal(runtime)
    for symbol in ("AAA", "BBB"):
        child.expect_exact(f"worker:{symbol} at 2024-01-01 00:03:00Z")
        child.expect_exact("(Pdb) ")
        child.sendline("p self.symbol, bar.close")
        child.expect_exact(f"('{symbol}', 102.0)")
        child.expect_exact("(Pdb) ")
        if symbol == "AAA":
            child.sendline("import time; time.sleep(4.2)")  # longer than a turn may take
            child.expect_exact("(Pdb) ")
        child.sendline("n")
        child.expect_exact("if count == 4")
        child.expect_exact("(Pdb) ")
        child.sendline("c")
    result = result_of(child)

    assert (result["outcome"], result["digest"]) == ("COMPLETED", undisturbed)


@both
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
@pytest.mark.parametrize("leave", ["q", "\x04"])
def test_quitting_the_debugger_ends_the_run_in_order(runtime: str, leave: str) -> None:
    """It is interrupted, which is no error of the strategy, and nobody is asked again."""
    child = at_terminal(runtime)
    child.expect_exact("(Pdb) ")
    if leave == "q":
        child.sendline("q")
    else:
        child.send(leave)
    result = result_of(child)

    assert (result["outcome"], result["error"]) == ("INTERRUPTED", "None")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_breakpoints_that_are_switched_off_stay_off(undisturbed: str) -> None:
    """PYTHONBREAKPOINT=0 is respected, at a terminal too, and nothing is said."""
    child = at_terminal("threads", PYTHONBREAKPOINT="0")
    result = result_of(child)

    assert result["digest"] == undisturbed
    assert "Pdb" not in child.before
    assert "breakpoint" not in child.before


@pytest.mark.slow
def test_without_a_terminal_it_is_said_once_and_the_run_goes_on(undisturbed: str) -> None:
    """One sentence for both workers; no input is waited for."""
    lines = piped("threads", "debug")

    assert lines[:-1] == ["breakpoint() was passed over: there is no terminal to debug at"]
    assert json.loads(lines[-1])["digest"] == undisturbed


class Asks(BarStrategy):
    """Asks for the debugger at each bar."""

    def on_bar(self, bar: Bar) -> None:
        breakpoint()


def test_another_debugger_is_let_through_and_the_hook_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that an editor or a test runner has installed is called for each breakpoint, and stays installed."""
    called: list[str] = []

    def theirs() -> None:
        called.append("called")

    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(sys, "breakpointhook", theirs)
    controller = build_world([bar_series("AAA", [100.0] * 3)], [Asks])
    result = controller.run()

    assert result.outcome is Outcome.COMPLETED
    assert called == ["called"] * 3
    assert sys.breakpointhook is theirs


class Watched:
    """A clock that counts who keeps the watchdog from looking."""

    instant_ns = 0

    def __init__(self) -> None:
        self.unwatched = 0

    @contextmanager
    def suspend_watchdog(self) -> Iterator[None]:
        self.unwatched += 1
        yield
        self.unwatched -= 1

    def stop(self, reason: str) -> None:
        raise AssertionError(reason)


def test_the_watchdog_looks_away_from_the_first_use_of_another_debugger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the run is over, because such a debugger does not say when it is done; and displays step aside."""
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(sys, "breakpointhook", lambda: None)
    clock, foreground, seen = Watched(), Foreground(), list[str]()

    @contextmanager
    def aside() -> Iterator[None]:
        seen.append("aside")
        yield
        seen.append("back")

    foreground.add(aside)
    with debugger_during(clock, foreground, _silent):
        before = clock.unwatched
        breakpoint()
        breakpoint()
        inside = clock.unwatched

    assert (before, inside, clock.unwatched) == (0, 1, 0)
    assert seen == ["aside", "back"]


def _silent(text: str) -> None:
    raise AssertionError(text)


def test_who_steps_aside_comes_back_after_an_error() -> None:
    """And the terminal can be taken again."""
    foreground, seen = Foreground(), list[str]()

    @contextmanager
    def aside() -> Iterator[None]:
        seen.append("aside")
        try:
            yield
        finally:
            seen.append("back")

    foreground.add(aside)
    for _ in range(2):
        with pytest.raises(ValueError, match="typed"), foreground.taken():
            raise ValueError("typed")
    foreground.remove(aside)
    with foreground.taken() as first, foreground.taken(wait=False) as second:
        pass

    assert seen == ["aside", "back"] * 2
    assert (first, second) == (True, False)


def test_the_hook_stands_during_a_run_only() -> None:
    """Before and after, `breakpoint()` is Python's own."""
    hooks: list[Callable[..., Any]] = []

    class Looks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            hooks.append(sys.breakpointhook)

    before = sys.breakpointhook
    build_world([bar_series("AAA", [100.0] * 2)], [Looks]).run()

    assert sys.breakpointhook is before
    assert all(hook is not before for hook in hooks)
    assert len(hooks) == 2
