"""The equity of the best runs of a suite, and how alike their daily returns are. Reads the folders of the runs.

Nothing is written and no clock is read. Called by one thread.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.backtesting.equity import daily_equity, daily_returns, day_ends, shared_calendar
from src.core.bars import FloatArray, IntArray
from src.core.calendars import Calendar
from src.core.day import AccountDay
from src.core.errors import ConfigError
from src.research.suite.report_data import ListedRun

__all__ = ["Curve", "correlation", "curves_of", "thinned"]

#: With fewer common days two runs have no correlation that is worth telling.
_FEWEST_DAYS = 3
_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """The equity of one run.

    Attributes:
        instant_ns, equity: samples, shape (n,); not all that the run has, see `thinned`.
        day: when the days of the run's account end, and `returns` their relative changes, shape (days,); both empty
            where equity came to nothing.
    """

    run: ListedRun
    instant_ns: IntArray
    equity: FloatArray
    day: IntArray
    returns: FloatArray


def curves_of(runs_dir: Path, runs: Sequence[ListedRun], *, most: int, points: int) -> tuple[Curve, ...]:
    """The curves of the first of these runs whose folder still has one.

    Args:
        runs: best first, each once.
        most: so many curves at most.
        points: so many samples of each, about.
    """
    found: list[Curve] = []
    for run in runs:
        if len(found) == most:
            break
        read = _equity(runs_dir / run.folder / "equity.parquet") if run.folder else None
        if read is None or not len(read[0]):
            continue
        instant_ns, equity = read
        start_ns, end_ns = int(run.figures["start_ns"]), int(run.figures["end_ns"])
        day, calendar = _days_of(runs_dir / run.folder / "manifest.json", start_ns, end_ns)
        ends = day_ends(start_ns, end_ns, day, calendar)
        returns = daily_returns(daily_equity(instant_ns, equity, start_ns, end_ns, day, calendar))
        returns = np.zeros(0) if returns is None else returns
        keep = thinned(instant_ns, points)
        found.append(
            Curve(
                run=run, instant_ns=instant_ns[keep], equity=equity[keep],
                day=ends[: len(returns)], returns=returns,
            )
        )  # fmt: skip
    return tuple(found)


def thinned(instant_ns: IntArray, points: int) -> IntArray:
    """The places of the samples that are shown: the first one, and the last one of each of so many equal spans of time.

    Args:
        instant_ns: not decreasing, at least one; shape (n,).
    """
    last = len(instant_ns) - 1
    edges = np.linspace(float(instant_ns[0]), float(instant_ns[-1]), points + 1)[1:]
    places = np.searchsorted(instant_ns.astype(np.float64), edges, side="right") - 1
    return np.unique(np.concatenate([[0], np.clip(places, 0, last), [last]])).astype(np.int64)


def correlation(curves: Sequence[Curve]) -> list[list[float | None]]:
    """Pearson's correlation of the daily returns of each pair, over the days that both have.

    Days are those of the runs' accounts, as for their Sharpe ratios; two that end at different instants are different
    days. None where two have fewer than three common days, or one of them does not move. Sums are exact, so that no
    processor changes a digit.
    """
    return [[_pearson(one, other) for other in curves] for one in curves]


def _pearson(one: Curve, other: Curve) -> float | None:
    _, mine, theirs = np.intersect1d(one.day, other.day, assume_unique=True, return_indices=True)
    x, y = one.returns[mine].tolist(), other.returns[theirs].tolist()
    if len(x) < _FEWEST_DAYS:
        return None
    middle, height = math.fsum(x) / len(x), math.fsum(y) / len(y)
    across = math.fsum((a - middle) ** 2 for a in x)
    above = math.fsum((b - height) ** 2 for b in y)
    if across <= 0 or above <= 0:
        return None
    together = math.fsum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
    return float(f"{max(-1.0, min(1.0, together / math.sqrt(across * above))):.{_DIGITS}g}")


def _days_of(manifest: Path, start_ns: int, end_ns: int) -> tuple[AccountDay | None, Calendar | None]:
    """When the days of a run's account begin, and its market's calendar; None where the manifest does not say so."""
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        day = found["configuration"]["risk"].get("day") or {}
        calendars = [str(each["calendar"]) for each in found["symbols"]]
        return AccountDay(day.get("zone", "UTC"), day.get("at", "00:00")), shared_calendar(calendars, start_ns, end_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError):
        return None, None


def _equity(path: Path) -> tuple[IntArray, FloatArray] | None:
    try:
        # As a single file: a folder named like `key=value` on the way would otherwise become a column.
        with pq.ParquetFile(path) as file:
            table = file.read(columns=["instant_ns", "equity"])
    except (OSError, KeyError, pa.ArrowException):
        return None  # the run was removed since, or is half there; the others are shown
    return (
        table.column("instant_ns").to_numpy().astype(np.int64),
        table.column("equity").to_numpy().astype(np.float64),
    )
