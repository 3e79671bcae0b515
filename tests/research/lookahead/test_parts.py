"""The parts of the look-ahead check: changed markets, instants, comparisons, and the search."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.bars import BarSeries, FloatArray
from src.core.calendars import calendar_named
from src.core.features import Feature, ema, sma
from src.core.journal import JournalRecord
from src.core.timeframe import MINUTE_NS
from src.data.resample import resample
from src.research.lookahead.changes import LATER_START, changed_decisions, changed_feature
from src.research.lookahead.hiding import HidingSeries
from src.research.lookahead.instants import balance_at, calm_starts, edges, spread
from src.research.lookahead.markets import excerpt, first_of_later_start, perturbed, truncated
from src.research.lookahead.observing import Column, Observation, as_asked
from src.research.lookahead.sufficing import change_of_restarts, least_sufficient, sufficient_window
from src.testing.worlds import bar_series

COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")


def walk(count: int, first: float = 100.0) -> BarSeries:
    """Bars of a walk that goes up and down, each with a range."""
    closes = first + np.cumsum(np.sin(np.arange(count) * 1.7) + 0.1)
    opens = np.concatenate(([first], closes[:-1]))
    rows = zip(opens, np.maximum(opens, closes) + 0.3, np.minimum(opens, closes) - 0.2, closes, strict=True)
    return bar_series("AAA", [(float(o), float(h), float(lo), float(c)) for o, h, lo, c in rows])


@pytest.mark.parametrize("first", [100.0, -100.0])
@pytest.mark.parametrize("change", [truncated, perturbed])
def test_another_future_leaves_what_is_known(change: Callable[[BarSeries, int], BarSeries], first: float) -> None:
    """All bars that have closed, and the next open; what comes after is another, and bars are bars."""
    whole = walk(30, first)
    other = change(whole, whole.close_of(11) + 5)

    for name in COLUMNS:
        assert getattr(other, name)[:12].tolist() == getattr(whole, name)[:12].tolist()
    assert (other.open_ns_at[12], other.open_at[12]) == (whole.open_ns_at[12], whole.open_at[12])
    assert other.close_at[12] != whole.close_at[12]
    assert (other.high >= np.maximum(other.open, other.close)).all()
    assert (other.low <= np.minimum(other.open, other.close)).all()
    assert other.loaded == (13 if change is truncated else 30)


def test_a_perturbed_market_goes_the_other_way() -> None:
    """A peek at the direction or at the size of what comes sees another one."""
    whole = walk(30)
    other = perturbed(whole, whole.close_of(11))

    up = np.sign(whole.close[12:] - whole.open_at[12])
    assert (np.sign(other.close[12:] - other.open_at[12]) == -up).all()
    assert (np.abs(other.close[12:] - other.open_at[12]) > np.abs(whole.close[12:] - whole.open_at[12])).all()
    assert (other.volume[12:] != whole.volume[12:]).all()


@settings(max_examples=40)
@given(start=st.integers(20, 190), fives=st.integers(0, 5), twelves=st.integers(0, 3))
def test_a_later_start_has_what_is_declared_and_no_bar_cut_in_two(start: int, fives: int, twelves: int) -> None:
    """Bars of higher timeframes have the same numbers as in the whole market."""
    base = walk(200)
    series = [resample(base, 5 * MINUTE_NS), resample(base, 12 * MINUTE_NS)]
    start_ns = base.open_ns_at[0] + start * MINUTE_NS
    first, enough = first_of_later_start(series, base, start_ns, {5 * MINUTE_NS: fives, 12 * MINUTE_NS: twelves})

    counts = [each.count_closed(start_ns) for each in series]
    assert enough is (counts[0] >= fives and counts[1] >= twelves)
    part = excerpt(base, first, base.loaded)
    for whole, wanted, closed in zip(series, (fives, twelves), counts, strict=True):
        later = resample(part, whole.timeframe_ns)
        skipped = int(np.searchsorted(whole.open_ns, later.open_ns_at[0]))
        assert later.close.tolist() == whole.close[skipped:].tolist()
        assert later.open.tolist() == whole.open[skipped:].tolist()
        assert later.count_closed(start_ns) >= min(wanted, closed)


def test_edges_lie_at_decisions_and_in_between() -> None:
    """None at the ends of the window, where there is no future to change or nothing to look at."""
    series = walk(100)
    at = [series.close_of(i) for i in (20, 20, 50, 99)]
    found = edges([decision(each) for each in at], series, series.open_ns_at[0], series.close_of(99), 2)

    assert {at[0], at[2]} <= set(found)
    assert len(found) == 4
    assert max(found) < series.close_of(99)


def test_spread_takes_the_first_and_the_last() -> None:
    """Evenly, and never more than there are."""
    assert (spread(range(9), 3), spread([1, 2], 3), spread(range(9), 1)) == ([0, 4, 8], [1, 2], [4])


def decision(at_ns: int, *, side: str = "buy", verdict: str = "accepted", volume: float = 1.0) -> JournalRecord:
    """A strategy's intent."""
    values = ("bot", "enter", verdict, f"id{at_ns}", side, "market", volume, None, 9.0, None, "because")
    return JournalRecord(at_ns, "AAA", "decision", "worker:AAA", values)


