"""The verbs that look after a store, as commands: what they say, what they write, how they end. In this process."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from src.cli import data_care, data_views
from src.cli.app import main
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from src.data.tapes import QuoteTape
from tests.data.care import put_rows, rows_of, write_store
from tests.data.conftest import make
from tests.data.mutations import KINDS, Mutation, mutated

MINUTES = [3, 4, 5, 8, 9, 10, 11, 12]
PRESENT_NS = 13 * MINUTE_NS


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bar has just closed."""
    for module in (data_views, data_care):
        monkeypatch.setattr(module, "wall_ns", lambda: PRESENT_NS)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound store where the commands look for one."""
    monkeypatch.chdir(tmp_path)
    return write_store(tmp_path / "data" / "market.duckdb", MINUTES)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON object of `data WORDS`."""
    capsys.readouterr()
    code = main(["data", *words, "--json", "--quiet"])
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return code, value


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and text of `data WORDS`, stdout before stderr."""
    capsys.readouterr()
    code = main(["data", *words])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def named(report: dict[str, Any]) -> set[int]:
    """The stamps of the wrong bars that a check names, and those of absent ones."""
    (series,) = report["series"]
    holes = {hole["start_ns"] + i * MINUTE_NS for hole in series["holes"] for i in range(hole["bars"])}
    return {fault["open_ns"] for fault in series["faults"]} | holes


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_bar_in_the_file_is_named_and_healed_once(
    kind: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Changed, missing, duplicated, swapped or forming, through the commands; what they find by themselves is pure."""
    asked(capsys, "export")
    _, before = asked(capsys, "fingerprint")
    rows, wanted = mutated(rows_of(store), Mutation(kind=kind, row=3, to=6, column=4, value=100.5))
    put_rows(store, rows)

    _, after = asked(capsys, "fingerprint")
    code, report = asked(capsys, "check")
    asked(capsys, "heal", "--drop")
    healed = rows_of(store)
    again_code, again = asked(capsys, "heal", "--drop")

    assert after["fingerprint"] != before["fingerprint"]
    assert (code, bool(named(report) & wanted)) == (1, True), report
    assert (again_code, again["changes"], again["left"], rows_of(store)) == (0, 0, 0, healed)


