"""The report of a run: one HTML file that needs no network, with equity, prices with entries and exits, trades, costs.

Pure but for the file that it writes; any thread. It shows no real time, so equal runs have equal reports. All text that
comes from a user is escaped. Curves are thinned for display, keeping the lows and highs; figures are not.
"""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from src.backtesting import summary
from src.backtesting.metrics import GroupMetrics, Metrics
from src.backtesting.report_ambiguity import ambiguity_section
from src.backtesting.report_curves import cost_data, equity_data, price_data, price_text, safe
from src.backtesting.result import BacktestResult
from src.core.bars import BarSeries
from src.core.records import Trade
from src.core.timeframe import format_instant
from src.core.words import counted

__all__ = ["report_html", "write_report"]

TABLE_ENDS = 500


def write_report(
    path: Path,
    result: BacktestResult,
    metrics: Metrics,
    manifest: Mapping[str, Any],
    price_series: Mapping[str, BarSeries] | None = None,
) -> None:
    """Write the report of a run to `path`; see `report_html`."""
    text = report_html(result, metrics, manifest, price_series)
    path.write_text(text, encoding="utf-8", newline="\n")


def report_html(
    result: BacktestResult,
    metrics: Metrics,
    manifest: Mapping[str, Any],
    price_series: Mapping[str, BarSeries] | None = None,
) -> str:
    """The report as one HTML text.

    Args:
        manifest: as stored; `run_id`, `seed`, `policy` and, when `synthetic`, `synthetic_seed` are also shown at the
            top, and loudly that a run is not `deterministic`.
        price_series: bars by symbol; symbols without bars have no price chart.
    """
    shown = [(name, price_series[name]) for name in sorted(price_series)] if price_series else []
    shown = [(name, bars) for name, bars in shown if bars.length]
    data = {
        "currency": safe(metrics.currency),
        "window": [result.start_ns / 1e6, result.end_ns / 1e6],
        "equity": equity_data(result),
        "prices": [price_data(result, name, bars, len(shown)) for name, bars in shown],
        "costs": cost_data(metrics),
    }
    body = "\n".join(
        [
            _head(result, metrics, manifest),
            _tiles(metrics),
            '<section><h2>Equity and drawdown</h2><div id="equity" class="chart"></div></section>',
            _price_section([name for name, _ in shown]),
            _money_section(metrics, deterministic=bool(manifest.get("deterministic", True))),
            _groups_section("By symbol", metrics.per_symbol),
            _groups_section("By book", metrics.per_book),
            ambiguity_section(result.trades, result.profit_interval, metrics.net, metrics.currency),
            _trades_section(result.trades, metrics.currency),
            _pair_section(result, metrics),
            _gaps_section(manifest),
            _manifest_section(manifest),
        ]
    )
    page = resources.files("src.backtesting").joinpath("report_page.html").read_text(encoding="utf-8")
    parts = {
        "title": safe(f"Lockstep run {manifest.get('run_id', '')}"),
        "data": _script_json(data),
        "body": body,
        "plotly": resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8"),
    }
    # One pass over the page alone, so that braces in a user's words are never taken for a place.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], page)


# -- sections ---


def _head(result: BacktestResult, metrics: Metrics, manifest: Mapping[str, Any]) -> str:
    ok = metrics.outcome == "COMPLETED"
    lines = [
        f'<header><h1>Lockstep run</h1><span class="id">{safe(manifest.get("run_id", ""))}</span>'
        f'<span class="badge {"good" if ok else "bad"}">{safe(metrics.outcome)}</span></header>',
        f'<p class="dim">{safe(format_instant(result.start_ns))} to {safe(format_instant(result.end_ns))} &middot; '
        f"{counted(len(result.symbols), 'symbol')} &middot; {counted(result.bars, 'bar')} &middot; "
        f"{counted(result.steps, 'step')} &middot; seed {safe(manifest.get('seed', 'none'))} &middot; "
        f"schedule {safe(manifest.get('policy', 'none'))}</p>",
        f'<p class="id">digest {safe(result.digest)}</p>',
    ]
    market_seed = manifest.get("synthetic_seed", manifest.get("seed", "none"))
    if manifest.get("synthetic"):
        lines.append(
            '<div class="banner"><strong>SYNTHETIC</strong>'
            f"The market was generated from seed {safe(market_seed)}. "
            "These results say nothing about any real market.</div>"
        )
    if not manifest.get("deterministic", True):
        lines.append(
            '<div class="banner"><strong>NON-DETERMINISTIC</strong>'
            "All participants ran at once, as fast as the system let them. Another run may give other figures.</div>"
        )
    if result.error is not None:
        name = type(result.error).__name__
        lines.append(f'<div class="banner"><b>{safe(name)}</b>: {safe(result.error.message)}</div>')
    for symbol, sentence in sorted(result.failures.items()):
        lines.append(f'<div class="banner"><b>{safe(symbol)}</b>: {safe(sentence)}</div>')
    if metrics.trades == 0:
        rows = dict(summary.result_rows(metrics))
        lines.append(f'<div class="banner"><strong>NO TRADES</strong>{safe(rows["NO TRADES"])}.</div>')
    return "\n".join(lines)


