"""A search in rounds chooses what its seed and the answers to its runs say, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.preflight import PreflightReport
from src.core.errors import ConfigError
from src.research.suite.classes import DataClass
from src.research.suite.manifest import Manifest
from src.research.suite.ports import RunAnswer
from src.research.suite.proposals import Proposals
from src.research.suite.rounds import AllAtOnce, Rounds, rounds_of, seen_before
from tests.research.suite.manifests import manifest_of, refusal_of

ROOT = Path(__file__).resolve().parents[3]

SPACE = """
product:
  symbols: [[BTCUSDT], [ETHUSDT, BTCUSDT]]
  params: {fast: [3, 9, 5], slow: {from: 10, to: 60}, length: {from: 10, to: 20, step: 5}, stop_atr: {from: 1, to: 4}}
  set: {risk.size.risk_percent: {from: 0.01, to: 1.0, log: true}}
"""
SEARCH = SPACE + "search: {method: optuna, samples: 20, seed: 11, of: net, batch: 6}\n"
BY_HAND = "runs: [{name: plain}]\n"


def answer_of(key: str, outcome: str = "COMPLETED", **metrics: float) -> RunAnswer:
    """An answer as a run gives it."""
    return RunAnswer(key=key, outcome=outcome, metrics=metrics)


def made(rounds: Rounds, answer: Callable[[str], RunAnswer | None]) -> list[int]:
    """Go through all rounds; how many runs there were after each."""
    counts = []
    while rounds.next(answer):
        counts.append(len(rounds.plan.keys))
    return counts


def by_key(key: str) -> RunAnswer:
    """An answer whose figure is a function of the run."""
    return answer_of(key, net=int(key[:6], 16) / 1e3)


def means(manifest: Manifest, *, maximise: bool) -> Iterator[float]:
    """The mean of `slow` in each of five rounds, the figure being its distance from 20."""
    assert manifest.product is not None
    dimensions = manifest.product.dimensions
    at = [each.key for each in dimensions].index("slow")
    proposals = Proposals(dimensions, 7, maximise=maximise)
    for _ in range(5):
        values = [dimensions[at].choices.value(each[at]) for each in proposals.ask(10)]
        proposals.tell([abs(value - 20.0) for value in values])
        yield sum(values) / len(values)


# ------------------------------------------------------------------------------------------------- what may be chosen


def test_lists_are_categories_and_ranges_are_numbers_with_their_step_and_type(tmp_path: Path) -> None:
    """Everything that is chosen lies in what the manifest says, and everything that is listed comes up."""
    manifest = manifest_of(tmp_path, SEARCH.replace("samples: 20", "samples: 80").replace("batch: 6", "batch: 80"))
    rounds = rounds_of(manifest)
    rounds.next(by_key)

    labels = [dict(one.labels) for one in rounds.manifest.specs]
    risks = [each["risk_percent"] for each in labels]
    assert {each["symbols"] for each in labels} == {"BTCUSDT", "ETHUSDT+BTCUSDT"}
    assert {each["fast"] for each in labels} == {3, 9, 5}
    assert all(isinstance(each["slow"], int) and 10 <= each["slow"] <= 60 for each in labels)
    assert len({each["slow"] for each in labels}) > 20
    assert {each["length"] for each in labels if each["symbols"] != "BTCUSDT"} == {10, 15, 20}
    assert not any("length" in each for each in labels if each["symbols"] == "BTCUSDT")  # nobody there has it
    assert all(1.0 <= each["stop_atr"] <= 4.0 and 0.01 <= risk <= 1.0 for each, risk in zip(labels, risks, strict=True))
    assert all(risk == float(f"{risk:.10g}") for risk in risks)
    assert sum(risk < 0.1 for risk in risks) > len(risks) // 4  # each doubling is as likely as any other


def test_of_some_figures_the_least_is_looked_for(tmp_path: Path) -> None:
    """The same search in both directions ends on different sides."""
    manifest = manifest_of(tmp_path, SEARCH)

    *_, low = means(manifest, maximise=False)
    *_, high = means(manifest, maximise=True)

    assert low < 33.0 < 37.0 < high  # drawn evenly it is 35 in each


def test_rounds_are_chosen_after_all_earlier_ones_and_the_first_has_the_runs_by_hand(tmp_path: Path) -> None:
    """Positions go on; the last round is what is left."""
    rounds = rounds_of(manifest_of(tmp_path, SEARCH + BY_HAND))
    assert (rounds.runs, rounds.distinct, rounds.left, rounds.rounds) == (21, None, 20, 4)
    counts = made(rounds, by_key)

    assert counts == [7, 13, 19, 21]
    assert rounds.left == 0
    assert [each.name for each in rounds.manifest.specs[:3]] == ["plain", "run-0001", "run-0002"]
    assert [each.position for each in rounds.manifest.specs] == list(range(21))


def test_what_is_chosen_is_a_function_of_the_answers(tmp_path: Path) -> None:
    """Equal answers choose equal runs, others do not; the first round is the same in any case."""
    manifest = manifest_of(tmp_path, SEARCH)
    found = []
    for answer in (by_key, by_key, lambda key: answer_of(key, net=-float(by_key(key).metrics["net"]))):
        rounds = rounds_of(manifest)
        made(rounds, answer)
        found.append(rounds.plan.keys)

    assert found[0] == found[1] != found[2]
    assert found[0][:6] == found[2][:6]


@pytest.mark.slow
def test_no_order_of_hashes_enters(tmp_path: Path) -> None:
    """The same proposals in processes whose hashes differ."""
    manifest_of(tmp_path, SEARCH)
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from src.research.suite.manifest import read_manifest\n"
        "from src.research.suite.rounds import rounds_of\n"
        "from tests.research.suite.test_optuna import by_key, made\n"
        "rounds = rounds_of(read_manifest(Path(sys.argv[2]), []))\n"
        "made(rounds, by_key)\n"
        "print(rounds.identity(), rounds.plan.keys)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(ROOT), str(tmp_path / "suite.yaml")], check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed}, encoding="utf-8",
        ).stdout
        for seed in ("1", "4711")
    ]  # fmt: skip

    assert said[0] == said[1]
    assert len(said[0]) > 1_000


# ------------------------------------------------------------------------------------------------------ what is told


def test_a_run_without_the_figure_is_told_as_failed_and_the_search_goes_on(tmp_path: Path) -> None:
    """A failed run, one without the figure, and one whose figure is no number."""
    odd = iter([answer_of("", "FAILED", net=9.0), answer_of(""), answer_of("", net=float("nan"))])
    rounds = rounds_of(manifest_of(tmp_path, SEARCH))

    assert made(rounds, lambda key: next(odd, by_key(key))) == [6, 12, 18, 20]


def test_a_lost_run_ends_the_search(tmp_path: Path) -> None:
    """Without its answer nobody knows what would come next; a lost run by hand changes nothing."""
    rounds = rounds_of(manifest_of(tmp_path, SEARCH + BY_HAND))
    rounds.next(by_key)
    plain, *_, last = rounds.plan.keys

    assert made(rounds, lambda key: None if key == last else by_key(key)) == []
    assert rounds.left == 14
    rounds = rounds_of(manifest_of(tmp_path, SEARCH + BY_HAND))
    assert made(rounds, lambda key: None if key == plain else by_key(key)) == [7, 13, 19, 21]


def test_a_run_that_is_chosen_again_is_not_made_again(tmp_path: Path) -> None:
    """It is listed as often as it was chosen; of a later round it is no task."""
    text = "product: {params: {fast: [3, 4]}}\nsearch: {method: optuna, samples: 6, batch: 3}"
    manifest = manifest_of(tmp_path, text)
    rounds = rounds_of(manifest)
    tasks = []
    while rounds.next(lambda key: answer_of(key, sharpe=1.0)):
        tasks += [task.key for task in rounds.plan.tasks()]

    assert len(rounds.plan.keys) == 6
    assert sorted(tasks) == sorted(set(rounds.plan.keys))
    assert "6 samples are asked for and there are 2 combinations" in manifest.notices[0]


# ---------------------------------------------------------------------------------------------------------- the data


def test_the_data_are_judged_before_the_first_round_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is seen before holds the farthest look-backs of each set of symbols; rounds take its verdict and reach."""
    judged: list[str] = []
    judge = DataClass.judge

    def counted(self: DataClass, *given: Any, **more: Any) -> None:
        judged.append(self.signature)
        judge(self, *given, **more)

    monkeypatch.setattr(DataClass, "judge", counted)
    rounds = rounds_of(manifest_of(tmp_path, SEARCH))
    rounds.plan.judge()
    before = {each.signature: each.reach_ns for each in rounds.plan.classes}
    while rounds.next(by_key):
        rounds.plan.judge()
        assert {each.signature: each.reach_ns for each in rounds.plan.classes}.items() <= before.items()
        assert all(task.reach_ns is not None for task in rounds.plan.tasks())

    assert sorted(judged) == sorted(before)
    assert len(before) == 2


