"""A project of one symbol and some hours, with strategies that know too much, remember too much, or are sound."""

from pathlib import Path

from src.research.lookahead import CheckedPair, pairs_of
from src.research.lookahead.check import check_pair
from src.research.trial import Trial, prepared_for

BOTS = '''
"""Sound is what it says; each of the others is wrong in one way."""

import numpy as np

from src.core.bars import Bar, BarSeries
from src.core.features import Feature, FeatureView, atr, crossed_above, crossed_below, donchian, ema, macd, rsi, sma
from src.core.strategy import BarStrategy
from src.core.timeframe_features import on_timeframe

closes = []


class Sound(BarStrategy):
    timeframe = "5m"

    def features(self) -> dict[str, Feature]:
        return {"f": ema(3), "s": sma(8), "r": rsi(5), "m": macd(3, 6, 3, "signal"), "u": donchian(9), "atr": atr(4)}

    def on_bar(self, bar: Bar) -> None:
        if self.position.is_flat and crossed_above(self.f, self.s):
            self.buy(volume=1, stop=bar.close - 2 * self.atr[-1], target_r=1.5, reason="cross")
        elif self.position.is_long and crossed_below(self.f, self.s):
            self.close(reason="cross back")


class SeveralTimeframes(Sound):
    """Odd minutes, hours and days."""

    timeframe = "7m"
    timeframes = ("1h", "1d")

    def features(self) -> dict[str, Feature]:
        return {"f": ema(3), "s": on_timeframe("1h", sma(4)), "d": on_timeframe("1d", sma(1))}

    def on_bar(self, bar: Bar) -> None:
        if len(self.s) == 0 or bar.timeframe_ns != self.bars.series.timeframe_ns:
            return
        if self.position.is_flat and self.f[-1] > self.s[-1]:
            self.buy(volume=1, stop=bar.close * 0.998, target_r=1.5, reason="above the hours")
        elif self.position.is_long and self.f[-1] < self.s[-1]:
            self.close(reason="below the hours")


class Peeking(Sound):
    """Keeps the whole array of the market in its module and looks one bar ahead."""

    def on_start(self) -> None:
        closes.append(self.bars.series.close)

    def on_bar(self, bar: Bar) -> None:
        following = closes[0][len(self.bars)] if len(self.bars) < len(closes[0]) else bar.close
        if self.position.is_flat and following > bar.close * 1.0002:
            self.buy(volume=1, stop=bar.close * 0.99, reason="it will rise")
        elif self.position.is_long and following < bar.close:
            self.close(reason="it will fall")


class RarelyPeeking(Sound):
    """Looks one bar ahead in one minute of the hour."""

    def on_start(self) -> None:
        closes.append(self.bars.series.close)

    def features(self) -> dict[str, Feature]:
        return {"s": sma(8)}

    def on_bar(self, bar: Bar) -> None:
        peeks = bar.close_ns // 60_000_000_000 % 60 == 35 and len(self.bars) < len(closes[0])
        following = closes[0][len(self.bars)] if peeks else bar.close
        if self.position.is_flat and bar.close > self.s[-1] and following >= bar.close:
            self.buy(volume=1, stop=bar.close * 0.999, target_r=1.0, reason="above")


class Keeping(Sound):
    """Keeps the array of the market and reads what has closed."""

    def on_start(self) -> None:
        closes.append(self.bars.series.close)

    def features(self) -> dict[str, Feature]:
        return {"s": sma(8)}

    def on_bar(self, bar: Bar) -> None:
        if self.position.is_flat and closes[0][len(self.bars) - 1] > self.s[-1]:
            self.buy(volume=1, stop=bar.close * 0.999, target_r=1.0)


class CountingVolume(Sound):
    """States a volume that depends on when it was started, and nothing else does."""

    seen = 0

    def features(self) -> dict[str, Feature]:
        return {"s": sma(8)}

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.position.is_flat and bar.close > self.s[-1]:
            self.buy(volume=1 + self.seen % 5, stop=bar.close * 0.998, target_r=1.0)


class CountingRefused(CountingVolume):
    """The same with volumes that no account can carry."""

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if bar.close > self.s[-1]:
            self.buy(volume=1e9 + self.seen % 5, stop=bar.close * 0.998, target_r=1.0)


class Failing(Peeking):
    """Looks ahead without asking whether there is anything."""

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) < 200 and self.position.is_flat and closes[0][len(self.bars) + 1] > bar.close:
            self.buy(volume=1, stop=bar.close * 0.99, target=bar.close * 1.001)


class Made:
    """A feature of one's own."""

    def __init__(self, key, lookback, function):
        self.key, self.lookback, self.function = key, lookback, function

    def compute(self, series: BarSeries, first: int, last: int):
        values = self.function(series.close[: series.loaded])[first:last]
        values[: max(0, self.lookback - 1 - first)] = np.nan
        return values


def smoothed(values):
    """An exponential average of 6 bars over everything there is."""
    out = values.copy()
    for i in range(1, len(values)):
        out[i] = out[i - 1] + (values[i] - out[i - 1]) * 2 / 7
    return out


class Following(Sound):
    """Acts on one feature."""

    def made(self) -> Feature:
        raise AssertionError

    def features(self) -> dict[str, Feature]:
        return {"x": self.made()}

    def on_bar(self, bar: Bar) -> None:
        if self.position.is_flat and bar.close > self.x[-1]:
            self.buy(volume=1, stop=bar.close * 0.998, reason=f"above {self.x[-1]:.4f}")
        elif self.position.is_long and bar.close < self.x[-1]:
            self.close(reason=f"below {self.x[-1]:.4f}")


class NextClose(Following):
    """The close of the next bar, called a feature."""

    def made(self) -> Feature:
        return Made("next", 1, lambda values: np.append(values[1:], values[-1:]))


class Normalised(Following):
    """The mean of everything, the future included."""

    def made(self) -> Feature:
        return Made("mean", 1, lambda values: np.full(len(values), values.mean()))


class ShortEma(Following):
    """Needs many bars and declares five."""

    def made(self) -> Feature:
        return Made("smoothed", 5, smoothed)


class FromTheFirstBar(Following):
    """The mean of all closes so far."""

    def made(self) -> Feature:
        return Made("so far", 1, lambda values: np.cumsum(values) / np.arange(1, len(values) + 1))


class Undeclared(Sound):
    """Reads 30 bars by itself and declares none."""

    declared = {}

    def features(self) -> dict[str, Feature]:
        return {}

    def bars_needed(self) -> dict[str, int]:
        return self.declared

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) <= 30:
            return
        if self.position.is_flat and bar.close > self.bars.high[-31:-1].max():
            self.buy(volume=1, stop=bar.close * 0.999, target_r=1)


class Declared(Undeclared):
    """The same with what it needs."""

    declared = {"5m": 30}


class Counting(Sound):
    """Acts on every seventh bar since it was started."""

    seen = 0

    def features(self) -> dict[str, Feature]:
        return {}

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen % 7 == 0 and self.position.is_flat:
            self.buy(volume=1, stop=bar.close * 0.999, target_r=1)


class Broken(Sound):
    def on_bar(self, bar: Bar) -> None:
        raise ValueError("not today")


class Idle(Sound):
    """Never does anything."""

    def on_bar(self, bar: Bar) -> None:
        pass
'''

