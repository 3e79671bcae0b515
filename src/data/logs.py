"""What a store remembers beside the market itself: instruments, imports, syncs and repairs.

The part of `HistoricalDataStore` that keeps these tables; it belongs to the thread that opened the store. No entry
holds a wall-clock time: the logs say in which order things happened, and the same work makes the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src.data.connection import StoreFile
from src.data.stored import HealEntry, merge_windows

__all__ = ["StoreLogs"]


class StoreLogs(StoreFile):
    """Instruments and the logs of a store."""

    def write_instrument(self, symbol: str, kind: str, defaults: Mapping[str, Any]) -> None:
        """Store the instrument defaults of a symbol, instead of those that were there."""
        with self.transaction():
            self._execute("DELETE FROM instruments WHERE symbol = ?", [symbol])
            text = json.dumps(dict(defaults), sort_keys=True)
            self._execute("INSERT INTO instruments VALUES (?, ?, ?)", [symbol, kind, text])

    def read_instrument(self, symbol: str) -> dict[str, Any] | None:
        """The stored instrument defaults of a symbol, or None."""
        rows = self._execute("SELECT defaults FROM instruments WHERE symbol = ?", [symbol]).fetchall()
        return dict(json.loads(rows[0][0])) if rows else None

    def log_import(self, symbol: str, timeframe_ns: int, details: Mapping[str, Any]) -> None:
        """Add one line to the log of imports."""
        with self.transaction():
            text = json.dumps(dict(details), sort_keys=True)
            row = [self._next_sequence("import_log"), symbol, timeframe_ns, text]
            self._execute("INSERT INTO import_log VALUES (?, ?, ?, ?)", row)

    def read_import_log(self) -> list[dict[str, Any]]:
        """The imports in the order in which they happened: `sequence`, `symbol`, `timeframe_ns` and their details."""
        rows = self._execute("SELECT * FROM import_log ORDER BY sequence").fetchall()
        return [{"sequence": row[0], "symbol": row[1], "timeframe_ns": row[2], **json.loads(row[3])} for row in rows]

    def log_sync(self, symbol: str, timeframe_ns: int, source: str, start_ns: int, end_ns: int, bars: int) -> None:
        """Remember that a source was asked for the window `[start_ns, end_ns)` and answered with so many bars.

        Call it in the transaction that stores these bars, so that a window counts as answered only with its bars.
        """
        with self.transaction():
            row = [self._next_sequence("sync_log"), symbol, timeframe_ns, source, start_ns, end_ns, bars]
            self._execute("INSERT INTO sync_log VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def synced(self, symbol: str, timeframe_ns: int, source: str) -> list[tuple[int, int]]:
        """The half-open windows for which the source was asked and answered, merged, in time order."""
        rows = self._execute(
            "SELECT start_ns, end_ns FROM sync_log WHERE symbol = ? AND timeframe_ns = ? AND source = ?",
            [symbol, timeframe_ns, source],
        ).fetchall()
        return merge_windows((int(start), int(end)) for start, end in rows)

    def sync_entries(self, symbol: str, timeframe_ns: int, source: str) -> list[tuple[int, int, int]]:
        """Each window for which the source was asked, with the number of bars it answered, in the order of asking."""
        rows = self._execute(
            "SELECT start_ns, end_ns, bars FROM sync_log WHERE symbol = ? AND timeframe_ns = ? AND source = ? "
            "ORDER BY sequence",
            [symbol, timeframe_ns, source],
        ).fetchall()
        return [(int(start), int(end), int(bars)) for start, end, bars in rows]

    def forget_synced(self, symbol: str, timeframe_ns: int) -> None:
        """Let every window of a series count as never asked for, so that a sync asks again."""
        with self.transaction():
            self._execute("DELETE FROM sync_log WHERE symbol = ? AND timeframe_ns = ?", [symbol, timeframe_ns])

    def log_heal(self, entries: Sequence[HealEntry]) -> None:
        """Add the changes of a repair, in their order; call it in the transaction that makes them."""
        if not entries:
            return
        with self.transaction():
            first = self._next_sequence("heal_log")
            columns = {
                "sequence": np.arange(first, first + len(entries)),
                "symbol": np.array([entry.symbol for entry in entries], object),
                "timeframe_ns": np.array([entry.timeframe_ns for entry in entries], np.int64),
                "price_side": np.array([entry.price_side for entry in entries], object),
                "open_ns": np.array([entry.open_ns for entry in entries], np.int64),
                "action": np.array([entry.action for entry in entries], object),
                "before": np.array([entry.before for entry in entries], object),
                "after": np.array([entry.after for entry in entries], object),
            }
            self._insert("INSERT INTO heal_log SELECT * FROM incoming", [], columns)

    def read_heal_log(self) -> list[HealEntry]:
        """Every change that a repair made, in the order in which they were made."""
        rows = self._execute(
            "SELECT symbol, timeframe_ns, price_side, open_ns, action, before, after FROM heal_log ORDER BY sequence"
        ).fetchall()
        return [
            HealEntry(
                symbol=row[0], timeframe_ns=row[1], price_side=row[2], open_ns=row[3], action=row[4], before=row[5],
                after=row[6],
            )
            for row in rows
        ]  # fmt: skip
