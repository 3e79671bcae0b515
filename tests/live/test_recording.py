"""The file of a recording: what outlives what, what is read back, and what happens when it cannot be written."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import DataError, Stopping
from src.live.recording import (
    Entry,
    Recording,
    encoded,
    end_of_process,
    last_instant,
    last_world,
    read_entries,
    read_meta,
    read_story,
    skips_of,
)
from src.live.tape import Tape


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a recording."""
    return tmp_path / "recording.sqlite"


def written(path: Path, *rows: tuple[str, dict[str, object]]) -> None:
    """A recording of these entries, each a nanosecond after the one before."""
    recording = Recording(path, {"mode": "live"})
    for kind, body in rows:
        recording.write(recording.count + 1, kind, "p", body)
    recording.close()


def test_entries_come_back_in_order_with_their_values(path: Path) -> None:
    """Each with its number, instant, kind and participant."""
    written(path, ("turn", {"what": "step"}), ("world", {"quotes": {}}))

    assert list(read_entries(path)) == [
        Entry(0, 1, "turn", "p", {"what": "step"}),
        Entry(1, 2, "world", "p", {"quotes": {}}),
    ]
    assert read_meta(path)["mode"] == "live"


def test_another_process_sees_what_was_committed_and_no_more(path: Path) -> None:
    """As it would be found after a kill."""
    recording = Recording(path)
    recording.write(1, "turn", "p", {})
    recording.commit()
    recording.write(2, "turn", "p", {})

    assert len(list(read_entries(path))) == 1
    recording.make_durable()
    assert len(list(read_entries(path))) == 2
    assert read_meta(path)["durable_to"] == "2"
    recording.close()


def test_what_is_about_to_be_sent_waits_for_the_disk(path: Path) -> None:
    """The commit before it is done at the level that waits."""
    recording = Recording(path)
    levels: list[str] = []
    recording._db.set_trace_callback(levels.append)

    Tape(recording).call(1, "p", {"n": 0, "method": "place", "args": {}})

    assert levels.index("PRAGMA synchronous=FULL") > levels.index("COMMIT")
    assert any("durable_to" in each for each in levels[levels.index("PRAGMA synchronous=FULL") :])
    recording.close()


def test_a_recording_is_gone_on_with_where_it_ended(path: Path) -> None:
    """Numbers go on, and what is known of the run stays."""
    written(path, ("turn", {}))

    again = Recording(path, {"mode": "another"})
    number = again.write(5, "turn", "p", {})
    again.close()

    assert number == 1
    assert read_meta(path)["mode"] == "live"


def test_numbers_of_numpy_and_texts_without_bytes_are_written(path: Path) -> None:
    """A strategy may compute anything, and a reason may hold half a character."""
    written(path, ("outcome", {"values": [np.int64(3), np.float64(0.1), np.bool_(True), "\ud800", float("nan")]}))

    values = next(iter(read_entries(path))).body["values"]

    assert values[:4] == [3, 0.1, True, "\ud800"]
    assert values[4] != values[4]


