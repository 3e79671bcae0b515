"""The clock that really waits: turns, polling, timers, stopping; at a speed at which nobody notices the waiting."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from src.core.clock import PHASE_MONITOR, PHASE_WORKER, Participant
from src.core.errors import ConfigError, Stopping
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.core.wall_clock import WallClock

FAST = 20_000.0


@dataclass
class Predicate:
    """A wake predicate made of two functions."""

    test: Callable[[], bool] = lambda: False
    due: Callable[[], int | None] = lambda: None

    def __call__(self) -> bool:
        return self.test()

    def next_due_ns(self) -> int | None:
        return self.due()


@dataclass
class Cast:
    """A clock and participants that write into one log."""

    clock: WallClock = field(default_factory=lambda: WallClock(FAST, origin_ns=0))
    log: list[str] = field(default_factory=list)

    def add(
        self, name: str, act: Callable[[], None], wake: Predicate | None = None, *, rank: int = 0,
        phase: int = PHASE_WORKER, timed: bool = False,
    ) -> None:  # fmt: skip
        """Register a participant that calls `act` in each turn after its first one, and logs its beginning and end."""

        def run() -> None:
            self.log.append(f"{name} begins")
            while self.clock.wait_for_next_step(name):
                act()
            self.log.append(f"{name} ends")

        self.clock.spawn(
            Participant(name=name, phase=phase, rank=rank, wake=wake or Predicate(), poll_ns=SECOND_NS, timed=timed),
            run,
        )


def stopper(clock: WallClock) -> Callable[[], None]:
    """An act that ends the run."""
    return lambda: clock.stop("done")


def test_first_turns_come_in_key_order() -> None:
    """The monitor begins first, then the workers by rank, one after the other."""
    cast = Cast()
    cast.add("b", stopper(cast.clock), Predicate(lambda: True), rank=1)
    cast.add("a", stopper(cast.clock), rank=0)
    cast.add("monitor", stopper(cast.clock), phase=PHASE_MONITOR, rank=5)

    cast.clock.drive()

    assert cast.log[:3] == ["monitor begins", "a begins", "b begins"]
    assert sorted(cast.log[3:]) == ["a ends", "b ends", "monitor ends"]


def test_turns_are_exclusive_and_a_sleep_gives_the_turn_away() -> None:
    """One participant decides at a time; another may only come in while it sleeps."""
    cast = Cast()
    inside: list[str] = []
    overlaps: list[tuple[str, ...]] = []
    slept = {"a": 0, "b": 0}

    def work(name: str) -> Callable[[], None]:
        def act() -> None:
            inside.append(name)
            overlaps.append(tuple(inside))
            inside.remove(name)
            cast.clock.sleep(SECOND_NS)
            slept[name] += 1
            if min(slept.values()) >= 20:
                cast.clock.stop("done")

        return act

    for rank, name in enumerate(slept):
        cast.add(name, work(name), Predicate(lambda: True), rank=rank)
    cast.clock.drive()

    assert set(overlaps) == {("a",), ("b",)}
    assert min(slept.values()) >= 20


def test_a_predicate_that_becomes_true_gives_a_turn_and_a_false_one_never_does() -> None:
    """A waiting participant is asked again at each poll."""
    cast = Cast()
    letters: list[int] = []
    read: list[int] = []

    def write() -> None:
        letters.append(1)
        cast.clock.sleep(2 * SECOND_NS)

    def take() -> None:
        read.append(letters.pop())
        if len(read) == 5:
            cast.clock.stop("done")

    cast.add("writer", write, Predicate(lambda: not letters))
    cast.add("reader", take, Predicate(lambda: bool(letters)), rank=1)
    cast.add("idle", lambda: read.append(-1), rank=2)
    cast.clock.drive()

    assert read == [1] * 5


def test_a_timer_gives_a_turn_when_it_falls_due_and_not_before() -> None:
    """The participant's own timer counts besides its predicate."""
    cast = Cast()
    rang: list[int] = []
    due = [10 * MINUTE_NS]

    def ring() -> None:
        rang.append(cast.clock.now_ns())
        cast.clock.stop("done")

    cast.add("monitor", ring, Predicate(due=lambda: due[0]), phase=PHASE_MONITOR, timed=True)
    cast.clock.drive()

    assert len(rang) == 1
    assert rang[0] >= 10 * MINUTE_NS


