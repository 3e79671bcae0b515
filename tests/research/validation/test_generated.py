"""Tests of the generated candidates: what they are made of, and that nothing but their own streams decides it."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from src.core.bars import FloatArray
from src.core.timeframe import DAY_NS
from src.research.validation.ports import CandidateTrades
from src.research.validation.section import GeneratedSection
from src.research.validation.sources.generated import (
    NEIGHBOURS,
    PERIOD_START_NS,
    SESSION_ZONES,
    GeneratedSource,
    generate,
    planted_numbers,
)
from src.research.validation.sources.port import CandidateSource

FIELDS = ("entry_ns", "exit_ns", "r_net", "cost_r", "atr", "session", "side")


def same(one: CandidateTrades, other: CandidateTrades) -> bool:
    """Whether two lists of trades are equal in every column."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FIELDS)


def correlation(pairs: list[FloatArray]) -> float:
    """Of the first rows of all pairs with their second rows."""
    first, second = np.concatenate(pairs, axis=1)
    return float(np.mean((first - first.mean()) * (second - second.mean())) / (first.std() * second.std()))


def test_one_candidate_more_changes_the_trades_of_no_other() -> None:
    """All 24 candidates have the trades that they also have among 25, of which none has an edge."""
    few = list(generate(GeneratedSection(candidates=24, planted=0, years=3)))
    more = list(generate(GeneratedSection(candidates=25, planted=0, years=3)))

    assert len(more) == 25
    for (one, trades), (other, others) in zip(few, more, strict=False):
        assert one == other
        assert same(trades, others)


def test_one_candidate_more_takes_the_edge_from_one_at_most() -> None:
    """Which candidates are planted is a matter of rank, so at most one falls out for a new one."""
    for count in range(50, 90):
        before = planted_numbers(GeneratedSection(candidates=count, planted=10))
        after = planted_numbers(GeneratedSection(candidates=count + 1, planted=10))

        assert len(before) == len(after) == 10
        assert before == after or (len(before - after) == 1 and after - before == {count})


def test_reading_twice_gives_the_same_and_another_seed_something_else() -> None:
    """A source is stateless, and its seed decides everything."""
    source = GeneratedSource(GeneratedSection(candidates=4, planted=1, years=2))
    other = GeneratedSource(GeneratedSection(candidates=4, planted=1, years=2, seed=8))

    assert all(same(one, two) for (_, one), (_, two) in zip(source.trades(), source.trades(), strict=True))
    assert not any(same(one, two) for (_, one), (_, two) in zip(source.trades(), other.trades(), strict=True))
    assert source.identity() == GeneratedSource(GeneratedSection(candidates=4, planted=1, years=2)).identity()
    assert source.identity() != other.identity()


def test_candidates_come_in_the_order_of_their_ids() -> None:
    """Without their trades they are the same as with them, numbered in the order of their ids."""
    source: CandidateSource = GeneratedSource(GeneratedSection(candidates=20, planted=5, years=1))
    candidates = source.candidates()

    assert candidates == tuple(candidate for candidate, _ in source.trades())
    assert [each.candidate_id for each in candidates] == sorted(each.candidate_id for each in candidates)
    assert [each.number for each in candidates] == list(range(20))
    assert candidates[0].candidate_id == "synthetic-00001"
    assert sum(bool(each.planted) for each in candidates) == 5


