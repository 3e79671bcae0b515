"""Wake predicates: pure questions, the same for every clock."""

from collections import deque
from typing import Any

from src.core.bars import BarSeries, BarsView
from src.core.timeframe import MINUTE_NS
from src.core.wake import MonitorWake, WorkerWake


def growing() -> BarSeries:
    """A series to which bars are appended."""
    return BarSeries.empty("AAA", MINUTE_NS)


def test_a_worker_wakes_for_an_unseen_bar_of_any_of_its_series() -> None:
    """It stays ready until its views have reached the end of all series."""
    one, five = growing(), growing()
    views = [BarsView(one, 0), BarsView(five, 0)]
    wake = WorkerWake(deque(), views)
    answers = [wake()]
    five.append(0, 1, 1, 1, 1, 1)
    answers.append(wake())
    views[1].end = 1
    answers.append(wake())
    one.append(0, 1, 1, 1, 1, 1)
    one.append(MINUTE_NS, 1, 1, 1, 1, 1)
    views[0].end = 1
    answers.append(wake())
    views[0].end = 2
    answers.append(wake())

    assert answers == [False, True, False, True, False]


def test_a_worker_wakes_for_an_order_event_until_it_is_taken() -> None:
    """An undelivered event is reason enough."""
    mailbox: deque[Any] = deque()
    wake = WorkerWake(mailbox, [])
    before = wake()
    mailbox.append("event")
    with_event = wake()
    mailbox.popleft()

    assert (before, with_event, wake()) == (False, True, False)


class State:
    """What a trade manager shows."""

    def __init__(self, watching: bool, work: bool, due: int | None) -> None:
        self.watching, self._work, self._due = watching, work, due
        self.asked = 0

    def has_work(self) -> bool:
        self.asked += 1
        return self._work

    def next_due_ns(self) -> int | None:
        return self._due


def test_a_monitor_wakes_for_work_and_is_not_even_asked_when_nothing_is_watched() -> None:
    """Without a rule the monitor costs nothing."""
    idle, busy, calm = State(False, True, None), State(True, True, 5), State(True, False, None)

    assert [MonitorWake(state)() for state in (idle, busy, calm)] == [False, True, False]
    assert (idle.asked, busy.asked) == (0, 1)
    assert MonitorWake(busy).next_due_ns() == 5
