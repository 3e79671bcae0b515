"""What the participants wait for: pure predicates over what was seen and what has arrived.

The same objects serve every clock. The orchestrator and the trade manager ask again before they act, so a turn too
many does nothing.
"""

from collections.abc import Sequence, Sized
from typing import Protocol

from src.core.bars import BarSeries, BarsView

__all__ = ["ManagedState", "MonitorWake", "PriceWake", "PricesSeen", "Signals", "WorkerWake"]


class Signals:
    """What a broker tells whoever waits for the market.

    Attributes:
        changes: grows whenever something happened that may wake somebody besides the closing of bars.
        close_ns: the next close of a bar, where that is known to be the next event of the market; else None, and the
            market has to be asked.
    """

    __slots__ = ("changes", "close_ns")

    def __init__(self) -> None:
        self.changes = 0
        self.close_ns: int | None = None


class WorkerWake:
    """A worker waits for a closed bar of a subscribed series that it has not reached, or for an order event.

    Args:
        mailbox: the order events of the worker's symbol that were not delivered yet.
        views: the bars that the symbol's strategies have reached; their series run ahead.

    Attributes:
        view, series: the first of them; a clock that finds `view.end < series.length` need not ask the predicate.
    """

    __slots__ = ("_mailbox", "_views", "series", "view")

    def __init__(self, mailbox: Sized, views: Sequence[BarsView]) -> None:
        self._mailbox = mailbox
        first = views[0] if views else BarsView(BarSeries.empty("", 1), 0)
        self.view = first
        self.series = first.series
        self._views = tuple(views[1:])

    def __call__(self) -> bool:
        if self.view.end < self.series.length or self._mailbox:
            return True
        if self._views:
            for view in self._views:
                if view.end < view.series.length:
                    return True
        return False

    def next_due_ns(self) -> None:
        """Workers have no timer of their own."""
        return


class PricesSeen:
    """Up to which price a strategy that is asked at every price has come.

    Args:
        series: the base bars of its symbol, which count the prices.
        seen: how many of them it has seen.
    """

    __slots__ = ("seen", "series")

    def __init__(self, series: BarSeries, seen: int) -> None:
        self.series = series
        self.seen = seen


class PriceWake:
    """As `WorkerWake`, of a worker with strategies that are asked at every price: it waits for a new one as well.

    Args:
        mailbox: see `WorkerWake`.
        views: of the strategies that are shown bars.
        prices: of the strategies that are asked at every price.
    """

    __slots__ = ("_mailbox", "_prices", "_views")

    def __init__(self, mailbox: Sized, views: Sequence[BarsView], prices: Sequence[PricesSeen]) -> None:
        self._mailbox = mailbox
        self._views = tuple(views)
        self._prices = tuple(prices)

    def __call__(self) -> bool:
        for each in self._prices:
            if each.seen != each.series.ticks:
                return True
        for view in self._views:
            if view.end < view.series.length:
                return True
        return bool(self._mailbox)

    def next_due_ns(self) -> None:
        """Workers have no timer of their own."""
        return


class ManagedState(Protocol):
    """What the trade manager shows to the monitor's predicate.

    Attributes:
        watching: False when `has_work` cannot be true, whatever the market does.
    """

    watching: bool

    def has_work(self) -> bool:
        """True when a rule has new prices to look at, a threshold was crossed, or an event has no worker."""
        ...

    def next_due_ns(self) -> int | None:
        """The next timer: a time exit or a start of a day."""
        ...


class MonitorWake:
    """The monitor waits for a closed bar under an armed rule, a crossed threshold, or its timer.

    A stop or target that rests at the broker wakes nobody.

    Attributes:
        state: what it asks; a clock that finds `state.watching` false need not ask the predicate.
    """

    __slots__ = ("state",)

    def __init__(self, state: ManagedState) -> None:
        self.state = state

    def __call__(self) -> bool:
        state = self.state
        return state.watching and state.has_work()

    def next_due_ns(self) -> int | None:
        """The trade manager's next timer."""
        return self.state.next_due_ns()
