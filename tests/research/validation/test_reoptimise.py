"""What a re-optimising walk-forward will run is known, and refused where it is wrong, before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from src.backtesting.config import BacktestConfig
from src.core.config_file import parse_config, read_config
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, parse_instant
from src.research.validation.reoptimise_plan import Reoptimisation, prepare_reoptimise
from src.research.validation.section import ValidationSection
from tests.research.suite.manifests import BASE

ROOT = Path(__file__).resolve().parents[3]
BASE_OF_MONTHS = BASE.replace("2024-01-02T02:00:00Z", "2024-06-15")
CHOICES = "product: {params: {fast: [3, 4]}}"
CONFIG = """
reoptimise: {manifest: choices.yaml}
walkforward: {windows: rolling, train_months: 2, test_months: 1}
"""


def prepared(
    folder: Path, *, choices: str = CHOICES, base: str = BASE_OF_MONTHS, config: str = CONFIG
) -> Reoptimisation:
    """A walk-forward over a market in memory, which nothing is read of."""
    (folder / "base.yaml").write_text(base.lstrip(), encoding="utf-8")
    (folder / "choices.yaml").write_text(f"base: base.yaml\n{choices}\n", encoding="utf-8")
    section = parse_config(config, "validate.yaml", folder).validate(ValidationSection)
    return prepare_reoptimise(section, folder)


def refusal(folder: Path, **given: Any) -> str:
    """The sentence of the refusal."""
    with pytest.raises(ConfigError) as caught:
        prepared(folder, **given)
    return caught.value.message


def test_every_choice_is_planned_on_every_train_and_every_test(tmp_path: Path) -> None:
    """Two choices in four windows, of which the last is partial; what a choice sets stays, the window is another."""
    made = prepared(tmp_path)

    assert [each.partial for each in made.windows] == [False, False, False, True]
    assert len(made.manifest.specs) == len(made.plan.keys) == 16
    documents = [made.manifest.document(made.manifest.specs[i]) for i in (*made.train(1), made.test(1, 1))]
    configs = [each.validate(BacktestConfig) for each in documents]
    assert [each.strategies[0].params["fast"] for each in configs] == [3, 4, 4]
    spans = [(each.backtest.start_ns, each.backtest.end_ns) for each in configs]
    second = made.windows[1]
    assert spans == [(second.train_from_ns, second.train_to_ns)] * 2 + [(second.test_from_ns, second.test_to_ns)]
    assert len(made.train_keys()) == 8
    assert not (tmp_path / "runs").exists()


def test_no_train_and_test_of_a_window_overlap_and_tests_are_seamless(tmp_path: Path) -> None:
    """The first test begins after the first train, each next one where the last one ended, up to the period's end."""
    windows = prepared(tmp_path).windows

    assert all(each.train_to_ns == each.test_from_ns for each in windows)
    assert [each.test_from_ns for each in windows[1:]] == [each.test_to_ns for each in windows[:-1]]
    assert windows[0].train_from_ns == parse_instant("2024-01-02")
    assert windows[-1].test_to_ns == parse_instant("2024-06-15")


def test_no_test_begins_before_the_cut_off(tmp_path: Path) -> None:
    """What was known when the choices were made is train; a cut-off behind the period leaves nothing to test on."""
    cut = "discovery_cutoff: 2024-04-10\n"

    windows = prepared(tmp_path, config=CONFIG + cut).windows

    assert [each.test_from_ns for each in windows] == [
        parse_instant(each) for each in ("2024-04-10", "2024-05-10", "2024-06-10")
    ]  # fmt: skip
    assert windows[0].train_from_ns == parse_instant("2024-02-10")
    said = refusal(tmp_path, config=CONFIG + "discovery_cutoff: 2024-06-15\n")
    assert said.startswith("discovery_cutoff: expected an instant before 2024-06-15 00:00:00Z, the end of the period")


def test_an_embargo_lies_between_train_and_test(tmp_path: Path) -> None:
    """As long as it is stated; one as long as the train is refused."""
    windows = prepared(tmp_path, config=CONFIG.replace("rolling", "anchored, embargo: 3d")).windows

    assert all(each.test_from_ns - each.train_to_ns == 3 * DAY_NS for each in windows)
    assert {each.train_from_ns for each in windows} == {parse_instant("2024-01-02")}
    said = refusal(tmp_path, config=CONFIG.replace("rolling", "rolling, embargo: 70d"))
    assert said.startswith("walkforward.embargo: expected it to leave something of the train of 2 months, found 10w")


