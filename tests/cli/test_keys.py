"""The keys of the terminal: what is read and when, that the terminal is given back, and what each key asks of a run."""

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.debugging import Foreground
from src.backtesting.result import Outcome
from src.cli.keys import ControlKeys, KeyReader, StandardTerminal, keys_available
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing import bar_series, build_world
from tests.backtesting.engine.underway import Underway

termios = pytest.importorskip("termios", reason="no POSIX terminals on this system")

PATIENCE_S = 120.0
START = parse_instant("2024-01-01")


class Keyboard:
    """A pseudo-terminal on which the test presses keys."""

    def __init__(self) -> None:
        self.keys, self.terminal = os.openpty()
        self.pressed: queue.Queue[str] = queue.Queue()

    def press(self, text: str) -> None:
        os.write(self.keys, text.encode())

    def got(self) -> str:
        """The next key that the reader handed on."""
        return self.pressed.get(timeout=PATIENCE_S)

    @property
    def mode(self) -> list[Any]:
        """The terminal's whole mode."""
        return termios.tcgetattr(self.terminal)  # type: ignore[no-any-return]  # termios is typed by its platform

    @property
    def by_line(self) -> bool:
        """Whether the terminal is in its normal mode: keys come line by line, and are shown."""
        local = self.mode[3]
        return bool(local & termios.ICANON) and bool(local & termios.ECHO)


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    """A pseudo-terminal in its normal mode."""
    board = Keyboard()
    yield board
    os.close(board.keys)
    os.close(board.terminal)


def reader_of(board: Keyboard, foreground: Foreground | None = None) -> KeyReader:
    """A reader that keeps what it reads."""
    return KeyReader(board.pressed.put, foreground, StandardTerminal(board.terminal))


def test_keys_come_one_by_one_without_a_line_end_and_unseen(keyboard: Keyboard) -> None:
    """And the terminal is in its own mode before and after."""
    before = keyboard.mode
    with reader_of(keyboard):
        inside = keyboard.by_line
        keyboard.press("s")
        got = [keyboard.got()]
        keyboard.press(" +é")
        got += [keyboard.got() for _ in range(3)]

    assert (got, inside) == (["s", " ", "+", "é"], False)
    assert keyboard.mode == before


def test_the_terminal_is_given_back_when_something_goes_wrong(keyboard: Keyboard) -> None:
    """An exception inside changes nothing about that."""
    before = keyboard.mode
    with suppress(KeyboardInterrupt), reader_of(keyboard):
        raise KeyboardInterrupt

    assert keyboard.mode == before


def test_an_arrow_means_nothing(keyboard: Keyboard) -> None:
    """Its letters are no keys."""
    with reader_of(keyboard):
        keyboard.press("\x1b[B")
        while keyboard.pressed.empty():  # until the arrow was read, which nobody can see
            keyboard.press("x")
            with suppress(queue.Empty):
                first = keyboard.pressed.get(timeout=0.05)
                break

    assert first == "x"


def test_nothing_is_read_while_somebody_else_has_the_terminal(keyboard: Keyboard) -> None:
    """What is typed then is his, in the normal mode; afterwards keys are read again."""
    foreground = Foreground()
    with reader_of(keyboard, foreground):
        with foreground.taken() as mine:
            inside = keyboard.by_line
            keyboard.press("p bar\n")
            typed = os.read(keyboard.terminal, 100)
        after = keyboard.by_line
        keyboard.press("s")
        got = keyboard.got()

    assert (mine, inside, typed, after, got) == (True, True, b"p bar\n", False, "s")
    assert keyboard.pressed.empty()


def test_a_line_is_typed_in_the_normal_mode_while_displays_step_aside(keyboard: Keyboard) -> None:
    """`ask` returns it without the spaces around it; the next key is a key again."""
    foreground, seen, answers = Foreground(), [], queue.Queue[str | None]()

    @contextmanager
    def aside() -> Iterator[None]:
        seen.append("aside")
        yield
        seen.append("back")

    def handle(key: str) -> None:
        if key == "b":
            answers.put(reader.ask("when: "))
        else:
            keyboard.pressed.put(key)

    foreground.add(aside)
    reader = KeyReader(handle, foreground, StandardTerminal(keyboard.terminal))
    with reader:
        keyboard.press("b")
        while not keyboard.by_line:
            continue
        keyboard.press("  AAA.close > 1 \n")
        answer = answers.get(timeout=PATIENCE_S)
        keyboard.press("s")
        got = keyboard.got()

    assert (answer, got, seen) == ("AAA.close > 1", "s", ["aside", "back"])


def test_a_line_that_nobody_finishes_keeps_nothing_from_ending(keyboard: Keyboard) -> None:
    """The run is over, the question is withdrawn, the terminal is given back."""
    before, answers = keyboard.mode, queue.Queue[str | None]()
    reader = KeyReader(lambda key: answers.put(reader.ask("?")), None, StandardTerminal(keyboard.terminal))
    with reader:
        keyboard.press("b")
        while not keyboard.by_line:
            continue
        keyboard.press("half a li")

    assert answers.get(timeout=PATIENCE_S) is None
    assert keyboard.mode == before


def test_a_question_is_not_asked_while_a_debugger_has_the_terminal(keyboard: Keyboard) -> None:
    """Else both would wait for each other."""
    foreground, answers = Foreground(), queue.Queue[str | None]()
    handled = threading.Event()

    def handle(key: str) -> None:
        handled.set()
        taken.wait(PATIENCE_S)
        answers.put(reader.ask("?"))

    taken = threading.Event()
    reader = KeyReader(handle, foreground, StandardTerminal(keyboard.terminal))

    @contextmanager
    def last() -> Iterator[None]:
        taken.set()
        yield

    with reader:
        foreground.remove(reader.suspended)
        foreground.add(last)
        foreground.add(reader.suspended)
        keyboard.press("b")
        handled.wait(PATIENCE_S)
        with foreground.taken():
            answer = answers.get(timeout=PATIENCE_S)

    assert answer is None


