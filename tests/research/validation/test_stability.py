"""Stability at its bounds: trades in a window, windows, shares, edges, what is kept out of the train, a cut-off."""

import datetime as dt
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import InternalError
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant
from src.research.validation.ports import CandidateTrades, Period, PhaseResult, Status
from src.research.validation.section import WalkforwardSection
from src.research.validation.stability import stability, trade_windows
from tests.research.validation.naive_windows import naive_counted, naive_windows, since_epoch

START = parse_instant("2020-01-01")
Rows = tuple[dict[str, Any], ...]


def period(end: str) -> Period:
    """From 2020 on."""
    return Period(start_ns=START, end_ns=parse_instant(end))


def made(entries: list[int], r: list[float], hold_ns: int | list[int] = HOUR_NS) -> CandidateTrades:
    """Trades in order of entry."""
    entry = np.array(entries, dtype=np.int64)
    return CandidateTrades(entry_ns=entry, exit_ns=entry + np.array(hold_ns), r_net=np.array(r, dtype=np.float64))


def world(tests: list[tuple[int, float]], train: tuple[int, float] = (20, 0.5)) -> tuple[CandidateTrades, Period]:
    """A train in 2020, and of each following half-year how many trades it has and what each of them earns."""
    begins = ["2020-01-01", *(f"{2021 + k // 2}-{'07' if k % 2 else '01'}-01" for k in range(len(tests) + 1))]
    entries, r = [], []
    for begin, (count, each) in zip(begins, [train, *tests], strict=False):
        entries += [parse_instant(begin) + k * DAY_NS for k in range(count)]
        r += [each] * count
    return made(entries, r), period(begins[len(tests) + 1])


def judged(
    trades: CandidateTrades, over: Period, cutoff: str | None = None, **section: Any
) -> tuple[PhaseResult, dict[str, Any], Rows]:
    """The result, its figures, and the windows."""
    cutoff_ns = None if cutoff is None else parse_instant(cutoff)
    found, rows = stability(trades, WalkforwardSection.model_validate(section), over, cutoff_ns)
    return found, dict(found.figures), rows


def test_a_steady_candidate_passes_with_all_its_figures() -> None:
    """Three half-years of 15 trades at 0.2 R after a train at 0.5 R."""
    found, figures, rows = judged(*world([(15, 0.2)] * 3))

    assert (found.phase, found.status, found.reason) == ("stability", Status.PASS, "")
    assert figures == {
        "windows": 3, "valid": 3, "positive": 3, "needed": 2, "partial": 0, "few": 0, "test_trades": 45, "test_r": 9.0,
        "test_mean_r": 0.2, "train_trades": 105, "train_r": 10 + 13.0 + 16.0, "train_mean_r": 0.371428571429,
        "efficiency": 0.538461538462,
    }  # fmt: skip
    assert list(rows[0].items()) == [
        ("number", 1), ("train_from", "2020-01-01 00:00:00Z"), ("train_to", "2021-01-01 00:00:00Z"),
        ("test_from", "2021-01-01 00:00:00Z"), ("test_to", "2021-07-01 00:00:00Z"), ("train_trades", 20),
        ("purged", 0), ("embargoed", 0), ("train_r", 10.0), ("test_trades", 15), ("test_r", 3.0), ("label", "valid"),
        ("positive", True),
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "label", "status"), [(15, "valid", "PASS"), (14, "few", "REJECT")])
def test_a_window_counts_with_exactly_fifteen_trades(count: int, label: str, status: str) -> None:
    """With one less it is shown and not counted."""
    found, figures, rows = judged(*world([(15, 0.2), (15, 0.2), (count, 0.2)]))

    assert (rows[2]["label"], found.status) == (label, status)
    assert figures["test_trades"] == (45 if label == "valid" else 30)


def test_exactly_three_windows_are_enough() -> None:
    """Two are not, however good, and the reason says what became of the others."""
    three, _, _ = judged(*world([(15, 0.2)] * 3))
    two, _, _ = judged(*world([(15, 9.0), (15, 9.0), (3, 9.0)]))

    assert three.status == Status.PASS
    assert two.reason == ("expected at least 3 valid windows, found 2 of 3 (0 partial, 1 with fewer than 15 trades)")


