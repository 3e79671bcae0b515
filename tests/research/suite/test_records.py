"""The records of a suite: what survives an end at any byte, and what is damage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.core.errors import DataError, InternalError
from src.research.executors.port import Lost
from src.research.suite.ports import RunAnswer
from src.research.suite.records import RecordBook

ODD = 'a key with " and \n and \u2028 and ü'


def answer(key: str, profit: float = 0.1) -> RunAnswer:
    return RunAnswer(
        key=key, outcome="COMPLETED", run_id=f"id-{key}", digest="d" * 8, folder=f"run-{key}", fingerprint="f",
        metrics={"profit": profit, "trades": 3, "note": "ü", "sharpe": None}, artifacts={"trades.parquet": "ab"},
        timing={"engine": 0.25, "worker": 1},
    )  # fmt: skip


def lost(kind: str = "died") -> Lost:
    return Lost(reason="its process ended by itself (signal SIGKILL)", kind=kind, attempts=2)


def written(path: Path, *answers: RunAnswer) -> bytes:
    with RecordBook(path) as book:
        for one in answers:
            book.append(one)
    return path.read_bytes()


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    """Every field, floats to the last bit."""
    path = tmp_path / "suites" / "records.jsonl"
    one, other = answer("b", 0.1 + 0.2), answer(ODD, 1e-300)
    written(path, one, other)

    with RecordBook(path) as book:
        assert list(book.answers()) == [other, one]
        assert book.answer("b") == one
        assert book.answer("c") is None
        assert book.keys() == {"b", ODD}


def test_a_book_says_the_same_whatever_ended_first(tmp_path: Path) -> None:
    """The order of the lines is not told."""
    first, second = tmp_path / "1", tmp_path / "2"
    written(first, answer("a"), answer("b"), answer("c"))
    written(second, answer("c"), answer("a"), answer("b"))

    with RecordBook(first) as one, RecordBook(second) as other:
        assert list(one.answers()) == list(other.answers())


def test_lines_are_canonical(tmp_path: Path) -> None:
    """Equal answers are equal bytes, whatever the order of their figures."""
    one = answer("a")
    turned = RunAnswer(
        key="a", outcome="COMPLETED", run_id="id-a", digest="d" * 8, folder="run-a", fingerprint="f",
        metrics=dict(reversed(one.metrics.items())), artifacts=one.artifacts, timing=one.timing,
    )  # fmt: skip

    assert written(tmp_path / "1", one) == written(tmp_path / "2", turned)
    assert written(tmp_path / "1").startswith(b'{"answer":{"artifacts":{"trades.parquet":"ab"},"digest":')


def test_the_last_answer_of_a_key_counts(tmp_path: Path) -> None:
    """Also in the book that it was written to."""
    with RecordBook(tmp_path / "r") as book:
        book.append(answer("a", 1.0))
        book.append(answer("a", 2.0))

        assert list(book.answers()) == [answer("a", 2.0)]
    with RecordBook(tmp_path / "r") as book:
        assert list(book.answers()) == [answer("a", 2.0)]


def test_what_was_lost_is_no_answer(tmp_path: Path) -> None:
    """It is told apart, until there is an answer."""
    path = tmp_path / "r"
    with RecordBook(path) as book:
        book.append_lost("b", lost("memory"))
        book.append_lost("a", lost())
        book.append_lost("b", lost("deadline"))

        assert book.keys() == frozenset()
    with RecordBook(path) as book:
        assert (list(book.answers()), book.lost()) == ([], {"a": lost(), "b": lost("deadline")})
        book.append(answer("a"))

        assert (book.keys(), book.lost()) == ({"a"}, {"b": lost("deadline")})


def test_a_last_line_that_is_torn_at_any_byte_is_cut_off(tmp_path: Path) -> None:
    """And the next one stands on a line of its own."""
    path = tmp_path / "r"
    whole = written(path, answer("a"), answer("b"), answer("c"))
    kept = written(tmp_path / "kept", answer("a"), answer("b"))
    assert whole.startswith(kept)

    for size in range(len(kept), len(whole)):
        path.write_bytes(whole[:size])
        with RecordBook(path) as book:
            assert book.keys() == {"a", "b"}, size
            assert path.read_bytes() == kept
            book.append(answer("c"))
        assert path.read_bytes() == whole


@pytest.mark.parametrize("torn", [b"{", b"\0" * 5000, b"\0" * 40 + b"}}\n", b"\xff\xfe{}\n"])
def test_a_first_line_may_be_torn_as_well(tmp_path: Path, torn: bytes) -> None:
    """The blocks of a file may reach the disk in any order; a book without a whole line is empty."""
    path = tmp_path / "r"
    path.write_bytes(torn)

    with RecordBook(path) as book:
        assert (book.keys(), path.read_bytes()) == (frozenset(), b"")


@pytest.mark.parametrize(
    "line",
    [b"{torn", b"\xff", b"[]", b"{}", b'{"answer":{"key":"a"}}', b'{"other":{}}', b'{"answer":[],"lost":[]}', b""],
)
def test_a_damaged_line_in_the_middle_is_an_error(tmp_path: Path, line: bytes) -> None:
    """It names the file and the line, and nothing is changed."""
    path = tmp_path / "r"
    good = written(path, answer("a"))
    path.write_bytes(good + line + b"\n" + good)

    with pytest.raises(DataError, match="line 2 of .*--resume") as caught:
        RecordBook(path)

    assert (caught.value.path, caught.value.line) == (str(path), 2)
    assert path.read_bytes() == good + line + b"\n" + good


def test_a_last_line_that_says_something_else_is_an_error(tmp_path: Path) -> None:
    """It is whole, so it is not what was being written; a later program may have meant something by it."""
    path = tmp_path / "r"
    path.write_bytes(written(path, answer("a")) + json.dumps({"answer": {"key": "b"}}).encode() + b"\n")

    with pytest.raises(DataError, match="other fields: artifacts"):
        RecordBook(path)


def test_nothing_is_told_of_a_record_that_the_disk_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that was written is taken back."""
    path, write = tmp_path / "r", os.write
    with RecordBook(path) as book:
        book.append(answer("a"))
        before = path.read_bytes()
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(DataError, match="no room for a whole line"):
            book.append(answer("b"))

        assert (book.keys(), path.read_bytes()) == ({"a"}, before)
        monkeypatch.undo()
        book.append(answer("b"))
        assert [one.key for one in book.answers()] == ["a", "b"]


