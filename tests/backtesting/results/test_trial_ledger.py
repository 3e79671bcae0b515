"""The trial ledger: one line for each run with figures, before it is published, by any number of processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.artifacts import write_free_run, write_run
from src.backtesting.artifacts.trial_ledger import (
    LEDGER,
    NOT_RECORDED,
    Trial,
    configuration_hash,
    ledger_note,
    read_trials,
    record_trial,
    series_read,
)
from src.backtesting.metrics import compute_metrics
from src.backtesting.result import BacktestResult, Outcome
from src.core.errors import DataError, StrategyError
from tests.backtesting.results.worlds import World, busy_world

ID = "0123456789abcdef"
INPUTS: dict[str, Any] = {
    "changes": [], "code": "c0de", "configuration": {"fast": 1}, "data_fingerprint": "da7a", "policy": "1:fifo",
    "seed": 7, "user_files": {"mine.py": "f11e"}, "versions": {"numpy": "2"}, "window": {"start_ns": 1, "end_ns": 2},
}  # fmt: skip
MANIFEST = {"inputs": INPUTS, "data_sources": {"BBB": "exchange", "AAA": "exchange"}}


def store(result: BacktestResult, runs: Path, **more: Any) -> Path:
    """Write a run without its report."""
    given: dict[str, Any] = {"run_id": ID, "manifest": MANIFEST, "report": False}
    return write_run(result, runs_dir=runs, **{**given, **more})


def trials(runs: Path) -> list[Trial]:
    """What the ledger of a folder says."""
    return list(read_trials(runs / LEDGER))


def test_a_run_leaves_one_line_with_hashes_data_and_figures(tmp_path: Path) -> None:
    """The Sharpe ratio in it is the daily one; no clock is in it."""
    result = busy_world().result()
    figures = compute_metrics(result)

    store(result, tmp_path)

    line = json.loads((tmp_path / LEDGER).read_text())
    assert line == {
        "run_id": ID, "configuration_hash": configuration_hash(INPUTS), "user_files": {"mine.py": "f11e"},
        "data_fingerprint": "da7a", "series": [["AAA", "exchange"], ["BBB", "exchange"]],
        "start_ns": result.start_ns, "end_ns": result.end_ns,
        "sharpe": pytest.approx((figures.sharpe or 0) / 365**0.5, rel=1e-12), "days": 4, "skew": figures.skew,
        "kurtosis": figures.kurtosis,
    }  # fmt: skip
    assert trials(tmp_path)[0].series == (("AAA", "exchange"), ("BBB", "exchange"))


def test_a_run_that_is_stored_already_leaves_no_second_line(tmp_path: Path) -> None:
    """Neither does one with another digest: it is the same attempt, and a defect."""
    store(busy_world().result(), tmp_path)
    store(busy_world().result(), tmp_path)

    assert len(trials(tmp_path)) == 1


@pytest.mark.parametrize(
    ("outcome", "judged"),
    [(Outcome.COMPLETED, True), (Outcome.DEGRADED, True), (Outcome.FAILED, False), (Outcome.INTERRUPTED, False)],
)
def test_what_traded_is_a_trial(tmp_path: Path, outcome: Outcome, judged: bool) -> None:
    """Also where it was cut short, when somebody did not like what he saw; its figures are compared with nothing."""
    error = StrategyError("raised") if outcome is Outcome.FAILED else None
    store(busy_world().result(outcome=outcome, error=error), tmp_path)

    assert [each.sharpe is not None for each in trials(tmp_path)] == [judged]
    assert [each.kurtosis is not None for each in trials(tmp_path)] == [judged]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INTERRUPTED])
def test_what_was_cut_short_before_it_traded_is_no_trial(tmp_path: Path, outcome: Outcome) -> None:
    """A strategy that raises at its first bar tells nobody anything."""
    error = StrategyError("raised") if outcome is Outcome.FAILED else None
    store(World().result(outcome=outcome, error=error), tmp_path)

    assert trials(tmp_path) == []


def test_a_run_that_is_missing_is_recorded_when_it_is_made_again(tmp_path: Path) -> None:
    """Its folder stays where it is; the note goes once the line is there, and other control records stay."""
    (tmp_path / LEDGER).mkdir()
    place = store(busy_world().result(), tmp_path, control=[{"action": "pause"}])
    assert ledger_note(store(busy_world().result(), tmp_path)) != ""
    assert ledger_note(store(busy_world().result(), tmp_path, control=[{"action": "resume"}])) != ""

    (tmp_path / LEDGER).rmdir()
    for _ in range(2):
        store(busy_world().result(), tmp_path)

    assert [each.run_id for each in trials(tmp_path)] == [ID]
    assert ledger_note(place) == ""
    assert (place / "control.jsonl").read_text() == '{"action": "resume"}\n'


def test_a_free_run_is_a_trial_too(tmp_path: Path) -> None:
    """Somebody looked at its figures; watched ten times it is one attempt."""
    for _ in range(2):
        write_free_run(busy_world().result(), manifest=MANIFEST, runs_dir=tmp_path, report=False)

    assert [(each.run_id, each.configuration_hash) for each in trials(tmp_path)] == [
        ("free-1", configuration_hash(INPUTS)), ("free-2", configuration_hash(INPUTS)),
    ]  # fmt: skip


def test_a_run_without_inputs_is_not_recorded(tmp_path: Path) -> None:
    """It could not be told from any other."""
    store(busy_world().result(), tmp_path, manifest={"seed": 7})

    assert not (tmp_path / LEDGER).exists()


def test_choices_make_another_trial_and_data_code_and_versions_do_not() -> None:
    """Mending a candle or updating Lockstep is no new idea; a seed, a window or a changed file is."""
    own = configuration_hash(INPUTS)

    for name in ("code", "data_fingerprint", "versions"):
        assert configuration_hash({**INPUTS, name: "other"}) == own
    for name in ("configuration", "seed", "policy", "window", "user_files", "changes"):
        assert configuration_hash({**INPUTS, name: "other"}) != own


def test_a_synthetic_market_goes_by_its_seed() -> None:
    """One that lasts a week longer begins with the same bars, so trials on the one were trials on the other."""
    sources = {"BBB": "SYNTHETIC seed 7 0123456789abcdef", "AAA": "the exchange itself, really"}

    assert series_read({"data_sources": sources}) == (
        ("AAA", "the exchange itself, really"),
        ("BBB", "SYNTHETIC seed 7"),
    )


def test_a_run_without_variance_is_a_trial_without_a_sharpe(tmp_path: Path) -> None:
    """It never traded; it was tried."""
    store(World().result(), tmp_path)

    assert [(each.sharpe, each.skew, each.kurtosis) for each in trials(tmp_path)] == [(None, None, None)]


def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    """The next one begins on a line of its own, and whatever else stands there is skipped."""
    store(busy_world().result(), tmp_path)
    whole = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(b'\xff\n[1]\n"text"\n{"run_id": 3}\n' + whole + whole[:40])

    store(busy_world().result(), tmp_path, run_id="f" * 16)

    assert [each.run_id for each in trials(tmp_path)] == [ID, "f" * 16]


def test_the_line_is_there_before_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, a run is recorded without being stored; the other way it would never be."""

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        store(busy_world().result(), tmp_path)

    assert not (tmp_path / ID).exists()
    assert len(trials(tmp_path)) == 1


