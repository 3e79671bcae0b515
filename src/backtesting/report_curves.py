"""The curves of a report, as the values that its charts read: thinned for display, lows and highs kept.

Pure functions; any thread. Instants become milliseconds since 1970, because that is what a browser counts in.
"""

import base64
import html
from collections.abc import Iterable
from typing import Any

import numpy as np

from src.backtesting import summary
from src.backtesting.metrics import Metrics
from src.backtesting.result import BacktestResult
from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.records import Side, Trade
from src.core.words import counted

__all__ = ["CURVE_POINTS", "cost_data", "equity_data", "price_data", "price_text", "safe", "thinned"]

CURVE_POINTS = 4_000

# Together over all symbols, so that the file of a run with many symbols stays small enough to open.
_ALL_PRICE_POINTS = 120_000
_ALL_MARKED_TRADES = 12_000
_MARKED_TRADES = 2_000


def safe(value: Any) -> str:
    """The value as text that is safe inside HTML, also within a quoted attribute."""
    return html.escape(str(value), quote=True)


def price_text(value: float) -> str:
    """A price with up to eight significant digits."""
    return f"{value:,.8g}"


def thinned(values: FloatArray, limit: int) -> IntArray:
    """Indices of at most `limit` values that draw like all: first, last, low and high of each stretch.

    Args:
        values: shape (n,).

    Returns:
        Increasing indices, shape (m,), m <= max(limit, 4).
    """
    count = len(values)
    limit = max(limit, 4)
    if count <= limit:
        return np.arange(count)
    stretches = (limit - 2) // 2
    size = -(-count // stretches)
    padded = np.full(size * -(-count // size), values[-1])
    padded[:count] = values
    rows = padded.reshape(-1, size)
    starts = np.arange(len(rows)) * size
    picked = np.concatenate(([0, count - 1], starts + rows.argmin(axis=1), starts + rows.argmax(axis=1)))
    return np.unique(np.minimum(picked, count - 1))


def equity_data(result: BacktestResult) -> dict[str, Any] | None:
    """Equity and drawdown in percent over time; None without samples."""
    equity = result.equity
    if not len(equity):
        return None
    peak = np.maximum.accumulate(equity)
    fall = np.where(peak > 0, (equity - peak) / np.where(peak > 0, peak, 1.0) * 100, 0.0)
    at = np.union1d(thinned(equity, CURVE_POINTS // 2), thinned(fall, CURVE_POINTS // 2))
    return {"at": _dates(result.equity_ns[at]), "equity": _array(equity[at]), "drawdown": _array(fall[at])}


def price_data(result: BacktestResult, symbol: str, bars: BarSeries, symbols: int) -> dict[str, Any]:
    """Closes of one symbol inside the window, and its trades' entries and exits; `symbols` share the file's room."""
    first = int(np.searchsorted(bars.open_ns[: bars.length], result.start_ns))
    last = int(np.searchsorted(bars.open_ns[: bars.length], result.end_ns))
    closes, close_ns = bars.close[first:last], bars.open_ns[first:last] + bars.timeframe_ns
    at = thinned(closes, min(CURVE_POINTS, max(400, _ALL_PRICE_POINTS // symbols)))
    trades = [trade for trade in result.trades if trade.symbol == symbol]
    limit = min(_MARKED_TRADES, max(100, _ALL_MARKED_TRADES // symbols))
    marked = trades
    if len(trades) > limit:
        marked = [trades[i] for i in np.linspace(0, len(trades) - 1, limit).round().astype(int)]
    notes = [f"{counted(len(closes), 'bar')}"]
    if len(at) < len(closes):
        notes.append(f"drawn as {counted(len(at), 'point')} that keep the lows and highs of the closes")
    if len(marked) < len(trades):
        notes.append(f"{len(marked):,} of {len(trades):,} trades marked, evenly spaced")
    entries = [
        (trade.side, trade.entry_ns, trade.entry_price, _entry_text(trade)) for trade in marked
    ] + [
        (
            Side.BUY if position.is_long else Side.SELL, position.opened_ns, position.entry_price,
            f"still open: {position.volume:g} at {price_text(position.entry_price)}, {safe(position.book)}",
        )
        for position in result.open_positions if position.symbol == symbol and not position.is_flat
    ]  # fmt: skip
    exits = [(trade.net > 0, trade.exit_ns, trade.exit_price, _exit_text(trade)) for trade in marked]
    ways_at = np.array([[trade.entry_ns, trade.exit_ns, trade.exit_ns] for trade in marked], dtype=np.int64).ravel()
    ways = np.array([[trade.entry_price, trade.exit_price, np.nan] for trade in marked], dtype=np.float64).ravel()
    return {
        "at": _dates(close_ns[at]),
        "close": _array(closes[at]),
        "ways": {"at": _dates(ways_at), "price": _array(ways)},
        "long": _marks(mark[1:] for mark in entries if mark[0] is Side.BUY),
        "short": _marks(mark[1:] for mark in entries if mark[0] is Side.SELL),
        "won": _marks(mark[1:] for mark in exits if mark[0]),
        "lost": _marks(mark[1:] for mark in exits if not mark[0]),
        "note": "; ".join(notes) + ".",
    }


def _marks(marks: Iterable[tuple[int, float, str]]) -> dict[str, Any]:
    rows = list(marks)
    return {
        "at": _dates(np.array([row[0] for row in rows], dtype=np.int64)),
        "price": _array(np.array([row[1] for row in rows], dtype=np.float64)),
        "text": [row[2] for row in rows],
    }


def _entry_text(trade: Trade) -> str:
    words = f"<br>{safe(trade.entry_reason)}" if trade.entry_reason else ""
    return f"{trade.side.value} {trade.volume:g} at {price_text(trade.entry_price)}, {safe(trade.book)}{words}"


def _exit_text(trade: Trade) -> str:
    r = "" if trade.r is None else f", {trade.r:+.2f} R"
    net = summary.money_text(trade.net, signed=True)
    return f"{safe(trade.exit_kind)} at {price_text(trade.exit_price)}: net {net}{r}"


def cost_data(metrics: Metrics) -> dict[str, Any]:
    """The steps from gross to net of the closed trades."""
    steps = [("Spread", -metrics.spread_cost), ("Slippage", -metrics.slippage_cost)]
    steps += [("Commission", -metrics.commission)]
    if metrics.financing:
        steps += [("Swap and funding", -metrics.financing)]
    values = [metrics.gross, *(value for _, value in steps), metrics.net]
    return {
        "names": ["Gross", *(name for name, _ in steps), "Net"],
        "values": values,
        "measures": ["absolute", *("relative" for _ in steps), "total"],
        "texts": [summary.money_text(value, signed=True) for value in values],
    }


def _array(values: FloatArray) -> dict[str, str]:
    return {"dtype": "f8", "bdata": base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")}


def _dates(instants_ns: IntArray) -> dict[str, str]:
    return _array(instants_ns / 1e6)  # milliseconds since 1970, which the chart reads as UTC dates
