"""Recorded bars against those of the store, bar by bar, and how they get there.

Called by the thread that opened the store.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError, PreflightError
from src.core.instrument import Instrument
from src.core.record import record
from src.core.timeframe import format_duration, format_instant
from src.data.bar_store import BarStore
from src.data.instruments import decimals_of, defaults_for, guess_kind
from src.data.resample import resample
from src.data.store import HistoricalDataStore
from src.research.parity.asked import series_of_bars
from src.research.parity.recorded import RecordedRun

__all__ = ["SOURCE", "BarDifference", "ImportedSeries", "StoreComparison", "against_store", "count_text",
           "difference_text", "import_recorded", "store_series"]  # fmt: skip

#: What the origin of recorded bars is called.
SOURCE = "recording"
_COLUMNS = ("open", "high", "low", "close", "volume")
_KINDS = {"fx": "fx", "equity": "equity", "spot": "crypto", "perpetual": "crypto"}


@record
class BarDifference:
    """One bar that recording and store do not share.

    Attributes:
        what: `changed`, `not stored`, `not recorded`, or `came late` where it came when it counted as absent already.
        recorded, stored: open, high, low, close, volume; None where there is no such bar.
    """

    symbol: str
    timeframe_ns: int
    open_ns: int
    what: str
    recorded: tuple[float, ...] | None
    stored: tuple[float, ...] | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the numbers that differ."""
        if self.recorded is None or self.stored is None:
            return ()
        return tuple(name for name, one, two in zip(_COLUMNS, self.recorded, self.stored, strict=True) if one != two)


@record
class StoreComparison:
    """Recorded bars against the store.

    Attributes:
        compared: how many bars both have.
        differences: by symbol, timeframe and time.
        notes: sentences about series that the store has not.
    """

    compared: int
    differences: tuple[BarDifference, ...]
    notes: tuple[str, ...] = ()


@record
class ImportedSeries:
    """One series that was brought over; `written` bars of `bars` are new."""

    symbol: str
    timeframe_ns: int
    price_side: str
    bars: int
    written: int
    first_ns: int
    last_ns: int


def against_store(run: RecordedRun, store: BarStore) -> StoreComparison:
    """Compare the bars of a recording with the stored ones of the same span; longer ones are made of shorter ones.

    A bar that the store has inside the recorded span, and the run has not seen, is a difference too.
    """
    compared, differences, notes = 0, [], []
    late = {
        (each.symbol, each.values.get("timeframe_ns"), each.values.get("open_ns"))
        for each in run.evidence.notes
        if each.what == "late_bar"
    }
    for (symbol, length_ns), series in sorted(series_of_bars(run.evidence, run.sides).items()):
        try:
            stored, begins_ns = _stored(store, series, run)
        except (PreflightError, ConfigError) as error:
            if _is_base(series, run.frames):  # without shorter ones there are no longer ones either
                notes.append(error.message)
            continue
        recorded, there = (
            {key: row for key, row in _rows(each).items() if key >= begins_ns} for each in (series, stored)
        )
        for open_ns in sorted(recorded.keys() | there.keys()):
            one, two = recorded.get(open_ns), there.get(open_ns)
            compared += one is not None and two is not None
            if one is None or two is None or not _alike(one, two):
                absent = "came late" if (symbol, length_ns, open_ns) in late else "not recorded"
                what = "not stored" if two is None else absent if one is None else "changed"
                differences.append(
                    BarDifference(
                        symbol=symbol, timeframe_ns=length_ns, open_ns=open_ns, what=what, recorded=one, stored=two
                    )
                )
    return StoreComparison(compared=compared, differences=tuple(differences), notes=tuple(notes))


def store_series(run: RecordedRun, store: BarStore) -> list[BarSeries]:
    """The stored bars of all series that the run has seen, of the recorded span; without those that are not stored."""
    found = []
    for series in series_of_bars(run.evidence, run.sides).values():
        try:
            found.append(_stored(store, series, run)[0])
        except (PreflightError, ConfigError):
            continue
    return found