def test_time_starts_at_the_origin_and_runs_at_the_speed() -> None:
    """A sleep takes at least its length of the clock's own time."""
    cast = Cast()
    instants: list[int] = []

    def nap() -> None:
        instants.append(cast.clock.now_ns())
        cast.clock.sleep(MINUTE_NS)
        instants.append(cast.clock.now_ns())
        cast.clock.stop("done")

    cast.add("a", nap, Predicate(lambda: True))
    cast.clock.drive()

    assert instants[0] >= 0
    assert instants[1] - instants[0] >= MINUTE_NS


def test_after_a_stop_from_another_thread_sleepers_get_stopping_and_waiters_false() -> None:
    """A stop interrupts waits of any length."""
    cast = Cast(WallClock(1.0))
    asleep = threading.Event()
    ends: list[str] = []

    def sleep_long() -> None:
        asleep.set()
        try:
            cast.clock.sleep(10**6 * SECOND_NS)
        except Stopping:
            ends.append("stopping")
            raise

    def outside() -> None:
        asleep.wait(60)
        cast.clock.stop("from outside")
        cast.clock.stop("later")

    cast.add("sleeper", sleep_long, Predicate(lambda: True))
    cast.add("waiter", lambda: None, rank=1)
    outsider = threading.Thread(target=outside)
    outsider.start()
    cast.clock.drive()
    outsider.join()

    assert ends == ["stopping"]
    assert cast.log == ["sleeper begins", "waiter begins", "waiter ends"]
    assert cast.clock.stopped_because == "from outside"


def raising(message: str) -> Callable[[], bool]:
    """A function that raises."""

    def call() -> bool:
        raise KeyError(message)

    return call


@pytest.mark.parametrize("where", ["turn", "predicate"])
def test_an_error_ends_everybody_and_is_raised_by_drive(where: str) -> None:
    """Whether a turn fails or a predicate, nobody else keeps waiting and the turn lock is handed on properly."""
    cast = Cast()

    def fail() -> None:
        raising("broken")()

    wake = Predicate(lambda: True) if where == "turn" else Predicate(raising("broken"))
    cast.add("a", lambda: cast.clock.sleep(SECOND_NS), Predicate(lambda: True))
    cast.add("bad", fail, wake, rank=1)
    cast.add("c", lambda: cast.clock.sleep(SECOND_NS), Predicate(lambda: True), rank=2)

    with pytest.raises(KeyError, match="broken"):
        cast.clock.drive()


def test_a_name_twice_and_a_speed_of_nothing_are_refused() -> None:
    """Both are the composer's mistakes."""
    cast = Cast()
    cast.add("a", lambda: None)

    with pytest.raises(ConfigError, match="registered already"):
        cast.add("a", lambda: None)
    with pytest.raises(ConfigError, match="positive speed"):
        WallClock(0.0)


def test_sleepers_that_are_woken_late_go_on_in_the_order_of_their_instants() -> None:
    """While somebody does not give the turn away, several fall due; the operating system does not choose among them."""
    cast = Cast(WallClock(1_000.0, origin_ns=0))
    woken: list[str] = []
    all_sleep = threading.Event()

    def sleeper(name: str, due_ns: int) -> Callable[[], None]:
        def act() -> None:
            cast.clock.sleep(max(0, due_ns - cast.clock.now_ns()))
            woken.append(name)
            if len(woken) == 3:
                cast.clock.stop("done")
            cast.clock.sleep(10**9 * SECOND_NS)

        return act

    def hold_the_turn() -> None:
        while cast.clock.now_ns() < 7 * MINUTE_NS:
            all_sleep.wait(0.001)
        cast.clock.sleep(10**9 * SECOND_NS)

    for rank, minutes in enumerate((6, 2, 4)):
        cast.add(f"at {minutes}", sleeper(f"at {minutes}", minutes * MINUTE_NS), Predicate(lambda: True), rank=rank)
    cast.add("holder", hold_the_turn, Predicate(lambda: True), rank=3)
    cast.clock.drive()

    assert woken == ["at 2", "at 4", "at 6"]


