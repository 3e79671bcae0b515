"""`breakpoint()` in a strategy: a debugger on the real terminal, although the bot has threads.

While a run goes on, `sys.breakpointhook` is ours. Whoever has the turn and calls `breakpoint()` gets pdb in its own
frame; nobody else runs meanwhile, because the turn is not given away, and virtual time stands still. At each prompt the
watchdog looks away and everything that draws on the terminal or reads from it steps aside. It changes no result.
"""

import os
import pdb
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType
from typing import Any, Protocol

from src.core.sync import Lock, current_participant
from src.core.timeframe import format_instant

__all__ = ["Foreground", "debugger_during"]

Aside = Callable[[], AbstractContextManager[object]]


class Watched(Protocol):
    """What is asked of the clock; see `TimeController`."""

    @property
    def instant_ns(self) -> int: ...
    def suspend_watchdog(self) -> AbstractContextManager[None]: ...
    def stop(self, reason: str) -> None: ...


class Foreground:
    """Who must step aside while somebody types at the terminal: displays that redraw, readers of keys."""

    def __init__(self) -> None:
        self._asides: list[Aside] = []
        self._lock = Lock()

    def add(self, aside: Aside) -> None:
        """Have `aside()` entered before somebody types, and left afterwards."""
        self._asides.append(aside)

    def remove(self, aside: Aside) -> None:
        """Undo `add`."""
        self._asides.remove(aside)

    @contextmanager
    def taken(self, *, wait: bool = True) -> Iterator[bool]:
        """While inside, the terminal belongs to the caller; one at a time.

        Args:
            wait: whether to wait for somebody who has it; a reader of keys must not, or both wait for each other.

        Yields:
            Whether the caller has it.
        """
        if not self._lock.acquire(blocking=wait):
            yield False
            return
        try:
            with ExitStack() as stack:
                for aside in list(self._asides):
                    stack.enter_context(aside())
                yield True
        finally:
            self._lock.release()


class _Debugger(pdb.Pdb):
    """pdb that takes the terminal for as long as it asks, and that ends the run in order when it is quit."""

    def __init__(self, clock: Watched, foreground: Foreground) -> None:
        # Its own handling of Ctrl-C needs the main thread; there, Ctrl-C asks the run to stop.
        super().__init__(nosigint=True)
        self.prompt = "(Pdb) "
        self._clock = clock
        self._foreground = foreground
        self.left = False  # quit: whoever still has a turn at this instant is not asked again

    def interaction(self, *arguments: Any, **named: Any) -> None:
        """Ask for commands until one lets the program go on."""
        with self._clock.suspend_watchdog(), self._foreground.taken():
            self.message(f"{current_participant.get()} at {format_instant(self._clock.instant_ns)}")
            super().interaction(*arguments, **named)

    def do_quit(self, arg: str) -> bool:
        """q: end the run in order, without an error in the strategy that asked for the debugger."""
        self._clock.stop("stopped in the debugger")
        self.left = True
        self.clear_all_breaks()
        self.set_continue()
        return True

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> bool:  # noqa: N802 - the name that `cmd` looks for
        """The end of input, as q."""
        self.message("")
        return self.do_quit(arg)


@contextmanager
def debugger_during(clock: Watched, foreground: Foreground, tell: Callable[[str], None]) -> Iterator[None]:
    """While inside, `breakpoint()` opens our debugger; what PYTHONBREAKPOINT says is respected.

    Another debugger, by a hook that somebody else installed or by PYTHONBREAKPOINT, is let through. It does not say
    when it is done, so from its first use on the watchdog looks away and the terminal is left to it.

    Args:
        tell: told once, in a sentence, when there is no terminal to debug at.
    """
    previous = sys.breakpointhook
    debugger: _Debugger | None = None
    silent = foreign = False

    def hook(*arguments: Any, **named: Any) -> Any:
        nonlocal debugger, silent, foreign
        wanted = os.environ.get("PYTHONBREAKPOINT", "")
        if wanted == "0":
            return None
        if previous is not sys.__breakpointhook__ or wanted not in ("", "pdb.set_trace"):
            if not foreign:
                foreign = True
                for_good.enter_context(clock.suspend_watchdog())
                for_good.enter_context(foreground.taken())
            return previous(*arguments, **named)
        if not _at_terminal():
            if not silent:
                silent = True
                tell("breakpoint() was passed over: there is no terminal to debug at")
            return None
        if debugger is None:
            debugger = _Debugger(clock, foreground)
        if debugger.left:
            return None
        caller: FrameType | None = sys._getframe(1)
        if named.get("header"):
            debugger.message(str(named["header"]))
        debugger.set_trace(caller)
        return None

    with ExitStack() as for_good:
        sys.breakpointhook = hook
        try:
            yield
        finally:
            if sys.breakpointhook is hook:
                sys.breakpointhook = previous


def _at_terminal() -> bool:
    try:
        return sys.stdin.isatty() and sys.stdout.isatty()
    except (AttributeError, ValueError):  # no such stream, or a closed one
        return False
