"""A pandas frame as a source, and its import from Python.

    import_frame(frame, symbol="BTCUSDT", store=Path("data/market.duckdb"))

Runs in the thread of the caller; reads no clock. A frame is judged like a file: the same rows are refused, and what it
does not say has to be given.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError, DataError
from src.data.formats import RawTable, map_columns
from src.data.import_plan import ImportAnswers, ImportPlan, ImportReport
from src.data.importing import inspect_table, run_import
from src.data.sources.held import HeldSource
from src.data.stamps import Place, Stamps, parse_stamps
from src.data.store import HistoricalDataStore

if TYPE_CHECKING:
    import pandas as pd  # importing it costs more than a short run

__all__ = ["frame_series", "frame_source", "import_frame"]

_PLACE = "the frame"
_INDEX = "timestamp"


def import_frame(
    frame: "pd.DataFrame",
    *,
    symbol: str,
    store: HistoricalDataStore | Path,
    kind: str = "crypto",
    timeframe: str | None = None,
    zone: str | None = None,
    stamp: str = "open",
    price: str = "trade",
    source: str = "frame",
) -> ImportReport:
    """Store the bars of a frame; one transaction.

    Args:
        frame: columns open, high, low, close and possibly volume, in any case and order; times as its index, or as a
            column such as timestamp. Times with a zone are instants.
        symbol: the name under which they are stored; of a frame with a symbol column, the one to take.
        store: open for writing, or the file, which is created when absent.
        kind: crypto, fx or equity: chooses the instrument's defaults.
        timeframe: such as `1m`; by default the commonest step.
        zone: of times without one, such as `America/New_York`; UTC has to be said too.
        stamp: whether a time is the `open` or the `close` of its bar.
        price: bid, ask, mid or trade.
        source: the origin that the store keeps; a series never mixes two.

    Raises:
        ConfigError: an argument is not one of its choices, or one more is needed.
        DataError: a row cannot be right, or does not fit what is stored.
    """
    answers = ImportAnswers(
        symbol=symbol, kind=kind, timeframe=timeframe, zone=zone, stamp=stamp, price=price, source=source
    )
    plan = _plan(frame, answers)
    if isinstance(store, HistoricalDataStore):
        return run_import(plan, store)
    with HistoricalDataStore(store) as opened:
        return run_import(plan, opened)


def frame_series(frame: "pd.DataFrame", **answers: str) -> BarSeries:
    """The bars of a frame in memory; the answers are the arguments of `import_frame` but for `store`."""
    return _plan(frame, _answers(answers)).require_complete()


def frame_source(frame: "pd.DataFrame", **answers: str) -> HeldSource:
    """A frame as a `BarSource`, to sync or heal from; the answers are as in `frame_series`."""
    plan = _plan(frame, _answers(answers))
    series = plan.require_complete()
    return HeldSource(plan.settled["source"], [series], {series.symbol: plan.settled["kind"]})


def _answers(given: Mapping[str, str]) -> ImportAnswers:
    usual = {"kind": "crypto", "stamp": "open", "price": "trade", "source": "frame"}
    return ImportAnswers(**{**usual, **given})


def _plan(frame: "pd.DataFrame", answers: ImportAnswers) -> ImportPlan:
    plan = inspect_table(Path(_PLACE), _table(frame), answers)
    if plan.questions:
        asked = "; ".join(f"{question.key}= for {question.sentence}" for question in plan.questions)
        raise ConfigError(f"the frame does not say everything; please add {asked}")
    return plan


def _table(frame: "pd.DataFrame") -> RawTable:
    if frame.empty:
        raise DataError("expected a frame with at least one bar, found one without rows")
    names = [str(name) for name in frame.columns]
    values = [frame.iloc[:, i] for i in range(len(names))]
    if _has_times(frame.index):
        # Its times are the index; a column that looks like a time is not asked.
        names, values = [_INDEX, *names], [frame.index.to_series(), *values]
    found = map_columns(names, _PLACE, _PLACE)
    place = Place(path=_PLACE, word="row", numbers=np.arange(1, len(frame) + 1))
    columns = {name: _numbers(values[i], name, place) for name, i in found.values.items()}
    columns.setdefault("volume", np.zeros(len(frame)))
    symbols = None if found.symbol is None else tuple(str(value) for value in values[found.symbol])
    return RawTable(
        layout="frame", place=place, stamps=_stamps([values[i] for i in found.times], place), columns=columns,
        symbols=symbols, stamped_at=found.stamped_at, notes=found.notes,
    )  # fmt: skip


def _has_times(index: Any) -> bool:
    return index.dtype.kind == "M" or re.search("date|time|ts", str(index.name or ""), re.IGNORECASE) is not None


def _numbers(column: Any, name: str, place: Place) -> FloatArray:
    try:
        return np.array(column.to_numpy(np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        raise DataError(
            f"{place.path}: expected numbers in the column {name}, found {column.dtype}", path=place.path
        ) from None


def _stamps(columns: list[Any], place: Place) -> Stamps:
    times = columns[0]
    if len(columns) == 1 and times.dtype.kind == "M":
        absent = np.flatnonzero(times.isna().to_numpy())
        if len(absent):
            raise DataError(f"{place.of(int(absent[0]))}: expected a time, found none", path=place.path)
        zone = getattr(times.dtype, "tz", None)
        # Whatever its unit is: pandas counts in microseconds by default.
        instants = times if zone is None else times.dt.tz_convert("UTC").dt.tz_localize(None)
        return Stamps(ns=instants.to_numpy("datetime64[ns]").astype(np.int64), is_utc=zone is not None)
    return parse_stamps([" ".join(str(part) for part in row) for row in zip(*columns, strict=True)], place)
