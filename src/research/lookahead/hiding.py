"""What stands between a bot and its run: a market that shows only what has closed, and an ear for what is asked for.

The venue works on the whole market as always; the bot is handed a second series of each, in which what is still to come
is no number, is at no time, and is not counted as loaded. Used by the holder of the turn only.
"""

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np

from src.brokers.simulated import SimulatedBroker
from src.core.bars import BarSeries
from src.core.errors import invariant
from src.core.risk_manager import EntryIntent, RiskManager, Verdict
from src.data.market import MarketData

__all__ = ["HidingBroker", "HidingSeries", "hidden", "noting_risk"]

_COLUMNS = ("open", "high", "low", "close", "volume")


class HidingSeries(BarSeries):
    """The bars of another series; each is copied to `shown` when it becomes visible here.

    Attributes:
        shown: the series of the bot; its arrays stay the same ones, so that who keeps one sees it being filled in.
    """

    __slots__ = ("_visible", "shown")

    def __init__(self, series: BarSeries) -> None:
        columns = [getattr(series, name)[: series.loaded] for name in _COLUMNS]
        closes = None if series.close_ns is None else series.close_ns[: series.loaded]
        absent = np.zeros(series.loaded, np.int64)
        self.shown = BarSeries(
            series.symbol, series.timeframe_ns, absent, *(np.full(series.loaded, np.nan) for _ in _COLUMNS),
            price_side=series.price_side, length=0, close_ns=None if closes is None else absent.copy(),
        )  # fmt: skip
        self.shown.loaded = 0
        super().__init__(
            series.symbol, series.timeframe_ns, series.open_ns[: series.loaded], *columns,
            price_side=series.price_side, length=0, close_ns=closes,
        )  # fmt: skip

    @property
    def length(self) -> int:
        """How many bars are visible, here and in `shown`."""
        return self._visible

    @length.setter
    def length(self, count: int) -> None:
        shown = self.shown
        first = shown.length
        invariant(count >= first, f"{self.symbol}: bars that were visible cannot be hidden again")
        self._visible = count
        shown.open_ns[first:count] = self.open_ns[first:count]
        for name in _COLUMNS:
            getattr(shown, name)[first:count] = getattr(self, name)[first:count]
        if self.close_ns is not None and shown.close_ns is not None:
            shown.close_ns[first:count] = self.close_ns[first:count]
        shown.length = shown.loaded = count


class HidingBroker(SimulatedBroker):
    """The simulated venue; the bot sees what `HidingSeries` show, and other series as they are."""

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        return _shown(super().series(symbol, timeframe_ns))

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return _shown(super().base_series(symbol))


class _NotingRisk:
    """A risk manager, with the volume of each entry noted as it was asked for, before it is judged."""

    def __init__(self, risk: RiskManager, volumes: dict[str, float]) -> None:
        self._risk = risk
        self._volumes = volumes

    def __getattr__(self, name: str) -> Any:  # whatever else a risk manager can do
        return getattr(self._risk, name)

    def reserve(self, intent: EntryIntent) -> Verdict:
        """See `RiskManager.reserve`."""
        if intent.volume is not None and math.isfinite(intent.volume):
            self._volumes[intent.client_id] = intent.volume
        return self._risk.reserve(intent)


def noting_risk(risk: RiskManager, volumes: dict[str, float]) -> RiskManager:
    """`risk`, which writes into `volumes` how much each entry asks for by its id, the refused ones too.

    What leaves the size open, or states what is no number, is not written down.
    """
    return cast(RiskManager, _NotingRisk(risk, volumes))


def hidden(market: MarketData) -> MarketData:
    """The market with all its series as `HidingSeries`."""
    return replace(
        market,
        base={symbol: HidingSeries(series) for symbol, series in market.base.items()},
        derived={key: HidingSeries(series) for key, series in market.derived.items()},
    )


def _shown(series: BarSeries) -> BarSeries:
    return series.shown if isinstance(series, HidingSeries) else series
