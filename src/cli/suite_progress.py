"""The progress of a suite: runs done, failed, a second, remaining.

Told by the suite in the main thread after each run; drawn on terminals only, elsewhere one line now and then. It reads
the real clock for the reader alone.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from src.core.sync import monotonic_ns
from src.core.words import counted

__all__ = ["SuiteProgress"]

_REDRAW_NS = 250_000_000
_LINE_NS = 30_000_000_000


class SuiteProgress:
    """A bar on a terminal, a line each half minute anywhere else; a context manager.

    Args:
        console: where people read.
        shown: None draws on a terminal and writes lines elsewhere, False does neither.
        one: what is counted, as one of it is called.
    """

    def __init__(self, console: Console, *, shown: bool | None = None, one: str = "run") -> None:
        self._console = console
        self._one = one
        self._shown = shown is not False
        self._bar = (
            Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(),
                TextColumn("{task.fields[speed]}"), console=console, auto_refresh=False,
            )
            if self._shown and (shown or console.is_terminal)
            else None
        )  # fmt: skip
        self._task = None if self._bar is None else self._bar.add_task(f"{one}s", total=None, speed="")
        self._began_ns = self._told_ns = monotonic_ns()
        self._before = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.stop()

    def begin(self, done: int) -> None:
        """So many runs were done before; those that come now count for the speed."""
        self._before = done
        self._began_ns = self._told_ns = monotonic_ns()

    def tell(self, done: int, failed: int, total: int) -> None:
        """So many of all runs have ended, and so many of these in another way than they should."""
        now = monotonic_ns()
        wait_ns = _LINE_NS if self._bar is None else _REDRAW_NS
        if not self._shown or (now - self._told_ns < wait_ns and done < total):
            return
        self._told_ns = now
        text = speed_text(done, failed, total, self._before, (now - self._began_ns) / 1e9, self._one)
        if self._bar is not None and self._task is not None:
            told = f"{done}/{total} {self._one}s"
            self._bar.update(self._task, completed=done, total=total, description=told, speed=text)
            self._bar.refresh()
        elif done < total:
            self._console.print(
                f"{done} of {counted(total, self._one)} done{', ' if text else ''}{text}", soft_wrap=True
            )


def speed_text(done: int, failed: int, total: int, before: int, seconds: float, one: str = "run") -> str:
    """`2 failed, 6.4 runs/s, 1 min 05 s left`; what is not known yet is left out."""
    parts = [f"{failed} failed"] if failed else []
    fresh = done - before
    if fresh > 0 and seconds > 0:
        per_s = fresh / seconds
        minutes, rest = divmod(round((total - done) / per_s), 60)
        hours, minutes = divmod(minutes, 60)
        left = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
        parts += [f"{per_s:,.1f} {one}s/s", f"{left} left"]
    return ", ".join(parts)
