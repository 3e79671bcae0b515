"""The shipped test kit: tiny worlds in which a bot runs against bars that were written by hand."""

from src.testing.worlds import FREE, bar_series, bot_config, build_world, run_world

__all__ = ["FREE", "bar_series", "bot_config", "build_world", "run_world"]
