"""When the risk manager takes no entries at all: spread, blocks, the pause after a loss, and the day's loss limit."""

from dataclasses import replace
from typing import Any

import pytest

from src.core.timeframe import HOUR_NS, MINUTE_NS, parse_instant
from tests.brokers.simulated.venue import START_NS, Venue
from tests.core.risk_desk import FLAT, Desk, flat, three_symbols

# -- closed for entries ------------------------------------------------------------------------------------------------


def test_a_wide_spread_refuses_entries() -> None:
    """The spread is measured against the middle of bid and ask."""
    assert Desk(Venue([FLAT], costs={"spread_points": 0.2}), max_spread_percent=0.1).ask().code == "spread"
    assert Desk(Venue([FLAT], costs={"spread_points": 0.2}), max_spread_percent=0.21).ask().accepted


def test_a_blocked_symbol_takes_no_entries() -> None:
    """Other symbols go on."""
    desk = Desk(three_symbols())

    desk.risk.block("AAA", "AAA was stopped after an error")

    assert (desk.ask("buy", "AAA").code, desk.ask("buy", "BBB").code) == ("blocked", "")


def test_without_a_price_nothing_is_judged() -> None:
    """A symbol whose data begin later refuses until then."""
    venue = Venue({"AAA": [FLAT, FLAT], "BBB": [None, None, FLAT, FLAT]})

    assert Desk(venue).ask("buy", "BBB").code == "no_price"


def test_after_a_loss_a_book_pauses_and_a_refused_signal_does_not_use_the_pause_up() -> None:
    """The pause runs from the exit, whoever asks meanwhile; another book and symbol are free; a profit starts none."""
    venue = three_symbols(costs={"commission_per_unit": 1.0})
    desk = Desk(venue, cool_down_after_loss="3m")
    desk.enter("buy", "AAA")
    venue.go_to(1).close()
    venue.go_to(2)
    desk.risk.trade_closed(venue.trades[0])
    desk.risk.trade_closed(replace(venue.trades[0], symbol="CCC", net=5.0))

    codes = []
    for minute in (2, 2.5, 3.9, 4):
        venue.clock.instant_ns = START_NS + round(minute * MINUTE_NS)
        codes.append(desk.ask("buy", "AAA").code)

    assert venue.trades[0].exit_ns == START_NS + MINUTE_NS
    assert codes == ["cool_down", "cool_down", "cool_down", ""]
    venue.clock.instant_ns = START_NS + 2 * MINUTE_NS
    assert [desk.ask("buy", "BBB").code, desk.ask("buy", "CCC").code] == ["", ""]
    assert desk.ask("buy", "AAA", book="other").code == ""


@pytest.mark.parametrize(("price", "code"), [(96.0, "cool_down"), (104.0, "")])
def test_a_losing_position_is_not_turned_around_when_its_loss_starts_a_pause(price: float, code: str) -> None:
    """Its loss would be followed by a pause that the new position ignores; reducing and closing stay possible."""
    venue = Venue([FLAT, FLAT, *[flat(price)] * 6])
    desk = Desk(venue, cool_down_after_loss="30m", size={"volume": 2})
    desk.enter("buy")
    venue.go_to(2)

    assert desk.ask("sell", reverse=True).code == code
    assert desk.ask("sell", volume=3.0).code == code
    assert desk.ask("sell", volume=2.0).accepted


# -- the day -----------------------------------------------------------------------------------------------------------


def loser() -> tuple[Venue, Desk]:
    """A position that loses 4 percent of the account in its second minute."""
    venue = Venue({"AAA": [FLAT, flat(100), flat(96), *[flat(96)] * 9], "BBB": [FLAT] * 12})
    desk = Desk(venue, daily_loss_limit_percent=3)
    desk.risk.start_day()
    venue.buy(100, symbol="AAA", client_id="big")
    return venue, desk


def test_the_daily_loss_limit_refuses_entries_until_the_next_day() -> None:
    """It is measured on equity, open losses included; the new day lifts it and has a floor of its own."""
    venue, desk = loser()
    venue.go_to(1)
    assert not desk.risk.loss_limit_reached()
    venue.go_to(2)

    assert desk.risk.loss_limit_reached()
    assert desk.ask("buy", "BBB").code == "daily_loss"
    assert desk.risk.trip() == 9_600.0
    assert not desk.risk.loss_limit_reached()
    assert desk.ask("buy", "BBB").code == "daily_loss"
    venue.close()
    venue.go_to(3)
    assert desk.ask("buy", "BBB").code == "daily_loss"
    desk.risk.start_day()
    assert desk.ask("buy", "BBB").accepted


@pytest.mark.parametrize(
    ("zone", "at", "now", "expected"),
    [
        ("UTC", "00:00", "2024-01-02T10:00:00Z", "2024-01-03T00:00:00Z"),
        ("UTC", "00:00", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"),
        ("America/New_York", "17:00", "2024-01-02T21:59:00Z", "2024-01-02T22:00:00Z"),
        ("America/New_York", "17:00", "2024-01-02T22:00:00Z", "2024-01-03T22:00:00Z"),
        ("America/New_York", "17:00", "2024-03-09T23:00:00Z", "2024-03-10T21:00:00Z"),
        ("America/New_York", "17:00", "2024-11-02T22:00:00Z", "2024-11-03T22:00:00Z"),
    ],
)
def test_the_day_starts_at_its_local_time_summer_and_winter(zone: str, at: str, now: str, expected: str) -> None:
    """The days on which the clocks change are 23 and 25 hours long."""
    venue = Venue([FLAT])
    desk = Desk(venue, daily_loss_limit_percent=3, day={"zone": zone, "at": at})
    venue.clock.instant_ns = parse_instant(now)

    desk.risk.start_day()

    assert desk.risk.day_due_ns() == parse_instant(expected)


def test_without_a_daily_limit_there_is_no_day() -> None:
    """No timer, no floor."""
    desk = Desk(Venue([FLAT]))

    assert (desk.risk.watches_equity, desk.risk.day_due_ns()) == (False, None)
    assert not desk.risk.loss_limit_reached()


def test_the_broker_is_not_asked_while_the_lock_is_held() -> None:
    """A broker that calls back into the manager from any question does not find it locked."""
    venue = Venue([FLAT])
    desk = Desk(venue, daily_loss_limit_percent=3, max_open_risk_percent=5)
    desk.risk.start_day()
    asked = []

    class Curious:
        def __getattr__(self, name: str) -> Any:
            inner = getattr(venue.broker, name)

            def call(*args: Any) -> Any:
                asked.append(name)
                free = desk.risk._lock.acquire(blocking=False)
                assert free, f"{name} was asked with the lock held"
                desk.risk._lock.release()
                return inner(*args)

            return call

    desk.risk._broker = Curious()  # stands for the broker and watches the lock
    verdict = desk.ask("buy", stop=99.0)

    assert verdict.accepted
    assert {"snapshot", "quote"} <= set(asked)


def test_a_cool_down_longer_than_the_day_is_kept() -> None:
    """The new day lifts the loss limit, not the pause."""
    venue, desk = loser()
    desk = Desk(venue, daily_loss_limit_percent=3, cool_down_after_loss="48h")
    desk.risk.start_day()
    venue.go_to(2).close("big")
    venue.go_to(3)
    desk.risk.trade_closed(venue.trades[0])

    venue.clock.instant_ns += 30 * HOUR_NS
    desk.risk.start_day()

    assert desk.ask("buy", "AAA").code == "cool_down"
