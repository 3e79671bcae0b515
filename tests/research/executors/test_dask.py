"""A cluster makes the same calls as the processes of one machine, and a worker that dies loses none."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import ConfigError
from src.research.executors.dask import DaskCluster
from src.research.executors.port import Lost
from tests.research.executors import calls
from tests.research.executors.clusters import Cluster, cluster_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers with one thread each."""
    with cluster_of(tmp_path_factory.mktemp("cluster"), 2) as made:
        yield made


def each(executor: DaskCluster, tasks: list[Any], function: Any = calls.do, **how: Any) -> dict[Any, Any]:
    """The answers by task; fails when a task is answered twice."""
    told: dict[Any, Any] = {}

    def on_done(task: Any, answer: Any) -> None:
        assert task not in told
        told[task] = answer

    executor.each(function, tasks, on_done, **how)
    return told


def test_every_call_is_answered_once_by_processes_that_are_not_this_one(cluster: Cluster) -> None:
    """Both workers take part."""
    with DaskCluster(cluster.address) as executor:
        found = each(executor, [("process_of", i) for i in range(20)])
        workers = executor.workers

    assert workers == 2
    assert len(found) == 20
    assert len(set(found.values())) == 2
    assert os.getpid() not in found.values()


def test_a_worker_that_is_killed_in_the_middle_loses_no_call(cluster: Cluster, tmp_path: Path) -> None:
    """The scheduler gives its call to another one, and the neighbours are answered once."""
    tasks: list[Any] = [("double", 1), ("fail_once", str(tmp_path)), ("double", 2), ("double", 3)]
    with DaskCluster(cluster.address) as executor:
        found = each(executor, tasks)

    assert found == {tasks[0]: 2, tasks[1]: "well", tasks[2]: 4, tasks[3]: 6}


def test_a_call_that_kills_every_worker_is_lost_and_the_others_are_answered(tmp_path: Path) -> None:
    """The scheduler gives up after a few workers."""
    # A cluster of its own, which may have no worker for a moment afterwards.
    with cluster_of(tmp_path, 2) as cluster, DaskCluster(cluster.address) as executor:
        found = each(executor, [("kill_watched_worker", 0), ("double", 4)])

    assert found["double", 4] == 8
    lost = found["kill_watched_worker", 0]
    assert isinstance(lost, Lost)
    assert (lost.kind, lost.attempts > 1) == ("died", True)


def test_a_call_that_takes_too_long_has_its_worker_restarted(tmp_path: Path) -> None:
    """An endless loop cannot be ended in any other way."""
    # A cluster of its own: a worker that is slow to end would keep the calls of others waiting.
    with cluster_of(tmp_path, 2) as cluster, DaskCluster(cluster.address, deadline_s=3.0) as executor:
        found = each(executor, [("spin", 0), ("double", 5)])
        after = each(executor, [("double", i) for i in range(4)])

    assert found["double", 5] == 10
    assert found["spin", 0] == Lost(reason="no result within 3 s", kind="deadline", attempts=2)
    assert list(after.values()) == [0, 2, 4, 6]


def test_a_call_that_raises_is_tried_once_more_and_lost_with_its_sentence(cluster: Cluster) -> None:
    """Its kind is the type of the error."""
    with DaskCluster(cluster.address) as executor:
        found = each(executor, [("raise_disagreement", 0), ("double", 6)])

    assert found["double", 6] == 12
    assert found["raise_disagreement", 0] == Lost(
        reason="the same inputs gave another digest", kind="DeterminismError", attempts=2
    )


def test_each_worker_begins_with_what_it_is_told_also_one_that_takes_the_place_of_another(tmp_path: Path) -> None:
    """A worker that is killed is replaced by one that begins in the same way."""
    # A cluster of its own: what earlier calls did to the workers of the other one shall not matter.
    with (
        cluster_of(tmp_path, 2) as cluster,
        DaskCluster(cluster.address, start=calls.note_slot, deadline_s=60.0) as executor,
    ):
        first = each(executor, [("slot_and_process", i) for i in range(6)])
        each(executor, [("kill_watched_worker", 0)])
        found = each(executor, [("slot_and_process", i) for i in range(6)])

    assert all(slots == [0] for slots, _ in [*first.values(), *found.values()])


def test_one_at_a_time_is_one_at_a_time(cluster: Cluster) -> None:
    """The items are taken when the one before is over."""
    taken: list[int] = []

    def items() -> Iterator[Any]:
        for i in range(4):
            taken.append(i)
            yield "double", i

    told: list[tuple[int, int]] = []
    with DaskCluster(cluster.address) as executor:
        executor.each(calls.do, items(), lambda task, _: told.append((task[1], len(taken))), at_once=1)

    assert told == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_workers_with_several_threads_are_refused(tmp_path: Path) -> None:
    """A run needs a process of its own."""
    with (
        cluster_of(tmp_path, 1, threads=2) as cluster,
        pytest.raises(ConfigError, match=r"workers with one thread each, .* found 2 threads at .*--nthreads 1"),
        DaskCluster(cluster.address),
    ):
        pytest.fail("it was accepted")


def test_a_cluster_that_is_not_there_or_has_no_worker_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say what to start."""
    monkeypatch.setattr("src.research.executors.dask._CONNECT_S", 1)
    with (
        pytest.raises(ConfigError, match=r"expected the scheduler of a cluster at tcp://127\.0\.0\.1:9, found none"),
        DaskCluster("tcp://127.0.0.1:9"),
    ):
        pytest.fail("it was accepted")
    with (
        cluster_of(tmp_path, 0) as cluster,
        pytest.raises(ConfigError, match=r"has no worker; start some with `dask worker"),
        DaskCluster(cluster.address),
    ):
        pytest.fail("it was accepted")
