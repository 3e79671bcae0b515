"""A manifest is read with its base, everything wrong in it is told in one go, and its runs are whole configurations."""

from pathlib import Path

import pytest

from src.backtesting.config import BacktestConfig
from src.core.config_file import read_config
from src.core.errors import ConfigError
from src.research.suite.manifest import read_manifest
from tests.research.suite.manifests import BASE, labels_of, manifest_of, refusal_of, write


def test_a_run_by_hand_is_the_base_and_what_it_sets(tmp_path: Path) -> None:
    """Its configuration is the one that the same overrides on the command line give."""
    manifest = manifest_of(tmp_path, "runs: [{name: quiet, set: {risk.size.risk_percent: 0.25, name: other}}]")

    document = manifest.document(manifest.specs[0])

    by_hand = read_config(tmp_path / "base.yaml", ["risk.size.risk_percent=0.25", "name=other"])
    assert document.validate(BacktestConfig) == by_hand.validate(BacktestConfig)
    assert document.overrides == ("risk.size.risk_percent=0.25", 'name="other"')
    assert (manifest.specs[0].name, manifest.title(manifest.specs[0])) == (
        "quiet", "quiet (risk_percent=0.25, name=other)",
    )  # fmt: skip


def test_runs_by_hand_come_before_the_product(tmp_path: Path) -> None:
    """Each run is named after its place unless the manifest names it."""
    manifest = manifest_of(tmp_path, "product: {params: {fast: [3, 4]}}\nruns: [{name: plain}]")

    names = [(one.position, one.name, one.labels) for one in manifest.specs]

    assert names == [(0, "plain", ()), (1, "run-0001", (("fast", 3),)), (2, "run-0002", (("fast", 4),))]


def test_the_base_is_never_changed_by_a_run(tmp_path: Path) -> None:
    """What one run sets is seen by no other one."""
    manifest = manifest_of(tmp_path, "product: {params: {fast: [3, 4], length: [6, 7]}}")
    before = read_config(tmp_path / "base.yaml").values

    found = [manifest.document(one).values["strategies"] for one in manifest.specs]

    assert manifest.base.values == before
    assert [(one[0]["params"]["fast"], one[1]["params"]["length"]) for one in found] == [(3, 6), (3, 7), (4, 6), (4, 7)]


def test_folders_follow_the_files_that_name_them(tmp_path: Path) -> None:
    """Results are relative to the manifest and beside the runs by default; runs are where the base says."""
    (tmp_path / "suites").mkdir()
    base = BASE.replace("backtest:\n", "backtest:\n  runs: ../out\n")
    path = write(tmp_path, "runs: [{name: one}]", base)
    named = tmp_path / "suites" / "named.yaml"
    named.write_text("base: ../base.yaml\nresults: all.duckdb\nruns: [{name: one}]\n")

    plain, other = read_manifest(path, []), read_manifest(named, ["workers=3", "deadline=90s", "memory=2GB"])

    assert plain.results == plain.runs_dir / "results.duckdb" == tmp_path.parent / "out" / "results.duckdb"
    assert (other.runs_dir, other.results) == (plain.runs_dir, tmp_path / "suites" / "all.duckdb")
    section = other.section
    assert (section.workers, section.deadline_ns, section.memory_bytes) == (3, 90 * 10**9, 2 * 10**9)


