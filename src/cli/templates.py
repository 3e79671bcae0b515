"""The files that `init` writes, as text. Pure; any thread."""

__all__ = ["FILES"]

_CONFIG = """\
# Two symbols of a generated, SYNTHETIC market: nothing is downloaded. Every path is relative to this file.
name: first
account: {type: margin, currency: USDT, balance: 10_000, positions: netting, leverage: 3}
instruments:
  BTCUSDT: {venue: "BTC/USDT:USDT", kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}
  ETHUSDT: {venue: "ETH/USDT:USDT", kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {use: "my_strategy.py:MyStrategy", timeframe: 15m, params: {fast: 10, slow: 30}}

# An entry loses half a percent of the equity at its stop; one position at a time, so the two symbols compete.
risk: {size: {risk_percent: 0.5}, max_open_positions: 1, daily_loss_limit_percent: 3}

# The position monitor: at a profit of one R the stop moves to the entry, from 1.5 R on it follows the price.
manage: {break_even: {at_r: 1}, trailing: {start_r: 1.5, distance_atr: 1}}

# What happens when a strategy raises: stop_all ends the run, stop_symbol goes on without the symbol.
on_error: stop_all

backtest:
  start: 2024-01-01
  end: 2024-01-15
  seed: 7
  data: {source: synthetic, seed: 7, begins: 2023-12-30}  # earlier than start: averages are warm at the first decision
  # Each cost has to be written, a 0 as well.
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01, latency: 0s}

# The same bot on real prices, without keys and without money: lockstep --mode paper --config config.yaml
# (needs pip install 'lockstep[live]'; costs are those of the backtest, the spread is that of the market).
paper: {exchange: binanceusdm}

# The same bot at an exchange: lockstep --mode live --config config.yaml. Keys come from the environment alone:
# LOCKSTEP_BINANCEUSDM_DEMO_KEY and LOCKSTEP_BINANCEUSDM_DEMO_SECRET. The folder live holds what survives a restart.
live:
  exchange: binanceusdm
  environment: demo  # play money; real needs keys of its own and --confirm first
  account: first     # the bot's label
  # No order exceeds these on its way out, in demo as well; with environment: real each of them has to be there.
  limits: {max_order_notional: 30_000, max_total_notional: 30_000, orders_per_minute: 20,
           symbols: [BTCUSDT, ETHUSDT], price_collar_percent: 3}
"""

_STRATEGY = '''\
"""Two moving averages: buy when the fast one crosses above the slow one, sell when it crosses below."""

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, atr, crossed_above, crossed_below, sma
from src.core.strategy import BarStrategy, param


class MyStrategy(BarStrategy):
    """Enters at a cross, with a stop two average ranges away; the opposite cross closes."""

    timeframe = "15m"
    fast: int = param(10, low=2, high=100)
    slow: int = param(30, low=3, high=300)

    f: FeatureView
    s: FeatureView
    atr: FeatureView

    def features(self) -> dict[str, Feature]:
        """What `on_bar` reads; each value depends on closed bars alone."""
        return {"f": sma(self.fast), "s": sma(self.slow), "atr": atr(14)}

    def on_bar(self, bar: Bar) -> None:
        """Called once for each closed bar."""
        if crossed_above(self.f, self.s):
            if self.position.is_short:
                self.close(reason="cross up")
            if self.position.is_flat:
                self.buy(stop=bar.close - 2 * self.atr[-1], reason="cross up")
        elif crossed_below(self.f, self.s):
            if self.position.is_long:
                self.close(reason="cross down")
            if self.position.is_flat:
                self.sell(stop=bar.close + 2 * self.atr[-1], reason="cross down")
'''

_TEST = '''\
"""The strategy in a tiny world of made-up prices, through the same bot that trades them for real."""

from collections.abc import Sequence

import numpy as np
from my_strategy import MyStrategy

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.time_controller import TimeController
from src.backtesting.result import BacktestResult
from src.brokers.simulated import Commission, Costs, FillRules, SimulatedBroker, Slippage
from src.core.bars import BarSeries
from src.core.config import BotConfig
from src.core.timeframe import MINUTE_NS


def run(prices: Sequence[float]) -> BacktestResult:
    """The strategy over one-minute bars that close at `prices`, without costs."""
    close = np.array(prices, np.float64)
    open_ = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(open_, close) + 0.1, np.minimum(open_, close) - 0.1
    open_ns = np.arange(len(close), dtype=np.int64) * MINUTE_NS
    bars = BarSeries("BTCUSDT", MINUTE_NS, open_ns, open_, high, low, close, np.ones(len(close)))
    config = BotConfig.model_validate(
        {
            "account": {"currency": "USDT", "balance": 10_000},
            "instruments": {"BTCUSDT": {}},
            "symbols": ["BTCUSDT"],
            "strategies": [{"use": "MyStrategy", "timeframe": "1m", "params": {"fast": 3, "slow": 8}}],
            "risk": {"size": {"volume": 1}},
        }
    )
    free = Costs(commission=Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=0.0)
    instruments = {"BTCUSDT": config.instruments["BTCUSDT"].build("BTCUSDT", "USDT")}
    broker = SimulatedBroker(config.account, instruments, {"BTCUSDT": bars}, {}, free, FillRules())
    clock = TimeController(["BTCUSDT"])
    return BacktestController(broker, clock, config, {"MyStrategy": MyStrategy}).run()


def test_a_market_that_turns_up_is_bought_once_and_with_a_profit() -> None:
    """Falling, then rising: one cross, one long trade."""
    fall_and_rise = [200 - i for i in range(40)] + [160 + i for i in range(40)]

    result = run(fall_and_rise)

    assert [(trade.side.name, trade.net > 0) for trade in result.trades] == [("BUY", True)]


def test_a_market_that_only_falls_is_never_bought() -> None:
    """Without a cross there is no order."""
    result = run([200 - i for i in range(80)])

    assert result.orders == []
'''

#: Text by file name.
FILES = {"config.yaml": _CONFIG, "my_strategy.py": _STRATEGY, "test_my_strategy.py": _TEST}
