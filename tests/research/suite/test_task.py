"""A worker's run: the same as the backtest by itself, over data that are kept; what is an answer and what an error."""

import dataclasses
import gc
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.run import execute, prepare
from src.core.bars import BarSeries
from src.core.config_file import read_config
from src.core.errors import ConfigError, DataError, PreflightError
from src.core.timeframe import HOUR_NS, MINUTE_NS, SECOND_NS, parse_instant
from src.data.mirror import export_mirror
from src.data.store import HistoricalDataStore
from src.data.tapes import QuoteTape, RateTape
from src.research.suite.manifest import read_manifest
from src.research.suite.plan import plan_of
from src.research.suite.ports import RunTask
from src.research.suite.task import forget_data, run_task
from tests.research.projects import write_project

BASE = """
name: small
account: {type: margin, currency: USD, balance: 10_000, leverage: 20}
instruments:
  BTCUSD: {kind: perpetual, tick: 0.1, volume_step: 0.001}
  EURGBP: {kind: fx, tick: 0.00001, volume_step: 1, leverage: 30, calendar: forex}
  GBPUSD: {kind: fx, tick: 0.00001, volume_step: 1, calendar: forex}
symbols: [BTCUSD]
strategies:
  - {use: sma_cross, name: quick, timeframe: 5m, params: {fast: 3, slow: 8, atr_length: 4}}
risk: {size: {risk_percent: 0.5}}
backtest:
  start: 2024-03-06 12:00
  end: 2024-03-06 20:00
  runtime: fibers
  data: {source: synthetic, seed: 3, begins: 2024-03-06, store: none}
  costs: {spread_percent: 0.01, commission_percent: 0.002, slippage_percent: 0}
"""

FILE = "backtest.data.store=market.duckdb"
STORED = "backtest.data={source: store, store: market.duckdb}"
BEGIN_NS = parse_instant("2024-03-06")
HASHED = ["equity.parquet", "fills.parquet", "journal.parquet", "manifest.json", "metrics.json", "orders.parquet",
          "trades.parquet"]  # fmt: skip

#: Three lookbacks, the longest neither first nor last, and two timeframes made of minutes.
LOOKBACKS = [
    (f"strategies.0.params.slow={slow}", f"strategies.0.timeframe={timeframe}")
    for slow, timeframe in ((8, "5m"), (20, "15m"), (5, "5m"), (8, "15m"))
]


@pytest.fixture(autouse=True)
def _no_data_of_another_test() -> Iterator[None]:
    forget_data()
    yield
    forget_data()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the base configuration."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_text(BASE.lstrip(), encoding="utf-8")
    return folder


def task_of(folder: Path, *overrides: str, signature: str = "one", reach_ns: int | None = None) -> RunTask:
    """The task of the project's configuration with other values."""
    values = read_config(folder / "config.yaml", list(overrides)).values
    return RunTask(
        key=" ".join(overrides), values=values, name="config.yaml", folder=str(folder), signature=signature,
        reach_ns=reach_ns,
    )  # fmt: skip


def in_memory(folder: Path) -> tuple[str, ...]:
    """The market that lies in no file."""
    return ()


def generated(folder: Path) -> tuple[str, ...]:
    """The synthetic market's file, which is there."""
    prepare(read_config(folder / "config.yaml", [FILE]), stored=False)
    return (FILE,)


def imported(folder: Path) -> tuple[str, ...]:
    """A store of imported bars."""
    generated(folder)
    return (STORED,)


def converted(folder: Path) -> tuple[str, ...]:
    """A pair whose profit another one converts."""
    return ("symbols=[EURGBP]",)


def funded(folder: Path) -> tuple[str, ...]:
    """A perpetual that pays stored rates."""
    generated(folder)
    stamps = BEGIN_NS + np.arange(-8, 48, 8, dtype=np.int64) * HOUR_NS
    with HistoricalDataStore(folder / "market.duckdb") as store:
        store.write_funding(RateTape(symbol="BTCUSD", ts_ns=stamps, rate=np.full(len(stamps), 1e-4)), source="test")
    return STORED, "instruments.BTCUSD.funding=stored"