def other_record(at_ns: int, kind: str, *values: object) -> JournalRecord:
    """Any other record of the symbol or the account."""
    return JournalRecord(at_ns, "account" if kind == "account" else "AAA", kind, "broker", values)


def test_later_starts_are_calm_and_lie_before_decisions() -> None:
    """Nothing is held, nothing works; the first thing that happens after the start is a decision."""
    series = walk(100)
    closes = [series.close_of(i) for i in range(100)]
    records = (
        decision(closes[30]),
        other_record(closes[30], "order", "o1", "working", "buy", "market", 1.0, None, 0.0, ""),
        other_record(closes[31], "fill", "f1", "bot", "buy", 0.3, 10.0, 0.0, "taker", 0, False, None),
        other_record(closes[31], "order", "o1", "filled", "buy", "market", 0.3, None, 0.3, ""),
        decision(closes[50]),
        other_record(closes[60], "fill", "f2", "bot", "sell", 0.1, 10.0, 0.0, "taker", 0, False, None),
        other_record(closes[60], "fill", "f3", "bot", "sell", 0.2, 10.0, 0.0, "taker", 0, False, None),
        other_record(closes[60], "account", 990.0),
        decision(closes[70]),
    )
    whole = Observation(
        decisions=tuple(each for each in records if each.kind == "decision"), records=records, columns={}, failure=None
    )
    found = calm_starts(whole, series, series.open_ns_at[0], closes[99], 4)

    assert {closes[29], closes[69]} <= set(found)
    assert not {closes[i] for i in range(30, 60)} & set(found)
    assert [balance_at(records, closes[i], 1000.0) for i in (59, 60, 61)] == [1000.0, 990.0, 990.0]


def test_decisions_are_compared_until_the_accounts_part() -> None:
    """What is asked for counts; from the first that is granted in one run only, everything may differ."""
    whole = [decision(10), decision(20), decision(30)]
    cases = [
        [decision(10), decision(20), decision(30)],
        [decision(20), decision(30)],
        [decision(20), decision(30, side="sell")],
        [decision(20, verdict="max_open_positions"), decision(25)],
        [decision(20, volume=2.0)],
        [decision(20)],
        [decision(20), decision(25), decision(30)],
    ]
    found = [changed_decisions(whole, case, 15, 100) for case in cases]

    assert [None if each is None else each.first_ns for each in found] == [None, None, 30, None, None, 30, 25]
    assert all(each is None or each.how == LATER_START for each in found)
    assert changed_decisions(whole, [], 15, 20) is None


def test_a_volume_counts_where_the_strategy_states_it() -> None:
    """A size that the account made may differ; one that is stated may not, also where one of the two is refused."""
    whole = [decision(20), decision(30)]
    ids = frozenset({"id20", "id30"})
    cases = [
        ([decision(20, volume=2.0), decision(30)], ids),
        ([decision(20), decision(30, volume=2.0)], ids),
        ([decision(20), decision(30)], frozenset({"id20"})),
        ([decision(20, verdict="margin")], ids),
        ([decision(20, verdict="margin", volume=2.0)], ids),
        ([decision(20), decision(30)], ids),
    ]
    found = [changed_decisions(whole, case, 15, 100, stated=(ids, later)) for case, later in cases]

    assert [None if each is None else each.first_ns for each in found] == [20, 30, 30, None, 20, None]


