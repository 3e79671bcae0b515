"""What a finished backtest hands back: plain values, no threads, no connections."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from src.core.bars import FloatArray, IntArray
from src.core.calendars import ALWAYS
from src.core.errors import LockstepError
from src.core.journal import JournalRecord
from src.core.records import Account, Fill, Order, Payment, Position, Trade

__all__ = ["BacktestResult", "Outcome", "SymbolSummary"]


class Outcome(StrEnum):
    """How a run ended; only COMPLETED owns `runs/<id>`."""

    COMPLETED = "COMPLETED"
    DEGRADED = "DEGRADED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSummary:
    """What one symbol's data were: first open and last close inside the window, bars, and its calendar's name."""

    symbol: str
    bars: int
    first_open: float | None
    last_close: float | None
    first_ns: int | None
    last_ns: int | None
    calendar: str = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """The outcome of one run.

    Attributes:
        digest: 64 hexadecimal characters over the journal.
        error: what ended a FAILED run, None otherwise; `failures` names the symbols dropped from a DEGRADED one.
        equity_ns, equity: shape (n,), the account's equity marked at each step, first sample at `start_ns`.
        records: the journal, in digest order.
        refusals: how often an intent was refused, by code.
        fidelity: where the simulation is coarser than live, sentence by rule.
        payments: money that came or went without an execution, in order.
        bars: closed base bars delivered inside the window, summed over the symbols.
        seconds: real time between the first and the last turn.
    """

    outcome: Outcome
    digest: str
    start_ns: int
    end_ns: int
    currency: str
    initial_balance: float
    account: Account
    symbols: tuple[SymbolSummary, ...]
    orders: list[Order]
    fills: list[Fill]
    trades: list[Trade]
    open_positions: tuple[Position, ...]
    equity_ns: IntArray
    equity: FloatArray
    records: list[JournalRecord]
    bars: int
    steps: int
    turns: int
    seconds: float
    error: LockstepError | None = None
    failures: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    fidelity: dict[str, str] = field(default_factory=dict)
    payments: tuple[Payment, ...] = ()

    @property
    def ambiguous_trades(self) -> list[Trade]:
        """The closed trades that another path inside a bar would have ended otherwise."""
        return [trade for trade in self.trades if trade.ambiguous]

    @property
    def profit_interval(self) -> tuple[float, float]:
        """The net profit of the closed trades had each ambiguous one gone the worse way, and the better way."""
        worst = math.fsum([trade.net_worst if trade.ambiguous else trade.net for trade in self.trades])
        return worst, math.fsum([trade.net_best if trade.ambiguous else trade.net for trade in self.trades])
