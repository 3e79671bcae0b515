"""The runs of a product: all combinations in order, or those that a seed draws."""

from pathlib import Path

import pytest

from tests.research.suite.manifests import labels_of, manifest_of

GRID = "product: {params: {slow: [8, 9], fast: {from: 3, to: 5, steps: 3}}, schedules: [fifo, seeded]}"


def test_the_first_key_varies_slowest(tmp_path: Path) -> None:
    """The order is that of the manifest, not of the sections' fields."""
    manifest = manifest_of(tmp_path, GRID)

    found = labels_of(manifest)

    assert found[:4] == [(8, 3, "fifo"), (8, 3, "seeded"), (8, 4, "fifo"), (8, 4, "seeded")]
    assert (len(found), found[-1]) == (12, (9, 5, "seeded"))
    assert manifest.specs[-1] == list(manifest.specs)[-1] == manifest.specs[11:][0]


def test_all_kinds_of_keys_come_together(tmp_path: Path) -> None:
    """Each run says what it sets, in keys that the command line takes as well."""
    manifest = manifest_of(
        tmp_path,
        """
product:
  set: {risk.size.risk_percent: [0.25], manage.trailing: [null]}
  windows: [{start: 2024-01-02, end: 2024-01-02T01:00:00Z}]
  costs: [{spread_percent: 0, commission_percent: 0, slippage_percent: 0}]
  schedules: [seeded]
  symbols: [[BTCUSDT]]
  strategies: [[{use: sma_cross, name: one}, {use: breakout, symbols: [ETHUSDT]}]]
  params: {one.fast: [7]}
""",
    )

    (spec,) = manifest.specs

    assert dict(spec.settings) == {
        "strategies": [{"use": "sma_cross", "name": "one"}],
        "symbols": ["BTCUSDT"],
        "strategies.0.params.fast": 7,
        "risk.size.risk_percent": 0.25,
        "manage.trailing": None,
        "backtest.start": "2024-01-02",
        "backtest.end": "2024-01-02 01:00:00Z",
        "backtest.costs": {"spread_percent": 0, "commission_percent": 0, "slippage_percent": 0},
        "backtest.schedule": "seeded",
    }
    assert dict(spec.labels) == {
        "risk_percent": 0.25, "trailing": "null", "window": "2024-01-02..2024-01-02 01:00:00Z", "schedule": "seeded",
        "costs": "spread_percent=0 commission_percent=0 slippage_percent=0", "symbols": "BTCUSDT", "fast": 7,
        "strategies": "one+breakout",
    }  # fmt: skip


def test_a_strategy_keeps_those_of_its_symbols_that_are_in_the_set(tmp_path: Path) -> None:
    """One that is left without any is left out, and one without symbols of its own trades the set."""
    manifest = manifest_of(
        tmp_path,
        """
product:
  strategies: [[{use: sma_cross, symbols: [BTCUSDT, ETHUSDT]}, {use: breakout, name: b, symbols: [BTCUSDT]}],
               {use: breakout}]
  symbols: [[ETHUSDT], [BTCUSDT, ETHUSDT]]
""",
    )

    found = [manifest.document(one).values["strategies"] for one in manifest.specs]

    assert found == [
        [{"use": "sma_cross", "symbols": ["ETHUSDT"]}],
        [
            {"use": "sma_cross", "symbols": ["BTCUSDT", "ETHUSDT"]},
            {"use": "breakout", "name": "b", "symbols": ["BTCUSDT"]},
        ],
        [{"use": "breakout"}],
        [{"use": "breakout"}],
    ]


def test_a_plain_parameter_is_of_every_strategy_that_has_it(tmp_path: Path) -> None:
    """One with the name of an instance before it is of that one alone; labels tell them apart."""
    manifest = manifest_of(tmp_path, "product: {params: {stop_atr: [1], sma_cross.atr_length: [4], fast: [3]}}")

    (spec,) = manifest.specs

    assert spec.settings == (
        ("strategies.0.params.stop_atr", 1.0),
        ("strategies.1.params.stop_atr", 1.0),
        ("strategies.0.params.atr_length", 4),
        ("strategies.0.params.fast", 3),
    )
    assert [key for key, _ in spec.labels] == ["stop_atr", "atr_length", "fast"]


def test_a_parameter_that_no_strategy_of_a_run_has_makes_no_more_runs(tmp_path: Path) -> None:
    """A product over two strategies may vary what only one of them has."""
    manifest = manifest_of(
        tmp_path, "product: {params: {fast: [3, 4, 5]}, strategies: [{use: sma_cross}, {use: breakout}], symbols: "
        "[[BTCUSDT]]}",
    )  # fmt: skip

    found = [(one.position, dict(one.labels)) for one in manifest.specs]

    assert [dict(each).get("fast") for _, each in found] == [3, None, 4, 5]
    assert [each["strategies"] for _, each in found] == ["sma_cross", "breakout", "sma_cross", "sma_cross"]
    assert [position for position, _ in found] == [0, 1, 2, 3]


RANDOM = """
product: {{params: {{fast: {{}}, stop_atr: {{from: 1, to: 4}}{more}}}}}
search: {{method: random, samples: {n}{seed}}}
"""


def drawn(folder: Path, n: int, more: str = "", seed: str = "", *keys: str) -> list[tuple[object, ...]]:
    """The labels of a random search over a whole and a broken number, and more keys."""
    return labels_of(manifest_of(folder, RANDOM.format(n=n, more=more, seed=seed)), *keys)


def test_random_samples_are_a_function_of_the_seed(tmp_path: Path) -> None:
    """The same seed draws the same, another one something else, and a longer search begins like a shorter one."""
    first, again, other = (drawn(tmp_path, 20, "", seed) for seed in ("", ", seed: 7", ", seed: 8"))

    assert first == again != other
    assert drawn(tmp_path, 30)[:20] == first
    assert len(set(first)) == 20


def test_a_further_key_moves_no_draw_of_another(tmp_path: Path) -> None:
    """Each key has a stream of its own."""
    plain = drawn(tmp_path, 20, "", "", "fast", "stop_atr")

    wider = drawn(tmp_path, 20, ", length: {from: 5, to: 90}", "", "fast", "stop_atr")

    assert wider == plain


@pytest.mark.parametrize(("samples", "runs"), [(5, 5), (6, 6), (50, 6)])
def test_each_combination_is_drawn_once(tmp_path: Path, samples: int, runs: int) -> None:
    """Where there are fewer than were asked for, all of them run and a sentence says so."""
    manifest = manifest_of(
        tmp_path,
        f"product: {{params: {{fast: [3, 4, 5], slow: [8, 9]}}}}\nsearch: {{method: random, samples: {samples}}}",
    )

    found = labels_of(manifest)

    assert len(found) == len(set(found)) == runs
    told = "suite.yaml:3: 50 samples were asked for and there are 6 combinations: all of them run"
    assert manifest.notices == ((told,) if samples == 50 else ())


def test_samples_count_what_says_something_alone(tmp_path: Path) -> None:
    """A parameter that a drawn strategy has not makes no second run of it."""
    manifest = manifest_of(
        tmp_path, "product: {strategies: [{use: sma_cross}, {use: breakout}], symbols: [[BTCUSDT]], params: {fast: "
        "{from: 3, to: 9}}}\nsearch: {method: random, samples: 20}",
    )  # fmt: skip

    found = labels_of(manifest)

    assert sorted(map(str, found)) == sorted({*map(str, found)})
    assert len(found) == 8
    assert "there are 8 combinations" in manifest.notices[0]
