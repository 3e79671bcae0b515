"""Cores and threads of the processes of one machine, and the table of executors."""

import os

import psutil
import pytest

from src.core.errors import ConfigError
from src.research.executors import executor_factory
from src.research.executors.processes import LocalProcesses
from src.research.executors.slots import default_workers, pin_to_slot


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A machine whose cores a test chooses, and what was pinned on it."""
    known: dict[str, object] = {"allowed": {1, 4, 6}, "physical": 4, "pinned": None}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: known["allowed"], raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: known.update(pinned=cores), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: known["physical"])
    return known


@pytest.mark.parametrize(("slot", "core"), [(0, 1), (1, 4), (2, 6), (3, 1), (7, 4)])
def test_a_slot_has_the_so_manieth_of_the_allowed_cores(machine: dict[str, object], slot: int, core: int) -> None:
    """And more slots than cores begin again with the first."""
    assert pin_to_slot(slot) == core
    assert machine["pinned"] == {core}


def test_nothing_is_pinned_where_there_is_no_choice(
    machine: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One core, or a system without such a thing."""
    machine["allowed"] = {4}
    assert pin_to_slot(0) is None
    monkeypatch.delattr(os, "sched_setaffinity")
    assert pin_to_slot(1) is None

    assert machine["pinned"] is None


@pytest.mark.parametrize(
    ("physical", "allowed", "workers"),
    [(4, 8, 3), (1, 2, 1), (2, 2, 1), (32, 64, 8), (32, 3, 3), (None, 4, 3), (16, 1, 1)],
)
def test_one_core_is_left_to_the_caller(
    machine: dict[str, object], physical: int | None, allowed: int, workers: int
) -> None:
    """At most 8 workers, at most the cores that are allowed, and at least one."""
    machine.update(physical=physical, allowed=set(range(allowed)))

    assert default_workers() == workers


def test_executors_are_known_by_name() -> None:
    """A name that is none is told what there is."""
    assert executor_factory("processes") is LocalProcesses

    with pytest.raises(ConfigError, match="an executor among processes, dask, found 'threads'"):
        executor_factory("threads")
