"""The synthetic market: its bits, its shape, and what it must look like."""

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # type: ignore[import-not-found] # no stubs

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS
from src.data.synthetic import SyntheticSpec, SyntheticSymbol, default_symbol, generate, source_text, spec_hash
from src.data.synthetic_path import exp

START_NS = 1_704_067_200 * 1_000_000_000  # 2024-01-01
NAMES = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")

# Any machine makes these bars. Whoever changes them on purpose raises the number of the generator in the same change,
# so that stored markets are made anew, and writes the new digest here.
FIRST_DAY_DIGEST = "c0079421e16a9e1cd72dd30c1344cdbbfeca48457fe3c157d9616d1ba4dd4fe8"


def make_spec(*names: str, seed: int = 7, days: float = 1, start_ns: int = START_NS) -> SyntheticSpec:
    """A market of the default symbols of these names, or of the three best known."""
    symbols = tuple(default_symbol(name) for name in names or NAMES)
    return SyntheticSpec(seed=seed, start_ns=start_ns, end_ns=start_ns + round(days * DAY_NS), symbols=symbols)


def digest(market: dict[str, BarSeries]) -> str:
    """A digest of every bit of every column, symbol by symbol."""
    state = hashlib.sha256()
    for name, series in market.items():
        state.update(name.encode())
        for column in COLUMNS:
            values = getattr(series, column)
            state.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()


def rows(series: BarSeries, count: int | None = None) -> list[list[float]]:
    """The first `count` bars as plain numbers, column by column."""
    return [getattr(series, column)[:count].tolist() for column in COLUMNS]


# ------------------------------------------------------------------------------------------------------ the same bits

PROGRAM = """
import hashlib, sys
import numpy as np
from numpy._core._multiarray_umath import __cpu_features__
from src.core.timeframe import DAY_NS
from src.data.synthetic import SyntheticSpec, default_symbol, generate
from src.data.synthetic_path import exp
start_ns, days = int(sys.argv[1]), int(sys.argv[2])
symbols = tuple(default_symbol(name) for name in sys.argv[3:])
market = generate(SyntheticSpec(seed=7, start_ns=start_ns, end_ns=start_ns + days * DAY_NS, symbols=symbols))
state = hashlib.sha256()
for name, series in market.items():
    state.update(name.encode())
    for column in ("open_ns", "open", "high", "low", "close", "volume"):
        values = getattr(series, column)
        state.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
raw = hashlib.sha256(exp(np.linspace(-3.0, 3.0, 100_001)).tobytes()).hexdigest()
print(state.hexdigest(), raw, ",".join(name for name, has in __cpu_features__.items() if has))
"""


