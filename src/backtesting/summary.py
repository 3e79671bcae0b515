"""The lines of the table that a finished run shows in a terminal. Builds text, prints nothing; any thread."""

from collections.abc import Mapping

from src.backtesting.metrics import Metrics
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, format_instant
from src.core.words import counted

__all__ = [
    "commonest_refusal",
    "duration_text",
    "money_text",
    "percent_text",
    "ratio_text",
    "result_rows",
    "why_no_trades",
]

NONE = "n/a"


def money_text(value: float | None, currency: str = "", *, signed: bool = False) -> str:
    """`1,234.50 USDT`; amounts below 1 have four decimals, None is `n/a`."""
    if value is None:
        return NONE
    digits = 2 if abs(value) >= 1 else 4
    value = round(value, digits)
    digits = digits if value else 2
    text = _text(value, digits, signed=signed)
    return f"{text} {currency}" if currency else text


def percent_text(value: float | None, *, signed: bool = False) -> str:
    """`12.34 %`; None is `n/a`."""
    return NONE if value is None else f"{_text(round(value, 2), 2, signed=signed)} %"


def _text(value: float, digits: int, *, signed: bool) -> str:
    # Zero has no sign, and never a minus.
    return f"{value:+,.{digits}f}" if signed and value else f"{value + 0.0:,.{digits}f}"


def ratio_text(value: float | None) -> str:
    """`1.23`; None is `n/a`."""
    return NONE if value is None else f"{value:,.2f}"


def duration_text(duration_ns: int | None) -> str:
    """The two largest units of a duration: `3d 4h`, `12m`; None is `n/a`."""
    if duration_ns is None:
        return NONE
    rest, parts = duration_ns, []
    for unit, letter in ((DAY_NS, "d"), (HOUR_NS, "h"), (MINUTE_NS, "m")):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{letter}")
    return " ".join(parts[:2]) or ("under 1m" if duration_ns else "0m")


def commonest_refusal(refusals: Mapping[str, int]) -> tuple[str, int] | None:
    """The refusal code that came most often, and how often; of equals the first by name."""
    return min(refusals.items(), key=lambda item: (-item[1], item[0])) if refusals else None


def result_rows(
    metrics: Metrics, *, synthetic: bool = False, deterministic: bool = True, fidelity: dict[str, str] | None = None
) -> list[tuple[str, str]]:
    """Pairs of label and text, in the order in which they are shown.

    Args:
        synthetic: the market was generated; said in the first line.
        deterministic: whether the same inputs give the same figures again; said when they do not.
        fidelity: where the simulation is coarser than live, sentence by rule; one line each.
    """
    rows: list[tuple[str, str]] = []
    if synthetic:
        rows.append(("DATA", "SYNTHETIC: a generated market, not a real one"))
    if not deterministic:
        rows.append(("NON-DETERMINISTIC", "a free schedule: another run of the same inputs may give other figures"))
    if metrics.outcome != "COMPLETED":
        rows.append(("OUTCOME", f"{metrics.outcome}: the figures cover only what was simulated"))
    if metrics.trades == 0:
        rows.append(("NO TRADES", why_no_trades(metrics.open_positions, metrics.fills, metrics.refusals)))
    rows += _money_rows(metrics)
    rows += _trade_rows(metrics)
    rows += _risk_rows(metrics)
    rows += [(f"fidelity: {rule}", sentence) for rule, sentence in sorted((fidelity or {}).items())]
    return rows


def why_no_trades(open_positions: int, fills: int, refusals: Mapping[str, int]) -> str:
    """Why a run closed no trade, as far as its counts tell."""
    if open_positions:
        return f"no position was closed; {open_positions} still open at the end"
    if fills:
        return "nothing was closed"
    refusal = commonest_refusal(refusals)
    if refusal is None:
        return "the run closed 0 trades and nothing was refused: the strategies never asked for one"
    total = sum(refusals.values())
    return (
        f"the run closed 0 trades; {counted(total, 'intent was', 'intents were')} refused, most often `{refusal[0]}` "
        f"({counted(refusal[1], 'time')})"
    )


