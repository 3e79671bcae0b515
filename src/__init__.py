"""Lockstep: the real trading bot, with its real threads, run unchanged in a backtest.

The import package is `src` (see docs/adr/0002-import-name.md). Importing it starts no thread, reads no clock and
touches no file.
"""

__version__ = "0.1.0"
