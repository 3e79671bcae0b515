"""Synthetic markets that close: bars inside sessions alone, gaps over closures, holes, and facts of currencies."""

from dataclasses import replace

import numpy as np
import pytest

from src.core.bars import BarSeries, FloatArray
from src.core.calendars import calendar_named
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.synthetic import (
    SyntheticHole,
    SyntheticSpec,
    SyntheticSymbol,
    default_symbol,
    generate,
    multiples,
    spec_hash,
)

START_NS = parse_instant("2024-02-26")  # a Monday; New York changes its clocks on 10 March
DAYS = 42
COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")


def spec_of(*symbols: SyntheticSymbol, days: float = DAYS, start_ns: int = START_NS, seed: int = 11) -> SyntheticSpec:
    """A market of these symbols without outages."""
    end_ns = start_ns + round(days * DAY_NS)
    return SyntheticSpec(seed=seed, start_ns=start_ns, end_ns=end_ns, symbols=symbols, outage_every_days=0)


def rows(series: BarSeries) -> list[list[float]]:
    """The columns as plain numbers."""
    return [getattr(series, column).tolist() for column in COLUMNS]


def gaps_bp(series: BarSeries, longer_than_ns: int) -> FloatArray:
    """From the last close to the first open over each pause of so long, in basis points."""
    pauses = np.flatnonzero(np.diff(series.open_ns) > longer_than_ns)
    moved: FloatArray = (np.log(series.open[pauses + 1]) - np.log(series.close[pauses])) * 1e4
    return moved


@pytest.fixture(scope="module")
def market() -> dict[str, BarSeries]:
    """Six weeks of two currencies, gold and one share."""
    names = {"EURUSD": "fx", "NZDUSD": "fx", "XAUUSD": "fx", "AAPL": "equity"}
    return generate(spec_of(*(default_symbol(name, kind=kind) for name, kind in names.items())))


@pytest.mark.parametrize(("name", "calendar"), [("EURUSD", "forex"), ("AAPL", "XNYS")])
def test_bars_open_inside_sessions_alone(market: dict[str, BarSeries], name: str, calendar: str) -> None:
    """Over the change of the clocks too there is no bar outside the sessions, and nearly each minute inside has one."""
    stamps = np.arange(START_NS, START_NS + DAYS * DAY_NS, MINUTE_NS)
    open_minutes = stamps[calendar_named(calendar).in_session(stamps)]
    found = market[name].open_ns

    assert np.isin(found, open_minutes).all()
    assert 0.99 < len(found) / len(open_minutes) < 1.0


def test_a_crypto_symbol_may_have_sessions_and_a_currency_none() -> None:
    """Kind and calendar are told apart: the calendar alone says when there are bars."""
    coin = default_symbol("BTCUSDT", calendar="forex")
    pair = default_symbol("EURUSD", kind="fx", calendar="24/7")
    market = generate(spec_of(coin, pair, days=14))
    weekend = slice(parse_instant("2024-03-02"), parse_instant("2024-03-03"))
    counts = {
        name: int(((series.open_ns >= weekend.start) & (series.open_ns < weekend.stop)).sum())
        for name, series in market.items()
    }

    assert counts["BTCUSDT"] == 0
    assert counts["EURUSD"] > 1400
    assert [series.price_side for series in market.values()] == ["trade", "bid"]


@pytest.mark.slow
def test_the_lunch_break_of_an_exchange_has_no_bars() -> None:
    """Tokyo closes from 11:30 to 12:30 of its own clock."""
    series = generate(spec_of(default_symbol("7203", kind="equity", calendar="XTKS"), days=5))["7203"]
    minutes = series.open_ns % DAY_NS // MINUTE_NS

    assert not ((minutes >= 150) & (minutes < 210)).any()
    assert len(series.open_ns) > 5 * 290


def test_prices_jump_over_weekends_and_nights(market: dict[str, BarSeries]) -> None:
    """The first open after a closure differs from the last close, by more than a minute's move and not absurdly."""
    weekends, nights = gaps_bp(market["EURUSD"], DAY_NS), gaps_bp(market["AAPL"], 10 * HOUR_NS)

    assert len(weekends) == 6
    assert len(nights) >= 28
    assert 2.0 < np.abs(weekends).mean() < 40.0
    assert 30.0 < nights.std() < 200.0


def test_gaps_grow_with_what_is_left_of_the_volatility() -> None:
    """`closed_volatility` decides how far the price goes while nobody trades; what happens inside sessions stays."""
    calm = default_symbol("EURUSD", kind="fx")
    found = [generate(spec_of(replace(calm, closed_volatility=left), days=21))["EURUSD"] for left in (0.01, 0.2, 2.0)]
    means = [float(np.abs(gaps_bp(series, DAY_NS)).mean()) for series in found]

    assert means[0] < 3.0 < means[1] < means[2] / 3.0
    assert found[0].open_ns.tolist() == found[2].open_ns.tolist()


