"""A synthetic market in a DuckDB file of its own, written once and used by every later run; or in memory alone.

Any thread, any number of processes: they queue for a lock file beside the store, and a file appears under its name
only when it is whole. Whoever holds a lease on the file keeps it as it is. No time is read.
"""

import os
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock, Timeout

from src.core.bars import BarSeries
from src.core.errors import DataError, PreflightError
from src.core.timeframe import format_duration
from src.data.fingerprint import fingerprint_bars, fingerprint_columns
from src.data.lease import Lease
from src.data.resample import freeze
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, SeriesInfo
from src.data.synthetic import SOURCE_PREFIX, SyntheticSpec, generate, source_text
from src.data.synthetic_ticks import generate_ticks

__all__ = ["MEMORY", "MemoryStore", "market_store"]

# What sentences call a market that lies in no file.
MEMORY = "the synthetic market in memory"

# The word of the import log under which the digest of the generated bars stands.
_DIGEST = "generated"

# Writing takes seconds; whoever waits longer than this waits for a process that hangs.
_LOCK_SECONDS = 120.0


class MemoryStore:
    """A synthetic market as a store for reading, with no file behind it; a `BarStore` and a context manager.

    Made twice of the same specification, it generates once: the last market of a process is kept.

    Args:
        spec: the market.

    Raises:
        ConfigError: the market cannot be generated.
    """

    def __init__(self, spec: SyntheticSpec) -> None:
        self._spec = spec
        self._series = _generated(spec)

    def __enter__(self) -> "MemoryStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    @property
    def path(self) -> Path:
        """See `BarStore.path`."""
        return Path(MEMORY)

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """See `BarStore.series_of`; a synthetic symbol has one series."""
        series = self._series.get(symbol)
        if series is None:
            raise PreflightError(
                f"{MEMORY} has no bars of {symbol}; it has {', '.join(self._series)}; "
                f"name the symbol under instruments",
                symbol=symbol,
            )
        kind = next(one.kind for one in self._spec.symbols if one.symbol == symbol)
        info = SeriesInfo(
            symbol=symbol, timeframe_ns=series.timeframe_ns, price_side=series.price_side,
            source=source_text(self._spec), kind=kind, bars=series.loaded,
            first_ns=int(series.open_ns[0]), last_ns=int(series.open_ns[-1]),
        )  # fmt: skip
        return [info]

    def read_bars(
        self,
        symbol: str,
        timeframe_ns: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        price_side: str | None = None,
    ) -> BarSeries:
        """See `BarStore.read_bars`."""
        found = self.series_of(symbol)
        series = self._series[symbol]
        if timeframe_ns != series.timeframe_ns or price_side not in (None, series.price_side):
            raise PreflightError(
                f"{MEMORY} has no {format_duration(timeframe_ns)} {price_side or series.price_side} bars of {symbol}; "
                f"it has {'; '.join(info.describe() for info in found)}",
                symbol=symbol, timeframe_ns=timeframe_ns,
            )  # fmt: skip
        edges = (-(2**63) if start_ns is None else start_ns, 2**63 - 1 if end_ns is None else end_ns)
        first, last = (int(at) for at in np.searchsorted(series.open_ns, edges))
        stamps, *values = freeze(*(getattr(series, name)[first:last] for name in COLUMNS))
        return BarSeries(symbol, timeframe_ns, stamps, *values, price_side=series.price_side)


@lru_cache(maxsize=1)
def _generated(spec: SyntheticSpec) -> dict[str, BarSeries]:
    # A function of the specification alone, so that keeping the last one changes nothing but the time it takes.
    return generate(spec)