def test_a_busy_participant_does_not_keep_others_from_their_turns() -> None:
    """One whose predicate is always true comes first by its key and still waits until the others have had theirs."""
    cast = Cast()
    turns: list[str] = []

    def busy() -> None:
        turns.append("busy")

    def modest() -> None:
        turns.append("modest")
        if turns.count("modest") == 5:
            cast.clock.stop("done")

    cast.add("busy", busy, Predicate(lambda: True), phase=PHASE_MONITOR)
    cast.add("modest", modest, Predicate(lambda: True), rank=1)
    cast.clock.drive()

    assert turns.count("modest") == 5


def test_a_condition_on_something_outside_is_asked_again_and_again() -> None:
    """Nobody takes a turn meanwhile; another thread of the process changes what it looks at."""
    cast = Cast()
    outside = threading.Event()
    waiting = threading.Event()
    met: list[bool] = []

    def wait() -> None:
        waiting.set()
        met.append(cast.clock.wait_until(outside.is_set, "something outside"))
        cast.clock.stop("done")

    def change() -> None:
        waiting.wait(60)
        outside.set()

    cast.add("a", wait, Predicate(lambda: True))
    outsider = threading.Thread(target=change)
    outsider.start()
    cast.clock.drive()
    outsider.join()

    assert met == [True]


def test_a_condition_that_raises_does_so_in_the_turn_of_who_waits() -> None:
    """Not in the thread that asked it when its own turn ended."""
    cast = Cast()
    lamps: list[int] = []
    caught: list[str] = []

    def wait() -> None:
        with pytest.raises(IndexError):
            cast.clock.wait_until(lambda: not lamps or bool(lamps[5]), "a lamp")
        caught.append("waiter")
        cast.clock.stop("done")

    def light() -> None:
        lamps.append(1)

    lamps.append(0)

    def empty_and_wait() -> None:
        lamps.pop()
        wait()

    cast.add("waiter", empty_and_wait, Predicate(lambda: True))
    cast.add("other", light, Predicate(lambda: not lamps), rank=1)
    lamps.append(0)
    cast.clock.drive()

    assert caught == ["waiter"]


def test_a_retired_participant_gets_no_further_step_and_ends_in_order() -> None:
    """The others go on."""
    cast = Cast()
    steps: list[str] = []

    def retire() -> None:
        if not steps:
            cast.clock.retire("waiter")
            cast.clock.retire("nobody")
        steps.append("step")
        if "waiter ends" in cast.log:
            cast.clock.stop("done")

    cast.add("a", retire, Predicate(lambda: True))
    cast.add("waiter", lambda: steps.append("waiter"), rank=1)
    cast.clock.drive()

    assert cast.log[:3] == ["a begins", "waiter begins", "waiter ends"]
    assert set(steps) == {"step"}


def test_threads_that_are_left_alone_and_only_wait_for_others_end() -> None:
    """Their participants have left, so nothing will ever be put into the queue."""
    clock = WallClock(FAST, origin_ns=0)
    ends: list[str] = []

    def consume() -> None:
        try:
            clock.queue().get()
        except Stopping:
            ends.append("stopping")
            raise

    def run() -> None:
        clock.start_thread(consume)
        clock.set_timer(MINUTE_NS, lambda: ends.append("timer"))

    clock.spawn(Participant(name="a", phase=PHASE_WORKER, rank=0, wake=Predicate()), run)
    clock.drive()

    assert ends == ["timer", "stopping"]


def test_who_is_no_participant_cannot_wait() -> None:
    """A thread that did not come from the clock is told where it should have come from."""
    clock = WallClock(FAST, origin_ns=0)

    expected = "found MainThread, which cannot wait; start threads with `clock.start_thread`"
    with pytest.raises(RuntimeError, match=expected):
        clock.sleep(1)


def test_a_plain_thread_that_waits_is_called_by_its_own_name() -> None:
    """Not by that of the main thread."""
    clock = WallClock(FAST, origin_ns=0)
    told: list[str] = []

    def act() -> None:
        with pytest.raises(RuntimeError) as error:
            clock.sleep(1)
        told.append(str(error.value))

    thread = threading.Thread(target=act, name="a download")
    thread.start()
    thread.join()

    assert "found a download, which cannot wait" in told[0]
