"""A small local venue with two symbols, whose prices a test writes down."""

from collections.abc import Iterable, Mapping
from typing import Any

from src.core.instrument import Instrument
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing.venue import LocalVenue
from src.testing.worlds import bar_series

__all__ = ["BTC", "ETH", "START_NS", "make_venue", "minute"]

START_NS = parse_instant("2024-01-02")
#: The names that the exchange's client has for the two symbols.
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BEFORE = 60


def minute(count: float) -> int:
    """The instant so many minutes after the start."""
    return START_NS + round(count * MINUTE_NS)


def make_venue(
    coming: Iterable[Any] = (100.0,) * 60, others: Mapping[str, Iterable[Any]] | None = None,
    change: Mapping[str, Any] | None = None, start_ns: int = START_NS, **more: Any,
) -> LocalVenue:  # fmt: skip
    """A venue after an hour at 100 and 50, before the minutes that are given; its clock stands.

    Args:
        coming: the minutes of BTCUSDT after the start, as for `bar_series`.
        others: those of other symbols.
        change: other rules of the symbols.
    """
    rows = {"BTCUSDT": (100.0, coming), "ETHUSDT": (50.0, (50.0,) * 60)}
    for symbol, each in (others or {}).items():
        rows[symbol] = (50.0, each)
    begin = START_NS - BEFORE * MINUTE_NS
    bars = {
        symbol: bar_series(symbol, [price] * BEFORE + list(each), "1m", begin) for symbol, (price, each) in rows.items()
    }
    usual: dict[str, Any] = {
        "tick": 0.1, "volume_step": 0.001, "min_volume": 0.002, "max_volume": 5000.0, "min_notional": 5.0,
        **(change or {}),
    }  # fmt: skip
    rules = {
        symbol: Instrument(
            symbol=symbol, kind="perpetual", quote_currency="USDT", base_currency=symbol[:3], **usual
        )
        for symbol in bars
    }  # fmt: skip
    return LocalVenue(bars, rules, start_ns, **more)
