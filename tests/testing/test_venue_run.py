"""The local venue over the market of a configuration."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import market_spec
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, SECOND_NS, parse_instant
from src.data.synthetic import generate
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from src.testing.venue_run import venue_of

START_NS = parse_instant("2024-01-02 05:30")


def settings(**more: Any) -> BacktestConfig:
    """One symbol on a synthetic market."""
    return BacktestConfig.model_validate(
        {
            "account": {"currency": "USDT", "balance": 5000, "leverage": 3},
            "instruments": {"BTCUSDT": {"venue": "BTC/USDT:USDT", "kind": "perpetual", "tick": 0.1, **more}},
            "symbols": ["BTCUSDT"],
            "strategies": [{"use": "breakout"}],
            "risk": {"size": {"volume": 1}},
            "backtest": {
                "start": "2024-01-02 05:30", "end": "2024-01-02 06:30",
                "data": {"source": "synthetic", "begins": "2024-01-02", "store": "none"},
                "costs": {"spread_percent": 0.02, "commission_percent": 0, "slippage_percent": 0},
            },
        }
    )  # fmt: skip


@pytest.fixture
def venue() -> Iterator[LocalVenue]:
    """Its clock stands."""
    with venue_of(settings(), Path(), speed=1.0, waits=False) as made:
        made.hold()
        yield made


def test_the_venue_has_the_bars_of_the_backtest_and_goes_on(venue: LocalVenue) -> None:
    """The same market, a day longer."""
    spec = market_spec(settings())
    base = venue.broker.base_series("BTCUSDT")
    backtest = generate(spec)["BTCUSDT"]

    assert base.close[: backtest.loaded].tolist() == backtest.close.tolist()
    assert base.loaded == generate(replace(spec, end_ns=spec.end_ns + DAY_NS))["BTCUSDT"].loaded
    assert venue.broker.snapshot().account.balance == 5000


def test_the_quote_is_that_of_the_open_of_the_bar_under_way(venue: LocalVenue) -> None:
    """What a market order pays, and not the close before it; also when nobody has placed any."""
    venue.advance_to(START_NS + 90 * SECOND_NS)
    base = venue.broker.base_series("BTCUSDT")
    opening = base.open_at[base.length]
    client = client_of(venue)
    quote = client.fetch_bids_asks(["BTC/USDT:USDT"])["BTC/USDT:USDT"]
    order = client.create_order("BTC/USDT:USDT", "market", "buy", 0.01)
    client.close()

    assert base.open_ns_at[base.length] == START_NS + 60 * SECOND_NS
    assert (quote["bid"], quote["ask"]) == pytest.approx((opening * 0.9999, opening * 1.0001), rel=1e-12)
    assert order["average"] == pytest.approx(quote["ask"], rel=1e-12)


def test_its_time_stands_until_somebody_asks() -> None:
    """A bot that needs seconds to begin misses nothing."""
    with venue_of(settings(), Path(), speed=60.0) as waiting:
        before = waiting.now_ns(), waiting.now_ns()
        client = client_of(waiting)
        client.fetch_time()
        client.close()
        running = waiting.clock.speed

    assert before == (START_NS, START_NS)
    assert running == 60.0


@pytest.mark.parametrize(
    ("more", "start_ns", "sentence"),
    [
        ({"kind": "spot"}, None, "the local venue has perpetuals in USDT"),
        ({"venue": "ETH/USDT:USDT"}, None, "found BTCUSDT, a perpetual in USDT at 'ETH/USDT:USDT'"),
        ({}, START_NS + 30 * DAY_NS, "expected bars of BTCUSDT around the instant"),
    ],
)
def test_what_no_such_venue_can_trade_is_refused(more: dict[str, Any], start_ns: int | None, sentence: str) -> None:
    """Before anything is served."""
    with pytest.raises(ConfigError, match=sentence):
        venue_of(settings(**more), Path(), start_ns=start_ns)
