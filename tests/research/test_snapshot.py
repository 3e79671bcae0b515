"""While many runs read one store of imported bars, nobody writes to it; a synthetic market needs no such care."""

from pathlib import Path

import pytest

from src.backtesting.config import BacktestConfig
from src.core.config_file import parse_config
from src.core.errors import DataError
from src.data.store import HistoricalDataStore
from src.research.snapshot import frozen_market
from tests.data.conftest import make

CONFIG = """
account: {{type: margin, currency: USD, balance: 1000}}
instruments: {{BTCUSD: {{currency: USD}}}}
symbols: [BTCUSD]
strategies: [{{use: sma_cross}}]
risk: {{size: {{volume: 1}}}}
backtest: {{start: 2024-01-01, end: 2024-01-02, data: {{source: {source}, store: market.duckdb}}}}
"""


def config_of(folder: Path, source: str) -> BacktestConfig:
    """A configuration that reads the market of a folder."""
    return parse_config(CONFIG.format(source=source), "bot.yaml", folder).validate(BacktestConfig)


def test_a_store_of_imported_bars_is_held(tmp_path: Path) -> None:
    """A writer is refused until the runs are over."""
    path = tmp_path / "market.duckdb"
    with HistoricalDataStore(path) as store:
        store.write_bars(make([1, 2]), source="test")

    with frozen_market(config_of(tmp_path, "store"), tmp_path), pytest.raises(DataError, match="already open"):
        HistoricalDataStore(path)

    HistoricalDataStore(path).close()


def test_only_the_symbols_of_the_bot_are_compared(tmp_path: Path) -> None:
    """A file that took the store's place is refused when rows of an instrument of the configuration differ."""
    path = tmp_path / "market.duckdb"

    def write(target: Path, minutes: list[int], others: list[int]) -> None:
        with HistoricalDataStore(target, private=True) as store:
            store.write_bars(make(minutes), source="test")
            store.write_bars(make(others, symbol="OTHER"), source="test")

    def replaced_by(minutes: list[int], others: list[int]) -> None:
        with frozen_market(config_of(tmp_path, "store"), tmp_path):
            write(tmp_path / "new.duckdb", minutes, others)
            (tmp_path / "new.duckdb").replace(path)

    write(path, [1, 2], [1])

    replaced_by([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="expected .* to stay as it was"):
        replaced_by([1, 3], [1])


def test_a_synthetic_market_is_not_held(tmp_path: Path) -> None:
    """It need not even have a file."""
    with frozen_market(config_of(tmp_path, "synthetic"), tmp_path):
        assert list(tmp_path.iterdir()) == []