def digest_in_another_process(root: str, days: int, **environment: str) -> tuple[str, str, set[str]]:
    """From a fresh process: the digests of the three default symbols and of `exp`, and the processor features used."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(START_NS), str(days), *NAMES],
        cwd=root, env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    found, raw, features = done.stdout.split(" ")
    return found, raw, set(features.strip().split(","))


@pytest.mark.slow
def test_a_processor_without_vector_units_makes_the_same_bits(pytestconfig: pytest.Config) -> None:
    """With every dispatched vector feature of numpy switched off, 60 days of bars and `exp` keep every bit."""
    features = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    if not features:
        pytest.skip("numpy reports no processor feature here that could be switched off")

    found, raw, used = digest_in_another_process(
        str(pytestconfig.rootpath), 60, NPY_DISABLE_CPU_FEATURES=" ".join(features), PYTHONHASHSEED="1"
    )

    assert not used & set(features)
    assert found == digest(generate(make_spec(days=60)))
    # Rounding to ticks hides most differences of a last bit; here nothing is rounded.
    assert raw == hashlib.sha256(exp(np.linspace(-3.0, 3.0, 100_001)).tobytes()).hexdigest()


@pytest.mark.slow
def test_hash_seeds_do_not_change_a_bit(pytestconfig: pytest.Config) -> None:
    """Processes with different hash seeds make equal bars."""
    found = {digest_in_another_process(str(pytestconfig.rootpath), 2, PYTHONHASHSEED=seed)[0] for seed in ("0", "4711")}

    assert found == {digest(generate(make_spec(days=2)))}


def test_the_bars_are_those_of_this_version_of_the_generator() -> None:
    """A change of the generator does not go unnoticed: the first day of seed 7 has a written digest."""
    found = digest(generate(make_spec()))

    assert found == FIRST_DAY_DIGEST


def test_another_seed_makes_another_market() -> None:
    """The seed decides: two seeds share no path."""
    one, other = (generate(make_spec("BTCUSDT", seed=seed))["BTCUSDT"] for seed in (7, 8))

    assert rows(one, 100) != rows(other, 100)


def test_adding_a_symbol_changes_no_other() -> None:
    """Streams hang on seed, component and symbol: more symbols, another order, the same bars."""
    alone = generate(make_spec("ETHUSDT"))["ETHUSDT"]
    among = generate(make_spec("SOLUSDT", "XRPUSDT", "ETHUSDT", "BTCUSDT"))["ETHUSDT"]

    assert rows(among) == rows(alone)


@pytest.mark.parametrize("days", [0.3, 1.0, 2.5])
def test_a_longer_window_begins_with_the_same_bars(days: float) -> None:
    """With the same start, a longer window extends a shorter one and changes none of its bars."""
    start_ns = START_NS + 7 * HOUR_NS + 13 * MINUTE_NS
    short = generate(make_spec("BTCUSDT", "XRPUSDT", days=days, start_ns=start_ns))
    long = generate(make_spec("BTCUSDT", "XRPUSDT", days=4, start_ns=start_ns))

    assert [rows(long[name], short[name].loaded) for name in short] == [rows(series) for series in short.values()]


def test_a_longer_window_keeps_the_outages_of_a_shorter_one() -> None:
    """Outages too are drawn block by block: 70 days begin with the same 50 days."""
    short = generate(make_spec("BTCUSDT", days=50))["BTCUSDT"]
    long = generate(make_spec("BTCUSDT", days=70))["BTCUSDT"]

    assert rows(long, short.loaded) == rows(short)


def test_the_exponential_is_accurate() -> None:
    """The function that replaces numpy's agrees with it to 14 digits from 1e-13 to 1e13."""
    x = np.linspace(-30.0, 30.0, 10_001)

    np.testing.assert_allclose(exp(x), np.exp(x), rtol=1e-14)


# --------------------------------------------------------------------------------------------------- the form of bars


def test_bars_are_well_formed() -> None:
    """Stamps are ordered whole minutes of the window, low <= open, close <= high, prices and volumes are positive."""
    spec = make_spec(days=3)

    for series in generate(spec).values():
        assert (series.price_side, series.timeframe_ns, series.length) == ("trade", MINUTE_NS, series.loaded)
        assert series.open_ns[0] == spec.start_ns
        assert series.open_ns[-1] < spec.end_ns
        assert not (series.open_ns % MINUTE_NS).any()
        assert (np.diff(series.open_ns) > 0).all()
        assert (series.low > 0).all()
        assert (series.low <= np.minimum(series.open, series.close)).all()
        assert (series.high >= np.maximum(series.open, series.close)).all()
        assert (series.volume > 0).all()


@pytest.mark.parametrize("name", [*NAMES, "SOLUSDT"])
def test_prices_are_the_floats_of_their_decimal_text(name: str) -> None:
    """A price is the float that reading its decimal text gives, so it survives any text format."""
    symbol = default_symbol(name)
    digits = max(0, -round(np.log10(symbol.tick)))
    closes = generate(make_spec(name))[name].close.tolist()

    assert closes == [float(f"{close:.{digits}f}") for close in closes]


def test_a_tick_above_one_is_kept() -> None:
    """Prices are whole multiples of a tick of 25 as well."""
    symbol = replace(default_symbol("BTCUSDT"), tick=25.0)
    series = generate(SyntheticSpec(seed=1, start_ns=0, end_ns=DAY_NS, symbols=(symbol,)))["BTCUSDT"]

    assert not (series.close % 25.0).any()
    assert len(np.unique(series.close)) > 10


def test_a_price_that_has_fallen_to_nothing_stays_one_tick() -> None:
    """The lowest price is one tick, never 0."""
    symbol = SyntheticSymbol(symbol="PENNY", start_price=1.0, tick=1.0, volatility_bp=900.0)
    series = generate(SyntheticSpec(seed=1, start_ns=0, end_ns=3 * DAY_NS, symbols=(symbol,)))["PENNY"]

    assert series.low.min() == 1.0


