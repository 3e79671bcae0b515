"""The cost of the data path beside the least that DuckDB must do for it: `python benchmarks/data.py --json`.

`load_over_fetchnumpy`: reading all bars of one of several stored symbols, fingerprint included, over a bare
`fetchnumpy` of the same rows. `import_over_insert`: a CSV through `data import` with all checks, into a new store that
is closed again, over a bare `INSERT ... SELECT` from the same file into a new database that is closed again.
`preflight_over_read`: the preflight of a run over all symbols of the store, which reads and judges what the run will
use, over opening the store and reading the same rows once. `parquet_over_duckdb`: one symbol from the Parquet mirror,
compared with its fingerprint, over the same from the store without one.

Both sides of a pair run one after the other in the same process, in alternating order; a field is the median over the
rounds of the ratios of such neighbours. `best_ratios` are best over best and `cpu_ratios` compare processor seconds:
on a machine with other work to do they tell more. `ms` holds the medians in milliseconds.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import duckdb
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.backtesting.config import BacktestConfig  # noqa: E402 - the path has to be set first
from src.backtesting.newcomers import data_needs  # noqa: E402 - as above
from src.backtesting.preflight import Examiner  # noqa: E402 - as above
from src.core.bars import BarSeries  # noqa: E402 - as above
from src.core.config_file import parse_config  # noqa: E402 - as above
from src.core.timeframe import MINUTE_NS, format_instant  # noqa: E402 - as above
from src.data.fingerprint import fingerprint_bars  # noqa: E402 - as above
from src.data.importing import ImportAnswers, inspect_file, run_import  # noqa: E402 - as above
from src.data.mirror import export_mirror, read_mirror  # noqa: E402 - as above
from src.data.store import HistoricalDataStore  # noqa: E402 - as above
from src.strategies.loader import load_strategy  # noqa: E402 - as above

SYMBOLS = ("S0", "S1", "S2")
FIRST_NS = 1_577_836_800_000_000_000  # 2020-01-01
#: The import is of so many times the bars of one stored symbol.
IMPORT_FACTOR = 10
WARMUP_BARS = 50
#: What takes milliseconds is done so many times in each round.
REPEATS = 5
#: Field: what is measured, ours and the bare one.
FIELDS = {
    "load_over_fetchnumpy": ("load", "fetchnumpy"),
    "import_over_insert": ("import", "insert"),
    "preflight_over_read": ("preflight", "read"),
    "parquet_over_duckdb": ("parquet", "duckdb"),
}
_COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")
_TABLE = """CREATE TABLE bars (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, price_side VARCHAR NOT NULL,
    open_ns BIGINT NOT NULL, open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL,
    volume DOUBLE NOT NULL)"""
_CONFIG = """
name: benchmark
account: {{type: margin, currency: USD, balance: 10_000}}
instruments: {{{instruments}}}
symbols: [{symbols}]
strategies: [{{use: sma_cross, timeframe: 1m, params: {{fast: 20, slow: {slow}}}}}]
risk: {{size: {{equity_percent: 10}}}}
backtest:
  start: {start}
  end: {end}
  data: {{source: store, store: market.duckdb}}
  costs: {{spread_percent: 0, commission_percent: 0, slippage_percent: 0, latency: 0s}}