def finer(folder: Path) -> tuple[str, ...]:
    """Bars of 20 seconds inside the minutes, and ask bars beside the bid bars."""
    with HistoricalDataStore(folder / "market.duckdb") as store:
        for every_ns, side, shift in ((MINUTE_NS, "bid", 0.0), (20 * SECOND_NS, "bid", 0.0), (MINUTE_NS, "ask", 2e-4)):
            count = 24 * HOUR_NS // every_ns
            price = 1.2 + shift + 0.01 * np.sin(np.arange(count) * (every_ns / MINUTE_NS) / 9)
            store.write_bars(
                BarSeries(
                    "EURGBP", every_ns, BEGIN_NS + np.arange(count, dtype=np.int64) * every_ns, price, price + 5e-4,
                    price - 5e-4, price, np.ones(count), price_side=side,
                ),
                source="test",
            )  # fmt: skip
    costs = "backtest.costs={spread: column, commission_percent: 0, slippage_percent: 0}"
    return STORED, "symbols=[EURGBP]", "instruments.EURGBP.currency=USD", costs


def taped(folder: Path) -> tuple[str, ...]:
    """Quotes alone, of which bars are made and in which prices come by themselves."""
    count = 1200
    stamps = BEGIN_NS + 6 * HOUR_NS + np.arange(count, dtype=np.int64) * 30 * SECOND_NS
    bid = np.round(100 + np.cumsum(np.sin(np.arange(count) / 9)) / 50, 2)
    sizes = np.ones(count)
    tape = QuoteTape(symbol="BTCUSD", ts_ns=stamps, bid=bid, ask=bid + 0.02, bid_size=sizes, ask_size=sizes)
    with HistoricalDataStore(folder / "market.duckdb") as store:
        store.write_quotes(tape, source="test")
    return STORED, "backtest.granularity=tick", "backtest.end=2024-03-06 15:00"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "reach"),
    [(in_memory, False), (generated, True), (imported, False), (imported, True), (converted, False), (funded, True),
     (finer, False), (taped, True)],
)  # fmt: skip
def test_a_run_of_a_suite_is_the_run_by_itself(
    project: Path, world: Callable[[Path], tuple[str, ...]], reach: bool
) -> None:
    """One shelf, lookbacks in any order: equal ids, digests, folders and bytes; the store is opened once."""
    said = world(project)
    beside = project.with_name("beside")
    shutil.copytree(project, beside)
    runs = [(*said, *more) for more in LOOKBACKS]
    expected = [execute(prepare(read_config(project / "config.yaml", list(each))), report=False) for each in runs]

    answers = [run_task(task_of(beside, *each, reach_ns=BEGIN_NS if reach else None)) for each in runs]

    assert any(one.result.trades for one in expected)
    for one, answer in zip(expected, answers, strict=True):
        assert (answer.outcome, answer.run_id, answer.folder) == ("COMPLETED", one.run_id, one.folder.name)
        assert answer.digest == one.result.digest
        assert answer.metrics["final_equity"] == one.result.account.equity
        assert answer.artifacts == dict(sorted(one.artifacts.items()))
        assert sorted(answer.artifacts) == HASHED
        for name in (*HASHED, "control.jsonl", "run.log"):
            made = beside / "runs" / answer.folder / name
            assert made.read_bytes() == (one.folder / name).read_bytes(), name
    loads = [answer.timing["loads"] for answer in answers]
    assert loads[0] == 1
    assert sum(loads) == 1 if reach else sum(loads) <= 2  # a longer lookback reads again where nobody knew of it


def test_the_hashes_are_those_of_the_files(project: Path) -> None:
    """Of a run that is stored now, and of one that was stored before; a suite's run has no report."""
    answers = [run_task(task_of(project)) for _ in range(2)]

    place = project / "runs" / answers[0].folder
    found = {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in HASHED}
    assert answers[0].artifacts == found
    assert answers[1].artifacts == found
    assert not (place / "report.html").exists()
    assert {key: answers[1].timing[key] for key in ("loads", "worker")} == {"loads": 0, "worker": os.getpid()}
    assert 0 < answers[1].timing["engine"] < answers[1].timing["task"]