def test_what_looks_back_farther_than_anything_before_is_judged_by_itself(tmp_path: Path) -> None:
    """A class knows those that look back as far as itself, and no others."""
    classes: list[DataClass] = []
    for slow in (20, 10, 90):
        text = f"product: {{symbols: [[BTCUSDT]], params: {{slow: [{slow}]}}}}"
        classes += rounds_of(manifest_of(tmp_path, text)).plan.classes
    judged, shorter, longer = classes
    assert judged.knows(shorter) is False  # nobody has judged it
    judged.report = PreflightReport()

    assert judged.signature == shorter.signature == longer.signature
    assert judged.knows(shorter)
    assert not judged.knows(longer)


def test_a_manifest_without_a_search_is_one_round_of_all_its_runs(tmp_path: Path) -> None:
    """What is seen before is all of it."""
    manifest = manifest_of(tmp_path, "product: {params: {fast: [3, 4]}}")
    rounds = rounds_of(manifest)

    assert seen_before(manifest) is manifest
    assert isinstance(rounds, AllAtOnce)
    assert (rounds.runs, rounds.distinct, rounds.left, rounds.rounds) == (2, 2, 0, 1)
    assert made(rounds, by_key) == [2]


def test_another_search_is_another_suite(tmp_path: Path) -> None:
    """The identity of a search says its space, its seed, its figure and its rounds."""
    changed = ("seed: 12", "of: sharpe", "batch: 5", "samples: 21", "to: 61", "fast: [9, 3, 5]", "percent: {from: 0.02")
    texts = [SEARCH]
    for new in changed:
        word = new.split(":")[0]
        old = {"to": "to: 60", "fast": "fast: [3, 9, 5]", "percent": "percent: {from: 0.01"}.get(word)
        texts.append(SEARCH.replace(old or {"seed": "seed: 11", "of": "of: net", "batch": "batch: 6"}.get(
            word, "samples: 20"), new))  # fmt: skip
    told = [str(rounds_of(manifest_of(tmp_path, text)).identity()) for text in (*texts, SEARCH)]

    assert told[0] == told[-1]
    assert len(set(told)) == len(texts)


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("{method: optuna}", "method: optuna needs samples, the number of combinations to draw; write samples: 50"),
        ("{method: optuna, samples: 9, of: sharp}", "search.of: expected a figure of a run, found 'sharp'; did you "
         "mean 'sharpe'?"),
        ("{method: optuna, samples: 9, of: currency}", "expected a figure of a run, found 'currency'"),
        ("{method: optuna, samples: 9, of: deflated_sharpe}", "expected a figure of a run, found 'deflated_sharpe'"),
        ("{method: random, samples: 9, of: net}", "of is of method: optuna; write that, or leave of out"),
        ("{method: grid, batch: 9}", "batch is of method: optuna; write that, or leave batch out"),
        ("{method: grid, seed: 9}", "seed is of method: random; write that, or leave seed out"),
        ("{method: optuna, samples: 9, batch: 0}", "batch"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_made_is_refused_with_its_line(tmp_path: Path, search: str, expected: str) -> None:
    """Before anything is read."""
    refusal = refusal_of(tmp_path, SPACE + f"search: {search}")

    assert expected in refusal
    assert "suite.yaml:" in refusal


def test_a_value_that_no_run_may_have_is_refused_before_the_first_round(tmp_path: Path) -> None:
    """The ends of a range are looked at."""
    manifest = manifest_of(tmp_path, SEARCH.replace("{from: 0.01, to: 1.0, log: true}", "{from: 1, to: 900}"))

    with pytest.raises(ConfigError, match="one that may be chosen .*risk_percent"):
        rounds_of(manifest)


def test_without_the_library_a_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who searches needs it."""
    manifest = manifest_of(tmp_path, SEARCH)
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(ConfigError, match=r"needs the library optuna, .* extra `search`, or write method: random"):
        rounds_of(manifest)
    assert isinstance(rounds_of(manifest_of(tmp_path, BY_HAND)), AllAtOnce)
