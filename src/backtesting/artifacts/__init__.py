"""What a run leaves behind: tables, manifest and report in one folder, published whole or not at all."""

from src.backtesting.artifacts.folder import ensure_writable, manifest_of, write_beside, write_free_run, write_run
from src.backtesting.artifacts.tables import (
    equity_table,
    fills_table,
    journal_table,
    orders_table,
    read_journal,
    trades_table,
    write_table,
)

__all__ = [
    "ensure_writable",
    "equity_table",
    "fills_table",
    "journal_table",
    "manifest_of",
    "orders_table",
    "read_journal",
    "trades_table",
    "write_beside",
    "write_free_run",
    "write_run",
    "write_table",
]
