"""The figures of a finished run. Undefined is None (`null` in JSON), never 0 and never NaN.

Pure functions over a result; any thread. Sums are exact (`math.fsum`), so no figure depends on the order of the trades.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from src.backtesting import equity as curve
from src.backtesting.reconcile import Replay, open_payments, replay_fills
from src.backtesting.result import BacktestResult, Outcome, SymbolSummary
from src.core.bars import IntArray
from src.core.day import AccountDay
from src.core.records import Trade

__all__ = ["GroupMetrics", "Metrics", "compute_metrics", "lived_until"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMetrics:
    """The closed trades of one symbol, or of one book; money in the account's currency.

    Attributes:
        gross: profit at the prices between bid and ask, before any cost.
        average_r: mean of the trades that have an R; None without one.
        buy_and_hold_percent: first open to last close of a symbol; None for a book or without bars.
        open_volume: signed volume still held at the end; None for a book, which may hold several symbols.
    """

    name: str
    trades: int
    wins: int
    win_rate_percent: float | None
    gross: float
    spread_cost: float
    slippage_cost: float
    commission: float
    financing: float
    net: float
    profit_factor: float | None
    expectancy: float | None
    average_r: float | None
    ambiguous_trades: int
    buy_and_hold_percent: float | None
    open_volume: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one run; money in the account's currency, shares in percent, durations in nanoseconds.

    Always `final_equity = initial_balance + net + open_realised + open_profit`.

    Attributes:
        gross, spread_cost, slippage_cost, commission, financing, net: of closed trades; `net` is gross less the four
            costs, of which swaps and funding, the financing, may be negative.
        open_profit: equity less balance at the end: what the open positions would bring at the last prices.
        open_realised: what positions still open have already changed the balance by (entry commission, parts closed,
            swaps and funding), and a debt that the venue let go.
        open_spread_cost, open_slippage_cost, open_commission: costs paid by positions still open.
        buy_and_hold_percent: mean over the symbols with bars of last close / first open - 1, without costs.
        wins, losses: trades with a net above, below zero; the rest broke even.
        profit_factor: net of the winners over the net of the losers; None without a loser.
        expectancy: mean net of a trade.
        average_r, total_r: over the `r_counted` trades that have an initial stop; `without_r` have none.
        max_drawdown_percent, max_drawdown: largest fall from a peak in percent of it, and in money, over the samples.
        annual_volatility_percent, sharpe, sortino, calmar: from daily returns, see `src.backtesting.equity`; `days`
            counts these returns, and `days_per_year` is how many a year has: the sessions of the symbols' calendar, or
            365 where they differ, or where it does not know the window.
        skew, kurtosis: shape of the daily returns; a normal distribution has 0 and 3.
        exposure_percent: share of the window during which at least one position was open.
        longest_flat_ns: longest time without any position.
        net_worst, net_best: the net if every ambiguous fill had gone the worse, the better way.
        notional: price times volume of all fills; `turnover` is that over the start balance.
        exit_kinds: trades by what closed them.
        refusals: refused intents by code.
    """

    currency: str
    outcome: str
    start_ns: int
    end_ns: int
    initial_balance: float
    final_balance: float
    final_equity: float
    return_percent: float | None
    annual_return_percent: float | None
    buy_and_hold_percent: float | None
    gross: float
    spread_cost: float
    slippage_cost: float
    commission: float
    financing: float
    net: float
    open_positions: int
    open_profit: float
    open_realised: float
    open_spread_cost: float
    open_slippage_cost: float
    open_commission: float
    fills: int
    trades: int
    wins: int
    losses: int
    win_rate_percent: float | None
    average_win: float | None
    average_loss: float | None
    profit_factor: float | None
    expectancy: float | None
    average_r: float | None
    total_r: float | None
    r_counted: int
    without_r: int
    max_drawdown_percent: float | None
    max_drawdown: float | None
    max_drawdown_start_ns: int | None
    max_drawdown_trough_ns: int | None
    longest_underwater_ns: int | None
    days: int
    days_per_year: float
    annual_volatility_percent: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    skew: float | None
    kurtosis: float | None
    exposure_percent: float | None
    longest_flat_ns: int | None
    average_trade_ns: int | None
    ambiguous_trades: int
    net_worst: float
    net_best: float
    notional: float
    turnover: float | None
    exit_kinds: dict[str, int]
    refusals: dict[str, int]
    per_symbol: tuple[GroupMetrics, ...]
    per_book: tuple[GroupMetrics, ...]

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON: tables as lists of objects, anything that is no finite number null."""
        values: dict[str, Any] = _plain(dataclasses.asdict(self))
        return values

    def to_dict(self) -> dict[str, Any]:
        """`as_dict`, by the name that pandas has for it."""
        return self.as_dict()


def compute_metrics(
    result: BacktestResult, *, day: AccountDay | None = None, replay: Replay | None = None
) -> Metrics:  # fmt: skip
    """The figures of `result`.

    Args:
        day: when the account's day starts, for the daily returns; midnight UTC by default.
        replay: of the result's fills, where it is known already.

    Raises:
        InternalError: a fill closes more than its position holds.
        ConfigError: a symbol's calendar is none.
    """
    replay = replay_fills(result.fills) if replay is None else replay
    initial, final = result.initial_balance, result.account.equity
    closed = _of_trades(result.trades)
    return Metrics(
        currency=result.currency,
        outcome=result.outcome.value,
        start_ns=result.start_ns,
        end_ns=result.end_ns,
        initial_balance=initial,
        final_balance=result.account.balance,
        final_equity=final,
        return_percent=_percent(final - initial, initial),
        buy_and_hold_percent=_mean(
            [held for held in map(_buy_and_hold, result.symbols) if held is not None],
        ),
        fills=len(result.fills),
        notional=(notional := math.fsum(fill.price * fill.volume for fill in result.fills)),
        turnover=notional / initial if initial > 0 else None,
        exit_kinds=dict(sorted(Counter(trade.exit_kind for trade in result.trades).items())),
        refusals=dict(sorted(result.refusals.items())),
        per_symbol=_per_symbol(result, replay, closed),
        per_book=_per_book(result, replay, closed),
        **closed,
        **_of_trade_lists(result.trades),
        **_of_open_positions(result, replay),
        **_of_equity(result, day),
        **_of_time(result, replay),
    )


def _of_trades(trades: Sequence[Trade]) -> dict[str, Any]:
    """The figures that a whole run and each of its groups share."""
    nets = [trade.net for trade in trades]
    won = math.fsum(net for net in nets if net > 0)
    lost = -math.fsum(net for net in nets if net < 0)
    wins = sum(net > 0 for net in nets)
    return {
        "trades": len(trades),
        "wins": wins,
        "win_rate_percent": _percent(wins, len(trades)),
        "gross": _sum(trades, attrgetter("gross")),
        "spread_cost": _sum(trades, attrgetter("spread_cost")),
        "slippage_cost": _sum(trades, attrgetter("slippage_cost")),
        "commission": _sum(trades, attrgetter("commission")),
        "financing": _sum(trades, attrgetter("financing")),
        "net": math.fsum(nets),
        "profit_factor": won / lost if lost > 0 else None,
        "expectancy": _mean(nets),
        "average_r": _mean([trade.r for trade in trades if trade.r is not None]),
        "ambiguous_trades": sum(trade.ambiguous for trade in trades),
    }


def _of_trade_lists(trades: Sequence[Trade]) -> dict[str, Any]:
    rs = [trade.r for trade in trades if trade.r is not None]
    spans = [trade.exit_ns - trade.entry_ns for trade in trades]
    return {
        "losses": sum(trade.net < 0 for trade in trades),
        "average_win": _mean([trade.net for trade in trades if trade.net > 0]),
        "average_loss": _mean([trade.net for trade in trades if trade.net < 0]),
        "total_r": math.fsum(rs) if rs else None,
        "r_counted": len(rs),
        "without_r": len(trades) - len(rs),
        "average_trade_ns": sum(spans) // len(spans) if spans else None,
        "net_worst": _sum(trades, lambda trade: trade.net_worst if trade.ambiguous else trade.net),
        "net_best": _sum(trades, lambda trade: trade.net_best if trade.ambiguous else trade.net),
    }


def _of_open_positions(result: BacktestResult, replay: Replay) -> dict[str, Any]:
    legs = replay.open_legs
    return {
        "open_positions": len(legs),
        "open_profit": result.account.equity - result.account.balance,
        "open_realised": math.fsum([*(leg.realised for leg in legs), *open_payments(result.payments, replay)]),
        "open_spread_cost": math.fsum(leg.spread_cost for leg in legs),
        "open_slippage_cost": math.fsum(leg.slippage_cost for leg in legs),
        "open_commission": math.fsum(leg.commission for leg in legs),
    }


def lived_until(outcome: str, end_ns: int, equity_ns: IntArray) -> int:
    """The end of what was simulated: the window's end, or the last sample of a run that was cut short."""
    whole = outcome in (Outcome.COMPLETED, Outcome.DEGRADED)
    return end_ns if whole or not len(equity_ns) else int(equity_ns[-1])


