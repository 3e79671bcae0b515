"""The rules and the data on which `benchmarks/differential.py` holds this engine against its peers, trade by trade.

The rules are those of W1 and W2 (`benchmarks/workloads.py`) with one thing changed in each variant: how a position is
entered, what ends it, what the bars are like. A variant is data; each program has one strategy of its own that obeys
it. All of it happens at the close of a bar:

1. A symbol's target changes as in W1, where means that differ by less than `EQUAL` of themselves count as equal. A
   change withdraws the entry order that works, closes what is open at the market (a hedging account closes nothing)
   and enters on the other side: at the market, by a limit `offset` better than the close, by a stop `offset` beyond
   it, or by a stop-limit whose limit lies `room` beyond its trigger. A long/flat variant enters long only.
2. Without a change: an entry order that has worked for `patience` bars ends by itself; a position is managed. It gets
   the stop and target that it was not entered with, at the close of the bar that filled it and measured from its entry
   price, or is closed at the market where that close is already beyond one of them; its stop follows at each close; a
   half of it is closed after `half_after` bars; it is closed after `hold`. The bar of the entry is the first.

Orders, stops and targets fill as in W2: at their price, or at the open of a bar that opens beyond it; touching is
enough. Each side of a trade costs `workloads.COST_PER_SIDE` of its notional.

Needs numpy and the standard library only, because the peers read it from environments without this product.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import workloads

__all__ = [
    "EQUAL",
    "MINUTE_NS",
    "VARIANTS",
    "Deal",
    "Leg",
    "Market",
    "Variant",
    "deals_from",
    "draw_market",
    "load_columns",
    "save_columns",
    "side_of",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Peer = Literal["backtesting", "backtrader"]

MINUTE_NS = workloads.MINUTE_NS
#: Means that are nearer to each other than this share of themselves differ by the rounding of their sums alone.
EQUAL = 1e-11
LEVERAGE = 10.0
_FILES = ("open_ns", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Where the bars of a variant come from.

    Attributes:
        seed: of a walk of its own; None for the one of W1 and W2.
        skip: bars of the walk of W1 and W2 that are left out at its beginning.
        minutes: length of a bar; longer ones are made of one-minute bars.
        sigma, gap, wick: standard deviations, relative, of a minute's body, of the step from the close before it to its
            open, and of what its extremes reach beyond its body; for a seed of its own.
        decimals: of its prices, for a seed of its own.
        absent: share of the bars that are missing.
    """

    seed: int | None = None
    skip: int = 0
    minutes: int = 1
    sigma: float = workloads.RETURN_SIGMA
    gap: float = workloads.GAP_SIGMA
    wick: float = workloads.WICK_SIGMA
    decimals: int = workloads.DECIMALS
    absent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One set of rules on one market.

    Attributes:
        name: how it is asked for.
        says: what it is, for a reader.
        symbols, bars: how much of its market it takes by default.
        peers: which programs can express it.
        fast, slow: lengths of both means.
        long_only: the other side is flat.
        entry: how a position is entered; `offset` is the distance of a limit or of a trigger from the close, relative,
            and `room` how much further the limit of a stop-limit entry lies.
        stop, target: distances, relative; None for none.
        late: stop and target come at the close of the bar of the entry, not with it.
        follow: the stop follows at each close, at its distance from it, and is never loosened.
        patience: an entry order ends after so many bars.
        half_after, hold: half of a position, or all of it, is closed at the close of so many bars.
        hedging: each entry opens a position beside those that are open.
        decimals: to which the prices of orders are rounded.
        parts: the rules by which a peer's trades may differ, keys of `benchmarks.partings.PARTINGS`.
    """

    name: str
    says: str
    market: Market = Market()
    symbols: int = 1
    bars: int = 15_000
    peers: tuple[Peer, ...] = ("backtesting", "backtrader")
    fast: int = workloads.FAST_BARS
    slow: int = workloads.SLOW_BARS
    long_only: bool = False
    entry: Literal["market", "limit", "stop", "stop_limit"] = "market"
    offset: float = 0.0
    room: float = 0.0
    stop: float | None = None
    target: float | None = None
    late: bool = False
    follow: bool = False
    patience: int | None = None
    half_after: int | None = None
    hold: int | None = None
    hedging: bool = False
    decimals: int | None = None
    parts: tuple[tuple[Peer, tuple[str, ...]], ...] = ()

    def level(self, price: float, side: int, distance: float) -> float:
        """The price that lies a relative distance from another one, beyond it in the direction of `side`."""
        # A float of Python's own: numpy rounds half a tick another way.
        found = float(price * (1 + side * distance))
        return found if self.decimals is None else round(found, self.decimals)

    def stop_at(self, price: float, side: int) -> float | None:
        """The stop of a position of this side, measured from `price`."""
        return None if self.stop is None else self.level(price, -side, self.stop)

    def target_at(self, price: float, side: int) -> float | None:
        """The target of a position of this side, measured from `price`."""
        return None if self.target is None else self.level(price, side, self.target)

    def entry_at(self, close: float, side: int) -> float:
        """The price of a limit entry, or the trigger of a stop or stop-limit entry."""
        return self.level(close, -side if self.entry == "limit" else side, self.offset)

    def limit_at(self, close: float, side: int) -> float | None:
        """The limit of a limit or stop-limit entry, None for the others."""
        if self.entry == "limit":
            return self.entry_at(close, side)
        return self.level(close, side, self.offset + self.room) if self.entry == "stop_limit" else None

    def trigger_at(self, close: float, side: int) -> float | None:
        """The trigger of a stop or stop-limit entry, None for the others."""
        return self.entry_at(close, side) if self.entry in ("stop", "stop_limit") else None

    def beyond(self, close: float, entry_price: float, side: int) -> bool:
        """Whether a close has already passed the stop or target that a position entered at a price would get."""
        stop, target = self.stop_at(entry_price, side), self.target_at(entry_price, side)
        passed = stop is not None and side * (close - stop) <= 0
        return passed or (target is not None and side * (target - close) <= 0)

    def partings(self, peer: str) -> tuple[str, ...]:
        """The rules by which the peer may differ."""
        return next((rules for name, rules in self.parts if name == peer), ())


W2 = {"stop": workloads.STOP_DISTANCE, "target": workloads.TARGET_DISTANCE}
TICKS = Market(seed=5, gap=1e-3, wick=4e-4, decimals=1)


def _variant(name: str, says: str, **rules: Any) -> Variant:
    return Variant(name=name, says=says, **rules)


_ALL = (
    _variant("W1", "always long or short", bars=40_000),
    _variant("W2", "ten symbols with stop and target", symbols=10, bars=5_000, **W2),
    _variant("seed", "W2 on a walk of another seed", market=Market(seed=11), symbols=2, **W2),
    _variant("seed-wild", "W2 on a wilder walk of a third seed", market=Market(seed=23, sigma=6e-4), **W2),
    _variant("period", "W2 later in the walk, with shorter means", market=Market(skip=300_000), fast=8, slow=34, **W2),
    _variant("hours", "bars of an hour", market=Market(seed=28, minutes=60), bars=5_000, stop=0.025, target=0.03),
    _variant("absent-bars", "one bar in twenty is missing", market=Market(seed=31, absent=0.05), **W2),
    _variant(
        "ticks", "coarse prices with gaps, orders on the tick: exact touches, gaps through stops and targets",
        market=TICKS, stop=0.006, target=0.004, decimals=1,
    ),
    _variant("long-flat", "long or flat", market=Market(skip=50_000), long_only=True),
    _variant("long-flat-stop", "long or flat, with a stop", market=Market(seed=12), long_only=True, stop=0.003),
    _variant("stops", "stops alone", market=Market(seed=13), stop=0.003),
    _variant("targets", "targets alone", market=Market(seed=14), target=0.004),
    _variant("limits", "limit entries", market=Market(seed=15), entry="limit", offset=0.0008),
    _variant(
        "limits-ticks", "limit entries on coarse prices with gaps",
        market=TICKS, entry="limit", offset=0.002, decimals=1,
    ),
    _variant("limits-patience", "limit entries that expire", entry="limit", offset=0.001, patience=10),
    _variant("stop-entries", "stop entries", market=Market(seed=16), entry="stop", offset=0.0008),
    _variant(
        "stop-entries-ticks", "stop entries on coarse prices with gaps",
        market=TICKS, entry="stop", offset=0.002, decimals=1,
    ),
    _variant(
        "stop-limits", "stop-limit entries", market=Market(seed=27), entry="stop_limit", offset=0.0008, room=0.0002,
        parts=(("backtesting", ("stop-limit-gap",)),),
    ),
    _variant(
        "stop-limits-ticks", "stop-limit entries on coarse prices with gaps, many of them beyond the limit",
        market=Market(seed=5, gap=1e-3, wick=4e-4, decimals=2), entry="stop_limit", offset=0.002, room=0.001,
        decimals=2,
        parts=(("backtesting", ("stop-limit-gap",)),),
    ),
    _variant(
        "limits-late", "limit entries that are protected at the close of their bar",
        market=Market(seed=17), entry="limit", offset=0.0008, stop=0.002, target=0.003, late=True,
    ),
    _variant("trailing", "a stop that follows at each close", market=Market(seed=18), stop=0.003, follow=True),
    _variant("hold", "closed after 25 bars", market=Market(seed=19), hold=25, **W2),
    _variant("halves", "a half is closed after 15 bars", market=Market(seed=20), half_after=15, **W2),
    _variant(
        "hedging", "positions beside each other", market=Market(seed=21), stop=0.004, target=0.006, hedging=True,
        peers=("backtesting",),
    ),
    _variant(
        "tight", "stop and target within reach of the entry's own bar",
        market=Market(seed=22), stop=0.0008, target=0.001, parts=(("backtrader", ("entry-bar",)),),
    ),
    _variant(
        "limits-bracket", "limit entries with stop and target from the start", market=Market(seed=24), entry="limit",
        offset=0.0006, stop=0.0004, target=0.0006,
        parts=(("backtesting", ("entry-bar", "open-first")), ("backtrader", ("entry-bar", "open-first"))),
    ),
    _variant(
        "stop-entries-bracket", "stop entries with stop and target from the start", market=Market(seed=25),
        entry="stop", offset=0.0008, stop=0.001, target=0.0015,
        parts=(("backtesting", ("entry-bar",)), ("backtrader", ("entry-bar",))),
    ),
    _variant(
        "gaps", "bars that open beyond a target and come back to the stop",
        market=Market(seed=26, gap=2e-3, sigma=3e-3, wick=2e-3), stop=0.003, target=0.003,
        parts=(("backtesting", ("open-first",)), ("backtrader", ("open-first", "entry-bar"))),
    ),
)  # fmt: skip

VARIANTS = {variant.name: variant for variant in _ALL}


class Leg(NamedTuple):
    """One execution that closes a position or a part of it; `kind` is market, stop or target."""

    open_ns: int
    price: float
    volume: float
    kind: str


class Deal(NamedTuple):
    """A position from its entry to its end, as every program reports it.

    Attributes:
        side: +1 or -1.
        entry_ns: open of the bar on which it was entered; `entry_kind` is market, limit, stop or stop_limit.
        legs: what closed it, in time order; none yet for one that is open at the end.
        net: profit after all costs; None while it is open.
    """

    symbol: str
    side: int
    volume: float
    entry_ns: int
    entry_price: float
    entry_kind: str
    legs: tuple[Leg, ...]
    net: float | None


def deals_from(rows: Iterable[Sequence[Any]]) -> list[Deal]:
    """Read what a program printed; ordered by time of entry, then symbol."""
    deals = [Deal(*row)._replace(legs=tuple(Leg(*leg) for leg in row[6])) for row in rows]
    return sorted(deals, key=lambda deal: (deal.entry_ns, deal.symbol, deal.side))


def side_of(quick: float, calm: float) -> int:
    """The target that two means ask for: +1 or -1, 0 for none."""
    difference = quick - calm
    if abs(difference) <= EQUAL * calm:
        return 0
    return 1 if difference > 0 else -1


def draw_market(market: Market, symbols: int, count: int) -> list[workloads.Columns]:
    """The first bars of a market; fewer bars are the head of more.

    Args:
        count: bars of each symbol before the absent ones are left out.
    """
    minutes = count * market.minutes
    if market.seed is None:
        whole = workloads.bars(symbols, market.skip + minutes)
        found = [_cut(columns, slice(market.skip, None)) for columns in whole]
    else:
        found = [_walk(market, index, minutes) for index in range(symbols)]
    return [_thin(_group(columns, market.minutes), market, index) for index, columns in enumerate(found)]


def _cut(columns: workloads.Columns, part: slice | npt.NDArray[np.bool_]) -> workloads.Columns:
    return workloads.Columns(symbol=columns.symbol, **{name: getattr(columns, name)[part] for name in _FILES})


def _walk(market: Market, index: int, count: int) -> workloads.Columns:
    stream = np.random.default_rng([market.seed or 0, index])
    drawn = stream.normal(size=(count, 4))  # row by row, so that a shorter walk is the head of a longer one
    body, gap = market.sigma * drawn[:, 0], market.gap * drawn[:, 1]
    gap[:1] = 0.0
    level = np.cumsum(body + gap)
    base = 100.0 + 10.0 * index
    last, first = base * np.exp(level), base * np.exp(level - body)
    above, below = (1.0 + market.wick * np.abs(drawn[:, 2])), (1.0 - market.wick * np.abs(drawn[:, 3]))
    top, bottom = np.maximum(first, last) * above, np.minimum(first, last) * below
    first, top, bottom, last = (np.round(prices, market.decimals) for prices in (first, top, bottom, last))
    return workloads.Columns(
        symbol=f"S{index}", open_ns=workloads.FIRST_OPEN_NS + MINUTE_NS * np.arange(count, dtype=np.int64),
        open=first, high=np.maximum(top, np.maximum(first, last)), low=np.minimum(bottom, np.minimum(first, last)),
        close=last, volume=np.full(count, 1_000.0),
    )  # fmt: skip


def _group(columns: workloads.Columns, minutes: int) -> workloads.Columns:
    def rows(values: Any) -> Any:
        return values.reshape(-1, minutes)

    return workloads.Columns(
        symbol=columns.symbol, open_ns=rows(columns.open_ns)[:, 0], open=rows(columns.open)[:, 0],
        high=rows(columns.high).max(axis=1), low=rows(columns.low).min(axis=1), close=rows(columns.close)[:, -1],
        volume=rows(columns.volume).sum(axis=1),
    )  # fmt: skip


def _thin(columns: workloads.Columns, market: Market, index: int) -> workloads.Columns:
    if not market.absent:
        return columns
    there = np.random.default_rng([market.seed or 0, index, 1]).random(len(columns.open)) >= market.absent
    return _cut(columns, there)


def save_columns(folder: Path, columns: Sequence[workloads.Columns]) -> None:
    """Write the bars of one variant, which every program then reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in columns:
        for name in _FILES:
            np.save(folder / f"{one.symbol}.{name}.npy", getattr(one, name))


def load_columns(folder: Path, symbols: int) -> list[workloads.Columns]:
    """Read what `save_columns` wrote."""
    return [
        workloads.Columns(
            symbol=f"S{index}", **{name: np.load(folder / f"S{index}.{name}.npy") for name in _FILES}
        )
        for index in range(symbols)
    ]  # fmt: skip
