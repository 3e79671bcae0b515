"""Sessions in the bot: which entries are in session, and when positions are closed before the market is."""

from typing import Any

import pytest

from src.core.calendars import calendar_named
from src.core.config import BotConfig, ManageConfig, SessionConfig
from src.core.errors import ConfigError
from src.core.session_rules import SessionFilter, session_exit_ns, session_filters
from src.core.timeframe import MINUTE_NS, format_instant, parse_instant
from src.core.trade_manager import TradeManager
from src.testing import bot_config
from tests.brokers.simulated.venue import START_NS, Venue
from tests.core.risk_desk import FLAT, Desk
from tests.core.test_trade_manager import Monitor

FIVE = 5 * MINUTE_NS


def entered(config: dict[str, Any], *instants: str, calendar: str = "24/7") -> list[bool]:
    """Whether an entry is in session at each instant."""
    rule = SessionFilter(SessionConfig(**config))
    return [rule.refusal(parse_instant(text), "AAA", calendar) is None for text in instants]


# -- the filter --------------------------------------------------------------------------------------------------------


def test_a_window_is_local_summer_and_winter() -> None:
    """From the first minute on and without the last one."""
    window = {"from": "09:30", "to": "15:45", "zone": "America/New_York"}

    winter = entered(window, *(f"2024-01-10T{t}Z" for t in ("14:29:59", "14:30", "20:44:59", "20:45")))
    summer = entered(window, *(f"2024-07-10T{t}Z" for t in ("13:29:59", "13:30", "19:44:59", "19:45")))

    assert winter == summer == [False, True, True, False]


def test_a_window_may_run_past_midnight() -> None:
    """Where its end comes before its start."""
    at = [f"2024-01-10T{t}Z" for t in ("21:59", "22:00", "23:59", "00:00", "01:59", "02:00")]

    assert entered({"from": "22:00", "to": "02:00"}, *at) == [False, True, True, True, True, False]


def test_a_filter_asks_the_instrument_s_calendar_or_its_own() -> None:
    """Window and calendar both have to agree."""
    friday, saturday, holiday = "2024-01-05T15:00Z", "2024-01-06T15:00Z", "2024-01-15T15:00Z"

    assert entered({}, friday, saturday, holiday, calendar="forex") == [True, False, True]
    assert entered({"calendar": "XNYS"}, friday, saturday, holiday, calendar="forex") == [True, False, False]
    assert entered({"calendar": "XNYS", "from": "14:45", "to": "14:55"}, friday, calendar="forex") == [False]
    assert entered({}, saturday) == [True]


def test_the_sentence_says_which_of_the_two_it_was() -> None:
    """A closed calendar, or the window."""
    rule = SessionFilter(SessionConfig(**{"from": "09:00", "to": "10:00"}))

    closed = rule.refusal(parse_instant("2024-01-06T09:30Z"), "EURUSD", "forex")
    late = rule.refusal(parse_instant("2024-01-05T11:00Z"), "EURUSD", "forex")

    assert closed == "EURUSD is entered while forex is open; at 2024-01-06 09:30:00Z it is closed"
    assert late == "EURUSD is entered from 09:00 to 10:00 UTC; it is 2024-01-05 11:00:00Z"


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        ({"from": "09:00"}, "expected from and to together"),
        ({"from": "09:00", "to": "09:00"}, "which is an empty window"),
        ({"from": "9:00", "to": "10:00"}, "String should match pattern"),
        ({"zone": "Mars/Base"}, "expected a zone such as America/New_York, found 'Mars/Base'"),
        ({"calendar": "XNYZ"}, "did you mean .*XNYS"),
    ],
)
def test_a_wrong_session_is_refused(session: dict[str, str], sentence: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match=sentence):
        SessionConfig(**session)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("instruments", {"AAA": {"calendar": "forx"}}, "did you mean .forex."),
        ("manage", {"session_close": {"before": "0s"}}, "greater than 0"),
    ],
)
def test_calendars_are_checked_when_a_configuration_is_read(key: str, value: object, sentence: str) -> None:
    """And not when they are first needed."""
    good = bot_config(["AAA"], [], strategies=[{"use": "sma_cross"}]).model_dump(by_alias=True)

    with pytest.raises(ValueError, match=sentence):
        BotConfig.model_validate({**good, key: value})


