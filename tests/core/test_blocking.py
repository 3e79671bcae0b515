"""Helper threads, timers, names and arguments; one text for every clock, tried on each of them."""

from collections.abc import Callable

import pytest

from src.core.blocking import HelperThread, helper_order
from src.core.errors import DeadlockError
from tests.core.stage import CLOCKS, TICK_NS, Play

every = pytest.mark.parametrize("kind", CLOCKS)
virtual = pytest.mark.parametrize("kind", ["threads", "fibers"])


# -- threads and timers -----------------------------------------------------------------------------


@every
def test_a_helper_thread_takes_turns_and_is_joined(kind: str) -> None:
    """It runs while its participant waits; its name says whose it is."""
    play = Play(kind)

    def act() -> None:
        helper = play.clock.start_thread(lambda: play.note("works"), name="fetch")
        play.note(helper.ended)
        play.note(helper.join())
        play.note(helper.ended)
        play.note(helper.join())

    assert play.words(A=act) == ["A False", "A/fetch-1 works", "A True", "A True", "A True"]


@virtual
def test_a_join_with_a_time_out_gives_up_at_its_instant(kind: str) -> None:
    """The helper goes on."""
    play = Play(kind)

    def act() -> None:
        helper = play.clock.start_thread(lambda: play.wait(3))
        play.note(helper.join(0))
        play.note(helper.join(2 * TICK_NS))
        play.note(helper.join(2 * TICK_NS))

    log = play.run(A=act)

    assert log == [(0, "A", "False"), (2, "A", "False"), (3, "A", "True")]


@every
def test_threads_run_in_the_order_of_starting_the_tenth_after_the_second(kind: str) -> None:
    """Also those that other threads started: all belong to the participant at the root."""
    play = Play(kind)

    def act() -> None:
        for i in range(11):
            play.clock.start_thread(play.note, name="zyx"[i % 3])

    words = play.words(A=act)

    assert words == [f"A/{'zyx'[i % 3]}-{i + 1}" for i in range(11)]
    assert helper_order("BTC/USDT/zyx-12") == ("BTC/USDT", 12)


@every
def test_a_thread_that_joins_itself_or_who_waits_for_it_is_told(kind: str) -> None:
    """The first is a mistake, the second a deadlock; both name the thread."""
    play = Play(kind)
    helpers: list[HelperThread] = []
    lock = play.clock.lock("inventory")
    told: list[BaseException] = []

    def helps() -> None:
        try:
            helpers[0].join()
        except RuntimeError as error:
            told.append(error)
        try:
            lock.acquire()
        except DeadlockError as error:
            told.append(error)

    def act() -> None:
        with lock:
            helpers.append(play.clock.start_thread(helps))
            helpers[0].join()

    play.run(A=act)

    assert str(told[0]) == "A/helper-1 waits for its own end; let another participant join it"
    assert isinstance(told[1], DeadlockError)
    assert told[1].waits == ["the lock inventory held by A", "the end of A/helper-1"]


@every
def test_a_timer_calls_back_in_a_turn_of_its_own(kind: str) -> None:
    """Timers fire by their instants, whatever the order in which they were set; a cancelled one does not fire."""
    play = Play(kind)

    def act() -> None:
        late = play.clock.set_timer(4 * TICK_NS, lambda: play.note("late"))
        play.clock.set_timer(1 * TICK_NS, lambda: play.note("soon"))
        never = play.clock.set_timer(2 * TICK_NS, lambda: play.note("never"))
        never.cancel()
        play.note(late.due_ns > never.due_ns)

    assert play.words(A=act) == ["A True", "A/timer-2 soon", "A/timer-1 late"]


@virtual
def test_timers_for_one_instant_fire_in_the_order_of_setting(kind: str) -> None:
    """Also the eleventh after the second, and before whoever only gets there by a turn."""
    play = Play(kind)

    def act() -> None:
        for _ in range(11):
            play.clock.set_timer(TICK_NS, play.note)

    log = play.run(A=act)

    assert log == [(1, f"A/timer-{i + 1}", "") for i in range(11)]


@every
def test_a_timer_that_sets_the_next_one_keeps_a_short_name(kind: str) -> None:
    """All belong to the participant at the root, and are counted there."""
    play = Play(kind)

    def tick() -> None:
        if len(play.log) < 5:
            play.clock.set_timer(0, note_and_tick)

    def note_and_tick() -> None:
        play.note()
        tick()

    assert play.words(A=tick) == [f"A/timer-{i}" for i in range(1, 6)]