@pytest.mark.parametrize("runtime", ["fibers", "threads"])
def test_nothing_of_a_run_is_left_in_memory(project: Path, runtime: str) -> None:
    """Its parts hang together in cycles, which a process of hundreds of runs cannot keep."""
    gc.collect()
    before = sum(type(each) is BacktestController for each in gc.get_objects())

    run_task(task_of(project, f"backtest.runtime={runtime}"))

    assert sum(type(each) is BacktestController for each in gc.get_objects()) == before


def test_another_signature_replaces_the_data(project: Path) -> None:
    """The store is opened again, and the result is the same."""
    said = generated(project)

    answers = [run_task(task_of(project, *said, signature=signature)) for signature in ("one", "two", "two", "one")]

    assert [answer.timing["loads"] for answer in answers] == [1, 1, 0, 1]
    assert len({answer.run_id for answer in answers}) == 1


def test_a_mirror_in_place_of_the_store_makes_the_same_run(project: Path) -> None:
    """Whoever reads the copy on another machine comes to the same id, digest and bytes."""
    said = imported(project)
    with HistoricalDataStore(project / "market.duckdb", read_only=True) as store:
        export_mirror(store, project / "mirror")
    expected = run_task(task_of(project, *said))
    shutil.move(project / "runs", project / "before")

    answer = run_task(dataclasses.replace(task_of(project, *said), mirror=str(project / "mirror")))

    assert answer.timing["loads"] == 1
    assert (answer.run_id, answer.digest) == (expected.run_id, expected.digest)
    assert answer.artifacts == expected.artifacts


def small(folder: Path, bot: str, *overrides: str) -> RunTask:
    """The task of a project of two symbols and that bot."""
    config = write_project(folder, bot)
    values = read_config(config, ["backtest.data.store=none", "backtest.runtime=fibers", *overrides]).values
    return RunTask(key=bot, values=values, name=config.name, folder=str(folder), signature="small")


def test_a_strategy_that_raises_is_an_answer(tmp_path: Path) -> None:
    """The run is stored as failed, with what ended it; a second one beside it."""
    first, second = (run_task(small(tmp_path, "Failing")) for _ in range(2))

    assert (first.outcome, first.error_type) == ("FAILED", "StrategyError")
    assert "ValueError: no volume today" in first.error
    assert first.folder == f"{first.run_id}.failed-1"
    assert second.folder == f"{first.run_id}.failed-2"
    assert (tmp_path / "runs" / first.folder / "manifest.json").is_file()
    assert first.digest == second.digest
    assert first.artifacts == second.artifacts


