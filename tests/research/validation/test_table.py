"""Candidates from a table of trades: what is read, what stays the same, and what is refused with which sentence."""

import gc
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.core.errors import ConfigError, DataError
from src.research.validation.ports import CandidateTrades
from src.research.validation.section import ValidationSection
from src.research.validation.sources import SOURCES, source_for
from src.research.validation.sources.generated import GeneratedSource
from src.research.validation.sources.table import TableSource

DAY = 86_400_000_000_000
START = 1_600_000_000_000_000_000
HEADER = "candidate,entry_ns,exit_ns,r_net,cost_r"


def csv_file(folder: Path, *rows: str, header: str = HEADER, name: str = "trades.csv") -> Path:
    """A table of trades."""
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def row(candidate: str, day: int = 0, r: Any = 1.5, cost: Any = 0.25, more: str = "") -> str:
    """One trade that lasts an hour."""
    entry = START + day * DAY
    return f"{candidate},{entry},{entry + 3_600_000_000_000},{r},{cost}{more}"


def read(path: Path) -> dict[str, CandidateTrades]:
    """The trades by candidate."""
    return {candidate.candidate_id: trades for candidate, trades in TableSource(path).trades()}


def refused(path: Path) -> str:
    """The sentence with which a table is refused."""
    with pytest.raises(DataError) as caught:
        TableSource(path).candidates()
    return caught.value.message


