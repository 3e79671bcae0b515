"""Rules, quotes and bars of an exchange, read without keys: bars that close together are shown together, each once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from src.brokers.ccxt_bars import CcxtBars, Row
from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_feed import SETTLE_NS, CcxtFeed, OddBar
from src.core.bars import BarSeries
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError
from src.core.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, parse_instant
from src.testing.venue import LocalVenue
from tests.brokers.ccxt_benches import ACCOUNT, COSTS, HISTORY, RULES, START_NS, standing_prices

A, B = "AAAUSDT", "BBBUSDT"
FIVE_NS = 5 * MINUTE_NS
FIRST_NS = START_NS - HISTORY * MINUTE_NS


class World:
    """Two symbols at a venue, and a feed of theirs that has no keys."""

    def __init__(self, venue: LocalVenue, series: dict[str, BarSeries], feed: CcxtFeed) -> None:
        self.venue, self.series, self.feed = venue, series, feed

    def at(self, seconds: float) -> None:
        """Read so many seconds after the start."""
        self.venue.advance_to(START_NS + round(seconds * SECOND_NS))
        self.feed.refresh()

    def shown(self, length_ns: int = MINUTE_NS) -> list[int]:
        """How many bars of each symbol are shown."""
        return [self.feed.series(symbol, length_ns).length for symbol in (A, B)]


@pytest.fixture
def world() -> Iterator[World]:
    """Prices that stand still, five bars of history, read ten seconds after the start."""
    with world_of() as made:
        yield made


@contextmanager
def world_of(lengths: tuple[int, ...] = (MINUTE_NS, FIVE_NS)) -> Iterator[World]:
    """See `world`."""
    series = {symbol: standing_prices(symbol) for symbol in (A, B)}
    rules = {symbol: replace(RULES, symbol=symbol) for symbol in (A, B)}
    with LocalVenue(series, rules, START_NS + 10 * SECOND_NS, account=ACCOUNT, costs=COSTS) as venue:
        client = CcxtClient(
            "binanceusdm", environment="real", signed=False, url=venue.url, now_ns=venue.now_ns, environ={},
            real_ns=venue.now_ns, wait=lambda seconds: None, options={"rateLimit": 0.01},
        )  # fmt: skip
        feed = CcxtFeed(client, rules, dict.fromkeys((A, B), lengths), now_ns=venue.now_ns, bars_from_ns=FIRST_NS)
        made = World(venue, series, feed)
        try:
            feed.refresh()
            yield made
        finally:
            client.close()


def test_public_data_needs_no_keys(world: World) -> None:
    """Rules, quotes and bars, and not one signed question."""
    quote = world.feed.quote(A)

    assert quote is not None
    assert (quote.bid, quote.ask, quote.instant_ns) == (99.99, 100.01, START_NS + 10 * SECOND_NS)
    assert (world.shown(), world.shown(FIVE_NS)) == ([5, 5], [1, 1])
    assert world.feed.base_series(A) is world.feed.series(A, MINUTE_NS)
    assert (world.feed.instrument(A).tick, world.feed.differing) == (0.01, ())
    asked = {call.endpoint for call in world.venue.calls}
    assert asked == {"GET exchangeInfo", "GET klines", "GET ticker/bookTicker"}


def test_all_quotes_are_one_question_and_bars_wait_for_a_boundary(world: World) -> None:
    """Between two boundaries nothing else is asked."""
    before = len(world.venue.calls)

    for seconds in (20, 30, 59):
        world.at(seconds)

    assert [call.endpoint for call in list(world.venue.calls)[before:]] == ["GET ticker/bookTicker"] * 3


def test_a_bar_has_closed_when_a_later_one_exists(world: World) -> None:
    """Nobody waits for the settling then."""
    world.at(60.2)

    assert world.shown() == [6, 6]


def test_bars_of_one_instant_are_shown_together(world: World) -> None:
    """While one of them may still come, the others wait, of all lengths; those of before do not."""
    world.at(240.2)
    world.venue.delay_bars(B, 2 * SECOND_NS)

    world.at(300.2)
    waiting = world.shown(), world.shown(FIVE_NS)
    world.at(302.3)

    assert waiting == ([9, 9], [1, 1])
    assert (world.shown(), world.shown(FIVE_NS)) == ([10, 10], [2, 2])


def test_what_is_not_there_when_its_settling_is_over_is_absent_and_stays_so(world: World) -> None:
    """It is noted when it comes, and never shown."""
    world.venue.delay_bars(B, 10 * SECOND_NS)

    world.at(62.9)
    waiting = world.shown()
    world.at(60 + SETTLE_NS / SECOND_NS)
    settled = world.shown()
    world.at(71)
    world.venue.delay_bars(B, 0)
    world.at(120.2)

    assert (waiting, settled, world.shown()) == ([5, 5], [6, 5], [7, 6])
    series = world.feed.series(B, MINUTE_NS)
    assert series.open_ns_at[5] == START_NS + MINUTE_NS
    (late,) = world.feed.late
    assert late == OddBar(
        symbol=B, timeframe_ns=MINUTE_NS, open_ns=START_NS, values=(100.0, 100.0, 100.0, 100.0, 1000.0)
    )
    world.at(180.2)
    assert len(world.feed.late) == 1


def test_a_bar_that_is_revised_is_noted_and_shown_as_it_was(world: World) -> None:
    """Once for each revision."""
    world.at(60.2)
    world.series[A].high[5] = 107.0

    world.at(120.2)
    world.at(180.2)

    assert world.feed.series(A, MINUTE_NS).high[5] == 100.0
    (revised,) = world.feed.revised
    assert (revised.symbol, revised.open_ns, revised.values[1]) == (A, START_NS, 107.0)
    assert not world.feed.late


def test_an_older_quote_does_not_take_the_place_of_a_newer_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its instant tells that nothing newer is known; a price that crosses is none."""
    world.at(70)
    told = {"bid": 90.0, "ask": 90.1, "info": {"time": START_NS // 10**6}}
    crossing = {"bid": 90.2, "ask": 90.1, "info": {"time": world.venue.now_ns() // 10**6}}
    market = world.feed.instrument(A).venue
    for answer in (told, crossing):
        monkeypatch.setattr(world.feed.client._ccxt, "fetch_bids_asks", lambda names, answer=answer: {market: answer})
        world.at(80)

        quote = world.feed.quote(A)
        assert quote is not None
        assert (quote.bid, quote.instant_ns) == (99.99, START_NS + 70 * SECOND_NS)


def test_a_price_that_stands_still_at_the_exchange_grows_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that repeat themselves are no fresh prices; a market that is quiet for a minute is."""
    world.at(70)
    market = world.feed.instrument(A).venue
    told = {"bid": 90.0, "ask": 90.1, "info": {"time": (START_NS + 70 * SECOND_NS) // 10**6}}
    monkeypatch.setattr(world.feed.client._ccxt, "fetch_bids_asks", lambda names: {market: told})

    ages = []
    for second in (130, 180, 200, 400):
        world.at(second)
        quote = world.feed.quote(A)
        assert quote is not None
        ages.append(second - (quote.instant_ns - START_NS) // SECOND_NS)

    assert ages == [0, 0, 130, 330]


def test_a_symbol_without_an_answer_keeps_the_others_waiting_until_the_settling_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is shown when it answers: it was not absent."""
    bars = world.feed.wire.bars

    def refusing(symbol: str, timeframe_ns: int, since_ns: int, count: int) -> list[Row]:
        if symbol == A:
            raise BrokerContractError("expected bars, found none")
        return bars(symbol, timeframe_ns, since_ns, count)

    monkeypatch.setattr(world.feed.wire, "bars", refusing)
    found = []
    for seconds in (60.2, 63.1):
        with pytest.raises(BrokerUnavailable):
            world.at(seconds)
        found.append(world.shown())
    monkeypatch.undo()
    world.at(65)

    assert found == [[5, 5], [5, 6]]
    assert (world.shown(), list(world.feed.late)) == ([6, 6], [])


def test_a_length_that_the_exchange_does_not_have_is_refused() -> None:
    """Before anything is asked for it."""
    with pytest.raises(ConfigError, match="7m"), world_of((7 * MINUTE_NS,)):
        raise AssertionError("it was made")


def test_what_is_not_traded_is_refused(world: World) -> None:
    """By all that is asked for a symbol."""
    for ask in (world.feed.quote, world.feed.base_series, world.feed.instrument):
        with pytest.raises(ConfigError, match="ZZZ"):
            ask("ZZZ")


# -- the bars of one series --------------------------------------------------------------------------------------------


def bars_from(from_ns: int, length_ns: int = MINUTE_NS) -> CcxtBars:
    """Nothing is decided yet."""
    return CcxtBars(BarSeries.empty(A, length_ns), from_ns)


def rows(*minutes: int) -> list[Row]:
    """Bars that open at these minutes."""
    return [(minute * MINUTE_NS, (1.0, 2.0, 0.5, 1.5, 10.0)) for minute in minutes]


def test_a_page_that_is_full_says_nothing_of_what_comes_after_it() -> None:
    """What is absent inside it is, and what lies beyond it is asked for next."""
    bars = bars_from(0)
    more, _, _ = bars.take(rows(0, 2, 3), 3, 100 * MINUTE_NS, SETTLE_NS)

    assert (more, bars.decided_ns, list(bars.closed)) == (True, 4 * MINUTE_NS, [0, 2 * MINUTE_NS, 3 * MINUTE_NS])
    more, late, _ = bars.take(rows(1, 2, 3, 4, 99), 500, 100 * MINUTE_NS, SETTLE_NS)
    assert (more, [row[0] // MINUTE_NS for row in late]) == (False, [1])
    assert bars.decided_ns == 99 * MINUTE_NS  # the last one ends now, and may still change


def test_a_bar_under_way_is_no_bar() -> None:
    """Nor is one that has ended by the clock of the exchange alone."""
    bars = bars_from(0)
    bars.take(rows(0, 1), 500, MINUTE_NS - 1, SETTLE_NS)

    assert (bars.closed, bars.decided_ns) == ({}, 0)


def test_weeks_begin_on_mondays() -> None:
    """As the exchange counts them."""
    bars = bars_from(parse_instant("2024-01-03"), 7 * DAY_NS)

    assert bars.decided_ns == parse_instant("2024-01-01")
    assert bars.ends_at(parse_instant("2024-01-08"))