def test_trades_are_entered_in_the_hours_of_their_session_on_weekdays() -> None:
    """In the zone of its session each entry lies between 8 and 13 o'clock, summer and winter, Monday to Friday."""
    seen = set()
    for _, trades in generate(GeneratedSection(candidates=96, planted=0, years=1, trades_per_year=15)):
        assert trades.session is not None
        for entry_ns, session in zip(trades.entry_ns.tolist(), trades.session.tolist(), strict=True):
            local = dt.datetime.fromtimestamp(entry_ns // 10**9, ZoneInfo(SESSION_ZONES[session]))
            seen.add(session)
            assert 8 <= local.hour < 13
            assert local.weekday() < 5
    assert seen == set(SESSION_ZONES)


def test_trades_are_ordered_and_lie_inside_the_period() -> None:
    """Entries rise, exits follow, none on a weekend, and some trades are held over one."""
    source = GeneratedSource(GeneratedSection(candidates=40, planted=2, years=3))
    over_a_weekend = 0
    for _, trades in source.trades():
        exit_day = trades.exit_ns // DAY_NS
        over_a_weekend += int(np.count_nonzero((trades.entry_ns // DAY_NS + 3) // 7 < (exit_day + 3) // 7))

        assert np.all(np.diff(trades.entry_ns) > 0)
        assert np.all(trades.exit_ns > trades.entry_ns)
        assert np.all((exit_day + 3) % 7 < 5)
        assert np.all((trades.entry_ns >= PERIOD_START_NS) & (trades.exit_ns < source.period.end_ns))
        assert trades.side is not None
        assert set(trades.side.tolist()) <= {-1, 1}
    assert over_a_weekend > 0


@pytest.mark.parametrize(("shape", "deviation"), [("normal", 1.2), ("positive", 1.734), ("negative", 1.734)])
def test_only_the_planted_have_an_edge(shape: str, deviation: float) -> None:
    """Over 300 candidates the mean is 0 within three standard errors, and that of the planted ones the edge."""
    section = GeneratedSection.model_validate({"candidates": 300, "planted": 60, "shape": shape})
    made = list(generate(section))
    nulls = np.concatenate([trades.r_net for candidate, trades in made if not candidate.planted])
    planted = np.concatenate([trades.r_net for candidate, trades in made if candidate.planted])
    # Trades of a day, and neighbours, share their outcome: about three times fewer are independent.
    error = deviation * np.sqrt(3 / len(planted))

    assert abs(nulls.mean()) < 3 * deviation * np.sqrt(3 / len(nulls))
    assert abs(planted.mean() - section.edge) < 3 * error < section.edge / 2
    assert nulls.std() == pytest.approx(deviation, rel=0.02)


def test_trades_of_a_day_and_neighbours_are_correlated() -> None:
    """Two trades of one day, and one opportunity taken by two neighbours, end alike more often than not."""
    made = [trades for _, trades in generate(GeneratedSection(candidates=NEIGHBOURS * 10, planted=0))]
    days, neighbours = [], []
    for one, other in zip(made[::NEIGHBOURS], made[1::NEIGHBOURS], strict=True):
        same_day = np.flatnonzero(np.diff(one.entry_ns // DAY_NS) == 0)
        days.append(np.stack([one.r_net[same_day], one.r_net[same_day + 1]]))
        _, here, there = np.intersect1d(one.entry_ns, other.entry_ns, return_indices=True)
        neighbours.append(np.stack([one.r_net[here], other.r_net[there]]))

    assert 0.2 < correlation(days) < 0.5
    assert 0.4 < correlation(neighbours) < 0.8


def test_some_candidates_have_few_trades_start_late_or_lie_dormant() -> None:
    """Among 400 there are some below 30 trades, some that start after two years, and years of a low range."""
    few = late = dormant = 0
    for candidate, trades in generate(GeneratedSection(candidates=400, planted=0)):
        assert candidate.planted is False
        assert trades.cost_r is not None
        assert trades.atr is not None
        few += len(trades) < 30
        late += len(trades) >= 30 and trades.entry_ns[0] > PERIOD_START_NS + 2 * 365 * DAY_NS
        year = trades.entry_ns.astype("datetime64[ns]").astype("datetime64[Y]")
        for each in np.unique(year):
            quiet = trades.atr[year == each]
            dormant += bool(quiet.mean() < 0.5)
            assert quiet.mean() > 0.5 or len(quiet) < 60
        assert np.all(trades.cost_r > 0)

    assert few > 20
    assert late > 20
    assert dormant > 20
