"""`data sync` and `data heal` from a file: the symbol that was asked for is the one of its rows."""

from pathlib import Path

import pytest

from src.cli.app import main
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore

ANSWERS = ["kind=crypto", "zone=UTC", "stamp=open", "price=trade", "timeframe=1m"]
OPTIONS = [part for word in ANSWERS for part in ("--source-option", word)]
START = 1_704_067_200  # 2024-01-01


def write(path: Path, *symbols: str) -> Path:
    """A file of six minutes, with a column of symbols where any are named."""
    heading, rows = ("symbol,", [f"{symbol}," for symbol in symbols]) if symbols else ("", [""])
    lines = [f"{heading}timestamp,open,high,low,close,volume"]
    lines += [f"{row}{START + 60 * i},100,101,99,100,5" for row in rows for i in range(6)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sync(store: Path, file: Path, symbols: str) -> int:
    """The exit code of `data sync`."""
    return main(["data", "sync", "--source", f"csv:{file}", "--symbols", symbols, "--start", "2024-01-01",
                 "--store", str(store), "--quiet", *OPTIONS])  # fmt: skip


@pytest.mark.parametrize("column", [(), ("AAA",), ("BBB", "AAA")])
def test_the_symbol_that_is_asked_for_needs_no_second_word(tmp_path: Path, column: tuple[str, ...]) -> None:
    """The file has no column of symbols, one of it alone, or one of several."""
    store = tmp_path / "market.duckdb"
    file = write(tmp_path / "prices.csv", *column)
    synced = sync(store, file, "AAA")
    with HistoricalDataStore(store) as opened:
        bars = opened.read_raw("AAA", MINUTE_NS)
        opened.rewrite("AAA", MINUTE_NS, {name: bars[name][[0, 1, 4, 5]] for name in bars})
    healed = main(["data", "heal", "AAA", "--source", f"csv:{file}", "--store", str(store), "--quiet", *OPTIONS])

    assert (synced, healed) == (0, 0)
    with HistoricalDataStore(store, read_only=True) as opened:
        assert len(opened.read_bars("AAA", MINUTE_NS).open_ns) == 6


def test_of_several_symbols_the_file_has_to_be_told_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is one series; which of them it is nobody can tell."""
    code = sync(tmp_path / "market.duckdb", write(tmp_path / "prices.csv"), "AAA,BBB")

    assert code == 2
    assert "symbol: the name under which the bars are stored" in capsys.readouterr().err


def test_a_symbol_that_the_file_has_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the ones that it has, before a store is made."""
    code = sync(tmp_path / "market.duckdb", write(tmp_path / "prices.csv", "BBB"), "AAA")

    assert code != 0
    assert "expected rows of AAA, found BBB" in capsys.readouterr().err
    assert not (tmp_path / "market.duckdb").exists()
