"""Records as tables: written schemas, exact values, equal bytes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.backtesting.artifacts import (
    equity_table,
    fills_table,
    journal_table,
    orders_table,
    read_journal,
    trades_table,
    write_table,
)
from src.core.errors import DataError
from src.core.journal import Journal, JournalRecord
from tests.backtesting.results.worlds import busy_world

RESULT = busy_world().result()
MADE = {
    "journal": journal_table(RESULT.records),
    "orders": orders_table(RESULT.orders),
    "fills": fills_table(RESULT.fills),
    "trades": trades_table(RESULT.trades),
    "equity": equity_table(RESULT.equity_ns, RESULT.equity),
}
EMPTY = {
    "journal": journal_table([]),
    "orders": orders_table([]),
    "fills": fills_table([]),
    "trades": trades_table([]),
    "equity": equity_table(np.empty(0, np.int64), np.empty(0)),
}


@pytest.mark.parametrize("name", MADE)
def test_instants_are_integer_nanoseconds_in_columns_that_say_so(name: str) -> None:
    """Every `*_ns` column is int64, and no other column holds integers or stamps."""
    for column in MADE[name].schema:
        assert (column.type == pa.int64()) == column.name.endswith("_ns")


@pytest.mark.parametrize("name", MADE)
def test_an_empty_table_has_the_same_schema(name: str) -> None:
    """A run without trades leaves tables that are read like any other."""
    assert EMPTY[name].num_rows == 0
    assert EMPTY[name].schema == MADE[name].schema


def test_rows_hold_the_records_values() -> None:
    """Prices are exact, enumerations are text, and what is absent is null."""
    fill = MADE["fills"].to_pylist()[3]
    order = MADE["orders"].to_pylist()[0]
    trade = MADE["trades"].to_pylist()[1]

    assert (fill["symbol"], fill["side"], fill["price"], fill["other_price"]) == ("BBB", "sell", 50.0, None)
    assert (fill["filled_ns"], fill["ambiguous"]) == (RESULT.fills[3].filled_ns, False)
    assert (order["client_id"], order["type"], order["state"], order["price"]) == ("o1", "market", "filled", None)
    assert (trade["side"], trade["net"], trade["net_best"], trade["exit_kind"]) == ("sell", -8.0, 13.0, "stop")


@pytest.mark.parametrize("name", MADE)
def test_a_table_is_read_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    """Parquet changes neither values nor types."""
    write_table(MADE[name], tmp_path / "t.parquet")

    assert pq.read_table(tmp_path / "t.parquet").equals(MADE[name])


@pytest.mark.parametrize("name", MADE)
def test_equal_records_give_equal_bytes(name: str, tmp_path: Path) -> None:
    """Written twice, the files are the same byte for byte."""
    again = busy_world().result()
    second = {
        "journal": journal_table(again.records),
        "orders": orders_table(again.orders),
        "fills": fills_table(again.fills),
        "trades": trades_table(again.trades),
        "equity": equity_table(again.equity_ns, again.equity),
    }
    write_table(MADE[name], tmp_path / "one.parquet")
    write_table(second[name], tmp_path / "two.parquet")

    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_stored_journal_gives_back_its_records_and_their_digest(tmp_path: Path) -> None:
    """Integers stay integers, floats keep every bit, and the digest can be made again from the file."""
    records = [
        *RESULT.records,
        JournalRecord(2**62, "ÄÖ\n", "account", "broker", (0.1 + 0.2,)),
        JournalRecord(2**62, "Z", "account", "broker", (5e-324,)),
        JournalRecord(2**62, "Z", "limit", "monitor", ("daily", float("inf"), None)),
        JournalRecord(2**62, "Z", "participant", "worker:Z", ("left", 7, "")),
    ]
    write_table(journal_table(records), tmp_path / "journal.parquet")

    found = read_journal(tmp_path / "journal.parquet")

    assert found == records
    assert [[type(value) for value in entry.values] for entry in found] == [
        [type(value) for value in entry.values] for entry in records
    ]
    assert digest(found) == digest(records)
    assert digest(found[: len(RESULT.records)]) == RESULT.digest


def digest(records: list[JournalRecord]) -> str:
    """The digest of records."""
    journal = Journal()
    for entry in records:
        journal.record(*entry[:4], *entry.values)
    return journal.close()


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    """Missing, damaged, or another table: the error says which file."""
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 nothing")
    write_table(MADE["equity"], tmp_path / "equity.parquet")

    for name in ("absent.parquet", "damaged.parquet", "equity.parquet"):
        with pytest.raises(DataError, match=name):
            read_journal(tmp_path / name)