def test_a_ledger_that_cannot_be_written_does_not_cost_the_run(tmp_path: Path) -> None:
    """The run is stored whole, and its folder has the sentence."""
    (tmp_path / LEDGER).mkdir()

    folder = store(busy_world().result(), tmp_path, control=[{"action": "pause"}])

    assert folder == tmp_path / ID
    assert ledger_note(folder).startswith(f"this run is missing in the trial ledger {tmp_path / LEDGER}, which could")
    actions = [json.loads(line)["action"] for line in (folder / "control.jsonl").read_text().splitlines()]
    assert actions == ["pause", NOT_RECORDED]
    with pytest.raises(DataError, match="expected a trial ledger that can be read"):
        trials(tmp_path)


def test_a_run_that_was_recorded_has_no_note(tmp_path: Path) -> None:
    """Nor has a folder without control records."""
    folder = store(busy_world().result(), tmp_path, control=[{"action": "pause"}])

    assert ledger_note(folder) == ledger_note(tmp_path) == ""


APPENDING = """
import sys
from pathlib import Path
from src.backtesting.artifacts.trial_ledger import record_trial
from src.backtesting.metrics import compute_metrics
from tests.backtesting.results.test_trial_ledger import MANIFEST
from tests.backtesting.results.worlds import busy_world

figures = compute_metrics(busy_world().result())
for number in range(100):
    record_trial(Path(sys.argv[1]), {**MANIFEST, "outcome": "COMPLETED", "run_id": f"{sys.argv[2]}-{number}"}, figures)
"""


@pytest.mark.slow
def test_lines_of_several_processes_do_not_mix(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Three at once, 100 lines each: all of them whole, those of one process in its order."""
    environment = {**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)}
    started = [
        subprocess.Popen([sys.executable, "-c", APPENDING, str(tmp_path), name], env=environment) for name in "abc"
    ]
    assert [each.wait(240) for each in started] == [0, 0, 0]

    names = [each.run_id for each in trials(tmp_path)]
    lines = (tmp_path / LEDGER).read_bytes().splitlines()
    assert len([line for line in lines if line]) == len(names) == 300  # half a line seen on its way is a blank one
    for letter in "abc":
        own = [name for name in names if name.startswith(letter)]
        assert own == [f"{letter}-{number}" for number in range(100)]


def test_nothing_is_recorded_twice_by_the_ledger_itself(tmp_path: Path) -> None:
    """`record_trial` looks for the folder of the run; without figures there is nothing to record."""
    figures = compute_metrics(busy_world().result())
    given = {**MANIFEST, "outcome": "COMPLETED", "run_id": ID}
    (tmp_path / ID).mkdir()

    assert record_trial(tmp_path, given, figures) == ()
    assert record_trial(tmp_path, {**given, "run_id": "other"}, None) == ()
    assert trials(tmp_path) == []
