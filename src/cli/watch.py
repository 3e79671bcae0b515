"""`--watch`: a live view of a running backtest on the terminal's other screen.

A thread of its own looks at the run a few times a second and draws; the run itself never calls it, so that no digest
depends on it. Afterwards, however the run ends, the terminal shows what it showed before, and below it what was printed
meanwhile.
"""

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.run import PreparedRun, Watch
from src.cli.keys import keys_available
from src.cli.output import Output
from src.cli.watch_sample import Sampler
from src.cli.watch_view import frame
from src.core.errors import ConfigError
from src.core.sync import Lock, Ticker, current_participant, monotonic_ns

__all__ = ["KeptPrints", "View", "live_watch", "watch_console"]

_INTERVAL_S = 0.2
#: After drawing it rests so many times as long as that took, so that a large run is not slowed down by its display.
_REST = 20
#: So long a message stays while the run goes on.
_MESSAGE_NS = 8_000_000_000
_MOST_LINES = 10_000


def watch_console(out: Output) -> Console:
    """The terminal on which the view is drawn: standard error, or standard output where no program reads that.

    Raises:
        ConfigError: neither is a terminal on which one can draw.
    """
    for stream in [sys.stderr] if out.as_json else [sys.stderr, sys.stdout]:
        if _is_terminal(stream):
            console = Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
            if not console.is_dumb_terminal:
                return console
    wanted = "standard error" if out.as_json else "standard error or standard output"
    raise ConfigError(
        f"--watch draws on a terminal, found none on {wanted}; leave it out, or use --stats for the threads' real time"
    )


def live_watch(prepared: PreparedRun, console: Console) -> Watch:
    """What `execute` enters while the run goes on; what the controller tells is shown in the view meanwhile."""

    @contextmanager
    def watch(controller: BacktestController) -> Iterator["View"]:
        view = View(Sampler(prepared, controller), console)
        before = controller.tell
        with view.shown():
            controller.tell = view.say
            controller.foreground.add(view.aside)
            try:
                yield view
            finally:
                controller.foreground.remove(view.aside)
                controller.tell = before

    return watch


class View:
    """Draws samples, and shows what is said.

    Args:
        sampler: what is drawn.
        console: where.
    """

    def __init__(self, sampler: Sampler, console: Console) -> None:
        self._sampler = sampler
        self._console = console
        self._keys = keys_available()
        self._prints = KeptPrints()
        self._drawing = Lock()
        self._rest_until_ns = 0
        self._said = ("", 0, False)
        self._paused = False
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def say(self, text: str) -> None:
        """Show a sentence for a while, or until a run that stands still goes on; from any thread."""
        self._said = (text, monotonic_ns(), self._paused)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While inside, the view is on the terminal."""
        with ExitStack() as stack:
            stack.enter_context(self._prints.kept())
            stack.enter_context(self._live)
            self._draw()
            ticker = Ticker(_INTERVAL_S, self._tick)
            stack.callback(ticker.close)
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While inside, the terminal is as it was before, for somebody who types."""
        with self._drawing:
            self._live.stop()
            try:
                with self._prints.let_through():
                    yield
            finally:
                self._sampler.looked_away()
                self._live.start()

    def _tick(self) -> None:
        if monotonic_ns() < self._rest_until_ns or not self._drawing.acquire(blocking=False):
            return  # or somebody types at the terminal
        current_participant.set("watch")  # nobody of the run: a probe measures nothing here
        try:
            began_ns = monotonic_ns()
            self._draw()
            ended_ns = monotonic_ns()
            self._rest_until_ns = ended_ns + _REST * (ended_ns - began_ns)
        finally:
            self._drawing.release()

    def _draw(self) -> None:
        sample = self._sampler.take(self._message(), keys=self._keys)
        self._paused = sample.status == "paused"
        self._measure()
        width, height = self._console.size
        lines = frame(sample, width, height, ascii_only=self._console.options.ascii_only)
        self._live.update(Group(*lines), refresh=True)

    def _measure(self) -> None:
        """Ask the terminal itself: COLUMNS and LINES, which come first otherwise, do not follow a resized one."""
        try:
            width, height = os.get_terminal_size(self._console.file.fileno())
        except (OSError, ValueError):  # a stream that only stands for a terminal
            return
        if width and height:
            self._console.size = ConsoleDimensions(width, height)

    def _message(self) -> str:
        text, said_ns, while_paused = self._said
        stale = while_paused or monotonic_ns() - said_ns > _MESSAGE_NS
        printed = self._prints.last
        if text and (self._paused or not stale):
            return text
        return f"printed: {printed}" if printed else ""


class KeptPrints:
    """Keeps what is printed on a terminal while the view has it, and prints it afterwards.

    A stream that goes to a file or a pipe is left alone.

    Attributes:
        last: the last line, without colours.
    """

    def __init__(self) -> None:
        self.last = ""
        self._kept: deque[tuple[TextIO, str]] = deque(maxlen=_MOST_LINES)
        self._dropped = 0
        self._begun = ""
        self._through = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While inside, prints are kept; at the end they are printed in their order."""
        out, err = sys.stdout, sys.stderr
        stand_ins = [
            cast("TextIO", _StandIn(stream, self)) if _is_terminal(stream) else stream for stream in (out, err)
        ]
        sys.stdout, sys.stderr = stand_ins
        try:
            yield
        finally:
            # Whoever has put something else there meanwhile takes it away itself.
            if sys.stdout is stand_ins[0]:
                sys.stdout = out
            if sys.stderr is stand_ins[1]:
                sys.stderr = err
            self._through = True  # for whoever has kept a stand-in
            self._print_all(err)

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """While inside, prints go to the terminal."""
        self._through = True
        try:
            yield
        finally:
            self._through = False

    def write(self, stream: TextIO, text: str) -> int:
        """Print or keep a text."""
        if self._through:
            return stream.write(text)
        self._dropped += len(self._kept) == _MOST_LINES
        self._kept.append((stream, text))
        *lines, self._begun = (self._begun + text).split("\n")  # `print` writes a line in pieces
        found = [line for line in lines if line.strip()]
        if found:
            self.last = Text.from_ansi(found[-1]).plain.strip()
        return len(text)

    def _print_all(self, errors: TextIO) -> None:
        if self._dropped:
            errors.write(f"({self._dropped:,} earlier pieces of what was printed during the run were not kept)\n")
        while self._kept:
            stream, text = self._kept.popleft()
            stream.write(text)
            if not self._kept or self._kept[0][0] is not stream:
                stream.flush()


class _StandIn:
    """Stands where a standard stream stood; everything but writing is the stream's own."""

    def __init__(self, stream: TextIO, prints: KeptPrints) -> None:
        self._stream = stream
        self._prints = prints

    def write(self, text: str) -> int:
        return self._prints.write(self._stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False
