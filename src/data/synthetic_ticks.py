"""Quotes and trades inside the bars of a synthetic market: seeded, and the bars built from them are those bars.

Pure functions, any thread. Instants are nanoseconds UTC on whole milliseconds, never decreasing; many ticks share one
stamp, and their order in the tape is their order. As in `synthetic_path` every float operation is one that IEEE 754
defines to the last bit, and prices and volumes are counted in whole ticks and steps: every machine gets the same bits.
A minute's ticks hang on the seed, the symbol and the minute alone, so that a slice of the bars gives a slice of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.calendars import ALWAYS, calendar_named
from src.core.errors import ConfigError
from src.core.rng import numpy_stream
from src.core.timeframe import MINUTE_NS
from src.data.synthetic import SyntheticSpec, SyntheticSymbol, multiples
from src.data.synthetic_hours import session_edges
from src.data.tapes import QuoteTape, TradeTape

__all__ = ["SyntheticTicks", "bars_from_quotes", "bars_from_trades", "generate_ticks"]

_MILLISECOND_NS = 1_000_000

# A minute has at least four ticks, because it has four prices, and at most so many; each has a word of the stream, and
# the minute one for itself.
_LEAST, _MOST = 4, 16
_WORDS = 1 + _MOST
_QUARTERS = 4

# Spreads: what the open and the close of a session add to the factor, each halved after so many minutes. The forex week
# has its session's end at the close of New York.
_FOREX_EDGES = ((3.0, 20.0), (3.0, 20.0))
_EXCHANGE_EDGES = ((4.0, 10.0), (1.0, 10.0))
# And what a minute that ranges over one usual deviation adds.
_LIVELY = 0.15
# One quote in so many is far wider than the rest.
_WIDE_ONE_IN, _WIDE = 97, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticTicks:
    """The tapes of one symbol.

    Attributes:
        quotes: bid and ask; for bars of the bid these are what the bars are made of, otherwise the quote that each
            trade met, under the stamp of the trade.
        trades: what the bars are made of; None for bars of the bid, whose trades nobody reports.
    """

    quotes: QuoteTape
    trades: TradeTape | None


@dataclass(frozen=True, slots=True)
class _Rows:
    """The ticks of all bars, one row each: shape (ticks,) but for `counts`, which has a row for each bar."""

    counts: IntArray
    bar: IntArray
    place: IntArray  # inside the bar, from 0
    words: npt.NDArray[np.uint64]

    def bits(self, low: int, count: int) -> IntArray:
        """So many bits of each tick's word, as a number."""
        return _bits(self.words, low, count)


def generate_ticks(spec: SyntheticSpec, bars: BarSeries) -> SyntheticTicks:
    """The ticks of one symbol inside its bars.

    Args:
        spec: the market.
        bars: bars of one of its symbols as `generate` made them, all or a slice of them.

    Returns:
        Four to sixteen ticks for each bar: the first at its open, the last at its close, among them its high and its
        low. The volumes, of the bid for bars of the bid, add up to the bar's; `bars_from_trades` and
        `bars_from_quotes` give the bars back.

    Raises:
        ConfigError: the symbol is not one of the market.
    """
    symbol = next((one for one in spec.symbols if one.symbol == bars.symbol), None)
    if symbol is None:
        names = ", ".join(one.symbol for one in spec.symbols)
        raise ConfigError(f"expected bars of {names}, found bars of {bars.symbol}; hand in bars of this market")
    o, h, l_, c = (
        _counts(column[: bars.loaded], symbol.tick) for column in (bars.open, bars.high, bars.low, bars.close)
    )
    steps = _counts(bars.volume[: bars.loaded], symbol.volume_step)
    open_ns = bars.open_ns[: bars.loaded]
    # A bar that trades fewer steps than it has prices is dealt out in quarters of a step.
    dealt = np.where(steps < _LEAST, steps * _QUARTERS, steps)
    span = (h - l_) / (c * (symbol.volatility_bp / 10_000.0))
    head, rows = _rows(spec, symbol, open_ns, span, dealt)
    ts_ns = _stamps(rows, open_ns)
    price = _prices(rows, head, o, h, l_, c)
    parts = _parts(rows, dealt) * np.where(steps < _LEAST, 1, _QUARTERS)[rows.bar]
    spread = _spreads(rows, symbol, open_ns, span, price)
    # The quantity on the other side of the book; nobody's bars depend on it.
    other = parts + _QUARTERS * (1 + (rows.bits(51, 8) * parts >> 8))
    if symbol.price_side == "bid":
        quotes = _quotes(symbol, ts_ns, price, spread, parts, other)
        return SyntheticTicks(quotes=quotes, trades=None)
    # A seller who hits the bid, or a buyer who takes the ask; below one tick there is no bid.
    buyer_is_maker = (rows.bits(18, 1) == 1) | (price <= spread)
    bid = np.where(buyer_is_maker, price, price - spread)
    trades = TradeTape(
        symbol=symbol.symbol,
        ts_ns=ts_ns,
        price=multiples(price, symbol.tick),
        volume=multiples(parts, symbol.volume_step / _QUARTERS),
        buyer_is_maker=buyer_is_maker,
        trade_id=_ids(spec, open_ns, rows),
    )
    sizes = np.where(buyer_is_maker, parts + other, other), np.where(buyer_is_maker, other, parts + other)
    return SyntheticTicks(quotes=_quotes(symbol, ts_ns, bid, spread, *sizes), trades=trades)


