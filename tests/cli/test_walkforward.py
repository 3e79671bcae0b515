"""What the command `walkforward` tells of a validation, and what it keeps where it cannot go on."""

import dataclasses
import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.cli.app import main
from src.cli.walkforward_view import timing_text
from src.core.timeframe import parse_instant
from src.research.validation.family import family_of
from src.research.validation.ports import Candidate, PhaseResult, Status, Verdict
from src.research.validation.reoptimise_walk import WindowChoice
from src.research.validation.report import Prepared, Timing, ValidationReport
from src.research.validation.verdicts import funnel_of
from src.research.validation.windows import Window

CONFIG = "name: demo\ncandidates: {source: generated}\ndiscovery_cutoff: 2020-01-01\n"
TIMING = Timing(
    wall_seconds=12.34, cheap_seconds=1.0, walkforward_seconds=5.0, sum_seconds=9.5, speed_up=1.9, workers=2
)
WINDOW = {
    "number": 1, "train_from": "2016-01-01T00:00:00Z", "train_to": "2020-01-01T00:00:00Z",
    "test_from": "2020-01-01T00:00:00Z", "test_to": "2020-07-01T00:00:00Z", "train_trades": 200, "purged": 1,
    "embargoed": 2, "train_r": 60.0, "test_trades": 24, "test_r": 7.25, "label": "valid", "positive": True,
}  # fmt: skip
PARTIAL = {**WINDOW, "number": 2, "test_from": "2020-07-01T00:00:00Z", "test_trades": 3, "label": "partial"}
SPLIT = {"session": "LONDON", "zone": "Europe/London", "winter_trades": 30, "winter_r": 0.25, "summer_trades": 40,
         "summer_r": 0.5, "verdict": "STABLE"}  # fmt: skip


def result(phase: str, status: Status = Status.PASS, reason: str = "", **figures: Any) -> PhaseResult:
    """What a phase found out."""
    return PhaseResult(phase=phase, status=status, reason=reason, figures=tuple(figures.items()))


def passing(name: str) -> Verdict:
    """A candidate that passes everything."""
    phases = (
        result("sample", trades=1234), result("expectancy", mean_r=0.35),
        result("stability", test_mean_r=0.3125, efficiency=0.875), result("significance", p=0.000032),
    )  # fmt: skip
    return Verdict(candidate_id=name, status=Status.PASS, reason="", phases=phases, p_value=0.000032, adjusted=0.0125)


def failing(name: str, phase: str, reason: str, status: Status = Status.REJECT) -> Verdict:
    """A candidate that gets to this phase and no further."""
    before = [result(each) for each in ("sample", "expectancy", "stability")]
    names = [each.phase for each in before]
    phases = (*before[: names.index(phase)], result(phase, status, reason)) if phase in names else (
        *before, result(phase, status, reason)
    )  # fmt: skip
    return Verdict(
        candidate_id=name, status=status, reason=f"{phase}: {reason}", phases=phases, p_value=1.0, adjusted=1
    )


def report(*verdicts: Verdict, planted: tuple[str, ...] | None = None, **changed: Any) -> ValidationReport:
    """A validation that came to these verdicts."""
    candidates = tuple(
        Candidate(number=number, candidate_id=each.candidate_id,
                  planted=None if planted is None else each.candidate_id in planted)
        for number, each in enumerate(verdicts)
    )  # fmt: skip
    passed = [each.candidate_id for each in verdicts if each.status is Status.PASS]
    values: dict[str, Any] = {
        "name": "demo", "validation_id": "0123456789abcdef", "kind": "validation", "folder": Path("runs/demo-0123"),
        "database": Path("runs/validation.duckdb"), "synthetic": False, "source": "trades.csv", "verdicts": verdicts,
        "candidates": candidates, "windows": dict.fromkeys(passed, (WINDOW, PARTIAL)),
        "daylight": dict.fromkeys(passed, (SPLIT,)), "sharpes": {}, "method": "by", "level": 0.05,
        "p_value": "robust", "cutoff_ns": parse_instant("2020-01-01"), "funnel": funnel_of(verdicts),
        "family": family_of([each.candidate_id for each in verdicts], untold=1000 - len(verdicts)), "timing": TIMING,
    }  # fmt: skip
    return ValidationReport(**{**values, **changed})


