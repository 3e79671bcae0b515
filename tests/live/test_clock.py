"""The clock of a bot whose turns are recorded, or given as they were."""

from collections.abc import Callable
from typing import Any

import pytest

from src.core import sync, wall_clock
from src.core.clock import Participant
from src.core.errors import DataError, Stopping
from src.core.timeframe import HOUR_NS, SECOND_NS
from src.live.clock import EVERYBODY_LEFT, RECORDING_ENDS, LiveClock
from src.live.recording import Entry
from src.live.script import ReplayDivergedError, Script

MILLI_NS = 1_000_000


class Log:
    """Notes turns, and what ended the run from outside."""

    def __init__(self) -> None:
        self.turns: list[tuple[int, str, str]] = []
        self.ends: list[str] = []

    def turn(self, instant_ns: int, participant: str, what: str) -> None:
        """See `TurnLog`."""
        self.turns.append((instant_ns, participant, what))

    def ended(self, instant_ns: int, why: str) -> None:
        """See `TurnLog`."""
        self.ends.append(why)


class Always:
    """There is always something to do."""

    def __call__(self) -> bool:
        """See `Wake`."""
        return True

    def next_due_ns(self) -> None:
        """See `Wake`."""
        return


def participant(name: str, rank: int = 0) -> Participant:
    """One that is asked every millisecond."""
    return Participant(name=name, phase=1, rank=rank, wake=Always(), poll_ns=MILLI_NS)


def spawn(clock: LiveClock, name: str, steps: Callable[[], bool], rank: int = 0, *, aside: bool = False) -> None:
    """A participant that goes on as long as `steps` says so."""

    def run() -> None:
        try:
            while clock.wait_for_next_step(name) and steps():
                pass
        except Stopping:
            pass
        finally:
            clock.leave(name)

    (clock.spawn_aside if aside else clock.spawn)(participant(name, rank), run)


def count_of(times: int, then: Callable[[], object]) -> Callable[[], bool]:
    """Does something at the last of some steps, and goes on to the end of the run."""
    left = [times]

    def step() -> bool:
        left[0] -= 1
        if left[0] == 0:
            then()
        return True

    return step


def script_of(*turns: tuple[int, str, str]) -> Script:
    """A script of turns alone."""
    return Script(iter([Entry(n, at_ns, "turn", who, {"what": what}) for n, (at_ns, who, what) in enumerate(turns)]))


def test_time_stands_still_in_a_turn_and_no_two_turns_share_an_instant() -> None:
    """Although real time moves."""
    log = Log()
    clock = LiveClock(log)
    same: list[bool] = []

    def look() -> bool:
        before, present = clock.now_ns(), clock.present_ns()
        while clock.present_ns() == present:
            pass
        same.append(clock.now_ns() == before == log.turns[-1][0])
        if len(same) > 20:
            clock.stop("enough")
        return True

    spawn(clock, "a", look)
    spawn(clock, "b", look, 1)
    clock.drive()

    instants = [at_ns for at_ns, _, _ in log.turns]
    assert all(same)
    assert instants == sorted(set(instants))
    assert {(who, what) for _, who, what in log.turns[:2]} == {("a", "first"), ("b", "first")}
    assert log.turns[-1][2] == "over"


def test_a_thread_that_the_end_came_before_is_told_and_replayed() -> None:
    """It was started in the turn that ended the run, and never began."""

    def drive(clock: LiveClock) -> list[str]:
        begun: list[str] = []

        def step() -> bool:
            clock.start_thread(lambda: begun.append("helper"))
            clock.stop("enough")
            return True

        spawn(clock, "a", step)
        spawn(clock, "b", lambda: True, 1)
        clock.drive()
        return begun

    log, again = Log(), Log()
    begun = drive(LiveClock(log))
    replay = LiveClock(again, script=script_of(*log.turns))
    begun += drive(replay)

    assert begun == []
    assert ("a/helper-1", "over") in [(who, what) for _, who, what in log.turns]
    assert replay.difference is None
    assert again.turns == []


