"""A progress bar for a backtest that is run from Python: in a notebook a widget where it has them, else a line of text.

It asks the run four times a second from a thread of its own; the run itself never calls it, so that it costs nothing
per step and can change nothing. What it shows of real time is for the reader only.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import TqdmWarning

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.run import Watch
from src.core.sync import Lock, Ticker
from src.core.timeframe import format_instant

__all__ = ["in_notebook", "progress_bar"]

_INTERVAL_S = 0.25


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    found: Any = shell.get_ipython() if shell is not None else None
    return found is not None and "IPKernelApp" in getattr(found, "config", {})


def progress_bar(shown: bool | None = None, file: Any = None) -> Watch | None:
    """What `execute` enters while the run goes on; None where nobody would see it.

    Args:
        shown: draw it in any case, or never; by default in notebooks and on terminals.
        file: where it is drawn as text; stderr by default.
    """
    if shown is None:
        shown = in_notebook() or sys.stderr.isatty()
    if not shown:
        return None

    @contextmanager
    def watch(controller: BacktestController) -> Iterator[None]:
        bar = _bar(controller.market.total_bars, file)
        drawing = Lock()

        def show() -> None:
            if not drawing.acquire(blocking=False):
                return  # the last picture is being drawn
            try:
                bar.total = controller.market.total_bars
                bar.set_description_str(format_instant(controller.time_controller.statistics().now_ns)[:16], False)
                bar.n = controller.market.bars
                bar.refresh()
            finally:
                drawing.release()

        ticker = Ticker(_INTERVAL_S, show)
        try:
            yield
        finally:
            ticker.close()
            show()
            bar.close()

    return watch


def _bar(total: int, file: Any) -> Any:
    with warnings.catch_warnings():
        # It warns where a notebook has no widgets, and then draws text, which is what is wanted there.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm
    kind: Any = tqdm
    kind.monitor_interval = 0  # no thread of its own: the ticker is one
    return kind(total=total, unit=" bars", unit_scale=True, file=file)
