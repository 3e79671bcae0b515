"""What many runs side by side cost: `python benchmarks/suite.py [w3] [recorded] --json`, through `main.py suite`.

**w3**: 64 pairs of averages over 50,000 bars with `runtime: fibers`, in turn with backtesting.py's own optimiser on as
many processes. `w3_over_backtesting` is the median over the rounds of its seconds over ours. Its seconds are those of
`optimize`, starting of its (forked) processes included; ours are those of the parallel section, the loads of the store
and the writing of every run's folder included. Our (spawned) processes are started while the data are judged, and what
they still need after that counts. The final
equity of every pair has to be the same, and the sums the documented ones.

**recorded**: runs over the recorded bars of five symbols, once 100 and once 500 of them. `speed_up` is what the
parallel section gained over a sample of its runs made one at a time just before, `linear` that over the number of
workers, `loads_per_run` how often the store was read, `overhead_ms` what a run costs its worker beyond
the backtest itself (playing and storing it), `unsimulated_ms` all but the time from its first turn to its last, and
`parent_growth` the peak memory of the suite's process with the many runs over that with the few.

Everything is made in an ignored folder. Prints one JSON object; progress goes to the standard error. One measurement at
a time; real time, so let nothing else run.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import workloads  # noqa: E402 - the path has to be set first
from benchmarks.compare import (  # noqa: E402 - as above
    EQUITY_TOLERANCE,
    PAIRS,
    ComparisonFailed,
    interpreter,
    run_one,
    say,
)
from src.core.bars import BarSeries  # noqa: E402 - as above
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant, parse_instant  # noqa: E402 - as above
from src.data.store import HistoricalDataStore  # noqa: E402 - as above

Row = dict[str, Any]

STRATEGY = ROOT / "benchmarks" / "crossing.py"
PEER = ROOT / "benchmarks" / "peers" / "backtesting_suite.py"
SYMBOLS = ("BTCUSD", "ETHUSD", "XRPUSD", "LTCUSD", "EOSUSD")
FILE = "bitfinex_{symbol}_1m_2019-05_2019-07.parquet"
#: Two days after the first bar, so that averages are warm.
RECORDED_FROM = "2019-05-03"
FEW, MANY = 100, 500

W3 = """\
name: w3
account: {{currency: USD, balance: {cash}}}
instruments: {{S0: {{currency: USD}}}}
symbols: [S0]
strategies: [{{use: "crossing.py:Crossing", timeframe: 1m}}]
risk: {{size: {{volume: {units}}}}}
backtest:
  start: "{start}"
  end: "{end}"
  runtime: fibers
  limit_fill: touch
  at_end: keep
  data: {{source: store, store: market.duckdb}}
  runs: runs
  costs: {{spread_percent: 0, commission_percent: {percent}, slippage_percent: 0}}
"""

W3_SUITE = """\
name: w3
base: base.yaml
workers: {workers}
sample: 0
product: {{params: {{fast: {fast}, slow: {slow}}}}}
"""

RECORDED = """\
name: recorded
account: {{type: margin, currency: USD, balance: 10_000, leverage: 3}}
instruments:
  BTCUSD: {{kind: spot, tick: 0.1, volume_step: 0.0001, min_volume: 0.001}}
  ETHUSD: {{kind: spot, tick: 0.01, volume_step: 0.001, min_volume: 0.02}}
  XRPUSD: {{kind: spot, tick: 0.00001, volume_step: 0.1, min_volume: 10}}
  LTCUSD: {{kind: spot, tick: 0.01, volume_step: 0.001, min_volume: 0.08}}
  EOSUSD: {{kind: spot, tick: 0.0001, volume_step: 0.01, min_volume: 2}}
symbols: [BTCUSD, ETHUSD, XRPUSD, LTCUSD, EOSUSD]
strategies:
  - {{use: sma_cross, timeframe: 5m, params: {{fast: 10, slow: 30}}, symbols: [BTCUSD, XRPUSD, EOSUSD]}}
  - {{use: breakout, timeframe: 5m, symbols: [ETHUSD, LTCUSD]}}
risk: {{size: {{risk_percent: 0.5}}, max_open_positions: 3}}
manage: {{on: bar_close, break_even: {{at_r: 1}}, trailing: {{start_r: 1.5, distance_atr: 2}}}}
backtest:
  start: "{start}"
  end: "{end}"
  runtime: fibers
  data: {{source: store, store: market.duckdb}}
  runs: runs
  costs: {{spread_percent: 0.03, commission_percent: 0.02, slippage_percent: 0.02}}