def test_manifest_overrides_are_part_of_it(tmp_path: Path) -> None:
    """Values on the command line stand in the place of those in the file."""
    path = write(tmp_path, "product: {params: {fast: [3, 4]}}")

    manifest = read_manifest(path, ["product.params.fast=[5]"])

    assert labels_of(manifest) == [(5,)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("produkt: {}\nruns: [{name: a}]", "suite.yaml:2: produkt: unknown key 'produkt'; did you mean 'product'?"),
        ("product: {}", "suite.yaml:2: product: expected at least one key with values, found none"),
        ("name: nothing", "expected product, runs or both, found neither"),
        ("product: {params: {fast: []}}", "suite.yaml:2: product.params.fast.values: tuple should have"),
        ("product:\n  params: {fst: [3]}",
         "suite.yaml:3: product.params.fst: no strategy has the parameter 'fst'; sma_cross has fast, slow, "),
        ("product: {params: {breakout.fast: [3]}}", "no strategy has the parameter 'breakout.fast'"),
        ("product:\n  params:\n    slow: [8]\n    fast: [300]",
         "suite.yaml:5: product.params.fast: expected at most 200, found 300"),
        ("product: {params: {fast: [x]}}", "product.params.fast: expected int, found 'x'"),
        ("product: {params: {fast: {from: 3, to: 9}}}", "a grid goes through each value, and {from, to} alone"),
        ("product: {params: {fast: {steps: 0}}}", "product.params.fast.steps: input should be greater than"),
        ("product: {symbols: [[SOLUSDT]]}",
         "suite.yaml:2: product.symbols.0: expected instruments of base.yaml, which are BTCUSDT, ETHUSDT; found"),
        ("product: {symbols: [BTCUSDT]}", "expected a list of symbols such as [BTCUSDT, ETHUSDT], found the word"),
        ("product: {strategies: [{use: sma_kross}]}", "product.strategies.0: expected a strategy among breakout"),
        ("product: {strategies: [{use: sma_cross, symbols: [BTCUSDT]}], symbols: [[ETHUSDT]]}",
         "no strategy is left with a symbol: sma_cross of suite.yaml:2 trade none of ETHUSDT"),
        ("product: {params: {fast: [3]}}\nsearch: {samples: 3}", "suite.yaml:3: search: samples is of method: random"),
        ("product: {params: {fast: [3]}}\nsearch: {method: random}", "method: random needs samples"),
        ("runs: [{name: a}, {name: a}]", "suite.yaml:2: runs.1.name: the name 'a' is taken"),
        ("runs: [{name: run-7}]", "run-0, run-1 and so on are the names of runs that have none"),
        ("runs: [{name: a, set: {backtest.runs: there}}]", "all runs of a suite have one runs folder"),
        ("product: {set: {symbols: [[BTCUSDT]]}}", "this key is said by product.symbols; write its values there"),
        ("product: {set: {backtest.costs: [{}]}, costs: [{}]}", "this key is said by product.costs"),
        ("product: {set: {risk.size.risk_percent: {steps: 3}}}", "a range of this key needs from and to"),
        ("product: {schedules: [free]}", "a run under schedule: free has no identity"),
        ("product: {windows: [{start: 2024-01-03, end: 2024-01-02}]}", "product.windows.0: end must lie after start"),
        ("product: {windows: [{start: 2024, end: 2024-01-02}]}", "expected a date such as 2024-01-31, found the"),
        ("product: {params: {fast: {from: 2, to: 200, step: 1}, slow: {from: 3, to: 500, step: 1}, length: [5, 6, 7, "
         "8, 9, 10, 11, 12, 13, 14, 15]}}",
         "suite.yaml:2: product: expected at most 1,000,000 combinations, found 1,090,122"),
        ("runs: [{name: a, set: {risk.size.risk_percent: 1, risk: {size: {risk_percent: 2}}}}]",
         "suite.yaml:2: runs.0.set.risk.size.risk_percent: the run would not have this value, because risk stands"),
        ("product:\n  params: {fast: [3, 4], sma_cross.fast: [5]}",
         "suite.yaml:3: product.params.fast: no run would have these values, because product.params.sma_cross.fast "
         "(suite.yaml:3) stands later and writes over them"),
        ("product:\n  params: {sma_cross.fast: [5], fast: [3, 4]}", "product.params.sma_cross.fast: no run would have"),
        ("product:\n  params: {fast: [3, 4]}\n  set: {strategies.0.params.fast: [5]}",
         "product.params.fast: no run would have these values, because product.set.strategies.0.params.fast"),
        ("product:\n  set: {backtest.costs.commission_percent: [0, 1]}\n  costs: [{spread_percent: 0}]",
         "suite.yaml:3: product.set.backtest.costs.commission_percent: no run would have these values, because "
         "product.costs (suite.yaml:4) stands later"),
        ("product: {set: {risk.size.risk_percent: [1, 2], risk: [{size: {risk_percent: 3}}]}}",
         "product.set.risk.size.risk_percent: no run would have these values"),
        ("product:\n  set:\n    strategies.9.params.fast: [3]", "suite.yaml:4: strategies.9.params.fast: expected an"),
        ("product:\n  costs: [{spread_percent: 0, slippage_percent: 0}]",
         "suite.yaml:3: backtest.costs has no commission: write commission_percent"),
        ("memory: 8\nruns: [{name: a}]", "suite.yaml:2: memory: expected an amount of memory such as 8GB"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_manifest_is_a_sentence_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """Nothing is run of a manifest with a mistake."""
    assert sentence in refusal_of(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "product:\n  costs: [{spread_percent: 0, commission_percent: 0, slippage_percent: 0}]\n"
        "  set: {backtest.costs.commission_percent: [0, 1]}",
        "product: {params: {atr_length: [3, 4], sma_cross.atr_length: [5]}}",
        "product: {set: {strategies.0.params.fast: [4]}, strategies: [{use: sma_cross, timeframe: 5m}]}",
        "product: {set: {risk.size.risk_percent: [1], risk.size.risk: [null]}}",
    ],
)
def test_a_later_key_may_change_a_part_of_what_an_earlier_one_says(tmp_path: Path, text: str) -> None:
    """Only values that no run would have are refused."""
    assert "no run would have" not in refusal_of(tmp_path, text)


def test_all_problems_of_a_product_are_told_at_once(tmp_path: Path) -> None:
    """One mistake hides no other."""
    with pytest.raises(ConfigError) as caught:
        manifest_of(tmp_path, "product: {params: {fst: [3], slow: [900]}, set: {backtest.runs: [x]}}")

    assert len(caught.value.problems) == 3


def test_a_base_that_is_not_there_or_free_is_refused(tmp_path: Path) -> None:
    """Every run starts from it, and has to have an identity."""
    free = BASE.replace("  start:", "  schedule: free\n  pace: 60x\n  start:")
    path = write(tmp_path, "runs: [{name: a}]")

    with pytest.raises(ConfigError, match=r"--set base: base: expected a configuration at .*nope.yaml, found no file"):
        read_manifest(path, ["base=nope.yaml"])
    assert "base.yaml:12 has schedule: free, under which a run has no identity" in refusal_of(
        tmp_path, "runs: [{name: a}]", free
    )


@pytest.mark.parametrize("key", ["candidates", "reoptimise"])
def test_the_configuration_of_a_validation_is_no_manifest(tmp_path: Path, key: str) -> None:
    """The sentence has the command that it is for."""
    path = tmp_path / "validate.yaml"
    path.write_text(f"{key}: {{}}\n", encoding="utf-8")

    with pytest.raises(
        ConfigError, match=r"of a validation, expected the manifest of a suite; `.* walkforward .*validate"
    ):
        read_manifest(path, [])


def test_the_configuration_of_one_run_is_no_manifest(tmp_path: Path) -> None:
    """Said in one sentence, and not in one for each of its keys."""
    (tmp_path / "mine.yaml").write_text(BASE, encoding="utf-8")

    with pytest.raises(ConfigError, match=r"^mine.yaml is the configuration of one run, .* base: mine.yaml"):
        read_manifest(tmp_path / "mine.yaml", [])


def test_the_shipped_manifest_is_read() -> None:
    """It has two dozen runs or some more, each with a configuration that is right."""
    manifest = read_manifest(Path("configs/suite.yaml"), [])

    assert 24 <= len(manifest.specs) <= 36
    assert all(manifest.document(one).validate(BacktestConfig) for one in manifest.specs)


def test_windows_that_are_markets_of_their_own_are_told(tmp_path: Path) -> None:
    """Prices of two generated windows have nothing to do with each other unless the market begins before both."""
    manifest = "product: {windows: [{start: 2024-01-02, end: 2024-01-03}, {start: 2024-01-03, end: 2024-01-04}]}"

    apart = manifest_of(tmp_path, manifest, BASE.replace(", begins: 2024-01-01", ""))

    assert "suite.yaml:2: product.windows: a generated market begins with its window" in apart.notices[0]
    assert manifest_of(tmp_path, manifest).notices == ()
