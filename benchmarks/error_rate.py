"""How many of those that a validation lets pass are false: `python benchmarks/error_rate.py [--seeds 200] [--json]`.

Worlds of 2,000 candidates, of which 5 % have a true edge, are judged by the phases, the p-values and the adjustment of
the product, with a discovery cut-off after the first year. All others have a mean net R of exactly 0 after costs: the
border of the null hypothesis. Eight neighbours in a row trade the same days and share the outcome of three days in
four; a day has 1.6 trades in the mean, of which six in ten end as the day does. The outcomes:

- `normal`: standard deviation 1.2 R.
- `positive`: about +3 R or -1 R, give or take 0.15 R.
- `negative`: about +1 R or -3 R, give or take 0.15 R.

An edge moves every outcome by the same amount. It is stated in standard errors of the mean of independent trades, more
for few trades, so that the power says something: at 0 or 1 it would not.

The number of trades is that after the cut-off; a quarter of it lies before. All phases are on. 30 or 60 trades in four
years have no three windows of 15 trades, so there the walk-forward is by count: five windows of a fifth of the trades,
all of which have to be there. 200 trades have the windows of the calendar, 6 months after 12, with 15 trades each.

Reported for each shape and number: the mean over the seeds of the false-discovery proportion (0 where nothing passes),
its standard error, the share of the planted candidates that pass, and how many pass; for each p-value and adjustment.
The default has to stay within the nominal level plus two standard errors: if not, the exit code is 1. Everything is
repeatable: a world depends on its seed alone, and workers share out the seeds. A candidate that one phase rejects has
p = 1 whatever the others find, so it is asked nothing more. Progress goes to the standard error.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.compare import say  # noqa: E402 - the path has to be set first
from src.core.bars import FloatArray, IntArray  # noqa: E402 - as above
from src.core.rng import numpy_stream  # noqa: E402 - as above
from src.core.timeframe import DAY_NS, MINUTE_NS, parse_instant  # noqa: E402 - as above
from src.research.validation.false_discovery import adjusted  # noqa: E402 - as above
from src.research.validation.phases import cheap_phases  # noqa: E402 - as above
from src.research.validation.ports import CandidateTrades, Period, Status  # noqa: E402 - as above
from src.research.validation.pvalues import p_value  # noqa: E402 - as above
from src.research.validation.section import ValidationSection  # noqa: E402 - as above
from src.research.validation.stability import stability  # noqa: E402 - as above

Row = dict[str, Any]
Shape = Literal["normal", "positive", "negative"]
Method = Literal["by", "bh"]

SHAPES: tuple[Shape, ...] = ("normal", "positive", "negative")
#: Trades after the cut-off, and the edge of the planted ones in standard errors of their mean.
EDGES = {30: 8.0, 60: 6.5, 200: 5.5}
P_VALUES = ("robust", "skew_t", "t")
METHODS: tuple[Method, ...] = ("by", "bh")
#: What a validation does if nobody says otherwise; this has to hold.
DEFAULT = ("robust", "by")
LEVEL = 0.05

CANDIDATES, PLANTED_SHARE, SEEDS = 2000, 0.05, 200
NEIGHBOURS = 8
START, CUTOFF, END = "2016-01-01", "2017-01-01", "2021-01-01"
DEVIATION = {"normal": 1.2, "positive": math.sqrt(3.0 + 0.3**2 / 12), "negative": math.sqrt(3.0 + 0.3**2 / 12)}
CLUSTERED, SAME_DAY, OWN = 0.4, 0.6, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One kind of world.

    Attributes:
        trades: after the cut-off.
        edge: of the planted candidates, in R.
    """

    shape: Shape
    trades: int
    edge: float
    candidates: int
    planted: int
    phases: bool = True

    @property
    def before(self) -> int:
        """Trades before the cut-off."""
        return max(10, self.trades // 4)

    def section(self) -> ValidationSection:
        """The configuration that its candidates are judged by."""
        told: Row = {
            "candidates": {"source": "generated"}, "discovery_cutoff": CUTOFF, "period": {"start": START, "end": END},
        }  # fmt: skip
        if self.trades < 100:
            test = self.trades // 5
            told["walkforward"] = {
                "windows": "trades", "train_trades": self.before, "test_trades": test, "minimum_trades": test,
            }  # fmt: skip
        return ValidationSection.model_validate(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one method let pass in one world."""

    false: int
    true: int

    @property
    def proportion(self) -> float:
        """Of those that pass, how many are false; 0 where nothing passes."""
        return self.false / max(1, self.false + self.true)


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print the report; the exit code: 0, or 1 where the default lets too much through."""
    options = parse_arguments(arguments)
    rows: list[Row] = []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        for cell in cells(options):
            rows += simulate(cell, range(1, options.seeds + 1), pool)
            for row in rows[-len(P_VALUES) * len(METHODS) :]:
                say(line(row))
    broken = [row for row in rows if row["default"] and not row["within"]]
    if options.json:
        print(json.dumps({"level": LEVEL, "seeds": options.seeds, "rows": rows, "broken": len(broken)}, indent=2))
    else:
        print(HEADING)
        for row in rows:
            print(line(row))
    return 1 if broken else 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Simulate how many of those that pass a validation are false.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"worlds of each kind (default: {SEEDS})")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help=f"of a world (default: {CANDIDATES})")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=SHAPES, help="only these")
    parser.add_argument("--trades", nargs="*", type=int, choices=tuple(EDGES), default=tuple(EDGES), help="only these")
    parser.add_argument("--edge", type=float, default=1.0, help="times the usual edge; 0 for none (default: 1)")
    parser.add_argument("--no-phases", action="store_true", help="p-values alone, to see what they are worth")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of a table")
    return parser.parse_args(arguments)


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Every kind of world that was asked for."""
    for trades in options.trades:
        for shape in options.shapes:
            yield cell_of(shape, trades, options.candidates, edge=options.edge, phases=not options.no_phases)


def cell_of(shape: Shape, trades: int, candidates: int = CANDIDATES, *, edge: float = 1.0, phases: bool = True) -> Cell:
    """The kind of world with so many times the usual edge; without any nobody is planted."""
    edge_r = round(edge * EDGES[trades] * DEVIATION[shape] / math.sqrt(trades), 4)
    planted = round(candidates * PLANTED_SHARE) if edge_r > 0 else 0
    return Cell(shape=shape, trades=trades, edge=edge_r, candidates=candidates, planted=planted, phases=phases)


# -- a world ---------------------------------------------------------------------------------------


def world(cell: Cell, seed: int) -> Iterator[tuple[bool, CandidateTrades]]:
    """The candidates of one world: whether each has an edge, and its trades."""
    rng = numpy_stream(seed, "error rate", f"{cell.shape} {cell.trades}")
    count, groups = cell.candidates, -(-cell.candidates // NEIGHBOURS)
    entry_ns, exit_ns, leader = calendar(rng, cell, groups)
    columns = entry_ns.shape[1]
    group = np.arange(count) // NEIGHBOURS
    shared = clustered(rng, cell.shape, leader)
    # Whose outcome a day has is decided once for all trades of that day, by the first of them.
    own = np.take_along_axis(rng.random((count, columns)) < OWN, leader[group], axis=1)
    r = np.where(own, clustered(rng, cell.shape, leader[group]), shared[group])
    planted = np.zeros(count, dtype=bool)
    planted[rng.permutation(count)[: cell.planted]] = True
    r = np.round(r + np.where(planted, cell.edge, 0.0)[:, None], 6)
    cost_r = np.round(0.05 * np.exp(0.4 * rng.standard_normal((count, columns))), 6)
    for number in range(count):
        place = group[number]
        yield (
            bool(planted[number]),
            CandidateTrades(entry_ns=entry_ns[place], exit_ns=exit_ns[place], r_net=r[number], cost_r=cost_r[number]),
        )


def calendar(rng: np.random.Generator, cell: Cell, groups: int) -> tuple[IntArray, IntArray, IntArray]:
    """When each group of neighbours trades.

    Returns:
        entry and exit instants, and the column of the first trade of the same day, each of shape (groups, trades
        before and after the cut-off).
    """
    start, cutoff, end = (parse_instant(text) // DAY_NS for text in (START, CUTOFF, END))
    columns = cell.before + cell.trades
    drawn = np.sort(rng.random((groups, cell.before)), axis=1) * (cutoff - start) + start
    later = np.sort(rng.random((groups, cell.trades)), axis=1) * (end - 3 - cutoff) + cutoff
    day = np.concatenate([drawn, later], axis=1).astype(np.int64)
    place = np.broadcast_to(np.arange(columns), day.shape)
    follows = rng.random(day.shape) < CLUSTERED
    follows[:, [0, cell.before]] = False
    leader = np.maximum.accumulate(np.where(follows, 0, place), axis=1)
    day = np.take_along_axis(day, leader, axis=1)
    # Two first trades may have drawn the same day; then the second follows, too.
    same = np.concatenate([np.zeros((groups, 1), dtype=bool), day[:, 1:] == day[:, :-1]], axis=1)
    leader = np.maximum.accumulate(np.where(same, 0, place), axis=1)
    entry_ns = day * DAY_NS + (8 * 60 + place) * MINUTE_NS
    held = (5 + rng.random(day.shape) ** 2 * 2 * 1440).astype(np.int64)
    return entry_ns, entry_ns + held * MINUTE_NS, leader


def clustered(rng: np.random.Generator, shape: Shape, leader: IntArray) -> FloatArray:
    """Outcomes with a mean of 0, of which those of a day are partly the same; shape of `leader`."""
    drawn = outcomes(rng, shape, leader.shape)
    alike = rng.random(leader.shape) < SAME_DAY
    return np.where(alike, np.take_along_axis(drawn, leader, axis=1), drawn)


def outcomes(rng: np.random.Generator, shape: Shape, size: tuple[int, ...]) -> FloatArray:
    """Outcomes with a mean of 0."""
    if shape == "normal":
        return 1.2 * rng.standard_normal(size)
    won = rng.random(size) < (0.25 if shape == "positive" else 0.75)
    noise = 0.3 * rng.random(size) - 0.15
    return (np.where(won, 3.0, -1.0) if shape == "positive" else np.where(won, 1.0, -3.0)) + noise


# -- judging it ------------------------------------------------------------------------------------


def simulate(cell: Cell, seeds: Sequence[int], pool: Executor) -> list[Row]:
    """The figures of one kind of world, one row for each p-value and adjustment."""
    found = list(pool.map(judge_world, [cell] * len(seeds), seeds))
    return [
        row_of(cell, name, method, [each[name, method] for each in found]) for name in P_VALUES for method in METHODS
    ]


def judge_world(cell: Cell, seed: int) -> dict[tuple[str, Method], Found]:
    """What each method lets pass in one world."""
    section = cell.section()
    planted: list[bool] = []
    values: dict[str, list[float]] = {name: [] for name in P_VALUES}
    for number, (has_edge, trades) in enumerate(world(cell, seed)):
        planted.append(has_edge)
        told = judge(trades, section, phases=cell.phases, stream_name=str(number))
        for name, value in zip(P_VALUES, told, strict=True):
            values[name].append(value)
    return {
        (name, method): passing(adjusted(values[name], cell.candidates, method), planted)
        for name in P_VALUES for method in METHODS
    }  # fmt: skip


def judge(trades: CandidateTrades, section: ValidationSection, *, phases: bool, stream_name: str) -> list[float]:
    """The p-values of a candidate as it enters its family, by each name of `P_VALUES`."""
    assert section.period is not None
    assert section.discovery_cutoff_ns is not None
    period = Period(start_ns=section.period.start_ns, end_ns=section.period.end_ns)
    if phases:
        # Half of the candidates have lost in sum; `expectancy` rejects them, whatever the rest would find.
        if not math.fsum(trades.r_net.tolist()) > 0:
            return [1.0] * len(P_VALUES)
        told = cheap_phases(trades, section.phases, period, waivers=True)
        if any(each.status is not Status.PASS for each in told):
            return [1.0] * len(P_VALUES)
        phase, _ = stability(trades, section.walkforward, period, section.discovery_cutoff_ns)
        if phase.status is not Status.PASS:
            return [1.0] * len(P_VALUES)
    later = trades.entry_ns >= section.discovery_cutoff_ns
    r, day = trades.r_net[later], trades.entry_ns[later] // DAY_NS
    return [p_value(name, r, day, section.multiple_testing, stream_name).value for name in P_VALUES]


def passing(values: Sequence[float], planted: Sequence[bool]) -> Found:
    """Count those at most at the level."""
    chosen = [has_edge for value, has_edge in zip(values, planted, strict=True) if value <= LEVEL]
    return Found(false=chosen.count(False), true=chosen.count(True))


def row_of(cell: Cell, name: str, method: Method, found: Sequence[Found]) -> Row:
    """The figures of one method over the seeds."""
    proportions = [each.proportion for each in found]
    mean = statistics.fmean(proportions)
    error = statistics.stdev(proportions) / math.sqrt(len(found)) if len(found) > 1 else 0.0
    bound = LEVEL + 2 * error
    return {
        "shape": cell.shape, "trades": cell.trades, "edge_r": cell.edge, "p_value": name, "method": method,
        "default": (name, method) == DEFAULT, "false_discovery": round(mean, 5), "standard_error": round(error, 5),
        "bound": round(bound, 5), "within": mean <= bound,
        "power": round(statistics.fmean(each.true / max(1, cell.planted) for each in found), 4),
        "passed": round(statistics.fmean(each.true + each.false for each in found), 2), "seeds": len(found),
    }  # fmt: skip


HEADING = "shape     trades  edge R  p-value  adjust.  false discov.  std. error   bound  power  passed"


def line(row: Row) -> str:
    """One row of the table."""
    return (
        f"{row['shape']:<9} {row['trades']:>6}  {row['edge_r']:>6.3f}  {row['p_value']:<7}  {row['method']:<7}  "
        f"{row['false_discovery']:>13.4f}  {row['standard_error']:>10.4f}  {row['bound']:>6.4f}  {row['power']:>5.2f}  "
        f"{row['passed']:>6.1f}{'' if row['within'] else '  over the bound'}{'  (default)' if row['default'] else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
