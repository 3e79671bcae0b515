"""The working file of trades: what was written comes back, and a file that is not whole is nobody's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.errors import DataError, InternalError
from src.research.validation.family import DataSet
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.trade_columns import TRADE_COLUMNS, TradesHash, split_trades, trades_table
from src.research.validation.trade_file import read_info, read_trades, write_trade_file


def trades(*rows: tuple[int, int, float], **more: Any) -> CandidateTrades:
    """Trades of entry, exit and net R."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    entry_ns, exit_ns = (np.array(column, dtype=np.int64) for column in columns[:2])
    return CandidateTrades(entry_ns=entry_ns, exit_ns=exit_ns, r_net=np.array(columns[2], dtype=float), **more)


class Known:
    """A source that is at hand."""

    label = "known"
    synthetic = True
    period: Period | None = None

    def __init__(self, *known: CandidateTrades) -> None:
        self._known = known

    def identity(self) -> str:
        """Whatever it is."""
        return "known"

    def candidates(self) -> tuple[Candidate, ...]:
        """By number."""
        return tuple(Candidate(number=number, candidate_id=f"c{number:04d}") for number in range(len(self._known)))

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """All of them."""
        yield from zip(self.candidates(), self._known, strict=True)

    def tried(self) -> Iterator[Trial]:
        """Nothing."""
        return iter(())

    def series(self) -> tuple[DataSet, ...]:
        """None."""
        return ()


def plain(found: CandidateTrades) -> dict[str, Any]:
    """The columns as lists; NaN as text, which is equal to itself."""
    return {
        name: None if values is None else ["nan" if each != each else each for each in values.tolist()]
        for name in TRADE_COLUMNS
        for values in (getattr(found, name),)
    }


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    """With each column that is known, NaN as NaN; a candidate without trades too."""
    full = trades(
        (10, 20, 1.5), (11, 12, -1.0), cost_r=np.array([0.1, np.nan]), atr=np.array([2.0, 3.0]),
        session=np.array(["LONDON", ""]), side=np.array([1, -1]),
    )  # fmt: skip
    known = (full, trades(), trades((5, 40, 0.25)), trades((7, 8, -0.5), cost_r=np.array([0.2])))
    path = tmp_path / "new" / "trades.duckdb"

    info = write_trade_file(path, Known(*known))
    found = read_trades(path, [3, 0, 1, 2])

    assert list(found) == [3, 0, 1, 2]
    assert [plain(found[number]) for number in range(4)] == [plain(each) for each in known]
    assert found[0].entry_ns.dtype == np.int64
    assert found[1].r_net.dtype == np.float64
    assert info.period == Period(start_ns=5, end_ns=41)
    assert (info.candidates, info.trades) == (4, 4)
    assert info.identity == "known"
    assert len(info.hash) == 64
    assert read_info(path) == info
    assert [each.name for each in path.parent.iterdir()] == ["trades.duckdb"]


def test_only_some_are_read_and_one_that_is_absent_is_our_fault(tmp_path: Path) -> None:
    """Neighbours, or candidates from anywhere."""
    path = tmp_path / "trades.duckdb"
    write_trade_file(path, Known(*(trades((number, number, number / 8)) for number in range(50))))

    assert {number: each.r_net.tolist() for number, each in read_trades(path, [49, 3, 17]).items()} == {
        49: [49 / 8], 3: [3 / 8], 17: [17 / 8],
    }  # fmt: skip
    assert list(read_trades(path, range(20, 30))) == list(range(20, 30))
    assert read_trades(path, []) == {}
    with pytest.raises(InternalError, match="no candidate in .* has the number"):
        read_trades(path, [3, 50])


