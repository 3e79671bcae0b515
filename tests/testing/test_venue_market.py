"""Market data of the local venue as the exchange's own client reads them."""

from typing import Any

import pytest

from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from src.testing.worlds import price_tape
from tests.testing.venues import BTC, ETH, START_NS, make_venue, minute

pytest.importorskip("ccxt")


def test_the_client_reads_the_rules_of_the_symbols(client: Any) -> None:
    """Tick, step, volumes and least value arrive as they are."""
    market = client.market(BTC)

    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert market["limits"]["amount"] == {"min": 0.002, "max": 5000.0}
    assert market["limits"]["cost"]["min"] == 5.0
    assert (market["linear"], market["swap"], market["settle"]) == (True, True, "USDT")


def test_a_bar_under_way_shows_its_open_alone() -> None:
    """Nothing of a bar that has not closed is told but the price at which it opened."""
    with make_venue([(100.0, 150.0, 90.0, 120.0), (121.0, 130.0, 110.0, 111.0)]) as venue:
        client = client_of(venue)
        venue.advance_to(minute(1.5))

        bars = client.fetch_ohlcv(BTC, "1m", limit=2)
        client.close()

    assert bars == [[START_NS // 10**6, 100.0, 150.0, 90.0, 120.0, 1.0], [minute(1) // 10**6, 121, 121, 121, 121, 0.0]]


def test_a_longer_bar_under_way_grows_with_the_bars_in_it() -> None:
    """A bar of five minutes that is under way has the extremes of the minutes that have closed in it."""
    with make_venue([101.0, 99.0, 105.0]) as venue:
        client = client_of(venue)
        venue.advance_to(minute(2))

        bars = client.fetch_ohlcv(BTC, "5m", since=START_NS // 10**6)
        client.close()

    assert bars == [[START_NS // 10**6, 100.0, 101.0, 99.0, 99.0, 2.0]]


def test_bars_between_two_instants(client: Any) -> None:
    """Start and limit choose the first bars from there on, as the exchange does."""
    since = (START_NS - 10 * MINUTE_NS) // 10**6

    bars = client.fetch_ohlcv(BTC, "1m", since=since, limit=3)

    assert [(bar[0] - since) // 60_000 for bar in bars] == [0, 1, 2]


def test_late_bars_come_later(venue: LocalVenue, client: Any) -> None:
    """A bar that is shown late is absent at first, and not shown as one that is under way."""
    venue.delay_bars("BTCUSDT", 5 * SECOND_NS)
    venue.advance_to(minute(1) + SECOND_NS)
    early = client.fetch_ohlcv(BTC, "1m", limit=1)[-1][0]
    venue.advance_to(minute(1) + 6 * SECOND_NS)
    late = client.fetch_ohlcv(BTC, "1m", limit=1)[-1][0]

    assert (early, late) == (minute(-1) // 10**6, minute(1) // 10**6)


def test_one_request_has_the_quotes_of_all_symbols(venue: LocalVenue, client: Any) -> None:
    """Bid and ask of every symbol come at once, of the venue's present."""
    quotes = client.fetch_bids_asks()

    assert {symbol: (each["bid"], each["ask"]) for symbol, each in quotes.items()} == {BTC: (100, 100), ETH: (50, 50)}
    assert quotes[BTC]["timestamp"] == venue.now_ns() // 10**6


def test_ticks_move_the_quote_between_bars() -> None:
    """With a tape the quote follows it while the bar is under way, and orders fill at it."""
    rows = [(0, 100.0, 100.2), (20, 101.0, 101.2), (40, 102.0, 102.2), (50, 103.0, 103.2)]
    tapes = {
        "BTCUSDT": price_tape("BTCUSDT", rows, START_NS),
        "ETHUSDT": price_tape("ETHUSDT", [(0, 50.0, 50.1)], START_NS),
    }
    with make_venue(tapes=tapes) as venue:
        client = client_of(venue)
        venue.advance_to(START_NS + 30 * SECOND_NS)
        quote = client.fetch_bids_asks([BTC])[BTC]
        order = client.create_order(BTC, "market", "buy", 1.0)
        venue.advance_to(START_NS + 45 * SECOND_NS)
        filled = client.fetch_order(order["id"], BTC)
        client.close()

    assert (quote["bid"], quote["ask"]) == (101.0, 101.2)
    assert (order["status"], filled["status"], filled["average"]) == ("open", "closed", 102.2)


def test_the_server_tells_its_own_time(venue: LocalVenue, client: Any) -> None:
    """The clock stands where it is set, and what the client reads is that."""
    venue.advance_to(minute(7))

    assert client.fetch_time() == minute(7) // 10**6
