"""The report of a run: one HTML file that needs no network, made from the run's stored folder.

Called by one thread; reads the folder's files and nothing else. Without `timing` it shows no real time, so equal runs
have equal reports.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from src.backtesting.report import sections
from src.backtesting.report.figures import Excursions, costs_of, excursions, exposure
from src.backtesting.report.headline import banners, heading, headline_tiles
from src.backtesting.report.live_threads import RecordedThread, live_threads_section
from src.backtesting.report.prices import ShownPrices, pack_prices, shown_prices
from src.backtesting.report.stored import StoredRun, read_run
from src.backtesting.report.timing import timing_section
from src.core.bars import BarSeries
from src.core.words import counted
from src.pages import Column, Page, details, note, safe, section, tiles, write_page

__all__ = ["build_run_report", "write_report"]

#: Changes of stops and targets that are drawn; of a run with more, each trade shows its first alone.
MOST_PROTECTIONS = 150_000


def build_run_report(
    folder: Path,
    *,
    prices: Mapping[str, BarSeries] | Sequence[ShownPrices] = (),
    timing: bool = False,
    remark: str = "",
    threads: Mapping[str, RecordedThread] = MappingProxyType({}),
) -> Page:
    """The report of the run in `folder`.

    Args:
        prices: the run's base bars by symbol, or what an earlier report showed of them; symbols without have no chart.
        timing: whether real time is shown, which differs between equal runs.
        remark: a sentence about the prices, such as why there are none.
        threads: what the recording of a live run tells of its participants.

    Raises:
        DataError: a file of the folder is missing or not what it must be, or the run has no figures.
    """
    run = read_run(folder)
    shown = shown_prices(prices, run.start_ns, run.end_ns) if isinstance(prices, Mapping) else list(prices)
    found = excursions(run.trades, shown)
    page = Page(f"Lockstep run {run.manifest.get('run_id', '')}", heading=heading(run))
    page.add(banners(run))
    page.add(tiles(headline_tiles(run)))
    page.add(sections.equity_section(page, run))
    page.add(_price_section(page, run, shown, remark))
    page.add(sections.calendar_sections(run))
    page.add(sections.group_sections(page, run))
    page.add(sections.distribution_sections(page, run, found))
    page.add(sections.exposure_section(page, run, exposure(run)))
    page.add(sections.cost_sections(page, run))
    page.add(sections.ambiguity_section(page, run))
    page.add(_trades_section(page, run, found))
    page.add(sections.refusal_section(page, run))
    page.add(sections.fidelity_sections(run))
    if timing:
        page.add(timing_section(page, run) or live_threads_section(page, run, threads))
    text = json.dumps(run.manifest, indent=2, sort_keys=True, ensure_ascii=False)
    page.add(section("Manifest", details("Everything that decided this run", f"<pre>{safe(text)}</pre>"), "manifest"))
    return page


def write_report(path: Path, folder: Path, prices: Mapping[str, BarSeries] | None = None) -> None:
    """Write the report that belongs to a run into a file; see `build_run_report`.

    Raises:
        DataError: see `build_run_report`.
    """
    write_page(path, build_run_report(folder, prices=prices or {}))


def _price_section(page: Page, run: StoredRun, shown: Sequence[ShownPrices], remark: str) -> str:
    if not shown:
        words = remark or "This report was made without prices."
        return section("Prices, entries and exits", note(words), "prices-section")
    page.script("candles.js")
    pack_prices(page, shown)
    cut = _pack_protections(page, run, shown)
    options = "".join(f'<option value="{i}">{safe(one.symbol)}</option>' for i, one in enumerate(shown))
    spans = "".join(
        f'<button type="button" data-days="{days}">{name}</button>'
        for name, days in (("All", 0), ("1Y", 365), ("3M", 91), ("1M", 30), ("1W", 7), ("1D", 1), ("4H", 0.1666667))
    )
    tools = (
        f'<div class="tools" id="candle-tools"><select id="symbol" aria-label="Symbol">{options}</select>{spans}'
        '<span class="grow"></span><button type="button" id="trade-back">&#8592; Trade</button>'
        '<button type="button" id="trade-on">Trade &#8594;</button></div>'
    )
    told = [
        "Drag to zoom, or turn the wheel with Ctrl held; double-click to see all. Triangles are entries, circles exits "
        "won, crosses exits lost; red lines are stops, green ones targets, as they were moved."
    ]
    coarse = sorted({one.merged for one in shown if one.merged > 1})
    if coarse:
        told.append(f"To keep this file small, up to {counted(coarse[-1], 'bar')} of the run are one bar here.")
    if not all(one.exact for one in shown):
        told.append("Prices are rounded to nine digits for the chart.")
    told += [cut, remark]
    chart = '<div id="candles" class="chart" style="height:480px"></div><p class="note" id="candle-note"></p>'
    text = note(" ".join(one for one in told if one))
    return section("Prices, entries and exits", tools + chart + text, "prices-section", short="Prices")


def _pack_protections(page: Page, run: StoredRun, shown: Sequence[ShownPrices]) -> str:
    """Store the stops and targets of each trade by its place; a sentence when not all changes are in."""
    scale = {one.symbol: 10.0**one.decimals for one in shown}
    total = sum(len(run.protections.get(identity, ())) for identity in run.trades["trade_id"])
    trade, at, stops, targets = [], [], [], []
    for place, (identity, symbol) in enumerate(zip(run.trades["trade_id"], run.trades["symbol"], strict=True)):
        if symbol not in scale:
            continue
        changes = run.protections.get(identity, ())
        for one in changes if total <= MOST_PROTECTIONS else changes[:1]:
            trade.append(place)
            at.append(one.instant_ns // 1_000_000)
            stops.append(0 if one.stop is None else round(one.stop * scale[symbol]))
            targets.append(0 if one.target is None else round(one.target * scale[symbol]))
    columns = {"trade": trade, "at": at, "stop": stops, "target": targets}
    page.pack("protections", {name: np.array(values, dtype=np.int64) for name, values in columns.items()})
    open_now = [one for one in _open_positions(run) if one[0] in scale]
    page.value("open_positions", open_now)
    return "" if total <= MOST_PROTECTIONS else "Of each trade the first stop and target are drawn, not their moves."


def _open_positions(run: StoredRun) -> list[list[object]]:
    """Positions still open at the end: symbol, side, when they were opened, at which price, and the reason."""
    closed, fills = set(run.trades["trade_id"]), run.fills
    held: dict[str, list[int]] = {}
    for i, identity in enumerate(fills["position_id"]):
        if identity not in closed:
            held.setdefault(identity, []).append(i)
    found: list[list[object]] = []
    for places in held.values():
        signs = np.array([1.0 if fills["side"][i] == "buy" else -1.0 for i in places])
        left = float((signs * fills["volume"][places]).sum())
        if abs(left) <= 1e-9 * float(fills["volume"][places].max()):
            continue
        first = places[0]
        found.append(
            [fills["symbol"][first], fills["side"][first], int(fills["filled_ns"][first]) // 1_000_000,
             float(fills["price"][first]), abs(left), fills["reason"][first]]
        )  # fmt: skip
    return found


TRADE_COLUMNS = (
    Column(name="#", kind="number", digits=0, meaning="In the order in which the trades were closed."),
    Column(name="Symbol"),
    Column(name="Strategy"),
    Column(name="Side"),
    Column(name="Entry", kind="instant"),
    Column(name="Exit", kind="instant"),
    Column(name="Held", kind="duration"),
    Column(name="Net", kind="money", tone=True),
    Column(name="R", kind="number", digits=2, tone=True, meaning="Net over the risk at the first stop."),
    Column(name="Closed by", meaning="What closed it; the reason of the exit where it says more."),
    Column(name="Reason", wide=True, meaning="Why it was entered."),
    Column(name="Volume", kind="number"),
    Column(name="Entry price", kind="number"),
    Column(name="Exit price", kind="number"),
    Column(name="First stop", kind="number"),
    Column(name="Gross", kind="money"),
    Column(name="Costs", kind="money", meaning="Spread, slippage, commission and financing."),
    Column(name="MAE", kind="percent", meaning="Largest move against it, in percent of the entry price."),
    Column(name="MFE", kind="percent", meaning="Largest move for it, in percent of the entry price."),
)


def _trades_section(page: Page, run: StoredRun, found: Excursions) -> str:
    if not run.trade_count:
        return section("Trades", note("No trade was closed."), "trades-section")
    trades, costs = run.trades, costs_of(run.trades)
    held = trades["exit_ns"] - trades["entry_ns"]
    columns = [
        range(1, run.trade_count + 1), trades["symbol"], trades["book"], trades["side"], trades["entry_ns"].tolist(),
        trades["exit_ns"].tolist(), held.tolist(), trades["net"].tolist(), trades["r"].tolist(),
        [_closed_by(trades, i) for i in range(run.trade_count)], trades["entry_reason"],
        *(values.tolist() for values in (trades["volume"], trades["entry_price"], trades["exit_price"],
          trades["initial_stop"], trades["gross"], costs, found.against_percent,
          found.with_it_percent)),
    ]  # fmt: skip
    table = page.table("trades", TRADE_COLUMNS, list(zip(*columns, strict=True)), page=50)
    words = f"{counted(run.trade_count, 'closed trade')}, money in {run.currency}, instants in UTC."
    return section("Trades", table + note(words), "trades-section")


def _closed_by(trades: Mapping[str, Sequence[str]], place: int) -> str:
    kind, reason = trades["exit_kind"][place], trades["exit_reason"][place]
    text = kind if not reason or reason == kind else f"{kind}: {reason}"
    return f"{text} (ambiguous)" if trades["ambiguous"][place] else text