def test_a_filtered_book_is_refused_and_reserves_nothing() -> None:
    """Another book enters at the same instant; what is held may be closed at any time."""
    strategies = bot_config(["AAA"], [], strategies=[
        {"use": "a", "name": "day", "symbols": ["AAA"], "session": {"from": "00:00", "to": "00:03"}},
    ]).strategies  # fmt: skip
    desk = Desk(Venue([FLAT] * 12), sessions=session_filters(strategies), max_open_positions=1)

    codes = []
    for minute, book in ((2, "day"), (3, "day"), (3, "other")):
        desk.venue.clock.instant_ns = START_NS + minute * MINUTE_NS
        codes.append(desk.ask(book=book).code)

    assert codes == ["", "out_of_session", ""]


# -- the close of a session --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "opened", "expected"),
    [
        ("forex", "2024-01-02T12:00Z", "2024-01-05 21:55:00Z"),  # Tuesday: until Friday
        ("forex", "2024-01-05T21:57Z", "2024-01-05 21:57:00Z"),  # too late: at once
        ("forex", "2024-01-05T22:00Z", "2024-01-12 21:55:00Z"),  # at the close: the next week's
        ("forex", "2024-03-08T12:00Z", "2024-03-08 21:55:00Z"),
        ("forex", "2024-03-10T21:00Z", "2024-03-15 20:55:00Z"),  # after the clocks went forward
        ("XNYS", "2023-11-24T15:00Z", "2023-11-24 17:55:00Z"),  # an early close
        ("XNYS", "2023-11-24T18:00Z", "2023-11-27 20:55:00Z"),
        ("XTKS", "2024-06-03T02:45Z", "2024-06-03 05:55:00Z"),  # in the lunch break
        ("24/7", "2024-01-02T12:00Z", None),
    ],
)
def test_a_position_ends_before_the_close_of_its_market(name: str, opened: str, expected: str | None) -> None:
    """Of the touching sessions that hold its opening."""
    found = session_exit_ns(calendar_named(name), parse_instant(opened), FIVE)

    assert (None if found is None else format_instant(found)) == expected


def test_no_close_is_known_beyond_the_calendar() -> None:
    """A calendar that ends is an error there, not a market that never closes."""
    with pytest.raises(ConfigError, match="XSHG knows sessions"):
        session_exit_ns(calendar_named("XSHG"), parse_instant("2100-01-04"), FIVE)


# -- the monitor -------------------------------------------------------------------------------------------------------

#: Hong Kong is open from minute 90 to minute 480 of the story's day; 475 minutes before its close is minute 5.
HONG_KONG: dict[str, Any] = {"instrument": {"calendar": "XHKG"}}
EARLY: dict[str, Any] = {"session_close": {"before": "475m"}}


def test_the_monitor_closes_at_the_instant_and_once() -> None:
    """By its timer, and with one turn."""
    monitor = Monitor([FLAT] * 12, EARLY, **HONG_KONG)
    monitor.venue.buy()

    monitor.go_to(9)

    assert monitor.venue.told() == ["entry 100 @0", "session_close 100 @5"]
    assert monitor.turns == [5.0]


@pytest.mark.parametrize(("after", "kind"), [("3m", "time_exit 100 @3"), ("5m", "time_exit 100 @5"),
                                             ("6m", "session_close 100 @5")])  # fmt: skip
def test_the_earlier_of_two_timers_closes(after: str, kind: str) -> None:
    """The time exit where both fall due at once."""
    monitor = Monitor([FLAT] * 12, {**EARLY, "time_exit": {"after": after}}, **HONG_KONG)
    monitor.venue.buy()

    assert monitor.go_to(9).venue.told() == ["entry 100 @0", kind]


def test_what_opens_in_the_last_minutes_is_closed_at_once() -> None:
    """At the instant of its fill, and so at the same open."""
    monitor = Monitor([FLAT] * 12, EARLY, **HONG_KONG)
    monitor.go_to(7).venue.buy()

    assert monitor.go_to(10).venue.told() == ["entry 100 @7", "session_close 100 @7"]


def test_a_symbol_that_joins_is_closed_by_its_calendar_too() -> None:
    """Though the monitor knew nothing of it when it looked for the next exit."""
    monitor = Monitor({"AAA": [FLAT] * 12, "BBB": [FLAT] * 12}, EARLY, **HONG_KONG)
    alone = TradeManager(
        ManageConfig(**EARLY), {}, {}, monitor.venue.broker, monitor.risk, monitor.manager._desk,
        monitor.manager._clock, monitor.venue.journal, flatten=False, participant="monitor",
    )  # fmt: skip
    monitor.manager = alone
    monitor.go_to(1)
    alone.add_symbol("BBB", monitor.venue.broker.base_series("BBB"), {})
    monitor.venue.buy(symbol="BBB")

    assert monitor.go_to(9).venue.told() == ["entry 100 @1", "session_close 100 @5"]
