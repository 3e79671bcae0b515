"""The account's day: when it starts, in a zone, daylight saving included. Pure."""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from src.core.errors import ConfigError
from src.core.timeframe import SECOND_NS, parse_instant

__all__ = ["AccountDay"]


class AccountDay:
    """Days that start at a local time of a zone.

    Args:
        zone: IANA name such as `UTC` or `America/New_York`.
        at: local time of day, `HH:MM`.

    Raises:
        ConfigError: the zone is unknown.
    """

    def __init__(self, zone: str, at: str) -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError(f"risk.day.zone: expected a zone such as America/New_York, found {zone!r}") from None
        hour, minute = at.split(":")
        self._at = dt.time(int(hour), int(minute))

    def start_ns(self, instant_ns: int) -> int:
        """The start of the day that holds `instant_ns`."""
        local = dt.datetime.fromtimestamp(instant_ns // SECOND_NS, tz=self._zone)
        start = self._start_on(local.date())
        return start if start <= instant_ns else self._start_on(local.date() - dt.timedelta(days=1))

    def next_start_ns(self, instant_ns: int) -> int:
        """The first start of a day after `instant_ns`."""
        local = dt.datetime.fromtimestamp(instant_ns // SECOND_NS, tz=self._zone)
        start = self._start_on(local.date())
        return start if start > instant_ns else self._start_on(local.date() + dt.timedelta(days=1))

    def _start_on(self, date: dt.date) -> int:
        return parse_instant(dt.datetime.combine(date, self._at, tzinfo=self._zone).astimezone(dt.UTC))