"""


def make_series(symbol: str, count: int) -> BarSeries:
    """Seeded bars without a hole, on a tick of a cent."""
    random = np.random.default_rng([7, count, len(symbol), ord(symbol[-1])])
    close = np.round(100 + np.abs(np.cumsum(random.integers(-5, 6, count)) * 0.01), 2)
    opens = np.concatenate(([100.0], close[:-1]))
    high = np.round(np.maximum(opens, close) + random.integers(0, 5, count) * 0.01, 2)
    low = np.round(np.minimum(opens, close) - random.integers(0, 5, count) * 0.01, 2)
    stamps = FIRST_NS + np.arange(count, dtype=np.int64) * MINUTE_NS
    return BarSeries(symbol, MINUTE_NS, stamps, opens, high, low, close, random.integers(1, 999, count) / 8)


class Bench:
    """The files of one benchmark and one method for each thing that is measured."""

    def __init__(self, folder: Path, bars: int) -> None:
        self.folder = folder
        self.bars = bars
        self.store_path = folder / "market.duckdb"
        self.mirror = folder / "mirror"
        self.csv = folder / "import.csv"
        with HistoricalDataStore(self.store_path) as store:
            for symbol in SYMBOLS:
                store.write_bars(make_series(symbol, bars), source="benchmark")
        self._write_csv(bars * IMPORT_FACTOR)
        self.store = HistoricalDataStore(self.store_path, read_only=True)
        self.connection = duckdb.connect(str(self.store_path), read_only=True)
        export_mirror(self.store, self.mirror)
        names = ", ".join(f"{symbol}: {{currency: USD, calendar: 24/7}}" for symbol in SYMBOLS)
        start, end = FIRST_NS + 2 * WARMUP_BARS * MINUTE_NS, FIRST_NS + bars * MINUTE_NS
        text = _CONFIG.format(
            instruments=names, symbols=", ".join(SYMBOLS), slow=WARMUP_BARS, start=format_instant(start),
            end=format_instant(end),
        )  # fmt: skip
        self.document = parse_config(text, "benchmark.yaml", folder)
        self.config = self.document.validate(BacktestConfig)
        classes = {one.instance: load_strategy(one.use, folder).cls for one in self.config.strategies}
        self.needs = data_needs(self.config, classes)

    def close(self) -> None:
        """Let go of the store."""
        self.connection.close()
        self.store.close()

    def load(self) -> None:
        """One symbol with its fingerprint."""
        fingerprint_bars({"S1": self.store.read_bars("S1", MINUTE_NS)})

    def fetchnumpy(self) -> None:
        """The same rows, bare."""
        sql = f"SELECT {', '.join(_COLUMNS)} FROM bars WHERE symbol = 'S1' AND timeframe_ns = {MINUTE_NS}"
        found = self.connection.execute(f"{sql} AND price_side = 'trade'").fetchnumpy()
        _expect(len(found["open_ns"]), self.bars)

    def parquet(self) -> None:
        """One symbol from the mirror, whose fingerprint is verified."""
        _expect(read_mirror(self.mirror, "S1", MINUTE_NS).loaded, self.bars)

    def duckdb(self) -> None:
        """The same bars from the store."""
        _expect(self.store.read_bars("S1", MINUTE_NS).loaded, self.bars)

    def preflight(self) -> None:
        """Read and judge what a run over all symbols uses."""
        examined = Examiner(self.config, self.document, self.needs, judging=True).examine()
        _expect(len(examined.market.base), len(SYMBOLS))

    def read(self) -> None:
        """The same rows, once; all are held at the end, as a run holds them."""
        from_ns = FIRST_NS + WARMUP_BARS * MINUTE_NS
        with HistoricalDataStore(self.store_path, read_only=True) as store:
            kept = [store.read_bars(symbol, MINUTE_NS, from_ns) for symbol in SYMBOLS]
        for series in kept:
            _expect(series.loaded, self.bars)

    def import_(self) -> None:
        """A file into a new store, all checks included."""
        path = self._fresh("imported.duckdb")
        answers = ImportAnswers(symbol="S9", kind="crypto", timeframe="1m", stamp="open", price="trade")
        plan = inspect_file(self.csv, answers)
        with HistoricalDataStore(path) as store:
            _expect(run_import(plan, store).written, self.bars * IMPORT_FACTOR)

    def insert(self) -> None:
        """The same file into a new database, bare."""
        path = self._fresh("inserted.duckdb")
        types = {name: "BIGINT" if name == "open_ns" else "DOUBLE" for name in _COLUMNS}
        with duckdb.connect(str(path)) as connection:
            connection.execute(_TABLE)
            connection.execute(
                f"INSERT INTO bars SELECT 'S9', {MINUTE_NS}, 'trade', open_ns * 1000000, {', '.join(_COLUMNS[1:])} "
                f"FROM read_csv(?, auto_detect = false, header = false, skip = 1, delim = ',', columns = {types})",
                [str(self.csv)],
            )
            connection.execute("CHECKPOINT")

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        return path

    def _write_csv(self, count: int) -> None:
        series = make_series("S9", count)
        rows: Any = {name: getattr(series, name) for name in _COLUMNS[1:]}
        rows = {"timestamp": series.open_ns // 1_000_000, **rows}
        connection: Any = duckdb.connect()  # Any: its types do not admit the dictionary of arrays
        connection.register("rows", rows)
        connection.execute(f"COPY (SELECT * FROM rows) TO '{self.csv}' (HEADER)")
        connection.close()


def _expect(found: int, wanted: int) -> None:
    if found not in (wanted, wanted - WARMUP_BARS):
        raise SystemExit(f"expected {wanted} rows, found {found}: what was measured was not what is compared")


def measure(folder: Path, bars: int, rounds: int) -> dict[str, Any]:
    """All pairs, in turn.

    Returns:
        The four fields, `best_ratios` and `cpu_ratios` of each, and `ms` of each side.
    """
    bench = Bench(folder, bars)
    runs: dict[str, list[tuple[float, float]]] = {}
    try:
        for number in range(rounds):
            for pair in FIELDS.values():
                for turn in range(1 if "import" in pair else REPEATS):
                    for name in pair if (number + turn) % 2 == 0 else pair[::-1]:
                        one: Callable[[], None] = getattr(bench, "import_" if name == "import" else name)
                        runs.setdefault(name, []).append(_timed(one))
    finally:
        bench.close()
    wall = {name: [each[0] for each in found] for name, found in runs.items()}
    cpu = {name: [each[1] for each in found] for name, found in runs.items()}
    return {
        **{field: _median_ratio(wall[own], wall[bare]) for field, (own, bare) in FIELDS.items()},
        "best_ratios": {field: round(min(wall[own]) / min(wall[bare]), 3) for field, (own, bare) in FIELDS.items()},
        "cpu_ratios": {field: _median_ratio(cpu[own], cpu[bare]) for field, (own, bare) in FIELDS.items()},
        "ms": {name: round(statistics.median(found) * 1e3, 3) for name, found in wall.items()},
        "bars": bars,
        "imported_bars": bars * IMPORT_FACTOR,
        "rounds": rounds,
    }


def _timed(one: Callable[[], None]) -> tuple[float, float]:
    began, used = perf_counter(), process_time()
    one()
    return perf_counter() - began, process_time() - used


def _median_ratio(mine: Sequence[float], bare: Sequence[float]) -> float:
    return round(statistics.median([own / max(other, 1e-9) for own, other in zip(mine, bare, strict=True)]), 3)


def table(report: dict[str, Any]) -> str:
    """The report for a reader."""
    lines = [f"{'':<22}{'ratio':>8}{'best':>8}{'cpu':>8}{'ours ms':>11}{'bare ms':>11}"]
    for field, (own, bare) in FIELDS.items():
        ratios = "".join(f"{kind[field]:8.2f}" for kind in (report, report["best_ratios"], report["cpu_ratios"]))
        lines.append(f"{field:<22}{ratios}{report['ms'][own]:11.1f}{report['ms'][bare]:11.1f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The cost of the data path beside that of bare DuckDB.")
    parser.add_argument(
        "--bars", type=int, default=500_000, help="of each stored symbol; imported are 10 times as many"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of all pairs in turn (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.bars < 1_000:
        parser.error("expected at least one round and 1,000 bars")
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), given.bars, given.rounds)
    print(json.dumps(report) if given.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