def _financing_row(metrics: Metrics) -> list[tuple[str, str]]:
    """Swaps and funding, where there were any."""
    if not metrics.financing:
        return []
    return [("Swap and funding", money_text(-metrics.financing, metrics.currency, signed=True))]


def _money_rows(metrics: Metrics) -> list[tuple[str, str]]:
    currency = metrics.currency
    rows = [
        ("Gross profit", money_text(metrics.gross, currency, signed=True)),
        ("Spread", money_text(-metrics.spread_cost, currency, signed=True)),
        ("Slippage", money_text(-metrics.slippage_cost, currency, signed=True)),
        ("Commission", money_text(-metrics.commission, currency, signed=True)),
        *_financing_row(metrics),
        ("Net profit, closed trades", money_text(metrics.net, currency, signed=True)),
    ]
    if metrics.open_positions:
        label = f"Open at the end ({metrics.open_positions})"
        open_costs = metrics.open_spread_cost + metrics.open_slippage_cost + metrics.open_commission
        profit = metrics.open_profit + metrics.open_realised
        rows.append((label, f"{money_text(profit, currency, signed=True)}, costs of {money_text(open_costs)} in it"))
    rows += [
        ("Final equity", money_text(metrics.final_equity, currency)),
        ("Return", percent_text(metrics.return_percent, signed=True)),
        ("Buy and hold", percent_text(metrics.buy_and_hold_percent, signed=True)),
    ]
    return rows


def _trade_rows(metrics: Metrics) -> list[tuple[str, str]]:
    rows = [("Trades", f"{metrics.trades:,}")]
    if metrics.trades:
        rows += [
            ("Win rate", f"{percent_text(metrics.win_rate_percent)} ({metrics.wins:,} won, {metrics.losses:,} lost)"),
            ("Profit factor", ratio_text(metrics.profit_factor)),
            ("Expectancy", f"{money_text(metrics.expectancy, metrics.currency, signed=True)} a trade"),
            ("Average R", _r_text(metrics)),
        ]
    if metrics.ambiguous_trades:
        worst = money_text(metrics.net_worst, signed=True)
        best = money_text(metrics.net_best, metrics.currency, signed=True)
        rows.append(("Ambiguous trades", f"{metrics.ambiguous_trades:,}; net between {worst} and {best}"))
    refusal = commonest_refusal(metrics.refusals)
    if refusal is not None and metrics.trades:
        total = sum(metrics.refusals.values())
        rows.append(("Refused intents", f"{total:,}, most often `{refusal[0]}` ({counted(refusal[1], 'time')})"))
    return rows


def _r_text(metrics: Metrics) -> str:
    if metrics.average_r is None:
        return f"{NONE}: no trade had an initial stop"
    without = f", {metrics.without_r:,} without a stop" if metrics.without_r else ""
    return f"{metrics.average_r:+.3f} over {counted(metrics.r_counted, 'trade')}{without}"


def _risk_rows(metrics: Metrics) -> list[tuple[str, str]]:
    drawdown = percent_text(metrics.max_drawdown_percent)
    if metrics.max_drawdown_start_ns is not None and metrics.max_drawdown_trough_ns is not None:
        start, trough = format_instant(metrics.max_drawdown_start_ns), format_instant(metrics.max_drawdown_trough_ns)
        drawdown += f", from {start[:10]} to {trough[:10]}"
    return [
        ("Max drawdown", drawdown),
        ("Sharpe (daily)", ratio_text(metrics.sharpe)),
        ("Sortino (daily)", ratio_text(metrics.sortino)),
        ("Calmar", ratio_text(metrics.calmar)),
        ("Exposure", percent_text(metrics.exposure_percent)),
    ]
