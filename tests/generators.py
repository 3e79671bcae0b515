"""Every generator of made-up cases, in one place.

Prices lie on a coarse grid, so that touches, gaps and ties happen all the time and not once in a million cases.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

from src.backtesting.schedules.deviations import Deviation

__all__ = ["Action", "Story", "bars", "deviations", "stories"]


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