def _lived_until(result: BacktestResult) -> int:
    return lived_until(result.outcome, result.end_ns, result.equity_ns)


def _of_equity(result: BacktestResult, day: AccountDay | None) -> dict[str, Any]:
    calendar = curve.shared_calendar((each.calendar for each in result.symbols), result.start_ns, result.end_ns)
    daily = curve.daily_equity(result.equity_ns, result.equity, result.start_ns, _lived_until(result), day, calendar)
    returns = curve.daily_returns(daily)
    fall = curve.drawdown(result.equity_ns, result.equity)
    year = calendar.days_per_year
    yearly, spread = curve.annual_return(daily, year), curve.volatility(returns, year)
    return {
        "days": max(0, len(daily) - 1),
        "days_per_year": year,
        "annual_return_percent": None if yearly is None else yearly * 100,
        "annual_volatility_percent": None if spread is None else spread * 100,
        "sharpe": curve.sharpe(returns, year),
        "sortino": curve.sortino(returns, year),
        "calmar": curve.calmar(daily, fall.percent if fall else None, year),
        "skew": curve.skew(returns),
        "kurtosis": curve.kurtosis(returns),
        "max_drawdown_percent": fall.percent if fall else None,
        "max_drawdown": fall.money if fall else None,
        "max_drawdown_start_ns": fall.start_ns if fall else None,
        "max_drawdown_trough_ns": fall.trough_ns if fall else None,
        "longest_underwater_ns": fall.longest_underwater_ns if fall else None,
    }


