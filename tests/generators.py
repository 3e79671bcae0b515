"""Every generator of made-up cases, in one place.

Prices lie on a coarse grid, so that touches, gaps and ties happen all the time and not once in a million cases.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st

from src.backtesting.schedules.deviations import Deviation
from src.brokers.faults import CALLS, SPANS, Fault, FaultKind
from src.core.bars import BarSeries, IntArray
from src.core.calendars import BoolArray, Sessions
from src.core.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, parse_instant

__all__ = [
    "Action",
    "Op",
    "Plea",
    "Role",
    "Story",
    "TableCalendar",
    "World",
    "bars",
    "deviations",
    "faults",
    "pleas",
    "series_of_sessions",
    "session_calendars",
    "stories",
    "worlds",
]


@dataclass(frozen=True)
class Action:
    """Something that is asked of a venue between two bars.

    Attributes:
        what: market, limit, stop, close, protect or cancel.
        offset: where a limit or stop lies, in price units from the last price.
        guard, goal: stop and target in price units on their side of the expected price, None for none.
        pick: which of the working orders is meant, counted round and round.
    """

    what: str
    symbol: str
    buy: bool
    volume: int
    reverse: bool
    reduce: bool
    offset: int
    guard: int | None
    goal: int | None
    pick: int


@dataclass(frozen=True)
class Story:
    """Costs, and for each minute what is asked at its beginning and the bar of each symbol (None: no bar)."""

    spread: float
    slippage: float
    fee_percent: float
    touch: bool
    minutes: list[tuple[list[Action], dict[str, list[float] | None]]]


@st.composite
def bars(draw: st.DrawFn) -> list[float]:
    """Open, high, low and close on whole prices around 100."""
    opening, close = draw(st.integers(94, 106)), draw(st.integers(94, 106))
    high = max(opening, close) + draw(st.integers(0, 4))
    low = min(opening, close) - draw(st.integers(0, 4))
    return [float(opening), float(high), float(low), float(close)]


def _actions(symbols: tuple[str, ...]) -> st.SearchStrategy[Action]:
    # The commonest words stand several times: without entries there is nothing to close or to protect.
    words = ("market", "market", "limit", "limit", "stop", "stop", "close", "protect", "cancel")
    maybe = st.one_of(st.none(), st.integers(0, 6))
    return st.builds(
        Action,
        what=st.sampled_from(words),
        symbol=st.sampled_from(symbols),
        buy=st.booleans(),
        volume=st.integers(1, 4),
        reverse=st.booleans(),
        reduce=st.sampled_from((False, False, False, True)),
        offset=st.integers(-4, 4),
        guard=maybe,
        goal=maybe,
        pick=st.integers(0, 5),
    )


@st.composite
def stories(draw: st.DrawFn, symbols: tuple[str, ...] = ("AAA", "BBB")) -> Story:
    """Up to twelve minutes of orders and bars; the last minute has a bar of every symbol."""
    maybe_bar = st.one_of(bars(), bars(), bars(), st.none())
    count = draw(st.integers(1, 12))
    minutes = [
        (
            draw(st.lists(_actions(symbols), max_size=3)),
            {symbol: draw(bars() if i == count - 1 else maybe_bar) for symbol in symbols},
        )
        for i in range(count)
    ]
    return Story(
        spread=draw(st.sampled_from((0.0, 0.5, 1.0))),
        slippage=draw(st.sampled_from((0.0, 0.25))),
        fee_percent=draw(st.sampled_from((0.0, 0.1))),
        touch=draw(st.booleans()),
        minutes=minutes,
    )


@st.composite
def deviations(draw: st.DrawFn, least_index: int = 1) -> list[Deviation]:
    """Decisions of a recorded schedule, in order: often several at one instant, in steps of any unit."""
    unit = st.sampled_from((1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000))
    keys = draw(
        st.lists(
            st.tuples(st.integers(0, 30_000_000), unit, st.integers(0, 3)).map(lambda key: (key[0] * key[1], key[2])),
            unique=True,
            max_size=30,
        )
    )
    return [
        Deviation(instant_ns=instant_ns, number=number, index=draw(st.integers(least_index, 20)))
        for instant_ns, number in sorted(keys)
    ]


# -- programs of waits -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Op:
    """One thing that a participant does.

    Attributes:
        what: `step`, `sleep`, `take`, `with` and so on; read by whoever plays the program.
        which: the primitive, thread, timer or participant that is meant, counted round and round.
        length: a duration or time-out in ns; None waits for ever.
        body: what is done inside: under the lock, by the thread, when the timer is due.
    """

    what: str
    which: int = 0
    length: int | None = None
    body: tuple["Op", ...] = ()


@dataclass(frozen=True)
class Role:
    """A participant and its program.

    Attributes:
        monitor: whether it is one; a monitor comes before the workers and does nothing that others wait for.
        serves: whether it waits for steps until the end after its program.
        answers: whether a failing thread of it retires it instead of ending the run.
        leaves: whether it says that it leaves.
    """

    name: str
    monitor: bool
    rank: int
    serves: bool
    answers: bool
    leaves: bool
    program: tuple[Op, ...]


@dataclass(frozen=True)
class World:
    """Participants, what they share, and the instants of the market; the names in `ends` have no more data then."""

    instants: tuple[int, ...]
    end_ns: int
    ends: dict[int, tuple[str, ...]]
    roles: tuple[Role, ...]
    reentrant: tuple[bool, ...]
    semaphores: tuple[int, ...]
    queues: tuple[int, ...]


_STEPS = ("step", "step")
_OWN_WORDS = ("sleep", "alarm", "ring")
# Each world has only some of these: in a world of everything nobody meets anybody.
_THEMES = (
    ("take", "take", "take", "give", "give"),
    ("with", "with", "with", "with"),
    ("acquire", "acquire", "release"),
    ("set", "clear", "await", "await", "until"),
    ("put", "put", "get", "get"),
    ("start", "start", "join", "join"),
    ("timer", "timer", "cancel"),
    ("alarm", "ring"),
)
_HELD_WORDS = ("hold on", "hold on", "notify", "notify", "sleep")
_RARE_WORDS = ("fail", "leave", "retire", "stop")
# So many usual ops come on a rare one, of a participant and of what it starts: an early end would hide all that comes
# after it, and only where a thread or timer fails is anybody asked what to do.
_RARELY = (15, 3)
# Few different lengths on one grid with the market, so that deadlines, timers and steps meet all the time.
_LENGTHS = (0, 5, 5, 10, 10, 15, 20, 30, 45, None, None)
# Each draw has its price, and a world has hundreds of ops: one for both operands, from strategies that are made once.
_OPERANDS = st.sampled_from([(which, length) for which in range(4) for length in _LENGTHS])
_COUNTS = (st.integers(2, 4), st.integers(2, 4), st.integers(2, 7))  # of ops, by the depth that is left


@cache
def _whats(among: tuple[str, ...], rare: tuple[str, ...], rarely: int) -> st.SearchStrategy[str]:
    """Any of the words, and one time in `rarely + 1` one of the rare ones."""
    return st.sampled_from(among * (rarely * len(rare)) + rare * len(among) if rare else among)


@st.composite
def _programs(
    draw: st.DrawFn, words: tuple[str, ...], rare: tuple[str, ...], depth: int, *, helper: bool = False, held: int = -1
) -> tuple[Op, ...]:
    """Some ops; `helper` where there is no step to wait for, `held` the lock that is taken around them."""
    ops = []
    among = words if helper else _STEPS + words
    if held >= 0:
        among = words + _HELD_WORDS * 2
    whats = _whats(among, rare, _RARELY[helper])
    for _ in range(draw(_COUNTS[depth])):
        what, (which, length) = draw(whats), draw(_OPERANDS)
        if what in _HELD_WORDS and held >= 0:
            which = held  # of another lock it would only be refused
        body: tuple[Op, ...] = ()
        if depth and what == "with":
            body = draw(_programs(words, rare, depth - 1, helper=helper, held=which))
        elif depth and what in ("start", "timer"):
            body = draw(_programs(words, rare, depth - 1, helper=True))
        ops.append(Op(what, which, length, body))
    return tuple(ops)


@st.composite
def worlds(draw: st.DrawFn, most: int = 20) -> World:
    """Two to `most` participants over up to eight steps of the market; at least one is a worker."""
    themes = draw(st.sets(st.sampled_from(_THEMES), min_size=1, max_size=3))
    words = _OWN_WORDS[:1] + tuple(word for theme in _THEMES if theme in themes for word in theme)
    rare = tuple(draw(st.lists(st.sampled_from(_RARE_WORDS), unique=True)))
    names = [f"p{i:02d}" for i in draw(st.permutations(range(draw(st.integers(2, most)))))]
    roles = []
    for i, name in enumerate(names):
        monitor = i > 0 and draw(st.integers(0, 5)) == 0
        some = tuple(word for word in rare if not monitor or word in ("fail", "stop"))
        programs = _programs(_OWN_WORDS if monitor else words, some, 1 if len(names) > 8 else 2)
        roles.append(
            Role(
                name=name,
                monitor=monitor,
                rank=draw(st.integers(0, 3)),
                serves=draw(st.booleans()),
                answers=draw(st.booleans()),
                leaves=draw(st.booleans()),
                program=draw(programs),
            )
        )
    instants = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=8)))
    ending = draw(st.lists(st.tuples(st.sampled_from(instants), st.sampled_from(names)), max_size=2))
    return World(
        instants=tuple(10 * i for i in instants),
        end_ns=10 * instants[-1] + draw(st.sampled_from((0, 5, 50))),
        ends={10 * at: tuple(name for when, name in ending if when == at) for at, _ in ending},
        roles=tuple(roles),
        reentrant=tuple(draw(st.lists(st.booleans(), min_size=1, max_size=3))),
        semaphores=tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=2))),
        queues=tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=2))),
    )


# -- sessions and bars -----------------------------------------------------------------------------

# Each row is a change of clocks and a zone in which it happens; Tokyo has none.
_CLOCKS = (
    ("America/New_York", "2021-03-14"),
    ("America/New_York", "2021-11-07"),
    ("Europe/London", "2021-03-28"),
    ("Europe/London", "2021-10-31"),
    ("Australia/Sydney", "2021-04-04"),
    ("Asia/Tokyo", "2021-11-07"),
)


@dataclass(frozen=True)
class TableCalendar:
    """A `Calendar` that is a list of sessions: open, close and date, in order."""

    rows: tuple[tuple[int, int, int], ...]
    name: str = "table"
    days_per_year: float = 250.0

    def sessions(self, start_ns: int, end_ns: int) -> Sessions:
        """See `Calendar.sessions`."""
        found = np.array([row for row in self.rows if row[0] < end_ns and row[1] > start_ns], np.int64).reshape(-1, 3)
        return Sessions(open_ns=found[:, 0].copy(), close_ns=found[:, 1].copy(), day=found[:, 2].copy())

    def session_at(self, instant_ns: int) -> tuple[int, int] | None:
        """See `Calendar.session_at`."""
        return next((row[:2] for row in self.rows if row[0] <= instant_ns < row[1]), None)

    def is_open(self, instant_ns: int) -> bool:
        """See `Calendar.is_open`."""
        return self.session_at(instant_ns) is not None

    def next_open_ns(self, instant_ns: int) -> int | None:
        """See `Calendar.next_open_ns`."""
        return next((row[0] for row in self.rows if row[0] >= instant_ns), None)

    def close_ns(self, instant_ns: int) -> int | None:
        """See `Calendar.close_ns`; sessions that touch are taken for themselves."""
        held = self.session_at(instant_ns)
        return None if held is None else held[1]

    def in_session(self, open_ns: IntArray) -> BoolArray:
        """See `Calendar.in_session`."""
        return np.array([self.is_open(at_ns) for at_ns in open_ns.tolist()], np.bool_)


@st.composite
def session_calendars(draw: st.DrawFn) -> TableCalendar:
    """Six weeks around a change of clocks: some weekdays, holidays, early closes; by day, or overnight and touching.

    All edges lie on quarters of an hour.
    """
    zone_name, change = draw(st.sampled_from(_CLOCKS))
    zone, first = ZoneInfo(zone_name), dt.date.fromisoformat(change) - dt.timedelta(days=21)
    weekdays = draw(st.sets(st.integers(0, 6), min_size=1))
    overnight = draw(st.booleans())
    opening, length = draw(st.integers(0, 40)), draw(st.integers(1, 55))
    closed, early = draw(st.sets(st.integers(0, 41), max_size=6)), draw(st.sets(st.integers(0, 41), max_size=6))

    def at(date: dt.date, quarters: int) -> int:
        local = dt.datetime(date.year, date.month, date.day, quarters // 4, quarters % 4 * 15, tzinfo=zone)
        return parse_instant(local)

    rows = []
    for i in range(42):
        date = first + dt.timedelta(days=i)
        if date.weekday() in weekdays and i not in closed:
            begin = at(date - dt.timedelta(days=1), 68) if overnight else at(date, opening)
            end = at(date, 68) if overnight else at(date, opening + length)
            if i in early:
                end = begin + max((end - begin) // 2 // (15 * MINUTE_NS), 1) * 15 * MINUTE_NS
            rows.append((begin, end, (date - dt.date(1970, 1, 1)).days))
    return TableCalendar(tuple(row for row in rows if row[0] < row[1]))


@st.composite
def series_of_sessions(draw: st.DrawFn, calendar: TableCalendar, base_ns: int, most: int = 120) -> BarSeries:
    """Up to `most` bars in the middle of the calendar's weeks, inside its sessions and between them, with holes."""
    middle_ns = (calendar.rows[0][0] + calendar.rows[-1][1]) // 2 if calendar.rows else parse_instant("2021-06-01")
    start = (middle_ns - draw(st.integers(0, 5)) * DAY_NS) // base_ns
    steps = st.one_of(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3 * DAY_NS // base_ns // 4))
    places = np.cumsum(np.array([start, *draw(st.lists(steps, max_size=most - 1))], np.int64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = np.sort(rng.uniform(1, 2, (2, len(places))), axis=0)
    opening, close = rng.uniform(low, high), rng.uniform(low, high)
    return BarSeries("AAA", base_ns, places * base_ns, opening, high, low, close, rng.lognormal(0, 5, len(places)))


@dataclass(frozen=True)
class Plea:
    """An order with rarer words, a change or a cancellation, that is asked of a venue between two bars.

    Attributes:
        what: a type of order, modify or cancel.
        offset: where its price lies, in price units from the last price; also the distance of a trailing stop.
        further: how far the limit of a stop-limit lies from its trigger.
        parent, pick: which of the orders so far is meant.
        minutes: how long it works, None for ever.
    """

    what: str
    buy: bool
    volume: int
    offset: int
    further: int
    force: str
    group: str
    parent: int | None
    reduce: bool
    reverse: bool
    minutes: int | None
    pick: int


def pleas() -> st.SearchStrategy[Plea]:
    """One plea; the groups are two, so that orders meet in them."""
    return st.builds(
        Plea,
        what=st.sampled_from(
            ("market", "limit", "limit", "stop", "stop", "stop_limit", "trailing_stop", "modify", "cancel")
        ),
        buy=st.booleans(),
        volume=st.integers(1, 4),
        offset=st.integers(-4, 4),
        further=st.integers(-2, 2),
        force=st.sampled_from(("gtc", "gtc", "gtc", "day", "gtd", "ioc", "fok")),
        group=st.sampled_from(("", "", "g", "h")),
        parent=st.one_of(st.none(), st.integers(0, 3)),
        reduce=st.booleans(),
        reverse=st.sampled_from((False, False, True)),
        minutes=st.one_of(st.none(), st.integers(1, 4)),
        pick=st.integers(0, 9),
    )


def faults(start_ns: int, minutes: int) -> st.SearchStrategy[Fault]:
    """One thing that goes wrong in a run of so many minutes: of one call, of some orders, or for up to five minutes."""
    hits = st.one_of(
        st.builds(lambda n: {"call": n}, st.integers(1, 2 * minutes)),
        st.builds(lambda n: {"order": n}, st.integers(1, minutes)),
        st.builds(lambda share: {"chance_percent": share}, st.sampled_from((10.0, 40.0))),
    )
    calls = st.builds(lambda kind, hit: Fault(kind=kind, **hit), st.sampled_from(sorted(CALLS)), hits)
    late = st.builds(
        lambda hit, seconds: Fault(kind=FaultKind.TIMEOUT_ACCEPTED, after_ns=seconds * SECOND_NS, **hit),
        hits, st.integers(1, 30),
    )  # fmt: skip
    spans = st.builds(
        lambda kind, second, length: Fault(
            kind=kind, from_ns=start_ns + second * SECOND_NS, to_ns=start_ns + (second + length) * SECOND_NS,
            calls=1, per_ns=MINUTE_NS, factor=5.0,
        ),
        st.sampled_from(sorted(SPANS)), st.integers(0, 60 * minutes), st.integers(1, 300),
    )  # fmt: skip
    return st.one_of(calls, late, spans)