def _tiles(metrics: Metrics) -> str:
    money, percent = summary.money_text, summary.percent_text
    rs = f"{metrics.r_counted:,} with, {metrics.without_r:,} without"
    flat = f"flat at most {summary.duration_text(metrics.longest_flat_ns)}"
    fall = money(metrics.max_drawdown, metrics.currency) if metrics.max_drawdown else ""
    tiles = [
        ("Return", percent(metrics.return_percent, signed=True), metrics.return_percent, "on the start balance"),
        ("Net profit", money(metrics.net, signed=True), metrics.net, f"{metrics.currency}, closed trades"),
        ("Final equity", money(metrics.final_equity), None, metrics.currency),
        ("Buy and hold", percent(metrics.buy_and_hold_percent, signed=True), None, "equal weights"),
        ("Max drawdown", percent(metrics.max_drawdown_percent), None, fall),
        ("Sharpe", summary.ratio_text(metrics.sharpe), None, f"{metrics.days} daily returns"),
        ("Sortino", summary.ratio_text(metrics.sortino), None, f"Calmar {summary.ratio_text(metrics.calmar)}"),
        ("Trades", f"{metrics.trades:,}", None, f"{metrics.open_positions} still open"),
        ("Win rate", percent(metrics.win_rate_percent), None, f"{metrics.wins:,} won, {metrics.losses:,} lost"),
        ("Profit factor", summary.ratio_text(metrics.profit_factor), None, ""),
        ("Average R", summary.ratio_text(metrics.average_r), None, rs),
        ("Exposure", percent(metrics.exposure_percent), None, flat),
    ]  # fmt: skip
    cells = [
        f'<div class="tile"><span>{safe(name)}</span><b class="{_tone(tone)}">{safe(text)}</b>'
        f"<small>{safe(note) or '&nbsp;'}</small></div>"
        for name, text, tone, note in tiles
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def _price_section(symbols: Sequence[str]) -> str:
    if not symbols:
        return '<section><h2>Prices</h2><p class="dim">This report was made without prices.</p></section>'
    options = "".join(f'<option value="{i}">{safe(name)}</option>' for i, name in enumerate(symbols))
    return (
        f'<section><h2>Prices, entries and exits <select id="symbol" aria-label="symbol">{options}</select></h2>'
        '<div id="price" class="chart"></div><p id="price-note" class="dim"></p></section>'
    )


def _money_section(metrics: Metrics, *, deterministic: bool) -> str:
    rows = "".join(
        f'<tr><td class="t">{safe(name)}</td><td class="wrap">{safe(text)}</td></tr>'
        for name, text in summary.result_rows(metrics, deterministic=deterministic)
        if name != "NO TRADES"
    )
    return (
        '<div class="pair"><section><h2>From gross to net</h2><div id="costs" class="chart"></div>'
        f'<p class="dim">In {safe(metrics.currency)}, closed trades; gross is between bid and ask.</p></section>'
        f"<section><h2>Result</h2><table>{rows}</table></section></div>"
    )


def _costs(of: GroupMetrics | Trade) -> float:
    """All that lies between gross and net."""
    return of.spread_cost + of.slippage_cost + of.commission + of.financing


def _groups_section(title: str, groups: Sequence[GroupMetrics]) -> str:
    if not groups:
        return ""
    names = ("Name", "Trades", "Win rate", "Gross", "Costs", "Net", "Profit factor", "Expectancy", "Average R")
    held = any(group.buy_and_hold_percent is not None for group in groups)
    money, ratio = summary.money_text, summary.ratio_text
    rows = []
    for group in groups:
        cells = [f"{group.trades:,}", summary.percent_text(group.win_rate_percent), money(group.gross),
                 money(_costs(group)), (money(group.net), group.net),
                 ratio(group.profit_factor), money(group.expectancy), ratio(group.average_r)]  # fmt: skip
        if held:
            cells.append(summary.percent_text(group.buy_and_hold_percent, signed=True))
        rows.append(f'<tr><td class="t">{safe(group.name)}</td>{"".join(map(_cell, cells))}</tr>')
    head = _header([*names, "Buy and hold"] if held else names, 1)
    return f'<section><h2>{safe(title)}</h2><div class="scroll"><table>{head}{"".join(rows)}</table></div></section>'


def _trades_section(trades: Sequence[Trade], currency: str) -> str:
    names = ("#", "Symbol", "Book", "Side", "Entry", "Exit", "Closed by", "Volume", "Entry price", "Exit price",
             "Gross", "Costs", "Net", "R", "Reason")  # fmt: skip
    rows = [(number, trade) for number, trade in enumerate(trades, 1)]
    cut = len(rows) - 2 * TABLE_ENDS
    if cut <= 0:
        lines = [_trade_row(*row) for row in rows]
    else:
        words = f"{counted(cut, 'trade')} left out here; all are in trades.parquet"
        note = f'<tr class="cut"><td colspan="{len(names)}">{words}</td></tr>'
        lines = [_trade_row(*row) for row in rows[:TABLE_ENDS]]
        lines += [note, *(_trade_row(*row) for row in rows[-TABLE_ENDS:])]
    words = "No trade was closed." if not rows else f"{len(rows):,} closed trades, money in {currency}"
    if cut > 0:
        words += f"; the first and last {TABLE_ENDS} are shown"
    table = f'<div class="scroll"><table id="trades">{_header(names, 7)}{"".join(lines)}</table></div>' if rows else ""
    return f'<section><h2>Trades</h2><p class="dim">{safe(words)}</p>{table}</section>'


def _trade_row(number: int, trade: Trade) -> str:
    closed_by = f"{trade.exit_kind} (ambiguous)" if trade.ambiguous else trade.exit_kind
    texts = [
        str(number),
        trade.symbol,
        trade.book,
        trade.side.value,
        _minute(trade.entry_ns),
        _minute(trade.exit_ns),
        closed_by,
    ]
    numbers = [f"{trade.volume:,.8g}", price_text(trade.entry_price), price_text(trade.exit_price),
               summary.money_text(trade.gross), summary.money_text(_costs(trade)),
               (summary.money_text(trade.net), trade.net),
               summary.ratio_text(trade.r)]  # fmt: skip
    left = "".join(f'<td class="t">{safe(text)}</td>' for text in texts)
    return f'<tr>{left}{"".join(map(_cell, numbers))}<td class="wrap">{safe(trade.entry_reason)}</td></tr>'


def _pair_section(result: BacktestResult, metrics: Metrics) -> str:
    refusals = sorted(metrics.refusals.items(), key=lambda item: (-item[1], item[0]))
    refused = _counts(refusals, "Refused because", "No intent was refused.")
    kinds = _counts(list(metrics.exit_kinds.items()), "Closed by", "No trade was closed.")
    coarse = "".join(
        f'<tr><td class="t"><code>{safe(rule)}</code></td><td class="wrap">{safe(sentence)}</td></tr>'
        for rule, sentence in sorted(result.fidelity.items())
    )
    fidelity = f"<table>{coarse}</table>" if coarse else '<p class="dim">No rule ran coarser than it would live.</p>'
    return (
        f'<div class="pair"><section><h2>Refusals</h2>{refused}</section><section><h2>Exits</h2>{kinds}</section></div>'
        f"<section><h2>Fidelity: where this run is coarser than live</h2>{fidelity}</section>"
    )


def _counts(items: Sequence[tuple[str, int]], title: str, nothing: str) -> str:
    if not items:
        return f'<p class="dim">{safe(nothing)}</p>'
    rows = "".join(f'<tr><td class="t"><code>{safe(name)}</code></td><td>{count:,}</td></tr>' for name, count in items)
    return f"<table>{_header((title, 'Times'), 1)}{rows}</table>"


def _gaps_section(manifest: Mapping[str, Any]) -> str:
    """The spans without bars that the configuration accepts, each with its reason; nothing where it accepts none."""
    backtest = manifest.get("configuration", {}).get("backtest", {})
    accepted = backtest.get("data", {}).get("accept_gaps", ())
    if not accepted:
        return ""
    rows = ""
    for one in accepted:
        cells = "".join(f'<td class="t">{safe(one[key])}</td>' for key in ("symbol", "from", "to"))
        rows += f'<tr>{cells}<td class="wrap">{safe(one["reason"])}</td></tr>'
    head = _header(("Symbol", "From", "To", "Reason"), 3)
    return f"<section><h2>Accepted spans without bars</h2><table>{head}{rows}</table></section>"


def _manifest_section(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
    return f"<section><details><summary>Manifest</summary><pre>{safe(text)}</pre></details></section>"


# -- text ---


def _header(names: Sequence[str], texts: int) -> str:
    cells = [f'<th class="t">{safe(name)}</th>' if i < texts or name == "Reason" else f"<th>{safe(name)}</th>"
             for i, name in enumerate(names)]  # fmt: skip
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: Any) -> str:
    text, tone = value if isinstance(value, tuple) else (value, None)
    return f'<td class="{_tone(tone)}">{safe(text)}</td>' if tone else f"<td>{safe(text)}</td>"


def _tone(value: float | None) -> str:
    return "" if not value else "good" if value > 0 else "bad"


def _minute(instant_ns: int) -> str:
    return format_instant(instant_ns)[:16]


def _script_json(value: Any) -> str:
    # Inside a script element only `<` can end it; as an escape it means the same to JSON.
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