@pytest.mark.parametrize(
    ("share", "windows", "positive", "status"),
    [
        (0.6, 5, 3, "PASS"), (0.6, 5, 2, "REJECT"), (0.6, 10, 6, "PASS"), (0.6, 10, 5, "REJECT"),
        (0.55, 20, 11, "PASS"), (0.55, 20, 10, "REJECT"), (0.7, 10, 7, "PASS"), (0.7, 10, 6, "REJECT"),
        (0.6, 4, 3, "PASS"), (0.6, 4, 2, "REJECT"), (0.55, 100, 55, "PASS"), (0.55, 100, 54, "REJECT"),
    ],
)  # fmt: skip
def test_exactly_the_share_of_positive_windows_is_enough(
    share: float, windows: int, positive: int, status: str
) -> None:
    """The decimal that was written counts, not the product of floats."""
    tests = [(1, 2.0 if k < positive else -1.0) for k in range(windows)]

    found, figures, _ = judged(*world(tests), positive_share=share, minimum_trades=1)

    assert found.status == status
    assert figures["positive"] == positive


def test_the_mean_out_of_sample_is_weighted_by_trades() -> None:
    """Three good windows of 15 do not make up for a bad one of 90; their mean as windows would be above 0."""
    found, figures, _ = judged(*world([(15, 0.5), (15, 0.5), (15, 0.5), (90, -0.3)]))

    assert figures["positive"] == 3
    assert found.reason == "expected a mean R out of sample above 0, found -0.03333 over 135 trades"


def test_a_mean_of_exactly_the_bound_is_not_above_it() -> None:
    """Also where its binary fractions are."""
    level, _, _ = judged(*world([(15, 0.1)] * 3), expectancy_above=0.1)
    nothing, figures, _ = judged(*world([(3, 0.1), (3, 0.2), (3, -0.3)]), minimum_trades=3)

    assert level.status == Status.REJECT
    assert (nothing.status, figures["test_mean_r"]) == (Status.REJECT, 0.0)


def test_a_window_that_comes_to_nothing_is_not_positive() -> None:
    """0.1 and 0.2 and -0.3 in one window, and equal trades of nothing."""
    trades = made([parse_instant("2021-01-01") + k for k in range(3)], [0.1, 0.2, -0.3])

    assert judged(trades, period("2021-07-01"))[2][0]["positive"] is False
    assert judged(*world([(15, 0.0)] * 3))[0].status == Status.REJECT


def test_all_that_is_wrong_is_told() -> None:
    """One sentence after the other."""
    found, _, _ = judged(*world([(15, -0.1)]))

    assert found.reason == (
        "expected at least 3 valid windows, found 1 of 1 (0 partial, 0 with fewer than 15 trades); "
        "expected at least 1 of 1 valid windows positive (60 %), found 0; "
        "expected a mean R out of sample above 0, found -0.1 over 15 trades"
    )


def test_no_trades_and_one_trade_are_rejected() -> None:
    """Windows exist, and nothing counts."""
    none, figures, rows = judged(made([], []), period("2022-07-01"))
    one, _, _ = judged(made([parse_instant("2021-02-01")], [5.0]), period("2022-07-01"))
    by_count, _, nothing = judged(made([], []), period("2022-07-01"), windows="trades")

    assert [none.status, one.status, by_count.status] == ["REJECT"] * 3
    assert ([each["label"] for each in rows], figures["test_mean_r"], figures["efficiency"]) == (
        ["few"] * 3,
        None,
        None,
    )
    assert nothing == ()
    assert none.reason == "expected at least 3 valid windows, found 0 of 3 (0 partial, 3 with fewer than 15 trades)"


def test_a_partial_window_is_shown_and_not_counted() -> None:
    """The period ends a day before its end; its losses decide nothing."""
    trades, over = world([(15, 0.2)] * 3 + [(100, -5.0)])

    found, figures, rows = judged(trades, Period(start_ns=START, end_ns=over.end_ns - DAY_NS))

    assert [each["label"] for each in rows] == ["valid", "valid", "valid", "partial"]
    assert (rows[3]["test_trades"], rows[3]["test_to"]) == (100, "2022-12-31 00:00:00Z")
    assert (found.status, figures["test_trades"], figures["partial"]) == (Status.PASS, 45, 1)


def test_efficiency_is_a_ratio_of_sums_and_none_of_a_train_without_profit() -> None:
    """A mean of ratios explodes where one train is near nothing."""
    _, good, _ = judged(*world([(15, 0.2)] * 3, train=(20, 1.0)))
    _, flat, _ = judged(*world([(15, 0.0)] * 3, train=(20, 0.0)))
    _, bad, _ = judged(*world([(15, 0.2)] * 3, train=(200, -1.0)))

    assert good["efficiency"] == pytest.approx((9 / 45) / ((20 + 23 + 26) / (20 + 35 + 50)), rel=1e-11)
    assert (flat["efficiency"], bad["efficiency"]) == (None, None)


