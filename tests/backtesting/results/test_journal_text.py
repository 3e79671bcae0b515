"""The text of journal records: made quickly, and character for character what the JSON library makes of them."""

import json
import math
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.artifacts.journal_text import fields_text, fields_texts
from src.core.journal import FIELDS, JournalRecord
from tests.backtesting.results.worlds import busy_world


class Word(StrEnum):
    """A text of an enumeration."""

    QUOTED = 'so "called"'


values = st.one_of(
    st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.none(), st.text(max_size=8),
    st.sampled_from([Word.QUOTED, 0.0, -0.0, 1.0, 1, True, math.inf, -math.inf, "\ud800", np.float64(0.1)]),
)  # fmt: skip
records = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda kind: st.tuples(*[values] * len(FIELDS[kind])).map(lambda given: JournalRecord(7, "AAA", kind, "me", given))
)


def plainly(entry: JournalRecord) -> str:
    """The record's text without any haste."""
    named = {
        name: {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in entry.fields
    }
    return json.dumps(named, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@given(st.lists(records, max_size=10))
@settings(max_examples=50, deadline=None)
def test_the_text_is_that_of_the_json_library(entries: list[JournalRecord]) -> None:
    """Of any values in any field, again and again the same ones among them."""
    expected = [plainly(entry) for entry in entries]

    assert fields_texts(entries) == expected
    assert fields_texts(entries) == expected
    assert [fields_text(entry) for entry in entries] == expected


def test_the_records_of_a_run_have_that_text() -> None:
    """All of them."""
    entries = busy_world().result().records

    assert entries
    assert fields_texts(entries) == [plainly(entry) for entry in entries]


def test_values_that_do_not_fit_their_kind_are_refused() -> None:
    """Too few of them, a kind that there is not, and a value that JSON has no word for."""
    with pytest.raises(ValueError, match="zip"):
        fields_texts([JournalRecord(7, "AAA", "account", "me", ())])
    with pytest.raises(KeyError):
        fields_texts([JournalRecord(7, "AAA", "none", "me", ())])
    with pytest.raises(TypeError):
        fields_texts([JournalRecord(7, "AAA", "account", "me", (object(),))])
