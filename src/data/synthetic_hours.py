"""When the symbols of a synthetic market trade, and how lively they are by the hour.

Pure functions, any thread. Time is counted in minutes from the start of the window. As in `synthetic_path` only float
operations are used that give the same bits on every processor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.calendars import ALWAYS, FOREX, BoolArray, Calendar, calendar_named
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.data.synthetic_symbols import SyntheticSymbol

__all__ = ["DAY_MINUTES", "BoolArray", "Hours", "day_season", "session_edges", "symbol_hours"]

DAY_MINUTES = 1440

# Hourly factors of volatility from 00:00 to 23:00 UTC, before scaling to a mean square of one; announcements and
# chance add to the peak between 12:00 and 16:00.
_SEASON = (0.97, 0.95, 0.93, 0.92, 0.91, 0.91, 0.92, 0.94, 0.96, 0.99, 1.02, 1.05,
           1.10, 1.14, 1.17, 1.16, 1.12, 1.08, 1.05, 1.02, 1.01, 1.00, 0.99, 0.98)  # fmt: skip

# The same for currencies: the nights of Europe and America are quiet.
_FX_SEASON = (0.75, 0.72, 0.68, 0.63, 0.63, 0.72, 0.98, 1.28, 1.32, 1.20, 1.10, 1.12,
              1.42, 1.58, 1.62, 1.42, 1.15, 0.98, 0.95, 0.82, 0.68, 0.52, 0.52, 0.60)  # fmt: skip

# Inside the session of an exchange: level, and what open and close add, each halved after so many minutes.
_SESSION_SEASON = (0.71, (2.0, 10.0), (0.7, 10.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When one symbol trades, where that is not always.

    Attributes:
        is_open: shape (minutes,), over whole days.
        season: shape (minutes,), the factor of volatility; while it is closed, what is left of it.
    """

    is_open: BoolArray
    season: FloatArray


def day_season() -> FloatArray:
    """The factor of volatility of each minute of the UTC day where trading never ends, shape (1440,)."""
    return _by_minute(_SEASON)


def symbol_hours(symbol: SyntheticSymbol, start_ns: int, end_ns: int) -> Hours | None:
    """When a symbol trades over the whole days that hold a window; None for the common profile without an end.

    Raises:
        ConfigError: its calendar is none, or never opens in the window.
    """
    if symbol.calendar == ALWAYS and symbol.kind != "fx":
        return None
    calendar = calendar_named(symbol.calendar)
    stamps = np.arange(start_ns, end_ns, MINUTE_NS)
    # The days that are generated are whole, but a calendar is asked for the window alone: it may know no more.
    is_open = np.zeros(-(-len(stamps) // DAY_MINUTES) * DAY_MINUTES, dtype=np.bool_)
    is_open[: len(stamps)] = calendar.in_session(stamps)
    if not is_open.any():
        raise ConfigError(
            f"expected the calendar {symbol.calendar} of {symbol.symbol} to open between "
            f"{format_instant(start_ns)} and {format_instant(end_ns)}, found no session; widen the window",
            symbol=symbol.symbol,
        )
    first_minute = start_ns % DAY_NS // MINUTE_NS
    edges: list[FloatArray | None] = [None, None]
    if symbol.calendar not in (ALWAYS, FOREX):
        edges = [np.resize(edge, len(is_open)) for edge in session_edges(calendar, stamps)]
    return _profiled(is_open, *edges, first_minute=first_minute, left=symbol.closed_volatility)


def session_edges(calendar: Calendar, open_ns: IntArray) -> tuple[FloatArray, FloatArray]:
    """Minutes from the open of each bar's session, and to its close; bars outside sessions get numbers of no meaning.

    Args:
        calendar: its sessions are used as they are, lunch breaks included.
        open_ns: shape (n,), increasing, at least one.
    """
    sessions = calendar.sessions(int(open_ns[0]), int(open_ns[-1]) + MINUTE_NS)
    if not len(sessions.open_ns):
        return np.zeros(len(open_ns)), np.zeros(len(open_ns))
    at = np.clip(np.searchsorted(sessions.open_ns, open_ns, side="right") - 1, 0, None)
    since = np.clip(open_ns - sessions.open_ns[at], 0, None) // MINUTE_NS
    until = np.clip(sessions.close_ns[at] - open_ns, 0, None) // MINUTE_NS
    return since.astype(np.float64), until.astype(np.float64)


def _profiled(
    is_open: BoolArray, since_open: FloatArray | None, until_close: FloatArray | None, *, first_minute: int, left: float
) -> Hours:
    """The hours of a symbol with a profile of its own.

    Args:
        is_open: shape (minutes,), over whole days.
        since_open, until_close: minutes from the session's open and to its close, shape (minutes,), read where it is
            open: an exchange, lively at both ends. None for the profile of currencies by the hour of UTC.
        first_minute: minute of the UTC day at which the window starts.
        left: factor of volatility while it is closed; gaps come from it.
    """
    if since_open is None or until_close is None:
        clock = (first_minute + np.arange(len(is_open))) % DAY_MINUTES
        season = _by_minute(_FX_SEASON)[clock]
    else:
        level, (at_open, fades), (at_close, rises) = _SESSION_SEASON
        season = level + at_open / (1.0 + since_open / fades) + at_close / (1.0 + until_close / rises)
    return Hours(is_open=is_open, season=np.where(is_open, season, left))


def _by_minute(factors_by_hour: Sequence[float]) -> FloatArray:
    """The factor of volatility of each minute of the UTC day, shape (1440,), mean square one."""
    scale = 1.0 / math.sqrt(sum(x * x for x in factors_by_hour) / len(factors_by_hour))
    hours = np.array((*factors_by_hour, factors_by_hour[0])) * scale
    hour, minute = np.divmod(np.arange(DAY_MINUTES), 60)
    weight = minute / 60.0
    factors: FloatArray = hours[hour] * (1.0 - weight) + hours[hour + 1] * weight
    return factors
