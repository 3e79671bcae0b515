"""The market of a backtest: when which bar becomes available, and the broker moved along with it.

Used by the holder of the turn only. A bar's close is the step at which it is matched and then becomes visible, for all
symbols at once. Four kinds of steps exist only when needed and share an instant with others, in this order: closes,
the ends of orders whose symbol has no bar then, the opens that market orders wait for, the end of a symbol's data, what
was planned for the instant.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from src.brokers.simulated.broker import SimulatedBroker
from src.core.bars import BarSeries, IntArray
from src.core.instrument import Instrument
from src.core.journal import Journal

__all__ = ["SimulatedMarket"]

CHUNK_BARS = 8192
#: So many series fit into one whole number.
_MOST_BITS = 62


class SimulatedMarket:
    """See `src.backtesting.engine.time_controller.Market`.

    Args:
        broker: whose base and derived series make the timeline.
        journal: settled when time moves on.
        start_ns, end_ns: the window; a bar belongs to it when it closes inside `(start, end]`.
    """

    def __init__(self, broker: SimulatedBroker, journal: Journal, start_ns: int, end_ns: int) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self._broker = broker
        self._journal = journal
        base = broker.all_base_series()
        self._base_count = len(base)
        self._series: list[BarSeries] = base + broker.all_derived_series()
        self._has_derived = len(self._series) > self._base_count
        for series in self._series:
            series.length = series.count_closed(start_ns)
            series.ticks = None  # of an earlier run over the same bars; a venue of quotes counts anew
        self._counted = tuple([(series, series.length) for series in base])
        broker.rewind(start_ns)
        self.signals = broker.signals
        self._ends = _ends(self._series, [series.count_closed(end_ns) for series in self._series], base, start_ns)
        self._end_later()
        self._ending: list[int] = []
        self._planned: list[tuple[int, Callable[[], None]]] = []
        self._acts: deque[Callable[[], None]] = deque()
        #: Whether something is left to do at `_instant` after its closes, opens and ends of orders.
        self._unfinished = False
        self._instant = start_ns
        self._times: list[int | None] = []
        self._groups: list[tuple[int, ...]] = []
        self._next = 0
        self._look_ahead()
        self._collect_ends(start_ns)

    def _end_later(self) -> None:
        """Let symbols end after their last bar; those of a market of bars never do."""

    @property
    def bars(self) -> int:
        """Base bars delivered so far, summed over the symbols."""
        return sum(series.length - first for series, first in self._counted)

    @property
    def total_bars(self) -> int:
        """Base bars inside the window, summed over the symbols that are there now."""
        return sum(series.count_closed(self.end_ns) - first for series, first in self._counted)

    def plan(self, instant_ns: int, now_ns: int, act: Callable[[], None]) -> None:
        """Have `act` called after everything else that happens at an instant, in a step of its own.

        Time stands at that instant then, also when no bar closes there. What was planned first for an instant is called
        first. Called before the run, or between two steps.

        Args:
            instant_ns: the present or a later one inside the window.
            now_ns: the present.
        """
        if instant_ns <= now_ns:
            self._instant = now_ns
            self._acts.append(act)
            self._unfinished = True
            self.signals.close_ns = None
            return
        place = sum(at > instant_ns for at, _ in self._planned)  # the earliest stands last
        self._planned.insert(place, (instant_ns, act))
        self._look_ahead()

    def check_join(self, symbol: str) -> None:
        """Refuse a symbol that cannot join this market; one of bars takes any.

        Raises:
            ConfigError: it cannot.
        """

    def join(self, instrument: Instrument, base: BarSeries, derived: Mapping[int, BarSeries], instant_ns: int) -> None:
        """Let one more symbol take part, between two steps; what has closed until now was never new.

        Args:
            derived: higher timeframes by their length in ns.
            instant_ns: the present.
        """
        own = [base, *derived.values()]
        for series in own:
            series.length = series.count_closed(instant_ns)
        rank = self._base_count
        ends = _ends(own, [series.count_closed(self.end_ns) for series in own], [base], instant_ns)
        self._ends = sorted([*self._ends, (ends[0][0], rank)], reverse=True)
        self._broker.add_symbol(instrument, base, derived)
        self._base_count += 1
        self._series = self._broker.all_base_series() + self._broker.all_derived_series()
        self._has_derived = len(self._series) > self._base_count
        self._counted = (*self._counted, (base, base.length))
        self._look_ahead()
        self._collect_ends(instant_ns)

    def next_ns(self) -> int | None:
        """See `Market.next_ns`."""
        close = self._times[self._next]
        broker = self._broker
        own, ending = broker.awaited_open_ns, broker.next_ending_ns
        if own is None and ending is None:  # at nearly every step
            return self._instant if self._unfinished else close
        if own is not None and own >= self.end_ns:
            own = None
        if ending is not None and ending <= self.end_ns and (own is None or ending < own):
            own = ending
        if own is not None and (close is None or own < close):
            # A symbol that ends now ends before what happens later to another one.
            return self._instant if self._unfinished and own > self._instant else own
        return self._instant if self._unfinished else close

    def advance(self, instant_ns: int) -> Sequence[str]:
        """See `Market.advance`."""
        times, at = self._times, self._next
        if times[at] != instant_ns or self._unfinished:
            self.signals.close_ns = None
            return self._open_or_end(instant_ns)
        closed = self._groups[at]
        if self._has_derived:
            closed = self._show_derived(closed)
        at += 1
        following = times[at]
        if following is None:
            self._refill()
            self._journal.settle(instant_ns)
        else:
            self._next = at
        broker = self._broker
        broker.advance_time(instant_ns, closed)
        if broker.awaited_open_ns is None and broker.next_ending_ns is None:
            self.signals.close_ns = following
        if instant_ns >= self._next_end:
            self._instant = instant_ns
            self._collect_ends(instant_ns)
        return ()

    def _show_derived(self, closed: tuple[int, ...]) -> tuple[int, ...]:
        """Make the bars of higher timeframes visible; the broker does it for the base bars, which are returned."""
        for index in closed:
            if index >= self._base_count:
                self._series[index].length += 1
        return tuple([index for index in closed if index < self._base_count])

    def _open_or_end(self, instant_ns: int) -> list[str]:
        # Opens come before ends: `next_ns` named this instant for an awaited open if there is one.
        if self._broker.next_ending_ns == instant_ns:
            self._instant = instant_ns
            self._broker.end_orders(instant_ns)
            return []
        if self._broker.awaited_open_ns == instant_ns:
            self._instant = instant_ns
            self._broker.open_market(instant_ns)
            return []
        if self._ending:
            return self._end_symbols(instant_ns)
        act = self._acts.popleft()
        self._unfinished = bool(self._acts)
        act()
        return []

    def _collect_ends(self, instant_ns: int) -> None:
        while self._ends and self._ends[-1][0] <= instant_ns:
            self._ending.append(self._ends.pop()[1])
        while self._planned and self._planned[-1][0] <= instant_ns:
            self._acts.append(self._planned.pop()[1])
        self._unfinished = bool(self._ending or self._acts)
        self.signals.close_ns = None
        self._find_next_end()

    def _find_next_end(self) -> None:
        following = [listed[-1][0] for listed in (self._ends, self._planned) if listed]
        self._next_end = min(following, default=self.end_ns + 1)

    def _end_symbols(self, instant_ns: int) -> list[str]:
        # By name, as the account is marked: the order in the configuration says who decides first, and nobody decides.
        ended = sorted([self._series[rank].symbol for rank in self._ending])
        self._ending.clear()
        self._unfinished = bool(self._acts)
        for symbol in ended:
            self._broker.end_of_data(symbol, instant_ns)
        return ended

    def _look_ahead(self) -> None:
        """Lay out what is to come anew, from the bars that are visible now."""
        last = [series.count_closed(self.end_ns) for series in self._series]
        self._chunks = _timeline(self._series, last, self._empty_instants())
        self._find_next_end()
        self._refill()

    def _empty_instants(self) -> list[int]:
        """The instants, in order, at which something is to be done besides what closes there."""
        return [at for at, _ in reversed(self._planned)]

    def _refill(self) -> None:
        times, self._groups = next(self._chunks, ([], []))
        self.signals.close_ns = None
        self._times = [*times, None]  # the None ends the chunk without a comparison of lengths at each bar
        self._next = 0


def _ends(
    series: Sequence[BarSeries], last: Sequence[int], base: list[BarSeries], start_ns: int
) -> list[tuple[int, int]]:
    """When each symbol's last bar of any timeframe closes, and its rank; the earliest stands last."""
    ends = dict.fromkeys((each.symbol for each in base), start_ns)
    for i, each in enumerate(series):
        if last[i] > each.length:
            ends[each.symbol] = max(ends[each.symbol], each.close_of(last[i] - 1))
    return sorted(((ends[each.symbol], rank) for rank, each in enumerate(base)), reverse=True)


