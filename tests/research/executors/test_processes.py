"""The executor of one machine: who ends how, what its neighbours notice, and what is left of it."""

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import psutil
import pytest

from src.core.errors import InternalError
from src.core.sync import monotonic_ns
from src.research.executors import crew
from src.research.executors.port import Executor, Lost
from src.research.executors.processes import LocalProcesses
from tests.research.executors import calls

pytestmark = pytest.mark.slow

#: For a process to end that should be ending; generous, because machines are busy.
ENDS_WITHIN_S = 240


@pytest.fixture
def two() -> Iterator[LocalProcesses]:
    """Two processes that are told their slots."""
    with LocalProcesses(2, start=calls.note_slot) as executor:
        yield executor


def answered(executor: Executor, function: Callable[[Any], Any], items: list[Any], **words: Any) -> list[Any]:
    """What each item came to, in their order; each is told of once."""
    told: list[tuple[int, Any]] = []
    numbers = {id(item): number for number, item in enumerate(items)}
    executor.each(function, items, lambda item, answer: told.append((numbers[id(item)], answer)), **words)
    assert sorted(number for number, _ in told) == list(range(len(items)))
    return [answer for _, answer in sorted(told, key=lambda pair: pair[0])]


def test_each_item_is_answered_once(two: LocalProcesses) -> None:
    """They go to two processes, which live on."""
    told: list[tuple[int, Any]] = []
    two.each(calls.slot_and_process, range(20), lambda item, answer: told.append((item, answer)))

    assert sorted(item for item, _ in told) == list(range(20))
    assert {tuple(slots) for _, (slots, _) in told} <= {(0,), (1,)}
    assert len({process for _, (_, process) in told}) <= 2


def test_a_process_that_waited_long_for_its_first_call_is_not_taken_for_one_that_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is judged before the first run may take longer than a process may take to begin."""
    later_ns = 0
    monkeypatch.setattr(crew, "monotonic_ns", lambda: monotonic_ns() + later_ns)
    told: list[tuple[Any, int]] = []
    with crew.Crew(1) as made:
        made.begin()
        ahead = {child.pid for child in psutil.Process().children()}
        later_ns = 3600 * 10**9
        made.run(calls.process_of, [1, 2], lambda item, answer, attempts: told.append((answer, attempts)))

    (first, _), (second, _) = told
    assert first == second
    assert told[0][1] == told[1][1] == 1
    assert first in ahead


def test_processes_that_are_started_ahead_make_the_calls_whichever_of_them_is_asked_first(two: LocalProcesses) -> None:
    """Also those that begin while only others have something to do; no further process is started."""
    two.begin()
    two.begin()
    ahead = {child.pid for child in psutil.Process().children()}
    first = answered(two, calls.slot_and_process, [{"a": i} for i in range(6)], at_once=1)
    both = answered(two, calls.slot_and_process, [{"b": i} for i in range(40)])

    assert {tuple(slots) for slots, _ in first} == {(0,)}
    assert {process for _, process in [*first, *both]} <= ahead
    assert len(first + both) == 46


def test_a_process_that_is_started_ahead_and_does_not_begin_is_replaced(tmp_path: Path) -> None:
    """As if it had been started for its first call."""
    with LocalProcesses(1, start=partial(calls.fail_to_start_once, str(tmp_path))) as executor:
        executor.begin()

        assert answered(executor, calls.double, [4, 5]) == [8, 10]


def test_nothing_to_do_starts_nothing() -> None:
    """An executor without items has no process."""
    before = psutil.Process().children()
    with LocalProcesses(2) as executor:
        executor.each(calls.double, [], lambda item, answer: pytest.fail("told of nothing"))

        assert psutil.Process().children() == before


def test_a_call_without_an_answer_is_lost_alone(two: LocalProcesses) -> None:
    """It was tried twice, and its neighbours have their answers."""
    cases = [
        ("kill_itself", None, "died", "SIGKILL"),
        ("crash", None, "died", "SIGSEGV"),
        ("exit_at_once", 0, "died", "exit code 0"),
        ("exit_at_once", 9, "died", "exit code 9"),
        ("cannot_be_sent", None, "AttributeError", "cannot be sent"),
        ("cannot_be_read", None, "OverflowError", "cannot be read here: OverflowError: not here"),
        ("raise_odd", None, "Odd", "Odd: this and that (calls.py:"),
        ("raise_disagreement", None, "DeterminismError", "the same inputs gave another digest"),
        ("leave", None, "SystemExit", "enough"),
        ("no_such_call", None, "KeyError", "no_such_call"),
    ]
    items: list[tuple[str, Any]] = []
    for number, (name, item, _, _) in enumerate(cases):
        items += [("double", number), (name, item)]
    answers = answered(two, calls.do, items)

    assert answers[::2] == [2 * number for number in range(len(cases))]
    for (name, _, kind, words), lost in zip(cases, answers[1::2], strict=True):
        assert isinstance(lost, Lost), name
        assert (lost.kind, lost.attempts) == (kind, 2), name
        assert words in lost.reason, name


def test_a_call_whose_process_died_once_is_made_again(two: LocalProcesses, tmp_path: Path) -> None:
    """The second attempt counts."""
    assert answered(two, calls.fail_once, [str(tmp_path)]) == ["well"]


@pytest.mark.parametrize("name", ["spin", "hang_for_a_thread"])
def test_a_call_past_its_deadline_is_ended(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is busy with; the neighbours go on."""
    told: dict[Any, Any] = {}

    def clock() -> int:
        # An hour later each time that the call is under way, once its neighbours have been answered.
        begun = len(list(tmp_path.iterdir())) if len(told) == 2 else 0
        return monotonic_ns() + begun * 3600 * 10**9

    monkeypatch.setattr(crew, "monotonic_ns", clock)
    late = ("begin_and_do", (str(tmp_path), name))
    with LocalProcesses(2, deadline_s=1800) as executor:
        executor.each(calls.do, [late, ("double", 1), ("double", 2)], told.__setitem__)

    assert told == {
        late: Lost(reason="no result within 1800 s", kind="deadline", attempts=2), ("double", 1): 2, ("double", 2): 4,
    }  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 2


