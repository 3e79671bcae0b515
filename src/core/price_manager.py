"""The trade manager of a bot whose break-even and trailing rules act at prices, and not only when bars close.

Runs in the position monitor's turn, which a new price of a symbol with a stop that a rule may still move wakes: how
often that is depends on how the monitor waits, never on this text.
"""

from collections.abc import Mapping
from typing import Any

from src.core.bars import BarSeries
from src.core.features import FeatureColumn
from src.core.records import Position
from src.core.trade_manager import TradeManager

__all__ = ["PriceTradeManager"]


class PriceTradeManager(TradeManager):
    """See `TradeManager` and its arguments."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._priced = {symbol: series.ticks for symbol, series in self._series.items()}

    def add_symbol(self, symbol: str, series: BarSeries, atr: Mapping[tuple[str, str], FeatureColumn]) -> None:
        """See `TradeManager.add_symbol`."""
        super().add_symbol(symbol, series, atr)
        self._priced[symbol] = series.ticks

    def has_work(self) -> bool:
        """See `TradeManager.has_work`; also true after a new price of a position whose stop may move."""
        if self._armed:
            priced = self._priced
            for symbol, series in self._series.items():
                if series.ticks != priced[symbol] and self._movable(symbol):
                    return True
        return super().has_work()

    def manage_positions(self) -> None:
        """See `TradeManager.manage_positions`."""
        super().manage_positions()
        if not self._armed:
            return
        for symbol, series in self._series.items():
            if series.ticks != self._priced[symbol]:
                for position in self._movable(symbol):
                    self._move_stop(position)
                self._priced[symbol] = series.ticks

    def _movable(self, symbol: str) -> list[Position]:
        """The positions that were open before now and whose stop a rule may still move."""
        positions = self._broker.positions(symbol)
        if not positions:
            return []
        now = self._clock.now_ns()
        return [each for each in positions if each.opened_ns < now and self._can_move(each)]
