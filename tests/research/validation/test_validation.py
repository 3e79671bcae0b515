"""A validation as a whole, with real processes and a real database."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from src.core.errors import ConfigError, DataError
from src.research.validation import validation
from src.research.validation.crew import Judges
from src.research.validation.ports import Status
from src.research.validation.report import Prepared, ValidationReport
from src.research.validation.setup import read_validation
from src.research.validation.validation import run_validation
from tests.research.validation.judges import Here, dying_at

CONFIG = """\
name: tiny
runs: runs
discovery_cutoff: 2018-01-01
candidates: {source: generated, generated: {candidates: 120, planted: 8, years: 6, edge: 0.6, seed: 3}}
"""


class Watch:
    def __init__(self) -> None:
        self.about: list[Prepared] = []
        self.told: list[tuple[int, int, int]] = []

    def prepared(self, about: Prepared) -> None:
        self.about.append(about)

    def done(self, done: int, failed: int, total: int) -> None:
        self.told.append((done, failed, total))


class Stopped(BaseException):
    """Somebody ended the program."""


class StopAfter(Watch):
    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def done(self, done: int, failed: int, total: int) -> None:
        super().done(done, failed, total)
        self._left -= 1
        if self._left == 0:
            raise Stopped


def configured(folder: Path, text: str = CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "validate.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def run(path: Path, *overrides: str, watch: Watch | None = None, **more: Any) -> ValidationReport:
    setup = read_validation(path, list(overrides))
    return run_validation(setup, watch or Watch(), **{"workers": 1, **more})


def run_here(path: Path, *, watch: Watch | None = None, **more: Any) -> ValidationReport:
    """The same without processes, which take longer to begin than all of their work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "judges_for", lambda *given: Judges(Here()))
        return run(path, watch=watch, **more)


def told(report: ValidationReport) -> list[tuple[str, str, str, float | None, float | None]]:
    return [
        (each.candidate_id, each.status.value, each.reason, each.p_value, each.adjusted) for each in report.verdicts
    ]


def files(report: ValidationReport) -> dict[str, bytes]:
    assert report.folder is not None
    return {each.name: each.read_bytes() for each in sorted(report.folder.iterdir()) if each.name != ".lock"}


def stored(report: ValidationReport) -> Sequence[Any]:
    with duckdb.connect(str(report.database), read_only=True) as connection:
        tables = sorted(name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall())
        return [(name, connection.execute(f"FROM {name} ORDER BY ALL").fetchall()) for name in tables]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> ValidationReport:
    """The validation that most tests look at; nobody changes anything of it."""
    return run_here(configured(tmp_path_factory.mktemp("done")))


@pytest.mark.slow
def test_planted_candidates_pass_and_others_are_told_why_not(done: ValidationReport) -> None:
    """Every candidate has a verdict, and every one that does not pass a sentence."""
    counts = Counter(each.status for each in done.verdicts)

    assert done.exit_code == 0
    assert done.kind == "validation"
    assert done.synthetic
    assert sum(counts.values()) == 120
    assert counts[Status.PASS] > 0
    assert done.planted is not None
    assert 0 < done.planted[0] <= done.planted[1] == 8
    assert all(each.reason for each in done.verdicts if each.status is not Status.PASS)
    assert done.family is not None
    assert done.family.size == 120
    assert set(done.sharpes) == set(done.windows) == {
        each.candidate_id for each in done.verdicts if each.status is Status.PASS
    }  # fmt: skip
    assert [phase for phase, *_ in done.funnel] == [
        "sample", "expectancy", "years", "cost_stress", "stability", "significance",
    ]  # fmt: skip


@pytest.mark.slow
def test_two_workers_and_a_dry_run_come_to_the_same(done: ValidationReport, tmp_path: Path) -> None:
    """Identical bytes in the folder and identical rows; a dry run leaves nothing at all."""
    path = configured(tmp_path)
    dry = run(path, dry_run=True)
    left = sorted(each.name for each in tmp_path.iterdir())
    two = run(path, workers=2)

    assert left == ["validate.yaml"]
    assert told(dry) == told(two) == told(done)
    assert files(two) == files(done)
    assert stored(two) == stored(done)


@pytest.mark.slow
def test_a_second_run_changes_no_byte(done: ValidationReport, tmp_path: Path) -> None:
    """Neither in the folder nor in the database, which is not even opened for writing."""
    assert done.folder is not None
    assert done.database is not None
    runs = tmp_path / "runs"
    shutil.copytree(done.folder.parents[1], runs)
    path = configured(tmp_path)
    before = {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in [runs / "validation.duckdb"]}
    contents = files(done)
    again = run_here(path)

    assert again.family is not None
    assert again.family.stored
    assert files(again) == contents
    assert before == {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in before}


