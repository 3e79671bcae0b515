"""The quick reader of large CSV files reads exactly what the row-by-row reader reads, or leaves the file to it."""

from pathlib import Path

import numpy as np
import pytest

from src.core.errors import DataError
from src.data import csv_columns, formats
from src.data.formats import RawTable, read_table

HEADER = "timestamp,open,high,low,close,volume\n"
NUMBERS = ("100.1,100.30000000000001,1e2,99.99999999999999,7", " 5e-324,.5,1.7976931348623157e308,0,0", "1,2,3,4,5")


def rows(stamps: list[str], *, header: str = HEADER, numbers: tuple[str, ...] = NUMBERS, delimiter: str = ",") -> str:
    """A file with these stamps and some numbers that are hard to read."""
    lines = [f"{stamp},{numbers[i % len(numbers)]}\n" for i, stamp in enumerate(stamps)]
    return (header + "".join(lines)).replace(",", delimiter)


PLAIN = {
    "milliseconds": rows(["1500000000000", "1500000060000", "1600000000000"]),
    "seconds": rows(["1500000000", "1500000060"], header=HEADER.replace("timestamp", "Open time")),
    "iso": rows(["2020-01-01 00:00:00", "2020-02-29 23:59:59"]),
    "iso without seconds": rows(["2020-01-01T00:05", "2020-01-01T00:06"]),
    "iso in UTC": rows(["2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z"]),
    "carriage returns": rows(["1500000000000", "1500000060000"]).replace("\n", "\r\n"),
    "days": rows(["1969-12-31", "2020-01-02"]),
    "histdata": rows(["20170102 000500", "20170102 000600"], header="", delimiter=";"),
    "metatrader": rows(["2017.01.02,00:05", "2017.01.02,00:06"], header=""),
    "no last line break": rows(["1500000000000", "1500000060000"]).rstrip("\n"),
    "more columns": HEADER.replace("\n", ",note\n") + "1500000000000,1,2,3,4,5,a\n1500000060000,1,2,3,4,5,\n",
    "without volume": "time,open,high,low,close\n2020-01-01 00:00,1,2,3,4\n2020-01-01 00:01,1,2,3,4\n",
}

ODD = {
    "quotes": HEADER + '"1500000000000",1,2,3,4,5\n',
    "an empty line": rows(["1500000000000"]) + "\n" + rows(["1500000060000"], header=""),
    "fractions of seconds": rows(["1500000000", "1500000001.5"]),
    "other lengths": rows(["999999999", "1000000000"]),
    "iso with offsets": rows(["2020-01-01 00:00:00+02:00", "2020-06-01 00:00:00+03:00"]),
    "symbols": HEADER.replace("\n", ",symbol\n") + "1500000000000,1,2,3,4,5,A\n1500000060000,1,2,3,4,5,B\n",
    "a space": rows(["1500000000000", " 1500000060000"]),
}

WRONG = {
    "a missing number": HEADER + "1500000000000,1,2,3,4,5\n1500000060000,1,,3,4,5\n",
    "no number": HEADER + "1500000000000,1,2,3,4,5\n1500000060000,1,x,3,4,5\n",
    "too few fields": HEADER + "1500000000000,1,2,3,4,5\n1500000060000,1,2,3,4\n",
    "too many fields": HEADER + "1500000000000,1,2,3,4,5\n1500000060000,1,2,3,4,5,6\n",
    "a delimiter at the end": HEADER + "1500000000000,1,2,3,4,5\n1500000060000,1,2,3,4,5,\n",
    "no time": rows(["2020-01-01 00:00:00", "2020-13-01 00:00:00"]),
    "an offset among local times": rows(["2020-01-01 00:00:00", "2020-01-01 00:00+01"]),
    "text among epochs": rows(["1500000000000", "2020-01-01 00"]),
}


def read(path: Path, text: str, monkeypatch: pytest.MonkeyPatch, *, quick: bool) -> tuple[RawTable, list[bool]]:
    """What a file is read as, and whether the quick reader took it, when it may or may not."""
    taken: list[bool] = []
    real = csv_columns.read_columns

    def watched(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type] # passed on as they came
        taken.append(found is not None)
        return found

    monkeypatch.setattr(csv_columns, "SMALL_BYTES", 0 if quick else 1 << 30)
    monkeypatch.setattr(formats, "read_columns", watched)
    path.write_text(text, encoding="utf-8", newline="")
    return read_table(path), taken


def contents(table: RawTable) -> list[object]:
    """Everything that a table says, bit by bit."""
    return [
        table.layout, table.place.path, table.place.numbers.tolist(), table.stamps.ns.tolist(), table.stamps.is_utc,
        table.stamps.is_epoch, {name: column.view(np.int64).tolist() for name, column in table.columns.items()},
        list(table.columns), table.symbols, table.stamped_at, table.notes,
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*PLAIN, *ODD])
def test_both_readers_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Numbers, stamps, lines and layout are equal to the last bit; plain files go the quick way, others do not."""
    text = (PLAIN | ODD)[name]

    slow, never = read(tmp_path / "a.csv", text, monkeypatch, quick=False)
    quick, taken = read(tmp_path / "a.csv", text, monkeypatch, quick=True)

    assert contents(quick) == contents(slow)
    assert True not in never
    assert (True in taken) == (name in PLAIN)


@pytest.mark.parametrize("name", WRONG)
def test_both_readers_refuse_with_the_same_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever is wrong is found by the reader that can name the line."""
    sentences = []
    for quick in (False, True):
        with pytest.raises(DataError) as caught:
            read(tmp_path / "a.csv", WRONG[name], monkeypatch, quick=quick)
        sentences.append(caught.value.message)

    assert sentences[0] == sentences[1]
    assert "line 3" in sentences[0]


def test_random_numbers_are_read_to_the_last_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both readers round decimal text to the nearest number."""
    random = np.random.default_rng(5)
    values = np.ldexp(random.random(2_000), random.integers(-300, 300, 2_000))
    lines = [f"{1500000000000 + i * 60000},{value!r},1,1,1,1\n" for i, value in enumerate(values.tolist())]
    text = HEADER + "".join(lines)

    table, taken = read(tmp_path / "a.csv", text, monkeypatch, quick=True)

    assert taken == [True]
    assert table.columns["open"].tolist() == values.tolist()


def test_a_name_that_reads_as_a_pattern_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file that the name would match as a pattern is not read with it."""
    (tmp_path / "a1.csv").write_text(PLAIN["milliseconds"], encoding="utf-8")

    table, taken = read(tmp_path / "a[1].csv", PLAIN["seconds"], monkeypatch, quick=True)

    assert (len(table.stamps.ns), taken) == (2, [False])