class Told:
    """Runs the command over a report, and keeps what it said and what it asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "validate.yaml"
        self.path.write_text(CONFIG, encoding="utf-8")
        self.asked: dict[str, Any] = {}
        self.interrupted_after: int | None = None
        self.family_stored = True
        self.synthetic: bool | None = None
        self.errors = ""
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, found: ValidationReport, *words: str, width: int = 200, code: int = 0) -> str:
        def run(setup: Any, watch: Any, **asked: Any) -> ValidationReport:
            self.asked = asked
            total = len(found.verdicts)
            about = Prepared(
                name=found.name, folder=found.folder, candidates=total, trades=9000, source=found.source,
                synthetic=found.synthetic if self.synthetic is None else self.synthetic, survivors=total, known=0,
                dropped=0, workers=2, family_size=1000,
                family_stored=self.family_stored,
            )  # fmt: skip
            watch.prepared(about)
            for done in range(1, total + 1):
                watch.done(done, 0, total)
                if done == self.interrupted_after:
                    signal.raise_signal(signal.SIGINT)
            return found

        self._monkeypatch.setattr("src.cli.walkforward_command.run_validation", run)
        self._monkeypatch.setattr("src.cli.output._FILE_WIDTH", width)
        assert main(["walkforward", str(self.path), *words]) == code
        captured = self._capsys.readouterr()
        self.errors = captured.err
        return captured.out


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """The command, with a configuration of its own."""
    return Told(tmp_path, monkeypatch, capsys)


FEW = [failing(f"few-{place}", "sample", f"expected 30 trades, found {place}") for place in range(20)]
LOSING = failing("losing", "expectancy", "expected a mean net R above 0, found -0.1")
BLIND = failing("blind", "stability", "expected the costs of each trade", Status.SKIP)


def test_survivors_come_first_and_every_way_of_failing_is_shown_with_its_reason(told: Told) -> None:
    """Twenty of one kind do not hide the only one of another; where the rest is stands below."""
    text = told(report(passing("good"), *FEW, LOSING, BLIND), "--top", "4")
    funnel = [line.split() for line in text.splitlines() if line.startswith(("sample", "expectancy", "stability"))]

    assert text.index("good ") < text.index("REJECT at sample: 20 candidates")
    assert "few-1  expected 30 trades, found 1\n" in text
    assert "few-2 " not in text
    assert "losing  expected a mean net R above 0, found -0.1\n" in text
    assert "SKIP at stability: 1 candidate\n" in text
    assert f"and 18 more; --top shows more, --json and {Path('runs/validation.duckdb')} have them all" in text
    assert [list(map(int, line[1:])) for line in funnel] == [[23, 20, 0, 3], [3, 1, 0, 2], [2, 0, 1, 1]]


def test_no_more_survivors_than_asked_for_are_shown(told: Told) -> None:
    """How many more there are is said."""
    text = told(report(*(passing(f"good-{place}") for place in range(5))), "--top", "2")

    assert "good-1 " in text
    assert "good-2 " not in text
    assert "and 3 more survivors; --top shows more" in text


def test_with_a_cut_off_the_claim_names_share_method_family_and_hash(told: Told) -> None:
    """Beside each p-value stands the one after the correction, and the line it has to reach."""
    found = report(passing("good"), LOSING)
    assert found.family is not None

    text = " ".join(told(found).splitlines())

    claim = "At most 5 % of what passes, here 1 candidate, is expected to be false (Benjamini-Yekutieli, "
    assert f"{claim}{found.family.told}; " in text
    assert "1,000 trials" in text
    assert "trades entered from 2020-01-01 on)" in text
    assert "good 1,234 +0.35 +0.31 0.88 3.2e-05 0.013" in " ".join(text.split())
    assert "the line is 0.05" in text


def test_the_claim_is_of_what_passes_and_not_of_the_very_candidates_that_did(told: Told) -> None:
    """A share that holds on average promises nothing of these three."""
    text = " ".join(told(report(*(passing(f"good-{place}") for place in range(3)))).split())

    assert "At most 5 % of what passes, here 3 candidates, is expected to be false (" in text
    assert "of these" not in text


def test_the_way_to_the_p_values_is_named(told: Told) -> None:
    """Whoever reads one has to know whose it is; programs too."""
    found = report(passing("good"), p_value="skew_t")

    assert "; p: how likely such R by day after the cut-off is without an edge (skew_t); adj. p: " in " ".join(
        told(found).split()
    )
    assert json.loads(told(found, "--json"))["p_value"] == "skew_t"


def test_of_what_turns_out_to_be_generated_people_are_warned_even_if_quiet(told: Told) -> None:
    """Of parameters that are chosen again it is known at the end only; it is said once."""
    told.synthetic = False
    told(report(LOSING, synthetic=True), "--quiet")
    late = told.errors
    told.synthetic = True
    text = told(report(LOSING, synthetic=True), "--no-progress")

    assert late.count("SYNTHETIC trades, or a SYNTHETIC market: what passes here says nothing about a market") == 1
    assert told.errors.count("SYNTHETIC trades, or") == 1
    assert "SYNTHETIC: generated trades or a generated market; " in text


def test_survivors_come_by_p_value(told: Told) -> None:
    """The first ten of hundreds by name would be any ten."""
    names = [("c", 0.01), ("a", 0.02), ("b", 0.001)]
    found = report(*(dataclasses.replace(passing(name), p_value=p) for name, p in names))

    text = told(found, "--top", "2")

    shown = [line.split()[0] for line in text.splitlines() if " 1,234 " in line]
    assert shown == ["b", "c"]


def test_trades_outside_the_period_are_left_out_aloud(told: Told) -> None:
    """Whoever chooses the period chooses trades; the total before it says nothing of that."""
    part = report(passing("good"))  # 1,234 trades of 9,000

    text = told(part, "--json", "--quiet")

    assert "7,766 trades entered outside the period, and left out everywhere" in told.errors
    assert json.loads(text)["outside_period"] == 7766
    told(report(passing("good"), failing("broken", "load", "no file", Status.ERROR)), code=1)
    assert "outside the period" not in told.errors


def test_a_candidate_that_passes_has_no_phase_that_decided(told: Told) -> None:
    """As in the database of verdicts."""
    found = json.loads(told(report(passing("good"), LOSING), "--json"))["candidates"]

    assert [(each["status"], each["phase"]) for each in found] == [("PASS", None), ("REJECT", "expectancy")]


def test_a_dry_run_fixes_no_family_and_says_so(told: Told) -> None:
    """Nothing is written, so the next start may find another one."""
    told.family_stored = False

    told(report(LOSING), "--no-progress")
    fixed = told.errors
    told(report(LOSING, folder=None, database=None), "--dry-run", "--no-progress")

    assert "family of 1,000 trials, fixed now" in fixed
    assert "family of 1,000 trials, as it is now; a dry run fixes none" in told.errors


def test_of_a_run_of_a_suite_that_fails_it_is_said_what_it_is(told: Told) -> None:
    """Its id alone says nothing, and a run of trades without R looks as if it had none."""
    found = report(LOSING)
    labelled = (dataclasses.replace(found.candidates[0], labels=(("fast", 10), ("without_r", 12))),)

    text = told(dataclasses.replace(found, candidates=labelled))

    assert "losing  expected a mean net R above 0, found -0.1 (fast=10, without_r=12)" in text


def test_the_assumption_of_another_method_is_printed(told: Told) -> None:
    """It holds under conditions only."""
    text = told(report(passing("good"), method="bh", method_note="only if independent"))

    assert "(Benjamini-Hochberg, " in text
    assert "\nonly if independent.\n" in text


def test_without_a_cut_off_nothing_is_said_of_false_discoveries(told: Told) -> None:
    """It is called stability; there are no p-values either."""
    found = report(passing("good"), LOSING, kind="stability", cutoff_ns=None, family=None)

    text = told(found)

    assert "This is a test of stability: no discovery_cutoff is declared" in text
    assert "nothing is known of how many of those that pass are luck" in " ".join(text.split())
    assert not any(word in text for word in ("false", "Benjamini", "adj. p", "discoveries", "%"))
    assert json.loads(told(found, "--json"))["kind"] == "stability"


def test_without_a_survivor_nothing_is_claimed(told: Told) -> None:
    """Zero of zero is no quality."""
    text = told(report(LOSING))

    assert "no candidate passes" in text
    assert "None passes at 5 % (" in text
    assert "expected to be false" not in text


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_nothing_is_cut_off(told: Told, width: int) -> None:
    """Columns are left out and sentences go on below; only paths and commands are longer than a line."""
    sharpe = {"probabilistic": 0.987, "deflated": 0.913, "minimum_track_record": 123.0}
    name = "a-candidate-with-a-very-long-name-0001"
    found = report(passing(name), LOSING, *FEW[:3], sharpes={name: sharpe}, folder=None, database=None)

    wide, narrow = told(found), told(found, width=width)

    assert "0.987" in wide
    lines = [line for line in narrow.splitlines() if not line.startswith(("12.3 s", "and "))]
    assert max(map(len, lines)) <= width
    assert "…" not in narrow
    assert "3.2e-05" in narrow
    assert "0.013" in narrow
    joined = " ".join(narrow.split())
    assert "expected a mean net R above 0, found -0.1" in joined


def test_windows_that_are_not_counted_stand_in_brackets(told: Told) -> None:
    """Month, net R and trades of each test; winter and summer beside each other."""
    text = told(report(passing("good")))

    assert "good 2020-01 +7.2/24 (2020-07 +7.2/3 partial)" in " ".join(text.split())
    assert "good  LONDON STABLE: winter +0.25 (30), summer +0.50 (40)\n" in text


def test_of_generated_candidates_it_says_which_were_planted(told: Told) -> None:
    """Found, missed with the phase that they fell at, and wrongly passed; SYNTHETIC is not to be overlooked."""
    found = report(passing("edge"), passing("luck"), LOSING, planted=("edge", "losing"), synthetic=True)

    text = told(found)

    assert "Found 1 of 2 planted: edge\nMissed: losing (expectancy)\nPassed without being planted: luck\n" in text
    assert "SYNTHETIC" in text
    assert "SYNTHETIC" in told.errors
    told(found, "--quiet")
    assert "SYNTHETIC" in told.errors
    assert json.loads(told(found, "--json"))["planted"] == {
        "planted": 2, "found": ["edge"], "missed": ["losing"], "not_planted": ["luck"]
    }  # fmt: skip


def test_a_candidate_that_broke_is_told_with_the_command_that_tries_it_again(told: Told) -> None:
    """Exit code 1, and the others have their verdicts."""
    broken = Verdict(candidate_id="poison", status=Status.ERROR, reason="ValueError: no number", phases=())

    text = told(report(passing("good"), broken), "--trials", "7", "--no-regime-waivers", code=1)

    assert "error: poison: ValueError: no number" in told.errors
    assert "FAILED: 1 PASS, 1 ERROR" in text
    assert f"walkforward {told.path} --trials 7 --no-regime-waivers --resume\n" in text


def test_json_has_every_candidate_whatever_is_shown(told: Told) -> None:
    """With all phases, windows and figures; what is no number is null."""
    found = report(passing("good"), *FEW, sharpes={"good": {"probabilistic": float("nan")}})

    value = json.loads(told(found, "--json", "--top", "1"))

    assert [each["candidate_id"] for each in value["candidates"]] == ["good", *(each.candidate_id for each in FEW)]
    good, few = value["candidates"][:2]
    assert (good["status"], good["adjusted"], good["sharpe"]) == ("PASS", 0.0125, {"probabilistic": None})
    assert good["windows"] == [WINDOW, PARTIAL]
    assert (few["phase"], few["reason"]) == ("sample", "sample: expected 30 trades, found 0")
    assert value["statuses"] == {"PASS": 1, "REJECT": 20}
    assert value["family"]["size"] == 1000
    assert value["discovery_cutoff"].startswith("2020-01-01")
    assert value["funnel"][0] == {"phase": "sample", "in": 21, "rejected": 20, "skipped": 0, "left": 1}
    assert value["timing"]["speed_up"] == 1.9


def test_after_ctrl_c_the_command_that_goes_on_is_named(told: Told) -> None:
    """Everything that makes it this validation is part of it."""
    told.interrupted_after = 2

    text = told(report(*FEW), "--set", "name=other", "--workers", "3", "--json", code=130)

    value = json.loads(text)
    assert (value["outcome"], value["exit_code"], value["validation"]) == ("INTERRUPTED", 130, "other")
    again = f"walkforward {told.path} --set name=other --workers 3 --resume"
    assert f"interrupted after 2 of 20 candidates; what is done is kept, `lockstep {again}` goes on" in told.errors


def test_a_dry_run_that_is_interrupted_has_kept_nothing(told: Told) -> None:
    """There is nothing to resume."""
    told.interrupted_after = 1

    told(report(*FEW, folder=None, database=None), "--dry-run", code=130)

    assert "nothing was written, `" in told.errors
    assert "--dry-run` begins anew" in told.errors
    assert "--resume" not in told.errors


def test_options_reach_the_validation(told: Told) -> None:
    """Each as it was typed."""
    options = ("--workers", "2", "--resume", "--no-walkforward", "--no-regime-waivers", "--executor", "dask")
    text = told(report(LOSING, folder=None, database=None), *options, "--dry-run")

    assert told.asked == {
        "workers": 2, "resume": True, "dry_run": True, "walkforward": False, "waivers": False, "executor": "dask"
    }  # fmt: skip
    assert "dry run: nothing was written" in text


def test_a_wrong_configuration_ends_with_2_and_a_sentence_with_the_line(told: Told) -> None:
    """Nothing was begun."""
    told.path.write_text(CONFIG + "walkforward: {test_month: 6}\n", encoding="utf-8")

    told(report(LOSING), code=2)

    assert "validate.yaml:4" in told.errors
    assert "test_month" in told.errors
    assert told.asked == {}


def test_another_command_over_its_configuration_names_this_one(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """A validation is no run."""
    assert main(["--mode", "backtest", "--config", str(told.path)]) == 2
    assert f"walkforward {told.path}` judges its candidates" in capsys.readouterr().err


def test_the_line_on_the_clock_has_wall_clock_sum_and_speed_up() -> None:
    """Without a measure no speed-up is told."""
    unmeasured = Timing(
        wall_seconds=2.0, cheap_seconds=0.5, walkforward_seconds=1.0, sum_seconds=1.0, speed_up=None, workers=1
    )

    assert timing_text(TIMING) == (
        "12.3 s: cheap phases 1.0 s, walk-forward 5.0 s with 2 workers, single candidates 9.5 s, speed-up 1.90"
    )
    assert timing_text(unmeasured).endswith("with 1 worker, single candidates 1.0 s")


def test_figures_of_survivors_name_their_variant_and_overfitting_what_it_counts(told: Told) -> None:
    """Two published ratios of one name differ, so neither stands there alone."""
    sharpe = {"probabilistic": 0.987, "deflated": 0.913, "minimum_track_record": 123.4, "variant": "at_estimate",
              "trials": 1000}  # fmt: skip
    pbo = {"candidates": 40, "blocks": 12, "combinations": 924, "probability": 0.125, "loss": 0.25, "measure": "sharpe"}

    check = {"value": 0.001, "floor": 0.001, "variant": "spa", "candidates": 40, "periods": 208}

    text = " ".join(told(report(passing("good"), sharpes={"good": sharpe}, pbo=pbo, reality_check=check)).split())

    assert "0.013 0.987 0.913 123 " in text
    assert "PSR: probabilistic Sharpe ratio of R by day (at_estimate); DSR: deflated for 1,000 trials; " in text
    assert "Probability of backtest overfitting 0.125: " in text
    assert "the median of 40 candidates in the other, and 0.250 it loses there (CSCV, 12 blocks, 924 comb" in text
    assert "is no better than none has p 0.001, which is the least that so many resamples can show (Hansen's " in text


def test_chosen_parameters_are_told_window_by_window(told: Told) -> None:
    """With what the test came to, or why nothing was traded."""
    begin_ns, end_ns = parse_instant("2020-01-01"), parse_instant("2020-07-01")
    first, second = (
        Window(
            number=number, train_from_ns=0, train_to_ns=begin_ns, test_from_ns=begin_ns, test_to_ns=end_ns,
            partial=number == 2,
        )
        for number in (1, 2)
    )  # fmt: skip
    chosen = WindowChoice(
        window=first, tried=4, eligible=4, name="run-0001", labels=(("fast", 10),),
        test=(("trades", 31), ("total_r", 4.5)), equity_from=10000.0, equity_to=10450.0,
    )  # fmt: skip
    idle = WindowChoice(
        window=second, tried=4, eligible=0, reason="nothing is traded",
        equity_from=10450.0, equity_to=10450.0,
    )  # fmt: skip
    found = SimpleNamespace(
        windows=(chosen, idle), objective="sharpe", highest=True, efficiency=0.5, balance=10000.0,
        final_equity=10450.0, currency="USDT", error="", folder=Path("runs/re"), without_r=0, runs=5, known=0,
        failed=0,
    )  # fmt: skip

    text = told(report(passing("reoptimised"), reoptimised=found))
    value = json.loads(told(report(passing("reoptimised"), reoptimised=found), "--json"))

    assert "chosen on each train by the highest sharpe\n" in text
    assert "2020-01-01          fast=10: 31 trades, +4.50 R, equity 10,450.00\n" in text
    assert "2020-01-01 partial  nothing is traded\n" in text
    assert "stitched 10,000.00 to 10,450.00 USDT, efficiency 0.50\n" in text
    assert [each["chosen"] for each in value["reoptimised"]["windows"]] == ["run-0001", None]


def test_an_embargo_that_is_no_duration_is_one_problem(told: Told) -> None:
    """Not one for each of the ways in which it could have been right."""
    told(report(LOSING), "--set", "walkforward.embargo=2 years", code=2)

    assert "1 problem:" in told.errors
    assert "--set walkforward.embargo: expected longest or a duration such as 2d, found '2 years'" in told.errors
