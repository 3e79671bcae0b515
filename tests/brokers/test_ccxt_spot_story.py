"""On spot every request of a bot fails once in each way, beside other people's coins, and everything adds up."""

import pytest

from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_spot_soak import live_at_random
from tests.brokers.ccxt_spot_story import tell_on_spot
from tests.brokers.ccxt_story import Story
from tests.brokers.test_ccxt_story import KINDS, calls_of


@pytest.fixture(scope="module")
def smooth() -> Story:
    """The story in which nothing goes wrong."""
    return tell_on_spot()


def test_a_story_without_faults_adds_up(smooth: Story) -> None:
    """It uses every request of the dialect, and one trade comes of it."""
    acts = {endpoint for endpoint in smooth.endpoints if not endpoint.startswith("GET")}

    assert smooth.problems == []
    assert acts == {"POST order", "POST orderList/oco", "DELETE order", "DELETE orderList"}
    assert [event.trade.trade_id for event in smooth.events if event.trade is not None] == ["kstoryin"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sale_that_fails_in_any_way_sells_nothing_of_others(smooth: Story, kind: FaultKind) -> None:
    """Lost, done without an answer, refused, done twice: the last request of the story closes the position."""
    assert tell_on_spot(Fault(kind=kind, call=calls_of(smooth, acts=True)[-1])).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_fails_everything_adds_up(smooth: Story, kind: FaultKind, half: int) -> None:
    """Each request that does something in half of the ways, and in the others; the last of them is the sale above."""
    own = KINDS.index(kind) + half
    found = [
        (call, problems)
        for i, call in enumerate(calls_of(smooth, acts=True)[:-1])
        if i % 2 == own % 2 and (problems := tell_on_spot(Fault(kind=kind, call=call)).problems)
    ]

    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FaultKind.STALE, FaultKind.RESET_BEFORE])
def test_whatever_question_fails_everything_adds_up(smooth: Story, kind: FaultKind) -> None:
    """Old answers and none; some of the questions."""
    asked = calls_of(smooth, acts=False)[KINDS.index(kind) % 9 :: 9]

    found = [(call, problems) for call in asked if (problems := tell_on_spot(Fault(kind=kind, call=call)).problems)]

    assert found == []


def test_a_life_at_random_adds_up() -> None:
    """Prices, faults, restarts and wishes at random."""
    assert live_at_random(1, steps=12) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 19])
def test_longer_lives_at_random_add_up(seed: int) -> None:
    """Never is a coin of others sold, and in the end nothing is left but what is too little to be sold."""
    assert live_at_random(seed) == []
