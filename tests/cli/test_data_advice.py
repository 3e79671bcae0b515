"""What `data check` and the messages advise, pasted as it is printed: nothing is lost, and the next check is clean."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from src.data.store import HistoricalDataStore
from tests.cli.caring import MINUTES, asked, said
from tests.data.care import Row, put_rows, rows_of, write_store
from tests.data.conftest import make
from tests.data.mutations import KINDS, Mutation, mutated

NAMES = ("BTCUSD", "ETHUSD", "LTCUSD")
MIRROR = Path("data/market.mirror")


@pytest.fixture
def three(store: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A sound store with three series, and its mirror."""
    for symbol in NAMES[1:]:
        write_store(store, MINUTES, symbol=symbol)
    asked(capsys, "export")
    return store


def all_rows(store: Path) -> dict[str, list[Row]]:
    """The rows of every series."""
    with HistoricalDataStore(store, read_only=True) as opened:
        names = [info.symbol for info in opened.list_series()]
    return {name: rows_of(store, name) for name in names}


def change(store: Path, symbol: str) -> None:
    """Give the last bar another volume, which no rule can judge."""
    *rows, last = rows_of(store, symbol)
    put_rows(store, [*rows, (*last[:5], last[5] + 1)], symbol)


def file_of(symbol: str) -> Path:
    """Where the copy of a series lies."""
    return MIRROR / f"symbol={symbol}" / "timeframe=1m" / "price=trade" / "bars.parquet"


def damage(file: Path) -> None:
    """Rows that are not those of the fingerprint in the file."""
    pq.write_table(pq.read_table(file).slice(1), file)


def commands(report: dict[str, Any], *, meant: bool | None = None) -> list[list[str]]:
    """The words behind `data` of the commands of an advice: all, only those of what was meant, or only the others."""
    return [
        shlex.split(words)[2:] for sentence in report["advice"] for words in sentence.split("`")[1::2]
        if meant is None or ("was meant" in sentence) == meant
    ]  # fmt: skip


@pytest.mark.parametrize("harm", ["rows", "half", "gone", "list gone"])
def test_a_changed_series_comes_back_whatever_else_is_wrong_with_the_mirror(
    three: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command as it is printed, one after the other, the alternatives too."""
    whole = all_rows(three)
    change(three, "BTCUSD")
    file = MIRROR / "mirror.json" if harm == "list gone" else file_of("LTCUSD")
    if harm == "rows":
        damage(file)
    elif harm == "half":
        file.write_bytes(file.read_bytes()[:100])
    else:
        file.unlink()

    code, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report)]
    after, _ = asked(capsys, "check")

    assert (code, after, codes) == (1, 0, [0] * 3)
    assert all_rows(three) == whole
    assert all(file_of(name).is_file() for name in NAMES)


def test_a_series_comes_back_while_others_differ_from_their_copies(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one was changed, a third one was healed since: each is a matter of its own."""
    whole = all_rows(three)
    for symbol in NAMES[:2]:
        change(three, symbol)
    rows = whole["LTCUSD"]
    put_rows(three, [(*rows[0][:2], 50.0, *rows[0][3:]), *rows[1:]], "LTCUSD")
    asked(capsys, "heal")
    healed = all_rows(three)["LTCUSD"]

    first, report = asked(capsys, "check", "BTCUSD")
    codes = [asked(capsys, *words)[0] for words in commands(report, meant=False)]
    second, _ = asked(capsys, "check", "BTCUSD")
    between = all_rows(three)
    third, report = asked(capsys, "check")
    codes += [asked(capsys, *words)[0] for words in commands(report, meant=False)]
    last, _ = asked(capsys, "check")

    assert (first, second, third, last, codes) == (1, 0, 1, 0, [0, 0])
    assert (between["BTCUSD"], between["ETHUSD"] == whole["ETHUSD"]) == (whole["BTCUSD"], False)
    assert all_rows(three) == {**whole, "LTCUSD": healed}


def test_what_came_and_what_was_healed_after_the_copy_stays(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the series itself that comes back; wrong bars that no copy knows are healed behind it."""
    rows = rows_of(three)
    put_rows(three, [(*rows[0][:2], 50.0, *rows[0][3:]), *rows[1:]])
    asked(capsys, "heal")
    with HistoricalDataStore(three) as opened:
        opened.write_bars(make([6]), source="test")
    right = rows_of(three)
    wrong = [*right[:3], (*right[3][:2], 60.0, *right[3][3:]), *right[5:], right[1]]
    put_rows(three, [*wrong[:-2], (*right[-1][:2], float("nan"), *right[-1][3:]), wrong[-1]])

    code, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report, meant=False)]
    after, _ = asked(capsys, "check")

    assert (code, codes, after) == (1, [0, 0], 0)
    assert [row[0] for row in rows_of(three)] == [row[0] for row in right]
    assert rows_of(three)[4:] == right[4:]
    assert rows_of(three)[:3] == right[:3]


@pytest.mark.slow
@pytest.mark.parametrize("value", [77.0, float("nan")])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happened_to_one_bar_is_undone_by_the_advice(
    store: Path, kind: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command but the alternatives; the rows are what they were."""
    whole = rows_of(store)
    asked(capsys, "export")
    rows, _ = mutated(whole, Mutation(kind=kind, row=3, to=6, column=3, value=value))
    put_rows(store, rows)

    code, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report, meant=False)]
    after, _ = asked(capsys, "check")

    assert (code, after, rows_of(store)) == (1, 0, whole)
    assert codes[-1] == 0


