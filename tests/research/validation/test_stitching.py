"""Test windows behind one another: equity that goes on exactly, trades in order, and an efficiency of sums."""

from typing import Any

import numpy as np
import pytest

from src.core.errors import InternalError
from src.research.validation.stitching import (
    TRADE_COLUMNS,
    Piece,
    efficiency,
    flat_piece,
    piece_of,
    stitched,
    trades_of,
)


def piece(
    number: int, start: int, end: int, *equity: float, final: float | None = None, at: int | None = None
) -> Piece:
    """A window with a sample at each instant from its start on, or from another one."""
    first = start if at is None else at
    return piece_of(
        number, start, end, carried=equity[0], final=equity[-1] if final is None else final,
        instant_ns=np.arange(first, first + len(equity), dtype=np.int64), equity=np.array(equity),
    )  # fmt: skip


def table(*rows: tuple[Any, ...]) -> dict[str, list[Any]]:
    """Columns of trades."""
    return {name: [row[i] for row in rows] for i, name in enumerate(TRADE_COLUMNS)}


def test_each_window_begins_with_exactly_what_the_last_one_ended_with() -> None:
    """At the seam there are two samples of one instant and one equity, also where a window is flat."""
    curve = stitched([piece(1, 10, 13, 100.0, 101.5, 99.25, 99.25), flat_piece(2, 13, 20, carried=99.25),
                      piece(3, 20, 21, 99.25, 120.0)])  # fmt: skip

    assert curve.instant_ns.tolist() == [10, 11, 12, 13, 13, 20, 20, 21]
    assert curve.equity.tolist() == [100.0, 101.5, 99.25, 99.25, 99.25, 99.25, 99.25, 120.0]
    assert curve.window.tolist() == [1, 1, 1, 1, 2, 2, 3, 3]
    assert len(stitched([])) == 0


def test_a_window_whose_samples_end_early_ends_at_its_end_with_what_it_was_closed_at() -> None:
    """A night without bars does not shorten it, and the costs of closing are in its last sample."""
    made = piece(1, 10, 20, 100.0, 103.0, final=102.5)

    assert made.instant_ns.tolist() == [10, 11, 20]
    assert made.equity.tolist() == [100.0, 103.0, 102.5]
    assert piece(1, 10, 20, 100.0, 103.0, at=15).instant_ns.tolist() == [10, 15, 16, 20]


def test_a_seam_that_does_not_fit_is_refused() -> None:
    """By a hundredth of a cent, or by one instant."""
    first = piece(1, 10, 12, 100.0, 101.0)

    with pytest.raises(InternalError, match="window 2: expected it to begin with the 101.0"):
        stitched([first, piece(2, 12, 14, 101.0001, 101.0)])
    with pytest.raises(InternalError, match="window 2 begins before window 1 has ended"):
        stitched([first, piece(2, 11, 14, 101.0, 101.0)])
    with pytest.raises(InternalError, match="expected a run to begin with an equity of 99"):
        piece_of(1, 10, 12, carried=99.0, final=99.0, instant_ns=np.array([10]), equity=np.array([100.0]))
    with pytest.raises(InternalError, match="window 1: expected samples from"):
        piece(1, 10, 12, 100.0, 101.0, at=12)


def test_trades_of_all_windows_stand_in_order_with_their_costs_in_r() -> None:
    """By entry, then exit, then place; what had no initial risk is counted and left out."""
    trades, without = trades_of(
        [
            table((30, 40, "sell", 4.0, -1.0, 1.0, 0.5, 0.5, 0.0), (10, 20, "buy", 2.0, 0.5, 0.1, 0.2, 0.3, -0.2)),
            table((30, 35, "buy", 1.0, 2.0, 0.0, 0.0, 0.0, 0.0), (50, 60, "buy", None, None, 1.0, 0.0, 0.0, 0.0),
                  (30, 35, "sell", 1.0, 3.0, 0.0, 0.0, 0.0, 0.0)),
        ]
    )  # fmt: skip

    assert without == 1
    assert trades.entry_ns.tolist() == [10, 30, 30, 30]
    assert trades.exit_ns.tolist() == [20, 35, 35, 40]
    assert trades.r_net.tolist() == [0.5, 2.0, 3.0, -1.0]
    assert trades.cost_r is not None
    assert trades.side is not None
    assert trades.cost_r.tolist() == pytest.approx([0.2, 0.0, 0.0, 0.5])
    assert trades.side.tolist() == [1, 1, -1, -1]


def test_no_window_with_a_trade_is_no_trade() -> None:
    """An empty list, of the right types."""
    trades, without = trades_of([])

    assert (len(trades), without) == (0, 0)
    assert trades.entry_ns.dtype == np.int64


def test_the_efficiency_is_a_ratio_of_sums() -> None:
    """(2 R of 20 trades) over (8 R of 40 trades) is a half; the mean of the windows' own ratios would be another."""
    assert efficiency([6.0, 2.0], [10, 30], [1.0, 1.0], [15, 5]) == 0.5


@pytest.mark.parametrize(
    ("train_r", "train_trades", "test_trades"), [(0.0, 10, 10), (-1.0, 10, 10), (1.0, 0, 10), (1.0, 10, 0)]
)
def test_there_is_no_efficiency_where_the_trains_have_no_mean_above_zero(
    train_r: float, train_trades: int, test_trades: int
) -> None:
    """Nor without trades."""
    assert efficiency([train_r], [train_trades], [1.0], [test_trades]) is None
