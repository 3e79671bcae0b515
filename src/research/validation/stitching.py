"""The test windows of a walk-forward put one behind the other: one equity curve, one list of trades, one efficiency.

Pure; any thread. Nothing is made up at a seam: each window begins with exactly the equity that the last one ended with,
and what it cost to end flat is in that.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.errors import InternalError
from src.core.records import Side
from src.core.timeframe import format_instant
from src.research.validation.figures import figure
from src.research.validation.ports import CandidateTrades

__all__ = ["TRADE_COLUMNS", "Piece", "Stitched", "efficiency", "flat_piece", "piece_of", "stitched", "trades_of"]

#: The columns of `trades.parquet` that are read.
TRADE_COLUMNS = ("entry_ns", "exit_ns", "side", "risk", "r", "commission", "spread_cost", "slippage_cost", "financing")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """The equity inside one test window.

    Attributes:
        number: of the window.
        start_ns, end_ns: of the window.
        instant_ns, equity: samples in order of time, the first at `start_ns`, the last at `end_ns`; shape (n,).
    """

    number: int
    start_ns: int
    end_ns: int
    instant_ns: IntArray
    equity: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stitched:
    """The equity of all windows; at a seam there are two samples of one instant and of one equity.

    Attributes:
        instant_ns, equity, window: the samples, and the number of the window that each belongs to; shape (n,).
    """

    instant_ns: IntArray
    equity: FloatArray
    window: IntArray

    def __len__(self) -> int:
        return len(self.equity)


def piece_of(
    number: int, start_ns: int, end_ns: int, *, carried: float, final: float, instant_ns: IntArray, equity: FloatArray
) -> Piece:  # fmt: skip
    """The equity of a run inside its window.

    Args:
        carried: what the run began with.
        final: what it ended with, flat.
        instant_ns, equity: its samples, shape (n,); the first one lies at the beginning of the window.

    Raises:
        InternalError: the run did not begin with that, or has samples outside of its window.
    """
    if not len(equity) or float(equity[0]) != carried:
        found = float(equity[0]) if len(equity) else None
        raise InternalError(f"window {number}: expected a run to begin with an equity of {carried!r}, found {found!r}")
    if int(instant_ns[0]) < start_ns or int(instant_ns[-1]) > end_ns:
        raise InternalError(
            f"window {number}: expected samples from {format_instant(start_ns)} to {format_instant(end_ns)}, found "
            f"{format_instant(int(instant_ns[0]))} to {format_instant(int(instant_ns[-1]))}"
        )
    head, tail = int(instant_ns[0]) > start_ns, int(instant_ns[-1]) < end_ns or float(equity[-1]) != final
    return Piece(
        number=number, start_ns=start_ns, end_ns=end_ns,
        instant_ns=np.concatenate([[start_ns] * head, instant_ns, [end_ns] * tail]).astype(np.int64),
        equity=np.concatenate([[carried] * head, equity, [final] * tail]).astype(np.float64),
    )  # fmt: skip


def flat_piece(number: int, start_ns: int, end_ns: int, *, carried: float) -> Piece:
    """The equity of a window in which nothing is traded."""
    return Piece(
        number=number, start_ns=start_ns, end_ns=end_ns, instant_ns=np.array([start_ns, end_ns], dtype=np.int64),
        equity=np.array([carried, carried], dtype=np.float64),
    )  # fmt: skip


def stitched(pieces: Sequence[Piece]) -> Stitched:
    """The windows one behind the other.

    Raises:
        InternalError: a window begins before the last one has ended, or with another equity than that ended with.
    """
    for last, each in zip(pieces, pieces[1:], strict=False):
        if each.start_ns < last.end_ns:
            raise InternalError(f"window {each.number} begins before window {last.number} has ended")
        if float(each.equity[0]) != float(last.equity[-1]):
            raise InternalError(
                f"window {each.number}: expected it to begin with the {float(last.equity[-1])!r} that window "
                f"{last.number} ended with, found {float(each.equity[0])!r}"
            )
    return Stitched(
        instant_ns=np.concatenate([np.zeros(0, np.int64), *(each.instant_ns for each in pieces)]),
        equity=np.concatenate([np.zeros(0, np.float64), *(each.equity for each in pieces)]),
        window=np.concatenate(
            [np.zeros(0, np.int64), *(np.full(len(each.equity), each.number, np.int64) for each in pieces)]
        ),
    )


def trades_of(tables: Sequence[Mapping[str, Sequence[Any]]]) -> tuple[CandidateTrades, int]:
    """The trades of all windows, and how many more there are that had no initial risk and so no R.

    Args:
        tables: for each window the columns `TRADE_COLUMNS` of its trades.
    """
    rows: list[tuple[int, int, float, float, int]] = []
    without = 0
    for columns in tables:
        for entry_ns, exit_ns, side, risk, r, *costs in zip(*(columns[each] for each in TRADE_COLUMNS), strict=True):
            if r is None or not risk or not math.isfinite(r):
                without += 1
                continue
            rows.append((entry_ns, exit_ns, r, math.fsum(costs) / risk, Side(side).sign))
    rows.sort(key=lambda row: row[:2])  # stable: of equal ones the place in their source decides
    entry, exit_, net, cost, sides = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    trades = CandidateTrades(
        entry_ns=np.array(entry, dtype=np.int64), exit_ns=np.array(exit_, dtype=np.int64),
        r_net=np.array(net, dtype=np.float64), cost_r=np.array(cost, dtype=np.float64),
        side=np.array(sides, dtype=np.int64),
    )  # fmt: skip
    return trades, without


def efficiency(
    train_r: Sequence[float], train_trades: Sequence[int], test_r: Sequence[float], test_trades: Sequence[int]
) -> float | None:
    """What of a trade's mean R on the trains is left on the tests: a ratio of sums over all windows, not a mean of
    ratios.

    Args:
        train_r, train_trades, test_r, test_trades: for each window the summed R, and of how many trades.

    Returns:
        None where the trains have no mean above 0, or one of the two has no trades.
    """
    inside, outside = sum(train_trades), sum(test_trades)
    if not inside or not outside:
        return None
    expected = math.fsum(train_r) / inside
    return figure(math.fsum(test_r) / outside / expected) if expected > 0 else None