def import_recorded(run: RecordedRun, store: HistoricalDataStore, source: str = SOURCE) -> list[ImportedSeries]:
    """Store the bars of a recording, all of them or none.

    Only the shortest bars of each symbol are stored, since longer ones are made of them.

    Args:
        source: their origin; a series never mixes two.

    Raises:
        DataError: a bar is stored with other numbers, the stored series has another source, or nothing was recorded.
    """
    series = [each for each in series_of_bars(run.evidence, run.sides).values() if _is_base(each, run.frames)]
    if not series:
        raise DataError(f"expected bars in the recording of {run.folder.name}, found none")
    found = []
    with store.transaction():
        for each in sorted(series, key=lambda one: one.symbol):
            kind = _kind(each.symbol, run.instruments)
            written = store.write_bars(each, source=source, kind=kind)
            if store.read_instrument(each.symbol) is None:
                store.write_instrument(each.symbol, kind, _defaults(each, kind, run.instruments.get(each.symbol)))
            store.log_import(
                each.symbol, each.timeframe_ns,
                {"file": run.folder.name, "layout": "recording", "rows": each.loaded, "written": written,
                 "source": source, "kind": kind, "symbol": each.symbol, "price": each.price_side,
                 "timeframe": format_duration(each.timeframe_ns)},
            )  # fmt: skip
            found.append(
                ImportedSeries(
                    symbol=each.symbol, timeframe_ns=each.timeframe_ns, price_side=each.price_side, bars=each.loaded,
                    written=written, first_ns=int(each.open_ns[0]), last_ns=int(each.open_ns[-1]),
                )
            )  # fmt: skip
    return found


def difference_text(difference: BarDifference) -> str:
    """A difference as a reader wants it."""
    which = f"{difference.symbol} {format_duration(difference.timeframe_ns)} {format_instant(difference.open_ns)}"
    if difference.recorded is None or difference.stored is None:
        return f"{which}: {difference.what}"
    values = dict(zip(_COLUMNS, zip(difference.recorded, difference.stored, strict=True), strict=True))
    changed = [f"{name} {values[name][0]!r} recorded, {values[name][1]!r} stored" for name in difference.fields]
    return f"{which}: {', '.join(changed)}"


def _stored(store: BarStore, series: BarSeries, run: RecordedRun) -> tuple[BarSeries, int]:
    """The stored bars of the recorded span, and from when on they are whole.

    Those that are not stored are made of the shortest ones, only whole ones.
    """
    symbol, length_ns, side = series.symbol, series.timeframe_ns, series.price_side
    first_ns, last_ns = int(series.open_ns[0]), int(series.open_ns[series.loaded - 1])
    try:
        return store.read_bars(symbol, length_ns, first_ns, last_ns + 1, price_side=side), first_ns
    except PreflightError:
        if _is_base(series, run.frames):
            raise
    base_ns = run.frames[symbol]
    stored = [each.last_ns for each in store.series_of(symbol)
              if (each.timeframe_ns, each.price_side) == (base_ns, side)]  # fmt: skip
    until_ns = min([last_ns + length_ns, *(each + base_ns for each in stored)])
    base = store.read_bars(symbol, base_ns, first_ns, until_ns, price_side=side)
    if base.loaded and base.open_ns[0] > first_ns:
        first_ns = -(-int(base.open_ns[0]) // length_ns) * length_ns
        base = store.read_bars(symbol, base_ns, first_ns, until_ns, price_side=side)
    made = resample(base, length_ns, until_ns) if base.loaded else BarSeries.empty(symbol, length_ns, price_side=side)
    return made, first_ns


def _alike(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    """Whether two bars are the same; a volume that was summed up in another order is."""
    return one[:4] == two[:4] and math.isclose(one[4], two[4], rel_tol=1e-9)


def _rows(series: BarSeries) -> dict[int, tuple[float, ...]]:
    columns = np.column_stack([getattr(series, name)[: series.loaded] for name in _COLUMNS]).tolist()
    return {open_ns: tuple(row) for open_ns, row in zip(series.open_ns[: series.loaded].tolist(), columns, strict=True)}


def _is_base(series: BarSeries, frames: Mapping[str, int]) -> bool:
    return series.timeframe_ns == frames.get(series.symbol, series.timeframe_ns)


def _defaults(series: BarSeries, kind: str, rule: Instrument | None) -> dict[str, Any]:
    """The defaults of its kind with the steps that the venue had."""
    found = defaults_for(kind, series.symbol, decimals=decimals_of(series.open, series.close))
    return found if rule is None else {**found, "tick": rule.tick, "volume_step": rule.volume_step}


def _kind(symbol: str, instruments: Mapping[str, Instrument]) -> str:
    rule = instruments.get(symbol)
    return _KINDS[rule.kind] if rule is not None else guess_kind(symbol) or "crypto"


def count_text(differences: Iterable[BarDifference]) -> str:
    """How many of each sort: `2 changed, 1 not stored`."""
    counts: dict[str, int] = {}
    for each in differences:
        counts[each.what] = counts.get(each.what, 0) + 1
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "none"