CONFIG = """
name: small
account: {{type: margin, currency: USDT, balance: 1_000_000, positions: netting, leverage: 3}}
instruments:
  BTCUSDT: {{kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}}
symbols: [BTCUSDT]
strategies:
  - {{use: "bots.py:{bot}"}}
risk: {{size: {{volume: 1}}}}
on_error: stop_symbol
backtest:
  start: 2024-01-01
  end: "2024-01-02 06:00"
  data: {{source: synthetic, seed: 7, store: market.duckdb}}
  costs: {{spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01, latency: 0s}}
"""


def write_project(folder: Path, bot: str, name: str = "config.yaml") -> Path:
    """Write the project; its configuration, a file of that name, is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bots.py").write_text(BOTS.lstrip(), encoding="utf-8")
    config = folder / name
    config.write_text(CONFIG.format(bot=bot).lstrip(), encoding="utf-8")
    return config


def checked(folder: Path, bot: str) -> CheckedPair:
    """What comes out for one of the bots, in this process; a folder has one market for all of them."""
    config = str(write_project(folder, bot, f"{bot}.yaml"))
    prepared = prepared_for(Trial(path=config, overrides=("backtest.schedule=fifo",)))
    (pair,) = pairs_of(prepared, config, (), edges=2, starts=2)
    return check_pair(pair)
