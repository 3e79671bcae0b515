"""The verbs that look after a store, as commands: what they say, what they write, how they end. In this process."""

from pathlib import Path
from typing import Any

import pytest

from src.cli.app import main
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from src.data.tapes import QuoteTape
from tests.cli.caring import MINUTES, asked, floats, ints, said
from tests.data.care import put_rows, rows_of
from tests.data.conftest import make
from tests.data.mutations import KINDS, Mutation, mutated


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


@pytest.mark.usefixtures("present")
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
    tape = QuoteTape(symbol="BTCUSD", ts_ns=ints(1), bid=floats(1), ask=floats(2), bid_size=floats(0),
                     ask_size=floats(0))  # fmt: skip
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