"""

RECORDED_SUITE = """\
name: recorded-{runs}
base: base.yaml
workers: {workers}
sample: {sample}
product:
  params: {{sma_cross.fast: {fast}, sma_cross.slow: {slow}}}
  set: {{risk.size.risk_percent: {risks}}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report; the exit code: 0, or 1 where there is no valid figure."""
    options = parse_arguments(arguments)
    report: Row = {"workers": options.workers, "cores": len(os.sched_getaffinity(0))}
    try:
        if "w3" in options.parts:
            report["w3"] = measure_w3(options)
            report["w3_over_backtesting"] = report["w3"]["over_backtesting"]
        if "recorded" in options.parts:
            report["recorded"] = measure_recorded(options)
    except (ComparisonFailed, subprocess.CalledProcessError) as failure:
        say(str(failure))
        return 1
    print(json.dumps(report, indent=2))
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure many runs side by side.")
    parser.add_argument("parts", nargs="*", metavar="w3|recorded", help="what to measure; both by default")
    parser.add_argument("--workers", type=int, default=2, help="processes, ours and theirs (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of searches of W3 (default: 3)")
    parser.add_argument("--pairs", type=int, default=64, help="only so many pairs of averages, to try it out")
    parser.add_argument("--runs", type=int, nargs=2, default=[FEW, MANY], metavar=("FEW", "MANY"), help="recorded runs")
    parser.add_argument(
        "--bars", type=int, default=60_000, help="minutes of all symbols together, of which about 50,000 have a bar"
    )
    parser.add_argument("--sample", type=int, default=10, help="recorded runs made one at a time (default: 10)")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of recorded bars")
    parser.add_argument("--backtesting-python", metavar="PYTHON", help="as of compare.py")
    parser.add_argument("--json", action="store_true", help="the only format")
    options = parser.parse_args(arguments)
    options.parts = options.parts or ["w3", "recorded"]
    if set(options.parts) - {"w3", "recorded"}:
        parser.error(f"expected w3 or recorded, found {', '.join(options.parts)}")
    return options


def suite(folder: Path, manifest: str) -> Row:
    """Run a manifest of a folder anew and return what `--json` prints of it.

    Raises:
        ComparisonFailed: It did not complete.
    """
    shutil.rmtree(folder / "runs", ignore_errors=True)
    row = run_one([sys.executable, str(ROOT / "main.py"), "suite", str(folder / manifest), "--json"])
    if row["outcome"] != "COMPLETED":
        raise ComparisonFailed(f"Expected the suite {manifest} to complete, found {row['outcome']}: {row['failures']}")
    return row


# -- W3 --------------------------------------------------------------------------------------------


def measure_w3(options: argparse.Namespace) -> Row:
    """Ours and theirs in turn.

    Raises:
        ComparisonFailed: A program did not run, or the results differ.
    """
    fast, slow = shortened(options.pairs)
    folder = prepare_w3(options.workers, fast, slow)
    python = interpreter(PAIRS[0], options.backtesting_python)
    theirs = [python, str(PEER), "--processes", str(options.workers)]
    theirs += ["--fast", *map(str, fast), "--slow", *map(str, slow)]
    rounds: list[tuple[Row, Row]] = []
    for number in range(1, options.rounds + 1):
        mine = suite(folder, "suite.yaml")
        equities, entries = results_of(Path(mine["folder"]))
        other = run_one(theirs)
        check_w3(equities, entries, other["equities"])
        rounds.append((mine, other))
        say(
            f"w3 round {number}: {mine['parallel_seconds']:.2f} s, backtesting.py {other['seconds']:.2f} s, "
            f"ratio {ratio_of(mine, other):.3f}"
        )
    return {
        "over_backtesting": round(statistics.median(ratio_of(*each) for each in rounds), 3),
        "ratios": [round(ratio_of(*each), 3) for each in rounds],
        "seconds": [round(mine["parallel_seconds"], 3) for mine, _ in rounds],
        "backtesting_seconds": [other["seconds"] for _, other in rounds],
        "wall_seconds": [round(mine["wall_seconds"], 3) for mine, _ in rounds],
        "overhead_ms": [round(mine["overhead_mean_seconds"] * 1e3, 1) for mine, _ in rounds],
        "unsimulated_ms": [round(mine["unsimulated_mean_seconds"] * 1e3, 1) for mine, _ in rounds],
        "pairs": len(equities),
        "entries": entries,
        "final_equity": round(sum(equities.values()), 6),
        "backtesting_version": rounds[0][1]["version"],
    }


def shortened(pairs: int) -> tuple[list[int], list[int]]:
    """The averages of W3, or the first of them that make at most so many pairs."""
    fast, slow = list(workloads.W3_FAST), list(workloads.W3_SLOW)
    return (fast, slow) if pairs >= len(fast) * len(slow) else (fast[: max(1, pairs // 2)], slow[-2:])


def ratio_of(mine: Row, other: Row) -> float:
    """Their seconds over ours."""
    return float(other["seconds"]) / float(mine["parallel_seconds"])


def prepare_w3(workers: int, fast: Sequence[int], slow: Sequence[int]) -> Path:
    """The folder with W3's bars in a store, its configuration and its manifest."""
    folder = workloads.make_bench_folder() / "suite-w3"
    folder.mkdir(exist_ok=True)
    store = folder / "market.duckdb"
    if not store.is_file():
        one = next(iter(workloads.bars(1, workloads.W3_BARS)))
        columns = (one.open_ns, one.open, one.high, one.low, one.close, one.volume)
        partial = folder / "partial.duckdb"
        partial.unlink(missing_ok=True)
        with HistoricalDataStore(partial, private=True) as made:
            made.write_bars(BarSeries(one.symbol, MINUTE_NS, *columns, price_side="mid"), source="seeded")
        partial.rename(store)
    first_ns = workloads.FIRST_OPEN_NS
    base = W3.format(
        cash=workloads.START_CASH, units=workloads.SIZE_UNITS, percent=round(workloads.COST_PER_SIDE * 100, 6),
        start=format_instant(first_ns), end=format_instant(first_ns + workloads.W3_BARS * MINUTE_NS),
    )  # fmt: skip
    (folder / "base.yaml").write_text(base, encoding="utf-8")
    shutil.copy(STRATEGY, folder)
    manifest = W3_SUITE.format(workers=workers, fast=list(fast), slow=list(slow))
    (folder / "suite.yaml").write_text(manifest, encoding="utf-8")
    return folder


def results_of(suite_folder: Path) -> tuple[dict[str, float], int]:
    """The final equity of each pair, by `fast-slow`, and the positions that all of them opened."""
    index = json.loads((suite_folder / "index.json").read_text(encoding="utf-8"))
    equities: dict[str, float] = {}
    entries = 0
    for run in index["runs"]:
        place = suite_folder.parents[1] / run["folder"] / "metrics.json"
        metrics = json.loads(place.read_text(encoding="utf-8"))
        equities["{fast}-{slow}".format(**run["labels"])] = metrics["final_equity"]
        entries += metrics["trades"] + metrics["open_positions"]
    return dict(sorted(equities.items())), entries


def check_w3(ours: dict[str, float], entries: int, theirs: dict[str, float]) -> None:
    """See that both did the same work, pair by pair, and all pairs together the documented one.

    Raises:
        ComparisonFailed: They did not.
    """
    differing = [
        pair for pair in sorted(ours.keys() | theirs.keys())
        if pair not in ours or pair not in theirs or abs(ours[pair] - theirs[pair]) > EQUITY_TOLERANCE
    ]  # fmt: skip
    if differing:
        pair = differing[0]
        raise ComparisonFailed(
            f"Expected one final equity of each pair, found {len(differing)} that differ, the first one {pair}: "
            f"{ours.get(pair)} and {theirs.get(pair)} in backtesting.py: the programs did not do the same work."
        )
    total = sum(ours.values())
    whole = len(ours) == len(workloads.W3_FAST) * len(workloads.W3_SLOW)
    if whole and (entries != workloads.W3_ENTRIES or abs(total - workloads.W3_EQUITY) > len(ours) * EQUITY_TOLERANCE):
        raise ComparisonFailed(
            f"Expected {workloads.W3_ENTRIES:,} entries and {workloads.W3_EQUITY:,.6f} in all accounts of W3, found "
            f"{entries:,} and {total:,.6f}."
        )


# -- recorded bars ---------------------------------------------------------------------------------


def measure_recorded(options: argparse.Namespace) -> Row:
    """The figures of few and of many runs; a sentence where the bars are not there.

    Raises:
        ComparisonFailed: A suite did not complete.
    """
    files = {symbol: options.data / FILE.format(symbol=symbol) for symbol in SYMBOLS}
    absent = [path.name for path in files.values() if not path.is_file()]
    if absent:
        sentence = f"skipped: {options.data} has no {absent[0]}; name the folder of the recorded bars with --data"
        say(f"recorded: {sentence}")
        return {"skipped": sentence}
    folder = prepare_recorded(files, options.bars)
    rows = []
    for runs in options.runs:
        manifest = RECORDED_SUITE.format(
            runs=runs, workers=options.workers, sample=options.sample, **recorded_product(runs)
        )  # fmt: skip
        (folder / f"suite-{runs}.yaml").write_text(manifest, encoding="utf-8")
        row = recorded_row(suite(folder, f"suite-{runs}.yaml"), options.workers)
        say(f"recorded, {row['runs']} runs: speed-up {row['speed_up']}, overhead {row['overhead_ms']} ms")
        rows.append(row)
    growth = None if None in (rows[0]["peak_mb"], rows[-1]["peak_mb"]) else rows[-1]["peak_mb"] / rows[0]["peak_mb"]
    return {"few": rows[0], "many": rows[-1], "parent_growth": None if growth is None else round(growth, 3)}


def recorded_product(runs: int) -> dict[str, list[float]]:
    """The values of the manifest's keys, which make about so many runs: tens below a hundred, hundreds above."""
    return {
        "fast": list(range(4, 4 + min(10, max(1, runs // 10)))),
        "slow": list(range(20, 70, 5)),
        "risks": [round(0.25 + 0.05 * i, 2) for i in range(max(1, runs // 100))],
    }


def recorded_row(found: Row, workers: int) -> Row:
    """The figures of one suite."""
    speed_up, peak = found["speed_up"], found["peak_bytes"]
    index = json.loads((Path(found["folder"]) / "index.json").read_text(encoding="utf-8"))
    first = Path(found["folder"]).parents[1] / index["runs"][0]["folder"] / "manifest.json"
    return {
        "runs": found["runs"],
        "bars": json.loads(first.read_text(encoding="utf-8"))["bars"],
        "speed_up": None if speed_up is None else round(speed_up, 3),
        "linear": None if speed_up is None else round(speed_up / workers, 3),
        "parallel_seconds": round(found["parallel_seconds"], 3),
        "serial_mean_ms": None
        if found["serial_mean_seconds"] is None
        else round(found["serial_mean_seconds"] * 1e3, 1),
        "overhead_ms": round(found["overhead_mean_seconds"] * 1e3, 1),
        "storing_ms": round(found["storing_mean_seconds"] * 1e3, 1),
        "unsimulated_ms": round(found["unsimulated_mean_seconds"] * 1e3, 1),
        "loads_per_run": round(found["loads"] / found["runs"], 4),
        "peak_mb": None if peak is None else round(peak / 2**20, 1),
        "wall_seconds": round(found["wall_seconds"], 3),
    }


def prepare_recorded(files: dict[str, Path], bars: int) -> Path:
    """The folder with the recorded bars in a store, and the configuration over so many of them.

    Raises:
        ComparisonFailed: A file could not be imported.
    """
    folder = workloads.make_bench_folder() / "suite-recorded"
    folder.mkdir(exist_ok=True)
    store, partial = folder / "market.duckdb", folder / "partial.duckdb"
    if not store.is_file():
        partial.unlink(missing_ok=True)
        for symbol, file in files.items():
            say(f"importing {file.name}")
            command = [sys.executable, str(ROOT / "main.py"), "data", "import", str(file), "--symbol", symbol]
            command += ["--kind", "crypto", "--stamp", "open", "--price", "trade", "--store", str(partial), "--json"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ComparisonFailed(f"{file.name} could not be imported:\n{done.stderr.strip()[-2000:]}")
        partial.rename(store)
    start_ns = parse_instant(RECORDED_FROM)
    minutes = bars // len(files)
    end_ns = start_ns + minutes * MINUTE_NS
    if end_ns > start_ns + 88 * DAY_NS:
        raise ComparisonFailed(f"Expected at most {88 * 1440 * len(files):,} bars, found --bars {bars:,}.")
    base = RECORDED.format(start=format_instant(start_ns), end=format_instant(end_ns))
    (folder / "base.yaml").write_text(base, encoding="utf-8")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
