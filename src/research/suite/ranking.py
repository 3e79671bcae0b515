"""The runs of suites from the best to the worst, by whichever figure. Called by one thread; nothing is written."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.core.record import record
from src.research.suite.results_file import METRIC_COLUMNS, quoted
from src.research.suite.selection import FIGURES, select_runs

__all__ = ["RankedRun", "Ranking", "highest_first", "read_results", "searchable"]

# Of these the less the better; of everything else that is a figure, the more. Labels and the like go upwards.
_LOW_IS_GOOD = frozenset({
    "ambiguous_trades", "annual_volatility_percent", "commission", "financing", "kurtosis", "longest_flat_ns",
    "longest_underwater_ns", "losses", "max_drawdown", "max_drawdown_percent", "open_commission", "open_slippage_cost",
    "open_spread_cost", "slippage_cost", "spread_cost", "trials", "without_r",
})  # fmt: skip
_TEXTS = frozenset({"currency"})

_ABOUT = ("suite", "suite_id", "position", "name", "run_id", "status", "error", "series")


@record
class RankedRun:
    """One run of a ranking.

    Attributes:
        rank: from 1; the same run under two names has two ranks.
        position: its place in the manifest of its suite.
        labels: what it was asked for; lists as one text.
        series: the symbols that it read, each with its source.
        figures: see `FIGURES`; all None of a run that did not get to its end.
        value: of the column that decides.
    """

    rank: int
    suite: str
    suite_id: str
    position: int
    name: str
    run_id: str | None
    status: str
    error: str
    series: tuple[tuple[str, str], ...]
    labels: dict[str, Any]
    figures: dict[str, Any]
    value: Any


@record
class Ranking:
    """Runs in order.

    Attributes:
        by: the column; `descending` whether its highest value comes first.
        labels: those that are not the same in all of the runs that were looked at.
        total: how many runs were looked at, of which `rows` are the first.
    """

    by: str
    descending: bool
    labels: tuple[str, ...]
    total: int
    rows: tuple[RankedRun, ...]


def highest_first(column: str) -> bool:
    """Whether more of it is better."""
    return column in FIGURES and column not in _LOW_IS_GOOD and column not in _TEXTS


def searchable() -> tuple[str, ...]:
    """The figures that a run has by itself and of which more, or less, is better."""
    return tuple([name for name in METRIC_COLUMNS if name not in _TEXTS and METRIC_COLUMNS[name] != pa.string()])


def read_results(
    path: Path,
    *,
    where: str | None = None,
    by: str = "sharpe",
    top: int | None = None,
    suite: str | None = None,
    ledger: Path | None = None,
) -> Ranking:
    """The best runs of a database of results.

    Runs without the figure come last; between equal ones the suite's id and the place in its manifest decide.

    Args:
        where, suite, ledger: see `select_runs`.
        by: a figure or a label; of two of one name the figure.
        top: how many at most; all by default.

    Raises:
        ConfigError: no such column or suite, or no condition.
        DataError: the database or the ledger cannot be read.
    """
    with select_runs(path, where=where, suite=suite, ledger=ledger) as selection:
        column = selection.column(by, "--by")
        descending = highest_first(column)
        order = f"{quoted(column)} {'DESC' if descending else 'ASC'} NULLS LAST, suite_id, position"
        labels, varying = selection.labels, selection.varying()
        rows = selection.fetch((*_ABOUT, *FIGURES, *labels.values(), column), order, top)
        total = selection.rows.aggregate("count(*)").fetchall()[0][0]
    figures_at = len(_ABOUT)
    labels_at = figures_at + len(FIGURES)
    return Ranking(
        by=column,
        descending=descending,
        labels=varying,
        total=int(total),
        rows=tuple(
            RankedRun(
                rank=rank,
                **{**dict(zip(_ABOUT, row, strict=False)), "series": _series(row[_ABOUT.index("series")])},
                figures=dict(zip(FIGURES, row[figures_at:], strict=False)),
                labels=dict(zip(labels, row[labels_at:-1], strict=True)),
                value=row[-1],
            )
            for rank, row in enumerate(rows, start=1)
        ),
    )


def _series(text: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((symbol, source) for symbol, source in json.loads(text or "[]"))
