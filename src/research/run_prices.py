"""The bars that a stored run saw, found again for its report.

Read from the run's recording, from the report that was made with the run, or from the store of market data that its
manifest names. One thread; nothing is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.backtesting.config import BacktestConfig
from src.backtesting.report.prices import ShownPrices, kept_prices
from src.backtesting.run import prepare
from src.core.bars import BarSeries
from src.core.config_file import ConfigDocument
from src.core.errors import LockstepError
from src.live.recording import FILE
from src.research.replay.stored import result_of

__all__ = ["FoundPrices", "prices_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPrices:
    """Bars by symbol, or as an earlier report showed them; `remark` says what is wrong with them, mostly nothing."""

    prices: Mapping[str, BarSeries] | Sequence[ShownPrices]
    remark: str = ""


def prices_of(folder: Path, manifest: Mapping[str, Any], places: Sequence[Path]) -> FoundPrices:
    """The bars of the run in a folder.

    Args:
        manifest: of the run.
        places: folders to which the paths of its configuration may be relative; the first where its store lies counts.
    """
    if (folder / FILE).is_file():
        return FoundPrices(prices=result_of(folder)[1])
    kept = kept_prices(folder / "report.html")
    if kept and all(one.merged == 1 for one in kept):
        return FoundPrices(prices=kept)
    found, why = _from_store(folder, manifest, places)
    if found is not None:
        return FoundPrices(prices=found)
    if kept:
        return FoundPrices(prices=kept, remark=f"Prices are those of the report made with the run: {why}.")
    return FoundPrices(prices=(), remark=f"There are no prices: {why}.")


def _from_store(
    folder: Path, manifest: Mapping[str, Any], places: Sequence[Path]
) -> tuple[Mapping[str, BarSeries] | None, str]:
    """The bars of the run's own store, if they are those that the run saw; else what is wrong with them."""
    try:
        values = dict(manifest["configuration"])
        data = ConfigDocument(values, {}, folder.name, folder).validate(BacktestConfig).backtest.data
        fingerprint = manifest["inputs"]["data_fingerprint"]
    except (KeyError, TypeError, LockstepError):
        return None, "the manifest tells nothing of its market data that this version can read"
    place: Path | None = folder
    if data.source == "synthetic" and not data.ticks:
        # Generated once more: a store would be written wherever the configuration is thought to lie.
        values = {**values, "backtest": {**values["backtest"], "data": {**values["backtest"]["data"], "store": "none"}}}
    elif not data.in_memory:
        place = next((each for each in places if (each / data.path).is_file()), None)
    if place is None:
        return None, f"the store {Path(data.path).name} was not found; give the run's configuration with --config"
    try:
        prepared = prepare(ConfigDocument(values, {}, folder.name, place), stored=False, preflight=False)
    except (OSError, LockstepError) as error:
        return None, error.message if isinstance(error, LockstepError) else str(error)
    if prepared.manifest["inputs"]["data_fingerprint"] != fingerprint:
        return None, "the bars in the store are no longer those that the run saw"
    return prepared.market.base, ""