def test_trades_are_ordered_by_entry_then_exit_then_place(tmp_path: Path) -> None:
    """Whatever order the source has them in."""
    mixed = trades(
        (20, 30, 1.0), (10, 40, 2.0), (10, 30, 3.0), (20, 30, 0.5), cost_r=np.array([0.1, 0.2, 0.3, 0.4]),
        session=np.array(["a", "b", "c", "d"]),
    )  # fmt: skip
    path = tmp_path / "trades.duckdb"
    write_trade_file(path, Known(mixed))

    found = read_trades(path, [0])[0]

    assert found.r_net.tolist() == [3.0, 2.0, 1.0, 0.5]
    assert found.session is not None
    assert found.session.tolist() == ["c", "b", "a", "d"]
    assert found.cost_r is not None
    assert found.cost_r.tolist() == [0.3, 0.2, 0.1, 0.4]


@settings(max_examples=50, deadline=None)
@given(
    lists=st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 50), st.integers(50, 90), st.floats(-3, 3)), max_size=6),
            st.booleans(), st.booleans(),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_columns_one_below_the_other_are_split_into_the_same_again(lists: list[tuple[list[Any], bool, bool]]) -> None:
    """Whatever is known of some and not of others."""
    known = []
    for rows, costs, sessions in lists:
        count = len(rows)
        more: dict[str, Any] = {"cost_r": np.arange(count) / 4} if costs and count else {}
        more |= {"session": np.array([f"s{place % 2}" for place in range(count)])} if sessions and count else {}
        known.append(trades(*rows, **more))

    found = split_trades(trades_table(list(enumerate(known))), enumerate(map(len, known)))

    assert [plain(each) for each in found.values()] == [plain(each) for each in known]


def test_candidates_far_apart_and_near_each_other_are_read_the_same(tmp_path: Path) -> None:
    """Whether what lies between them is read too, and left out, or not."""
    path = tmp_path / "trades.duckdb"
    known = [trades(*((day, day + 1, number + day / 8) for day in range(number % 3))) for number in range(120)]
    write_trade_file(path, Known(*known))

    for numbers in ([0, 1, 30, 70, 119], [50], [119, 2, 35], list(range(0, 120, 7)), list(range(0, 120, 33))):
        found = read_trades(path, numbers)
        assert list(found) == numbers
        assert [plain(each) for each in found.values()] == [plain(known[number]) for number in numbers]


def test_what_is_read_bare_has_neither_sessions_nor_sides(tmp_path: Path) -> None:
    """Everything else is the same."""
    path = tmp_path / "trades.duckdb"
    whole = trades((1, 2, 0.5), (3, 4, 1.5), session=np.array(["a", "b"]), cost_r=np.array([0.1, 0.2]))
    write_trade_file(path, Known(whole))

    found = read_trades(path, [0], bare=True)[0]

    assert (found.session, found.side) == (None, None)
    assert found.cost_r is not None
    assert (found.r_net.tolist(), found.cost_r.tolist()) == ([0.5, 1.5], [0.1, 0.2])


