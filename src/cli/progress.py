"""A progress bar for a running backtest.

It asks the controller four times a second from a thread of its own; the run itself never calls it, so that it costs
nothing per step and can change nothing. What it shows of real time is for the reader only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.run import PreparedRun, Watch
from src.core.sync import Lock, Ticker, monotonic_ns
from src.core.timeframe import format_instant

__all__ = ["progress_watch"]

_INTERVAL_S = 0.25


def progress_watch(prepared: PreparedRun, console: Console, *, forced: bool | None = None) -> Watch | None:
    """What `execute` enters while the run goes on; None where nobody would see it.

    Args:
        console: the terminal on which the bar is drawn.
        forced: draw it on anything, or not at all; by default on terminals only.
    """
    if forced is False or not (forced or console.is_terminal):
        return None
    if not console.is_terminal:
        console = Console(stderr=True, force_terminal=True)

    @contextmanager
    def watch(controller: BacktestController) -> Iterator[None]:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            console=console,
            auto_refresh=False,
        )
        began = monotonic_ns()
        task = progress.add_task(format_instant(prepared.start_ns)[:16], total=controller.market.total_bars, speed="")

        drawing = Lock()

        def show() -> None:
            if not drawing.acquire(blocking=False):
                return  # somebody types at the terminal
            try:
                draw()
            finally:
                drawing.release()

        @contextmanager
        def aside() -> Iterator[None]:
            with drawing:
                progress.stop()
                try:
                    yield
                finally:
                    progress.start()

        def draw() -> None:
            bars, total = controller.market.bars, controller.market.total_bars
            date = format_instant(controller.time_controller.statistics().now_ns)[:16]
            seconds = (monotonic_ns() - began) / 1e9
            progress.update(task, completed=bars, total=total, description=date, speed=_speed(bars, total, seconds))
            progress.refresh()

        with progress:
            ticker = Ticker(_INTERVAL_S, show)
            controller.foreground.add(aside)
            try:
                yield
            finally:
                controller.foreground.remove(aside)
                ticker.close()
                show()

    return watch


def _speed(bars: int, total: int, seconds: float) -> str:
    """`190,000 bars/s, 12 s left`."""
    if not bars or seconds <= 0:
        return ""
    per_s = bars / seconds
    left = (total - bars) / per_s
    minutes, rest = divmod(round(left), 60)
    shown = f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"{per_s:,.0f} bars/s, {shown} left"
