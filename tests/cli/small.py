"""A configuration that runs in a moment: one symbol, one day of a generated market."""

CONFIG = """\
name: small
account: {type: margin, currency: USDT, balance: 10_000, leverage: 3}
instruments: {BTCUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001}}
symbols: [BTCUSDT]
strategies: [{use: sma_cross, timeframe: 5m, params: {fast: 5, slow: 15}}]
risk: {size: {risk_percent: 0.5}}
backtest:
  start: 2024-01-01
  end: 2024-01-02
  data: {source: synthetic, seed: 3}
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01}
"""
