"""Keys of the terminal that control a run: pause, step, go to an instant, break, pace, stop.

The reader has a thread of its own, which waits for keys and never for the run; what a key asks for takes effect between
two steps. Whoever needs the terminal for typing (a prompt of ours, a debugger) suspends it. The terminal gets its own
mode back whenever the reader is suspended or ends, however that comes about.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.control import ControlState, RunControl
from src.backtesting.engine.debugging import Foreground
from src.backtesting.engine.pacing import TimeMode
from src.core.errors import ConfigError
from src.core.sync import Event, Lock, current_participant, start_thread
from src.core.timeframe import format_instant

__all__ = ["ControlKeys", "KeyReader", "StandardTerminal", "keys_available", "keys_during", "terminal_kept"]

_NAME = "keys"
_SLOWER = (TimeMode.MAX_SPEED, TimeMode.FAST, TimeMode.REALTIME)


class Terminal(Protocol):
    """Where keys come from; `take` gives each key at once and unseen, `give_back` restores what was before."""

    def take(self) -> None: ...
    def give_back(self) -> None: ...

    def keys(self) -> str | None:
        """Wait for keys; empty after `wake`, None at the end of input."""
        ...

    def line(self) -> str | None:
        """Wait for a line that is typed in the normal mode; empty after `wake`, None at the end of input."""
        ...

    def wake(self) -> None: ...
    def close(self) -> None: ...


if sys.platform == "win32":
    import msvcrt

    class StandardTerminal:
        """The console of Windows, asked twenty times a second, because it cannot be waited for."""

        def __init__(self) -> None:
            self._woken = Event()

        def take(self) -> None:
            return

        def give_back(self) -> None:
            return

        def keys(self) -> str | None:
            while not msvcrt.kbhit():
                if self._woken.wait(0.05):
                    self._woken.clear()
                    return ""
            return msvcrt.getwch()

        def line(self) -> str | None:
            typed = ""
            while True:
                key = self.keys()
                if not key:
                    return key
                if key in "\r\n":
                    msvcrt.putwch("\n")
                    return typed + "\n"
                if key == "\b":
                    typed, key = typed[:-1], "\b \b" if typed else ""
                else:
                    typed += key
                for one in key:
                    msvcrt.putwch(one)

        def wake(self) -> None:
            self._woken.set()

        def close(self) -> None:
            return

else:
    import select
    import termios
    import tty

    class StandardTerminal:
        """A POSIX terminal, stdin by default: keys arrive one by one, Ctrl-C and output stay as they are."""

        def __init__(self, fd: int | None = None) -> None:
            self._fd = sys.stdin.fileno() if fd is None else fd
            self._before = termios.tcgetattr(self._fd)
            self._wake_from, self._wake_to = os.pipe()

        def take(self) -> None:
            tty.setcbreak(self._fd, termios.TCSANOW)

        def give_back(self) -> None:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

        def keys(self) -> str | None:
            return self._read()

        def line(self) -> str | None:
            return self._read()

        def _read(self) -> str | None:
            ready, _, _ = select.select([self._fd, self._wake_from], [], [])
            if self._wake_from in ready:
                os.read(self._wake_from, 1024)
                return ""
            try:
                read = os.read(self._fd, 4096)
            except OSError:  # the terminal went away
                return None
            return read.decode("utf-8", errors="replace") or None

        def wake(self) -> None:
            os.write(self._wake_to, b".")

        def close(self) -> None:
            os.close(self._wake_from)
            os.close(self._wake_to)


def keys_available() -> bool:
    """Whether somebody can press keys: stdin is a terminal, and this process is the one that it belongs to."""
    try:
        if not sys.stdin.isatty():
            return False
        return sys.platform == "win32" or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # no such stream, a closed one, or a terminal of another session
        return False


@contextmanager
def terminal_kept() -> Iterator[None]:
    """Afterwards the terminal is in the mode that it was in before, whatever a debugger or a reader left it in."""
    if not keys_available():
        yield
        return
    terminal = StandardTerminal()
    try:
        yield
    finally:
        terminal.give_back()
        terminal.close()


class KeyReader:
    """Reads keys and hands each to `handler`, in a thread of its own, while it is entered.

    Args:
        handler: called with one character at a time; it may call `ask`.
        foreground: who else draws on the terminal and steps aside while a line is typed.
        terminal: where the keys come from; stdin by default.
    """

    def __init__(
        self, handler: Callable[[str], None], foreground: Foreground | None = None, terminal: Terminal | None = None
    ) -> None:
        self._handler = handler
        self._foreground = foreground or Foreground()
        self._given = terminal
        self._lock = Lock()  # one that suspends at a time
        self._hold = False
        self._closing = False
        self._parked = Event()
        self._released = Event()
        self._ended = Event()

    def __enter__(self) -> "KeyReader":
        self._terminal: Terminal = self._given or StandardTerminal()
        self._terminal.take()
        self._foreground.add(self.suspended)
        self._thread = start_thread(_NAME, self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._foreground.remove(self.suspended)
        try:
            self._released.set()
            self._terminal.wake()
            self._thread.join()
        finally:
            self._terminal.give_back()
            self._terminal.close()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """While inside, no key is taken and the terminal is in its own mode; waits for a line that is being typed."""
        if current_participant.get() == _NAME:  # the handler itself, which reads nothing meanwhile
            yield
            return
        with self._lock:
            self._parked.clear()
            self._released.clear()
            self._hold = True
            self._terminal.wake()
            while not (self._parked.wait(1.0) or self._ended.is_set()):
                continue
            self._terminal.give_back()
            try:
                yield
            finally:
                self._hold = False
                if not self._closing:
                    self._terminal.take()
                self._released.set()

    def ask(self, question: str) -> str | None:
        """Have a line typed, in the normal mode; from the handler only.

        Returns:
            The line without spaces around it; None when nothing was typed, the run ended meanwhile, or somebody else
            has the terminal.
        """
        with self._foreground.taken(wait=False) as mine:
            if not mine:
                return None
            self._terminal.give_back()
            try:
                sys.stderr.write(question)
                sys.stderr.flush()
                typed: str | None = ""
                while typed == "" and not self._closing:
                    typed = self._terminal.line()
                return (typed or "").strip() or None
            finally:
                if not self._closing:
                    self._terminal.take()

    def _loop(self) -> None:
        current_participant.set(_NAME)
        try:
            while not self._closing:
                if self._hold:
                    self._parked.set()
                    self._released.wait()
                    continue
                pressed = self._terminal.keys()
                if pressed is None:
                    return
                if pressed.startswith("\x1b"):  # an arrow or the like, which means nothing here
                    continue
                for key in pressed:
                    self._handler(key)
        finally:
            self._ended.set()


class ControlKeys:
    """What each key asks of a run.

    Args:
        control: the run's control.
        stop: ends the run in order.
        say: shows a sentence to whoever pressed the key.
        add, remove: let a symbol join or leave the run.

    Attributes:
        ask: shows a question and returns the line that was typed, None for none; see `KeyReader.ask`.
        help: what the keys are, line by line.
    """

    help = (
        "space  pause, go on          s  one step            n  ten steps\n"
        "g      go on to an instant   b  break on condition  c  forget the break\n"
        "+ -    faster, slower        p  type a pace         m  full speed\n"
        "a      add a symbol          r  remove a symbol\n"
        "q      stop the run          ?  this help"
    )

    def __init__(
        self,
        control: RunControl,
        *,
        stop: Callable[[str], None] | None = None,
        say: Callable[[str], None] | None = None,
        add: Callable[[str], None] | None = None,
        remove: Callable[[str], None] | None = None,
    ) -> None:
        self._control = control
        self._stop = stop
        self._add = add
        self._remove = remove
        self._say = say or _unheard
        self.ask: Callable[[str], str | None] = _unanswered
        self._keys: dict[str, Callable[[], None]] = {
            " ": self._pause_or_go_on,
            "s": control.step,
            "n": lambda: control.step(10),
            "g": self._go_to,
            "b": self._break,
            "c": control.clear_break,
            "+": lambda: self._change_pace(faster=True),
            "=": lambda: self._change_pace(faster=True),  # the + key without shift
            "-": lambda: self._change_pace(faster=False),
            "p": self._type_pace,
            "m": lambda: self._set_pace(TimeMode.MAX_SPEED),
            "a": lambda: self._change_symbols("add", self._add),
            "r": lambda: self._change_symbols("remove", self._remove),
            "q": self._end,
            "?": lambda: self._say(self.help),
        }

    def press(self, key: str) -> None:
        """Do what a key stands for; a key that stands for nothing does nothing."""
        act = self._keys.get(key)
        if act is None:
            return
        try:
            act()
        except ConfigError as error:
            self._say(error.message)

    __call__ = press

    def show(self, state: ControlState) -> None:
        """Say that the run stands still, and why; a listener of the control."""
        if state.status == "paused":
            self._say(f"paused at {format_instant(state.now_ns)}: {state.why} (space goes on, s steps, ? helps)")

    def _pause_or_go_on(self) -> None:
        if self._control.state.status in ("paused", "pausing"):
            self._control.resume()
        else:
            self._control.pause()

    def _go_to(self) -> None:
        typed = self.ask("go on to (such as 2024-01-31 12:00): ")
        if typed is not None:
            self._control.run_to(typed)

    def _break(self) -> None:
        typed = self.ask("break when (such as account.equity < 9000): ")
        if typed is not None:
            self._control.break_when(typed)
            self._say(f"will pause when {typed}")

    def _type_pace(self) -> None:
        typed = self.ask(f"pace (such as 60x, or {', '.join(TimeMode)}): ")
        if typed is not None:
            self._set_pace(typed)

    def _set_pace(self, pace: str | TimeMode) -> None:
        self._control.set_pace(pace)
        self._say(f"pace {self._control.state.pace}")

    def _change_pace(self, *, faster: bool) -> None:
        pace = self._control.state.pace
        if pace.endswith("x"):
            self._set_pace(f"{float(pace[:-1]) * (2 if faster else 0.5)}x")
            return
        place = _SLOWER.index(TimeMode(pace)) if pace in _SLOWER else 1
        self._set_pace(_SLOWER[max(0, place - 1) if faster else min(len(_SLOWER) - 1, place + 1)])

    def _change_symbols(self, what: str, change: Callable[[str], None] | None) -> None:
        if change is None:
            return
        typed = self.ask(f"{what} the symbol: ")
        if typed is not None:
            change(typed)
            waits = " when the run goes on" if self._control.state.status == "paused" else ""
            self._say(f"will {what} {typed}{waits}")

    def _end(self) -> None:
        if self._stop is not None:
            self._stop("stopped from the keyboard")


def keys_during(controller: BacktestController, say: Callable[[str], None]) -> AbstractContextManager[ControlKeys]:
    """While inside, the keys of the terminal control the run; without a terminal, it only says when the run pauses.

    Args:
        say: shows a sentence; called from the reader's thread and from the run's.
    """

    @contextmanager
    def during() -> Iterator[ControlKeys]:
        keys = ControlKeys(
            controller.control, stop=controller.stop, say=say, add=controller.add_symbol,
            remove=controller.remove_symbol,
        )  # fmt: skip
        controller.control.listen(keys.show)
        with ExitStack() as stack:
            if keys_available():
                reader = stack.enter_context(KeyReader(keys.press, controller.foreground))
                keys.ask = reader.ask
            yield keys

    return during()


def _unheard(text: str) -> None:
    return


def _unanswered(question: str) -> None:
    return None