@pytest.mark.parametrize("days", [2.2, 9.0])
def test_a_longer_window_with_sessions_begins_with_the_same_bars(days: float) -> None:
    """Windows that begin while the market is closed included."""
    symbols = default_symbol("EURUSD", kind="fx"), default_symbol("AAPL", kind="equity")
    start_ns = parse_instant("2024-03-09 13:07")  # a Saturday
    short = generate(spec_of(*symbols, days=days, start_ns=start_ns))
    long = generate(spec_of(*symbols, days=12, start_ns=start_ns))

    assert {name: [column[: s.loaded] for column in rows(long[name])] for name, s in short.items()} == {
        name: rows(series) for name, series in short.items()
    }


# ---------------------------------------------------------------------------------------------------------- holes


def test_holes_leave_out_their_bars_and_change_no_other() -> None:
    """A hole of one symbol and one of all: those bars are missing, the rest of the market is as it was."""
    whole = spec_of(default_symbol("BTCUSDT"), default_symbol("ETHUSDT"), days=2)
    one = SyntheticHole(start_ns=START_NS + HOUR_NS, end_ns=START_NS + 3 * HOUR_NS, symbol="ETHUSDT")
    both = SyntheticHole(start_ns=START_NS + 30 * HOUR_NS, end_ns=START_NS + 31 * HOUR_NS)
    full, holed = generate(whole), generate(replace(whole, holes=(one, both)))
    expected = {}
    for name, series in full.items():
        kept = np.ones(series.loaded, dtype=bool)
        for hole in (one, both):
            if hole.symbol in (None, name):
                kept &= (series.open_ns < hole.start_ns) | (series.open_ns >= hole.end_ns)
        expected[name] = [getattr(series, column)[kept].tolist() for column in COLUMNS]

    assert {name: rows(series) for name, series in holed.items()} == expected
    assert [full[name].loaded - holed[name].loaded > 55 for name in full] == [True, True]
    assert full["ETHUSDT"].loaded - holed["ETHUSDT"].loaded > 170


def test_absent_minutes_follow_the_configured_share() -> None:
    """A thin symbol lacks about the stated share of its minutes."""
    thin = replace(default_symbol("THINUSDT"), absent_share=0.3)
    series = generate(spec_of(thin, days=10))["THINUSDT"]

    assert 0.2 < 1.0 - series.loaded / 14_400 < 0.4


# --------------------------------------------------------------------------- what currencies and shares look like


def correlation(x: FloatArray, y: FloatArray) -> float:
    """The linear correlation of two arrays of one shape."""
    return float(np.corrcoef(x, y)[0, 1])


def returns_bp(series: BarSeries) -> FloatArray:
    """Log returns in basis points between bars of one session, those over closures left out."""
    moved: FloatArray = np.diff(np.log(series.close)) * 1e4
    return moved[np.diff(series.open_ns) < HOUR_NS]


@pytest.mark.parametrize(
    ("name", "deviation", "most_zeros"),
    [
        ("EURUSD", (0.8, 1.5), 0.15),
        ("NZDUSD", (1.1, 1.9), 0.17),
        ("XAUUSD", (1.8, 3.0), 0.1),
        ("AAPL", (5.0, 12.0), 0.2),
    ],
)
def test_one_minute_facts_are_those_of_recorded_markets(
    market: dict[str, BarSeries], name: str, deviation: tuple[float, float], most_zeros: float
) -> None:
    """Deviation, fat tails, clusters of volatility that fade slowly, and returns that nothing foretells."""
    moved = returns_bp(market[name])
    size = np.abs(moved)
    kurtosis = float(((moved - moved.mean()) ** 4).mean() / moved.var() ** 2 - 3.0)

    assert deviation[0] < moved.std() < deviation[1]
    assert 12.0 < kurtosis < 350.0
    assert abs(correlation(moved[1:], moved[:-1])) < 0.07
    assert 0.23 < correlation(size[1:], size[:-1]) < 0.46
    assert 0.03 < correlation(size[60:], size[:-60]) < 0.25
    assert 0.0 < (moved == 0).mean() < most_zeros