# -------------------------------------------------------------------------------------------------------------- edges


def test_a_trade_on_the_boundary_belongs_to_the_later_window() -> None:
    """A nanosecond before it belongs to the train alone."""
    edge = parse_instant("2021-01-01")

    _, _, rows = judged(made([edge - 1, edge], [1.0, 2.0], hold_ns=0), period("2021-07-01"))

    assert (rows[0]["train_trades"], rows[0]["train_r"]) == (1, 1.0)
    assert (rows[0]["test_trades"], rows[0]["test_r"]) == (1, 2.0)


def test_a_trade_that_spans_the_boundary_is_dropped_from_the_train() -> None:
    """One that ends with the boundary spans it, one that ends a nanosecond earlier does not; tests lose nothing."""
    edge = parse_instant("2021-01-01")
    trades = made([edge - 10, edge - 10, edge - 10, edge + 5], [1.0, 2.0, 4.0, 8.0], hold_ns=[9, 10, 10**17, 10**17])

    _, _, rows = judged(trades, period("2022-01-01"), embargo="0s")

    assert (rows[0]["train_trades"], rows[0]["train_r"], rows[0]["purged"]) == (1, 1.0, 2)
    assert (rows[0]["test_trades"], rows[0]["test_r"]) == (1, 8.0)
    assert (rows[1]["train_trades"], rows[1]["purged"]) == (2, 2)  # the long ones have not ended by the second test


def test_the_longest_embargo_is_the_longest_holding_time_of_the_train_that_ended_in_time() -> None:
    """Ten days here: what is entered ten days before the test is out; the trade that spans the edge sets nothing."""
    edge = parse_instant("2021-01-01")
    entries = [edge - 30 * DAY_NS, edge - 10 * DAY_NS - 1, edge - 10 * DAY_NS, edge - 2 * DAY_NS, edge - DAY_NS]
    holds = [10 * DAY_NS, HOUR_NS, HOUR_NS, HOUR_NS, 90 * DAY_NS]

    _, _, rows = judged(made(entries, [1.0, 2.0, 4.0, 8.0, 16.0], holds), period("2021-07-01"))

    assert (rows[0]["train_trades"], rows[0]["train_r"]) == (2, 3.0)
    assert (rows[0]["purged"], rows[0]["embargoed"]) == (1, 2)


def test_a_stated_embargo_replaces_the_longest() -> None:
    """Two days, although a trade took ten; none at all; and one longer than everything."""
    edge = parse_instant("2021-01-01")
    entries = [edge - 30 * DAY_NS, edge - 2 * DAY_NS - 1, edge - 2 * DAY_NS, edge - DAY_NS]
    trades = made(entries, [1.0, 2.0, 4.0, 8.0], [10 * DAY_NS, HOUR_NS, HOUR_NS, HOUR_NS])

    found = {each: judged(trades, period("2021-07-01"), embargo=each)[2][0] for each in ("2d", "0s", "99999w")}

    assert [(each["train_r"], each["embargoed"]) for each in found.values()] == [(3.0, 2), (15.0, 0), (0.0, 4)]


def test_a_rolling_train_forgets() -> None:
    """Only the twelve months before the test."""
    _, _, rows = judged(*world([(15, 0.2)] * 3), windows="rolling", embargo="0s")

    assert [each["train_trades"] for each in rows] == [20, 15, 30]


def test_a_cutoff_begins_the_first_test() -> None:
    """What was known at discovery is train, and nothing else."""
    trades, over = world([(15, 9.0), (15, 9.0), (15, 9.0), (15, -0.1), (15, -0.1), (15, -0.1)])

    without, _, _ = judged(trades, over, positive_share=0.5)
    found, figures, rows = judged(trades, over, cutoff="2022-07-01", positive_share=0.5)

    assert without.status == Status.PASS
    assert [each["test_from"][:10] for each in rows] == ["2022-07-01", "2023-01-01", "2023-07-01"]
    assert (found.status, figures["test_r"]) == (Status.REJECT, -4.5)


def test_trades_outside_the_period_are_in_no_window() -> None:
    """Neither in a train nor in a test."""
    trades = made([START - 1, START, parse_instant("2021-07-01")], [1.0, 2.0, 4.0])

    _, _, rows = judged(trades, period("2021-07-01"))

    assert (rows[0]["train_r"], rows[0]["test_trades"]) == (2.0, 0)


def test_trades_in_another_order_are_refused() -> None:
    """Every search would be wrong."""
    with pytest.raises(InternalError, match="in order of entry"):
        judged(made([START + 1, START], [1.0, 1.0]), period("2022-01-01"))


