"""How the figures of a run are shown in the tables of suites, and what each of them says. Pure; any thread."""

from typing import Any

from src.backtesting.summary import money_text, percent_text, ratio_text
from src.pages import Column
from src.research.suite.report_data import JUDGED, WINDOW
from src.research.suite.results_file import METRIC_COLUMNS

__all__ = ["COLUMNS", "LEADING", "column_of", "shown", "words_of"]

#: What most people look for first.
LEADING = (
    "trades", "net", "return_percent", "max_drawdown_percent", "sharpe", "deflated_sharpe", "trials", "profit_factor",
    "win_rate_percent", "average_r", "total_r",
)  # fmt: skip

_MONEY = frozenset({
    "net", "gross", "final_equity", "final_balance", "initial_balance", "expectancy", "max_drawdown", "spread_cost",
    "slippage_cost", "commission", "financing", "open_profit", "open_realised", "open_spread_cost",
    "open_slippage_cost", "open_commission", "average_win", "average_loss", "net_worst", "net_best", "notional",
})  # fmt: skip
_INSTANTS = frozenset({"start_ns", "end_ns", "max_drawdown_start_ns", "max_drawdown_trough_ns"})
_TONED = frozenset({"net", "return_percent", "annual_return_percent", "expectancy", "average_r", "total_r", "gross",
                    "net_worst", "net_best", "buy_and_hold_percent"})  # fmt: skip
_DIGITS = {
    "sharpe": 2, "sortino": 2, "calmar": 2, "deflated_sharpe": 3, "profit_factor": 2, "average_r": 3, "total_r": 2,
    "skew": 2, "kurtosis": 2, "turnover": 1,
}  # fmt: skip
_MEANINGS = {
    "trades": "Closed trades.",
    "net": "What the closed trades brought after spread, slippage, commission and financing.",
    "gross": "What the closed trades brought before their costs.",
    "return_percent": "Final equity over initial balance, less 1, in percent.",
    "annual_return_percent": "The daily returns compounded to a year, in percent.",
    "buy_and_hold_percent": "Mean over the symbols of last close over first open, less 1, without costs.",
    "max_drawdown_percent": "Largest fall of equity from a peak, in percent of it, over the samples.",
    "max_drawdown": "Largest fall of equity from a peak in money, over the samples.",
    "sharpe": "Mean over standard deviation of the daily returns, times the square root of the days of a year.",
    "sortino": "As the Sharpe ratio, over the root mean square of the losing days alone.",
    "calmar": "Annual return over the largest drawdown.",
    "deflated_sharpe": "The probability that this run is better than the best of so many trials would be by chance.",
    "trials": "Different configurations that were tried on these data, as far as the trial ledger knows.",
    "profit_factor": "Net of the winners over the net of the losers.",
    "win_rate_percent": "Share of the trades with a net above 0.",
    "expectancy": "Mean net of a trade.",
    "average_r": "Mean profit of a trade in units of its initial risk.",
    "total_r": "Sum of the profits in units of the initial risk.",
    "r_counted": "Trades with an initial stop, and so with an R.",
    "without_r": "Trades without an initial stop, and so without an R.",
    "exposure_percent": "Share of the window during which a position was open.",
    "longest_flat_ns": "Longest time without any position.",
    "longest_underwater_ns": "Longest time below a former peak of equity.",
    "average_trade_ns": "Mean time that a trade was open.",
    "ambiguous_trades": "Trades with a fill inside a bar that could have gone another way.",
    "net_worst": "The net if every ambiguous fill had gone the worse way.",
    "net_best": "The net if every ambiguous fill had gone the better way.",
    "notional": "Price times volume of all fills.",
    "turnover": "The notional over the initial balance.",
    "skew": "Of the daily returns; 0 of a normal distribution.",
    "kurtosis": "Of the daily returns; 3 of a normal distribution.",
    "days": "How many daily returns there are.",
}

#: What a heading says where it is not the name in code without its unit.
_WORDS = {
    "start_ns": "From", "end_ns": "To", "r_counted": "Trades with R", "without_r": "Trades without R",
    "average_r": "Average R", "total_r": "Total R", "sharpe": "Sharpe", "deflated_sharpe": "Deflated Sharpe",
    "max_drawdown": "Max drawdown in money", "max_drawdown_start_ns": "Drawdown from",
    "max_drawdown_trough_ns": "Drawdown to", "net_worst": "Net at worst", "net_best": "Net at best",
    "longest_flat_ns": "Longest flat", "longest_underwater_ns": "Longest under water", "sortino": "Sortino",
    "calmar": "Calmar", "days_per_year": "Days a year",
}  # fmt: skip


def column_of(name: str) -> Column:
    """The column of a figure."""
    return COLUMNS[name]


def words_of(name: str) -> str:
    """A figure's name as a heading: `max_drawdown_percent` is `Max drawdown`."""
    plain = name.removesuffix("_percent").removesuffix("_ns").replace("_", " ")
    return _WORDS.get(name) or plain[:1].upper() + plain[1:]


def shown(name: str, value: Any) -> str:
    """A figure as a tile shows it."""
    kind = COLUMNS[name].kind
    if value is None:
        return "n/a"
    if kind == "percent":
        return percent_text(value)
    if kind == "money":
        return money_text(value)
    return ratio_text(value) if isinstance(value, float) else f"{value:,}"


def _column(name: str) -> Column:
    meaning, tone, digits = _MEANINGS.get(name, ""), name in _TONED, _DIGITS.get(name)
    words = words_of(name)
    if name.endswith("_percent"):
        return Column(name=words, key=name, kind="percent", meaning=meaning, tone=tone)
    if name in _MONEY:
        return Column(name=words, key=name, kind="money", meaning=meaning, tone=tone)
    if name in _INSTANTS:
        return Column(name=words, key=name, kind="instant", meaning=meaning)
    if name.endswith("_ns"):
        return Column(name=words, key=name, kind="duration", meaning=meaning)
    if name == "currency":
        return Column(name=words, key=name, meaning=meaning)
    return Column(name=words, key=name, kind="number", meaning=meaning, tone=tone, digits=digits)


#: For each figure of a run its column.
COLUMNS: dict[str, Column] = {name: _column(name) for name in (*WINDOW, *METRIC_COLUMNS, *JUDGED)}