def test_a_list_shows_intervals_and_a_picture(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Holes longer than asked for part the intervals; the picture ends with the dates of its ends."""
    code, text = said(capsys, "list", "--max-gap", "1")
    _, value = asked(capsys, "list", "--max-gap", "1")

    assert code == 0
    assert "BTCUSD 1m trade: 2 intervals, parted by holes of more than 1 bars" in text
    assert "  1970-01-01 00:08:00Z to 1970-01-01 00:13:00Z" in text
    assert "BTCUSD 1m trade |████" in text
    assert value["series"][0]["coverage"] == [
        {"start_ns": 3 * MINUTE_NS, "end_ns": 6 * MINUTE_NS},
        {"start_ns": 8 * MINUTE_NS, "end_ns": 13 * MINUTE_NS},
    ]


def test_tapes_are_listed_and_checked(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Crossed quotes are what the feed sent; they are counted and are no fault."""
    tape = QuoteTape(symbol="EURUSD", ts_ns=_ints(1, 1, 2), bid=_floats(1, 3, 1), ask=_floats(2, 2, 1),
                     bid_size=_floats(0, 0, 0), ask_size=_floats(1, 1, 1))  # fmt: skip
    with HistoricalDataStore(store) as opened:
        opened.write_quotes(tape, source="feed")

    _, listed = asked(capsys, "list")
    _, only = asked(capsys, "list", "EURUSD")
    code, report = asked(capsys, "check", "EURUSD")
    absent, text = said(capsys, "list", "EURUSX")

    assert [(one["symbol"], one["kind"], one["events"]) for one in listed["tapes"]] == [("EURUSD", "quotes", 3)]
    assert (only["series"], only["tapes"]) == ([], listed["tapes"])
    assert (absent, "has no bars of EURUSX" in text) == (3, True)
    assert (code, report["series"], report["tapes"][0]["crossed"], report["tapes"][0]["locked"]) == (0, [], 1, 1)


def test_a_check_prints_wrong_bars_by_name(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first of them, or all on demand, and the command that mends; exit code 1."""
    rows = rows_of(store)
    put_rows(store, [*rows, *(row for row in rows for _ in range(3))])

    code, text = said(capsys, "check")
    _, everything = said(capsys, "check", "--all")

    assert code == 1
    assert "BTCUSD 1m trade: 32 bars, NOT SOUND" in text
    assert "duplicate: 1970-01-01 00:03:00Z stands in row 1 already, with the same numbers" in text
    assert "more, which --all prints and --json lists" in text
    assert "data heal` mends what can be mended" in text
    assert everything.count("stands in row") == 24


def test_a_calendar_can_be_named_for_a_check(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thursday midnight is outside the hours of New York; an unknown name is refused."""
    _, report = asked(capsys, "check", "--calendar", "XNYS")
    code, text = said(capsys, "check", "--calendar", "XNYZ")

    assert (report["series"][0]["calendar"], report["series"][0]["outside"]) == ("XNYS", 8)
    assert (code, "did you mean" in text) == (2, True)


def test_healing_tells_each_change_and_a_dry_run_tells_it_before(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same changes; what cannot be mended is left, with exit code 1, until it is dropped."""
    rows = rows_of(store)
    broken = (rows[3][0], float("nan"), *rows[3][2:])
    put_rows(store, [*rows[:3], broken, *rows[4:], rows[0]])

    dry_code, dry = asked(capsys, "heal", "--dry-run")
    wet_code, wet = asked(capsys, "heal")
    code, text = said(capsys, "heal")
    drop_code, dropped = asked(capsys, "heal", "--drop")

    assert (dry_code, wet_code, code, drop_code) == (1, 1, 1, 0)
    assert dry["series"][0]["changes"] == wet["series"][0]["changes"]
    assert (dry["changes"], wet["changes"], wet["left"], dropped["changes"]) == (2, 2, 1, 1)
    assert "left: 1970-01-01 00:08:00Z holds a number that is none" in text
    assert [row[0] // MINUTE_NS for row in rows_of(store)] == [3, 4, 5, 9, 10, 11, 12]


def test_a_source_fills_holes_and_gives_the_numbers_of_wrong_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that was imported is the source of its series; another one is refused, and nothing changes."""
    monkeypatch.chdir(tmp_path)
    lines = [f"1970-01-01T00:{minute:02d}:00Z,100,101,99,100.5,5" for minute in MINUTES]
    Path("bars.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]), encoding="utf-8")
    answers = {"symbol": "BTCUSD", "kind": "crypto", "stamp": "open", "price": "trade", "timeframe": "1m"}
    options = [word for key, value in answers.items() for word in (f"--{key}", value)]
    settings = [word for key, value in answers.items() for word in ("--source-option", f"{key}={value}")]
    assert main(["data", "import", "bars.csv", *options, "--quiet"]) == 0
    store = Path("data/market.duckdb")
    whole = rows_of(store)
    put_rows(store, [whole[0], (whole[1][0], 100.0, float("nan"), 99.0, 100.5, 5.0), *whole[4:]])

    refused, text = said(capsys, "heal", "--source", "csv:bars.csv", *settings, "--source-option", "source=other")
    code, report = asked(capsys, "heal", "--source", "csv:bars.csv", *settings)

    assert (refused, "'other' is the source of none of these" in text) == (2, True)
    assert (code, sorted(change["action"] for change in report["series"][0]["changes"])) == (
        0, ["filled from the source", "filled from the source", "taken from the source"],
    )  # fmt: skip
    assert rows_of(store) == whole


def test_bars_that_were_healed_are_not_named_against_the_mirror(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heal log says that they were changed on purpose."""
    asked(capsys, "export")
    rows = rows_of(store)
    put_rows(store, [(*rows[0][:2], 50.0, *rows[0][3:]), *rows[1:]])

    before, _ = asked(capsys, "check")
    asked(capsys, "heal")
    after, _ = asked(capsys, "check")
    healed = rows_of(store)
    put_rows(store, [(*healed[0][:2], 400.0, *healed[0][3:]), *healed[1:]])
    again, report = asked(capsys, "check")

    assert (before, after, again) == (1, 0, 1)
    assert [(one["code"], one["open_ns"]) for one in report["series"][0]["faults"]] == [("changed", 3 * MINUTE_NS)]


def test_what_was_healed_before_an_export_is_compared_with_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that was taken out, came back and was exported is lost when it is gone again."""
    rows = rows_of(store)
    put_rows(store, [rows[0], (rows[1][0], float("nan"), *rows[1][2:]), *rows[2:]])
    asked(capsys, "heal", "--drop")
    put_rows(store, rows)
    asked(capsys, "heal")  # counts the rows anew
    asked(capsys, "export")
    sound, _ = asked(capsys, "check")
    put_rows(store, [rows[0], *rows[2:]])

    code, report = asked(capsys, "check")

    assert (sound, code) == (0, 1)
    assert ("lost", 4 * MINUTE_NS) in [(one["code"], one["open_ns"]) for one in report["series"][0]["faults"]]


def test_a_series_that_is_gone_is_named_against_the_mirror(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its symbol or without; an import of the mirror brings it back, an export says that it was meant."""
    write_store(store, [1, 2], symbol="ETHUSD")
    asked(capsys, "export")
    asked(capsys, "delete", "BTCUSD", "--yes")

    code, report = asked(capsys, "check")
    one, text = said(capsys, "check", "BTCUSD")
    other, _ = asked(capsys, "check", "ETHUSD")
    asked(capsys, "import", "data/market.mirror")
    restored, _ = asked(capsys, "check")
    asked(capsys, "delete", "BTCUSD", "--yes")
    asked(capsys, "export")
    meant, left = asked(capsys, "check")

    faults = {series["symbol"]: [fault["code"] for fault in series["faults"]] for series in report["series"]}
    assert (code, one, other, restored, meant) == (1, 1, 0, 0, 0)
    assert faults == {"ETHUSD": [], "BTCUSD": ["lost"]}
    assert "lost: the mirror has 8 bars from 1970-01-01 00:03:00Z to 1970-01-01 00:12:00Z" in text
    assert [series["symbol"] for series in left["series"]] == ["ETHUSD"]


def test_a_series_whose_bars_healing_took_out_is_not_lost(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The heal log says where each of them went."""
    put_rows(store, rows_of(store)[:1])
    asked(capsys, "heal")
    asked(capsys, "export")
    put_rows(store, [(rows_of(store)[0][0], float("nan"), 1.0, 1.0, 1.0, 1.0)])
    asked(capsys, "heal", "--drop")

    code, report = asked(capsys, "check")

    assert (code, report["series"]) == (0, [])


def test_an_empty_file_is_a_store_without_series(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first import that was killed early leaves one; what was to come is named as absent, not the file as foreign."""
    duckdb.connect("empty.duckdb").close()

    code, text = said(capsys, "list", "--store", "empty.duckdb")

    assert (code, "empty.duckdb holds no series" in text) == (0, True)


def test_a_damaged_mirror_is_named_and_is_no_fault_of_the_store(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bars are judged without it; a lost bar is named with the way out where the mirror is whole."""
    asked(capsys, "export")
    put_rows(store, rows_of(store)[1:])
    code, text = said(capsys, "check")
    put_rows(store, [(3 * MINUTE_NS, 103.0, 105.0, 101.0, 104.0, 3.5), *rows_of(store)])
    Path("data/market.mirror/symbol=BTCUSD/timeframe=1m/price=trade/bars.parquet").write_bytes(b"PAR1")
    spoiled_code, spoiled = said(capsys, "check")

    assert (code, "lost: 1970-01-01 00:03:00Z stands in the copy" in text) == (1, True)
    assert "if the change was meant, `lockstep data export` makes it anew" in text
    assert (spoiled_code, "not compared with the mirror: " in spoiled) == (0, True)


def test_an_export_is_read_back_by_an_import(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror's folder is imported as a whole; the fingerprints are the same."""
    _, exported = asked(capsys, "export")
    code, restored = asked(capsys, "import", "data/market.mirror", "--store", "other.duckdb")
    _, one = asked(capsys, "fingerprint")
    _, other = asked(capsys, "fingerprint", "--store", "other.duckdb")
    refused, _ = said(capsys, "import", "data", "--store", "third.duckdb")

    assert (code, restored["series"][0]["written"]) == (0, 8)
    assert one["fingerprint"] == other["fingerprint"]
    assert one["series"][0]["fingerprint"] == exported["written"][0]["fingerprint"]
    assert (refused, Path("third.duckdb").exists()) == (2, False)


def test_a_deletion_without_a_terminal_needs_a_yes(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal names what would go and the command to paste; with it, that goes and the rest stays."""
    with HistoricalDataStore(store) as opened:
        opened.write_bars(make([60], side="bid"), source="test")

    refused, text = said(capsys, "delete", "BTCUSD", "--price", "bid")
    kept = asked(capsys, "list")[1]["series"]
    code, value = asked(capsys, "delete", "BTCUSD", "--price", "bid", "--yes")
    left = asked(capsys, "list")[1]["series"]

    assert refused == 2
    assert "this deletes BTCUSD 1m from 1970-01-01 01:00:00Z" in text
    assert "data delete BTCUSD --price bid --yes" in text
    assert (code, value["rows"]) == (0, 1)
    assert ([one["price_side"] for one in kept], [one["price_side"] for one in left]) == (["trade", "bid"], ["trade"])


def test_a_tape_can_be_deleted_alone_and_with_its_symbol(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kind that is not there is refused with what there is."""
    tape = QuoteTape(symbol="BTCUSD", ts_ns=_ints(1), bid=_floats(1), ask=_floats(2), bid_size=_floats(0),
                     ask_size=_floats(0))  # fmt: skip
    with HistoricalDataStore(store) as opened:
        opened.write_quotes(tape, source="feed")

    absent, text = said(capsys, "delete", "BTCUSD", "--tape", "trades", "--yes")
    _, alone = asked(capsys, "delete", "BTCUSD", "--tape", "quotes", "--yes")
    both, _ = said(capsys, "delete", "BTCUSD", "--tape", "quotes", "--price", "bid", "--yes")

    assert (absent, "has no trades of BTCUSD; it has BTCUSD quotes" in text) == (3, True)
    assert (alone["series"], alone["rows"], both) == ([], 1, 2)
    assert len(rows_of(store)) == 8


@pytest.mark.parametrize("verb", ["list", "check", "heal", "export", "fingerprint"])
def test_every_verb_is_silent_on_demand(store: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--quiet` leaves errors only; stdout of `--json` is one object, tested by each other test."""
    capsys.readouterr()

    code = main(["data", verb, "--quiet"])

    assert (code, capsys.readouterr()) == (0, ("", ""))


def _ints(*values: int) -> Any:
    return np.array(values, np.int64)


def _floats(*values: float) -> Any:
    return np.array(values, np.float64)
