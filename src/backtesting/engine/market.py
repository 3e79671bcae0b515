"""The market of a backtest: when which bar becomes available, and the broker moved along with it.

Used by the holder of the turn only. A bar's close is the step at which it is matched and then becomes visible, for all
symbols at once. Three kinds of steps exist only when needed and share an instant with others, in this order: closes,
the ends of orders whose symbol has no bar then, the opens that market orders wait for, the end of a symbol's data.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from src.brokers.simulated.broker import SimulatedBroker
from src.core.bars import BarSeries
from src.core.journal import Journal

__all__ = ["SimulatedMarket"]

CHUNK_BARS = 8192


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
        self._first = [series.length for series in base]
        broker.rewind(start_ns)
        self.signals = broker.signals
        last = [series.count_closed(end_ns) for series in self._series]
        self._ends = _ends(self._series, last, base, start_ns)
        self._next_end = self._ends[-1][0]
        self._ending: list[int] = []
        self._instant = start_ns
        self._chunks = _timeline(self._series, last)
        self._times: list[int | None] = []
        self._groups: list[tuple[int, ...]] = []
        self._next = 0
        self._refill()
        self._collect_ends(start_ns)

    @property
    def bars(self) -> int:
        """Base bars delivered so far, summed over the symbols."""
        return sum(series.length - first for series, first in zip(self._series, self._first, strict=False))

    def next_ns(self) -> int | None:
        """See `Market.next_ns`."""
        close = self._times[self._next]
        broker = self._broker
        own, ending = broker.awaited_open_ns, broker.next_ending_ns
        if own is None and ending is None:  # at nearly every step
            return self._instant if self._ending else close
        if own is not None and own >= self.end_ns:
            own = None
        if ending is not None and ending <= self.end_ns and (own is None or ending < own):
            own = ending
        if own is not None and (close is None or own < close):
            # A symbol that ends now ends before what happens later to another one.
            return self._instant if self._ending and own > self._instant else own
        return self._instant if self._ending else close

    def advance(self, instant_ns: int) -> Sequence[str]:
        """See `Market.advance`."""
        times, at = self._times, self._next
        if times[at] != instant_ns or self._ending:
            return self._open_or_end(instant_ns)
        closed = self._groups[at]
        if self._has_derived:
            closed = self._show_derived(closed)
        at += 1
        if times[at] is None:
            self._refill()
            self._journal.settle(instant_ns)
        else:
            self._next = at
        self._broker.advance_time(instant_ns, closed)
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
        return self._end_symbols(instant_ns)

    def _collect_ends(self, instant_ns: int) -> None:
        while self._ends and self._ends[-1][0] <= instant_ns:
            self._ending.append(self._ends.pop()[1])
        self._next_end = self._ends[-1][0] if self._ends else self.end_ns + 1

    def _end_symbols(self, instant_ns: int) -> list[str]:
        ended = [self._series[rank].symbol for rank in sorted(self._ending)]
        self._ending.clear()
        for symbol in ended:
            self._broker.end_of_data(symbol, instant_ns)
        return ended

    def _refill(self) -> None:
        times, self._groups = next(self._chunks, ([], []))
        self._times = [*times, None]  # the None ends the chunk without a comparison of lengths at each bar
        self._next = 0


def _ends(
    series: Sequence[BarSeries], last: Sequence[int], base: list[BarSeries], start_ns: int
) -> list[tuple[int, int]]:
    """When each symbol's last bar of any timeframe closes, and its rank; the earliest stands last."""
    ends = dict.fromkeys((each.symbol for each in base), start_ns)
    for i, each in enumerate(series):
        if last[i] > each.length:
            close = each.open_ns_at[last[i] - 1] + each.timeframe_ns
            ends[each.symbol] = max(ends[each.symbol], close)
    return sorted(((ends[each.symbol], rank) for rank, each in enumerate(base)), reverse=True)


def _timeline(series: Sequence[BarSeries], last: Sequence[int]) -> Iterator[tuple[list[int], list[tuple[int, ...]]]]:
    """The instants at which bars close, in chunks, and which series close a bar at each, in the order of the series.

    Yields:
        Instants and indices into `series`, two lists of equal length; no instant stands in two chunks. In chunks, so
        that memory does not grow with the length of the run; plain values, because reading them costs a fifth of
        reading numpy scalars.
    """
    at = [each.length for each in series]
    while True:
        ahead = [
            int(each.open_ns_at[min(at[i] + CHUNK_BARS, last[i]) - 1]) + each.timeframe_ns
            for i, each in enumerate(series)
            if at[i] < last[i]
        ]
        if not ahead:
            return
        horizon = min(ahead)
        closes, indices = [], []
        for i, each in enumerate(series):
            end = min(last[i], each.count_closed(horizon))
            if end > at[i]:
                closes.append(each.open_ns[at[i] : end] + each.timeframe_ns)
                indices.append(np.full(end - at[i], i, dtype=np.int64))
                at[i] = end
        times, which = np.concatenate(closes), np.concatenate(indices)
        order = np.argsort(times, kind="stable")
        times, ranks = times[order], which[order].tolist()
        starts = np.flatnonzero(np.concatenate(([True], times[1:] != times[:-1])))
        ends = [*starts[1:].tolist(), len(ranks)]
        every = tuple(range(len(series)))
        if len(ranks) == len(starts) * len(every):  # the usual case: all series close together
            yield times[starts].tolist(), [every] * len(starts)
            continue
        groups = [tuple(ranks[start:end]) for start, end in zip(starts.tolist(), ends, strict=True)]
        yield times[starts].tolist(), groups
