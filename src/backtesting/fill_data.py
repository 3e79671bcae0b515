"""What fills need of the data besides the base bars: the other side of the quote, trigger prices, finer bars.

Read once, before a run begins, in one thread; nothing of it is read for a run that does not ask for it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from src.backtesting.config import BacktestConfig
from src.brokers.simulated.rules import SideBars
from src.core.bars import BarSeries, FloatArray
from src.core.errors import PreflightError
from src.core.timeframe import format_duration
from src.core.words import counted
from src.data.bar_store import BarStore
from src.data.fingerprint import Digest
from src.data.market import MarketData

__all__ = ["side_bars_of", "with_fill_data"]

#: The price sides that a trigger may follow, by their names in the configuration.
_TRIGGERS = {"last": "trade", "mark": "mark"}
_PRICES = ("open", "high", "low", "close")


def with_fill_data(
    config: BacktestConfig, store: BarStore, market: MarketData, start_ns: int, end_ns: int
) -> MarketData:  # fmt: skip
    """The market with the bars that fills need besides; they count in its fingerprint.

    Raises:
        PreflightError: bars that the configuration asks for are not stored; all problems in one error.
    """
    section = config.backtest
    sides: dict[str, dict[str, BarSeries]] = {}
    finer: dict[str, BarSeries] = {}
    problems: list[str] = []
    for symbol, base in market.base.items():
        wanted = [("backtest.costs.spread: column", side) for side in ("bid", "ask") if section.costs.spread]
        wanted += [("backtest.trigger_prices", _TRIGGERS[name]) for name in section.trigger_prices]
        for key, side in wanted:
            if side == base.price_side:
                continue
            found = _read_side(store, base, side)
            if found is None:
                problems.append(
                    f"{key} needs {side} bars of {symbol} beside its {base.price_side} bars of "
                    f"{format_duration(base.timeframe_ns)}, and {store.path.name} has none: import them, or write "
                    "another setting"
                )
            else:
                sides.setdefault(symbol, {})[side] = found
        if section.finer and section.granularity == "bar":
            own = _read_finer(store, base, start_ns, end_ns)
            if own is not None:
                finer[symbol] = own
    if problems:
        raise PreflightError("\n".join(problems), problems=problems, code="no_side")
    if not sides and not finer:
        return market
    digest = Digest()
    digest.add_text(market.fingerprint)
    for symbol in sorted({*sides, *finer}):
        extra = [*sides.get(symbol, {}).values(), *([finer[symbol]] if symbol in finer else [])]
        for series in extra:
            columns = {"open_ns": series.open_ns, **{name: getattr(series, name) for name in (*_PRICES, "volume")}}
            digest.add_bars(symbol, series.timeframe_ns, series.price_side, columns)
    return replace(market, sides=sides, finer=finer, fingerprint=digest.hexdigest())


def side_bars_of(market: MarketData) -> dict[str, SideBars]:
    """The bars of further prices, each with a row for each base bar, and where rows were missing a note."""
    return {symbol: _aligned(market.base[symbol], own) for symbol, own in market.sides.items()}


def _read_side(store: BarStore, base: BarSeries, side: str) -> BarSeries | None:
    info = [one for one in store.series_of(base.symbol) if one.timeframe_ns == base.timeframe_ns]
    if all(one.price_side != side for one in info):
        return None
    first_ns, last_ns = int(base.open_ns[0]), int(base.open_ns[base.loaded - 1])
    found = store.read_bars(base.symbol, base.timeframe_ns, first_ns, last_ns + 1, price_side=side)
    return found if found.loaded and np.isin(found.open_ns, base.open_ns[: base.loaded]).any() else None


def _read_finer(store: BarStore, base: BarSeries, start_ns: int, end_ns: int) -> BarSeries | None:
    """The finest bars of the same price that divide the base bars and lie in the window, None when there are none."""
    for info in store.series_of(base.symbol):
        length_ns = info.timeframe_ns
        if length_ns < base.timeframe_ns and base.timeframe_ns % length_ns == 0 and info.price_side == base.price_side:
            found = store.read_bars(base.symbol, length_ns, start_ns, end_ns, price_side=info.price_side)
            if found.loaded:
                return found
    return None


def _aligned(base: BarSeries, own: Mapping[str, BarSeries]) -> SideBars:
    known: dict[str, BarSeries] = {base.price_side: base}
    notes: list[str] = []
    for side, series in own.items():
        known[side], absent = _rows_of(base, series)
        if absent:
            notes.append(f"{counted(absent, 'bar')} of {base.symbol} had no {side} price; its last distance was taken")
    bid, ask = known.get("bid"), known.get("ask")
    if bid is not None and ask is not None:
        crossed = int(np.count_nonzero(np.any([getattr(ask, name) < getattr(bid, name) for name in _PRICES], axis=0)))
        if crossed:
            known["ask"] = _not_below(ask, bid)
            words = counted(crossed, "bar")
            notes.append(f"{words} of {base.symbol} had an ask below the bid; the ask was raised to it")
    return SideBars(
        bid=known.get("bid"), ask=known.get("ask"), last=known.get("trade"), mark=known.get("mark"),
        note="; ".join(notes),
    )  # fmt: skip


def _rows_of(base: BarSeries, series: BarSeries) -> tuple[BarSeries, int]:
    """A row for each base bar; where there is none, the base bar moved by the distance of the last one before it."""
    n = base.loaded
    at = np.searchsorted(series.open_ns, base.open_ns[:n])
    rows = np.minimum(at, series.loaded - 1)
    there = (series.open_ns[rows] == base.open_ns[:n]) & np.isfinite(series.close[rows])
    rows = np.where(there, rows, -1)
    distance = np.where(there, series.close[np.maximum(rows, 0)] - base.close[:n], 0.0)
    last = np.maximum.accumulate(np.where(there, np.arange(n), -1))
    last = np.where(last < 0, int(np.argmax(there)), last)  # before the first one, that of the first one
    away = distance[last]
    columns: dict[str, FloatArray] = {
        name: np.where(there, getattr(series, name)[np.maximum(rows, 0)], getattr(base, name)[:n] + away)
        for name in _PRICES
    }
    volume = np.zeros(n)
    made = BarSeries(
        base.symbol, base.timeframe_ns, base.open_ns[:n], columns["open"], columns["high"], columns["low"],
        columns["close"], volume, price_side=series.price_side, close_ns=base.close_ns,
    )  # fmt: skip
    return made, int(n - np.count_nonzero(there))


def _not_below(ask: BarSeries, bid: BarSeries) -> BarSeries:
    columns = [np.maximum(getattr(ask, name), getattr(bid, name)) for name in _PRICES]
    return BarSeries(
        ask.symbol, ask.timeframe_ns, ask.open_ns, columns[0], columns[1], columns[2], columns[3], ask.volume,
        price_side="ask", close_ns=ask.close_ns,
    )  # fmt: skip
