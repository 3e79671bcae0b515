"""Trading calendars: when a market is open, by name. 24/7, the forex week, and the exchanges of `exchange_calendars`.

Pure functions of the instant that is asked for, never of the present date; any thread. Tables of sessions are kept
year by year and grow on demand; two threads that load the same year load the same rows. `exchange_calendars` is
imported when a name needs it, not before.
"""

import datetime as dt
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from src.core.bars import IntArray
from src.core.errors import ConfigError
from src.core.sync import Lock
from src.core.timeframe import DAY_NS, SECOND_NS, format_instant
from src.core.words import meant

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ALWAYS", "FOREX", "BoolArray", "Calendar", "Sessions", "calendar_named"]

ALWAYS = "24/7"
FOREX = "forex"

BoolArray = npt.NDArray[np.bool_]

_EPOCH = dt.date(1970, 1, 1)
# A session may open on the day before its date and close on the day after it.
_REACH_NS = 3 * DAY_NS
# The years from which an exchange's sessions a year are counted: fixed, so that no figure changes with the date.
_COUNTED_YEARS = (2014, 2023)
# What warnings are shown is one setting of the whole process: two threads that set it and put it back in turn would
# leave it wrong for good.
_LOADING = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Daily sessions in time order.

    A session is the half-open interval [open, close); contiguous ones touch. The lunch break of an exchange belongs to
    its session.

    Attributes:
        open_ns, close_ns: shape (n,), int64, both increasing.
        day: the date of each session as days since 1970-01-01, shape (n,). A session that runs overnight has the date
            of its close.
    """

    open_ns: IntArray
    close_ns: IntArray
    day: IntArray


class Calendar(Protocol):
    """When a market is open.

    Every method raises ConfigError for an instant before or after what the calendar knows; after it, `next_open_ns`
    is None.
    """

    @property
    def name(self) -> str:
        """The name under which `calendar_named` finds it."""
        ...

    @property
    def days_per_year(self) -> float:
        """Daily sessions of an average year."""
        ...

    def sessions(self, start_ns: int, end_ns: int) -> Sessions:
        """Every daily session that overlaps [start, end)."""
        ...

    def is_open(self, instant_ns: int) -> bool:
        """Whether the market trades at the instant; not at a session's close, and not in a lunch break."""
        ...

    def session_at(self, instant_ns: int) -> tuple[int, int] | None:
        """Open and close of the daily session that holds the instant, lunch break included; None between sessions."""
        ...

    def next_open_ns(self, instant_ns: int) -> int | None:
        """The first open of a daily session at or after the instant; None beyond what the calendar knows."""
        ...

    def close_ns(self, instant_ns: int) -> int | None:
        """The close of the run of touching sessions that holds the instant: Friday's in the forex week.

        None between sessions, and for a market that never closes.
        """
        ...

    def in_session(self, open_ns: IntArray) -> BoolArray:
        """`is_open` for each instant of an array of shape (n,)."""
        ...


@lru_cache(maxsize=256)
def calendar_named(name: str) -> Calendar:
    """The calendar of a name: `24/7`, `forex`, or a code or alias that `exchange_calendars` knows, such as XNYS.

    Raises:
        ConfigError: no calendar has the name.
    """
    if name == ALWAYS:
        return _AlwaysOpen()
    if name == FOREX:
        return _ForexWeek()
    import exchange_calendars

    names = exchange_calendars.get_calendar_names(include_aliases=True)
    if name not in names:
        raise _unknown(name, [ALWAYS, FOREX, *(each for each in names if each != ALWAYS)])
    code = exchange_calendars.resolve_alias(name)
    return _Exchange(code) if code == name else calendar_named(code)


def _unknown(name: str, names: list[str]) -> ConfigError:
    said = f"expected a calendar: 24/7, forex, or the code of an exchange such as XNYS, found {name!r}"
    return ConfigError(f"{said}{meant(name, names, 3)}", found=name)