def test_a_machine_whose_clock_is_set_back_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot's time goes on from where it was; when it is set ahead, the bot's jumps too."""
    moved = [0]
    monkeypatch.setattr(wall_clock, "wall_ns", lambda: sync.wall_ns() + moved[0])
    log = Log()
    clock = LiveClock(log)
    spawn(clock, "a", count_of(5, lambda: moved.__setitem__(0, -HOUR_NS)))
    spawn(clock, "b", count_of(40, lambda: moved.__setitem__(0, 2 * HOUR_NS)), 1)
    spawn(clock, "c", count_of(60, lambda: clock.stop("enough")), 2)
    clock.drive()

    instants = [at_ns for at_ns, _, _ in log.turns]
    assert instants == sorted(set(instants))
    assert clock.stopped_because == "enough"
    assert 2 * HOUR_NS <= instants[-1] - instants[0] < 4 * HOUR_NS


def test_turns_of_participants_aside_are_not_told() -> None:
    """They are no part of the bot."""
    log = Log()
    clock = LiveClock(log)
    spawn(clock, "feed", count_of(5, lambda: clock.stop("enough")), aside=True)
    spawn(clock, "a", lambda: True, 1)

    clock.drive()

    assert {who for _, who, _ in log.turns} == {"a"}


def test_a_script_gives_its_turns_with_its_instants_and_then_the_run_ends() -> None:
    """A replay of a run that was killed."""
    seen: list[tuple[str, int]] = []
    script = script_of((10, "b", "first"), (20, "a", "first"), (35, "a", "step"), (50, "b", "step"))
    clock = LiveClock(Log(), script=script)
    for rank, name in enumerate("ab"):
        spawn(clock, name, lambda name=name: seen.append((name, clock.now_ns())) or True, rank)  # type: ignore[misc]  # begun by hand

    clock.drive()

    assert seen == [("a", 35), ("b", 50)]
    assert clock.stopped_because == RECORDING_ENDS
    assert clock.is_void


def test_after_its_script_a_clock_goes_on_by_itself() -> None:
    """With participants aside first, and later instants."""
    log, order = Log(), list[str]()
    script = script_of((10, "a", "first"), (20, "a", "step"))
    begun: list[int] = []
    clock = LiveClock(log, script=script, at_end=lambda: begun.append(1))

    def feed() -> None:
        order.append("feed")
        while clock.wait_for_next_step("feed"):
            pass
        clock.leave("feed")

    clock.spawn_aside(Participant(name="feed", phase=0, rank=0, wake=Always(), poll_ns=MILLI_NS), feed)
    spawn(clock, "a", lambda: order.append("a") or len(order) < 5 or clock.stop("enough") or True, 1)  # type: ignore[func-returns-value]  # goes on in any case
    clock.drive()

    assert begun == [1]
    assert order[:2] == ["a", "feed"]
    assert order[2:] == ["a"] * 3
    assert log.turns[0][0] > 20
    assert log.turns[0][1:] == ("a", "step")


def test_a_bot_that_goes_on_otherwise_ends_the_run() -> None:
    """The first difference is kept, and nothing counts any more."""
    script = script_of((10, "a", "first"), (20, "a", "wait"))
    clock = LiveClock(Log(), script=script, at_end=lambda: None)
    spawn(clock, "a", lambda: True)
    spawn(clock, "feed", lambda: True, aside=True)

    with pytest.raises(ReplayDivergedError):
        clock.drive()

    assert clock.is_void
    assert clock.difference is not None


def test_a_script_that_names_nobody_known_ends_the_run() -> None:
    """As a thread of a strategy that is not started any more."""
    clock = LiveClock(Log(), script=script_of((10, "x", "first")))
    spawn(clock, "a", lambda: True)

    with pytest.raises(ReplayDivergedError, match="a participant x"):
        clock.drive()


@pytest.mark.parametrize("where", ["entries", "handler", "end"])
def test_an_error_while_a_script_is_read_ends_the_run(where: str) -> None:
    """It is nobody's turn then, and nobody must be left waiting."""

    def broken(*_: Any) -> None:
        raise KeyError("unforeseen")

    def entries() -> Any:
        yield Entry(0, 10, "turn", "a", {"what": "first"})
        if where == "entries":
            broken()
        yield Entry(1, 11, "world", "", {})

    script = Script(entries())
    clock = LiveClock(Log(), script=script, at_end=broken if where == "end" else lambda: None)
    if where == "handler":
        script.handlers.world = broken
    spawn(clock, "a", lambda: True)
    spawn(clock, "feed", lambda: True, aside=True)

    with pytest.raises(KeyError):
        clock.drive()
    assert clock.is_void