def test_a_decision_is_told_as_it_was_asked_for() -> None:
    """The journal has 0 for an entry that was refused; other decisions and sizes left open stay as they are."""
    refused, left_open = decision(20, verdict="margin", volume=0.0), decision(30)

    assert as_asked(refused, {"id20": 3.0}) == decision(20, verdict="margin", volume=3.0)
    assert as_asked(left_open, {"id20": 3.0}) == left_open


@pytest.mark.parametrize("minutes", [1, 7, 1440])
def test_a_hiding_series_shows_what_has_closed_in_arrays_that_stay(minutes: int) -> None:
    """What is to come is no number, at no time and not counted; what is visible is as it is."""
    calendar = calendar_named("XNYS") if minutes == 1440 else None
    whole = resample(walk(8000), minutes * MINUTE_NS, None, calendar)
    series = HidingSeries(whole)
    shown, kept = series.shown, series.shown.close
    first = (shown.length, shown.loaded, bool(np.isnan(kept).all()))
    series.length = 2
    series.length += 1

    assert (whole.close_ns is None) is (minutes == 1)
    assert first == (0, 0, True)
    assert (shown.length, shown.loaded, series.length, series.loaded) == (3, 3, 3, whole.loaded)
    for name in COLUMNS:
        assert getattr(shown, name)[:3].tolist() == getattr(whole, name)[:3].tolist()
        assert getattr(series, name).tolist() == getattr(whole, name).tolist()
    assert [shown.close_of(i) for i in range(3)] == [whole.close_of(i) for i in range(3)]
    assert shown.close is kept
    assert np.isnan(kept[3:]).all()
    assert not shown.open_ns[3:].any()
    assert shown.count_closed(whole.close_of(whole.loaded - 1)) == 3


class Smoothed:
    """An exponential average that begins at the first bar there is, whatever it declares."""

    def __init__(self, lookback: int) -> None:
        self.key, self.lookback = f"smoothed({lookback})", lookback

    def compute(self, series: BarSeries, first: int, last: int) -> FloatArray:
        """See `Feature.compute`; reads more than it may."""
        out = series.close[: series.loaded].copy()
        for i in range(1, len(out)):
            out[i] = out[i - 1] + (out[i] - out[i - 1]) / 2
        out[: self.lookback - 1] = np.nan
        return out[first:last]


def column(feature: Feature, series: BarSeries) -> Column:
    """A feature with its values."""
    return Column(name="x", feature=feature, series=series, values=feature.compute(series, 0, series.loaded))


def test_a_feature_that_begins_anew_with_too_few_bars_is_found_with_the_number_that_suffices() -> None:
    """The named window is the least one: one bar less changes a value."""
    series = walk(400)
    short = column(Smoothed(5), series)
    change = change_of_restarts(short)
    suffices = sufficient_window(short)

    assert change is not None
    assert change.lookback == 5
    assert suffices is not None
    assert 30 < suffices < 80  # half of the last digit of a float is 2 ** -53
    assert change_of_restarts(column(Smoothed(suffices + 10), series)) is None
    assert [change_of_restarts(column(each, series)) for each in (sma(20), ema(5), ema(5, lookback=7))] == [None] * 3


def test_a_feature_is_compared_from_where_its_look_back_is_full() -> None:
    """What it was before is no promise; undefined equals undefined."""
    series = walk(20)
    whole = column(sma(5), series)
    other = whole.values[3:].copy()
    other[3] = -1.0
    early = changed_feature(whole, other, 3, 0, LATER_START)
    other[4] = -1.0
    change = changed_feature(whole, other, 3, 0, LATER_START)

    assert early is None
    assert change is not None
    assert (change.first_ns, change.other) == (series.close_of(7), "-1.0")
    assert changed_feature(whole, whole.values, 0, 0, LATER_START) is None


@pytest.mark.parametrize("least", [6, 7, 40, 99, 100])
def test_the_least_sufficient_number_is_found(least: int) -> None:
    """Between the one that fails and the most there is."""
    assert least_sufficient(lambda bars: bars >= least, 5, 100) == least


def test_no_number_suffices_where_none_does() -> None:
    """Nor where there is none to try."""
    tried: list[int] = []

    def never(bars: int) -> bool:
        tried.append(bars)
        return False

    assert [least_sufficient(never, 5, 100), least_sufficient(never, 100, 100)] == [None, None]
    assert tried == [10, 20, 40, 80, 100]
