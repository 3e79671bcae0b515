"""What a finished backtest hands back: plain values, no threads, no connections."""

from dataclasses import dataclass, field
from enum import StrEnum

from src.core.bars import FloatArray, IntArray
from src.core.calendars import ALWAYS
from src.core.errors import LockstepError
from src.core.journal import JournalRecord
from src.core.records import Account, Fill, Order, Position, Trade

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
