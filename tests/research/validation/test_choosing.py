"""The best choice of a train: by the stated figure, in its direction, among those that traded enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import ConfigError
from src.research.validation.choosing import Tried, best_of, direction_of, eligible, why_none


def tried(place: int, value: float | None, trades: int | None = 20, *, ended: bool = True) -> Tried:
    """What one choice came to."""
    return Tried(place=place, ended=ended, trades=trades, value=value)


def place_of(*runs: Tried, highest: bool = True, minimum_trades: int = 15) -> int | None:
    """The place of the best one."""
    best = best_of(runs, highest=highest, minimum_trades=minimum_trades)
    return None if best is None else best.place


def test_the_highest_or_the_lowest_value_is_the_best() -> None:
    """As the figure has it; also among losses."""
    runs = tried(0, -2.0), tried(1, 0.5), tried(2, -3.0)

    assert place_of(*runs) == 1
    assert place_of(*runs, highest=False) == 2


def test_of_equal_ones_the_first_is_chosen() -> None:
    """Equal at twelve digits, whatever a processor makes of the last ones."""
    runs = tried(0, 1.0), tried(1, 1.3000000000001), tried(2, 1.30000000000012)

    assert place_of(*runs) == 1
    assert place_of(*runs[::-1]) == 2


@pytest.mark.parametrize(("trades", "place"), [(14, None), (15, 0), (16, 0)])
def test_a_choice_needs_the_minimum_of_trades_exactly(trades: int, place: int | None) -> None:
    """One fewer is too few."""
    assert place_of(tried(0, 1.0, trades)) == place


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_has_no_figure_or_did_not_end_is_not_chosen(value: float | None) -> None:
    """Missing is never good, not even where all others lose."""
    runs = tried(0, value), tried(1, 5.0, ended=False), tried(2, 5.0, None), tried(3, -1.0)

    assert place_of(*runs) == 3
    assert eligible(runs, 15) == 1


def test_no_trades_are_enough_where_none_are_asked_for() -> None:
    """A choice that stays flat may be the best one then."""
    assert place_of(tried(0, -1.0), tried(1, 0.0, 0), minimum_trades=0) == 1


def test_a_window_without_a_choice_says_why() -> None:
    """Too few trades, or no figure."""
    few = why_none([tried(0, 1.0, 3), tried(1, None, None, ended=False)], objective="sharpe", minimum_trades=15)
    none = why_none([tried(0, None), tried(1, None)], objective="sharpe", minimum_trades=15)

    assert few == ("expected at least 15 trades in the train of one of 2 choices, 1 of which failed, found at most 3; "
                   "nothing is traded in this window")  # fmt: skip
    assert none.startswith("expected sharpe of one of 2 choices with 15 trades or more, found that none has it")


def test_the_direction_is_that_of_the_figure() -> None:
    """More of a Sharpe ratio, less of a drawdown; a figure that no run has is refused with the one that was meant."""
    assert direction_of("sharpe")
    assert not direction_of("max_drawdown_percent")
    with pytest.raises(ConfigError, match=r"reoptimise\.objective: .* found 'sharp'; did you mean 'sharpe'\?"):
        direction_of("sharp")
    with pytest.raises(ConfigError, match="expected a figure of a run, found 'currency'"):
        direction_of("currency")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-5, 5)), max_size=8), st.booleans())
def test_nothing_eligible_is_better_than_what_was_chosen(runs: list[tuple[int, int]], highest: bool) -> None:
    """And nothing before it is as good."""
    made = [tried(i, float(value), trades) for i, (trades, value) in enumerate(runs)]

    best = best_of(made, highest=highest, minimum_trades=15)

    signed = [(value if highest else -value) if trades >= 15 else -99 for trades, value in runs]
    assert best == (made[signed.index(max(signed))] if any(each > -99 for each in signed) else None)
