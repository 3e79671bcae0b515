"""How a worker begins: it only reads, keeps to its share and to its core, and prints nothing between the results."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from src.data.connection import StoreFile
from src.research.executors.port import Lost
from src.research.executors.processes import LocalProcesses
from src.research.suite.worker import Limits, begin
from tests.research.suite import worker_calls

pytestmark = pytest.mark.slow

GIB = 1 << 30


def asked(limits: Limits, *questions: tuple[Any, Any], workers: int = 1) -> list[Any]:
    """What a worker with these limits answers."""
    answers: list[Any] = []
    with LocalProcesses(workers, start=partial(begin, limits=limits)) as executor:
        for function, item in questions:
            executor.each(function, [item], lambda _, answer: answers.append(answer))
    assert not any(isinstance(answer, Lost) for answer in answers), answers
    return answers


@pytest.fixture
def store(tmp_path: Path) -> str:
    """An empty store."""
    path = tmp_path / "market.duckdb"
    StoreFile(path).close()
    return str(path)


def test_a_worker_reads_within_its_limits(store: str) -> None:
    """The query engine has one thread and half of the share, and nothing can be opened for writing."""
    engine, refused = asked(
        Limits(memory_bytes=4 * GIB), (worker_calls.engine_of, store), (worker_calls.attempts_to_write, store)
    )

    assert engine == [(1, "2.0 GiB")]
    assert len(refused) == 2
    assert "may only read" in refused[0]
    assert "there is no data file" in refused[1]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no such thing")
def test_each_worker_stays_on_the_core_of_its_slot() -> None:
    """The first on the first of those that are allowed, and the second on the second."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("there is but one core")
    cores: list[Any] = []

    with LocalProcesses(2, start=partial(begin, limits=Limits())) as executor:
        executor.each(worker_calls.allowed_cores, range(40), lambda _, answer: cores.append(tuple(answer)))
        executor.each(worker_calls.allowed_cores, range(2), lambda _, answer: cores.append(tuple(answer)), at_once=1)

    assert set(cores) <= {(allowed[0],), (allowed[1],)}
    assert cores[-2:] == [(allowed[0],)] * 2
    assert sorted(os.sched_getaffinity(0)) == allowed


def test_a_worker_that_is_not_pinned_may_go_anywhere(capfd: pytest.CaptureFixture[str]) -> None:
    """And what it prints goes to stderr."""
    questions = [(worker_calls.print_to, "stdout")]
    if hasattr(os, "sched_getaffinity"):
        questions.append((worker_calls.allowed_cores, 0))
    answers = asked(Limits(pin=False), *questions)

    assert answers[1:] == [sorted(os.sched_getaffinity(0))] * (len(questions) - 1)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "to stdout\nto the first file\n" in printed.err
