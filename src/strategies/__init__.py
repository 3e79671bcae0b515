"""Strategies by name. A new one is one file here and one line in `STRATEGIES`; a user's own is found by its path."""

from src.strategies.loader import GIVEN, STRATEGIES, LoadedStrategy, load_strategy

__all__ = ["GIVEN", "STRATEGIES", "LoadedStrategy", "load_strategy"]
