"""The engine around the bot: virtual time, composition, artifacts, metrics, report.

From Python: `from src.backtesting import run_backtest, open_run`. They are imported when they are asked for, so that
what needs a part of this package alone does not load pandas and all the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.backtesting.api import run_backtest
    from src.backtesting.stored_run import Run, open_run

__all__ = ["Run", "open_run", "run_backtest"]

_PLACES = {
    "Run": "src.backtesting.stored_run",
    "open_run": "src.backtesting.stored_run",
    "run_backtest": "src.backtesting.api",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