def test_after_an_entry_that_could_not_be_written_nothing_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording has an end and never a hole: what was not committed by then may be gone."""
    recording = Recording(path)
    recording.write(1, "turn", "p", {"n": 1})
    recording.commit()
    recording.write(2, "turn", "p", {"n": 2})
    with monkeypatch.context() as patch:
        patch.setattr(recording, "_insert", lambda row: (_ for _ in ()).throw(sqlite3.OperationalError("disk is full")))
        with pytest.raises(DataError, match="disk is full"):
            recording.write(3, "turn", "p", {"n": 3})

    for act in (lambda: recording.write(4, "turn", "p", {}), recording.commit, recording.make_durable):
        with pytest.raises(DataError, match="disk is full"):
            act()
    recording.close()
    assert [each.body["n"] for each in read_entries(path)] == [1]


def test_a_tape_that_cannot_write_stops_whoever_wanted_to(path: Path) -> None:
    """So that nothing is sent that was not written down."""
    recording = Recording(path)
    tape = Tape(recording)
    told: list[DataError] = []
    tape.failed = told.append
    recording.close()

    with pytest.raises(Stopping):
        tape.call(1, "p", {"n": 0, "method": "place", "args": {}})
    tape.turn(2, "p", "step")

    assert len(told) == 1


def test_a_recording_that_somebody_else_writes_is_told(path: Path) -> None:
    """It does not wait for ever."""
    written(path, ("turn", {}))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recording = Recording.__new__(Recording)

    with pytest.MonkeyPatch.context() as patch:
        connect = sqlite3.connect
        patch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, timeout=0))
        with pytest.raises(DataError, match="locked"):
            recording.__init__(path)  # type: ignore[misc]  # begun by hand
    other.close()


@pytest.mark.parametrize("text", [b"", b"no database at all" * 50])
def test_a_file_that_is_no_recording_is_told(path: Path, text: bytes) -> None:
    """An empty one too."""
    path.write_bytes(text)

    with pytest.raises(DataError, match="expected a recording"):
        read_meta(path)


def test_a_recording_of_another_format_is_told(path: Path) -> None:
    """The version that made it can read it."""
    written(path)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")

    with pytest.raises(DataError, match="format 1.*found 99"):
        read_meta(path)
    with pytest.raises(DataError, match="format 1.*found 99"):
        Recording(path)


def test_a_damaged_entry_is_told_with_its_number(path: Path) -> None:
    """Half a body is no body."""
    written(path, ("turn", {}), ("turn", {}))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE entries SET body = '{' WHERE n = 1")

    with pytest.raises(DataError, match="entry 1 damaged"):
        list(read_entries(path))


def test_entries_of_some_kinds_come_in_order_over_pages(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and of the world only what somebody wants to know."""
    monkeypatch.setattr("src.live.recording._PAGE", 3)
    rows: list[tuple[str, dict[str, object]]] = []
    for i in range(10):
        rows += [("world", {"quotes": {}} if i % 2 else {"positions": [], "i": i}), ("call", {"i": i}), ("turn", {})]
    written(path, *rows)

    found = list(read_entries(path, kinds=("world", "call"), about=("positions", "orders")))

    assert [each.n for each in found] == sorted(each.n for each in found)
    assert [each.body["i"] for each in found if each.kind == "world"] == [0, 2, 4, 6, 8]
    assert len([each for each in found if each.kind == "call"]) == 10
    assert last_world(path, "positions") == []
    assert last_world(path, "orders") is None
    assert last_instant(path) == 30
    assert last_instant(path, 3) == 3


STOP: tuple[str, dict[str, object]] = ("command", {"verb": "stop"})


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("turn", {})], None),
        ([("turn", {}), STOP, ("turn", {})], 1),
        ([STOP, ("command", {"verb": "pause"})], 0),
        ([("command", {"verb": "pause"}), STOP, STOP], 1),
        ([STOP, ("resumed", {"skips_from": 0}), ("turn", {})], None),
        ([STOP, ("resumed", {"skips_from": 0}), ("command", {"verb": "close"}), STOP], 3),
        ([("turn", {}), ("ended", {"why": "x"}), ("turn", {})], 1),
    ],
)
def test_the_end_of_a_process_begins_with_what_ended_it(
    path: Path, rows: list[tuple[str, dict[str, object]]], expected: int | None
) -> None:
    """Commands after the one to stop belong to the end; a process that was killed has none."""
    written(path, *rows)

    assert end_of_process(path) == expected


def test_the_story_leaves_out_the_ends_of_all_processes(path: Path) -> None:
    """Also when a run was gone on with several times, and once when nothing had happened since."""
    written(
        path, ("turn", {"i": 0}), STOP, ("turn", {}), ("resumed", {"skips_from": 1}), ("turn", {"i": 4}),
        ("paper", {}), ("resumed", {"skips_from": 6}), ("resumed", {"skips_from": 7}), ("turn", {"i": 8}), STOP,
        ("call", {}), ("resumed", {"skips_from": 9}), ("turn", {"i": 12}),
    )  # fmt: skip

    assert [each.n for each in read_story(path)] == [0, 4, 5, 8, 12]
    assert [each.n for each in read_story(path, 8)] == [0, 4, 5]
    assert [each.n for each in read_story(path, kinds=("turn",))] == [0, 4, 8, 12]
    assert skips_of(path) == [(1, 3), (6, 6), (7, 7), (9, 11)]


def test_plain_values_are_written_shortly() -> None:
    """In ASCII and without blanks."""
    assert encoded({"a": [1, "ä"]}) == json.dumps({"a": [1, "ä"]}, separators=(",", ":"))