def test_what_the_bot_itself_finds_wrong_is_an_answer_of_which_nothing_is_stored(tmp_path: Path) -> None:
    """As by itself: no folder, and so no id that somebody would look for."""
    text = (write_project(tmp_path, "Failing").parent / "bots.py").read_text(encoding="utf-8")
    task = small(tmp_path, "Failing")
    wrong = text.replace('raise ValueError("no volume today")', "from src.core.features import sma\n\n        sma(0)")
    (tmp_path / "bots.py").write_text(wrong, encoding="utf-8")

    answer = run_task(task)

    assert (answer.outcome, answer.error_type) == ("FAILED", "ConfigError")
    assert (answer.run_id, answer.digest, answer.folder) == ("", "", "")
    assert [path for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")] == []


def test_a_file_that_has_changed_since_the_run_was_planned_is_refused(tmp_path: Path) -> None:
    """The run would be another one than the suite says; so it is with the program itself."""
    config = write_project(tmp_path, "Healthy")
    (tmp_path / "suite.yaml").write_text(
        "base: config.yaml\nproduct: {set: {backtest.data.store: [none], backtest.seed: [1, 2, 3]}}\n"
    )
    plan = plan_of(read_manifest(tmp_path / "suite.yaml", []))
    plan.judge()
    first, second, third = plan.tasks()
    bots = config.parent / "bots.py"
    assert run_task(first).outcome == "COMPLETED"
    bots.write_text(bots.read_text("utf-8").replace("return 1.0", "return 2.0", 1), encoding="utf-8")

    with pytest.raises(ConfigError, match=r"found that bots\.py:Healthy has changed since"):
        run_task(second)
    with pytest.raises(ConfigError, match="found that Lockstep's own source has changed since"):
        run_task(dataclasses.replace(third, code="another"))

    assert len([path for path in (tmp_path / "runs").iterdir() if (path / "manifest.json").is_file()]) == 1


def test_a_run_without_its_symbol_is_degraded(tmp_path: Path) -> None:
    """The strategy's error costs its symbol; the figures are those of the rest."""
    answer = run_task(small(tmp_path, "Failing", "on_error=stop_symbol"))

    assert answer.outcome == "DEGRADED"
    assert answer.folder == f"{answer.run_id}.degraded-1"
    assert answer.metrics["outcome"] == "DEGRADED"
    assert answer.error.startswith("stopped trading BTCUSDT: ")
    assert "no volume today" in answer.error


def test_too_little_memory_is_no_answer(tmp_path: Path) -> None:
    """Whether a symbol or the run ended of it: another attempt may have more."""
    text = (write_project(tmp_path, "Failing").parent / "bots.py").read_text(encoding="utf-8")
    starved = text.replace('ValueError("no volume today")', "MemoryError")

    for rule in ("stop_symbol", "stop_all"):
        task = small(tmp_path, "Failing", f"on_error={rule}")
        (tmp_path / "bots.py").write_text(starved, encoding="utf-8")
        with pytest.raises(MemoryError):
            run_task(task)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == []


def test_another_outcome_of_a_stored_run_is_an_answer(project: Path) -> None:
    """Equal inputs and another digest: the run is kept beside the stored one, and the answer says so."""
    stored = run_task(task_of(project))
    manifest = project / "runs" / stored.folder / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace(stored.digest, "0" * 64), encoding="utf-8")

    answer = run_task(task_of(project))

    assert (answer.outcome, answer.error_type) == ("FAILED", "DeterminismError")
    assert (answer.run_id, answer.digest) == (stored.run_id, stored.digest)
    assert answer.folder == f"{stored.run_id}.determinism-1"


def test_no_state_of_a_users_file_passes_to_the_next_run(tmp_path: Path) -> None:
    """A bot that counts in its module begins anew each time."""
    digests = {run_task(small(tmp_path, "Remembering")).digest for _ in range(3)}

    assert len(digests) == 1


def test_what_a_bot_prints_goes_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to whoever asked for the suite."""
    run_task(small(tmp_path, "Printing"))

    said = capfd.readouterr()
    assert said.out == ""
    assert "entering" in said.err


def test_a_store_that_is_absent_or_lacks_bars_is_no_answer(project: Path) -> None:
    """What the parent would have refused is an error of the machine by now."""
    with pytest.raises(DataError, match="there is no data file"):
        run_task(task_of(project, STORED))
    generated(project)
    with pytest.raises(PreflightError, match="no bars from 2025"):
        run_task(task_of(project, STORED, "backtest.start=2025-01-01", "backtest.end=2025-01-02"))


def test_a_folder_for_runs_that_cannot_be_written_is_no_answer(project: Path) -> None:
    """Another attempt may find it mended."""
    (project / "runs").write_text("a file", encoding="utf-8")

    with pytest.raises(ConfigError, match="expected a folder for runs"):
        run_task(task_of(project))


STUCK = """
import sys
from pathlib import Path
from src.research.suite.task import run_task
from tests.research.suite.test_task import small

task = small(Path(sys.argv[1]), "Stuck", "backtest.stall_timeout=1s", "backtest.runtime=threads")
print(run_task(task).error_type, flush=True)
run_task(task)
print("went on", flush=True)
"""


@pytest.mark.slow
def test_a_process_with_a_stuck_thread_ends_at_the_next_task(tmp_path: Path) -> None:
    """The run that did it is answered; the next one has to find another process."""
    done = subprocess.run([sys.executable, "-c", STUCK, str(tmp_path)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.split()) == (1, ["StalledThreadError"])