def test_currencies_are_busiest_when_london_and_new_york_overlap(market: dict[str, BarSeries]) -> None:
    """The busiest hour lies between 12 and 16 UTC and moves three to seven times as far as the quietest."""
    series = market["EURUSD"]
    kept = np.diff(series.open_ns) < HOUR_NS
    hour = (series.open_ns[1:] // HOUR_NS % 24)[kept]
    size = np.abs(returns_bp(series))
    by_hour = np.array([size[hour == each].mean() for each in range(24)])

    assert 12 <= int(by_hour.argmax()) <= 16
    assert 2.7 < by_hour.max() / by_hour.min() < 7.0


def test_an_exchange_is_busiest_at_its_open(market: dict[str, BarSeries]) -> None:
    """The first half hour of a session ranges farther than the middle, and the last one somewhat."""
    series = market["AAPL"]
    # New York is four hours behind from 10 March on; only those days are looked at.
    summer = series.open_ns >= parse_instant("2024-03-11")
    minute = series.open_ns[summer] % DAY_NS // MINUTE_NS - 13 * 60 - 30
    ranges = ((series.high - series.low) / series.close)[summer]
    first, middle, last = (float(ranges[(minute >= low) & (minute < low + 30)].mean()) for low in (0, 180, 360))

    assert first > 1.6 * middle
    assert last > 1.1 * middle


def test_currencies_move_together_less_than_coins(market: dict[str, BarSeries]) -> None:
    """EURUSD with NZDUSD and with gold as recorded, about a quarter to a third at one minute."""
    grid = np.arange(START_NS, START_NS + DAYS * DAY_NS, MINUTE_NS)

    def moves(name: str) -> FloatArray:
        at = np.clip(np.searchsorted(market[name].open_ns, grid, side="right") - 1, 0, None)
        return np.diff(np.log(market[name].close[at]))

    found = [correlation(moves("EURUSD"), moves(other)) for other in ("NZDUSD", "XAUUSD")]

    assert all(0.15 < one < 0.45 for one in found), found


# ------------------------------------------------------------------------------------------------- what is asked


def test_defaults_depend_on_name_kind_and_calendar_alone() -> None:
    """Currencies trade in the forex week, shares on XNYS; an instrument's tick is kept."""
    pair, share = default_symbol("EURJPY", kind="fx"), default_symbol("SOME", kind="equity", tick=0.05)
    prices = generate(spec_of(share, days=3))["SOME"].close

    assert (pair.calendar, pair.tick, share.calendar, share.tick) == ("forex", 0.001, "XNYS", 0.05)
    assert 50.0 < pair.start_price < 200.0
    assert pair == default_symbol("EURJPY", kind="fx", calendar="forex")
    assert prices.tolist() == multiples(np.rint(prices / 0.05).astype(np.int64), 0.05).tolist()


def test_specifications_that_say_nothing_new_keep_their_hash() -> None:
    """Stored markets of before are not generated anew; whoever says something new gets another hash."""
    start_ns = parse_instant("2024-01-01")
    names = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    spec = SyntheticSpec(
        seed=7, start_ns=start_ns, end_ns=start_ns + DAY_NS, symbols=tuple(default_symbol(name) for name in names)
    )
    hole = SyntheticHole(start_ns=start_ns, end_ns=start_ns + HOUR_NS)
    changed = [
        replace(spec, holes=(hole,)),
        replace(spec, holes=(replace(hole, symbol="BTCUSDT"),)),
        replace(spec, symbols=(replace(spec.symbols[0], calendar="forex"), *spec.symbols[1:])),
        replace(spec, symbols=(replace(spec.symbols[0], kind="fx"), *spec.symbols[1:])),
        replace(spec, symbols=(replace(spec.symbols[0], spread_bp=2.0), *spec.symbols[1:])),
    ]

    assert spec_hash(spec) == "2279e584030340f0"
    assert len({spec_hash(one) for one in (spec, *changed)}) == 1 + len(changed)


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    """A window without a session, an unknown calendar or kind, and holes that are none or leave nothing."""
    pair = default_symbol("EURUSD", kind="fx")
    saturday = spec_of(pair, days=0.5, start_ns=parse_instant("2024-03-02"))
    monday = spec_of(pair, days=1)
    backwards = SyntheticHole(start_ns=START_NS, end_ns=START_NS)
    stranger = SyntheticHole(start_ns=START_NS, end_ns=START_NS + HOUR_NS, symbol="GBPUSD")
    everything = SyntheticHole(start_ns=START_NS, end_ns=START_NS + DAY_NS)

    with pytest.raises(ConfigError, match="forex of EURUSD to open between"):
        generate(saturday)
    with pytest.raises(ConfigError, match="expected a calendar"):
        generate(spec_of(replace(pair, calendar="XNYX"), days=1))
    with pytest.raises(ConfigError, match="kind of synthetic symbol"):
        default_symbol("EURUSD", kind="forex")
    with pytest.raises(ConfigError, match="to end after it starts"):
        replace(monday, holes=(backwards,))
    with pytest.raises(ConfigError, match="symbol of a hole among EURUSD, found 'GBPUSD'"):
        replace(monday, holes=(stranger,))
    with pytest.raises(ConfigError, match="leave EURUSD some bars"):
        generate(replace(monday, holes=(everything,)))