def test_a_test_that_begins_with_other_equity_is_one_more_run(tmp_path: Path) -> None:
    """With what was carried over as its balance; with the configured balance it is the one that was planned."""
    made = prepared(tmp_path)

    manifest, plan = made.carried(2, 1, 10_123.456789012345)
    _, same = made.carried(2, 1, made.balance)

    config = manifest.document(manifest.specs[-1]).validate(BacktestConfig)
    assert config.account.balance == 10_123.456789012345
    assert config.strategies[0].params["fast"] == 4
    assert plan.keys[:-1] == made.plan.keys
    assert plan.keys[-1] not in made.plan.keys
    assert [each.key for each in plan.tasks()] == [plan.keys[-1]]
    assert same.keys[-1] == made.plan.keys[made.test(2, 1)]


def test_a_train_that_is_also_a_test_is_one_run(tmp_path: Path) -> None:
    """Train and test of one length: what is chosen on in one window was the test of the window before."""
    made = prepared(tmp_path, config=CONFIG.replace("train_months: 2", "train_months: 1"))

    assert made.plan.keys[made.train(1)[1]] == made.plan.keys[made.test(0, 1)]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ("product: {windows: [{start: 2024-01-02, end: 2024-02-01}]}", "choices.yaml:2: backtest.start: the windows "
         "are those of walkforward"),
        ("product: {costs: [{spread_percent: 0, commission_percent: 0, slippage_percent: 0}]}", "backtest.costs: costs "
         "are given and not chosen"),
        ("product: {set: {account.balance: [1, 2]}}", "account.balance: one account goes through all windows"),
        ("runs: [{name: a, set: {backtest.end: 2024-02-01}}]", "choices.yaml:2: backtest.end: the windows are those"),
        ("runs: [{name: a, set: {account: {balance: 1}}}]", "account: one account goes through all windows"),
        ("runs: [{name: a, set: {backtest.at_end: keep}}]", "backtest.at_end: each window ends flat"),
        ("runs: [{name: a, set: {backtest.data.seed: 8}}]", "backtest.data.seed: data are given and not chosen"),
        ("product: {params: {fast: {from: 3, to: 9}}}\nsearch: {method: optuna, samples: 4}", "choices.yaml:3: a "
         "search in rounds has no list of runs"),
    ],
)  # fmt: skip
def test_a_manifest_that_sets_what_no_choice_may_set_is_refused(tmp_path: Path, choices: str, said: str) -> None:
    """Each with its place, and why."""
    found = refusal(tmp_path, choices=choices)

    assert found.startswith("reoptimise.manifest: ")
    assert said in found


def test_a_manifest_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    """And what its path is relative to."""
    said = refusal(tmp_path, config=CONFIG.replace("choices.yaml", "other.yaml"))

    assert said == (
        f"reoptimise.manifest: expected the manifest of a suite at {tmp_path / 'other.yaml'}, found no file; the path "
        "is relative to the configuration"
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG.replace("choices.yaml", "choices.yaml, objective: sharpp"), "reoptimise.objective: expected a figure "
         "of a run, found 'sharpp'; did you mean 'sharpe'?"),
        (CONFIG.replace("rolling", "trades"), "walkforward.windows: windows of so many trades"),
        (CONFIG.replace("train_months: 2", "train_months: 5"), "expected a period of 5 months of train and 1 month"),
        (CONFIG.replace("train_months: 2", "train_months: 9"), "expected a period of 9 months of train and 1 month"),
    ],
)  # fmt: skip
def test_a_wrong_figure_and_windows_that_do_not_fit_are_refused(tmp_path: Path, config: str, said: str) -> None:
    """With a sentence that says what would be right."""
    assert said in refusal(tmp_path, config=config)


def test_the_period_is_that_of_the_base_where_none_is_stated(tmp_path: Path) -> None:
    """And has to be stated where the base has an open end."""
    stored = BASE_OF_MONTHS.replace("source: synthetic, store: none, begins: 2024-01-01", "source: store")
    stated = f"{CONFIG}period: {{start: 2024-02-01, end: 2024-05-01}}\n"

    assert prepared(tmp_path).period.end_ns == parse_instant("2024-06-15")
    assert [each.test_from_ns for each in prepared(tmp_path, config=stated).windows] == [parse_instant("2024-04-01")]
    said = refusal(tmp_path, base=stored.replace("  end: 2024-06-15\n", ""))
    assert said.startswith("expected period: in the configuration, or backtest.start and backtest.end in base.yaml")


def test_windows_of_markets_that_begin_with_them_are_refused(tmp_path: Path) -> None:
    """Each window would be one of another market."""
    said = refusal(tmp_path, base=BASE_OF_MONTHS.replace(", begins: 2024-01-01", ""))

    assert "base.yaml:14: a generated market begins with its window" in said
    assert "write backtest.data.begins" in said


def test_the_delivered_configuration_has_few_choices_and_three_windows() -> None:
    """So that it is over in less than a minute."""
    folder = ROOT / "configs"
    section = read_config(folder / "reoptimise.yaml").validate(ValidationSection)

    made = prepare_reoptimise(section, folder)

    assert (len(made.windows), len(made.choices)) == (3, 4)
    assert not any(each.partial for each in made.windows)
