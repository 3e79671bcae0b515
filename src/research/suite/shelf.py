"""The data that a worker keeps from one run to the next, so that one load of the store serves many runs.

A shelf holds what the runs of one signature read, as long as tasks of that signature come. What it hands out is bit for
bit what the store would give: the same rows, read-only. Who asks for the same rows gets the same memory, by which
features find their values again (`src.core.features`). Used by one thread; no clock is read.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import BarOpener, bar_opener, market_spec
from src.core.bars import BarSeries
from src.core.calendars import Calendar
from src.core.errors import InternalError, PreflightError
from src.data.bar_store import BarStore, TapeSource
from src.data.mirror_store import MirrorStore
from src.data.resample import resample
from src.data.stored import COLUMNS, SeriesInfo, TapeInfo
from src.data.synthetic_store import MEMORY
from src.data.tapes import QuoteTape, RateTape, Tape, TradeTape
from src.research.suite.ports import RunTask

__all__ = ["Shelf"]

#: How many slices of one series are kept, which are views of its rows.
_MOST_SLICES = 256
#: Of how many bytes the series are that were made of others; the last one is kept whatever its size.
_MOST_BYTES = 2**28

_FIRST_NS, _LAST_NS = -(2**63), 2**63 - 1

AnyTape = TypeVar("AnyTape", bound=Tape)


class Shelf:
    """The data of the last signature.

    Attributes:
        loads: how often the store itself was opened, in all.
    """

    def __init__(self) -> None:
        self.loads = 0
        self._key: Hashable = None
        self._kept: _Kept | None = None

    def opening(self, task: RunTask) -> Callable[[BacktestConfig, Path], BarOpener]:
        """What gives a run of that task its bars; see `src.backtesting.run.prepare`."""
        return partial(self._opener, task)

    def rest(self) -> None:
        """Close the store, if it is open; what was read of it is kept."""
        if self._kept is not None:
            self._kept.close()

    def clear(self) -> None:
        """Let go of everything."""
        self.rest()
        self._key = self._kept = None

    def _opener(self, task: RunTask, config: BacktestConfig, folder: Path) -> BarOpener:
        data = config.backtest.data
        kind: type[_Kept] = _Kept
        place: Hashable
        if task.mirror:
            place = path = Path(task.mirror)
            opener: BarOpener = partial(MirrorStore, path)
        elif data.in_memory:
            place, path, opener = market_spec(config), Path(MEMORY), bar_opener(config, folder)
        else:
            place = path = folder / data.path
            kind, opener = _KeptTapes, bar_opener(config, folder)
        key = (task.signature, bool(task.mirror), place)
        if self._kept is None or key != self._key:
            self.clear()
            self._key, self._kept = key, kind(path, opener, task.reach_ns, self._count)
        kept = self._kept
        return lambda: kept

    def _count(self) -> None:
        self.loads += 1


class _Rows:
    """The rows of one series from `first_ns` to before `last_ns`, and the slices of them that were handed out."""

    __slots__ = ("first_ns", "last_ns", "series", "slices")

    def __init__(self, series: BarSeries, first_ns: int, last_ns: int) -> None:
        self.series = series
        self.first_ns, self.last_ns = first_ns, last_ns
        self.slices: OrderedDict[tuple[int, int], BarSeries] = OrderedDict()

    def part(self, start_ns: int, end_ns: int) -> BarSeries:
        """The rows that open inside, which may be all of them."""
        series = self.series
        first, last = (int(at) for at in np.searchsorted(series.open_ns, (start_ns, end_ns)))
        known = self.slices.get((first, last))
        if known is None:
            columns = (getattr(series, name)[first : max(first, last)] for name in COLUMNS)
            known = BarSeries(series.symbol, series.timeframe_ns, *columns, price_side=series.price_side)
            if len(self.slices) == _MOST_SLICES:
                self.slices.popitem(last=False)
            self.slices[first, last] = known
        self.slices.move_to_end((first, last))
        return again(known)


class _Kept:
    """See `BarStore`; opened as often as wanted, and closed by the shelf alone."""

    def __init__(
        self, path: Path, opener: BarOpener, reach_ns: int | None, count: Callable[[], None]
    ) -> None:  # fmt: skip
        self._path = path
        self._opener = opener
        self._reach_ns = _LAST_NS if reach_ns is None else reach_ns
        self._count = count
        self._opened: AbstractContextManager[BarStore] | None = None
        self._store: BarStore | None = None
        self._infos: dict[str, list[SeriesInfo] | PreflightError] = {}
        self._rows: dict[tuple[str, int, str], _Rows] = {}
        self._derived: OrderedDict[Hashable, tuple[BarSeries, BarSeries]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The shelf closes it."""

    @property
    def path(self) -> Path:
        """See `BarStore.path`."""
        return self._path

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """See `BarStore.series_of`."""
        known = self._infos.get(symbol)
        if known is None:
            try:
                known = self._open().series_of(symbol)
            except PreflightError as error:
                known = error
            self._infos[symbol] = known
        if isinstance(known, PreflightError):
            raise PreflightError(known.message, **known.details)
        return list(known)

    def read_bars(
        self, symbol: str, timeframe_ns: int, start_ns: int | None = None, end_ns: int | None = None, *,
        price_side: str | None = None,
    ) -> BarSeries:  # fmt: skip
        """See `BarStore.read_bars`."""
        side = price_side or self._first_side(symbol, timeframe_ns)
        start_ns = _FIRST_NS if start_ns is None else start_ns
        end_ns = _LAST_NS if end_ns is None else end_ns
        rows = self._rows.get((symbol, timeframe_ns, side))
        if rows is None or start_ns < rows.first_ns or end_ns > rows.last_ns:
            first_ns, last_ns = min(start_ns, self._reach_ns), end_ns
            if rows is not None:  # one piece without a hole, so that what was asked for before is in it
                first_ns, last_ns = min(first_ns, rows.first_ns), max(last_ns, rows.last_ns)
            series = self._open().read_bars(
                symbol, timeframe_ns, None if first_ns == _FIRST_NS else first_ns,
                None if last_ns == _LAST_NS else last_ns, price_side=price_side,
            )  # fmt: skip
            rows = _Rows(series, first_ns, last_ns)
            self._rows[symbol, timeframe_ns, side] = rows
        return rows.part(start_ns, end_ns)

    def derive(self, base: BarSeries, timeframe_ns: int, until_ns: int, calendar: Calendar | None) -> BarSeries:
        """See `DerivingStore.derive`."""
        # By the memory of the base bars, which is held here so that no other bars can come to lie there.
        key = (id(base.close), base.loaded, timeframe_ns, until_ns, None if calendar is None else calendar.name)
        known = self._derived.get(key)
        if known is None or known[0].close is not base.close:
            known = again(base), resample(base, timeframe_ns, until_ns, calendar)
            self._derived[key] = known
            while len(self._derived) > 1 and sum(_bytes(made) for _, made in self._derived.values()) > _MOST_BYTES:
                self._derived.popitem(last=False)
        self._derived.move_to_end(key)
        return again(known[1])

    def close(self) -> None:
        """Close the store itself."""
        opened, self._opened, self._store = self._opened, None, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def _first_side(self, symbol: str, timeframe_ns: int) -> str:
        return next((one.price_side for one in self.series_of(symbol) if one.timeframe_ns == timeframe_ns), "")

    def _open(self) -> BarStore:
        if self._store is None:
            opened = self._opener()
            self._store = opened.__enter__()
            self._opened = opened
            self._count()
        return self._store