@every
def test_what_a_helper_raises_is_told_to_its_participant(kind: str) -> None:
    """In the helper's turn, also for a helper's helper and a timer; the run goes on."""
    play = Play(kind)

    def fail() -> None:
        raise KeyError("broken")

    def parent() -> None:
        play.clock.start_thread(fail).join()

    def act() -> None:
        play.clock.start_thread(parent).join()
        play.clock.set_timer(0, fail)
        play.wait(1)
        play.note("goes on")

    play.add("A", act, on_failure=lambda error: play.note(repr(error)))

    assert play.words() == ["A/helper-2 KeyError('broken')", "A/timer-3 KeyError('broken')", "A goes on"]


@every
def test_what_a_helper_raises_ends_the_run_when_nobody_answers_for_it(kind: str) -> None:
    """Everybody else is told to stop."""
    play = Play(kind)

    def fail() -> None:
        raise KeyError("broken")

    def act() -> None:
        play.wait(1)
        play.clock.start_thread(fail)
        play.wait(900)

    with pytest.raises(KeyError, match="broken"):
        play.run(A=act, B=lambda: play.wait(900))

    assert sorted(play.stopped) == ["A", "B"]


@every
def test_an_answer_to_a_failure_that_fails_itself_ends_the_run(kind: str) -> None:
    """Nothing that a thread raises is lost."""
    play = Play(kind)

    def fail() -> None:
        raise KeyError("broken")

    def answer(error: BaseException) -> None:
        raise KeyError("no answer")

    def act() -> None:
        play.clock.start_thread(fail).join()
        play.wait(900)

    play.add("A", act, on_failure=answer)

    with pytest.raises(KeyError, match="no answer"):
        play.run()


# -- one program on every clock ---------------------------------------------------------------------


@pytest.mark.slow
def test_one_program_gives_one_sequence_of_events_on_every_clock() -> None:
    """Locks, a queue, a condition, timers and threads; what really waits and what moves time agree on the order."""

    def program(kind: str) -> list[str]:
        play = Play(kind)
        clock = play.clock
        lock, orders, condition, opened = clock.lock(), clock.queue(maxsize=2), clock.condition(), clock.event()

        def makes() -> None:
            for i in range(4):
                orders.put(i)
                play.note(f"put {i}")
            clock.set_timer(14 * TICK_NS, opened.set)
            with lock:
                play.wait(8)
                play.note("made")

        def takes_two() -> None:
            for _ in range(2):
                play.note(f"took {orders.get()}")

        def takes() -> None:
            helper = clock.start_thread(takes_two)
            play.note(f"took {orders.get()}")
            helper.join()
            play.note(f"lock {lock.acquire(TICK_NS)}")
            with condition:
                play.note(f"told {condition.wait(90 * TICK_NS)}")

        def tells() -> None:
            opened.wait()
            play.note(f"last {orders.get()}")
            with lock, condition:
                condition.notify_all()
                play.note("telling")

        return play.words(A=makes, B=takes, C=tells)

    threads, fibers, wall = program("threads"), program("fibers"), program("wall")

    assert threads == fibers == wall
    assert threads[-3:] == ["C last 3", "C telling", "B told True"]


# -- arguments and names ----------------------------------------------------------------------------


@every
def test_negative_lengths_counts_and_sizes_are_refused(kind: str) -> None:
    """With a sentence that says what was found."""
    play = Play(kind)
    clock = play.clock
    told: list[str] = []

    def act() -> None:
        condition = clock.condition()
        calls: list[Callable[[], object]] = [
            lambda: clock.sleep(-1), lambda: clock.set_timer(-1, play.note), lambda: clock.lock().acquire(-1),
            lambda: clock.semaphore().acquire(-1), lambda: clock.event().wait(-1), lambda: clock.queue().get(-1),
            lambda: clock.queue().put(1, -1), lambda: condition.wait(-1), lambda: condition.wait_for(bool, -1),
            lambda: clock.semaphore(-1), lambda: clock.queue(-1),
            lambda: clock.semaphore().release(0), lambda: clock.start_thread(play.note, name="a/b"),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(ValueError, match="expected") as error:
                call()
            told.append(str(error.value))

    play.run(A=act)

    assert len(told) == 13
    assert told[0] == "expected duration_ns of at least 0, found -1"
    assert told[2] == "expected timeout_ns of at least 0, found -1"


@every
def test_names_that_are_not_given_count_what_a_participant_has_made(kind: str) -> None:
    """They do not depend on who came first."""
    play = Play(kind)
    clock = play.clock

    def act() -> None:
        for made in (clock.lock(), clock.lock(), clock.queue(), clock.event("go"), clock.rlock(), clock.semaphore()):
            play.note(made.name)

    words = play.words(A=act, B=lambda: play.note(clock.lock().name))

    assert words == ["A lock-1 of A", "A lock-2 of A", "A queue-1 of A", "A go", "A rlock-1 of A", "A semaphore-1 of A",
                     "B lock-1 of B"]  # fmt: skip
