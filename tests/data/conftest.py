"""Small bar series and stores for the tests of the data package."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore

MakeBars = Callable[..., BarSeries]


def make(
    minutes: list[int], *, symbol: str = "BTCUSD", timeframe_ns: int = MINUTE_NS, at: float = 100.0, side: str = "trade"
) -> BarSeries:
    """Bars that open at the given numbers of minutes since the epoch; every price and volume tells its minute."""
    stamps = np.array(minutes, np.int64) * MINUTE_NS
    open_ = at + np.array(minutes, np.float64) % 50
    return BarSeries(
        symbol, timeframe_ns, stamps, open_, open_ + 2, open_ - 2, open_ + 1, np.array(minutes, np.float64) + 0.5,
        price_side=side,
    )  # fmt: skip


@pytest.fixture(scope="session")
def bars() -> MakeBars:
    """The function that makes small series."""
    return make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HistoricalDataStore]:
    """An empty store that is open for writing."""
    with HistoricalDataStore(tmp_path / "market.duckdb") as opened:
        yield opened