def test_candidates_come_by_id_as_texts_with_their_trades_by_entry(tmp_path: Path) -> None:
    """Ids stay texts, zeros in front too; numbers count from 0."""
    path = csv_file(tmp_path, row("b", 2), row("007", 1, -1), row("7", 0), row("b", 0, 2), row("10", 0))
    source = TableSource(path)

    found = list(source.trades())

    assert [(each.number, each.candidate_id) for each, _ in found] == [(0, "007"), (1, "10"), (2, "7"), (3, "b")]
    assert tuple(each for each, _ in found) == source.candidates()
    trades = found[3][1]
    assert trades.entry_ns.tolist() == [START, START + 2 * DAY]
    assert trades.exit_ns.tolist() == [START + DAY // 24, START + 2 * DAY + DAY // 24]
    assert trades.r_net.tolist() == [2.0, 1.5]
    assert trades.entry_ns.dtype == np.int64
    assert trades.cost_r is not None
    assert trades.cost_r.tolist() == [0.25, 0.25]
    assert trades.session is None
    assert trades.atr is None
    assert trades.side is None
    assert source.series() == ()
    assert not source.synthetic
    assert source.period is None


def test_an_optional_column_counts_only_where_all_trades_of_a_candidate_have_it(tmp_path: Path) -> None:
    """A session counts where any has it."""
    header = f"{HEADER},session,atr,side"
    path = csv_file(
        tmp_path, row("a", 0, more=",LONDON,2.5,long"), row("a", 1, cost="", more=",,,SELL"), row("b", 0, more=",,1,1"),
        row("b", 1, cost=-0.5, more=",,nan,-1"), row("c", 0, cost="NaN", more=",,0,"), header=header,
    )  # fmt: skip

    found = read(path)

    a, b, c = found["a"], found["b"], found["c"]
    assert a.cost_r is None
    assert a.atr is None
    assert a.side is not None
    assert a.side.tolist() == [1, -1]
    assert a.session is not None
    assert a.session.tolist() == ["LONDON", ""]
    assert b.cost_r is not None
    assert b.cost_r.tolist() == [0.25, -0.5]
    assert b.session is None
    assert b.atr is None
    assert b.side is not None
    assert b.side.tolist() == [1, -1]
    assert c.cost_r is None
    assert c.side is None
    assert c.atr is not None
    assert c.atr.tolist() == [0.0]


def test_a_table_without_costs_has_none(tmp_path: Path) -> None:
    """Absent altogether."""
    path = csv_file(tmp_path, f"a,{START},{START},-1", header="candidate,entry_ns,exit_ns,r_net")

    assert read(path)["a"].cost_r is None


def test_other_columns_are_kept_as_values_of_the_candidate(tmp_path: Path) -> None:
    """Numbers as numbers, texts as texts; empty is nothing."""
    header = f"{HEADER},Sharpe ratio,label,id code,none"
    lines = [row("a", day, more=',1.50,"fast, 3",007,') for day in range(3)]

    (candidate,) = TableSource(csv_file(tmp_path, *lines, header=header)).candidates()

    assert candidate.given == (("Sharpe ratio", 1.5), ("label", "fast, 3"), ("id code", "007"), ("none", None))
    assert candidate.trial == "a"
    assert candidate.planted is None
    assert candidate.labels == ()


def test_a_column_that_changes_within_a_candidate_is_refused(tmp_path: Path) -> None:
    """With both values and their rows; nothing beside something is a change as well."""
    header = f"{HEADER},price"
    path = csv_file(tmp_path, row("a", 0, more=",1"), row("b", 0, more=",5"), row("b", 1, more=",6"), header=header)
    gap = csv_file(tmp_path, row("a", 0, more=",1"), row("a", 1, more=","), header=header, name="gap.csv")

    assert "one value of price for all trades of candidate b, found '5' in row 2 and '6' in row 3" in refused(path)
    assert "found '1' in row 1 and None in row 2" in refused(gap)


def test_order_of_rows_name_and_format_do_not_matter(tmp_path: Path) -> None:
    """CSV and Parquet, forwards and backwards, have one identity; another number has another."""
    lines = [row(name, day, r, more=f",{name}x,{given}") for name, given in (("a", 2), ("b", 0.5))
             for day, r in ((0, 0.1), (0, -0.3), (1, 1e-7), (1, 1e-7))]  # fmt: skip
    header = f"{HEADER},label,given"
    forwards = csv_file(tmp_path, *lines, header=header)
    backwards = csv_file(tmp_path, *lines[::-1], header=header, name="other.txt")
    cells = [line.split(",") for line in lines]
    columns: dict[str, Any] = dict(zip(header.split(","), zip(*cells, strict=True), strict=True))
    for name, kind in (("entry_ns", int), ("exit_ns", int), ("r_net", float), ("cost_r", float), ("given", float)):
        columns[name] = [kind(each) for each in columns[name]]
    typed = tmp_path / "typed.parquet"
    pq.write_table(pa.table(columns), typed)
    changed = csv_file(tmp_path, *[line.replace("-0.3", "-0.4") for line in lines], header=header, name="changed.csv")

    sources = [TableSource(path) for path in (forwards, backwards, typed, changed)]
    identities = [source.identity() for source in sources]

    assert len(identities[0]) == 64
    assert identities[0] == identities[1] == identities[2] != identities[3]
    assert sources[0].candidates() == sources[2].candidates()
    for source in sources[:3]:
        assert [trades.r_net.tolist() for _, trades in source.trades()] == [[-0.3, 0.1, 1e-7, 1e-7]] * 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (row("a", r="nan"), "a finite number in the column r_net, found 'nan', in row 2"),
        (row("a", r="inf"), "a finite number in the column r_net, found 'inf'"),
        (row("a", r=""), "a finite number in the column r_net, found nothing"),
        (row("a", r="1_0"), "a finite number in the column r_net, found '1_0'"),
        (row("a", r="1e9"), "a multiple of the initial risk"),
        (row("a", cost="much"), "in the column cost_r, found 'much'"),
        (row("a", cost="-inf"), "in the column cost_r, found '-inf'"),
        (row(""), "the id of a candidate in the column candidate, found nothing"),
        (row("-1"), "no negative number"),
        (row(" a"), "without spaces around it"),
        (row("x" * 201), "up to 200 characters"),
        (row("a\u202eb"), r"every character can be seen in the column candidate, found 'a\u202eb'"),
        (row("a\u2028b"), "every character can be seen"),
        (row("\x9b31ma"), "every character can be seen"),
        (row("a\u200b"), "every character can be seen"),
        (f"a,{START},{START - 1},1,0", f"an exit not before its entry in the column exit_ns, found '{START - 1}'"),
        ("a,1600000000,1600000001,1,0", "which looks like seconds: multiply it by 1000000000"),
        ("a,1600000000000,1600000000001,1,0", "which looks like milliseconds: multiply it by 1000000"),
        ("a,1600000000000000,1600000000000001,1,0", "which looks like microseconds: multiply it by 1000"),
        (f"a,{-START},{START},1,0", "nanoseconds since 1970 UTC from 1971 to 2199"),
        ("a,9000000000000000000,9000000000000000000,1,0", "from 1971 to 2199"),
        ("a,1.6e18,1.6e18,1,0", "whole nanoseconds since 1970 UTC in the column entry_ns, found '1.6e18'"),
        ("a,2020-01-01T00:00:00Z,2020-01-02,1,0", "convert it to a whole number of nanoseconds"),
        (f"a,{START},{START},1", "5 columns, as many as the header has, found 4, in row 2 (counted from 1"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_refused_with_its_row(tmp_path: Path, line: str, expected: str) -> None:
    """The value, the column, and where."""
    sentence = refused(csv_file(tmp_path, row("a"), line, row("b")))

    assert expected in sentence
    assert "row 2" in sentence


def test_several_bad_rows_are_told_together(tmp_path: Path) -> None:
    """Up to five of them."""
    sentence = refused(csv_file(tmp_path, *[row("a", day, r="x" if day % 2 else 1) for day in range(20)]))

    assert "in rows 2, 4, 6, 8, 10 and more (counted from 1 without the header)" in sentence


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Candidate,entry_ns,exit_ns,r_net", "found no candidate among Candidate, entry_ns, exit_ns, r_net; did you "
         "mean candidate by 'Candidate'?"),
        ("candidate,entry_ns,exit_ns,rnet", "did you mean r_net by 'rnet'?"),
        ("candidate,Entry_NS, exit_ns,r_net", "entry_ns by 'Entry_NS'?; did you mean exit_ns by ' exit_ns'?"),
        ("sep=,", "a header in the first line, found 'sep=', which spreadsheets write; leave it out"),
        ("candidate,entry,exit_ns,r_net", "entry is not taken for entry_ns, which is a whole number of nanoseconds"),
        ("candidate;entry_ns;exit_ns;r_net", "columns parted by commas"),
        ("candidate,entry_ns,exit_ns,r_net,r_net", "each column once, found r_net more than once"),
        (",candidate,entry_ns,exit_ns,r_net", "a name for each column"),
        ("", "a CSV file with a header"),
    ],
)  # fmt: skip
def test_wrong_columns_are_refused_with_what_may_be_meant(tmp_path: Path, header: str, expected: str) -> None:
    """Before any row is looked at."""
    assert expected in refused(csv_file(tmp_path, "1,2,3,4", header=header))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """Absent, a folder, without rows, not in UTF-8, packed, and half a Parquet file."""
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\n{row('a')}\n{row('é')}\n".encode("latin-1"))
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and no more")
    packed = tmp_path / "trades.csv.gz"
    packed.write_bytes(gzip.compress(f"{HEADER}\n{row('a')}\n".encode()))
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")

    assert "found none there" in refused(tmp_path / "absent.csv")
    assert "found a folder" in refused(tmp_path)
    assert "at least one row" in refused(csv_file(tmp_path))
    assert "UTF-8" in refused(latin)
    assert "a whole Parquet file" in refused(torn)
    assert "found one that is packed (gzip)" in refused(packed)
    assert "nothing at all" in refused(empty)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("entry_ns", pa.array([START], type=pa.timestamp("ns", tz="UTC")), "a column of int64, found timestamp"),
        ("exit_ns", pa.array([float(START)]), "have lost their last digits"),
        ("candidate", pa.array([7.0]), "texts in the column candidate, found double"),
        ("r_net", pa.array([True]), "numbers in the column r_net, found bool"),
        ("r_net", pa.array([float("nan")]), "a finite number in the column r_net, found 'nan'"),
        ("cost_r", pa.array([float("inf")]), "in the column cost_r, found 'inf'"),
    ],
)  # fmt: skip
def test_types_that_mean_something_else_are_refused(tmp_path: Path, column: str, values: Any, expected: str) -> None:
    """Parquet knows what its columns are."""
    columns: dict[str, Any] = {
        "candidate": pa.array(["a"]), "entry_ns": pa.array([START]), "exit_ns": pa.array([START]),
        "r_net": pa.array([1.0]),
    }  # fmt: skip
    path = tmp_path / "trades.parquet"
    pq.write_table(pa.table({**columns, column: values}), path)

    assert expected in refused(path)


