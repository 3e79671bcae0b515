"""What a probe adds up, by readings that a test chooses."""

import pytest

from src.backtesting.tracing import Probe
from src.backtesting.tracing.clock import TracedLock
from src.backtesting.tracing.track import Kind, Room, Track
from src.core.sync import Lock, current_participant, start_thread
from src.testing import bar_series, build_world
from tests.backtesting.tracing.worlds import Counter, Trader, traced_world


class Readings:
    """A clock that says what it is told to."""

    def __init__(self, *values: int) -> None:
        self._values = list(values)

    def __call__(self) -> int:
        return self._values.pop(0)


def test_a_span_has_its_own_time_without_what_lies_inside() -> None:
    """A turn of 100 with a strategy of 70 in which a broker call takes 20: 30, 50 and 20, busy 100."""
    track = Track("worker:X", 0, 0, Room(10), Readings(0, 10, 30, 50, 80, 100))
    track.begin_turn(7)
    track.begin(Kind.STRATEGY, "strategy")
    track.begin(Kind.BROKER, "broker place")
    track.end()
    track.end()
    track.end_turn()

    assert [track.own_ns[kind] for kind in (Kind.TURN, Kind.STRATEGY, Kind.BROKER)] == [30, 50, 20]
    assert (track.turns, track.busy_ns, track.longest_ns, track.longest_at_ns) == (1, 100, 100, 7)
    assert [(span.name, span.begin_ns, span.end_ns) for span in track.spans] == [
        ("broker place", 30, 50),
        ("strategy", 10, 80),
        ("turn", 0, 100),
    ]


def test_a_step_inside_a_wait_is_not_waiting() -> None:
    """A thread that waits for 100 and performs a step of 40 meanwhile has waited for 60."""
    track = Track("worker:X", 0, 0, Room(0), Readings(0, 10, 30, 70, 110))
    track.begin_turn(0)
    now_ns, _ = track.end_turn()
    track.begin_wait(Kind.BARRIER, "barrier wait", now_ns, {})
    track.begin(Kind.STEP, "step", virtual_ns=5)
    track.end()
    track.begin_turn(5)

    assert [track.own_ns[kind] for kind in (Kind.BARRIER, Kind.STEP)] == [60, 40]


def test_all_time_of_a_thread_is_turn_wait_or_step() -> None:
    """From the first turn to the last, nothing is counted twice and nothing is lost."""
    probe = Probe(max_spans=100_000, reading=Counter())
    traced_world(probe, runtime="fibers").run()

    for track, times in zip(probe.tracks, probe.statistics().participants, strict=True):
        lived_ns = max(span.end_ns for span in track.spans) - min(span.begin_ns for span in track.spans)
        assert times.busy_ns + times.waiting_ns + times.step_ns == lived_ns
        assert times.bot_ns + times.strategy_ns + times.broker_ns + times.lock_wait_ns == times.busy_ns


def test_turns_hand_overs_and_steps_fill_the_run() -> None:
    """One participant at a time: the parts add up to no more than the whole, and to most of it."""
    probe = Probe(reading=Counter())
    traced_world(probe, runtime="fibers").run()
    whole = probe.statistics()
    parts_ns = sum(each.busy_ns for each in whole.participants) + whole.hand_over_ns + whole.step_ns

    assert 0.7 * whole.elapsed_ns < parts_ns <= whole.elapsed_ns
    assert 0 < whole.strategy_share + whole.broker_share + whole.hand_over_share + whole.step_share <= 1
    assert sum(each.hand_overs for each in whole.participants) == whole.hand_overs


def test_hand_overs_run_from_the_end_of_anothers_turn_or_of_the_step() -> None:
    """Median and p99 are observed values of all of them; a participant that goes on by itself hands nothing over."""
    probe = Probe(reading=Readings(0, 10, 20, 40, 45, 50, 60, 75, 90))
    probe.add("a", 0)
    probe.add("b", 0)
    a, b = probe.tracks

    def step() -> bool:
        probe.step(1, lambda instant_ns: ())  # 20 to 40, in a's thread
        return True

    current_participant.set("a")
    probe.begin_turn(a)  # at 0, by nobody's hand
    probe.waiting(a, Kind.BARRIER, "barrier wait", step)  # from 10 to 45
    current_participant.set("b")
    probe.end_turn(a)  # at 50
    probe.begin_turn(b)  # at 60
    probe.end_turn(b)  # at 75
    probe.begin_turn(a)  # at 90
    current_participant.set("main")
    found = probe.statistics()

    assert [list(track.hand_overs) for track in (a, b)] == [[15], [10]]
    assert (found.hand_overs, found.hand_over_ns, found.hand_over_median_ns, found.hand_over_p99_ns) == (2, 25, 10, 15)
    assert (found.steps, found.step_ns) == (1, 20)