@pytest.mark.parametrize("windows", ["anchored", "rolling", "trades"])
def test_the_order_of_trades_entered_together_does_not_matter(windows: str) -> None:
    """Every sum is exact before it is rounded, and no window begins among them."""
    values = [1e9, 0.1, -1e9, 0.2, 0.7, -0.4]
    entries = [parse_instant("2021-02-01")] * 6 + [parse_instant("2021-08-01")] * 6
    section: dict[str, Any] = {"windows": windows, "train_trades": 4, "test_trades": 2, "minimum_trades": 1}

    found = [
        judged(made(entries, each * 2), period("2022-07-01"), None, **section)
        for each in (values, values[::-1], sorted(values))
    ]

    assert found[0] == found[1] == found[2]


# --------------------------------------------------------------------------------------------------- by count of trades


def counted(entries: list[int], cutoff_ns: int | None = None) -> list[tuple[tuple[int, int, int], bool]]:
    """The places of the windows of 4 trades of train and 3 of test."""
    section = WalkforwardSection(windows="trades", train_trades=4, test_trades=3)
    found = trade_windows(np.array(entries, dtype=np.int64), section, cutoff_ns)
    return [(places, window.partial) for window, places in found]


def test_windows_by_count_follow_one_another() -> None:
    """The last has what is left; exactly three are whole."""
    assert counted(list(range(10))) == [((0, 4, 7), False), ((3, 7, 10), False)]
    assert counted(list(range(12))) == [((0, 4, 7), False), ((3, 7, 10), False), ((6, 10, 12), True)]
    assert counted(list(range(4))) == []
    assert counted([]) == []


def test_windows_by_count_begin_at_the_cutoff_or_where_the_train_is_whole() -> None:
    """The trade of the cut-off itself is the first of the test."""
    assert counted(list(range(10)), 6)[0] == ((2, 6, 9), False)
    assert counted(list(range(10)), 2)[0] == ((0, 4, 7), False)
    assert counted(list(range(10)), 10) == []


def test_trades_of_one_instant_are_never_torn_apart() -> None:
    """A test ends behind them, a train begins before them; so their order cannot matter."""
    assert counted([0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7, 8]) == [((2, 6, 10), False), ((6, 10, 12), True)]
    assert counted([0, 1, 1, 1, 2, 3, 4, 5, 6, 7]) == [((0, 4, 7), False), ((1, 7, 10), False)]
    assert counted([1] * 9) == []


