"""The market of many runs, held still: nobody writes to the store while they go on, and that is verified at the end.

Called by one thread, around the runs. Reads no clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.backtesting.config import BacktestConfig
from src.data.stores import store_snapshot

__all__ = ["frozen_market"]


@contextmanager
def frozen_market(config: BacktestConfig, folder: Path) -> Iterator[None]:
    """Keep the store of a configuration as it is until the block ends.

    Only a store of imported bars is held: a synthetic market is a function of the configuration, and whoever needs
    its file verifies that it holds just that.

    Args:
        folder: of the configuration file, which its paths are relative to.

    Raises:
        DataError: there is no such store, somebody writes to it now, or its rows have changed when the block ends.
    """
    data = config.backtest.data
    if data.source != "store":
        yield
        return
    with store_snapshot(folder / data.path, config.instruments):
        yield
