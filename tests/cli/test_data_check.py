"""`data list` and `data check`: what they find, what they advise, and what they say of what is not there."""

import shlex
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from src.data.tapes import QuoteTape
from tests.cli.caring import asked, floats, ints, said
from tests.data.care import put_rows, rows_of, write_store


def test_a_list_shows_intervals_and_a_picture(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Holes longer than asked for part the intervals; the picture ends with the dates of its ends."""
    code, text = said(capsys, "list", "--max-gap", "1")
    _, value = asked(capsys, "list", "--max-gap", "1")

    assert code == 0
    assert "BTCUSD 1m trade: 2 intervals, parted by holes of more than 1 bar" in text
    assert "  1970-01-01 00:08:00Z to 1970-01-01 00:13:00Z" in text
    assert "BTCUSD 1m trade |████" in text
    assert value["series"][0]["coverage"] == [
        {"start_ns": 3 * MINUTE_NS, "end_ns": 6 * MINUTE_NS},
        {"start_ns": 8 * MINUTE_NS, "end_ns": 13 * MINUTE_NS},
    ]


def test_tapes_are_listed_and_checked(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Crossed quotes are what the feed sent; they are counted and are no fault."""
    tape = QuoteTape(symbol="EURUSD", ts_ns=ints(1, 1, 2), bid=floats(1, 3, 1), ask=floats(2, 2, 1),
                     bid_size=floats(0, 0, 0), ask_size=floats(1, 1, 1))  # fmt: skip
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
    asked(capsys, "export", "--prune")
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
    """The bars are judged without it; exit code 1 all the same, for they were not compared as they should."""
    asked(capsys, "export")
    file = Path("data/market.mirror/symbol=BTCUSD/timeframe=1m/price=trade/bars.parquet")
    whole = file.read_bytes()
    pq.write_table(pq.read_table(file).slice(1), file)  # its fingerprint stays in it
    shorter = file.read_bytes()
    codes, texts, faults = [], [], []
    for damage in (b"PAR1", shorter, None):
        file.unlink()
        if damage is not None:
            file.write_bytes(damage)
        code, text = said(capsys, "check")
        _, report = asked(capsys, "check")
        codes.append(code)
        texts.append(text)
        faults.append((report["series"][0]["is_sound"], len(report["mirror"]["faults"])))
        file.write_bytes(whole)
    again, _ = said(capsys, "check")

    assert (codes, faults, again) == ([1, 1, 1], [(True, 1)] * 3, 0)
    for text in texts:
        assert f"not compared with the mirror: expected the file {file}" in text or f"{file} is no whole file" in text
        assert (
            "the mirror data/market.mirror is not whole: once the store is right, `lockstep data export BTCUSD`" in text
        )


def test_the_mirror_that_is_named_must_be_one(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong folder would otherwise compare with nothing; without the option there need be none."""
    Path("folder").mkdir()
    places = {
        "folder": "an empty folder", "absent": "nothing there", "data": "a folder of something else",
        store.as_posix(): "a file",
    }  # fmt: skip

    told = [said(capsys, "check", "--mirror", name) for name in places]
    commands = [shlex.split(text.split("`")[-2]) for _, text in told]
    plain, _ = said(capsys, "check")
    pasted = [asked(capsys, *words[2:])[0] for words in commands]

    assert [code for code, _ in told] == [2] * 4
    for (_, text), found in zip(told, places.values(), strict=True):
        assert f", found {found}; name the folder that `data export` wrote, or write one with" in text
    assert [words[3:] for words in commands] == [["--mirror", "folder"], ["--mirror", "absent"], [], []]
    assert (plain, pasted) == (0, [0] * 4)


def test_a_check_advises_what_mends_each_fault(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the mirror alone knows comes back from there: the commands, run as they are printed, leave nothing wrong."""
    write_store(store, [1, 2], symbol="ETHUSD")
    elsewhere = store.rename("data/my store.duckdb")
    place = ("--store", str(elsewhere))
    asked(capsys, "export", *place, "--mirror", "copy")
    rows = rows_of(elsewhere)
    put_rows(elsewhere, [(*rows[0][:5], 77.0), *rows[2:]])
    twice = rows_of(elsewhere, "ETHUSD")
    put_rows(elsewhere, [twice[0], twice[0], twice[1]], "ETHUSD")

    code, report = asked(capsys, "check", *place, "--mirror", "copy")
    commands = [
        shlex.split(words) for sentence in report["advice"] for words in sentence.split("`")[1::2]
        if "was meant" not in sentence
    ]  # fmt: skip
    codes = [asked(capsys, *words[2:])[0] for words in commands]
    after, _ = asked(capsys, "check", *place, "--mirror", "copy")

    assert [words[1:] for words in commands] == [
        ["data", "import", "copy", "--symbol", "BTCUSD", "--timeframe", "1m", "--price", "trade", "--replace", *place],
        ["data", "heal", *place],
    ]
    assert any("was meant, `" in one and "--mirror copy" in one for one in report["advice"])
    assert (code, codes, after, rows_of(elsewhere)) == (1, [0, 0], 0, rows)


def test_what_healing_cannot_mend_is_not_sent_to_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bars without numbers ask their exchange or go with --drop; a tape is taken out and brought in anew."""
    rows = rows_of(store)
    put_rows(store, [(rows[0][0], float("nan"), *rows[0][2:]), *rows[1:]])
    tape = QuoteTape(symbol="BTCUSD", ts_ns=ints(1), bid=floats(1), ask=floats(2), bid_size=floats(0),
                     ask_size=floats(0))  # fmt: skip
    with HistoricalDataStore(store) as opened:
        opened.write_quotes(tape, source="feed")
    with duckdb.connect(str(store)) as connection:
        connection.execute("UPDATE series SET source = 'ccxt:kraken'")
        connection.execute("UPDATE quotes SET bid = -1")

    code, report = asked(capsys, "check")

    assert code == 1
    assert [one.split("`")[1] for one in report["advice"]] == [
        "lockstep data heal --source ccxt:kraken",
        "lockstep data heal --drop",
        "lockstep data delete BTCUSD --tape quotes --yes",
    ]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["delete", "NOPE"], 3, "has no bars of NOPE and no ticks either; it has BTCUSD; name one of these, or bring"),
        (["delete", "NOPE", "--tape", "quotes"], 3, "has no bars of NOPE and no ticks either; it has BTCUSD"),
        (["list", "NOPE"], 3, "or bring it in with `lockstep data import FILE --symbol NOPE`"),
        (["list", "--store", "data"], 2, "expected the file of a store, found the folder data; name the file in it"),
        (["delete", "BTCUSD", "--store", "data"], 2, "expected the file of a store, found the folder data"),
        (["list", "--store", "empty"], 2, "at empty, found an empty file, as a first import leaves it that was"),
        (["check", "--store", "empty"], 2, "fill it with `lockstep data import FILE --store empty`, or name another"),
    ],
)
def test_what_is_not_there_is_a_sentence(
    store: Path, words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was expected, what was found, and what to do."""
    Path("empty").touch()

    found, text = said(capsys, *words)

    assert (found, sentence in text) == (code, True), text
