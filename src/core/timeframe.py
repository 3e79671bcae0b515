"""Durations and timeframes as text ("15m", "1h", "250ms") and as integer nanoseconds.

Pure functions; any thread. Instants are nanoseconds since the Unix epoch, UTC, everywhere inside Lockstep.
"""

import datetime as dt
import re

from src.core.errors import ConfigError

__all__ = [
    "DAY_NS",
    "HOUR_NS",
    "MINUTE_NS",
    "SECOND_NS",
    "format_duration",
    "format_instant",
    "parse_duration",
    "parse_instant",
    "parse_timeframe",
]

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": MINUTE_NS,
    "h": HOUR_NS,
    "d": DAY_NS,
    "w": 7 * DAY_NS,
}
#: What stands behind the microseconds of an instant: up to three more digits.
_FINER = re.compile(r"[.,]\d{6}(\d{1,3})\d*(?![\d:])")
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d|w)\s*$")


def parse_duration(text: str | int) -> int:
    """Nanoseconds of a duration such as `30m`, `1.5s` or `0s`; a bare 0 is allowed.

    Raises:
        ConfigError: the text is not a number followed by one of ns, us, ms, s, m, h, d, w.
    """
    if text in (0, "0"):
        return 0
    match = _DURATION.match(str(text))
    if match is None:
        raise ConfigError(f"expected a duration such as 30s, 15m, 4h or 1d, found {text!r}", found=str(text))
    value = float(match.group(1)) * _UNITS[match.group(2)]
    return round(value)


def parse_timeframe(text: str) -> int:
    """Nanoseconds of a timeframe: any whole number of minutes, such as 7m, 45m, 4h, 1d or 1w.

    A day and a week are the nominal lengths; where their bars begin and end is the business of the symbol's calendar.

    Raises:
        ConfigError: not a duration, or not a positive multiple of one minute.
    """
    ns = parse_duration(text)
    if ns <= 0 or ns % MINUTE_NS:
        raise ConfigError(f"expected a timeframe of whole minutes such as 15m, 1h or 1d, found {text!r}", found=text)
    return ns


def format_duration(ns: int) -> str:
    """The shortest text that `parse_duration` reads back as `ns`: 900000000000 gives `15m`."""
    for unit in ("w", "d", "h", "m", "s", "ms", "us"):
        if ns and ns % _UNITS[unit] == 0:
            return f"{ns // _UNITS[unit]}{unit}"
    return f"{ns}ns" if ns else "0s"


def parse_instant(value: str | int | dt.date | dt.datetime) -> int:
    """Nanoseconds UTC of a date or ISO instant; without a zone it is UTC, a bare date is its midnight.

    Raises:
        ConfigError: the text is no ISO date or instant.
    """
    if isinstance(value, bool):
        raise ConfigError(f"expected a date such as 2024-01-31, found {value!r}", found=str(value))
    if isinstance(value, int):
        return value
    beyond_ns = 0
    if isinstance(value, str):
        # `fromisoformat` reads microseconds and drops what comes after them.
        finer = _FINER.search(value)
        beyond_ns = int(finer[1].ljust(3, "0")) if finer else 0
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise ConfigError(
                f"expected a date such as 2024-01-31 or 2024-01-31T12:00:00Z, found {value!r}", found=value
            ) from None
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    delta = value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    if not 1970 <= value.astimezone(dt.UTC).year <= 2261:
        raise ConfigError(f"expected an instant between 1970 and 2261, found {value:%Y-%m-%d}", found=str(value))
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000 + beyond_ns


def format_instant(ns: int) -> str:
    """`2024-01-31 12:00:00Z`, with the fraction only when there is one."""
    seconds, rest = divmod(ns, SECOND_NS)
    text = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{rest:09d}Z".replace("000000Z", "Z") if rest else f"{text}Z"
