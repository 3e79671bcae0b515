"""Synthetic quotes and trades: the bars made of them are the generated bars, bit by bit."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # type: ignore[import-not-found] # no stubs

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.synthetic import SyntheticSpec, SyntheticSymbol, default_symbol, generate
from src.data.synthetic_ticks import SyntheticTicks, bars_from_quotes, bars_from_trades, generate_ticks
from src.data.tapes import QuoteTape, TradeTape

START_NS = parse_instant("2024-03-04")  # a Monday
COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")

# Any machine makes these ticks; see the digest of the bars.
THREE_DAYS_DIGEST = "d5fb3fba42336eeefb38d00ecb70632ac97ef388a95f4515a44c1601a87d0421"

SYMBOLS = (
    default_symbol("BTCUSDT"),
    default_symbol("EURUSD", kind="fx"),
    default_symbol("AAPL", kind="equity"),
)


def spec_of(*symbols: SyntheticSymbol, days: float = 3, seed: int = 7) -> SyntheticSpec:
    """A market of these symbols."""
    return SyntheticSpec(seed=seed, start_ns=START_NS, end_ns=START_NS + round(days * DAY_NS), symbols=symbols)


def rows(series: BarSeries) -> list[list[float]]:
    """The columns as plain numbers."""
    return [getattr(series, column).tolist() for column in COLUMNS]


def rebuilt(ticks: SyntheticTicks, volume_step: float) -> BarSeries:
    """The bars that the ticks make."""
    if ticks.trades is None:
        return bars_from_quotes(ticks.quotes, volume_step)
    return bars_from_trades(ticks.trades, volume_step)


def columns_of(tape: QuoteTape | TradeTape) -> dict[str, list[float]]:
    """A tape's columns as plain numbers."""
    names = ("bid", "ask", "bid_size", "ask_size") if isinstance(tape, QuoteTape) else ("price", "volume", "trade_id")
    return {name: getattr(tape, name).tolist() for name in ("ts_ns", *names)}


def part(series: BarSeries, first: int, last: int) -> BarSeries:
    """Some bars of a series."""
    columns = [getattr(series, name)[first:last] for name in COLUMNS]
    return BarSeries(series.symbol, MINUTE_NS, *columns, price_side=series.price_side)


def digest(ticks: dict[str, SyntheticTicks]) -> str:
    """A digest of every bit of every column of every tape."""
    state = hashlib.sha256()
    for made in ticks.values():
        for tape in (made.quotes, made.trades):
            for values in columns_of(tape).values() if tape is not None else ():
                state.update(np.asarray(values).astype("<f8").tobytes())
    return state.hexdigest()


@pytest.fixture(scope="module")
def spec() -> SyntheticSpec:
    """Three days of a coin, a pair and a share."""
    return spec_of(*SYMBOLS)


@pytest.fixture(scope="module")
def market(spec: SyntheticSpec) -> dict[str, BarSeries]:
    """Its bars."""
    return generate(spec)


@pytest.fixture(scope="module")
def ticks(spec: SyntheticSpec, market: dict[str, BarSeries]) -> dict[str, SyntheticTicks]:
    """Its ticks."""
    return {name: generate_ticks(spec, series) for name, series in market.items()}


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.symbol)
def test_bars_built_from_the_ticks_are_the_generated_bars(
    market: dict[str, BarSeries], ticks: dict[str, SyntheticTicks], symbol: SyntheticSymbol
) -> None:
    """Open, high, low, close and volume of every minute, to the last bit; trades or, where nobody has them, bids."""
    found = rebuilt(ticks[symbol.symbol], symbol.volume_step)

    assert rows(found) == rows(market[symbol.symbol])
    assert found.price_side == symbol.price_side


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    tick=st.sampled_from([0.00001, 0.01, 0.1, 1.0, 25.0]),
    volume=st.sampled_from([1.0, 3.0, 1000.0, 1e12]),
    step=st.sampled_from([1.0, 0.001, 100.0]),
    kind=st.sampled_from(["crypto", "fx"]),
)
def test_any_symbol_gives_its_bars_back(seed: int, tick: float, volume: float, step: float, kind: str) -> None:
    """Whatever tick and volume, down to a single step a minute, and prices that have fallen to one tick."""
    symbol = SyntheticSymbol(
        symbol="ANY", start_price=200.0 * tick, tick=tick, volatility_bp=60.0, volume=volume * step, volume_step=step,
        kind=kind,
    )  # fmt: skip
    spec = spec_of(symbol, days=0.2, seed=seed)
    series = generate(spec)["ANY"]
    made = generate_ticks(spec, series)

    assert rows(rebuilt(made, step)) == rows(series)
    assert (made.quotes.bid > 0).all()
    assert (made.quotes.ask > made.quotes.bid).all()


