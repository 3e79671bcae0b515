"""The top of a run's report: what run it is, what has to be said loudly, and the headline figures with their meaning.

Pure; any thread.
"""

from collections.abc import Mapping
from typing import Any

from src.backtesting import summary
from src.backtesting.report.stored import StoredRun
from src.core.timeframe import format_instant
from src.core.words import counted
from src.pages import Tile, banner, safe

__all__ = ["banners", "heading", "headline_tiles", "window_text"]


def window_text(run: StoredRun) -> str:
    """From when to when, to the minute."""
    return f"{format_instant(run.start_ns)[:16]} to {format_instant(run.end_ns)[:16]} UTC"


def heading(run: StoredRun) -> str:
    """The page's head."""
    manifest, outcome = run.manifest, str(run.metrics["outcome"])
    name = manifest.get("configuration", {}).get("name") or "Run"
    mode = manifest.get("mode", "backtest")
    tone = "good" if outcome == "COMPLETED" else "bad"
    kind = '<span class="badge warn">SYNTHETIC</span>' if manifest.get("synthetic") else ""
    symbols = manifest.get("symbols", ())
    seed = manifest.get("seed")  # in real time there is none
    facts = (
        f"{window_text(run)} &middot; {counted(len(symbols), 'symbol')} &middot; "
        f"{counted(int(manifest.get('bars', 0)), 'bar')} &middot; {counted(int(manifest.get('steps', 0)), 'step')} "
        f"{'' if seed is None else f'&middot; seed {safe(seed)} '}"
        f"&middot; schedule {safe(manifest.get('policy', 'none'))}"
    )
    return (
        f'<h1>{safe(name)} <span class="badge {tone}">{safe(outcome)}</span>{kind}</h1><p>{facts}</p>'
        f'<p class="id">{safe(mode)} run {safe(manifest.get("run_id", ""))} &middot; '
        f"digest {safe(manifest.get('digest', ''))}</p>"
    )


def banners(run: StoredRun) -> str:
    """What nobody may overlook: a generated market, chance, errors, symbols that fell out, no trades."""
    manifest = run.manifest
    found = []
    if manifest.get("synthetic"):
        seed = manifest.get("synthetic_seed", manifest.get("seed", "none"))
        found.append(
            banner(
                "SYNTHETIC",
                f"The market was generated from seed {seed}. These results say nothing about any real market.",
            )
        )
    if not manifest.get("deterministic", True):
        found.append(
            banner(
                "NON-DETERMINISTIC",
                "All participants ran at once, as fast as the system let them. Another run may give other figures.",
            )
        )
    error = manifest.get("error")
    if error:
        found.append(banner(str(error["type"]), str(error["message"]), tone="bad"))
    for symbol, sentence in sorted(manifest.get("failures", {}).items()):
        found.append(banner(str(symbol), str(sentence), tone="bad"))
    if run.metrics["trades"] == 0:
        figures = run.metrics
        why = summary.why_no_trades(figures["open_positions"], figures["fills"], figures["refusals"])
        found.append(banner("NO TRADES", f"{why}."))
    return "".join(found)


def headline_tiles(run: StoredRun) -> list[Tile]:
    """The figures at the top."""
    return [*_result_tiles(run.metrics), *_risk_tiles(run.metrics), *_trade_tiles(run.metrics)]


def _result_tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    money, percent, currency = summary.money_text, summary.percent_text, str(metrics["currency"])
    yearly = metrics["annual_return_percent"]
    growth = "no yearly rate" if yearly is None else f"{percent(yearly, signed=True)} a year"
    costs = metrics["spread_cost"] + metrics["slippage_cost"] + metrics["commission"] + metrics["financing"]
    share = f"{costs / metrics['gross'] * 100:,.0f} % of gross" if metrics["gross"] > 0 else "gross was not positive"
    return [
        Tile(
            key="return_percent", name="Return", text=percent(metrics["return_percent"], signed=True),
            tone=_tone(metrics["return_percent"]), note=growth,
            meaning="Final equity over the start balance, less one. Under it the same growth as a yearly rate.",
        ),
        Tile(
            key="net", name="Net profit", text=money(metrics["net"], signed=True), tone=_tone(metrics["net"]),
            note=f"{currency}, closed trades",
            meaning="Profit of all closed trades after spread, slippage, commission, swaps and funding.",
        ),
        Tile(
            key="final_equity", name="Final equity", text=money(metrics["final_equity"]),
            note=f"from {money(metrics['initial_balance'])}",
            meaning="Balance plus what the open positions would bring at the last prices.",
        ),
        Tile(
            key="costs", name="Costs", text=money(costs), note=share,
            meaning="Spread, slippage, commission and financing of the closed trades: all that lies between gross and "
            "net profit.",
        ),
        Tile(
            key="buy_and_hold_percent", name="Buy and hold", text=percent(metrics["buy_and_hold_percent"], signed=True),
            note="equal weights, no costs",
            meaning="Mean over the symbols of last close over first open, less one; what doing nothing would have "
            "brought.",
        ),
    ]  # fmt: skip


