"""Suites: many independent backtests over one frozen snapshot of the market data."""
