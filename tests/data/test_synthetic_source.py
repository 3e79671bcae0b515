"""The synthetic market as a source: symbols of all kinds, in the sessions of their calendars."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.calendars import calendar_named
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.sources import source_named
from src.data.sources.synthetic import with_instruments
from src.data.store import HistoricalDataStore
from src.data.syncing import sync_bars
from src.data.synthetic import default_symbol

FRIDAY_NS = parse_instant("2024-01-05")
COINS = {"EURUSD": {"kind": "crypto", "calendar": "24/7"}}


def bars(symbol: str, days: int, options: Mapping[str, Any] | None = None) -> BarSeries:
    """The bars from a Friday on, so many days."""
    source = source_named("synthetic:7", options=options)
    (found,) = source.bars(symbol, MINUTE_NS, FRIDAY_NS, FRIDAY_NS + days * DAY_NS)
    return found


def test_a_pair_of_currencies_is_quoted_in_the_forex_week() -> None:
    """Its name tells so much; the bars are those of the bid, none at the weekend, and a coin trades on."""
    pair, coin = bars("EURUSD", 3), bars("BTCUSDT", 3)
    about = source_named("synthetic:7").symbol("EURUSD")

    assert (pair.price_side, about.price_side, about.kind, coin.price_side) == ("bid", "bid", "fx", "trade")
    assert (about.defaults["kind"], about.defaults["calendar"]) == ("fx", "forex")
    assert calendar_named("forex").in_session(pair.open_ns).all()
    assert np.diff(pair.open_ns).max() > 48 * HOUR_NS > 10 * HOUR_NS > np.diff(coin.open_ns).max()


def test_what_is_said_of_a_symbol_goes_before_its_name() -> None:
    """Kind, calendar and tick are stated by symbol; what is left open follows the kind."""
    coin = bars("EURUSD", 3, COINS)
    coarse = bars("EURUSD", 1, {"EURUSD": {"tick": 0.001}})
    around = source_named("synthetic:7", options={"ABC": {"kind": "fx"}}).symbol("ABC")

    assert (coin.price_side, bool(np.diff(coin.open_ns).max() < 10 * HOUR_NS)) == ("trade", True)
    assert np.allclose(coarse.close * 1000, np.rint(coarse.close * 1000), atol=1e-6)
    assert (around.kind, around.defaults["calendar"]) == ("fx", "forex")


@pytest.mark.parametrize(("name", "tick"), [("BTCUSDT", 0.5), ("COINUSDT", 0.5), ("COINUSDT", 0.00000001)])
def test_a_coin_trades_on_the_tick_of_its_instrument(name: str, tick: float) -> None:
    """Best known or not; its price is not so small that a coarse tick would hold it still, and the tick is told on."""
    source = source_named("synthetic:7", options=with_instruments("synthetic:7", {}, {name: {"tick": tick}}))
    (found,) = source.bars(name, MINUTE_NS, FRIDAY_NS, FRIDAY_NS + HOUR_NS)
    counts = np.concatenate([found.open, found.high, found.low, found.close]) / tick

    assert np.allclose(counts, np.rint(counts), rtol=1e-12)
    assert found.loaded > 50 > 10 > np.count_nonzero(found.high == found.low)
    assert source.symbol(name).defaults["tick"] == tick
    assert source_named("synthetic:7").symbol(name).defaults["tick"] == 0.0


def test_the_usual_tick_of_a_coin_changes_nothing_when_it_is_stated() -> None:
    """The market is the one of the same name without a word."""
    usual = default_symbol("COINUSDT")

    assert default_symbol("COINUSDT", tick=usual.tick) == usual


@pytest.mark.slow  # importing the calendars of exchanges takes a second or two
def test_a_share_has_the_sessions_of_its_exchange() -> None:
    """Nothing is asked of a calendar but the window, and a window without a session has no bars."""
    source = source_named("synthetic:7", options={"ABC": {"kind": "equity", "calendar": "XNYS"}})
    (found,) = source.bars("ABC", MINUTE_NS, FRIDAY_NS, FRIDAY_NS + DAY_NS)
    holiday = list(source_named("synthetic:7", options={"ABC": {"kind": "equity"}}).bars(
        "ABC", MINUTE_NS, parse_instant("2024-01-01"), parse_instant("2024-01-01 20:00")
    ))  # fmt: skip

    assert 350 < found.loaded <= 390
    assert calendar_named("XNYS").in_session(found.open_ns).all()
    assert holiday == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timeout": 3}, "expected kind, calendar, tick of a symbol"),
        ({"EURUSD": {"colour": "red"}}, "expected kind, calendar, tick of a symbol"),
        ({"EURUSD": {"kind": "forex"}}, "expected the kind of synthetic symbol"),
        ({"EURUSD": {"calendar": "forexx"}}, "forexx"),
        ({"EURUSD": {"tick": "small"}}, "expected EURUSD.tick to be a number"),
        ({"XRPUSDT": {"tick": 1}}, "expected tick of synthetic symbol 'XRPUSDT' between 1e-12 and 0.62, found 1"),
    ],
)
def test_a_wrong_word_about_a_symbol_is_refused_with_the_source(options: dict[str, Any], sentence: str) -> None:
    """Before anything is generated."""
    with pytest.raises(ConfigError, match=sentence):
        source_named("synthetic:7", options=options)


def test_the_name_tells_where_the_market_begins_as_a_date() -> None:
    """With the time of the day where it is not midnight."""
    names = [source_named(f"synthetic:7{at}").name for at in ("", "@2020-02-01", "@2020-02-01T12:30:00Z")]

    assert names == [
        "SYNTHETIC seed 7 from 2024-01-01", "SYNTHETIC seed 7 from 2020-02-01",
        "SYNTHETIC seed 7 from 2020-02-01 12:30:00Z",
    ]  # fmt: skip


def test_instruments_say_what_options_leave_open() -> None:
    """What is stated stays; other sources are told nothing of it."""
    instruments = {
        "EURUSD": {"kind": "fx", "calendar": "forex", "tick": 0.0001, "currency": "USD"},
        "COIN": {"kind": "perpetual", "calendar": "24/7", "tick": 0.0},
    }
    found = with_instruments("synthetic:7", {"EURUSD": {"calendar": "24/7"}}, instruments)

    assert found == {
        "EURUSD": {"kind": "fx", "calendar": "24/7", "tick": 0.0001}, "COIN": {"kind": "crypto", "calendar": "24/7"},
    }  # fmt: skip
    assert with_instruments("ccxt:binance", {"timeout": 3}, instruments) == {"timeout": 3}


def test_bars_of_another_calendar_are_not_mixed_into_a_series(store: HistoricalDataStore) -> None:
    """They are those of another market, although seed and name are the same; the stored ones go on."""
    window = (FRIDAY_NS, FRIDAY_NS + HOUR_NS)
    sync_bars(store, source_named("synthetic:7", options=COINS), "EURUSD", MINUTE_NS, *window)
    with pytest.raises(ConfigError, match="expected kind spot and calendar 24/7, as its stored bars from SYNTHETIC"):
        sync_bars(store, source_named("synthetic:7"), "EURUSD", MINUTE_NS, *window)
    again = sync_bars(store, source_named("synthetic:7", options=COINS), "EURUSD", MINUTE_NS, *window)

    assert again.asked == ()
