"""What the report of a large run costs: `python benchmarks/report.py [--bars N] [--trades N] [--rounds N] --json`.

A seeded run of 500,000 bars with as many samples of equity and 20,000 trades, each with a stop that was moved and a
target, is stored; then its report is made, and opened in a headless browser.

`made_s`: reading the folder, computing, and writing the file, in this process; median over the rounds. `megabytes`: its
size. `opens_s`: from the browser's asking for the file to all that is seen first being drawn, with the tables, and the
candles of all bars; each round in a new browser; null where there is none. `zoom_s`: from a zoom into the middle, to a
twentieth of the bars, to its candles.

Bounds: 10 s, 15 MB, 3 s. The exit code is 1 where one is broken, unless another size was asked for. Prints one JSON
object. Real time, so let nothing else run.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.backtesting.artifacts import write_run  # noqa: E402 - the path has to be set first
from src.backtesting.report import build_run_report  # noqa: E402 - as above
from src.core.bars import BarSeries  # noqa: E402 - as above
from src.core.journal import JournalRecord  # noqa: E402 - as above
from src.core.records import Side  # noqa: E402 - as above
from src.core.timeframe import HOUR_NS, MINUTE_NS  # noqa: E402 - as above
from src.pages import write_page  # noqa: E402 - as above
from tests.backtesting.results.worlds import START_NS, World  # noqa: E402 - as above
from tests.browser.browser import FLAGS, found  # noqa: E402 - as above

BARS, TRADES, SEED = 500_000, 20_000, 7
MADE_BOUND_S, MEGABYTES_BOUND, OPENS_BOUND_S = 10.0, 15.0, 3.0


def market(count: int) -> BarSeries:
    """Minutes of a random walk in steps of a tenth of a pip, with a hole each week."""
    rng = np.random.default_rng(SEED)
    at = np.arange(count + count // 500 + 20) * MINUTE_NS
    at = at[at // MINUTE_NS % 10_080 >= 10][:count]
    close = np.rint(110_000 + rng.normal(scale=12, size=count).cumsum()) / 1e5
    opening = np.concatenate(([close[0]], close[:-1]))
    opening = np.rint(opening * 1e5 + rng.normal(scale=0.7, size=count)) / 1e5
    high = np.rint((np.maximum(opening, close) + rng.exponential(8e-5, count)) * 1e5) / 1e5
    low = np.rint((np.minimum(opening, close) - rng.exponential(8e-5, count)) * 1e5) / 1e5
    return BarSeries("EURUSD", MINUTE_NS, START_NS + at, opening, high, low, close, np.ones(count))


def stored_run(bars: BarSeries, trades: int, runs: Path) -> Path:
    """The folder of a run with so many trades, without a report."""
    rng = np.random.default_rng(SEED + 1)
    world = World(days=float((bars.open_ns[-1] - START_NS) / (24 * HOUR_NS)) + 0.1, balance=10_000.0)
    step = len(bars.open_ns) // trades
    lasts = rng.integers(2, max(3, step), trades)
    for number in range(trades):
        first = number * step
        last = min(first + int(lasts[number]), len(bars.open_ns) - 1)
        long = bool(rng.integers(2))
        side, back = (Side.BUY, Side.SELL) if long else (Side.SELL, Side.BUY)
        begin, end = ((int(bars.open_ns[i]) - START_NS) / HOUR_NS for i in (first, last))
        price, away = float(bars.open[first]), 0.002 if long else -0.002
        costs = {
            "commission": 0.035,
            "spread_cost": 0.04,
            "slippage_cost": 0.01,
            "book": ("trend", "range")[number % 2],
        }
        reason = ("cross up", "cross down", "range broken", "session opened")[number % 4]
        entry = world.fill(begin, side, 1_000.0, price, symbol="EURUSD", stop=price - away, reason=reason, **costs)
        for moved, hours in ((0.0, begin), (0.4, (begin + end) / 2)):
            values = (entry.position_id, round(price - away * (1 - moved), 5), round(price + 2 * away, 5), "manage")
            world.journal_entries.append(JournalRecord(world.at(hours), "EURUSD", "protect", "broker", values))
        kind = ("stop", "target", "trailing", "exit")[int(rng.integers(4))]
        world.fill(end, back, 1_000.0, float(bars.open[last]), symbol="EURUSD", kind=kind, **costs)
    equity = np.full(len(bars.open_ns), world.balance)
    nets = np.cumsum([trade.net for trade in world.trades])
    at = np.searchsorted([trade.exit_ns for trade in world.trades], bars.open_ns, side="right")
    equity[at > 0] += nets[at[at > 0] - 1]
    equity[:-1] += rng.normal(scale=0.5, size=len(equity) - 1)
    equity[-1] = world.balance + world.realised
    result = world.result(equity_ns=bars.open_ns, equity=equity, bars=len(bars.open_ns))
    return write_run(result, run_id="0123456789abcdef", manifest={"seed": SEED}, runs_dir=runs, report=False)


def made(folder: Path, bars: BarSeries, path: Path) -> float:
    """The seconds of one report."""
    begin = time.perf_counter()
    write_page(path, build_run_report(folder, prices={bars.symbol: bars}))
    return time.perf_counter() - begin


def opened(path: Path) -> tuple[float, float] | None:
    """Seconds until a new browser has opened the report, and of one zoom; None where there is no browser."""
    browser, driver = found()
    if browser is None or driver is None:
        return None
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        chrome: Any = webdriver.Chrome(options=options, service=Service(driver))
        try:
            chrome.set_script_timeout(120)
            chrome.get("about:blank")  # what starting the browser costs is not the page's
            chrome.get(path.resolve().as_uri())
            seconds = chrome.execute_async_script(
                "const done = arguments[0]; lockstep.opened.then(() => done(lockstep.openedAt / 1000), "
                "error => done(String(error)))"
            )
            chrome.execute_async_script("const done = arguments[0]; lockstep.ready.then(done)")
            zoomed = chrome.execute_async_script(
                "const done = arguments[0], s = lockstep.candles.state, size = s.to - s.from;"
                "const begin = performance.now();"
                "lockstep.candles.show(s.from + size * 0.475, s.from + size * 0.525)"
                ".then(() => done((performance.now() - begin) / 1000))"
            )
        finally:
            chrome.quit()
    return float(seconds), float(zoomed)


def measure(bars: int, trades: int, rounds: int) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as place:
        series = market(bars)
        folder = stored_run(series, trades, Path(place))
        path = folder / "report.html"
        seconds = [made(folder, series, path) for _ in range(rounds)]
        size = path.stat().st_size / 1e6
        seen = [one for one in (opened(path) for _ in range(rounds)) if one is not None]
    return {
        "bars": bars, "trades": trades, "rounds": rounds, "made_s": statistics.median(seconds), "megabytes": size,
        "opens_s": statistics.median(one[0] for one in seen) if seen else None,
        "zoom_s": statistics.median(one[1] for one in seen) if seen else None,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description="What the report of a large run costs.")
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--trades", type=int, default=TRADES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object; there is no other output")
    options = parser.parse_args(arguments)
    found_figures = measure(options.bars, options.trades, options.rounds)
    print(json.dumps(found_figures, indent=2))
    if (options.bars, options.trades) != (BARS, TRADES):
        return 0
    opens = found_figures["opens_s"]
    broken = found_figures["made_s"] > MADE_BOUND_S or found_figures["megabytes"] > MEGABYTES_BOUND
    return 1 if broken or (opens is not None and opens > OPENS_BOUND_S) else 0


if __name__ == "__main__":
    raise SystemExit(main())
