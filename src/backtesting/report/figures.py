"""The figures of a report that are not in `metrics.json`: groups, months, hours, excursions, exposure.

Pure functions over the columns of a stored run; any thread. Sums are exact (`math.fsum`). What is undefined is None or
NaN.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.backtesting.report.prices import ShownPrices
from src.backtesting.report.stored import Columns, StoredRun
from src.brokers.simulated.margin import TieredMargin
from src.core.bars import FloatArray, IntArray
from src.core.instrument import MarginTier
from src.core.timeframe import DAY_NS, HOUR_NS

__all__ = ["Excursions", "Exposure", "Group", "costs_of", "excursions", "exposure", "grouped", "hours", "months"]

_MONDAY = 3  # the weekday, counted from Monday, of the day with number 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The closed trades that have one word in common; `costs` is all that lies between gross and net."""

    name: str
    trades: int
    wins: int
    win_rate_percent: float
    gross: float
    spread_cost: float
    slippage_cost: float
    commission: float
    financing: float
    net: float
    profit_factor: float | None
    expectancy: float
    average_r: float | None
    ambiguous: int

    @property
    def costs(self) -> float:
        """Spread, slippage, commission and financing."""
        return math.fsum((self.spread_cost, self.slippage_cost, self.commission, self.financing))


def costs_of(trades: Columns) -> FloatArray:
    """What lies between gross and net of each trade, shape (n,)."""
    total: FloatArray = trades["spread_cost"] + trades["slippage_cost"] + trades["commission"] + trades["financing"]
    return total


def grouped(trades: Columns, key: str) -> list[Group]:
    """The trades by what stands in a text column, in order of the words."""
    words = np.array(trades[key], dtype=object)
    return [_group(trades, word, np.flatnonzero(words == word)) for word in sorted(set(trades[key]))]


def _group(trades: Columns, name: str, at: IntArray) -> Group:
    net, r = trades["net"][at], trades["r"][at]
    won, lost = math.fsum(net[net > 0]), -math.fsum(net[net < 0])
    wins, known = int((net > 0).sum()), r[~np.isnan(r)]
    sums = {
        name: math.fsum(trades[name][at])
        for name in ("gross", "spread_cost", "slippage_cost", "commission", "financing")
    }
    return Group(
        name=name, trades=len(at), wins=wins, win_rate_percent=wins / len(at) * 100, net=math.fsum(net),
        profit_factor=won / lost if lost > 0 else None, expectancy=math.fsum(net) / len(at),
        average_r=math.fsum(known) / len(known) if len(known) else None,
        ambiguous=int(trades["ambiguous"][at].sum()), **sums,
    )  # fmt: skip


