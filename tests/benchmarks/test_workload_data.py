"""The workloads' data are the documented ones, and what is stored of them is whole or absent."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks import workloads
from benchmarks.workloads import Columns, DigestMismatch, draw, read, store

PRICES = ("open", "high", "low", "close")
# Of the closes of two symbols with 100 bars each.
SMALL_DIGEST = "1fa5a079ba41eb90"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two symbols of 100 bars each in a folder."""
    folder = tmp_path / "bars"
    store(folder, draw(2, 100), SMALL_DIGEST)
    return folder


def rows(columns: Columns) -> dict[str, list[float]]:
    """Every array of one symbol as a list."""
    return {
        field.name: getattr(columns, field.name).tolist()
        for field in dataclasses.fields(columns)
        if field.name != "symbol"
    }


@pytest.mark.slow
def test_the_stored_data_have_the_documented_digest(tmp_path: Path) -> None:
    """The closes of all ten symbols with 500,000 bars each have the sha256 on which the published results rest."""
    folder = tmp_path / "bars"

    store(folder, draw(), "958d76071d9b2e68")

    assert sorted({path.name.split(".")[0] for path in folder.iterdir()}) == [f"S{index}" for index in range(10)]
    assert {path.stat().st_size for path in folder.iterdir()} == {128 + 8 * 500_000}
    assert workloads.CLOSES_DIGEST == "958d76071d9b2e68"


def test_bars_are_minutes_from_2020_on() -> None:
    """Bars open every minute from 2020-01-01T00:00Z on, without a gap, and the stamps cannot be changed."""
    (columns,) = draw(1, 3)

    assert np.datetime64("2020-01-01T00:00", "ns").astype(np.int64) == columns.open_ns[0]
    assert np.diff(columns.open_ns).tolist() == [60_000_000_000] * 2
    assert not columns.open_ns.flags.writeable


def test_bars_are_possible_prices() -> None:
    """High and low enclose open and close, every price has at most five decimals, and the volume is a whole number."""
    for columns in draw(3, 2_000):
        assert bool(np.all(columns.high >= np.maximum(columns.open, columns.close)))
        assert bool(np.all(columns.low <= np.minimum(columns.open, columns.close)))
        assert all(np.array_equal(getattr(columns, name), np.round(getattr(columns, name), 5)) for name in PRICES)
        assert np.array_equal(columns.volume, np.floor(columns.volume))
        assert 1_000 <= columns.volume.min() <= columns.volume.max() <= 9_999


def test_a_symbol_does_not_depend_on_how_many_follow() -> None:
    """The first symbols of a longer list are the same as those of a shorter one."""
    alone = [rows(columns) for columns in draw(2, 50)]
    among_others = [rows(columns) for columns in draw(4, 50)]

    assert among_others[:2] == alone
    assert among_others[2] != among_others[1]


def test_reading_gives_the_head_of_what_was_stored(stored: Path) -> None:
    """The first n bars of the first symbols come back as they were drawn, in arrays of exactly n elements."""
    found = [(columns.symbol, rows(columns)) for columns in read(stored, 2, 30)]

    assert found == [
        (columns.symbol, {name: values[:30] for name, values in rows(columns).items()}) for columns in draw(2, 100)
    ]


def test_reading_more_than_was_stored_says_what_is_missing(stored: Path) -> None:
    """A symbol or bars that are not there are an error that names them."""
    with pytest.raises(ValueError, match=r"Expected 101 bars in S0\.open\.npy, found 100"):
        list(read(stored, 1, 101))
    with pytest.raises(ValueError, match=r"Expected the column S2\.open\.npy"):
        list(read(stored, 3, 100))


def test_other_closes_are_refused_and_leave_nothing_behind(tmp_path: Path) -> None:
    """Data with another digest than the expected one are not stored, in part or whole."""
    with pytest.raises(
        DigestMismatch, match=f"Expected closes with the digest {'0' * 16}, drew some with {SMALL_DIGEST}"
    ):
        store(tmp_path / "bars", draw(2, 100), "0" * 16)

    assert list(tmp_path.iterdir()) == []


def test_who_stores_second_leaves_the_first_one_s_folder(stored: Path) -> None:
    """Of two that store the same data the first wins, and the second drops its work without an error."""
    before = (stored / "S0.close.npy").stat().st_ino

    store(stored, draw(2, 100), SMALL_DIGEST)

    assert (stored / "S0.close.npy").stat().st_ino == before
    assert list(stored.parent.iterdir()) == [stored]


def test_a_new_bench_folder_is_ignored_by_git_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    """What the benchmarks make never shows up in version control, and what is in an existing folder stays as it is."""
    made = workloads.make_bench_folder(tmp_path / "bench")

    assert (made / ".gitignore").read_text(encoding="utf-8") == "*\n"
    (made / ".gitignore").write_text("mine\n", encoding="utf-8")
    assert (workloads.make_bench_folder(made) / ".gitignore").read_text(encoding="utf-8") == "mine\n"
