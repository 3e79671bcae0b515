"""`parity`, `replay` and `data import --from-recording` on recorded runs, as they are and with planted differences."""

import shlex
import shutil
import sqlite3
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from src.core.timeframe import MINUTE_NS, parse_instant
from src.live.recording import FILE
from src.testing.venue import Fault, FaultKind
from tests.browser.browser import Driver, open_page, the_browser
from tests.documentation.pages import block_of, commands
from tests.end_to_end.command import ROOT, Told
from tests.end_to_end.three_modes import Played, copied, edited, play_with_faults

__all__ = ["open_page", "the_browser"]

#: A try takes half a minute on a machine that has nothing else to do, and there may be several.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: The bar of three minutes that breaks the range of ETHUSDT, at whose close everybody enters.
BREAKS_NS = parse_instant("2024-01-02 05:36")
#: Of the orders that the bot sends the third is the entry in BTCUSDT: before it came an entry and its target.
ENTRY = 2
#: The answer to an entry is lost; it comes more than three bars later.
FAULTS = {
    "lost": Fault(kind=FaultKind.UNANSWERED, endpoint="POST order", after=ENTRY),
    "late": Fault(kind=FaultKind.SLOW, endpoint="POST order", after=ENTRY, seconds=3.2),
}


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Live runs in which one reply was lost, and one came late."""
    return play_with_faults(tmp_path_factory.mktemp("spoiled") / "runs", FAULTS)


@pytest.fixture
def live(played: Played) -> Path:
    """The recorded live run."""
    return played.runs["live"]


def in_place(line: str, names: dict[str, Path]) -> list[str]:
    """The words of a command of a page, with runs for the names that stand for some."""
    words = shlex.split(line)
    assert words[:2] == ["python", "main.py"]
    return [str(names.get(word, word)) for word in words[2:]]


def test_each_command_of_the_page_about_parity_ends_as_it_says(played: Played, told: Told) -> None:
    """On a recorded live run, with the backtest of its hours for the other one: no decision differs."""
    names = {"RUN": played.runs["live"], "OTHER": played.runs["backtest"]}
    lines = commands(block_of("docs/parity.md", "python main.py replay RUN"))
    ended = {line: told(*in_place(line, names)) for line in lines}

    assert len(ended) == 6
    assert {line: each.err for line, each in ended.items() if each.code != 0} == {}


def test_the_page_about_the_venue_ends_with_no_difference(played: Played, told: Told) -> None:
    """Its last command, after those that have made the runs, with their names for those of the page."""
    names = {"three-modes-live-1": played.runs["live"], "RUN": played.runs["backtest"]}
    lines = commands(block_of("docs/venue.md", "python main.py --mode paper"))
    ended = told(*in_place(lines[-1], names))

    assert [line.split()[2] for line in lines] == ["--mode", "--mode", "--mode", "parity"]
    assert ended.code == 0, ended.err


def test_each_command_of_the_page_about_reports_writes_a_page(
    played: Played, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On recorded runs; `explore`, which finds a race, over a day instead of two months."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url, *more: bool(opened.append(url)) or True)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    names = {"RUN": played.runs["live"], "RUN2": played.runs["paper"]}
    codes = {}
    for line in commands(block_of("docs/reports.md", "python main.py report RUN")):
        words = in_place(line, names)
        more = ["--set", "backtest.end=2024-01-02"] if words[0] == "explore" else []
        codes[line] = told(*words, *more).code

    assert {code for line, code in codes.items() if " explore " not in line} == {0}
    assert [code for line, code in codes.items() if " explore " in line] in ([0], [4])
    assert len(opened) == 1
    for name in ("schedules.html", "parity.html"):
        assert (tmp_path / name).stat().st_size > 10_000


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_recorded_run_is_the_same_when_it_is_replayed(played: Played, told: Told, mode: str) -> None:
    """`parity` exits 0, and so it does against the backtest of the same hours."""
    ended = told("parity", played.runs[mode], "--against", played.runs["backtest"].name, "--json")

    assert ended.code == 0, ended.err
    assert ended.value["same"] is True
    assert ended.value["replay"]["differences"] == []
    assert ended.value["against"]["differences"] == []


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_replay_with_recorded_fills_decides_the_same(played: Played, told: Told, mode: str) -> None:
    """To the last digit, with the same number of turns and calls."""
    ended = told("replay", played.runs[mode], "--json")

    assert (ended.code, ended.value["same"]) == (0, True)
    assert ended.value["decision_digest"]["recorded"] == ended.value["decision_digest"]["replayed"]
    assert ended.value["calls"] > 5


def test_a_changed_bar_is_found_and_sorted_as_data(live: Path, told: Told) -> None:
    """The replay of a recording in which one bar lies otherwise decides otherwise; the store says which bar it is."""
    planted = copied(live, "changed-bar")
    assert edited(planted, "ETHUSDT", BREAKS_NS, 3 * MINUTE_NS, 2375.0) == 1

    ended = told("parity", planted, "--against-store", "--json")
    table = told("parity", planted, "--against-store")
    bars = ended.value["store"]["differences"]

    assert (ended.code, table.code) == (4, 4)
    assert [(each["symbol"], each["open_ns"], each["what"]) for each in bars] == [("ETHUSDT", BREAKS_NS, "changed")]
    assert ended.value["replay"]["differences"][0]["cause"] == "data"
    assert "ETHUSDT 3m 2024-01-02 05:36:00Z: " in table.out
    assert "causes: data" in table.err


def test_bars_that_change_nothing_leave_the_exit_code(live: Path, told: Told) -> None:
    """A bar that nobody acts on may lie otherwise: it is shown, and no decision differs."""
    planted = copied(live, "idle-bar")
    assert edited(planted, "XRPUSDT", parse_instant("2024-01-02 05:47"), MINUTE_NS, 0.6347) == 1

    ended = told("parity", planted, "--against-store", "--json")

    assert (ended.code, ended.value["same"]) == (0, True)
    assert [each["what"] for each in ended.value["store"]["differences"]] == ["changed"]


def test_the_store_of_a_synthetic_market_has_every_recorded_bar(live: Path, told: Told) -> None:
    """Also one that is in memory alone, and longer bars are made of its bars."""
    ended = told("parity", live, "--against-store", "--json")

    assert ended.code == 0, ended.err
    assert ended.value["store"]["differences"] == []
    assert ended.value["store"]["compared"] > 3 * 50


def test_recorded_bars_come_over_and_are_the_same_there(live: Path, tmp_path: Path, told: Told) -> None:
    """All of them, once; a recording in which a bar lies otherwise is refused, and nothing of it is stored."""
    store = tmp_path / "bars.duckdb"
    words = ("--store", store, "--json")
    planted = copied(live, "changed-minute")
    edited(planted, "BTCUSDT", parse_instant("2024-01-02 05:40"), MINUTE_NS, 41_700.0)

    first = told("data", "import", "--from-recording", live, *words)
    again = told("data", "import", "--from-recording", live, *words)
    other = told("data", "import", "--from-recording", planted, *words)
    compared = told("parity", live, "--against-store", "--store", store, "--json")

    assert (first.code, again.code, other.code) == (0, 0, 2), first.err + again.err
    assert [each["symbol"] for each in first.value["series"]] == ["BTCUSDT", "ETHUSDT", "XRPUSDT"]
    assert all(each["written"] == each["bars"] > 30 for each in first.value["series"])
    assert [each["written"] for each in again.value["series"]] == [0, 0, 0]
    assert "BTCUSDT" in other.err
    assert compared.value["store"]["differences"] == []


def test_a_lost_acknowledgement_is_found_and_sorted(played: Played, spoiled: Played, told: Told) -> None:
    """The order was done and nobody said so: until the bot has looked it up, it manages nothing."""
    own = told("parity", spoiled.runs["lost"], "--json")
    ended = told("parity", spoiled.runs["lost"], "--against", played.runs["backtest"], "--late", "30s", "--json")
    first = ended.value["against"]["differences"][0]

    assert own.code == 0, own.err  # told the same, it decides the same
    assert ended.code == 4
    assert (first["cause"], first["symbol"]) == ("acknowledgement", "BTCUSDT")
    assert "the reply was lost" in first["why"]


def test_a_late_reply_is_found_and_sorted(played: Played, spoiled: Played, told: Told) -> None:
    """Whoever waits for it waits for more than three bars, and so do those who send after him."""
    own = told("parity", spoiled.runs["late"], "--json")
    ended = told("parity", spoiled.runs["late"], "--against", played.runs["backtest"], "--late", "30s", "--json")
    first = ended.value["against"]["differences"][0]

    assert own.code == 0, own.err
    assert ended.code == 4
    assert first["cause"] == "acknowledgement"
    assert "the reply took" in first["why"]


@pytest.mark.browser
def test_the_page_shows_both_runs_on_one_axis(
    played: Played, spoiled: Played, told: Told, tmp_path: Path, open_page: Callable[[Path], Driver]
) -> None:
    """A mark for each decision of each run, and a row for each difference with its cause."""
    words = "--against", played.runs["backtest"], "--late", "30s"
    ended = told("parity", spoiled.runs["late"], *words, "--report", "page.html", "--json")

    driver = open_page(tmp_path / "page.html")
    rows = driver.execute_script(
        "return [...document.querySelectorAll('#p2-table tbody tr')].map(row => row.cells[7].textContent)"
    )
    marks = driver.execute_script("return document.querySelectorAll('#p2-axis .scatterlayer path.point').length")
    banners = driver.execute_script("return [...document.querySelectorAll('.banner strong')].map(e => e.textContent)")

    found = ended.value["against"]
    sides = sum((each["reference"] is not None) + (each["other"] is not None) for each in found["differences"])
    assert rows == [each["cause"] for each in found["differences"]]
    assert marks == 2 * found["decisions"]["equal"] + sides
    assert banners == ["SAME", "DIFFERENT"]


def test_a_page_that_cannot_be_written_is_told_first(live: Path, told: Told, tmp_path: Path) -> None:
    """Before the run is replayed."""
    assert "expected a folder for --report" in told("parity", live, "--report", tmp_path / "no" / "page.html").err
    ended = told("parity", live, "--report", tmp_path)

    assert ended.code == 2
    assert "expected the name of a file for --report" in ended.err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("parity", "nowhere"), 2, "expected the folder of a run"),
        (("replay", "nowhere"), 2, "expected the folder of a run"),
        (("replay", "RUN", "--fills", "best"), 2, "--fills: expected recorded or simulated, found 'best'"),
        (("parity", "RUN", "--against", "."), 2, "found neither"),
        (("parity", "RUN", "--late", "soon"), 2, "soon"),
        (("parity", "RUN", "--against-store", "--store", "none.duckdb"), 2, "none.duckdb"),
        (("data", "import", "--from-recording", "nowhere"), 2, "expected the folder of a run"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(
    live: Path, told: Told, words: tuple[str, ...], code: int, sentence: str
) -> None:  # fmt: skip
    """Exit code 2 and no traceback."""
    ended = told(*[live if word == "RUN" else word for word in words])

    assert (ended.code, ended.out) == (code, "")
    assert sentence in ended.err
    assert "Traceback" not in ended.err


def test_a_file_that_is_no_recording_is_refused(live: Path, told: Told) -> None:
    """Another version, and something that is none."""
    older = copied(live, "older")
    with sqlite3.connect(older / FILE) as db:
        db.execute("UPDATE meta SET value = '0' WHERE key = 'format'")
    db.close()
    broken = copied(live, "broken")
    for each in broken.glob(f"{FILE}*"):
        each.write_bytes(b"no database at all" * 100)

    codes = {}
    for folder in (older, broken):
        ended = told("parity", folder)
        codes[folder.name] = ended.code
        assert "expected a recording" in ended.err
        assert "Traceback" not in ended.err

    assert codes == {"older": 2, "broken": 2}
