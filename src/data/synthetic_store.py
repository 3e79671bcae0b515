"""A synthetic market in a DuckDB file of its own, written once and used by every later run.

Any thread, any number of processes: they queue for a lock file beside the store, and a file appears under its name
only when it is whole. No time is read.
"""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from src.core.errors import DataError
from src.data.store import HistoricalDataStore
from src.data.synthetic import SOURCE_PREFIX, SyntheticSpec, generate, source_text

__all__ = ["market_store"]

# Writing takes seconds; whoever waits longer than this waits for a process that hangs.
_LOCK_SECONDS = 120.0


def market_store(spec: SyntheticSpec, path: Path) -> None:
    """Make `path` a store that holds exactly the market of `spec`.

    A file that holds it already is left as it is; one that holds another synthetic market is replaced as a whole.
    A reader that has the old file open keeps reading the old one where the system allows it (not on Windows).

    Args:
        spec: the market.
        path: the store's file; beside it lie its lock file and, while it is being written, a partial one.

    Raises:
        DataError: the file holds something else than synthetic markets, another process holds it, or the folder
            cannot be written to. The file is unchanged then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_beside(path, ".lock"), timeout=_LOCK_SECONDS):
            if not _holds(spec, path):
                _write(spec, path)
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


def _holds(spec: SyntheticSpec, path: Path) -> bool:
    """Whether `path` holds the market of `spec` and nothing else; DataError when it must not be replaced."""
    if not path.exists():
        return False
    if not path.is_file():
        raise DataError(f"expected a file for the synthetic market, found the folder {path}; name a file in it")
    with HistoricalDataStore(path, read_only=True) as store:
        stored = {info.symbol: info.source for info in store.list_series()}
    foreign = sorted(symbol for symbol, source in stored.items() if not source.startswith(SOURCE_PREFIX))
    if foreign or not stored:
        what = f"{foreign[0]} from {stored[foreign[0]]!r}" if foreign else "a store without bars"
        raise DataError(
            f"expected {path} to be absent or to hold a synthetic market, found {what}; "
            f"name another file for the synthetic market",
            path=str(path),
        )
    wanted = source_text(spec)
    return stored == {symbol.symbol: wanted for symbol in spec.symbols}


def _write(spec: SyntheticSpec, path: Path) -> None:
    partial = _beside(path, ".partial")
    # What a killed writer left behind; a write-ahead log would otherwise be replayed into the new file.
    for left in (partial, _beside(partial, ".wal")):
        left.unlink(missing_ok=True)
    source = source_text(spec)
    with HistoricalDataStore(partial) as store, store.transaction():
        for series in generate(spec).values():
            store.write_bars(series, source=source, kind="crypto")
    _beside(path, ".wal").unlink(missing_ok=True)
    os.replace(partial, path)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