def test_the_deadline_counts_from_the_beginning_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for the only process lose nothing."""
    told: dict[int, Any] = {}
    monkeypatch.setattr(crew, "monotonic_ns", lambda: monotonic_ns() + len(told) * 1000 * 10**9)
    with LocalProcesses(1, deadline_s=1800) as executor:
        executor.each(calls.double, range(6), told.__setitem__)

    assert told == {number: 2 * number for number in range(6)}


def test_a_process_beyond_its_share_of_memory_is_ended() -> None:
    """The reason has both numbers."""
    with LocalProcesses(2, memory_bytes=300 << 20) as executor:
        lost, *others = answered(executor, calls.do, [("take_memory", 500), ("double", 1), ("double", 2)])

    assert others == [2, 4]
    assert (lost.kind, lost.attempts) == ("memory", 2)
    held = int(lost.reason.removeprefix("its process held ").partition(" ")[0])
    assert held > 300
    assert lost.reason.endswith("MiB of memory, more than its share of 300 MiB")


def test_a_new_process_takes_the_slot_of_the_dead_one(two: LocalProcesses) -> None:
    """And each process is told its slot once."""
    first = {tuple(slots) for slots, _ in answered(two, calls.slot_and_process, list(range(30)))}
    answers = answered(two, calls.kill_if_second, list(range(40)))

    assert first <= {(0,), (1,)}
    assert {tuple(answer[0]) for answer in answers if not isinstance(answer, Lost)} <= {(0,), (1,)}
    assert [answer[1] for answer in answers if not isinstance(answer, Lost)][-1] == 39


def test_processes_killed_from_outside_cost_no_answer() -> None:
    """Also where one is killed in the middle of an answer that is longer than a pipe."""
    told: list[int] = []

    with LocalProcesses(2) as executor:

        def note(item: int, answer: Any) -> None:
            assert not isinstance(answer, Lost), answer
            told.append(item)
            if len(told) in (10, 25, 40):
                os.kill(answer[1], signal.SIGKILL)

        executor.each(calls.much, range(60), note)

    assert sorted(told) == list(range(60))


@pytest.mark.parametrize("is_reaped", [False, True])
def test_idle_processes_that_were_killed_are_replaced(is_reaped: bool) -> None:
    """Also where somebody else has taken their exit codes."""
    with LocalProcesses(2) as executor:
        processes = set(answered(executor, calls.process_of, list(range(10))))
        children = [psutil.Process(process) for process in processes]
        for process in processes:
            os.kill(process, signal.SIGKILL)
        if is_reaped:
            psutil.wait_procs(children, timeout=ENDS_WITHIN_S)

        again = set(answered(executor, calls.process_of, list(range(10))))

    assert not again & processes


def test_one_at_a_time_uses_the_first_slot(two: LocalProcesses) -> None:
    """The sample that the others are measured against has the same workers."""
    answers = answered(two, calls.slot_and_process, list(range(6)), at_once=1)

    assert len({process for _, process in answers}) == 1


def test_libraries_of_numbers_have_one_thread(two: LocalProcesses) -> None:
    """The variables are there before the process begins, and not in this one."""
    before = dict(os.environ)
    assert answered(two, calls.variable, ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]) == ["1", "1"]
    assert dict(os.environ) == before


def test_the_caller_keeps_nothing_of_what_it_was_told_of() -> None:
    """Thousands of calls take no more memory than a few."""
    living: WeakSet[calls.Token] = WeakSet()
    most, done, sizes = 0, 0, {}

    def tokens() -> Iterator[calls.Token]:
        for number in range(2_000):
            token = calls.Token(number)
            living.add(token)
            yield token

    def note(token: calls.Token, answer: Any) -> None:
        nonlocal most, done
        assert answer.number == token.number + 1
        living.add(answer)
        most, done = max(most, len(living)), done + 1
        if done in (500, 2_000):
            sizes[done] = tracemalloc.get_traced_memory()[0]

    with LocalProcesses(2) as executor:
        tracemalloc.start()
        try:
            executor.each(calls.next_token, tokens(), note)
        finally:
            tracemalloc.stop()

    assert done == 2_000
    assert most <= 8
    assert sizes[2_000] - sizes[500] < 37_500


def test_what_the_caller_raises_ends_everything() -> None:
    """Items are not taken to their end, no process is left, and the executor can be used again."""
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1_000_000):
            taken.append(number)
            yield number

    def refuse(item: int, answer: Any) -> None:
        raise ZeroDivisionError

    before = psutil.Process().children()
    with LocalProcesses(2) as executor:
        with pytest.raises(ZeroDivisionError):
            executor.each(calls.double, numbers(), refuse)

        assert psutil.Process().children() == before
        assert len(taken) <= 5
        assert answered(executor, calls.double, [1, 2]) == [2, 4]


def test_dead_processes_leave_nothing_open() -> None:
    """A suite may lose many of them."""
    with LocalProcesses(1) as executor:
        answered(executor, calls.do, [("double", 1)])
        before = psutil.Process().num_fds() if sys.platform != "win32" else 0
        answered(executor, calls.do, [("kill_itself", None), ("kill_itself", 1), ("double", 1)])
        after = psutil.Process().num_fds() if sys.platform != "win32" else 0

    assert after == before


@pytest.mark.parametrize(
    ("start", "words"), [(calls.raise_at_start, "it does not begin"), (calls.exit_at_start, "exit code 7")]
)
def test_processes_that_never_begin_are_an_error_and_no_hang(start: Callable[[int], None], words: str) -> None:
    """The error says what the last one came to."""
    with LocalProcesses(2, start=start) as executor, pytest.raises(InternalError, match=words):
        answered(executor, calls.double, [1, 2, 3])


def test_a_process_that_did_not_begin_once_costs_nothing(tmp_path: Path) -> None:
    """Its slot gets another one, and its call has lost no attempt."""
    with LocalProcesses(1, start=partial(calls.fail_to_start_once, str(tmp_path))) as executor:
        assert answered(executor, calls.double, [1, 2]) == [2, 4]


def test_an_item_that_cannot_be_sent_is_the_callers_error(two: LocalProcesses) -> None:
    """It is raised, for the call was never made."""
    with pytest.raises((AttributeError, TypeError)):
        answered(two, calls.double, [lambda: None])


# An interrupt is ignored by programs that were started in the background, unless they say otherwise.
_PROGRAM = """
import signal
from src.research.executors.processes import LocalProcesses
from tests.research.executors import calls
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with LocalProcesses(2) as executor:
        executor.each(calls.say_and_spin, [1, 2], print)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(number: signal.Signals) -> None:
    """Killed, ended or interrupted, and the processes in endless loops."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    try:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()), int(parent.stdout.readline())]
        parent.send_signal(number)
        # The pipe ends when everybody has gone who could write to it.
        rest, _ = parent.communicate(timeout=ENDS_WITHIN_S)
    except BaseException:
        parent.kill()
        parent.communicate()
        raise

    assert rest == ""
    assert parent.returncode != 0
    assert not any(_runs(worker) for worker in workers)


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
