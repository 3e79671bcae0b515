"""The bars that a report shows: as whole numbers of the smallest price step, so that half a million stay small.

Pure but for the report that is read again; any thread. What was packed into a report can be read out of it, so a later
report of the same run needs no store of market data.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.core.bars import BarSeries, FloatArray, IntArray
from src.pages import Page
from src.pages.packing import unpacked

__all__ = ["MOST_BARS", "ShownPrices", "kept_prices", "pack_prices", "shown_prices"]

#: Of all symbols together; more are drawn coarser, so that the file stays small enough to open.
MOST_BARS = 600_000

_MOST_DECIMALS = 9
_MS_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPrices:
    """The bars of one symbol inside the window, shape (n,) each.

    Attributes:
        decimals: prices are whole numbers of 10 ** -decimals.
        exact: whether they are so without rounding.
        merged: how many bars of the run are one bar here; 1 when nothing was left out.
        bar_ns: the length of a bar of the run.
    """

    symbol: str
    decimals: int
    exact: bool
    merged: int
    bar_ns: int
    open_ns: IntArray
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray

    def price(self, steps: IntArray) -> FloatArray:
        """Whole numbers of steps as prices."""
        return steps / 10.0**self.decimals


def shown_prices(
    series: Mapping[str, BarSeries], start_ns: int, end_ns: int, *, most: int = MOST_BARS
) -> list[ShownPrices]:  # fmt: skip
    """The bars to show, by symbol in order of the names; symbols without a bar in the window are left out.

    Args:
        series: bars of the run, of which those that open inside the window are shown.
        most: bars of all symbols together; where there are more, neighbours are made one.
    """
    spans = {}
    for name in sorted(series):
        bars = series[name]
        known = bars.open_ns[: bars.length]
        first, last = int(np.searchsorted(known, start_ns)), int(np.searchsorted(known, end_ns))
        if last > first:
            spans[name] = (first, last)
    share = max(1, most // max(1, len(spans)))
    return [_shown(series[name], name, *span, -(-(span[1] - span[0]) // share)) for name, span in spans.items()]


def _shown(bars: BarSeries, name: str, first: int, last: int, merged: int) -> ShownPrices:
    columns = [column[first:last] for column in (bars.open, bars.high, bars.low, bars.close)]
    decimals, exact = _decimals(columns)
    whole = [np.rint(column * 10.0**decimals).astype(np.int64) for column in columns]
    open_ns = bars.open_ns[first:last]
    if merged > 1:
        starts = np.arange(0, last - first, merged)
        ends = np.append(starts[1:], last - first) - 1
        whole = [whole[0][starts], np.maximum.reduceat(whole[1], starts), np.minimum.reduceat(whole[2], starts),
                 whole[3][ends]]  # fmt: skip
        open_ns = open_ns[starts]
    return ShownPrices(
        symbol=name, decimals=decimals, exact=exact, merged=merged, bar_ns=bars.timeframe_ns, open_ns=open_ns,
        open=whole[0], high=whole[1], low=whole[2], close=whole[3],
    )  # fmt: skip


def _decimals(columns: Sequence[FloatArray]) -> tuple[int, bool]:
    """The fewest decimals that hold all prices exactly; else as many as leave nine digits of the largest."""
    largest = max(float(np.abs(column).max()) for column in columns)
    most = max(0, min(_MOST_DECIMALS, 15 - len(str(int(largest)))))
    for decimals in range(most + 1):
        if all(_holds(column[:1000], decimals) for column in columns) and all(
            _holds(column, decimals) for column in columns
        ):
            return decimals, True
    return max(0, min(_MOST_DECIMALS, 9 - len(str(int(largest))))), False


def _holds(prices: FloatArray, decimals: int) -> bool:
    scale = 10.0**decimals
    return bool((np.rint(prices * scale) / scale == prices).all())


def pack_prices(page: Page, shown: Sequence[ShownPrices]) -> None:
    """Store the bars in a page, each as its way from the close before it, which takes few bytes."""
    for place, prices in enumerate(shown):
        before = np.concatenate((np.zeros(1, np.int64), prices.close[:-1]))
        page.pack(
            f"bars-{place}",
            {
                "at": prices.open_ns // _MS_NS,
                "gap": prices.open - before,
                "move": prices.close - prices.open,
                "up": prices.high - np.maximum(prices.open, prices.close),
                "down": np.minimum(prices.open, prices.close) - prices.low,
            },
        )
    about = [
        {"symbol": one.symbol, "decimals": one.decimals, "exact": one.exact, "merged": one.merged,
         "bar_ns": one.bar_ns, "count": len(one.open)}
        for one in shown
    ]  # fmt: skip
    page.value("prices", about)


def kept_prices(report: Path) -> list[ShownPrices]:
    """The bars that a report shows, read out of it; none when it shows none, or is none."""
    try:
        text = report.read_text(encoding="utf-8")
        data = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', text, flags=re.DOTALL)
        about = json.loads(data.group(1))["values"]["prices"] if data else []
        packs = re.findall(r'id="pack-bars-(\d+)" data-columns="([^"]*)">([^<]*)<', text)
        found = {int(number): unpacked(html.unescape(described), packed) for number, described, packed in packs}
        return [_kept(one, found[place]) for place, one in enumerate(about)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _kept(about: Mapping[str, Any], columns: Mapping[str, IntArray]) -> ShownPrices:
    close = np.cumsum(columns["gap"] + columns["move"])
    opened = close - columns["move"]
    return ShownPrices(
        symbol=str(about["symbol"]), decimals=int(about["decimals"]), exact=bool(about["exact"]),
        merged=int(about["merged"]), bar_ns=int(about["bar_ns"]), open_ns=columns["at"] * _MS_NS, open=opened,
        high=np.maximum(opened, close) + columns["up"], low=np.minimum(opened, close) - columns["down"], close=close,
    )  # fmt: skip
