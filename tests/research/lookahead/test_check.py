"""Whether a planted look-ahead is found, and named with the look-back that would suffice."""

from pathlib import Path

import pytest

from src.core.timeframe import format_instant, parse_instant
from src.research.lookahead import Change
from src.research.lookahead.changes import DECISIONS, HIDDEN, LATER_START, PERTURBED, TRUNCATED
from tests.research.lookahead.bots import checked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bots and their market are."""
    return tmp_path_factory.mktemp("lookahead")


def by_what(changes: tuple[Change, ...]) -> dict[tuple[str, str], Change]:
    """The changes by name and kind of other run."""
    return {(change.name, change.how): change for change in changes}


@pytest.mark.parametrize("bot", ["Sound", "SeveralTimeframes", "Declared", "Keeping", "Idle"])
def test_a_sound_strategy_stays_the_same(folder: Path, bot: str) -> None:
    """Recursive features too, because they begin anew in each window."""
    found = checked(folder, bot)

    assert (found.changes, found.problem) == ((), "")
    assert found.edges >= 2
    assert found.starts >= 1
    assert found.futures == 2 * found.edges + 1
    assert (found.decisions > 4) is (bot != "Idle")


def test_a_strategy_that_peeks_through_its_module_is_found(folder: Path) -> None:
    """The array holds the whole market; what the strategy takes from beyond its view changes with the future."""
    found = checked(folder, "Peeking")
    change = by_what(found.changes)[DECISIONS, PERTURBED]

    assert change.kind == "decision"
    assert change.first_ns <= change.edge_ns
    assert change.edge_ns - change.first_ns < 5 * 60 * 10**9 or change.first_ns == change.edge_ns
    assert "it will" in change.whole + change.other
    assert change.suffices is None


def test_a_peek_in_one_bar_of_twelve_is_found(folder: Path) -> None:
    """Where the future is changed at a few decisions it may lie between them; where it is hidden it cannot."""
    found = checked(folder, "RarelyPeeking")
    change = by_what(found.changes)[DECISIONS, HIDDEN]

    assert found.decisions > 40
    assert format_instant(change.first_ns)[14:16] == "35"
    assert change.edge_ns == change.first_ns
    assert change.whole == "nothing" or "above" in change.whole


@pytest.mark.parametrize("bot", ["CountingVolume", "CountingRefused"])
def test_a_stated_volume_that_counts_from_the_start_is_found(folder: Path, bot: str) -> None:
    """The strategy asks for it, whatever the account is worth and whether it is granted."""
    found = checked(folder, bot)
    (change,) = found.changes

    assert (change.name, change.how, change.suffices) == (DECISIONS, LATER_START, None)
    assert change.whole.partition("volume ")[0] == change.other.partition("volume ")[0]
    assert ("verdict margin" in change.whole) is (bot == "CountingRefused")


def test_a_strategy_that_fails_where_the_market_ends_is_found(folder: Path) -> None:
    """There is no bar to peek at: the sentence of its failure is told with the instant."""
    found = checked(folder, "Failing")
    change = by_what(found.changes)[DECISIONS, TRUNCATED]

    assert (change.kind, change.whole) == ("failure", "goes on")
    assert "IndexError" in change.other
    assert parse_instant("2024-01-01") < change.first_ns <= change.edge_ns


@pytest.mark.parametrize("bot", ["NextClose", "Normalised"])
def test_a_feature_of_the_future_is_found_with_its_first_changed_instant(folder: Path, bot: str) -> None:
    """No look-back can mend it; the decisions that follow it change with it."""
    found = checked(folder, bot)
    changes = by_what(found.changes)
    feature = "x = next" if bot == "NextClose" else "x = mean"
    change = changes[feature, PERTURBED]

    assert change.kind == "feature"
    assert change.whole != change.other
    assert (DECISIONS, PERTURBED) in changes
    assert changes.get((feature, LATER_START), change).suffices is None
    if bot == "NextClose":  # of all values only the last known one depends on the next bar
        assert change.edge_ns - change.first_ns < 5 * 60 * 10**9
    else:  # a mean of everything is wrong from the first bar on
        assert format_instant(change.first_ns) == "2024-01-01 00:05:00Z"


def test_a_look_back_that_is_too_short_is_found_with_the_one_that_suffices(folder: Path) -> None:
    """An exponential average keeps a trace of its beginning until it drowns in the rounding."""
    found = checked(folder, "ShortEma")
    changes = by_what(found.changes)
    feature, decisions = changes["x = smoothed", LATER_START], changes[DECISIONS, LATER_START]

    assert {how for _, how in changes} == {LATER_START}
    assert (feature.lookback, decisions.lookback) == (5, 5)
    assert feature.suffices is not None
    assert 60 < feature.suffices < 200  # (5 / 7) ** 100 is the last digit of a float
    assert decisions.suffices is not None
    assert 20 < decisions.suffices < 200


def test_bars_that_a_strategy_reads_by_itself_have_to_be_declared(folder: Path) -> None:
    """The number that is named is the one with which the same strategy passes."""
    found = checked(folder, "Undeclared")
    (change,) = found.changes

    assert (change.name, change.how, change.lookback, change.suffices) == (DECISIONS, LATER_START, 0, 30)
    assert change.other == "nothing"


@pytest.mark.parametrize("bot", ["FromTheFirstBar", "Counting"])
def test_what_counts_from_the_start_has_no_look_back_that_suffices(folder: Path, bot: str) -> None:
    """It depends on when the bot was started, and says so."""
    found = checked(folder, bot)

    assert {change.how for change in found.changes} == {LATER_START}
    assert by_what(found.changes)[DECISIONS, LATER_START].suffices is None


def test_a_strategy_that_fails_anyway_is_not_compared(folder: Path) -> None:
    """Nothing is said about it but why."""
    found = checked(folder, "Broken")

    assert (found.changes, found.futures) == ((), 0)
    assert "the run itself fails: strategy Broken raised ValueError: not today" in found.problem
