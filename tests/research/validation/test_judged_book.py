"""The records of a validation: what survives an end at any byte, and that order says nothing."""

from pathlib import Path
from typing import Any

import pytest

from src.core.errors import DataError
from src.research.validation.judged_book import JudgedBook, judged_line, windows_in

MADE_BY = {"key": "k", "code": "c"}


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"number": number, "id": f"c{number}", "windows": [{"number": 1, "test_r": 0.1}], **more}


def broken(number: int) -> dict[str, Any]:
    return {"number": number, "id": f"c{number}", "error": "it broke"}


def test_what_was_judged_is_known_again(tmp_path: Path) -> None:
    """Of a candidate that broke nothing is known, so that it is tried again."""
    path = tmp_path / "new" / "records.jsonl"
    with JudgedBook(path, MADE_BY) as book:
        book.append(map(judged_line, [entry(3), broken(1)]))
        book.append(map(judged_line, [entry(0)]))

    with JudgedBook(path, MADE_BY) as book:
        assert book.known == {0, 3}
        assert list(book.judged()) == [entry(0), entry(3)]
        assert book.broken() == {1: "it broke"}
        book.append(map(judged_line, [entry(1)]))
        assert book.broken() == {}


def test_records_of_another_program_are_dropped(tmp_path: Path) -> None:
    """Its verdicts may be others."""
    path = tmp_path / "records.jsonl"
    with JudgedBook(path, MADE_BY) as book:
        book.append(map(judged_line, [entry(0), entry(1)]))

    with JudgedBook(path, MADE_BY | {"code": "d"}) as book:
        assert (book.known, book.dropped) == (frozenset(), 2)
        book.append(map(judged_line, [entry(1)]))
    with JudgedBook(path, MADE_BY | {"code": "d"}) as book:
        assert (book.known, book.dropped) == (frozenset({1}), 0)


def test_in_order_the_file_says_nothing_of_who_was_first(tmp_path: Path) -> None:
    """Any order of answers, with and without an attempt that broke, comes to the same bytes."""
    one, other = tmp_path / "1", tmp_path / "2"
    with JudgedBook(one, MADE_BY) as book:
        book.append(map(judged_line, [entry(0), entry(1), entry(2)]))
        book.put_in_order()
    with JudgedBook(other, MADE_BY) as book:
        book.append(map(judged_line, [entry(2), broken(0)]))
        book.append(map(judged_line, [entry(1)]))
        book.append(map(judged_line, [entry(0)]))
        book.put_in_order()

    assert one.read_bytes() == other.read_bytes()
    assert [line["candidate"] for line in windows_in(one)] == ["c0", "c1", "c2"]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    """Whatever was told before it is there."""
    path = tmp_path / "records.jsonl"
    with JudgedBook(path, MADE_BY) as book:
        book.append(map(judged_line, [entry(0)]))
        before = path.read_bytes()
        book.append(map(judged_line, [entry(1)]))
    path.write_bytes(path.read_bytes()[:-cut])

    with JudgedBook(path, MADE_BY) as book:
        assert book.known == {0}
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"judged": 3}\n', b'{"other": {"number": 1}}\n', b"[]\n"])
def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path, line: bytes) -> None:
    """It is no end of a program, but somebody's hand."""
    path = tmp_path / "records.jsonl"
    with JudgedBook(path, MADE_BY) as book:
        book.append(map(judged_line, [entry(0)]))
    path.write_bytes(path.read_bytes() + line + b"{}\n")

    with pytest.raises(DataError, match=r"expected a record in line 3 of .*--resume computes its candidate again"):
        JudgedBook(path, MADE_BY)
