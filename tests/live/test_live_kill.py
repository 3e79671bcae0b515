"""A live bot that is killed as no process can prevent, and started again, ends as one that nobody has killed."""

from functools import partial
from pathlib import Path

import pytest

from src.core.sync import start_thread
from tests.live.live_bench import Nursery
from tests.live.live_kills import Moment, Story, compare, random_moments, run_story

#: Before the venue acts, after it has acted, between requests, while it starts, and twice in a row.
MOMENTS = (
    Moment(kind="start-up", nth=9),
    Moment(kind="entry or exit", nth=1, acted=True),
    Moment(kind="stop or its new price", nth=1),
    Moment(kind="start-up", nth=25, acted=True),
    Moment(kind="entry or exit", nth=2),
    Moment(kind="between requests", nth=60, delay_s=0.01),
    Moment(kind="stop or its new price", nth=2, acted=True),
)


@pytest.mark.slow
def test_a_bot_that_is_killed_at_any_moment_ends_as_one_that_was_left_alone(tmp_path: Path) -> None:
    """Decisions, trades, positions and orders are those of the other run, save for orders that were given up."""
    told: list[Story] = []
    with Nursery() as nursery:
        run = partial(run_story, tmp_path / "alone", (), minutes=6, speed=25.0, nursery=nursery)
        beside = start_thread("alone", lambda: told.append(run()))
        killed = run_story(tmp_path / "killed", MOMENTS, minutes=6, speed=20.0, nursery=nursery)
        beside.join()

    (alone,) = told
    assert (alone.problems, killed.problems) == ([], [])
    assert compare(killed, alone) == []
    assert len(killed.kills) >= 6
    assert len(killed.venue.trades) >= 2


@pytest.mark.soak
def test_fourteen_kills_at_random_moments_leave_nothing_behind(tmp_path: Path) -> None:
    """The same at moments that nobody has chosen; more of them: `benchmarks/live_kill.py`."""
    with Nursery() as nursery:
        alone = run_story(tmp_path / "alone", (), minutes=16, speed=30.0, nursery=nursery)
        killed = run_story(tmp_path / "killed", random_moments(1, 14), minutes=16, speed=20.0, nursery=nursery)

    assert (alone.problems, killed.problems) == ([], [])
    assert compare(killed, alone) == []
    assert len(killed.kills) >= 12