def bars_from_trades(tape: TradeTape, volume_step: float) -> BarSeries:
    """One-minute bars of the trades; volumes are added as whole quarters of a step: their order is no matter."""
    return _bars(tape.symbol, tape.ts_ns, tape.price, tape.volume, volume_step, "trade")


def bars_from_quotes(tape: QuoteTape, volume_step: float) -> BarSeries:
    """One-minute bars of the bid, with the sum of the sizes at the bid as their volume."""
    return _bars(tape.symbol, tape.ts_ns, tape.bid, tape.bid_size, volume_step, "bid")


def _bars(
    symbol: str, ts_ns: IntArray, price: FloatArray, size: FloatArray, volume_step: float, price_side: str
) -> BarSeries:
    if not len(ts_ns):
        return BarSeries.empty(symbol, MINUTE_NS, price_side=price_side)
    minute = ts_ns // MINUTE_NS
    first = np.concatenate(([0], np.flatnonzero(np.diff(minute)) + 1))
    last = np.concatenate((first[1:], [len(minute)])) - 1
    quarters = np.add.reduceat(_counts(size, volume_step / _QUARTERS), first)
    return BarSeries(
        symbol, MINUTE_NS, minute[first] * MINUTE_NS, price[first], np.maximum.reduceat(price, first),
        np.minimum.reduceat(price, first), price[last], multiples(quarters, volume_step / _QUARTERS),
        price_side=price_side,
    )  # fmt: skip


def _rows(
    spec: SyntheticSpec, symbol: SyntheticSymbol, open_ns: IntArray, span: FloatArray, units: IntArray
) -> tuple[npt.NDArray[np.uint64], _Rows]:
    """The word of each bar, and the rows of its ticks: more of them where the price goes far."""
    minute = (open_ns - spec.start_ns) // MINUTE_NS
    low, high = (int(minute[0]), int(minute[-1]) + 1) if len(minute) else (0, 0)
    source = numpy_stream(spec.seed, "synthetic.ticks", symbol.symbol).bit_generator
    source.random_raw(low * _WORDS, output=False)
    words = source.random_raw((high - low) * _WORDS).reshape(-1, _WORDS)[minute - low]
    head = words[:, 0]
    lively = np.clip(np.rint(2.0 * span), 0.0, 7.0).astype(np.int64)
    counts = np.minimum(_LEAST + _bits(head, 0, 16) % 5 + lively, units)
    bar = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(bar)) - np.repeat(np.cumsum(counts) - counts, counts)
    return head, _Rows(counts=counts, bar=bar, place=place, words=words[bar, 1 + place])


def _stamps(rows: _Rows, open_ns: IntArray) -> IntArray:
    """Ordered instants inside each bar's minute; about a quarter of the ticks share the stamp of the one before."""
    # The rows of a bar lie together, so that sorting everything by (bar, time) sorts each bar for itself.
    key = np.sort(rows.bar * 65_536 + rows.bits(0, 16))
    shared = (rows.bits(16, 2) == 0) & (rows.place > 0)
    key = np.maximum.accumulate(np.where(shared, 0, key))
    stamps: IntArray = open_ns[rows.bar] + (key % 65_536) * 60_000 // 65_536 * _MILLISECOND_NS
    return stamps


