"""A figure over two labels: the numbers of a heat map. Called by one thread; nothing is written."""

from pathlib import Path
from typing import Any

from src.core.errors import ConfigError
from src.core.record import record
from src.research.suite.selection import select_runs

__all__ = ["HeatMap", "heat_map"]


@record
class HeatMap:
    """A figure for each pair of values.

    Attributes:
        x_name, y_name, of: the columns.
        x, y: the values, upwards; of a column of texts in the order of the texts.
        values: one row for each y, in it one figure for each x; None where no run has any.
    """

    x_name: str
    y_name: str
    of: str
    x: tuple[Any, ...]
    y: tuple[Any, ...]
    values: tuple[tuple[Any, ...], ...]


def heat_map(
    path: Path, x: str, y: str, of: str = "sharpe", *, where: str | None = None, suite: str | None = None,
    ledger: Path | None = None,
) -> HeatMap:  # fmt: skip
    """The figure `of` for each pair of values of two labels.

    A cell belongs to one run, because an average over different markets or costs says nothing about any of them. The
    same run in several places counts once.

    Args:
        where, suite, ledger: see `select_runs`.

    Raises:
        ConfigError: no such column or suite, or no condition; or several different runs share a cell: the sentence says
            in what they differ.
        DataError: the database or the ledger cannot be read.
    """
    with select_runs(path, where=where, suite=suite, ledger=ledger) as selection:
        across, down = (selection.column(name, "--heatmap", label=True) for name in (x, y))
        figure = selection.column(of, "--of")
        if across == down:
            raise ConfigError(f"--heatmap: expected two different labels, found {x} twice")
        others = {"suite": "suite_id", **selection.labels}
        for shown in (across, down):
            others = {label: column for label, column in others.items() if column != shown}
        wanted = (across, down, figure, "run_id", "name", *others.values())
        rows = selection.fetch(wanted, "suite_id, position")
    cells: dict[tuple[Any, Any], tuple[Any, ...]] = {}
    for row in rows:
        place = row[:2]
        if place[0] is None or place[1] is None:
            continue
        first = cells.get(place)
        # A run comes before none, and one that failed in another suite after itself.
        if first is None or (first[3] is None and row[3] is not None) or (first[2] is None and row[3] == first[3]):
            cells[place] = row
        elif row[3] is not None and row[3] != first[3]:
            raise _shared(x, y, first, row, tuple(others))
    xs, ys = (sorted({place[axis] for place in cells}) for axis in (0, 1))
    return HeatMap(
        x_name=x, y_name=y, of=figure, x=tuple(xs), y=tuple(ys),
        values=tuple(tuple(cells[a, b][2] if (a, b) in cells else None for a in xs) for b in ys),
    )  # fmt: skip


def _shared(x: str, y: str, one: tuple[Any, ...], two: tuple[Any, ...], others: tuple[str, ...]) -> ConfigError:
    pairs = zip(others, one[5:], two[5:], strict=True)
    different = [f"{label} ({first} and {second})" for label, first, second in pairs if first != second]
    return ConfigError(
        f"--heatmap: expected one run for {x} {one[0]} and {y} {one[1]}, found {one[4]} and {two[4]}, which differ in "
        f"{', '.join(different) or 'what no label says'}; choose with --where or --suite"
    )
