"""One breakout bot for three symbols, with three ways of counting what is open: a racy one, a safe one, a fair one.

`Counting` is wrong and is here to be looked at; docs/debugging.md finds what is wrong and mends it in two steps.
"""

import numpy as np

from src.core.bars import Bar
from src.core.blocking import Lock
from src.core.features import Feature, FeatureView, atr, donchian
from src.core.records import Trade
from src.core.strategy import BarStrategy
from src.core.timeframe import SECOND_NS

__all__ = ["Counting", "Locked", "Strongest"]

#: Bars of a pattern, bars after it in which it came true or not, and how many earlier patterns it is compared with.
PATTERN, AFTER, EARLIER = 48, 12, 1200


class Book:
    """What the workers of all symbols share."""

    def __init__(self) -> None:
        self.open = 0
        self.locks: dict[str, Lock] = {}


BOOK = Book()


class Counting(BarStrategy):
    """Buys a close above the range: for one percent of the equity when nothing is open, else for a quarter of that."""

    timeframe = "5m"

    atr: FeatureView
    upper: FeatureView

    def features(self) -> dict[str, Feature]:
        """The upper end of the range, and the average true range that scales the stop."""
        return {"atr": atr(14), "upper": donchian(24, "upper")}

    def bars_needed(self) -> dict[str, int]:
        """The past that a pattern is compared with."""
        return {self.timeframe: EARLIER + PATTERN + AFTER}

    def on_bar(self, bar: Bar) -> None:
        """Act on a close above the range."""
        if self.position.is_flat and bar.close > self.upper[-2]:
            self.enter(bar)

    def enter(self, bar: Bar) -> None:
        """Look how many are open, think, buy, and count."""
        others = BOOK.open
        percent = 0.25 if others else 1.0
        if self.chance() >= 0.4:
            distance = 2 * self.atr[-1]
            volume = self.account.equity * percent / 100 / distance
            if self.buy(volume=volume, stop=bar.close - distance, reason=f"beside {others}").accepted:
                BOOK.open = others + 1

    def chance(self) -> float:
        """How many of the twenty earlier patterns that are most like the present one went on upwards, 0 to 1."""
        closes = self.bars.close[-(EARLIER + PATTERN + AFTER) :]
        patterns = np.lib.stride_tricks.sliding_window_view(closes, PATTERN)
        ranks = patterns.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        unlike = np.abs(ranks[: -AFTER - 1] - ranks[-1]).sum(axis=1)
        alike = unlike.argsort(kind="stable")[:20] + PATTERN - 1
        return float(np.mean(closes[alike + AFTER] > closes[alike]))

    def on_trade_closed(self, trade: Trade) -> None:
        """One less."""
        BOOK.open -= 1


class Locked(Counting):
    """The same, and nobody looks or counts while another is between the two."""

    def on_start(self) -> None:
        """Whoever comes first brings the lock of all; `setdefault` is one step, also between real threads."""
        self.one_at_a_time = BOOK.locks.setdefault("book", self.clock.lock("book"))

    def enter(self, bar: Bar) -> None:
        """Nobody else in between."""
        with self.one_at_a_time:
            super().enter(bar)

    def on_trade_closed(self, trade: Trade) -> None:
        """Nobody else in between."""
        with self.one_at_a_time:
            super().on_trade_closed(trade)


class Strongest(Locked):
    """The same, and of several that want in at one instant the strongest asks first."""

    def enter(self, bar: Bar) -> None:
        """Wait up to ten seconds: the longer, the less the price has left its range."""
        strength = (bar.close - self.upper[-2]) / self.atr[-1]
        self.clock.sleep(int(10 * SECOND_NS / (1 + strength)))
        super().enter(bar)