def _risk_tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    money, percent, ratio = summary.money_text, summary.percent_text, summary.ratio_text
    fall = money(metrics["max_drawdown"], str(metrics["currency"])) if metrics["max_drawdown"] else ""
    under = summary.duration_text(metrics["longest_underwater_ns"])
    days = counted(int(metrics["days"]), "daily return")
    return [
        Tile(
            key="max_drawdown_percent", name="Max drawdown", text=percent(metrics["max_drawdown_percent"]),
            note=fall or "no fall",
            meaning=f"Largest fall of equity from a peak, in percent of the peak; the longest time below a former peak "
            f"was {under}. Seen at the steps of the run, not inside bars.",
        ),
        Tile(
            key="sharpe", name="Sharpe", text=ratio(metrics["sharpe"]), note=days,
            meaning=f"Mean of the daily returns over their standard deviation (n-1), times the root of "
            f"{metrics['days_per_year']:g} days a year; flat days count, no risk-free rate.",
        ),
        Tile(
            key="sortino", name="Sortino", text=ratio(metrics["sortino"]), note="falls alone",
            meaning="As Sharpe, with the root mean square of the negative daily returns in place of the deviation.",
        ),
        Tile(
            key="calmar", name="Calmar", text=ratio(metrics["calmar"]), note="return over drawdown",
            meaning="Yearly return over the largest fall.",
        ),
        Tile(
            key="exposure_percent", name="Exposure", text=percent(metrics["exposure_percent"]),
            note=f"flat at most {summary.duration_text(metrics['longest_flat_ns'])}",
            meaning="Share of the window during which at least one position was open.",
        ),
    ]  # fmt: skip


def _trade_tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    money, percent, ratio = summary.money_text, summary.percent_text, summary.ratio_text
    counted_r = f"{metrics['r_counted']:,} with, {metrics['without_r']:,} without"
    tiles = [
        Tile(
            key="trades", name="Trades", text=f"{metrics['trades']:,}", note=f"{metrics['open_positions']} still open",
            meaning="Positions that were opened and closed again; from flat to flat in one book is one trade.",
        ),
        Tile(
            key="win_rate_percent", name="Win rate", text=percent(metrics["win_rate_percent"]),
            note=f"{metrics['wins']:,} won, {metrics['losses']:,} lost",
            meaning="Share of the trades whose net profit is above zero.",
        ),
        Tile(
            key="profit_factor", name="Profit factor", text=ratio(metrics["profit_factor"]), note="won over lost",
            meaning="Net of the winners over net of the losers; above 1 the trades earned money.",
        ),
        Tile(
            key="expectancy", name="Expectancy", text=money(metrics["expectancy"], signed=True),
            tone=_tone(metrics["expectancy"]), note=f"{metrics['currency']} a trade",
            meaning="Mean net profit of a trade.",
        ),
        Tile(
            key="average_r", name="Average R", text=ratio(metrics["average_r"]), tone=_tone(metrics["average_r"]),
            note=counted_r,
            meaning="Mean of net profit over what was risked at the first stop, over the trades that had one.",
        ),
    ]  # fmt: skip
    if metrics["ambiguous_trades"]:
        tiles.append(
            Tile(
                key="ambiguous_trades", name="Ambiguous", text=f"{metrics['ambiguous_trades']:,}", tone="warn",
                note=f"{money(metrics['net_worst'], signed=True)} to {money(metrics['net_best'], signed=True)}",
                meaning="Trades that another path of the price inside a bar would have ended otherwise, and the net "
                "profit had all of them gone the worse, or the better way.",
            )
        )  # fmt: skip
    return tiles


def _tone(value: float | None) -> str:
    return "" if not value else "good" if value > 0 else "bad"
