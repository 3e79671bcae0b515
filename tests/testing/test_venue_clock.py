"""The clock of the local venue: it stands, runs at a pace, and is set."""

import pytest

from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.sync import start_thread, wall_ns
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from src.testing.venue_clock import VenueClock
from tests.testing.venues import BTC, START_NS, make_venue, minute


def test_a_clock_that_stands_is_moved_by_hand() -> None:
    """It goes where it is set, and not back."""
    clock = VenueClock(START_NS)
    clock.advance_to(minute(3))

    assert clock.now_ns() == minute(3)
    with pytest.raises(ConfigError, match="cannot go back"):
        clock.advance_to(minute(2))


def test_a_running_clock_keeps_its_pace_and_can_be_held() -> None:
    """It goes so many times as fast as the real one, and stands where it was held."""
    before = wall_ns()
    clock = VenueClock(START_NS, speed=1000.0)
    while wall_ns() - before < SECOND_NS // 100:
        continue
    clock.hold()
    held, most = clock.now_ns(), (wall_ns() - before) * 1000

    assert START_NS + 10 * SECOND_NS * 0.9 <= held <= START_NS + most
    assert clock.now_ns() == held


def test_a_held_clock_goes_on_at_its_pace() -> None:
    """The time of the standstill is lost to nobody."""
    clock = VenueClock(START_NS, speed=60.0)
    clock.hold()
    held = clock.now_ns()
    clock.go_on()

    assert (clock.speed, clock.now_ns() >= held) == (60.0, True)


def test_what_is_due_happens_when_time_is_set(venue: LocalVenue) -> None:
    """The bars of the minutes that have passed are the broker's present."""
    venue.advance_to(minute(5))

    assert venue.broker.base_series("BTCUSDT").length == 65
    assert venue.now_ns() == START_NS + 5 * MINUTE_NS


def test_requests_of_many_clients_at_once_are_done_one_after_the_other() -> None:
    """While time runs, none is lost and none is done twice."""
    pytest.importorskip("ccxt")
    with make_venue(speed=60.0) as venue:

        def buy() -> None:
            client = client_of(venue)
            client.load_markets()
            for _ in range(3):
                client.create_order(BTC, "market", "buy", 0.5)
            client.close()

        for thread in [start_thread(f"buyer {i}", buy) for i in range(6)]:
            thread.join()
        held = sum(position.volume for position in venue.broker.snapshot().positions)

    assert held == 9.0
    assert sum(call.endpoint == "POST order" for call in venue.calls) == 18


def test_a_venue_needs_an_account_of_perpetuals() -> None:
    """Spot and hedging accounts are refused with a sentence."""
    account = AccountConfig.model_validate({"currency": "USDT", "balance": 1, "positions": "hedging"})
    with pytest.raises(ConfigError, match="one-way"):
        make_venue(account=account)
