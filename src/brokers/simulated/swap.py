"""Swaps: what holding a position over a night costs or brings. Pure."""

import datetime as dt
from zoneinfo import ZoneInfo

from src.core.instrument import SwapRule
from src.core.timeframe import SECOND_NS

__all__ = ["SwapNights"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class SwapNights:
    """The nights of a rule, one after the other.

    A night begins at the rule's local time, daylight saving included. Where one weekday counts three times, Saturday
    and Sunday do not count; where none does, each of the seven days counts once.

    Args:
        begin_ns: nights begin after this instant.

    Attributes:
        next_ns: when the next night begins.
        times: how often it counts.
    """

    __slots__ = ("_at", "_date", "_rule", "_zone", "next_ns", "times")

    def __init__(self, rule: SwapRule, begin_ns: int) -> None:
        self._rule = rule
        self._zone = ZoneInfo(rule.zone)
        hour, minute = rule.at.split(":")
        self._at = dt.time(int(hour), int(minute))
        local = dt.datetime.fromtimestamp(begin_ns // SECOND_NS, tz=self._zone)
        self._date = local.date() - dt.timedelta(days=1)
        self.next_ns, self.times = begin_ns, 0
        while self.next_ns <= begin_ns:
            self.advance()

    def advance(self) -> None:
        """Go on to the following night that counts."""
        self.times = 0
        while not self.times:
            self._date += dt.timedelta(days=1)
            self.times = self._count(_DAYS[self._date.weekday()])
        begins = dt.datetime.combine(self._date, self._at, tzinfo=self._zone)
        self.next_ns = int(begins.timestamp()) * SECOND_NS

    def points(self, volume: float) -> float:
        """What the night credits for each unit of a signed volume, in price units."""
        return (self._rule.long if volume > 0 else self._rule.short) * self.times

    def _count(self, day: str) -> int:
        if self._rule.triple == "none":
            return 1
        if day in ("saturday", "sunday"):
            return 0
        return 3 if day == self._rule.triple else 1
