"""The stores of this process, and the snapshot of a store that many runs read.

`get_historical_store` and `reset_stores` are for the thread that owns the process's stores, usually the main one. A
worker process calls `reset_stores(force_read_only=True)` first of all: from then on it cannot write, by mistake or not.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from src.core.errors import DataError
from src.data.connection import force_read_only as _force_read_only
from src.data.fingerprint import Digest
from src.data.lease import snapshot_lease
from src.data.store import HistoricalDataStore

__all__ = ["get_historical_store", "reset_stores", "store_fingerprint", "store_snapshot"]

_STORES: dict[Path, HistoricalDataStore] = {}
_MODE = {"read_only": False}


def reset_stores(force_read_only: bool = False) -> None:
    """Close every store of this process that `get_historical_store` gave, and say what may be opened from now on.

    Args:
        force_read_only: every later attempt of this process to open a store for writing is refused, and
            `get_historical_store` opens for reading; without it both are as at the start.
    """
    stores = list(_STORES.values())
    _STORES.clear()
    _MODE["read_only"] = force_read_only
    _force_read_only(force_read_only)
    for store in stores:
        store.close()


def get_historical_store(path: Path) -> HistoricalDataStore:
    """The store of this process at `path`: opened at the first call, the same one until it is closed.

    It is open for writing, and made when absent; after `reset_stores(force_read_only=True)` it is read-only.

    Raises:
        DataError: as opening a `HistoricalDataStore` does.
    """
    key = path.resolve()
    store = _STORES.get(key)
    if store is None or not store.is_open:
        store = _STORES[key] = HistoricalDataStore(path, read_only=_MODE["read_only"])
    return store


def store_fingerprint(path: Path, symbols: Iterable[str] | None = None) -> str:
    """The fingerprint of all rows of a store exactly as they lie, bars and tapes; 32 hexadecimal digits.

    Where a store holds one row more, less, twice, changed or in another place, it is another one. Instruments and
    logs do not enter.

    Args:
        path: the store; it is opened for reading.
        symbols: only these; all of them by default.

    Raises:
        DataError: there is no such store, or somebody writes to it now.
    """
    wanted = None if symbols is None else set(symbols)
    with HistoricalDataStore(path, read_only=True) as store:
        return fingerprint_of(store, wanted)


def fingerprint_of(store: HistoricalDataStore, symbols: set[str] | None = None) -> str:
    """`store_fingerprint` of a store that is open already."""
    digest = Digest()
    for info in store.list_series():
        if symbols is None or info.symbol in symbols:
            columns = store.read_raw(info.symbol, info.timeframe_ns, info.price_side)
            digest.add_bars(info.symbol, info.timeframe_ns, info.price_side, columns)
    for tape in store.list_tapes():
        if symbols is None or tape.symbol in symbols:
            digest.add_text(tape.symbol)
            digest.add_text(tape.kind)
            digest.add_number(tape.events)
            rows = store.read_tape(tape.symbol, tape.kind)
            for field in fields(rows):
                if field.name != "symbol":
                    digest.add_column(getattr(rows, field.name))
    return digest.hexdigest()


@contextmanager
def store_snapshot(path: Path, symbols: Iterable[str] | None = None) -> Iterator[str]:
    """Read a store as it is now, for a whole suite: nobody writes until the block ends, and that is verified.

    Args:
        symbols: whose rows the fingerprint is of; those of all symbols by default.

    Yields:
        The fingerprint of the store. It is taken again when the block ends.

    Raises:
        DataError: there is no such store, somebody writes to it now, or the rows have changed when the block ends.
    """
    wanted = None if symbols is None else set(symbols)
    with snapshot_lease(path):
        before = store_fingerprint(path, wanted)
        yield before
        after = store_fingerprint(path, wanted)
        if after != before:
            raise DataError(
                f"expected {path} to stay as it was (fingerprint {before}), found {after} at the end: somebody changed "
                f"or replaced the file; repeat what was read from it",
                path=str(path), before=before, after=after,
            )  # fmt: skip