def _prices(
    rows: _Rows, head: npt.NDArray[np.uint64], open_: IntArray, high: IntArray, low: IntArray, close: IntArray
) -> IntArray:
    """From the open over both extremes to the close, by whole ticks and with some noise that never leaves the bar."""
    counts = rows.counts
    one = 1 + _bits(head, 16, 16) % (counts - 3)
    two = one + 1 + _bits(head, 32, 16) % (counts - 2 - one)
    up = _bits(head, 48, 1) == 1
    anchors = np.stack((np.zeros_like(counts), one, two, counts - 1))
    prices = np.stack((open_, np.where(up, high, low), np.where(up, low, high), close))
    leg = (rows.place >= one[rows.bar]).astype(np.int64) + (rows.place >= two[rows.bar])
    from_, to = anchors[leg, rows.bar], anchors[leg + 1, rows.bar]
    start, end = prices[leg, rows.bar], prices[leg + 1, rows.bar]
    straight = start + (end - start) * (rows.place - from_) // (to - from_)
    noise = (rows.bits(27, 8) - 128) * (high - low)[rows.bar] >> 9
    noise[(rows.place == from_) | (rows.place == to)] = 0
    inside: IntArray = np.clip(straight + noise, low[rows.bar], high[rows.bar])
    return inside


def _parts(rows: _Rows, units: IntArray) -> IntArray:
    """How many of its bar's units each tick has, at least one; those of a bar add up to all of them."""
    weights = 1 + rows.bits(19, 5)
    total = np.cumsum(weights)
    last = np.cumsum(rows.counts) - 1
    before = np.concatenate(([0], total[last[:-1]]))
    shared = (units - rows.counts)[rows.bar]
    reached = shared * (total - before[rows.bar]) // (total[last] - before)[rows.bar]
    part = np.diff(reached, prepend=0)
    part[rows.place == 0] = reached[rows.place == 0]
    dealt: IntArray = part + 1
    return dealt


def _spreads(rows: _Rows, symbol: SyntheticSymbol, open_ns: IntArray, span: FloatArray, price: IntArray) -> IntArray:
    """Whole ticks, at least one: wider at the ends of a session, in lively minutes, and now and then."""
    factor = (1.0 + _LIVELY * span) / (1.0 + _LIVELY)
    if symbol.calendar != ALWAYS and len(open_ns):
        (at_open, fades), (at_close, rises) = _FOREX_EDGES if symbol.kind == "fx" else _EXCHANGE_EDGES
        since, until = session_edges(calendar_named(symbol.calendar), open_ns)
        factor *= 1.0 + at_open / (1.0 + since / fades) + at_close / (1.0 + until / rises)
    draw = rows.bits(35, 16)
    chance = np.where(draw % _WIDE_ONE_IN == 0, _WIDE, 0.6 + draw * (0.7 / 65_536.0))
    usual = price * (symbol.spread_bp / 10_000.0)
    return np.maximum(np.rint(usual * factor[rows.bar] * chance), 1.0).astype(np.int64)


def _ids(spec: SyntheticSpec, open_ns: IntArray, rows: _Rows) -> IntArray:
    """Increasing numbers from 1: the minute and the place in it, so that a slice keeps the ids of the whole."""
    minute = (open_ns - spec.start_ns) // MINUTE_NS
    return minute[rows.bar] * _MOST + rows.place + 1


def _quotes(
    symbol: SyntheticSymbol, ts_ns: IntArray, bid: IntArray, spread: IntArray, bid_size: IntArray, ask_size: IntArray
) -> QuoteTape:
    return QuoteTape(
        symbol=symbol.symbol,
        ts_ns=ts_ns,
        bid=multiples(bid, symbol.tick),
        ask=multiples(bid + spread, symbol.tick),
        bid_size=multiples(bid_size, symbol.volume_step / _QUARTERS),
        ask_size=multiples(ask_size, symbol.volume_step / _QUARTERS),
    )


def _counts(values: FloatArray, unit: float) -> IntArray:
    """How many units each value is: `multiples` the other way round."""
    return np.rint(values / unit).astype(np.int64)


def _bits(words: npt.NDArray[np.uint64], low: int, count: int) -> IntArray:
    return ((words >> np.uint64(low)) & np.uint64((1 << count) - 1)).astype(np.int64)
