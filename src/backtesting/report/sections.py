"""The sections of a run's report between the headline figures and the list of its trades.

Each function takes the page and the run and returns HTML; a section without anything to show is an empty text. Used by
one thread.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from src.backtesting import summary
from src.backtesting.report import curves
from src.backtesting.report.figures import Excursions, Exposure, grouped, hours, months
from src.backtesting.report.stored import StoredRun
from src.core.words import counted
from src.pages import Column, Page, Tile, note, pair, safe, section, tiles
from src.pages.pieces import meant

__all__ = [
    "ambiguity_section", "calendar_sections", "cost_sections", "distribution_sections", "equity_section",
    "exposure_section", "fidelity_sections", "group_sections", "refusal_section",
]  # fmt: skip

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOST_REFUSED = 20_000


def equity_section(page: Page, run: StoredRun) -> str:
    """Equity over drawdown."""
    figure = curves.equity_figure(run)
    if figure is None:
        return ""
    words = "Marked at each step of the run. Drag to zoom, double-click to see all. Dotted: the start balance."
    if len(run.equity) > curves.CURVE_POINTS:
        words += f" Drawn from {len(run.equity):,} samples, keeping the low and the high of each stretch."
    return section(
        "Equity and drawdown", page.chart("equity", figure, height_px=400, note=words), "equity-section", short="Equity"
    )


def calendar_sections(run: StoredRun) -> str:
    """Returns by month, and net profit by weekday and hour of the entry."""
    return _months(run) + _hours(run)


def _months(run: StoredRun) -> str:
    rows = months(run)
    if not rows:
        return ""
    largest = max((abs(cell) for _, cells, _ in rows for cell in cells if cell is not None), default=0.0)
    # The strongest colour is that of a full percent at least: a month that hardly moved looks so.
    largest = max(largest, 1.0)
    lines = []
    for year, cells, total in rows:
        filled = "".join(
            _heat_cell(cell, largest, _month_text(cell), "" if cell is None else f"{name} {year}: {cell:+.4f} %")
            for name, cell in zip(_MONTHS, cells, strict=True)
        )
        strong = _month_text(total)
        lines.append(f'<tr><th class="t">{year}</th>{filled}<td class="{_tone(total)}"><b>{strong}</b></td></tr>')
    head = "".join(f"<th>{name}</th>" for name in ("", *_MONTHS, "Year"))
    table = f'<table id="months" class="heat"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    words = "Percent of the equity at the begin of the month (UTC), open positions at their last prices."
    return section(
        "Returns by month", f'<div class="scroll">{table}</div>{note(words)}', "months-section", short="Months"
    )


def _month_text(percent: float | None) -> str:
    """A return with one decimal; below half a percent with two, so that a small loss is not shown as none."""
    if percent is None:
        return ""
    text = f"{percent:+.{1 if abs(percent) >= 0.5 else 2}f}"
    return "0.00" if float(text) == 0 else text


def _hours(run: StoredRun) -> str:
    if not run.trade_count:
        return ""
    net, count = hours(run.trades)
    largest = float(np.abs(net).max())
    lines = []
    for day, name in enumerate(_WEEKDAYS):
        cells = []
        for hour in range(24):
            there = int(count[day, hour])
            value = float(net[day, hour]) if there else None
            words = "" if value is None else (
                f"{name} {hour:02d}:00, {counted(there, 'trade')}, "
                f"net {summary.money_text(value, run.currency, signed=True)}"
            )  # fmt: skip
            cells.append(_heat_cell(value, largest, "" if value is None else _short(value), words))
        lines.append(f'<tr><th class="t">{name}</th>{"".join(cells)}</tr>')
    head = "<th></th>" + "".join(f"<th>{hour:02d}</th>" for hour in range(24))
    table = f'<table id="hours" class="heat"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    words = f"Net profit in {run.currency} of the trades that were entered in that hour (UTC)."
    return section("Weekday by hour", f'<div class="scroll">{table}</div>{note(words)}', "hours-section", short="Hours")


def _heat_cell(value: float | None, largest: float, text: str, words: str = "") -> str:
    if value is None:
        return "<td></td>"
    strength = round(55 * math.sqrt(abs(value) / largest)) if largest > 0 else 0
    colour = "good" if value > 0 else "bad"
    style = f' style="background:color-mix(in srgb,var(--{colour}) {strength}%,var(--card))"' if strength else ""
    return f'<td data-value="{value!r}"{style}{meant(words)}>{safe(text)}</td>'


def _short(value: float) -> str:
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.1f}M"
    if size >= 9_995:
        return f"{value / 1e3:.0f}k"
    if size >= 999.5:
        return f"{value / 1e3:.1f}k"
    return f"{value:.0f}" if size >= 10 else f"{value:.1f}"


def group_sections(page: Page, run: StoredRun) -> str:
    """The trades by symbol, strategy, side, and what closed them."""
    if not run.trade_count:
        return ""
    parts = []
    titles = {
        "symbol": ("By symbol", "symbol"), "book": ("By strategy", "book"), "side": ("By side", "side"),
        "exit_kind": ("By exit", "exit"),
    }  # fmt: skip
    held = {one["name"]: one["buy_and_hold_percent"] for one in run.metrics["per_symbol"]}
    for key, (title, ident) in titles.items():
        more = key == "symbol" and any(value is not None for value in held.values())
        rows = [
            [one.name, one.trades, one.win_rate_percent, one.gross, one.costs, one.net, one.profit_factor,
             one.expectancy, one.average_r, *([held.get(one.name)] if more else [])]
            for one in grouped(run.trades, key)
        ]  # fmt: skip
        columns = [
            *_GROUP_COLUMNS,
            *(
                [
                    Column(
                        name="Hold",
                        kind="percent",
                        digits=1,
                        meaning="Buy and hold: last close over first open, less one.",
                    )
                ]
                if more
                else []
            ),
        ]
        table = page.table(f"by-{ident}", columns, rows, filters=False)
        parts.append(section(title, table, f"by-{ident}-section", short="Groups" if key == "symbol" else ""))
    return pair(parts[0], parts[1]) + pair(parts[2], parts[3])


_GROUP_COLUMNS = (
    Column(name="Name"),
    Column(name="Trades", kind="number", digits=0),
    Column(name="Won", kind="percent", digits=1, meaning="Share of the trades with a net profit above zero."),
    Column(name="Gross", kind="money", meaning="Profit at the prices between bid and ask, before any cost."),
    Column(name="Costs", kind="money", meaning="Spread, slippage, commission and financing."),
    Column(name="Net", kind="money", tone=True),
    Column(name="PF", kind="number", digits=2, meaning="Profit factor: net of the winners over net of the losers."),
    Column(name="Expect.", kind="money", tone=True, meaning="Expectancy: mean net profit of a trade."),
    Column(name="R", kind="number", digits=2, tone=True, meaning="Mean R of the trades that had a first stop."),
)


def distribution_sections(page: Page, run: StoredRun, found: Excursions) -> str:
    """How R and the excursions are distributed."""
    if not run.trade_count:
        return ""
    in_r = bool((~np.isnan(found.against_r)).any())
    unit = "R" if in_r else "% of the entry price"
    r = curves.distribution_figure(run.trades["r"], "R", mean=run.metrics["average_r"])
    parts = []
    if r is not None:
        words = (
            f"Net profit over the risk at the first stop, of {run.metrics['r_counted']:,} trades with one; dashed: the "
            "mean. The outermost bars hold all that lies beyond."
        )
        parts.append(
            section("Distribution of R", page.chart("r", r, height_px=280, note=words), "r-section", short="R")
        )
    dots = curves.excursion_figure(run, found, in_r=in_r)
    if dots is None:
        words = "Without prices it is not known how far trades went against and for them."
        return pair(*parts, section("Excursions", note(words), "excursions-section"))
    against, with_it = (found.against_r, found.with_it_r) if in_r else (found.against_percent, found.with_it_percent)
    lost, won = run.trades["net"] <= 0, run.trades["net"] > 0
    figures = tiles(
        [
            _middle("MAE of winners", against[won], unit, "mae_won", "How far winning trades went against first"),
            _middle("MAE of losers", against[lost], unit, "mae_lost", "How far losing trades went against"),
            _middle("MFE of winners", with_it[won], unit, "mfe_won", "How far winning trades had been ahead"),
            _middle("MFE of losers", with_it[lost], unit, "mfe_lost", "How far losing trades had been ahead"),
        ]
    )
    words = (
        "Largest move against (MAE) and for (MFE) each trade while it was open, measured from its entry price: from "
        "the highs and lows of the bars that lie wholly between entry and exit, and from the two fills themselves. "
        "What happened inside the bar of the exit is not known and not counted."
    )
    parts.append(
        section("Excursions", figures + page.chart("excursions", dots, height_px=300, note=words), "excursions-section")
    )
    return pair(*parts)


def _middle(name: str, values: Any, unit: str, key: str, words: str) -> Tile:
    known = values[~np.isnan(values)]
    text = f"{float(np.median(known)):.2f} {'R' if unit == 'R' else '%'}" if len(known) else "n/a"
    high = f"one in ten above {float(np.quantile(known, 0.9)):.2f}" if len(known) else ""
    return Tile(name=name, text=text, note=high, key=key, meaning=f"{words}, in {unit}: the median.")


def exposure_section(page: Page, run: StoredRun, found: Exposure) -> str:
    """What was held over time."""
    figure = curves.exposure_figure(run, found)
    if figure is None:
        return ""
    equity = np.where(found.equity > 0, found.equity, np.nan)
    percent, last = summary.percent_text, summary.duration_text
    facts = tiles(
        [
            Tile(name="In the market", text=percent(run.metrics["exposure_percent"]), note="of the window"),
            Tile(name="Most at once", text=f"{int(found.positions.max())}", note="open positions",
                 key="most_positions"),
            Tile(name="Largest gross", text=percent(_top(found.gross / equity)), note="of equity", key="most_gross"),
            Tile(name="Largest margin", text=percent(_top(found.margin / equity)), note="of equity",
                 key="most_margin"),
            Tile(name="Average trade", text=last(run.metrics["average_trade_ns"]), note="from entry to exit"),
            Tile(name="Longest flat", text=last(run.metrics["longest_flat_ns"]), note="without any position"),
        ]
    )  # fmt: skip
    words = (
        "Notional of the open positions at their entry prices, after each fill, in percent of equity. Gross counts "
        "longs and shorts, net takes shorts off. Margin is what the leverage of the account, or of the instrument, "
        "ties up for it."
    )
    chart = page.chart("exposure", figure, height_px=270, note=words)
    return section("Exposure and margin", facts + chart, "exposure-section", short="Exposure")


def _top(shares: Any) -> float | None:
    known = shares[~np.isnan(shares)]
    return float(known.max()) * 100 if len(known) else None


def cost_sections(page: Page, run: StoredRun) -> str:
    """From gross to net, and each cost by symbol."""
    if not run.trade_count:
        return ""
    chart = page.chart(
        "costs", curves.costs_figure(run.metrics), height_px=300,
        note=f"In {run.currency}, closed trades; gross is at the prices between bid and ask.",
    )  # fmt: skip
    financed = bool(run.trades["financing"].any())
    rows = [
        [one.name, one.gross, one.spread_cost, one.slippage_cost, one.commission,
         *([one.financing] if financed else []), one.costs, one.net]
        for one in grouped(run.trades, "symbol")
    ]  # fmt: skip
    names = ("Gross", "Spread", "Slippage", "Commission", *(("Financing",) if financed else ()), "All costs")
    columns = [
        Column(name="Symbol"),
        *(Column(name=name, kind="money") for name in names),
        Column(name="Net", kind="money", tone=True),
    ]
    open_costs = math.fsum(run.metrics[f"open_{name}"] for name in ("spread_cost", "slippage_cost", "commission"))
    words = f"Positions still open have paid {summary.money_text(open_costs, run.currency)} more." if open_costs else ""
    table = page.table("costs-by-symbol", columns, rows, filters=False)
    return pair(
        section("From gross to net", chart, "costs-section", short="Costs"),
        section("Costs by symbol", table + note(words), "costs-by-symbol-section", short=""),
    )


def ambiguity_section(page: Page, run: StoredRun) -> str:
    """The trades that another path inside a bar would have ended otherwise, with their worst and their best."""
    trades, metrics = run.trades, run.metrics
    at = np.flatnonzero(trades["ambiguous"])
    if not len(at):
        return ""
    money = summary.money_text
    words = (
        f"{counted(len(at), 'trade')} of {run.trade_count:,} would have ended otherwise on another path inside a bar: "
        f"the net profit of {money(metrics['net'], run.currency, signed=True)} lies between "
        f"{money(metrics['net_worst'], signed=True)} and {money(metrics['net_best'], run.currency, signed=True)}."
    )
    rows = [
        [i + 1, *(trades[name][i] for name in ("symbol", "book", "side", "exit_ns", "exit_kind")),
         *(float(trades[name][i]) for name in ("net_worst", "net", "net_best"))]
        for i in at.tolist()
    ]  # fmt: skip
    columns = [
        Column(name="#", kind="number", digits=0, meaning="Its number in the list of all trades."),
        Column(name="Symbol"), Column(name="Strategy"), Column(name="Side"), Column(name="Exit", kind="instant"),
        Column(name="Closed by"), Column(name="Worst", kind="money", tone=True),
        Column(name="Chosen", kind="money", tone=True), Column(name="Best", kind="money", tone=True),
    ]  # fmt: skip
    table = page.table("ambiguous", columns, rows, page=25)
    return section("Ambiguous trades", f"<p>{safe(words)}</p>{table}", "ambiguous-section", short="Ambiguous")


def refusal_section(page: Page, run: StoredRun) -> str:
    """Which intents were refused, by what, and when limits were hit."""
    refusals = run.metrics["refusals"]
    if not refusals and not run.limits:
        return section("Risk refusals", note("No intent was refused."), "refusals-section", short="Refusals")
    by_symbol = Counter((one.code, one.symbol) for one in run.refused)
    rows = []
    for code, count in sorted(refusals.items(), key=lambda item: (-item[1], item[0])):
        spread = [f"{name} {times:,}" for (of, name), times in by_symbol.most_common() if of == code]
        rows.append([code, count, ", ".join(spread)])
    columns = [Column(name="Refused because"), Column(name="Times", kind="number", digits=0),
               Column(name="Where", wide=True)]  # fmt: skip
    parts = [page.table("refusals", columns, rows, filters=False)]
    if run.limits:
        lines = [[instant, limit, equity, action] for instant, limit, equity, action in run.limits]
        heads = [Column(name="At", kind="instant"), Column(name="Limit hit"), Column(name="Equity", kind="money"),
                 Column(name="Then")]  # fmt: skip
        parts.append("<h3>Limits that were hit</h3>" + page.table("limits", heads, lines, page=10, filters=False))
    if run.refused:
        parts.append("<h3>Each refused intent</h3>" + _refused(page, run))
    return section("Risk refusals", "".join(parts), "refusals-section", short="Refusals")


def _refused(page: Page, run: StoredRun) -> str:
    rows = [
        # An entry that was refused before its size was worked out has none.
        [one.instant_ns, one.symbol, one.book, one.action, one.side, one.volume or None, one.code, one.reason]
        for one in run.refused[:_MOST_REFUSED]
    ]
    columns = [
        Column(name="At", kind="instant"), Column(name="Symbol"), Column(name="Strategy"), Column(name="Asked"),
        Column(name="Side"), Column(name="Volume", kind="number"), Column(name="Refused because"),
        Column(name="Reason of the intent", wide=True),
    ]  # fmt: skip
    cut = len(run.refused) - _MOST_REFUSED
    words = f"{counted(cut, 'intent')} more are in journal.parquet." if cut > 0 else ""
    return page.table("refused", columns, rows, page=25) + note(words)


def fidelity_sections(run: StoredRun) -> str:
    """Where the simulation is coarser than live, and which holes in the data the configuration accepts."""
    coarse = "".join(
        f'<tr><td class="t"><code>{safe(rule)}</code></td><td class="v">{safe(sentence)}</td></tr>'
        for rule, sentence in sorted(run.manifest.get("fidelity", {}).items())
    )
    table = f'<table class="plain">{coarse}</table>' if coarse else note("No rule ran coarser than it would live.")
    backtest = run.manifest.get("configuration", {}).get("backtest") or {}
    accepted = backtest.get("data", {}).get("accept_gaps", ())
    return pair(
        section("Fidelity: where this run is coarser than live", table, "fidelity-section", short="Fidelity"),
        section("Accepted holes", _holes(accepted), "holes-section") if accepted else "",
    )


def _holes(accepted: Sequence[Any]) -> str:
    rows = ""
    for one in accepted:
        cells = "".join(f'<td class="t">{safe(one[key])}</td>' for key in ("symbol", "from", "to"))
        rows += f'<tr>{cells}<td class="t wide">{safe(one["reason"])}</td></tr>'
    head = "".join(f'<th class="t">{name}</th>' for name in ("Symbol", "From", "To", "Reason"))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _tone(value: float | None) -> str:
    return "" if not value else "good" if value > 0 else "bad"