def test_each_record_is_on_the_disk_before_it_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write of a whole line, then the disk; the folder once, when the file is new."""
    calls: list[tuple[str, object]] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda file, data: calls.append(("write", data[-1:])) or write(file, data))
    monkeypatch.setattr(os, "fsync", lambda file: calls.append(("fsync", None)) or fsync(file))

    written(tmp_path / "r", answer("a"), answer("b"))
    written(tmp_path / "r", answer("c"))

    line = [("write", b"\n"), ("fsync", None)]
    assert calls == [("fsync", None), *line, *line, *line]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "suites").write_text("")

    with pytest.raises(DataError, match="name a folder you may write to"):
        RecordBook(tmp_path / "suites" / "records.jsonl")


def test_a_closed_book_takes_nothing(tmp_path: Path) -> None:
    """It may be closed twice."""
    book = RecordBook(tmp_path / "r")
    book.close()
    book.close()

    with pytest.raises(InternalError, match="closed"):
        book.append(answer("a"))


_WRITER = """
import sys
from pathlib import Path
from src.research.suite.ports import RunAnswer
from src.research.suite.records import RecordBook
book = RecordBook(Path(sys.argv[1]))
number = 0
while True:
    book.append(RunAnswer(key=f"{number:09d}", outcome="COMPLETED", metrics={"note": "x" * 5000}))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_told(tmp_path: Path) -> None:
    """Whatever the writer was in the middle of."""
    path = tmp_path / "records.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.kill()
        told = [int(line) for line in writer.stdout.read().split()]
    last = max(told, default=19)

    with RecordBook(path) as book:
        keys = sorted(book.keys())
        assert keys == [f"{number:09d}" for number in range(len(keys))]
        assert len(keys) in (last + 1, last + 2)
        assert path.read_bytes().endswith(b"\n")


def test_records_that_somebody_takes_away_are_a_sentence(tmp_path: Path) -> None:
    """A suite that looks for its answers at the end says what has become of them."""
    path = tmp_path / "suite" / "records.jsonl"
    with RecordBook(path) as book:
        book.append(answer("a"))
        path.write_bytes(b"something else\n")

        with pytest.raises(DataError, match="found them gone or changed"):
            book.answer("a")
        path.unlink()
        with pytest.raises(DataError, match="found them gone or changed"):
            book.answer("a")