def test_stamps_never_go_back_and_many_ticks_share_one(
    market: dict[str, BarSeries], ticks: dict[str, SyntheticTicks]
) -> None:
    """Four to sixteen ticks a bar on whole milliseconds of its minute, in order, a good part with equal stamps."""
    for name, series in market.items():
        stamps = ticks[name].quotes.ts_ns
        counts = np.unique(stamps // MINUTE_NS, return_counts=True)[1]

        assert (np.diff(stamps) >= 0).all()
        assert not (stamps % 1_000_000).any()
        assert 0.1 < (np.diff(stamps) == 0).mean() < 0.4
        assert len(counts) == series.loaded
        assert 4 <= counts.min() < counts.max() <= 16


@pytest.mark.parametrize("name", ["BTCUSDT", "AAPL"])
def test_each_trade_met_a_quote(ticks: dict[str, SyntheticTicks], name: str) -> None:
    """Sellers hit the bid and buyers take the ask of the quote of the same row, never for more than it showed."""
    quotes, trades = ticks[name].quotes, ticks[name].trades
    assert trades is not None
    sold = trades.buyer_is_maker

    assert trades.ts_ns.tolist() == quotes.ts_ns.tolist()
    assert (trades.price == np.where(sold, quotes.bid, quotes.ask)).all()
    assert (trades.volume <= np.where(sold, quotes.bid_size, quotes.ask_size)).all()
    assert (trades.volume > 0).all()
    assert (np.diff(trades.trade_id) > 0).all()
    assert 0.4 < sold.mean() < 0.6


def test_spreads_widen_around_the_close_of_new_york(ticks: dict[str, SyntheticTicks]) -> None:
    """EURUSD: the usual spread is half a basis point, the widest hours are those around 17:00 New York."""
    quotes = ticks["EURUSD"].quotes
    spread = (quotes.ask - quotes.bid) / quotes.bid * 1e4
    hour = quotes.ts_ns // HOUR_NS % 24
    by_hour = np.array([np.median(spread[hour == each]) for each in range(24)])

    assert 0.4 < np.median(spread) < 0.7
    assert 2.0 < np.percentile(spread, 99) / np.median(spread) < 10.0
    assert set(np.argsort(by_hour)[-2:].tolist()) == {21, 22}  # 17:00 of New York is 22:00 UTC in early March
    assert by_hour[[21, 22]].min() > 1.5 * np.median(by_hour)


def test_spreads_of_a_share_are_widest_after_its_open(ticks: dict[str, SyntheticTicks]) -> None:
    """AAPL: the first minutes of a session cost more than twice the middle."""
    quotes = ticks["AAPL"].quotes
    spread = (quotes.ask - quotes.bid) / quotes.bid * 1e4
    minute = quotes.ts_ns % DAY_NS // MINUTE_NS - 14 * 60 - 30

    assert np.median(spread[(minute >= 0) & (minute < 10)]) > 2.0 * np.median(spread[(minute > 120) & (minute < 240)])


def test_a_slice_of_the_bars_gives_that_slice_of_the_ticks(
    spec: SyntheticSpec, market: dict[str, BarSeries], ticks: dict[str, SyntheticTicks]
) -> None:
    """A minute's ticks hang on seed, symbol and minute: other symbols, a longer window or fewer bars change none."""
    longer = replace(spec, end_ns=spec.end_ns + DAY_NS, symbols=spec.symbols[:1])
    series, whole = market["BTCUSDT"], ticks["BTCUSDT"]
    some = generate_ticks(longer, part(series, 500, 900))
    assert whole.trades is not None
    assert some.trades is not None
    bounds = int(series.open_ns[500]), int(series.open_ns[899]) + MINUTE_NS
    first, last = np.searchsorted(whole.quotes.ts_ns, bounds)

    assert columns_of(some.quotes) == {name: column[first:last] for name, column in columns_of(whole.quotes).items()}
    assert columns_of(some.trades) == {name: column[first:last] for name, column in columns_of(whole.trades).items()}


def test_no_bars_give_no_ticks(spec: SyntheticSpec, market: dict[str, BarSeries]) -> None:
    """An empty window has empty tapes, and empty tapes have no bars."""
    for name, series in market.items():
        made = generate_ticks(spec, part(series, 0, 0))

        assert (len(made.quotes), rebuilt(made, 1.0).loaded, name) == (0, 0, series.symbol)


def test_the_ticks_are_those_of_this_version_of_the_generator(ticks: dict[str, SyntheticTicks]) -> None:
    """A change of the generator does not go unnoticed: the ticks of seed 7 have a written digest."""
    assert digest(ticks) == THREE_DAYS_DIGEST


PROGRAM = """
from numpy._core._multiarray_umath import __cpu_features__
from tests.data.test_synthetic_ticks import SYMBOLS, digest, spec_of
from src.data.synthetic import generate
from src.data.synthetic_ticks import generate_ticks
spec = spec_of(*SYMBOLS)
made = {name: generate_ticks(spec, series) for name, series in generate(spec).items()}
print(digest(made), ",".join(name for name, has in __cpu_features__.items() if has))
"""


@pytest.mark.slow
def test_a_processor_without_vector_units_makes_the_same_ticks(pytestconfig: pytest.Config) -> None:
    """Sessions, gaps, quotes and trades keep every bit with numpy's vector features and the hash seed switched."""
    features = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    if not features:
        pytest.skip("numpy reports no processor feature here that could be switched off")
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(features), "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=pytestconfig.rootpath, env=environment, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    found, used = done.stdout.split(" ")

    assert not set(used.strip().split(",")) & set(features)
    assert found == THREE_DAYS_DIGEST


def test_bars_of_another_market_are_refused(spec: SyntheticSpec) -> None:
    """Ticks are made inside bars of the same market only."""
    other = generate(spec_of(default_symbol("ETHUSDT"), days=0.25))["ETHUSDT"]

    with pytest.raises(ConfigError, match="expected bars of BTCUSDT, EURUSD, AAPL, found bars of ETHUSDT"):
        generate_ticks(spec, other)