def market_store(spec: SyntheticSpec, path: Path, *, ticks: bool = False) -> None:
    """Make `path` a store that holds exactly the market of `spec`.

    A file that holds it already is left as it is; one that holds another synthetic market, or bars that are not those
    that were generated, is replaced as a whole. A file of an earlier version, which has no digest of its bars, is
    taken at its word.

    Args:
        spec: the market.
        path: the store's file; beside it lie its lock file and, while it is being written, a partial one.
        ticks: with its quotes and trades. A file that has them beside the wanted bars is left as it is in any case.

    Raises:
        DataError: the file holds something else than synthetic markets, another process holds it or reads what would
            be replaced, or the folder cannot be written to. The file is unchanged then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_beside(path, ".lock"), timeout=_LOCK_SECONDS):
            if not _holds(spec, path, ticks):
                _write(spec, path, ticks)
    except Timeout:
        raise DataError(
            f"expected {path} to become free within {_LOCK_SECONDS:.0f} s, found another program still writing it; "
            f"end that program",
            path=str(path),
        ) from None
    except OSError as error:
        raise DataError(
            f"expected to write the synthetic market to {path}, found: {error.strerror or error}; "
            f"name a file in a folder you may write to, and close programs that have it open",
            path=str(path),
        ) from None


def _holds(spec: SyntheticSpec, path: Path, ticks: bool) -> bool:
    """Whether `path` holds the market of `spec` and nothing else; DataError when it must not be replaced."""
    if not path.exists():
        return False
    if not path.is_file():
        raise DataError(f"expected a file for the synthetic market, found the folder {path}; name a file in it")
    with HistoricalDataStore(path, read_only=True) as store:
        stored = {info.symbol: info.source for info in store.list_series()}
        taped = {(info.symbol, info.kind): info.source for info in store.list_tapes()}
        is_whole = _is_as_generated(store)
    foreign = sorted(symbol for symbol, source in stored.items() if not source.startswith(SOURCE_PREFIX))
    if foreign or not stored:
        what = f"{foreign[0]} from {stored[foreign[0]]!r}" if foreign else "a store without bars"
        raise DataError(
            f"expected {path} to be absent or to hold a synthetic market, found {what}; "
            f"name another file for the synthetic market",
            path=str(path),
        )
    wanted = source_text(spec)
    if not is_whole or stored != {symbol.symbol: wanted for symbol in spec.symbols}:
        return False
    tapes = {(symbol.symbol, "quotes"): wanted for symbol in spec.symbols}
    tapes |= {(symbol.symbol, "trades"): wanted for symbol in spec.symbols if symbol.price_side == "trade"}
    return taped == tapes if ticks else taped in ({}, tapes)


def _is_as_generated(store: HistoricalDataStore) -> bool:
    """Whether every series has the rows whose digest was stored with them; one without a digest counts as whole."""
    digests = {entry["symbol"]: entry[_DIGEST] for entry in store.read_import_log() if _DIGEST in entry}
    return all(
        digests[info.symbol] == fingerprint_columns(
            info.symbol, info.timeframe_ns, info.price_side,
            store.read_raw(info.symbol, info.timeframe_ns, info.price_side),
        )
        for info in store.list_series() if info.symbol in digests
    )  # fmt: skip


def _write(spec: SyntheticSpec, path: Path, ticks: bool) -> None:
    partial = _beside(path, ".partial")
    # What a killed writer left behind; a write-ahead log would otherwise be replayed into the new file.
    for left in (partial, _beside(partial, ".wal")):
        left.unlink(missing_ok=True)
    source = source_text(spec)
    kinds = {symbol.symbol: symbol.kind for symbol in spec.symbols}
    with HistoricalDataStore(partial, private=True) as store, store.transaction():
        for series in generate(spec).values():
            store.write_bars(series, source=source, kind=kinds[series.symbol])
            digest = fingerprint_bars({series.symbol: series})
            store.log_import(series.symbol, series.timeframe_ns, {"layout": "synthetic", _DIGEST: digest})
            if ticks:
                made = generate_ticks(spec, series)
                store.write_quotes(made.quotes, source=source)
                if made.trades is not None:
                    store.write_trades(made.trades, source=source)
    lease = Lease(path, "write")
    try:
        _beside(path, ".wal").unlink(missing_ok=True)
        os.replace(partial, path)
    finally:
        lease.release()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
