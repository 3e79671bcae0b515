"""A plan knows which runs are the same, which read the same data, what those are, and what is wrong with any of it."""

from pathlib import Path

import numpy as np
import pytest

from src.backtesting.run import prepare
from src.core.bars import BarSeries
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.store import HistoricalDataStore
from src.data.stores import reset_stores
from src.research.suite.plan import Plan, plan_of
from src.research.suite.task import run_task
from tests.research.suite.manifests import BASE, manifest_of, refusal_of

START_NS = parse_instant("2024-01-02")
STORED = BASE.replace("source: synthetic, store: none, begins: 2024-01-01", "source: store, store: bars.duckdb")


def planned(folder: Path, manifest: str, base: str = BASE) -> Plan:
    """The plan of a manifest of that text."""
    return plan_of(manifest_of(folder, manifest, base))


def write_bars(path: Path, days: int = 2, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> None:
    """A store of minutes that go up and down, from the day before the window on."""
    n = days * 1440
    stamps = START_NS - DAY_NS + np.arange(n, dtype=np.int64) * MINUTE_NS
    price = 100.0 + 5.0 * np.sin(np.arange(n) / 17.0)
    with HistoricalDataStore(path) as store:
        for symbol in symbols:
            bars = BarSeries(symbol, MINUTE_NS, stamps, price, price + 0.5, price - 0.5, price, np.ones(n))
            store.write_bars(bars, source="test", kind="crypto")


# ------------------------------------------------------------------------------------------------ which runs there are


def test_the_same_run_said_in_two_ways_has_one_key(tmp_path: Path) -> None:
    """Runtime, pace, spelling of the schedule and of numbers make no other run; a parameter or a seed does."""
    plan = planned(
        tmp_path,
        """
runs:
  - {name: plain}
  - {name: fibers, set: {backtest.runtime: fibers}}
  - {name: paced, set: {backtest.time_mode: FAST, backtest.pace: 60x}}
  - {name: spelled, set: {backtest.schedule: "1:fifo", account.balance: 10000.0, backtest.start: "2024-01-02T00:00Z"}}
  - {name: seeded, set: {backtest.schedule: seeded}}
  - {name: again, set: {backtest.schedule: "1:seeded:7"}}
  - {name: fast, set: {strategies.0.params.fast: 4}}
  - {name: other, set: {backtest.seed: 8}}
""",
    )

    tasks = list(plan.tasks())

    numbers = [plan.keys.index(key) for key in plan.keys]
    assert numbers == [0, 0, 0, 0, 4, 4, 6, 7]
    assert [task.key for task in tasks] == [plan.keys[i] for i in (0, 4, 6, 7)]
    assert all(len(key) == 64 for key in plan.keys)


def test_runs_of_one_key_have_one_id(tmp_path: Path) -> None:
    """The key is known before any data are, and says the same as the run's own identity."""
    manifest = manifest_of(
        tmp_path, "product: {set: {backtest.runtime: [threads, fibers], backtest.seed: [7, 8], backtest.schedule: "
        '[seeded, "1:seeded:7"], backtest.data.absent_share: [0.1, 0.2]}}',
    )  # fmt: skip
    keys = plan_of(manifest).keys

    ids = [prepare(manifest.document(one), stored=False, preflight=False).run_id for one in manifest.specs]

    assert [keys.index(key) for key in keys] == [ids.index(one) for one in ids]
    assert len(set(ids)) == 6


def test_another_text_of_a_strategy_is_another_run(tmp_path: Path) -> None:
    """The files of a user's strategies are part of the key."""
    text = "from src.core.strategy import BarStrategy\n\n\nclass Own(BarStrategy):\n    pass\n"
    manifest = "product: {strategies: [{use: 'own.py:Own'}]}"

    (tmp_path / "own.py").write_text(text)
    first = planned(tmp_path, manifest).keys
    (tmp_path / "own.py").write_text(text + "    # another one\n")
    second = planned(tmp_path, manifest).keys

    assert first != second


def test_stores_of_different_names_are_different_runs(tmp_path: Path) -> None:
    """Their bars are not known yet; two ways to write one path are one."""
    plan = planned(
        tmp_path, "product: {set: {backtest.data.store: [bars.duckdb, ./bars.duckdb, other.duckdb]}}", STORED
    )

    assert [plan.keys.index(key) for key in plan.keys] == [0, 0, 2]
    assert plan.stores == (tmp_path / "bars.duckdb", tmp_path / "other.duckdb")


def test_tasks_are_made_whole_and_as_often_as_wanted(tmp_path: Path) -> None:
    """Each has the whole configuration, at full speed whatever the base's pace."""
    paced = BASE.replace("  start:", "  time_mode: REALTIME\n  start:", 1)
    plan = planned(tmp_path, "product: {params: {fast: [3, 4]}}", paced)

    first, again = list(plan.tasks()), list(plan.tasks(mirror="/mirror"))

    assert [task.values["strategies"][0]["params"]["fast"] for task in first] == [3, 4]
    assert all(task.values["backtest"]["time_mode"] == "MAX_SPEED" for task in first)
    assert {(task.name, task.folder, task.mirror) for task in first} == {("base.yaml", str(tmp_path), "")}
    assert [(task.key, task.values, task.mirror) for task in again] == [
        (task.key, task.values, "/mirror") for task in first
    ]


def test_a_task_runs_as_the_plan_says(tmp_path: Path) -> None:
    """What the plan hands out is what a worker takes, and its folder lies in the base's runs folder."""
    plan = planned(tmp_path, "product: {params: {fast: [3, 4]}}")
    plan.ensure()
    plan.judge()

    answers = [run_task(task) for task in plan.tasks()]

    assert [answer.outcome for answer in answers] == ["COMPLETED", "COMPLETED"]
    assert all((plan.runs_dir / answer.folder / "manifest.json").is_file() for answer in answers)
    assert answers[0].run_id != answers[1].run_id


# ------------------------------------------------------------------------------------------------ what they read


def test_runs_that_differ_in_parameters_alone_read_the_same_data(tmp_path: Path) -> None:
    """Symbols, window, granularity of fills and what else decides which rows are read set them apart."""
    manifest = """
product:
  params: {fast: [3, 4], slow: [5, 40]}
  costs: [{spread_percent: 0, commission_percent: 0, slippage_percent: 0},
          {spread_percent: 1, commission_percent: 0, slippage_percent: 0}]
  schedules: [fifo, seeded]
runs:
  - {name: one, set: {symbols: [BTCUSDT], strategies: [{use: sma_cross, timeframe: 5m}]}}
  - {name: hour, set: {strategies.0.timeframe: 1h}}
  - {name: window, set: {backtest.end: 2024-01-03}}
  - {name: seed, set: {backtest.data.seed: 8}}
  - {name: coarse, set: {backtest.finer: false}}
  - {name: holes, set: {backtest.data.gaps: {"*": {longest: 3h}}}}
"""
    plan = planned(tmp_path, manifest)

    assert [each.runs for each in plan.classes] == [1, 1, 1, 1, 1, 1, 16]
    assert [task.signature for task in plan.tasks()] == [
        each.signature for each in plan.classes for _ in range(each.runs)
    ]


def test_a_run_that_is_accepted_or_not_by_its_gaps_alone_is_one_run(tmp_path: Path) -> None:
    """It is computed once, and the data are judged by each of the two allowances."""
    plan = planned(tmp_path, 'runs: [{name: a}, {name: b, set: {backtest.data.gaps: {"*": {longest: 3h}}}}]')

    plan.judge()

    assert plan.keys[0] == plan.keys[1]
    assert [(each.runs, each.report is None) for each in plan.classes] == [(1, False), (0, False)]


def test_the_widest_look_back_of_a_class_decides_what_is_judged(tmp_path: Path) -> None:
    """The reach is the first bar that any of its runs reads, also where strategies look back unequally."""
    manifest = "product: {params: {slow: [5, 60], length: [30, 6]}}"
    plan = planned(tmp_path, manifest)
    plan.judge()
    (together,) = plan.classes

    alone = []
    for slow, length in ((5, 30), (5, 6), (60, 30), (60, 6)):
        single = planned(tmp_path, f"product: {{params: {{slow: [{slow}], length: [{length}]}}}}")
        single.judge()
        alone.append(single.classes[0])

    assert together.reach_ns == min(each.reach_ns or 0 for each in alone) == alone[2].reach_ns
    assert together.bars == max(each.bars for each in alone)
    assert [task.reach_ns for task in plan.tasks()] == [together.reach_ns] * 4


def test_the_union_holds_all_symbols_timeframes_and_windows(tmp_path: Path) -> None:
    """It begins before the first window by the warm-up, a bar, and ten bars of the longest timeframe."""
    plan = planned(
        tmp_path,
        """
product:
  windows: [{start: 2024-01-02, end: 2024-01-02T02:00Z}, {start: 2024-01-02T01:00Z, end: 2024-01-02T05:00Z}]
runs:
  - {name: one, set: {symbols: [BTCUSDT], strategies: [{use: sma_cross, timeframe: 15m, params: {slow: 8, fast: 3}}]}}
""",
        STORED,
    )

    found = {each.symbol: each for each in plan.union}

    bitcoin, ether = found["BTCUSDT"], found["ETHUSDT"]
    assert (bitcoin.timeframes_ns, ether.timeframes_ns) == ((5 * MINUTE_NS, 15 * MINUTE_NS), (5 * MINUTE_NS,))
    assert (bitcoin.to_ns, ether.to_ns) == (START_NS + 5 * HOUR_NS, START_NS + 5 * HOUR_NS)
    assert (bitcoin.runs, ether.runs) == (3, 2)
    # An average true range of 14 bars reads one bar more.
    assert START_NS - bitcoin.from_ns == (15 + 1 + 10) * 15 * MINUTE_NS
    assert START_NS - ether.from_ns == (5 + 1 + 10) * 5 * MINUTE_NS


def test_a_long_warm_up_has_a_larger_buffer(tmp_path: Path) -> None:
    """Five in a hundred of it, once that is more than ten bars."""
    plan = planned(tmp_path, "product: {params: {slow: [399]}}", STORED)

    (first, _) = plan.union

    assert START_NS - first.from_ns == 420 * 5 * MINUTE_NS


def test_markets_that_would_share_a_file_get_one_each(tmp_path: Path) -> None:
    """A generated market ends with its window, so two windows are two markets; each run reads its own."""
    filed = BASE.replace("store: none", "store: market.duckdb")
    plan = planned(
        tmp_path,
        "product: {windows: [{start: 2024-01-02, end: 2024-01-03}, {start: 2024-01-02, end: 2024-01-02T02:00Z}]}",
        filed,
    )
    plan.ensure()
    plan.judge()

    names = [task.values["backtest"]["data"]["store"] for task in plan.tasks()]

    assert sorted(path.name for path in tmp_path.glob("*.duckdb")) == sorted(names)
    assert len(set(names)) == 2
    assert all(name.startswith("market-") for name in names)
    assert plan.stores == tuple(tmp_path / name for name in names)
    assert [run_task(task).outcome for task in plan.tasks()] == ["COMPLETED", "COMPLETED"]


def test_one_market_keeps_its_configured_file(tmp_path: Path) -> None:
    """Nothing is generated where it lies already."""
    plan = planned(tmp_path, "product: {params: {fast: [3, 4]}}", BASE.replace("store: none", "store: market.duckdb"))

    plan.ensure()
    written = (tmp_path / "market.duckdb").stat().st_mtime_ns
    plan.ensure()

    assert plan.stores == (tmp_path / "market.duckdb",)
    assert (tmp_path / "market.duckdb").stat().st_mtime_ns == written


def test_a_market_in_memory_opens_no_store(tmp_path: Path) -> None:
    """Nothing is written by preparing it, and a process that may only read can."""
    plan = planned(tmp_path, "product: {params: {fast: [3, 4]}}")

    reset_stores(force_read_only=True)
    try:
        plan.ensure()
        plan.judge()
    finally:
        reset_stores()

    assert plan.stores == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.yaml", "suite.yaml"]


# ------------------------------------------------------------------------------------------------ what is wrong


def test_a_mistake_of_many_runs_is_told_once_with_the_first_of_them(tmp_path: Path) -> None:
    """The sentence has the run, how many more there are, and the line that says it."""
    message = refusal_of(
        tmp_path, "product:\n  params: {fast: [3, 4]}\n  set:\n    risk.size.risk_percent: [0.5, 500]\n"
        "runs: [{name: odd, set: {risk.siz: 1}}]",
    )  # fmt: skip

    assert "suite.yaml has runs that cannot be made, for 2 reasons" in message
    assert "odd (siz=1): suite.yaml:6: risk.siz: unknown key 'siz'; did you mean 'size'?" in message
    assert (
        "run-0002 (fast=3, risk_percent=500) and 1 more run: suite.yaml:5: risk.size.risk_percent: input should be less"
        in message
    )


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ("runs: [{name: a, set: {strategies.0.params.fast: 300}}]",
         "a (fast=300): suite.yaml:2: strategies.0.params.fast: expected at most 200, found 300"),
        ("runs: [{name: a, set: {strategies.0.params.fst: 3}}]", "SmaCross has no parameter 'fst'; it has: fast, slow"),
        ("runs: [{name: a, set: {strategies.5.timeframe: 1h}}]", "strategies.5.timeframe: expected an index from 0 to"),
        ("runs: [{name: a, set: {name.x: 1}}]", "suite.yaml:2: name.x: name is a plain value and has no key 'x'"),
        ("runs: [{name: a, set: {backtest.costs: {spread_percent: 1, commission_percent: 1}}}]",
         "backtest.costs has no slippage"),
        ("runs: [{name: a, set: {backtest.schedule: free, backtest.pace: 60x}}]",
         "a run under schedule: free has no identity"),
        ("sync: true\nruns: [{name: a}]", "a names no source; expected backtest.data.sync"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be_is_refused_by_name(tmp_path: Path, manifest: str, sentence: str) -> None:
    """Before anything is read or run."""
    if manifest.startswith("sync"):
        with pytest.raises(ConfigError) as caught:
            planned(tmp_path, manifest).sync()
        assert f"suite.yaml:2: sync: {sentence}" in caught.value.message
    else:
        assert sentence in refusal_of(tmp_path, manifest)


def test_data_that_lack_what_runs_need_are_refused_by_class(tmp_path: Path) -> None:
    """The runs are named, the reports of the other classes are there all the same."""
    write_bars(tmp_path / "bars.duckdb", symbols=("BTCUSDT",))
    one = "{name: one, set: {symbols: [BTCUSDT], strategies: [{use: sma_cross, timeframe: 5m}]}}"
    plan = planned(tmp_path, f"product: {{params: {{length: [6, 7]}}}}\nruns: [{one}]", STORED)

    with pytest.raises(PreflightError) as caught:
        plan.judge()

    assert "run-0001 (length=6) and 1 more run: " in caught.value.message
    assert "ETHUSDT" in caught.value.message
    assert [each.report is not None and not each.report.errors for each in plan.classes] == [True, False]


# ------------------------------------------------------------------------------------------------ getting data


def test_a_sync_asks_for_the_union_once(tmp_path: Path) -> None:
    """Each symbol is asked for from the earliest warm-up to the last end, and not again the next time."""
    base = STORED.replace("store: bars.duckdb", 'store: bars.duckdb, sync: "synthetic:7"')
    manifest = (
        "sync: true\nproduct: {windows: [{start: 2024-01-02, end: 2024-01-02T02:00Z}, {start: 2024-01-02T03:00Z, "
    )
    plan = planned(tmp_path, manifest + "end: 2024-01-02T04:00Z}]}", base)

    first, again = plan.sync(), plan.sync()
    plan.judge()

    union = {each.symbol: (each.from_ns, each.to_ns) for each in plan.union}
    assert {each.symbol: (each.start_ns, each.end_ns) for each in first} == union
    assert all(each.written > 0 for each in first)
    assert all(each.written == 0 for each in again)


def test_nothing_is_asked_for_unless_that_is_wanted(tmp_path: Path) -> None:
    """A manifest without `sync: true` opens no source."""
    base = STORED.replace("store: bars.duckdb", 'store: bars.duckdb, sync: "synthetic:7"')

    assert planned(tmp_path, "runs: [{name: a}]", base).sync() == ()
    assert not (tmp_path / "bars.duckdb").exists()


def test_an_open_window_is_known_once_the_data_are(tmp_path: Path) -> None:
    """It ends with the stored bars."""
    write_bars(tmp_path / "bars.duckdb")
    plan = planned(tmp_path, "runs: [{name: a, set: {backtest.end: null}}]", STORED)
    before = plan.classes[0].window

    plan.judge()

    assert (before, plan.classes[0].window) == ("2024-01-02 to open", "2024-01-02 to 2024-01-03")
    assert {each.to_ns for each in plan.union} == {START_NS + DAY_NS}