class _KeptTapes(_Kept):
    """See `TapeSource`: quotes, trades and funding rates as well."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._tapes: dict[tuple[str, str], tuple[Tape, int, int]] = {}
        self._listed: list[TapeInfo] | None = None

    def list_tapes(self) -> list[TapeInfo]:
        """See `TapeSource.list_tapes`."""
        if self._listed is None:
            self._listed = self._source().list_tapes()
        return list(self._listed)

    def read_quotes(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> QuoteTape:
        """See `TapeSource.read_quotes`."""
        return self._tape(QuoteTape, "quotes", symbol, start_ns, end_ns)

    def read_trades(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> TradeTape:
        """See `TapeSource.read_trades`."""
        return self._tape(TradeTape, "trades", symbol, start_ns, end_ns)

    def read_funding(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> RateTape:
        """See `TapeSource.read_funding`."""
        return self._tape(RateTape, "funding", symbol, start_ns, end_ns)

    def _tape(
        self, cls: type[AnyTape], kind: str, symbol: str, start_ns: int | None, end_ns: int | None
    ) -> AnyTape:  # fmt: skip
        start_ns = _FIRST_NS if start_ns is None else start_ns
        end_ns = _LAST_NS if end_ns is None else end_ns
        known = self._tapes.get((symbol, kind))
        if known is None or start_ns < known[1] or end_ns > known[2]:
            first_ns, last_ns = (
                (start_ns, end_ns) if known is None else (min(start_ns, known[1]), max(end_ns, known[2]))
            )
            read = getattr(self._source(), f"read_{kind}")
            edges = (None if first_ns == _FIRST_NS else first_ns, None if last_ns == _LAST_NS else last_ns)
            known = self._tapes[symbol, kind] = read(symbol, *edges), first_ns, last_ns
        tape = known[0]
        if not isinstance(tape, cls):
            raise InternalError(f"expected {kind} of {symbol}, found {type(tape).__name__}")
        if (start_ns, end_ns) == known[1:]:
            return tape
        first, last = (int(at) for at in np.searchsorted(tape.ts_ns, (start_ns, end_ns)))
        parts = {one.name: getattr(tape, one.name)[first:last] for one in fields(tape) if one.name != "symbol"}
        return cls(symbol=symbol, **parts)

    def _source(self) -> TapeSource:
        store = self._open()
        if not isinstance(store, TapeSource):
            raise InternalError(f"expected {self.path} to have tapes, found {type(store).__name__}")
        return store


def again(series: BarSeries) -> BarSeries:
    """The same rows in the same memory as a series of its own: how much of it is visible belongs to one run."""
    columns = (getattr(series, name) for name in COLUMNS)
    return BarSeries(
        series.symbol, series.timeframe_ns, *columns, price_side=series.price_side, close_ns=series.close_ns
    )  # fmt: skip


def _bytes(series: BarSeries) -> int:
    return sum(getattr(series, name).nbytes for name in COLUMNS)
