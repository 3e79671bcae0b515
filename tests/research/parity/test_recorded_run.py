"""A run on paper that was really recorded: its replay, planted differences, its fills, the commands."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.run import execute, prepare
from src.cli.app import main
from src.core.config_file import read_config
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from src.live.recording import FILE, Entry, read_entries
from src.research.parity.recorded import read_recorded, read_side
from src.research.parity.run_parity import parity_of_replay, parity_with, simulated_fills
from src.research.parity.store_bars import against_store, import_recorded
from src.research.replay import replay_recorded
from tests.research.parity.paper_runs import record_paper_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording; nobody changes it."""
    return record_paper_run(tmp_path_factory.mktemp("bot"))


def test_a_replay_of_the_recording_decides_the_same(run_folder: Path) -> None:
    """Every decision and every other outcome."""
    run = read_recorded(run_folder)

    replayed = replay_recorded(run_folder)
    report = parity_of_replay(run, replayed)

    assert report.is_same
    assert list(replayed.records) == list(run.records)
    assert {"enter", "close"} <= {each.action for each in run.decisions}


def test_one_changed_bar_is_found_and_is_data(run_folder: Path) -> None:
    """The replay is fed with another close at which the bot entered; its stop is another one."""
    run = read_recorded(run_folder)
    entry = next(each for each in run.decisions if each.action == "enter" and each.verdict == "accepted")
    bar_ns = entry.instant_ns - entry.instant_ns % MINUTE_NS - MINUTE_NS

    def changed(path: Path) -> Iterator[Entry]:
        for each in read_entries(path):
            if each.kind == "world" and "bars" in each.body:
                bars = [
                    [*bar[:6], bar[6] + 5.0, *bar[7:]] if bar[:3] == [entry.symbol, MINUTE_NS, bar_ns] else bar
                    for bar in each.body["bars"]
                ]
                each = replace(each, body={**each.body, "bars": bars})
            yield each

    report = parity_of_replay(run, replay_recorded(run_folder, entries=changed), entries=changed(run_folder / FILE))

    (found,) = report.explained
    assert (found.difference.kind, "stop" in found.difference.fields) == ("field", True)
    assert (found.cause, found.instant_ns) == ("data", bar_ns + MINUTE_NS)
    assert report.diverged


def test_fills_on_paper_are_those_of_the_simulator(run_folder: Path) -> None:
    """The same prices and the same rules give the same executions."""
    report = simulated_fills(read_recorded(run_folder))

    assert len(report.paired) == len(report.fills) >= 2
    assert all(each.ticks == 0.0 and each.fee == 0.0 for each in report.trades)
    assert report.resyncs == 0


def test_a_backtest_on_the_recorded_bars_decides_the_same(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bars are brought into the store, the same configuration is run on them, and both are compared."""
    run, folder = read_recorded(run_folder), run_folder.parent.parent
    with HistoricalDataStore(folder / "market.duckdb") as opened:
        import_recorded(run, opened)
        bars = against_store(run, opened)
        last_ns = max(info.last_ns for info in opened.list_series()) + MINUTE_NS
    words = [f"backtest.start={run.evidence.began_ns}", f"backtest.end={last_ns}"]
    finished = execute(prepare(read_config(folder / "flip.yaml", words), stored=False), report=False)

    report = parity_with(run, read_side(finished.folder, run))
    code, compared, _ = _told(capsys, "parity", str(run_folder), "--against", str(finished.folder), "--against-store")

    assert (code, compared["against"]["same"], compared["store"]["differences"]) == (0, True, [])
    assert bars.differences == ()
    assert [(each.cause, each.text) for each in report.explained] == []
    assert report.comparison.reference_count >= 3
    assert report.notes == ("1 command of the operator left out",)


def _with_other_stop(run_folder: Path, folder: Path) -> Path:
    """A copy of the recording in which the first entry has another stop."""
    source, copy = sqlite3.connect(run_folder / FILE), sqlite3.connect(folder / FILE)
    source.backup(copy)
    n, body = copy.execute(
        "SELECT n, body FROM entries WHERE kind = 'outcome' AND body LIKE '%enter%accepted%' LIMIT 1"
    ).fetchone()
    values = json.loads(body)
    values["values"][8] = 1.5
    copy.execute("UPDATE entries SET body = ? WHERE n = ?", (json.dumps(values), n))
    copy.commit()
    source.close()
    copy.close()
    return folder


def test_a_recording_whose_outcome_was_changed_differs(run_folder: Path, tmp_path: Path) -> None:
    """What was decided is not what is decided again, and nothing that was seen explains it."""
    _with_other_stop(run_folder, tmp_path)
    run = read_recorded(tmp_path)

    report = parity_of_replay(run, replay_recorded(tmp_path))

    (found,) = report.explained
    assert (found.cause, found.difference.fields) == ("unknown", ("stop",))
    assert re.search("does not do what was recorded", report.diverged)


def _told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """The exit code, the JSON object, and what people are told."""
    code = main([*words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_replay_and_parity_end_with_0_when_nothing_differs(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs get the counts, the digests, and the errors of the fills."""
    config = str(run_folder.parent.parent / "flip.yaml")

    code, replayed, _ = _told(capsys, "replay", run_folder.name, "--config", config)
    other, compared, _ = _told(capsys, "parity", str(run_folder))

    assert (code, replayed["same"], other, compared["same"]) == (0, True, 0, True)
    assert replayed["decision_digest"]["recorded"] == replayed["decision_digest"]["replayed"]
    assert compared["replay"]["causes"] == {}
    assert compared["fills"]["unpaired"] == 0


def test_fills_are_shown_trade_by_trade(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People get a table with the median and the worst below it."""
    code = main(["replay", str(run_folder), "--fills", "simulated"])

    shown = capsys.readouterr().out
    assert code == 0
    assert re.search(r"basis points\s+0\s+0", shown)
    assert "0 without the other side" in shown


def test_replay_and_parity_end_with_4_when_a_decision_differs(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The difference and its cause are told to people and to programs."""
    changed = _with_other_stop(run_folder, tmp_path)

    code, replayed, _ = _told(capsys, "replay", str(changed))
    other, compared, told = _told(capsys, "parity", str(changed))

    assert (code, other) == (4, 4)
    assert replayed["difference"]["participant"] == "worker:BTCUSDT"
    assert compared["replay"]["differences"][0]["fields"] == ["stop"]
    assert "causes: unknown 1" in told


def test_recorded_bars_are_brought_into_a_store(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other options than the source it is refused; afterwards nothing differs from the store."""
    store = str(tmp_path / "own.duckdb")
    words = ["data", "import", "--from-recording", str(run_folder), "--store", store]

    code, imported, _ = _told(capsys, *words, "--source", "venue")
    refused, _, told = _told(capsys, *words, "--zone", "UTC")
    again, compared, _ = _told(capsys, "parity", str(run_folder), "--against-store", "--store", store)

    assert (code, refused, again) == (0, 2, 0)
    assert [each["symbol"] for each in imported["series"]] == ["BTCUSDT", "ETHUSDT"]
    assert "--zone" in told
    assert (compared["store"]["compared"] > 0, compared["store"]["differences"]) == (True, [])


def test_a_run_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says where it was sought; a folder without a recording says what is missing."""
    code, _, told = _told(capsys, "replay", "nowhere")
    other, _, missing = _told(capsys, "parity", str(tmp_path))

    assert (code, other) == (2, 2)
    assert "found 'nowhere'" in told
    assert "expected a recording" in missing
