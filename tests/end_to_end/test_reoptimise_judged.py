"""What a validation makes of a candidate that chooses its parameters again for each window."""

import json
from pathlib import Path

import pytest

from src.core.errors import ConfigError
from src.core.timeframe import parse_instant
from src.research.validation import reoptimise
from src.research.validation.family import stored_family
from src.research.validation.ports import Status
from src.research.validation.report import Prepared, ValidationReport
from src.research.validation.setup import read_validation
from src.research.validation.validation import run_validation
from tests.end_to_end.reoptimising import CONFIG, Here, write_world

pytestmark = pytest.mark.slow


class Watch:
    def prepared(self, about: Prepared) -> None:
        """Nobody looks."""

    def done(self, done: int, failed: int, total: int) -> None:
        """Nobody counts."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """No process is started."""
    executor = Here()
    monkeypatch.setattr(reoptimise, "executor_for", lambda *given, **more: executor)
    return executor


def judged(folder: Path, more: str, *, resume: bool = False) -> ValidationReport:
    """Its verdicts do not lie where its runs do."""
    (folder / "validate.yaml").write_text(f"name: again\nruns: verdicts\n{CONFIG.lstrip()}{more}", encoding="utf-8")
    return run_validation(read_validation(folder / "validate.yaml", []), Watch(), workers=1, resume=resume)


def tried(folder: Path, name: str) -> None:
    """One more trial in the ledger, by somebody else on the same data."""
    line = {
        "run_id": name, "configuration_hash": name, "series": [["BTCUSDT", "test"]],
        "start_ns": parse_instant("2024-01-01"), "end_ns": parse_instant("2024-05-01"), "sharpe": None, "days": 0,
        "skew": None, "kurtosis": None,
    }  # fmt: skip
    with (folder / "runs" / "trials.jsonl").open("a", encoding="ascii") as ledger:
        ledger.write(json.dumps(line) + "\n")


def test_a_lost_run_is_an_error_and_no_verdict_and_resumed_it_is_one(tmp_path: Path, here: Here) -> None:
    """Also in the first window, where nothing is known yet; its family is that of the first start and its own runs, and
    no test begins before the cut-off."""
    folder, cut = tmp_path / "project", "discovery_cutoff: 2024-03-20\n"
    write_world(folder)
    (folder / "runs").mkdir()
    tried(folder, "early")
    here.losing = True
    lost = judged(folder, cut)
    here.losing = False
    tried(folder, "late")
    resumed = judged(folder, cut, resume=True)

    assert (lost.exit_code, lost.verdicts[0].status) == (1, Status.ERROR)
    assert lost.verdicts[0].reason.startswith("window 1, train of ")
    assert (resumed.exit_code, resumed.verdicts[0].status) == (0, Status.REJECT)
    assert resumed.reoptimised is not None
    assert resumed.folder is not None
    family, own = stored_family(resumed.folder / "family.json"), resumed.reoptimised.runs
    assert family is not None
    assert {"early", "late"} & set(family.members) == {"early"}
    assert family.size == own + 1 + 1  # and the candidate itself
    assert not (resumed.folder / "trials.json").exists()
    assert [each.as_dict()["test_from"] for each in resumed.reoptimised.windows] == [
        "2024-03-20 00:00:00Z", "2024-04-20 00:00:00Z"
    ]  # fmt: skip


def test_the_time_before_the_first_test_is_no_year_without_trades(tmp_path: Path, here: Here) -> None:
    """A stated period begins with the first train, in which nothing could be traded."""
    folder = tmp_path / "project"
    write_world(folder)

    found = judged(folder, "period: {start: 2024-01-01, end: 2024-05-01}\nphases: {sharpe: {minimum: 0}}\n")

    figures = {phase.phase: dict(phase.figures) for phase in found.verdicts[0].phases}
    assert figures["sharpe"]["days"] == 29 + 31 + 30


def test_p_values_that_are_too_coarse_are_refused_before_anything_is_run(tmp_path: Path, here: Here) -> None:
    """Each train is a trial, so that much is known of the family."""
    folder = tmp_path / "project"
    write_world(folder)

    with pytest.raises(ConfigError, match="multiple_testing.resamples: the least p-value"):
        judged(folder, "discovery_cutoff: 2024-03-20\nmultiple_testing: {p_value: bootstrap, resamples: 99}\n")

    assert not (folder / "runs" / "trials.jsonl").exists()


def test_another_threshold_is_another_validation_with_a_folder_of_its_own(tmp_path: Path, here: Here) -> None:
    """Over the same runs, which are not made again; each repeats without a byte changed."""
    folder = tmp_path / "project"
    write_world(folder)
    cut = "discovery_cutoff: 2024-03-20\n"
    first = judged(folder, cut)
    assert first.folder is not None
    before = {each.name: each.read_bytes() for each in first.folder.iterdir()}
    other = judged(folder, cut + "phases: {sample: {reject_below: 3}}\n")
    again = judged(folder, cut)

    assert other.folder != first.folder == again.folder
    assert {each.name: each.read_bytes() for each in first.folder.iterdir()} == before