def test_without_a_terminal_there_are_no_keys() -> None:
    """As under a test runner, which captures stdin."""
    assert not keys_available()


class Idle(BarStrategy):
    """Looks at its bars and does nothing."""

    def on_bar(self, bar: Bar) -> None:
        return


def world() -> BacktestController:
    """A symbol and forty minutes."""
    return build_world([bar_series("AAA", [100.0 + i for i in range(40)])], [Idle])


class Pressed:
    """A paused run and its keys."""

    def __init__(self, *answers: str | None) -> None:
        self.controller = world()
        self.said: list[str] = []
        self.keys = ControlKeys(self.controller.control, stop=self.controller.stop, say=self.said.append)
        left = list(answers)
        self.keys.ask = lambda question: left.pop(0)
        self.controller.control.listen(self.keys.show)
        self.controller.pause()


def test_space_pauses_and_goes_on() -> None:
    """The same key for both; the run says where it stands and why."""
    pressed = Pressed()
    with Underway(pressed.controller) as run:
        run.paused_at()
        pressed.keys.press(" ")
        result = run.ended()

    assert result.outcome is Outcome.COMPLETED
    assert pressed.said == ["paused at 2024-01-01 00:00:00Z: as asked (space goes on, s steps, ? helps)"]


def test_s_makes_one_step_and_n_ten() -> None:
    """And the run stands again."""
    pressed = Pressed()
    with Underway(pressed.controller) as run:
        seen = [run.paused_at()]
        for key in "sn":
            pressed.keys.press(key)
            seen.append(run.paused_at())

    assert [(instant - START) // MINUTE_NS for instant in seen] == [0, 1, 11]


def test_g_asks_for_an_instant_and_b_for_a_condition() -> None:
    """Nothing typed is nothing done, a wrong one is explained, a right one takes effect."""
    instants = (None, "never", "2024-01-09", "2024-01-01 00:07")
    pressed = Pressed(*instants, None, "AAA.clos > 1", "AAA.close == 112", "AAA.close == 120")
    keys = pressed.keys
    with Underway(pressed.controller) as run:
        run.paused_at()
        for _ in range(4):
            keys.press("g")
        seen = [run.paused_at()]
        for _ in range(3):
            keys.press("b")
        keys.press(" ")
        seen.append(run.paused_at())
        keys.press("b")
        keys.press("c")
        keys.press(" ")
        result = run.ended()

    assert [(instant - START) // MINUTE_NS for instant in seen] == [7, 13]
    assert result.outcome is Outcome.COMPLETED
    assert any("expected a date" in each for each in pressed.said)
    assert any("found 2024-01-09 00:00:00Z: the run is over then" in each for each in pressed.said)
    assert any("did you mean 'close'?" in each for each in pressed.said)
    assert "will pause when AAA.close == 112" in pressed.said


def test_the_pace_goes_up_and_down_by_keys() -> None:
    """Along the time modes, or by twos along a factor; `p` takes any, `m` is full speed."""
    pressed = Pressed("60x", "quick")
    control = pressed.controller.control
    paces = []
    for key in "---+++p+--=pm":
        pressed.keys.press(key)
        paces.append(control.state.pace)

    assert paces == [
        "FAST", "REALTIME", "REALTIME", "FAST", "MAX_SPEED", "MAX_SPEED", "60x", "120x", "60x", "30x", "60x", "60x",
        "MAX_SPEED",
    ]  # fmt: skip
    assert any("expected a pace" in each for each in pressed.said)


def test_a_and_r_ask_for_a_symbol() -> None:
    """A refusal is said and ends nothing; what is accepted waits for the run to go on."""
    said: list[str] = []
    controller = build_world([bar_series(name, [100.0 + i for i in range(40)]) for name in ("AAA", "BBB")], [Idle])
    left: list[str | None] = ["BBB", None, "CCC", "AAA", "BBB"]
    keys = ControlKeys(controller.control, say=said.append, add=controller.add_symbol, remove=controller.remove_symbol)
    keys.ask = lambda question: left.pop(0)
    controller.pause()
    with Underway(controller) as run:
        run.paused_at()
        for key in "aaarr":
            keys.press(key)
        result = run.finished()

    assert [each.partition(";")[0].partition(" (")[0] for each in said] == [
        "BBB is traded already",
        "CCC has no entry under instruments",
        "will remove AAA when the run goes on",
        "BBB is the last symbol and cannot be removed",
    ]
    assert result.outcome is Outcome.COMPLETED
    assert [each["symbol"] for each in controller.symbol_changes.inputs] == ["AAA"]


def test_q_ends_the_run_while_it_is_paused() -> None:
    """In order, as Ctrl-C does."""
    pressed = Pressed()
    with Underway(pressed.controller) as run:
        run.paused_at()
        pressed.keys.press("q")
        result = run.ended()

    assert result.outcome is Outcome.INTERRUPTED


def test_the_help_names_every_key_and_other_keys_do_nothing() -> None:
    """A key that means nothing is not even answered."""
    pressed = Pressed()
    for key in "xyz\n\t":
        pressed.keys.press(key)
    pressed.keys.press("?")

    assert pressed.said == [ControlKeys.help]
    for key in ("space", *"sngbcpmarq?+-"):
        assert f"{key} " in ControlKeys.help.replace("\n", " ")