class _AlwaysOpen:
    """Open at every instant; a session is a day of UTC."""

    name = ALWAYS
    days_per_year = 365.0

    def sessions(self, start_ns: int, end_ns: int) -> Sessions:
        last = -(-end_ns // DAY_NS) if end_ns > start_ns else start_ns // DAY_NS
        day = np.arange(start_ns // DAY_NS, last, dtype=np.int64)
        return Sessions(open_ns=day * DAY_NS, close_ns=(day + 1) * DAY_NS, day=day)

    def is_open(self, instant_ns: int) -> bool:
        return True

    def session_at(self, instant_ns: int) -> tuple[int, int] | None:
        start = instant_ns - instant_ns % DAY_NS
        return start, start + DAY_NS

    def next_open_ns(self, instant_ns: int) -> int | None:
        return -(-instant_ns // DAY_NS) * DAY_NS

    def close_ns(self, instant_ns: int) -> int | None:
        return None

    def in_session(self, open_ns: IntArray) -> BoolArray:
        return np.ones(len(open_ns), np.bool_)


class _Rows:
    """Sessions whose dates lie in the years from first to last, and the pieces in which they really trade.

    A piece is a session, or the part of one before or after its lunch break. The rows answer for the instants of
    [from_ns, until_ns), which whoever keeps them sets.
    """

    __slots__ = (
        "close_ns", "closes", "day", "first", "from_ns", "last", "open_ns", "opens", "piece_close_ns", "piece_closes",
        "piece_open_ns", "piece_opens", "until_ns",
    )  # fmt: skip

    def __init__(self, first: int, last: int, open_ns: IntArray, close_ns: IntArray, day: IntArray,
                 piece_open_ns: IntArray, piece_close_ns: IntArray) -> None:  # fmt: skip
        self.first, self.last = first, last
        self.from_ns = self.until_ns = 0
        self.open_ns, self.close_ns, self.day = open_ns, close_ns, day
        self.piece_open_ns, self.piece_close_ns = piece_open_ns, piece_close_ns
        # Single instants are looked up in lists: a search in an array costs ten times as much as one in a list.
        self.opens: list[int] = open_ns.tolist()
        self.closes: list[int] = close_ns.tolist()
        self.piece_opens: list[int] = piece_open_ns.tolist()
        self.piece_closes: list[int] = piece_close_ns.tolist()

    def joined(self, later: "_Rows") -> "_Rows":
        """These rows and those of the years that follow."""
        columns = (
            np.concatenate((getattr(self, name), getattr(later, name)))
            for name in ("open_ns", "close_ns", "day", "piece_open_ns", "piece_close_ns")
        )
        return _Rows(self.first, later.last, *columns)


class _Scheduled:
    """A calendar that is a table of sessions.

    Args:
        first, last: the dates between which sessions are known, both included.
        load: the rows of the years from the first to the last argument.
    """

    def __init__(self, name: str, first: dt.date, last: dt.date, load: Callable[[int, int], _Rows]) -> None:
        self.name = name
        self._load = load
        self._first, self._last = first, last
        self._first_ns = (first - _EPOCH).days * DAY_NS
        self._end_ns = ((last - _EPOCH).days + 1) * DAY_NS
        self._rows: _Rows | None = None

    def sessions(self, start_ns: int, end_ns: int) -> Sessions:
        """See `Calendar.sessions`."""
        rows = self._covering(start_ns, max(start_ns, end_ns - 1))
        begin = bisect_right(rows.closes, start_ns)
        end = max(begin, bisect_left(rows.opens, end_ns)) if end_ns > start_ns else begin
        return Sessions(
            open_ns=rows.open_ns[begin:end], close_ns=rows.close_ns[begin:end], day=rows.day[begin:end]
        )  # fmt: skip

    def is_open(self, instant_ns: int) -> bool:
        """See `Calendar.is_open`."""
        rows = self._covering(instant_ns, instant_ns)
        at = bisect_right(rows.piece_opens, instant_ns) - 1
        return at >= 0 and instant_ns < rows.piece_closes[at]

    def session_at(self, instant_ns: int) -> tuple[int, int] | None:
        """See `Calendar.session_at`."""
        rows = self._covering(instant_ns, instant_ns)
        at = bisect_right(rows.opens, instant_ns) - 1
        return (rows.opens[at], rows.closes[at]) if at >= 0 and instant_ns < rows.closes[at] else None

    def next_open_ns(self, instant_ns: int) -> int | None:
        """See `Calendar.next_open_ns`."""
        reach = instant_ns
        while reach < self._end_ns:
            rows = self._covering(reach, reach)
            at = bisect_left(rows.opens, instant_ns)
            if at < len(rows.opens):
                return rows.opens[at]
            reach = _year_start_ns(rows.last + 1) + _REACH_NS  # an exchange may stay closed for weeks
        return None

    def close_ns(self, instant_ns: int) -> int | None:
        """See `Calendar.close_ns`."""
        rows = self._covering(instant_ns, instant_ns)
        at = bisect_right(rows.opens, instant_ns) - 1
        if at < 0 or instant_ns >= rows.closes[at]:
            return None
        close = rows.closes[at]
        while (held := self.session_at(close) if self.next_open_ns(close) == close else None) is not None:
            close = held[1]
        return close

    def in_session(self, open_ns: IntArray) -> BoolArray:
        """See `Calendar.in_session`."""
        if not len(open_ns):
            return np.zeros(0, np.bool_)
        rows = self._covering(int(open_ns.min()), int(open_ns.max()))
        at = np.searchsorted(rows.piece_open_ns, open_ns, side="right") - 1
        inside: BoolArray = (at >= 0) & (open_ns < rows.piece_close_ns[np.maximum(at, 0)])
        return inside

    def _covering(self, first_ns: int, last_ns: int) -> _Rows:
        """Rows with every session that holds an instant between the two, both included."""
        rows = self._rows
        if rows is not None and rows.from_ns <= first_ns and last_ns < rows.until_ns:
            return rows
        for instant_ns in (first_ns, last_ns):
            if not self._first_ns <= instant_ns < self._end_ns:
                raise ConfigError(
                    f"calendar {self.name} knows sessions from {self._first} to {self._last}, asked for "
                    f"{format_instant(instant_ns)}; take another calendar or another time",
                    found=format_instant(instant_ns),
                )
        first = max(_year(first_ns - _REACH_NS), self._first.year)
        last = min(_year(last_ns + _REACH_NS), self._last.year)
        if rows is None:
            rows = self._load(first, last)
        else:
            if first < rows.first:
                rows = self._load(first, rows.first - 1).joined(rows)
            if last > rows.last:
                rows = rows.joined(self._load(rows.last + 1, last))
        rows.from_ns = self._first_ns if rows.first <= self._first.year else _year_start_ns(rows.first) + _REACH_NS
        rows.until_ns = self._end_ns if rows.last >= self._last.year else _year_start_ns(rows.last + 1) - _REACH_NS
        self._rows = rows  # whole and at once: another thread has the old table or the new one
        return rows


class _ForexWeek(_Scheduled):
    """Sunday 17:00 to Friday 17:00 New York time, in sessions that end at 17:00 from Monday to Friday."""

    days_per_year = 260.0

    def __init__(self) -> None:
        super().__init__(FOREX, dt.date(1970, 1, 1), dt.date(2261, 12, 31), _forex_rows)


class _Exchange(_Scheduled):
    """The regular hours of an exchange, with its holidays, early closes and lunch breaks."""

    def __init__(self, code: str) -> None:
        any_year = _schedule_of(code, dt.date(2022, 1, 1), dt.date(2022, 12, 31))
        lower, upper = any_year.bound_min(), any_year.bound_max()
        first = dt.date(1970, 1, 1) if lower is None else max(lower.date(), dt.date(1970, 1, 1))
        last = dt.date(2200, 12, 31) if upper is None else upper.date()
        super().__init__(code, first, last, self._read)

    @cached_property
    def days_per_year(self) -> float:
        """See `Calendar.days_per_year`: the mean of the years 2014 to 2023, as far as they are known."""
        first = max(_COUNTED_YEARS[0], self._first.year + (self._first > dt.date(self._first.year, 1, 1)))
        last = _COUNTED_YEARS[1]
        return len(self._read(first, last).opens) / (last - first + 1)

    def _read(self, first: int, last: int) -> _Rows:
        start = max(dt.date(first, 1, 1), self._first)
        end = min(dt.date(last, 12, 31), self._last)
        table = _schedule_of(self.name, start, end).schedule
        open_ns, close_ns = _instants(table["open"]), _instants(table["close"])
        day = table.index.as_unit("ns").asi8 // DAY_NS
        broken = table["break_start"].notna().to_numpy()
        pause_ns, resume_ns = _instants(table["break_start"][broken]), _instants(table["break_end"][broken])
        pieces_open = np.sort(np.concatenate((open_ns, resume_ns)))
        pieces_close = np.sort(np.concatenate((close_ns, pause_ns)))
        return _Rows(first, last, open_ns, close_ns, day.astype(np.int64), pieces_open, pieces_close)


def _schedule_of(code: str, start: dt.date, end: dt.date) -> Any:
    """The calendar of `exchange_calendars` for the dates from start to end; its defaults depend on the present date."""
    import exchange_calendars

    with _LOADING, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it lags behind pandas, which tells so
        try:
            return exchange_calendars.get_calendar(code, start=start.isoformat(), end=end.isoformat())
        except (ValueError, NotImplementedError) as error:  # of a few codes, with some versions of pandas
            version = exchange_calendars.__version__
            raise ConfigError(
                f"exchange_calendars {version} cannot make the calendar {code} from {start} to {end} "
                f"({type(error).__name__}); take another calendar, or a version of it that can",
                found=code,
            ) from error


def _instants(column: "pd.Series[Any]") -> IntArray:
    """Nanoseconds since 1970 of a column of instants, whatever unit pandas keeps them in."""
    naive = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    instants: IntArray = naive.astype("datetime64[ns]").astype(np.int64)
    return instants


def _forex_rows(first: int, last: int) -> _Rows:
    zone = ZoneInfo("America/New_York")
    begin, end = (dt.date(first, 1, 1) - _EPOCH).days, (dt.date(last, 12, 31) - _EPOCH).days
    # 1970-01-01 was a Thursday, so weekday 0 (Monday) is day 4.
    days = [day for day in range(begin, end + 1) if (day + 3) % 7 < 5]
    edges = {day: _five_in_the_afternoon_ns(day, zone) for day in sorted({*days, *(day - 1 for day in days)})}
    open_ns = np.array([edges[day - 1] for day in days], np.int64)
    close_ns = np.array([edges[day] for day in days], np.int64)
    return _Rows(first, last, open_ns, close_ns, np.array(days, np.int64), open_ns, close_ns)


def _five_in_the_afternoon_ns(day: int, zone: dt.tzinfo) -> int:
    date = _EPOCH + dt.timedelta(days=day)
    return int(dt.datetime(date.year, date.month, date.day, 17, tzinfo=zone).timestamp()) * SECOND_NS


def _year(instant_ns: int) -> int:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=instant_ns // SECOND_NS)).year


def _year_start_ns(year: int) -> int:
    return (dt.date(year, 1, 1) - _EPOCH).days * DAY_NS