def test_windows_by_count_decide_as_the_others_do() -> None:
    """Their edges are the entries themselves; a trade that spans one is dropped from the train."""
    entries = [START + k * DAY_NS for k in range(13)]
    holds = [HOUR_NS] * 3 + [5 * DAY_NS] + [HOUR_NS] * 9
    section: dict[str, Any] = {
        "windows": "trades",
        "train_trades": 4,
        "test_trades": 3,
        "minimum_trades": 3,
        "embargo": "0s",
    }

    found, figures, rows = judged(made(entries, [0.5] * 13, holds), period("2021-01-01"), **section)

    assert (found.status, figures["valid"], figures["efficiency"]) == (Status.PASS, 3, 1.0)
    assert [(each["train_trades"], each["purged"]) for each in rows] == [(3, 1), (3, 1), (4, 0)]
    assert [each["test_to"] for each in rows] == [
        "2020-01-08 00:00:00Z", "2020-01-11 00:00:00Z", "2020-01-13 00:00:00.000000001Z",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------- another way to count

Trade = tuple[dt.datetime, dt.timedelta, int]
FIRST, LAST = dt.datetime(2020, 1, 31, tzinfo=dt.UTC), dt.datetime(2023, 10, 5, 7, tzinfo=dt.UTC)
MOMENTS = st.datetimes(dt.datetime(2019, 12, 1), dt.datetime(2023, 12, 1), timezones=st.just(dt.UTC))


def drawn(seed: int, count: int, days: int) -> list[Trade]:
    """So many trades held for so many days at most, a third of them entered at the ends of months."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        entry = dt.datetime(2019, 12, 1, tzinfo=dt.UTC) + dt.timedelta(hours=int(rng.integers(0, 35_000)))
        if rng.random() < 0.3:
            entry = entry.replace(day=28, hour=0) + dt.timedelta(days=int(rng.integers(0, 4)))
        hold = dt.timedelta(hours=int(rng.integers(0, 24 * days + 1)))
        found.append((entry, hold, int(rng.integers(-100, 140))))
    return sorted(found)


def naive_stability(
    trades: list[Trade], section: WalkforwardSection, cutoff: dt.datetime | None
) -> tuple[str, Fraction | None, list[tuple[int, int, int, Fraction, int, Fraction, str]]]:
    """The verdict, the efficiency and the windows once more, trade by trade, with dates and fractions."""
    trades = [each for each in trades if FIRST <= each[0] < LAST]
    rows, tests, trains, positive = [], [], [], 0
    cut = naive_windows(
        FIRST, LAST, cutoff, rolling=section.windows == "rolling", train=section.train_months, test=section.test_months
    )
    for train_from, test_from, test_to, partial in cut:
        test = [r for entry, _, r in trades if test_from <= entry < test_to]
        train = [each for each in trades if train_from <= each[0] < test_from]
        ended = [each for each in train if each[0] + each[1] < test_from]
        if section.embargo == "longest":
            embargo = max([hold for _, hold, _ in ended], default=dt.timedelta(0))
        else:
            embargo = dt.timedelta(microseconds=section.embargo / 1000)
        kept = [r for entry, _, r in ended if not entry >= test_from - embargo]
        label = "partial" if partial else "few" if len(test) < section.minimum_trades else "valid"
        if label == "valid":
            tests += test
            trains += kept
            positive += sum(test) > 0
        rows.append((
            len(kept), len(train) - len(ended), len(ended) - len(kept), Fraction(sum(kept), 100), len(test),
            Fraction(sum(test), 100), label,
        ))  # fmt: skip
    valid = sum(each[-1] == "valid" for each in rows)
    good = valid >= section.valid_windows and Fraction(positive, valid) >= Fraction(str(section.positive_share))
    efficiency = None
    if tests and trains and sum(trains) > 0:
        efficiency = Fraction(sum(tests), len(tests)) / Fraction(sum(trains), len(trains))
    return "PASS" if good and sum(tests) > 0 else "REJECT", efficiency, rows


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 9999), count=st.sampled_from([0, 1, 20, 100]), days=st.sampled_from([0, 2, 20, 60]),
    cutoff=st.none() | MOMENTS, rolling=st.booleans(), embargo=st.sampled_from(["longest", "0s", "3d"]),
    minimum=st.integers(1, 6), valid=st.integers(1, 3), share=st.sampled_from([0.4, 0.5, 0.55, 0.6, 0.75]),
)  # fmt: skip
def test_the_verdict_equals_that_of_counting_by_hand(
    seed: int, count: int, days: int, cutoff: dt.datetime | None, rolling: bool, embargo: str, minimum: int, valid: int,
    share: float,
) -> None:  # fmt: skip
    """For any trades, cut-off, embargo and bounds; every window, the efficiency and the verdict."""
    trades = drawn(seed, count, days)
    section = WalkforwardSection.model_validate({
        "windows": "rolling" if rolling else "anchored", "embargo": embargo, "minimum_trades": minimum,
        "valid_windows": valid, "positive_share": share,
    })  # fmt: skip
    entries = [since_epoch(each) for each, _, _ in trades]
    holds = [each // dt.timedelta(microseconds=1) * 1000 for _, each, _ in trades]
    own = made(entries, [each / 100 for _, _, each in trades], holds)
    over = Period(start_ns=since_epoch(FIRST), end_ns=since_epoch(LAST))

    found, rows = stability(own, section, over, None if cutoff is None else since_epoch(cutoff))

    status, efficiency, expected = naive_stability(trades, section, cutoff)
    keys = ("train_trades", "purged", "embargoed", "train_r", "test_trades", "test_r", "label")
    assert found.status == status
    assert [tuple(each[key] for key in keys) for each in rows] == [
        tuple(float(each) if isinstance(each, Fraction) else each for each in row) for row in expected
    ]
    measured = dict(found.figures)["efficiency"]
    assert measured == (None if efficiency is None else pytest.approx(float(efficiency), rel=1e-11))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    entries=st.lists(st.integers(0, 25), max_size=40), train=st.integers(1, 6), test=st.integers(1, 6),
    cutoff=st.none() | st.integers(-1, 27),
)  # fmt: skip
def test_windows_by_count_equal_those_of_going_from_trade_to_trade(
    entries: list[int], train: int, test: int, cutoff: int | None
) -> None:
    """Also where many are entered at one instant."""
    entries = sorted(entries)
    section = WalkforwardSection(windows="trades", train_trades=train, test_trades=test)

    found = trade_windows(np.array(entries, dtype=np.int64), section, cutoff)

    assert [(*places, window.partial) for window, places in found] == naive_counted(entries, train, test, cutoff)