def _timeline(
    series: Sequence[BarSeries], last: Sequence[int], planned: Sequence[int]
) -> Iterator[tuple[list[int], list[tuple[int, ...]]]]:
    """The instants at which bars close, in chunks, and which series close a bar at each, in the order of the series.

    Args:
        last: up to which bar of each.
        planned: further instants, in order, at which nothing need close.

    Yields:
        Instants and indices into `series`, two lists of equal length; no instant stands in two chunks. In chunks, so
        that memory does not grow with the length of the run; plain values, because reading them costs a fifth of
        reading numpy scalars.
    """
    at = [each.length for each in series]
    while True:
        ahead = [
            each.close_of(min(at[i] + CHUNK_BARS, last[i]) - 1) for i, each in enumerate(series) if at[i] < last[i]
        ]
        if not ahead and not planned:
            return
        horizon = min(ahead) if ahead else planned[-1]
        closes, indices = [], []
        extra = [at_ns for at_ns in planned if at_ns <= horizon]
        planned = planned[len(extra) :]
        for i, each in enumerate(series):
            end = min(last[i], each.count_closed(horizon))
            if end > at[i]:
                closes.append(each.closes(at[i], end))
                indices.append(np.full(end - at[i], i, dtype=np.int64))
                at[i] = end
        if extra:
            closes.append(np.array(extra, dtype=np.int64))
            indices.append(np.full(len(extra), -1, dtype=np.int64))
        times, which = np.concatenate(closes), np.concatenate(indices)
        order = np.argsort(times, kind="stable")
        times, ranks = times[order], which[order]
        starts = np.flatnonzero(np.concatenate(([True], times[1:] != times[:-1])))
        every = tuple(range(len(series)))
        if not extra and len(ranks) == len(starts) * len(every):  # the usual case: all series close together
            yield times[starts].tolist(), [every] * len(starts)
            continue
        yield times[starts].tolist(), _groups(ranks, starts, len(series))


def _groups(ranks: IntArray, starts: IntArray, count: int) -> list[tuple[int, ...]]:
    """The ranks from each start to the next one, without the negative ones; equal groups are one tuple.

    Args:
        ranks: of the series that close, in order inside of each group.
        count: how many series there are.
    """
    if count > _MOST_BITS:
        ends = [*starts[1:].tolist(), len(ranks)]
        listed = ranks.tolist()
        return [
            tuple([rank for rank in listed[start:end] if rank >= 0])
            for start, end in zip(starts.tolist(), ends, strict=True)
        ]
    bits = np.where(ranks < 0, 0, np.left_shift(1, np.maximum(ranks, 0)))
    masks = np.bitwise_or.reduceat(bits, starts).tolist()
    # Few different ones come again and again: the usual sets of timeframes that end together.
    known = {mask: tuple([rank for rank in range(count) if mask >> rank & 1]) for mask in set(masks)}
    return [known[mask] for mask in masks]