def test_unknown_names_get_symbols_of_their_own() -> None:
    """A name without a preset gives a plausible symbol that depends on the name alone."""
    symbols = [default_symbol(f"COIN{i}USDT") for i in range(50)]

    assert symbols == [default_symbol(f"COIN{i}USDT") for i in range(50)]
    assert len({(s.start_price, s.volatility_bp, s.common_share) for s in symbols}) > 45
    assert all(13 <= s.volatility_bp <= 19 and 1e-5 <= s.tick / s.start_price * 10 <= 1e-2 for s in symbols)


# ----------------------------------------------------------------------------------- what it must look like: 60 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One-minute facts of one symbol; returns and ranges in basis points."""

    deviation: float
    excess_kurtosis: float
    autocorrelation: float
    absolute_lag_1: float
    absolute_lag_60: float
    zero_share: float
    mean_range: float
    busiest_to_quietest: float
    busiest_hour: int
    moved_opens: float
    absent_share: float
    volume_to_volatility: float


def correlation(x: FloatArray, y: FloatArray) -> float:
    """The linear correlation of two arrays of one shape."""
    return float(np.corrcoef(x, y)[0, 1])


def facts_of(series: BarSeries, minutes: int) -> Facts:
    """The facts of `series`, which covers `minutes`."""
    returns = np.diff(np.log(series.close)) * 1e4
    size = np.abs(returns)
    hours = series.open_ns[1:] // HOUR_NS % 24
    by_hour = np.array([size[hours == hour].mean() for hour in range(24)])
    adjacent = np.diff(series.open_ns) == MINUTE_NS
    return Facts(
        deviation=float(returns.std()),
        excess_kurtosis=float(((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 - 3.0),
        autocorrelation=correlation(returns[:-1], returns[1:]),
        absolute_lag_1=correlation(size[:-1], size[1:]),
        absolute_lag_60=correlation(size[:-60], size[60:]),
        zero_share=float((returns == 0).mean()),
        mean_range=float(((series.high - series.low) / series.close).mean() * 1e4),
        busiest_to_quietest=float(by_hour.max() / by_hour.min()),
        busiest_hour=int(by_hour.argmax()),
        moved_opens=float((series.open[1:] != series.close[:-1])[adjacent].mean()),
        absent_share=1.0 - series.loaded / minutes,
        volume_to_volatility=correlation(np.log(series.volume[1:]), np.log(size + 0.1)),
    )


@pytest.fixture(scope="module")
def market() -> dict[str, BarSeries]:
    """The default market: three symbols, 60 days, seed 7."""
    return generate(make_spec(days=60))


@pytest.fixture(scope="module")
def facts(market: dict[str, BarSeries]) -> list[Facts]:
    """The facts of each symbol of the default market."""
    return [facts_of(series, 60 * 1440) for series in market.values()]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("deviation", 13.0, 19.0),
        ("excess_kurtosis", 15.0, 40.0),
        ("autocorrelation", -0.04, 0.04),
        ("absolute_lag_1", 0.30, 0.40),
        ("absolute_lag_60", 0.08, 0.17),
        ("zero_share", 0.05, 0.10),
        ("mean_range", 10.0, 13.5),
        ("busiest_to_quietest", 1.3, 1.8),
        ("busiest_hour", 12, 16),
        ("moved_opens", 0.6, 0.95),
        ("absent_share", 0.001, 0.01),
        ("volume_to_volatility", 0.3, 0.6),
    ],
)
def test_one_minute_facts_are_those_of_recorded_crypto(facts: list[Facts], name: str, low: float, high: float) -> None:
    """Each fact lies where the recorded markets have it, with room for the chance of 60 days."""
    found = [round(getattr(one, name), 4) for one in facts]

    assert all(low <= value <= high for value in found), f"{name} {found} outside [{low}, {high}]"


def correlations(market: dict[str, BarSeries], minutes: int) -> list[float]:
    """Correlation of returns over so many minutes, for each pair of symbols; absent closes are carried forward."""
    grid = np.arange(START_NS, START_NS + 60 * DAY_NS, MINUTE_NS)[minutes - 1 :: minutes]
    returns = []
    for series in market.values():
        last = np.searchsorted(series.open_ns, grid, side="right") - 1
        returns.append(np.diff(np.log(series.close[last])))
    return [correlation(one, other) for one, other in combinations(returns, 2)]


