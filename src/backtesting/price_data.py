"""The quotes and trades of a run in which prices come by themselves, read once from the store.

Called by one thread, before a run begins; nothing of it is asked for by a run of bars.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from src.backtesting.config import BacktestConfig
from src.brokers.simulated import PriceTape
from src.core.bars import BarSeries, FloatArray
from src.core.errors import PreflightError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.core.words import counted
from src.data.bar_store import BarStore, TapeSource
from src.data.fingerprint import Digest
from src.data.market import MarketData
from src.data.tape_bars import TapeBarStore, price_tapes
from src.data.tapes import QuoteTape, TradeTape

__all__ = ["price_edges", "prices_of", "with_prices", "with_tape_bars"]

#: How long before the window the quote may have come that stands at its start.
_BEFORE_NS = DAY_NS


def with_tape_bars(config: BacktestConfig, store: BarStore) -> BarStore:
    """The store, with bars made of the tapes of symbols that have none, where prices come by themselves.

    Raises:
        PreflightError: a symbol has neither quotes nor trades; `findings` name all of them.
    """
    if config.backtest.granularity == "bar":
        return store
    if not isinstance(store, TapeSource):
        _refuse(config, config.symbols, f"{store.path} has no quotes and no trades")
        return store
    tapes = price_tapes(store)
    absent = [symbol for symbol in config.symbols if symbol not in tapes]
    _refuse(config, absent, f"{store.path.name} has no quotes and no trades of")
    return TapeBarStore(store)


def _refuse(config: BacktestConfig, absent: Iterable[str], what: str) -> None:
    key, said = "backtest.granularity", config.backtest.granularity
    ticks = "write backtest.data.ticks: true and name a file as its store"
    how = ticks if config.backtest.data.source == "synthetic" else "import them"
    findings = [
        {
            "code": "no_tape", "symbol": symbol, "settings": {key: "bar"},
            "sentence": f"{key}: {said} needs quotes or trades of each symbol, and {what} {symbol}: {how}, or write "
            f"{key}: bar",
        }
        for symbol in absent
    ]  # fmt: skip
    if findings:
        sentences = [str(one["sentence"]) for one in findings]
        raise PreflightError("\n".join(sentences), problems=sentences, findings=findings)


def price_edges(config: BacktestConfig, store: BarStore) -> tuple[int, int] | None:
    """The first and the last minute in which a symbol of the run has a price; None in a run of bars."""
    if not isinstance(store, TapeBarStore):
        return None
    tapes = price_tapes(store.store)
    own = [info for symbol in config.symbols for info in tapes[symbol].values()]
    first_ns, last_ns = min(info.first_ns for info in own), max(info.last_ns for info in own)
    return first_ns - first_ns % MINUTE_NS, last_ns - last_ns % MINUTE_NS + MINUTE_NS


def with_prices(
    config: BacktestConfig, store: BarStore, market: MarketData, start_ns: int, end_ns: int
) -> MarketData:  # fmt: skip
    """The market with the quotes and trades of each symbol; they count in its fingerprint.

    Raises:
        PreflightError: a symbol has none inside the window.
    """
    if not isinstance(store, TapeBarStore):
        return market
    known = price_tapes(store.store)
    quotes: dict[str, QuoteTape] = {}
    trades: dict[str, TradeTape] = {}
    digest = Digest()
    digest.add_text(market.fingerprint)
    for symbol in market.base:
        came = 0
        kinds = known.get(symbol, {})
        for kind in kinds:
            # A price at the end of the window belongs to it.
            columns: tuple[FloatArray, ...]
            if kind == "quotes":
                tape = quotes[symbol] = store.store.read_quotes(symbol, start_ns - _BEFORE_NS, end_ns + 1)
                stamps, columns = tape.ts_ns, (tape.bid, tape.ask)
            else:
                sold = trades[symbol] = store.store.read_trades(symbol, start_ns - _BEFORE_NS, end_ns + 1)
                stamps, columns = sold.ts_ns, (sold.price,)
            digest.add_text(symbol)
            digest.add_text(kind)
            digest.add_number(len(stamps))
            digest.add_column(stamps)
            for column in columns:
                digest.add_column(column)
            came += int(np.count_nonzero(stamps > start_ns))
        if kinds and not came:
            spans = "; ".join(info.describe() for info in kinds.values())
            raise PreflightError(
                f"{symbol} has no quotes and no trades from {format_instant(start_ns)} to {format_instant(end_ns)}; "
                f"{store.path.name} has {spans}: choose a window inside it or import more",
                code="coverage", symbol=symbol,
            )  # fmt: skip
    return replace(market, quotes=quotes, trades=trades, fingerprint=digest.hexdigest())


def prices_of(market: MarketData) -> Mapping[str, PriceTape] | None:
    """The prices of a market as the venue takes them, None in a run of bars.

    A quote whose ask lies below its bid is no price that anybody could trade at and is left out. A pair that only
    converts profits and has no tape has the closes of its bars.
    """
    if not market.quotes and not market.trades:
        return None
    return {symbol: _tape(market, symbol, base) for symbol, base in market.base.items()}


def _tape(market: MarketData, symbol: str, base: BarSeries) -> PriceTape:
    quotes, trades = market.quotes.get(symbol), market.trades.get(symbol)
    if quotes is None and trades is None:
        none = np.full(base.loaded, np.nan)
        closes_ns = np.ascontiguousarray(base.closes(0, base.loaded))
        last = np.ascontiguousarray(base.close[: base.loaded])
        return PriceTape(symbol=symbol, ts_ns=closes_ns, bid=none, ask=none, last=last, side=base.price_side)
    stamps, bids, asks, lasts, notes = [], [], [], [], []
    if quotes is not None:
        sound = quotes.ask >= quotes.bid
        crossed = len(quotes) - int(np.count_nonzero(sound))
        if crossed:
            notes.append(f"{counted(crossed, 'quote')} of {symbol} with the ask below the bid left out")
        stamps.append(quotes.ts_ns[sound])
        bids.append(quotes.bid[sound])
        asks.append(quotes.ask[sound])
        lasts.append(np.full(len(stamps[0]), np.nan))
    if trades is not None:
        if quotes is None:
            notes.append(f"{symbol} has no quotes: the configured spread lies around its trades")
        none = np.full(len(trades), np.nan)
        stamps.append(trades.ts_ns)
        bids.append(none)
        asks.append(none)
        lasts.append(trades.price)
    ts_ns = np.concatenate(stamps)
    order = np.argsort(ts_ns, kind="stable")  # of one instant the quotes come first
    bid, ask, last = (np.concatenate(each)[order] for each in (bids, asks, lasts))
    return PriceTape(symbol=symbol, ts_ns=ts_ns[order], bid=bid, ask=ask, last=last, note="; ".join(notes))
