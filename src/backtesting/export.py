"""A stored run for other programs: tables as CSV, and a tear sheet made by quantstats.

Each file is written beside its place and gets its name in one step. Called by one thread.
"""

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import ConfigError, DataError
from src.core.words import counted, meant

if TYPE_CHECKING:
    import pandas as pd

    from src.backtesting.stored_run import Run

__all__ = ["CSV_TABLES", "TEARSHEET", "write_csv", "write_tearsheet"]

#: What can be written as CSV.
CSV_TABLES = ("trades", "equity", "returns", "orders", "fills", "journal")
_BY_INSTANT = ("equity", "returns")
TEARSHEET = "tearsheet.html"
#: Under so many daily returns there is nothing that quantstats could say.
_FEWEST_DAYS = 2


def write_csv(run: "Run", folder: Path, tables: Sequence[str] = ("trades", "equity")) -> list[Path]:
    """Write tables of a run as CSV; instants as ISO 8601 with their offset, numbers so that they read back exactly.

    Raises:
        ConfigError: there is no such table, or the folder cannot be written.
        DataError: a table of the run cannot be read.
    """
    unknown = [name for name in tables if name not in CSV_TABLES]
    if unknown:
        hint = meant(unknown[0], CSV_TABLES)
        raise ConfigError(f"expected tables among {', '.join(CSV_TABLES)}, found {', '.join(unknown)}{hint}")
    written = []
    for name in dict.fromkeys(tables):
        table: pd.DataFrame | pd.Series = run.returns.to_frame("return") if name == "returns" else getattr(run, name)

        def write(path: Path, table: Any = table, index: bool = name in _BY_INSTANT) -> None:
            table.to_csv(path, index=index, lineterminator="\n")

        written.append(_written(folder / f"{name}.csv", write))
    return written


def write_tearsheet(run: "Run", path: Path) -> Path:
    """Write a tear sheet of the run's daily returns; the file asks the network for nothing.

    Raises:
        ConfigError: quantstats is not installed, or the file cannot be written.
        DataError: the run has too few days for it, or returns that quantstats would take for prices.
    """
    returns, name = run.returns, str(run.manifest.get("configuration", {}).get("name", ""))
    if len(returns) < _FEWEST_DAYS:
        raise DataError(
            f"expected a run of at least {_FEWEST_DAYS} days with positive equity for a tear sheet, found "
            f"{counted(len(returns), 'daily return')}; choose a longer window"
        )
    if returns.min() >= 0 and returns.max() > 1:
        raise DataError(
            "expected daily returns that quantstats takes for such, found none below 0 and one of "
            f"{returns.max():.0%}: it would take them for prices and show other figures; those of the run are in its "
            "report"
        )
    year = run.metrics.days_per_year
    label = " (SYNTHETIC market)" if run.synthetic else ""
    with _quiet():
        try:
            import quantstats
        except ImportError:
            raise ConfigError(
                "expected quantstats for a tear sheet, found none; install it: pip install 'lockstep[tearsheet]'"
            ) from None

        def write(target: Path) -> None:
            make: Callable[..., None] = quantstats.reports.html
            make(
                returns, output=str(target), title=f"{name} {run.run_id}{label}".strip(), periods_per_year=round(year),
            )  # fmt: skip
            # It names an icon on a server, and nobody is to learn who looks at what.
            text = re.sub(r"<link[^>]*https?://[^>]*>", "", target.read_text(encoding="utf-8"))
            target.write_text(text, encoding="utf-8", newline="\n")

        return _written(path, write)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the libraries under quantstats say: fonts that are absent, words that they will rename."""
    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    # Pictures are drawn into the file, also where there is no screen.
    shown = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
        if shown is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = shown


def _written(path: Path, write: Callable[[Path], None]) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        beside.replace(path)
    except OSError as error:
        raise ConfigError(
            f"expected to write {path}, found: {error.strerror or error}; choose another folder with --to",
            path=str(path),
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return path
