"""The bot's rules about sessions: when a strategy may enter, and when a position has to be gone.

Pure functions of the instant and of the calendar, the same whatever the clock; any thread.
"""

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from src.core.calendars import Calendar, calendar_named
from src.core.config import SessionConfig, StrategyConfig
from src.core.timeframe import SECOND_NS, format_instant

__all__ = ["SessionFilter", "session_exit_ns", "session_filters"]


class SessionFilter:
    """When the entries of one strategy are taken.

    Args:
        config: the calendar and the times of the day.
    """

    __slots__ = ("_calendar", "_from_s", "_text", "_to_s", "_zone")

    def __init__(self, config: SessionConfig) -> None:
        self._calendar = None if config.calendar is None else calendar_named(config.calendar)
        self._from_s = None if config.from_ is None else _seconds(config.from_)
        self._to_s = 0 if config.to is None else _seconds(config.to)
        self._zone = ZoneInfo(config.zone)
        self._text = f"{config.from_} to {config.to} {config.zone}"

    def refusal(self, instant_ns: int, symbol: str, calendar_name: str) -> str | None:
        """Why an entry at the instant is out of session, None when it is in.

        Args:
            calendar_name: the calendar of the symbol's instrument, which counts where the filter names none.
        """
        calendar = self._calendar if self._calendar is not None else calendar_named(calendar_name)
        if not calendar.is_open(instant_ns):
            return f"{symbol} is entered while {calendar.name} is open; at {format_instant(instant_ns)} it is closed"
        if self._from_s is not None and not self._in_window(instant_ns):
            return f"{symbol} is entered from {self._text}; it is {format_instant(instant_ns)}"
        return None

    def _in_window(self, instant_ns: int) -> bool:
        local = dt.datetime.fromtimestamp(instant_ns // SECOND_NS, tz=self._zone)
        now_s = (local.hour * 60 + local.minute) * 60 + local.second
        begin, end = self._from_s or 0, self._to_s
        return begin <= now_s < end if begin < end else now_s >= begin or now_s < end


def session_filters(strategies: Iterable[StrategyConfig]) -> dict[str, SessionFilter]:
    """The filter of each strategy instance that has one, by the name of its books."""
    return {one.instance: SessionFilter(one.session) for one in strategies if one.session is not None}


def session_exit_ns(calendar: Calendar, opened_ns: int, before_ns: int) -> int | None:
    """When a position that was opened at an instant has to be closed.

    That is `before_ns` before the close of the touching sessions that hold the instant, of the next ones when it lies
    between sessions, and at once when it was opened later than that. None where the market never closes.
    """
    close_ns = calendar.close_ns(opened_ns)
    if close_ns is None:
        next_ns = calendar.next_open_ns(opened_ns)
        close_ns = None if next_ns is None else calendar.close_ns(next_ns)
    return None if close_ns is None else max(opened_ns, close_ns - before_ns)


def _seconds(text: str) -> int:
    hour, minute = text.split(":")
    return (int(hour) * 60 + int(minute)) * 60
