"""Calls in processes of their own: order, variables, and processes that cannot begin."""

import os
from operator import itemgetter

import pytest

from src.core.errors import InternalError
from src.research.processes import in_processes

pytestmark = pytest.mark.slow


def test_answers_come_in_the_order_of_the_items() -> None:
    """Each is told of once, whatever ends first."""
    told: list[tuple[int, object]] = []
    answers = in_processes(abs, [-3, 2, -1], workers=2, on_done=lambda i, answer: told.append((i, answer)))

    assert answers == [3, 2, 1]
    assert sorted(told) == [(0, 3), (1, 2), (2, 1)]


def test_each_item_may_have_a_process_with_variables_of_its_own() -> None:
    """This process keeps its own."""
    before = dict(os.environ)
    wanted = [{"LOCKSTEP_TEST": "a"}, {}, {"LOCKSTEP_TEST": "b"}]
    answers = in_processes(os.getenv, ["LOCKSTEP_TEST"] * 3, workers=2, environments=wanted)

    assert answers == ["a", None, "b"]
    assert dict(os.environ) == before


def test_the_error_of_a_call_is_raised_with_its_type() -> None:
    """And no process is left behind."""
    with pytest.raises(KeyError):
        in_processes(itemgetter("a"), [{"a": 1}, {}], workers=2)


def test_processes_that_cannot_begin_are_an_error_and_no_hang() -> None:
    """An interpreter that does not find its library ends before it takes a call."""
    with pytest.raises(InternalError, match="end before they begin"):
        in_processes(abs, [1], workers=1, environments=[{"PYTHONHOME": "nowhere"}])