def test_symbols_move_together_more_over_an_hour_than_over_a_minute(market: dict[str, BarSeries]) -> None:
    """The common factor shows at one minute, and better at one hour, because trading is not synchronous."""
    minute, hour = correlations(market, 1), correlations(market, 60)

    assert all(0.44 <= value <= 0.64 for value in minute), minute
    assert all(0.60 <= value <= 0.80 for value in hour), hour
    assert all(slow > fast + 0.05 for fast, slow in zip(minute, hour, strict=True))


def test_60_days_hold_one_outage_of_all_symbols(market: dict[str, BarSeries]) -> None:
    """Once in 60 days nobody trades for two to three hours, at the same time for all."""
    outages = []
    for series in market.values():
        steps = np.diff(series.open_ns) // MINUTE_NS
        outages.append([(int(series.open_ns[i]), int(steps[i])) for i in np.flatnonzero(steps > 60)])

    assert [len(found) for found in outages] == [1, 1, 1]
    assert all(120 <= minutes <= 185 for ((_, minutes),) in outages)
    assert max(at for ((at, _),) in outages) - min(at for ((at, _),) in outages) <= 5 * MINUTE_NS


def test_a_planted_trend_shows_and_the_default_has_none() -> None:
    """Returns of neighbouring hours are uncorrelated by default, and correlated where a trend is planted."""
    found = []
    for trend in (0.0, 80.0):
        spec = replace(make_spec("BTCUSDT", days=60), trend_bp_per_hour=trend, outage_every_days=0)
        series = generate(spec)["BTCUSDT"]
        hours = np.arange(START_NS + HOUR_NS, spec.end_ns, HOUR_NS)
        closes = series.close[np.searchsorted(series.open_ns, hours) - 1]
        returns = np.diff(np.log(closes))
        found.append(correlation(returns[:-1], returns[1:]))

    assert abs(found[0]) < 0.08
    assert found[1] > 0.2


def test_announcements_jump_at_their_minutes() -> None:
    """The minutes of scheduled announcements hold far larger moves than their neighbours."""
    spec = replace(make_spec("BTCUSDT", days=60), jump_sigmas=100.0, outage_every_days=0)
    series = generate(spec)["BTCUSDT"]
    size = np.abs(np.diff(np.log(series.close)))
    clock = series.open_ns[1:] % DAY_NS // MINUTE_NS
    largest = clock[np.argsort(size)[-15:]]

    assert set(largest.tolist()) <= {750, 751, 840, 841, 1080, 1081}


# ------------------------------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"start_ns": START_NS + 1}, "whole minutes"),
        ({"end_ns": START_NS}, "end after it starts"),
        ({"symbols": ()}, "different names"),
        ({"symbols": (default_symbol("A"), default_symbol("A"))}, "different names"),
        ({"outage_every_days": -1}, "outage_every_days"),
        ({"trend_bp_per_hour": float("nan")}, "trend_bp_per_hour"),
    ],
)
def test_an_impossible_market_is_refused_in_a_sentence(changes: dict[str, object], word: str) -> None:
    """What cannot be generated is a ConfigError that names the value and survives pickling."""
    with pytest.raises(ConfigError, match=word) as caught:
        replace(make_spec(), **changes)  # type: ignore[arg-type] # any field

    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize(
    ("field", "value"), [("tick", 0.0), ("start_price", 0.00001), ("volatility_bp", 0.0), ("common_share", 1.2)]
)
def test_an_impossible_symbol_is_refused_in_a_sentence(field: str, value: float) -> None:
    """A symbol's number outside its range is a ConfigError that names the field."""
    with pytest.raises(ConfigError, match=field):
        replace(default_symbol("BTCUSDT"), **{field: value})  # type: ignore[arg-type] # any field


def test_the_hash_follows_every_value_and_nothing_else() -> None:
    """Each change of a value changes the hash; writing 42000 for 42000.0 does not."""
    spec = make_spec()
    whole = replace(spec.symbols[0], start_price=42_000)
    changed = [
        replace(spec, seed=8),
        replace(spec, end_ns=spec.end_ns + MINUTE_NS),
        replace(spec, jump_sigmas=4.0),
        replace(spec, symbols=spec.symbols[:2]),
        replace(spec, symbols=(replace(spec.symbols[0], tick=0.5), *spec.symbols[1:])),
    ]

    assert spec_hash(replace(spec, symbols=(whole, *spec.symbols[1:]))) == spec_hash(spec)
    assert len({spec_hash(one) for one in (spec, *changed)}) == 1 + len(changed)
    assert source_text(spec) == f"SYNTHETIC seed 7 {spec_hash(spec)}"