def test_healing_in_a_store_made_of_a_mirror_is_known_by_its_log(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy was made behind three repairs of a store that is gone; the new store has two of its own."""
    rows = rows_of(three)
    put_rows(three, [*((*row[:2], 50.0, *row[3:]) for row in rows[:3]), *rows[3:]])
    asked(capsys, "heal")
    asked(capsys, "export")
    three.unlink()
    asked(capsys, "import", str(MIRROR))
    rows = rows_of(three)
    put_rows(three, [*rows[:5], *((*row[:2], 50.0, *row[3:]) for row in rows[5:7]), *rows[7:]])

    before, report = asked(capsys, "check")
    healed, _ = asked(capsys, "heal")
    after, _ = asked(capsys, "check")
    change(three, "BTCUSD")
    again, named = asked(capsys, "check")

    assert (before, healed, after, again) == (1, 0, 0, 1)
    assert [len(one["faults"]) for one in named["series"]] == [1, 0, 0]


@pytest.mark.parametrize("words", [(), ("BTCUSD",)])
def test_a_deletion_that_was_meant_takes_the_copy_only_when_told(
    three: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain export keeps it and says so; the command that is printed for it ends the matter."""
    asked(capsys, "delete", "BTCUSD", "--yes")

    kept_code, text = said(capsys, "export", *words)
    kept = file_of("BTCUSD").is_file()
    _, report = asked(capsys, "check", *words)
    (pruning,) = commands(report, meant=True)
    code, pruned = asked(capsys, *pruning)
    after, left = asked(capsys, "check")

    assert (kept_code, kept, code, after) == (0, True, 0, 0)
    assert "kept symbol=BTCUSD/timeframe=1m/price=trade/bars.parquet, of which the store has no bars" in text
    assert f"`lockstep data {shlex.join(['export', *words, '--prune'])}` takes it away" in text
    assert pruning == ["export", "BTCUSD", "--prune"]
    assert (len(pruned["removed"]), file_of("BTCUSD").exists()) == (1, False)
    assert [one["symbol"] for one in left["series"]] == ["ETHUSD", "LTCUSD"]


def test_a_deletion_that_was_not_meant_is_undone(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command, the alternative too: what came back is not taken away by it."""
    whole = all_rows(three)
    asked(capsys, "delete", "ETHUSD", "--yes")
    damage(file_of("LTCUSD"))

    _, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report)]
    after, _ = asked(capsys, "check")

    assert (codes, after, all_rows(three)) == ([0, 0, 0], 0, whole)


def test_a_damaged_copy_of_a_series_that_is_gone_goes_only_when_told(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can bring it back from there, so no import is advised; a plain export leaves even that."""
    asked(capsys, "delete", "ETHUSD", "--yes")
    damage(file_of("ETHUSD"))
    asked(capsys, "export")
    kept = file_of("ETHUSD").is_file()

    code, report = asked(capsys, "check")
    advised = commands(report)
    codes = [asked(capsys, *words)[0] for words in advised]
    after, _ = asked(capsys, "check")

    assert (kept, code, advised, codes, after) == (True, 1, [["export", "ETHUSD", "--prune"]], [0], 0)


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_series_that_has_lost_all_rows(store: Path, mirrored: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """It comes back from its copy; without one it leaves the list, with a line in the log."""
    rows = rows_of(store)
    if mirrored:
        asked(capsys, "export")
    put_rows(store, [])

    code, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report, meant=False)]
    after, left = asked(capsys, "check")

    assert (code, codes, after) == (1, [0], 0)
    assert [one["bars"] for one in left["series"]] == ([8] if mirrored else [])
    assert all_rows(store) == ({"BTCUSD": rows} if mirrored else {})


def test_the_loss_of_all_rows_may_be_meant(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list, then the copy."""
    put_rows(three, [])

    _, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report, meant=True)]
    after, left = asked(capsys, "check")

    assert (codes, after, [one["symbol"] for one in left["series"]]) == ([0, 0], 0, ["ETHUSD", "LTCUSD"])


def test_a_copied_folder_is_named_and_goes(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says of itself that it is another series; an import takes nothing twice."""
    shutil.copytree(MIRROR / "symbol=BTCUSD", MIRROR / "symbol=ZZZ")

    refused, text = said(capsys, "import", str(MIRROR), "--store", "other.duckdb")
    code, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report)]
    after, _ = asked(capsys, "check")

    assert (refused, Path("other.duckdb").exists(), "it contradicts its place: symbol=BTCUSD" in text) == (
        2,
        False,
        True,
    )
    assert (code, codes, after, file_of("ZZZ").exists(), file_of("BTCUSD").exists()) == (1, [0], 0, False, True)