@pytest.mark.slow
def test_ended_in_the_middle_it_resumes_to_the_same(done: ValidationReport, tmp_path: Path) -> None:
    """What was judged is taken; nothing was written to the database before."""
    path, stopping = configured(tmp_path), StopAfter(1)
    with pytest.raises(Stopped):
        run_here(path, watch=stopping)
    assert not (tmp_path / "runs" / "validation.duckdb").exists()
    watch = Watch()
    resumed = run_here(path, watch=watch, resume=True)

    assert watch.about[0].known == stopping.told[0][0] > 0
    assert files(resumed) == files(done)
    assert stored(resumed) == stored(done)


@pytest.mark.slow
def test_a_poisoned_candidate_is_the_only_error(done: ValidationReport, tmp_path: Path) -> None:
    """It costs its neighbours nothing, stands in the family with 1, and is tried again by resume."""
    path = configured(tmp_path)
    victim = next(i for i, each in enumerate(done.verdicts) if each.status is Status.PASS)
    broken = run(path, judge=dying_at(victim))
    errors = [each for each in broken.verdicts if each.status is Status.ERROR]
    mended = run_here(path, resume=True)

    assert (broken.exit_code, broken.outcome) == (1, "FAILED")
    assert [(each.candidate_id, each.p_value) for each in errors] == [(done.verdicts[victim].candidate_id, 1.0)]
    assert "2 attempts" in errors[0].reason
    assert told(mended) == told(done)
    assert files(mended) == files(done)


@pytest.mark.slow
def test_without_a_cutoff_it_is_called_stability(tmp_path: Path) -> None:
    """No family, no p-value, no correction."""
    report = run(configured(tmp_path, CONFIG.replace("discovery_cutoff: 2018-01-01\n", "")), dry_run=True)

    assert (report.kind, report.family, report.method_note) == ("stability", None, "")
    assert {(each.p_value, each.adjusted) for each in report.verdicts} == {(None, None)}
    assert any(each.status is Status.PASS for each in report.verdicts)


@pytest.mark.slow
def test_without_the_walkforward_nobody_passes(tmp_path: Path) -> None:
    """What nobody has looked at is not good."""
    report = run(configured(tmp_path), dry_run=True, walkforward=False)

    assert {each.status for each in report.verdicts} == {Status.REJECT, Status.SKIP}
    assert any("--no-walkforward" in each.reason for each in report.verdicts)


@pytest.mark.slow
def test_a_cutoff_behind_the_period_is_refused(tmp_path: Path) -> None:
    """With the line of the file and the end."""
    path = configured(tmp_path, CONFIG.replace("2018-01-01", "2031-01-01"))

    with pytest.raises(ConfigError, match=r"validate.yaml:3: discovery_cutoff: expected an instant before 2022-01-01"):
        run(path)


@pytest.mark.slow
def test_resampled_p_values_that_are_too_coarse_are_refused(tmp_path: Path) -> None:
    """Before anything is judged: with 99 resamples nobody of 120 could pass."""
    testing = "multiple_testing: {p_value: bootstrap, resamples: 99}\n"

    with pytest.raises(ConfigError, match="resamples"):
        run(configured(tmp_path, CONFIG + testing), dry_run=True)


def test_a_validation_that_is_under_way_is_refused(tmp_path: Path) -> None:
    """Two would write the same records."""
    path = configured(tmp_path)

    class Second(Watch):
        def prepared(self, about: Prepared) -> None:
            run(path)

    with pytest.raises(DataError, match="under way in another program"):
        run(path, watch=Second())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: x\n", "expected candidates: or reoptimise:, found none"),
        ("candidates: {source: table}\n", "needs path"),
        ("candidates: {source: generated, path: x.csv}\n", "reads no file"),
        ("candidates: {source: results, trials: 3}\n", "trial ledger"),
        ("candidates: {source: generated}\ndiscovery_cutoff: 2018\n", "expected a date"),
        ("candidates: {source: generated}\nwalkforward: {embargo: soon}\n", "expected longest or a duration"),
        ("base: default.yaml\nproduct: {}\n", "is for `suite"),
        ("strategies: []\n", "is for `--mode backtest"),
        ("candidates: {source: generated}\nmultiple_testing: {p_value: magic}\n", "magic"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_told_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """And nothing is written."""
    path = configured(tmp_path, text)

    with pytest.raises(ConfigError, match=sentence):
        run(path)
    assert [each.name for each in tmp_path.iterdir()] == ["validate.yaml"]