def _of_time(result: BacktestResult, replay: Replay) -> dict[str, Any]:
    start, end = result.start_ns, _lived_until(result)
    if end <= start:
        return {"exposure_percent": None, "longest_flat_ns": None}
    intervals = [*replay.held_ns, *((leg.opened_ns, end) for leg in replay.open_legs)]
    held, flat, reached = 0, 0, start
    for opened, closed in sorted(intervals):
        flat = max(flat, min(opened, end) - reached)
        held += max(0, min(closed, end) - max(opened, reached))
        reached = max(reached, min(closed, end))
    return {"exposure_percent": held / (end - start) * 100, "longest_flat_ns": max(flat, end - reached)}


def _of_group(trades: Sequence[Trade], result: BacktestResult, closed: dict[str, Any]) -> dict[str, Any]:
    """`_of_trades` of some trades of the run, whose own figures are `closed`: a lone group has them all."""
    return closed if len(trades) == len(result.trades) else _of_trades(trades)


def _per_symbol(result: BacktestResult, replay: Replay, closed: dict[str, Any]) -> tuple[GroupMetrics, ...]:
    summaries = {summary.symbol: summary for summary in result.symbols}
    names = sorted(summaries.keys() | {fill.symbol for fill in result.fills})
    return tuple(
        GroupMetrics(
            name=name,
            buy_and_hold_percent=_buy_and_hold(summaries[name]) if name in summaries else None,
            open_volume=math.fsum(leg.volume for leg in replay.open_legs if leg.symbol == name),
            **_of_group([trade for trade in result.trades if trade.symbol == name], result, closed),
        )
        for name in names
    )


def _per_book(result: BacktestResult, replay: Replay, closed: dict[str, Any]) -> tuple[GroupMetrics, ...]:
    names = sorted({trade.book for trade in result.trades} | {leg.book for leg in replay.open_legs})
    return tuple(
        GroupMetrics(
            name=name,
            buy_and_hold_percent=None,
            open_volume=None,
            **_of_group([trade for trade in result.trades if trade.book == name], result, closed),
        )
        for name in names
    )


def _buy_and_hold(summary: SymbolSummary) -> float | None:
    first, last = summary.first_open, summary.last_close
    return None if first is None or last is None or first <= 0 else (last / first - 1) * 100


def _sum(trades: Iterable[Trade], value: Callable[[Trade], float]) -> float:
    return math.fsum(map(value, trades))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _percent(part: float, whole: float) -> float | None:
    return part / whole * 100 if whole > 0 else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