def test_a_series_from_another_source_is_not_taken_for_the_copy_changed(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They cannot be compared; the copy becomes that of the store where that is wanted."""
    asked(capsys, "delete", "BTCUSD", "--yes")
    with HistoricalDataStore(three) as opened:
        opened.write_bars(make([3, 4, 5], at=7.0), source="elsewhere")

    code, report = asked(capsys, "check")
    codes = [asked(capsys, *words)[0] for words in commands(report)]
    after, _ = asked(capsys, "check")

    assert (code, report["series"][0]["faults"], codes, after) == (1, [], [0], 0)
    assert "from 'test', and the store has one from 'elsewhere'" in report["mirror"]["faults"][0]


def test_commands_in_messages_do_what_they_say(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An import that does not fit, a damaged file of a mirror, and two names that differ in capitals only."""
    whole = all_rows(three)
    elsewhere = ("--store", three.rename("data/other store.duckdb").as_posix(), "--mirror", MIRROR.as_posix())
    store = Path(elsewhere[1])
    change(store, "BTCUSD")
    (_, unfit) = said(capsys, "import", str(MIRROR), *elsewhere[:2])
    damage(file_of("ETHUSD"))
    (_, damaged) = said(capsys, "import", str(MIRROR), "--symbol", "ETHUSD", "--store", "new.duckdb")
    write_store(store, MINUTES, symbol="btcusd")
    (_, twins) = said(capsys, "export", *elsewhere)
    texts = [unfit, damaged, twins]
    words = [
        [store.as_posix() if word == "STORE" else word for word in shlex.split(text.split("`")[1])[2:]]
        for text in texts
    ]

    codes = [asked(capsys, *one)[0] for one in words]

    assert codes == [0, 0, 0]
    assert [one[:2] for one in words] == [["import", MIRROR.as_posix()], ["export", "ETHUSD"], ["export", "BTCUSD"]]
    assert all_rows(store) == {**whole, "btcusd": rows_of(store, "btcusd")}
    assert asked(capsys, "list", "--store", "new.duckdb")[1]["series"] == []
    assert asked(capsys, "check", *elsewhere)[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--replace"], 2, "--replace: expected --symbol with it"),
        (["--zone", "UTC"], 2, "--zone: the mirror data/market.mirror says that of each series itself"),
        (["--symbol", "NOPE"], 3, "has no such series; it has symbol=BTCUSD/timeframe=1m/price=trade"),
        (["--symbol", "BTCUSD", "--timeframe", "5m", "--replace"], 3, "has no such series; it has symbol=BTCUSD/"),
    ],
)
def test_what_a_mirror_cannot_be_asked_is_a_sentence(
    three: Path, words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no store is made by it."""
    found, text = said(capsys, "import", str(MIRROR), "--store", "new.duckdb", *words)

    assert (found, sentence in text, Path("new.duckdb").exists()) == (code, True, False), text


def test_a_file_replaces_nothing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only a mirror's own copy does."""
    found, text = said(capsys, "import", "bars.csv", "--replace")

    assert (found, "the bars of a file never replace stored ones" in text) == (2, True)