def test_ids_that_are_numbers_in_parquet_and_missing_costs_are_read(tmp_path: Path) -> None:
    """The number becomes its text; NaN and null are no costs."""
    path = tmp_path / "trades.parquet"
    columns = {
        "candidate": pa.array([7, 7, 8]), "entry_ns": pa.array([START + 1, START, START]),
        "exit_ns": pa.array([START + 1] * 3), "r_net": pa.array([1, 2, 3]),
        "cost_r": pa.array([0.5, 0.25, float("nan")]), "side": pa.array(["long", "short", None]).dictionary_encode(),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)

    found = read(path)

    assert list(found) == ["7", "8"]
    assert found["7"].r_net.tolist() == [2.0, 1.0]
    assert found["8"].cost_r is None
    assert found["7"].cost_r is not None
    assert found["7"].cost_r.tolist() == [0.25, 0.5]
    assert found["7"].side is not None
    assert found["7"].side.tolist() == [-1, 1]
    assert found["8"].side is None


def test_many_rows_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates that lie across pieces stay whole, and rows are counted across them."""
    monkeypatch.setattr("src.research.validation.sources.rows._ROWS", 7)
    monkeypatch.setattr("src.research.validation.sources.rows._BLOCK", 400)
    monkeypatch.setattr("src.research.validation.sources.table._TRADES_AT_ONCE", 10)
    lines = [row(f"c{number % 5}", number, number / 8) for number in range(40)]

    found = read(csv_file(tmp_path, *lines))
    sentence = refused(csv_file(tmp_path, *lines, row("c1", r="?"), name="bad.csv"))

    assert {name: trades.r_net.tolist() for name, trades in found.items()} == {
        f"c{rest}": [number / 8 for number in range(rest, 40, 5)] for rest in range(5)
    }
    assert "row 41" in sentence


def test_a_name_in_the_configuration_makes_its_source(tmp_path: Path) -> None:
    """Paths are relative to the configuration."""
    csv_file(tmp_path, row("a"))
    table = ValidationSection.model_validate({"candidates": {"source": "table", "path": "trades.csv"}})
    generated = ValidationSection.model_validate({"candidates": {"source": "generated"}})
    none = ValidationSection.model_validate({"reoptimise": {"manifest": "suite.yaml"}})

    assert source_for(table, tmp_path).candidates()[0].candidate_id == "a"
    assert isinstance(source_for(generated, tmp_path), GeneratedSource)
    assert set(SOURCES) == {"generated", "table", "results"}
    with pytest.raises(ConfigError, match="expected candidates"):
        source_for(none, tmp_path)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sorted trades go with their source; those of a table that was refused at once."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    source = TableSource(csv_file(tmp_path, row("a")))
    source.candidates()
    held = list(place.iterdir())

    refused(csv_file(tmp_path, row("a", r="x"), name="bad.csv"))
    after = list(place.iterdir())
    del source
    gc.collect()

    assert len(held) == 1
    assert after == held
    assert list(place.iterdir()) == []


def test_a_place_for_sorting_that_is_absent_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the place."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))

    assert "could not be sorted in" in refused(csv_file(tmp_path, row("a")))