def test_a_turn_longer_than_its_poll_is_an_overrun_only_where_asked_for() -> None:
    """The limit is the participant's own; a helper thread has its parent's."""
    counts = []
    for flagged in (True, False):
        probe = Probe(flag_overruns=flagged, reading=Readings(0, 101, 200, 300))
        probe.add("worker:X", 100)
        (track,) = probe.tracks
        for _ in range(2):
            probe.begin_turn(track)
            probe.end_turn(track)
        counts.append((track.overrun_count, [overrun.duration_ns for overrun in track.overruns]))

    assert counts == [(1, [101]), (0, [])]


def test_a_contended_lock_is_a_span_and_a_free_one_is_not() -> None:
    """The wait of one thread for another is real time of the waiting participant."""
    probe = Probe(max_spans=10)
    probe.add("worker:X", 0)
    (track,) = probe.tracks
    raw, held, waiting = Lock(), Lock(), Lock()
    held.acquire()
    waiting.acquire()
    traced = TracedLock(Announced(raw, waiting), probe, "the broker")

    def hold() -> None:
        with raw:
            held.release()
            waiting.acquire()

    other = start_thread("holder", hold)
    held.acquire()
    token = current_participant.set("worker:X")
    probe.begin_turn(track)
    with traced:
        pass
    other.join()
    with traced:
        pass
    current_participant.reset(token)

    assert [(span.name, dict(span.details)) for span in track.spans] == [("lock wait", {"for": "the broker"})]
    assert track.own_ns[Kind.LOCK] > 0


class Announced:
    """A lock that says so before it really waits."""

    def __init__(self, lock: object, announce: object) -> None:
        self._lock = lock
        self._announce = announce

    def acquire(self, blocking: bool = True) -> bool:
        if blocking:
            self._announce.release()  # type: ignore[attr-defined]  # a lock
        return self._lock.acquire(blocking)  # type: ignore[attr-defined,no-any-return]  # a lock

    def release(self) -> None:
        self._lock.release()  # type: ignore[attr-defined]  # a lock


def test_calls_from_outside_of_every_participant_are_not_measured() -> None:
    """Whoever composes a run may ask the broker; that belongs to no track."""
    probe = Probe(max_spans=10)
    with probe.span(Kind.BROKER, "broker quote"):
        pass

    assert (probe.tracks, probe.statistics().kept_spans) == ((), 0)


def test_a_run_of_one_thread_alone_has_no_hand_over() -> None:
    """Then there is no median either, instead of a made-up 0."""
    probe = Probe()
    current_participant.set("main")
    found = probe.statistics()

    assert (found.hand_over_median_ns, found.hand_over_p99_ns, found.elapsed_ns) == (None, None, 0)
    assert found.as_dict()["shares"] == {name: 0.0 for name in ("bot", "strategy", "broker", "hand_over", "step")}


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_statistics_may_be_read_while_the_run_goes_on(runtime: str) -> None:
    """A reading in mid-run, without percentiles, holds what has ended so far."""
    probe = Probe()
    seen = []

    class Looking(Trader):
        def on_trade_closed(self, trade: object) -> None:
            seen.append(probe.statistics(percentiles=False))

    build_world(
        [bar_series("AAA", [100.0, 101, 102, 103, 104, 105, 106])], [Looking], runtime=runtime, probe=probe
    ).run()

    assert [each.steps for each in seen] == sorted(each.steps for each in seen)
    assert 0 < seen[0].turns < probe.statistics().turns
    assert seen[0].hand_over_median_ns is None
    assert 0 < seen[0].elapsed_ns < probe.statistics().elapsed_ns
