"""The order in which a validation does things, and what it makes of answers that are missing; without processes."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, parse_instant
from src.research.validation import subject, survivors, validation
from src.research.validation.crew import Judges
from src.research.validation.family import DataSet
from src.research.validation.judge import JudgeAnswer, JudgeTask, judge_chunk
from src.research.validation.ports import Candidate, CandidateTrades, Period, Status
from src.research.validation.report import Prepared, ValidationReport
from src.research.validation.setup import read_validation
from src.research.validation.validation import run_validation
from tests.research.validation.judges import Here

START_NS = parse_instant("2016-01-01")
CONFIG = "name: tiny\nruns: runs\ncandidates: {source: generated}\nwalkforward: {minimum_trades: 5}\n"
CUTOFF = "discovery_cutoff: 2018-01-01\n"
DATA = DataSet(series=(("BTCUSDT", "csv"),), start_ns=0, end_ns=2**62)


class Candidates:
    """Four of them with a trade every tenth day for four years: two gain, two lose."""

    label, synthetic = "four", False
    period = Period(start_ns=START_NS, end_ns=parse_instant("2020-01-01"))

    def identity(self) -> str:
        return hashlib.sha256(b"four").hexdigest()

    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(Candidate(number=i, candidate_id=name, trial=name) for i, name in enumerate("abcd"))

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        for each in self.candidates():
            entry = START_NS + np.arange(145, dtype=np.int64) * 10 * DAY_NS
            r = np.resize([1.0, 0.5, -0.2], 145) * (1 if each.number < 2 else -1)
            yield each, CandidateTrades(entry_ns=entry, exit_ns=entry + 1, r_net=r, cost_r=np.full(145, 0.01))

    def tried(self) -> Iterator[Trial]:
        return iter(())

    def series(self) -> tuple[DataSet, ...]:
        return (DATA,) * 4


class Watch:
    def __init__(self) -> None:
        self.about: list[Prepared] = []

    def prepared(self, about: Prepared) -> None:
        self.about.append(about)

    def done(self, done: int, failed: int, total: int) -> None:
        """Nobody counts."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """No process is started, and the candidates are the four."""
    executor = Here()
    monkeypatch.setattr(validation, "source_for", lambda *given: Candidates())
    monkeypatch.setattr(validation, "judges_for", lambda *given: Judges(executor))
    return executor


def run(folder: Path, text: str, *, watch: Watch | None = None, **more: Any) -> ValidationReport:
    path = folder / "validate.yaml"
    path.write_text(CONFIG + text, encoding="utf-8")
    return run_validation(read_validation(path, []), watch or Watch(), **more)


def statuses(report: ValidationReport) -> list[Status]:
    return [each.status for each in report.verdicts]


def _silent(task: JudgeTask) -> JudgeAnswer:
    answer = judge_chunk(task)
    return JudgeAnswer(lines=answer.lines[:1], seconds=answer.seconds)


@pytest.mark.parametrize("text", ["", CUTOFF])
def test_a_survivor_that_nobody_has_judged_is_no_pass(tmp_path: Path, here: Here, text: str) -> None:
    """Its answer is missing, which is an error, and resumed it is asked for again."""
    silent = run(tmp_path, text, judge=_silent)
    resumed = run(tmp_path, text, resume=True)

    assert statuses(silent) == [Status.PASS, Status.ERROR, Status.REJECT, Status.REJECT]
    assert silent.exit_code == 1
    assert statuses(resumed) == [Status.PASS, Status.PASS, Status.REJECT, Status.REJECT]


def test_no_process_is_started_while_a_file_is_open_for_writing(tmp_path: Path, here: Here) -> None:
    """The file of trades is whole by then, and nobody has opened the database of verdicts."""
    seen: list[list[str]] = []
    here.on_begin = lambda: seen.append(sorted(each.name for each in (tmp_path / "runs").rglob("*.duckdb*")))

    run(tmp_path, CUTOFF)

    assert seen == [["trades.duckdb"]]


def test_records_that_are_damaged_matter_to_nobody_who_begins_anew(tmp_path: Path, here: Here) -> None:
    """Only `resume` needs them."""
    first = run(tmp_path, CUTOFF)
    assert first.folder is not None
    records = first.folder / "records.jsonl"
    whole = records.read_bytes()
    records.write_bytes(b"nonsense\n" + whole)

    again = run(tmp_path, CUTOFF)

    assert statuses(again) == statuses(first)
    assert records.read_bytes() == whole


def test_too_many_candidates_for_a_reality_check_are_refused_before_anything_is_judged(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after hours of work."""
    monkeypatch.setattr(survivors, "_MOST_COMPARED", 3)
    watch = Watch()

    with pytest.raises(ConfigError, match="expected at most 3 candidates"):
        run(tmp_path, CUTOFF + "multiple_testing: {reality_check: spa}\n", watch=watch)

    assert watch.about == []


def test_a_reality_check_without_a_cut_off_is_refused(tmp_path: Path, here: Here) -> None:
    """There would be no answer, and nobody would be told."""
    with pytest.raises(ConfigError, match="is of the weeks after the discovery_cutoff; declare one"):
        run(tmp_path, "multiple_testing: {reality_check: spa}\n")


@pytest.mark.parametrize("text", ["", CUTOFF])
def test_what_was_tried_and_not_kept_deflates_with_and_without_a_cut_off(tmp_path: Path, here: Here, text: str) -> None:
    """Without one there is no family, and whoever says twenty was believed to have said nothing."""
    path = tmp_path / "validate.yaml"
    path.write_text(CONFIG + text, encoding="utf-8")

    found = run_validation(read_validation(path, [], trials=20), Watch(), dry_run=True)

    assert {each["trials"] for each in found.sharpes.values()} == {24}


def test_trials_that_are_added_later_change_no_verdict_and_another_family_is_another_validation(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored family is used as long as it is there; without it a new one is fixed, under an id of its own."""
    ledger: list[Trial] = []
    monkeypatch.setattr(subject, "read_trials", lambda path: iter(ledger))
    first = run(tmp_path, CUTOFF)
    ledger.append(
        Trial(run_id="r", configuration_hash="later", series=DATA.series, start_ns=0, end_ns=1, sharpe=None, days=0,
              skew=None, kurtosis=None)
    )  # fmt: skip
    again, dry = run(tmp_path, CUTOFF), run(tmp_path, CUTOFF, dry_run=True)
    assert first.folder is not None
    shutil.rmtree(first.folder)
    other = run(tmp_path, CUTOFF)

    assert again.verdicts == dry.verdicts == first.verdicts
    assert [each.family.size for each in (first, again, dry, other) if each.family is not None] == [4, 4, 4, 5]
    assert again.validation_id == dry.validation_id == first.validation_id != other.validation_id
    adjusted = [(one.adjusted, two.adjusted) for one, two in zip(first.verdicts, other.verdicts, strict=True)]
    assert all(one is not None and two is not None and one < two for one, two in adjusted[:2])


def test_a_resampled_p_value_is_told_with_its_floor(tmp_path: Path, here: Here) -> None:
    """Where the claim is made, and beside each value."""
    testing = "multiple_testing: {p_value: bootstrap, resamples: 999}\n"

    found = run(tmp_path, CUTOFF + testing)

    assert found.folder is not None
    lines = [json.loads(each) for each in (found.folder / "records.jsonl").read_text().splitlines()]
    assert "999 resamples can show no less than 0.001" in found.method_note
    assert [each["judged"]["p"]["floor"] for each in lines[1:]] == [0.001, 0.001]
    assert [each.p_value for each in found.verdicts] == [0.001, 0.001, 1.0, 1.0]
