"""Every request of a bot fails once in each way, and afterwards money, positions and orders add up; over HTTP."""

import pytest

from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_story import Story, tell

KINDS: list[FaultKind] = [kind for kind in FaultKind if kind is not FaultKind.SLOW]
ACTS = ("POST", "PUT", "DELETE")


@pytest.fixture(scope="module")
def smooth() -> Story:
    """The story in which nothing goes wrong."""
    return tell()


def calls_of(story: Story, *, acts: bool) -> list[int]:
    """The numbers of the requests that do something, or of those that ask."""
    return [
        story.began + 1 + i for i, endpoint in enumerate(story.endpoints) if (endpoint.split()[0] in ACTS) is acts
    ]  # fmt: skip


def test_a_story_without_faults_adds_up(smooth: Story) -> None:
    """It uses every request of the dialect, and one trade comes of it."""
    acts = {endpoint for endpoint in smooth.endpoints if endpoint.split()[0] in ACTS}

    assert smooth.problems == []
    assert acts == {"POST order", "POST algoOrder", "PUT order", "DELETE order", "DELETE algoOrder"}
    assert [event.trade.trade_id for event in smooth.events if event.trade is not None] == ["kstoryin"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_that_fails_in_any_way_leaves_nothing_behind(smooth: Story, kind: FaultKind) -> None:
    """Lost, done without an answer, refused, done twice."""
    first = calls_of(smooth, acts=True)[0]

    assert tell(Fault(kind=kind, call=first)).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_fails_everything_adds_up(smooth: Story, kind: FaultKind) -> None:
    """Some of the requests that do something in each way, and each of them in some."""
    own = KINDS.index(kind)
    found = [
        (call, problems)
        for i, call in enumerate(calls_of(smooth, acts=True))
        if i % 5 == own % 5 and (problems := tell(Fault(kind=kind, call=call)).problems)
    ]

    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FaultKind.STALE, FaultKind.RESET_BEFORE])
def test_whatever_question_fails_everything_adds_up(smooth: Story, kind: FaultKind) -> None:
    """Old answers and none; some of the questions."""
    asked = calls_of(smooth, acts=False)[KINDS.index(kind) % 12 :: 12]

    assert [(call, problems) for call in asked if (problems := tell(Fault(kind=kind, call=call)).problems)] == []