def months(run: StoredRun) -> list[tuple[int, list[float | None], float | None]]:
    """For each year the returns of its twelve months and of itself, in percent of the equity at their begin.

    Months are those of UTC. What was marked exactly at the end of a month belongs to it. None where the window, or a
    run that was cut short, does not reach, or equity was not positive.
    """
    if not len(run.equity):
        return []
    end_ns = run.lived_until_ns
    first, last = _month_of(run.start_ns), _month_of(max(run.start_ns, end_ns - 1))
    edges = np.array([_month_start(month) for month in range(first + 1, last + 2)], dtype=np.int64)
    at = np.searchsorted(run.equity_ns, np.minimum(edges, end_ns), side="right") - 1
    ends = run.equity[np.maximum(at, 0)]
    begins = np.concatenate((run.equity[:1], ends[:-1]))
    rows = []
    for year in range(first // 12, last // 12 + 1):
        places = [month - first for month in range(year * 12, year * 12 + 12)]
        cells = [_gain(begins[i], ends[i]) if 0 <= i < len(ends) else None for i in places]
        inside = [i for i in places if 0 <= i < len(ends)]
        rows.append((year, cells, _gain(begins[inside[0]], ends[inside[-1]])))
    return rows


def _gain(begin: float, end: float) -> float | None:
    return (float(end) / float(begin) - 1) * 100 if begin > 0 else None


def _month_of(instant_ns: int) -> int:
    """Months since the year 0."""
    month = np.datetime64(instant_ns, "ns").astype("datetime64[M]")
    return int(month.astype(np.int64)) + 1970 * 12


def _month_start(month: int) -> int:
    start = np.datetime64(month - 1970 * 12, "M").astype("datetime64[ns]")
    return int(start.astype(np.int64))


def hours(trades: Columns) -> tuple[FloatArray, IntArray]:
    """Net profit and number of the trades by weekday (from Monday) and hour (UTC) of their entry, shape (7, 24)."""
    day = (trades["entry_ns"] // DAY_NS + _MONDAY) % 7
    hour = trades["entry_ns"] % DAY_NS // HOUR_NS
    cell = day * 24 + hour
    net = np.array([math.fsum(trades["net"][cell == i]) for i in range(7 * 24)])
    return net.reshape(7, 24), np.bincount(cell, minlength=7 * 24).reshape(7, 24).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursions:
    """How far prices went against and for each trade while it was open, shape (n,), never negative.

    From the highs and lows of the bars that lie wholly between entry and exit, and the prices of entry and exit. What
    happened inside the bar of the exit is not known, and not counted. NaN for a trade without prices.

    Attributes:
        against, with_it: distance from the entry price, in price.
        against_percent, with_it_percent: in percent of the entry price.
        against_r, with_it_r: in units of the distance to the first stop; NaN without one.
    """

    against: FloatArray
    with_it: FloatArray
    against_percent: FloatArray
    with_it_percent: FloatArray
    against_r: FloatArray
    with_it_r: FloatArray


def excursions(trades: Columns, shown: Sequence[ShownPrices]) -> Excursions:
    """The excursions of each trade, over the bars that are shown."""
    count = len(trades["net"])
    high, low = np.full(count, np.nan), np.full(count, np.nan)
    symbols = np.array(trades["symbol"], dtype=object)
    entry, leave = trades["entry_price"], trades["exit_price"]
    for prices in shown:
        at = np.flatnonzero(symbols == prices.symbol)
        if not len(at):
            continue
        close_ns = np.append(prices.open_ns[1:], prices.open_ns[-1] + prices.bar_ns * prices.merged)
        first = np.searchsorted(prices.open_ns, trades["entry_ns"][at], side="left")
        # A bar is over where the next one opens at the latest, and never later than its own length says.
        over = np.minimum(close_ns, prices.open_ns + prices.bar_ns * prices.merged)
        last = np.searchsorted(over, trades["exit_ns"][at], side="right")
        high[at] = _extreme(np.maximum, prices.price(prices.high), first, last)
        low[at] = _extreme(np.minimum, prices.price(prices.low), first, last)
        for values, extreme in ((high, np.fmax), (low, np.fmin)):
            values[at] = extreme(values[at], extreme(entry[at], leave[at]))
    long = np.array([side == "buy" for side in trades["side"]], dtype=np.bool_)
    with_it = np.maximum(0.0, np.where(long, high - entry, entry - low))
    against = np.maximum(0.0, np.where(long, entry - low, high - entry))
    distance = np.abs(entry - trades["initial_stop"])
    risked = np.where(distance > 0, distance, np.nan)
    return Excursions(
        against=against, with_it=with_it, against_percent=against / entry * 100, with_it_percent=with_it / entry * 100,
        against_r=against / risked, with_it_r=with_it / risked,
    )  # fmt: skip


def _extreme(of: Any, values: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    """`of` over values[first:last] for each pair; NaN for an empty stretch."""
    found = np.full(len(first), np.nan)
    some = np.flatnonzero(last > first)
    if len(some):
        edges = np.column_stack((first[some], last[some])).ravel()
        # `reduceat` takes each stretch up to the next edge; one more value lets the last edge be the end.
        found[some] = of.reduceat(np.append(values, values[-1]), edges)[::2]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What was held after each instant with a fill, at entry prices, in the account's currency; shape (n,).

    Attributes:
        gross, net: notional of all positions; longs less shorts.
        margin: what the account's leverage, or the instrument's, or its tiers ask for it.
        positions: how many were open.
        equity: the account's equity at that instant.
    """

    instant_ns: IntArray
    gross: FloatArray
    net: FloatArray
    margin: FloatArray
    positions: IntArray
    equity: FloatArray


def exposure(run: StoredRun) -> Exposure:
    """The exposure over time, from the fills."""
    fills, held = run.fills, _Held(run.manifest.get("configuration", {}))
    rows: dict[int, tuple[float, float, float, int]] = {}
    order = np.argsort(fills["filled_ns"], kind="stable")
    columns = zip(
        *(
            [fills[name][i] for i in order]
            for name in ("filled_ns", "position_id", "symbol", "side", "volume", "price", "rate")
        ),
        strict=True,
    )
    for instant, position, symbol, side, volume, price, rate in columns:
        held.take(position, symbol, float(volume) if side == "buy" else -float(volume), float(price), float(rate))
        rows[int(instant)] = held.now()
    instants = np.array(list(rows), dtype=np.int64)
    values = np.array(list(rows.values()), dtype=np.float64).reshape(-1, 4)
    at = np.maximum(np.searchsorted(run.equity_ns, instants, side="right") - 1, 0)
    return Exposure(
        instant_ns=instants, gross=values[:, 0], net=values[:, 1], margin=values[:, 2],
        positions=values[:, 3].astype(np.int64), equity=run.equity[at] if len(run.equity) else np.zeros(len(at)),
    )  # fmt: skip


class _Held:
    """Open positions, and what they amount to."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._leverage = float(configuration.get("account", {}).get("leverage") or 1.0)
        self._instruments = configuration.get("instruments", {})
        self._margins: dict[str, TieredMargin] = {}
        self._open: dict[str, tuple[float, float, str, float]] = {}
        self._values: dict[str, tuple[float, float, float]] = {}

    def take(self, position: str, symbol: str, change: float, price: float, rate: float) -> None:
        """Count a fill: volume with its sign, the price, and the currency's rate."""
        volume, average, _, _ = self._open.get(position, (0.0, 0.0, "", 1.0))
        after = volume + change
        if abs(after) <= 1e-9 * max(abs(volume), abs(change)):
            self._open.pop(position, None)
            self._values.pop(position, None)
            return
        if volume * change >= 0:
            average = (average * volume + price * change) / after
        elif volume * after < 0:
            average = price
        self._open[position] = (after, average, symbol, rate)
        notional = after * average * rate
        margin = self._margin(symbol).initial(abs(after) * average) * rate
        self._values[position] = (abs(notional), notional, margin)

    def now(self) -> tuple[float, float, float, int]:
        """Gross, net, margin and the number of positions."""
        values = self._values.values()
        return (math.fsum(v[0] for v in values), math.fsum(v[1] for v in values), math.fsum(v[2] for v in values),
                len(self._values))  # fmt: skip

    def _margin(self, symbol: str) -> TieredMargin:
        if symbol not in self._margins:
            rules = self._instruments.get(symbol) or {}
            tiers = [
                MarginTier(float(one.get("from", 0.0)), one.get("leverage"), one.get("maintenance_percent"))
                for one in rules.get("margin_tiers") or ()
            ]
            self._margins[symbol] = TieredMargin(tiers, float(rules.get("leverage") or self._leverage))
        return self._margins[symbol]