def test_when_everybody_of_the_bot_has_left_in_a_script_the_others_do_not_wait() -> None:
    """The run that was recorded had failed: there are entries left, and nobody who could come to them."""
    script = script_of((10, "a", "first"), (20, "a", "step"), (30, "b", "step"))
    clock = LiveClock(Log(), script=script, at_end=lambda: None)
    spawn(clock, "a", lambda: False)
    spawn(clock, "feed", lambda: True, aside=True)

    clock.drive()

    assert clock.stopped_because == EVERYBODY_LEFT


def test_what_fails_outside_the_bot_is_told_before_the_end() -> None:
    """So that a process that goes on with the run begins before it."""
    log = Log()
    clock = LiveClock(log)
    spawn(clock, "feed", count_of(3, lambda: clock.fail_outside(DataError("no disk"))), aside=True)
    spawn(clock, "a", lambda: True, 1)

    with pytest.raises(DataError, match="no disk"):
        clock.drive()

    assert log.ends == ["DataError: no disk"]
    assert clock.failed_outside


def test_a_clock_that_counts_for_nothing_tells_no_turns() -> None:
    """What could not be written must not look as if it had been."""
    log = Log()
    clock = LiveClock(log)
    spawn(clock, "a", count_of(3, lambda: clock.void(DataError("no disk"))))
    spawn(clock, "b", lambda: True, 1)

    with pytest.raises(DataError):
        clock.drive()

    assert clock.is_void
    assert all(what != "over" for _, _, what in log.turns)


def test_a_script_is_given_up_from_another_thread() -> None:
    """As an interrupt does, while somebody waits for a reply that would never come."""
    entries = iter([Entry(0, 10, "turn", "a", {"what": "first"}), Entry(1, 20, "turn", "b", {"what": "first"})])
    clock = LiveClock(Log(), script=Script(entries), at_end=lambda: None)
    replies: list[object] = []

    def waits() -> None:
        replies.append(clock.await_reply())
        clock.leave("a")

    def gives_up() -> None:
        sync.start_thread("signal", lambda: clock.abandon("interrupted")).join()
        clock.leave("b")

    clock.spawn(participant("a"), waits)
    clock.spawn(participant("b", 1), gives_up)
    clock.drive()

    assert replies == [None]
    assert clock.stopped_because == "interrupted"


def test_a_helper_that_cannot_be_started_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no thread left; the turn is not given to one that is not there."""
    clock = LiveClock(Log())

    def helped() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(wall_clock, "start_thread", lambda *_: (_ for _ in ()).throw(RuntimeError("no thread")))
            with pytest.raises(RuntimeError, match="no thread"):
                clock.start_thread(lambda: None)
        clock.sleep(SECOND_NS // 1000)
        clock.leave("a")

    clock.spawn(participant("a"), helped)

    clock.drive()


def test_others_go_on_while_one_is_outside() -> None:
    """Its turn comes back with what it brought, or with what it raised."""
    log, found = Log(), list[Any]()
    clock = LiveClock(log)
    inside = sync.Event()

    def goes_outside() -> None:
        found.append(clock.outside(lambda: inside.wait(120)))
        with pytest.raises(DataError):
            clock.outside(lambda: (_ for _ in ()).throw(DataError("nobody there")))
        clock.stop("enough")
        clock.leave("a")

    clock.spawn(participant("a"), goes_outside)
    spawn(clock, "b", lambda: inside.set() or True, 1)  # type: ignore[func-returns-value]  # goes on in any case
    clock.drive()

    assert found == [True]