def test_pieces_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many trades are written at once, the same comes back, and the hash is the same."""
    path = tmp_path / "trades.duckdb"
    known = [trades(*((day, day + 1, number + day / 8) for day in range(number % 4))) for number in range(9)]
    whole = write_trade_file(path, Known(*known))
    monkeypatch.setattr("src.research.validation.trade_file._TRADES_AT_ONCE", 2)

    pieces = write_trade_file(path, Known(*known))

    assert pieces == whole
    assert [plain(each) for each in read_trades(path, range(9)).values()] == [plain(each) for each in known]


def test_the_hash_is_one_of_all_trades() -> None:
    """Of ids, numbers, and what is not known."""
    known = [
        (trades((1, 2, 0.5)),), (trades((1, 2, 0.25)),), (trades((1, 3, 0.5)),), (trades((1, 2, 0.5)), trades()),
        (trades((1, 2, 0.5), cost_r=np.array([0.0])),), (trades((1, 2, 0.5), atr=np.array([0.0])),),
        (trades((1, 2, 0.5), session=np.array([""])),), (trades((1, 2, 0.5), session=np.array(["a"])),), (),
    ]  # fmt: skip

    hashes = [hashed(*each) for each in known]

    assert len(set(hashes)) == len(known)
    assert [hashed(*each) for each in known] == hashes


def hashed(*known: CandidateTrades) -> str:
    """The hash of some candidates."""
    made = TradesHash("test")
    for candidate, each in Known(*known).trades():
        made.add(candidate, each)
    return made.hexdigest()


class Breaking(Known):
    """Breaks after the first candidate."""

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """One, and no more."""
        yield from list(super().trades())[:1]
        raise DataError("the table was taken away")


def test_a_file_that_is_not_whole_takes_no_place(tmp_path: Path) -> None:
    """What stood there is as it was; what was left of an earlier attempt is in nobody's way."""
    path = tmp_path / "trades.duckdb"
    assert read_info(path) is None
    first = write_trade_file(path, Known(trades((1, 2, 0.5))))
    (tmp_path / "trades.duckdb.partial").write_bytes(b"torn")

    with pytest.raises(DataError, match="taken away"):
        write_trade_file(path, Breaking(trades((3, 4, 0.5)), trades()))

    assert read_info(path) == first
    assert read_trades(path, [0])[0].entry_ns.tolist() == [1]
    assert write_trade_file(path, Known(trades((3, 4, 0.5)))) != first


def test_a_disk_that_is_full_keeps_nothing_of_what_it_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file of trades is of use to nobody, and room is what is wanting."""

    def refuses(connection: duckdb.DuckDBPyConnection, table: str, rows: Any) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("src.research.validation.trade_file._insert", refuses)
    with pytest.raises(DataError, match="could not be written to .*: No space left on device; make room"):
        write_trade_file(tmp_path / "trades.duckdb", Known(trades((1, 2, 0.5))))

    assert list(tmp_path.iterdir()) == []


def test_trades_that_do_not_fit_are_our_fault(tmp_path: Path) -> None:
    """A column of another length."""
    with pytest.raises(InternalError, match="expected 1 values of cost_r"):
        write_trade_file(tmp_path / "trades.duckdb", Known(trades((1, 2, 0.5), cost_r=np.array([0.1, 0.2]))))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """Absent, torn, and a place where none can be."""
    torn = tmp_path / "torn.duckdb"
    torn.write_bytes(b"not a database" * 1000)

    for path in (tmp_path / "absent.duckdb", torn):
        assert read_info(path) is None
        with pytest.raises(DataError, match="start the validation again, which writes it anew"):
            read_trades(path, [0])
    with pytest.raises(DataError, match="could not be written to"):
        write_trade_file(torn / "below" / "trades.duckdb", Known(trades()))


@pytest.mark.slow
def test_scattered_candidates_of_a_large_file_come_in_order(tmp_path: Path) -> None:
    """The database makes a join of a long list of numbers, and a join has an order of its own."""
    path = tmp_path / "trades.duckdb"
    entries = [np.arange(4000, dtype=np.int64) + number for number in range(40)]
    write_trade_file(path, Known(*(CandidateTrades(entry_ns=each, exit_ns=each, r_net=each / 8) for each in entries)))

    found = read_trades(path, range(0, 40, 2))

    assert all(np.array_equal(each.entry_ns, entries[number]) for number, each in found.items())


def test_between_two_readings_a_file_may_be_written_anew(tmp_path: Path) -> None:
    """The engine that stays holds no file; a path may have any letters."""
    path = tmp_path / 'it\'s "one"' / "trades.duckdb"
    for r in (1.0, 2.0):
        write_trade_file(path, Known(trades((1, 2, r))))

        assert read_trades(path, [0])[0].r_net.tolist() == [r]
    path.write_bytes(b"nonsense")

    with pytest.raises(DataError, match="cannot be read"):
        read_trades(path, [0])
    write_trade_file(path, Known(trades((1, 2, 3.0))))
    assert read_trades(path, [0])[0].r_net.tolist() == [3.0]
