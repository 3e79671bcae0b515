"""A configuration as a mapping, small enough to run in a blink, and strategies to hand over."""

from pathlib import Path
from typing import Any

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, atr, crossed_above, sma
from src.core.strategy import BarStrategy, param


def small(folder: Path, **backtest: Any) -> dict[str, Any]:
    """Two days of one SYNTHETIC symbol, everything below `folder`."""
    return {
        "name": "small",
        "account": {"type": "margin", "currency": "USDT", "balance": 10_000, "leverage": 3},
        "instruments": {
            "AAAUSDT": {"kind": "perpetual", "tick": 0.01, "volume_step": 0.001, "min_volume": 0.001},
        },
        "symbols": ["AAAUSDT"],
        "strategies": [{"use": "sma_cross", "timeframe": "15m", "params": {"fast": 3, "slow": 8}}],
        "risk": {"size": {"risk_percent": 0.5}},
        "backtest": {
            "start": "2024-01-01", "end": "2024-01-03", "seed": 7,
            "data": {"source": "synthetic", "seed": 7, "store": str(folder / "market.duckdb")},
            "runs": str(folder / "runs"),
            "costs": {"spread_percent": 0.02, "commission_percent": 0.04, "slippage_percent": 0.01, "latency": "0s"},
            **backtest,
        },
    }  # fmt: skip


class Crossing(BarStrategy):
    """Buys when the fast average crosses above the slow one."""

    timeframe = "15m"
    fast: int = param(3, low=2, high=100)

    f: FeatureView
    s: FeatureView
    atr: FeatureView

    def features(self) -> dict[str, Feature]:
        """Two averages and the range."""
        return {"f": sma(self.fast), "s": sma(8), "atr": atr(14)}

    def on_bar(self, bar: Bar) -> None:
        """Enter at a cross."""
        if self.position.is_flat and crossed_above(self.f, self.s):
            self.buy(stop=bar.close - 2 * self.atr[-1], target_r=1.5, reason="cross up")
