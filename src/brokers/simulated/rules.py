"""What a simulated venue is configured with: costs and fill rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from src.brokers.simulated.commission import Commission
from src.brokers.simulated.limit_fills import LimitFill, limit_fill_named
from src.brokers.simulated.slippage import Slippage
from src.core.bars import BarSeries
from src.core.record import record

__all__ = ["BlowOut", "Costs", "FillRules", "SideBars"]


@record
class BlowOut:
    """From one instant to another a symbol's spread is `factor` times as wide; every symbol's with an empty one."""

    symbol: str
    from_ns: int
    to_ns: int
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideBars:
    """Bars of further prices of one symbol, each with one row for each base bar; None for those that are not known.

    Attributes:
        bid, ask: both sides of the quote; one of them may be the base bars themselves.
        last, mark: the prices that stops may be triggered by.
        note: what whoever reads the results has to know of them, a sentence; empty for nothing.
    """

    bid: BarSeries | None = None
    ask: BarSeries | None = None
    last: BarSeries | None = None
    mark: BarSeries | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Trading costs; a 0 has to be written, so there are no defaults for the three models.

    Attributes:
        spread_percent, spread_points: the spread of every bar.
        spread_by_hour: instead, its points for each of the 24 hours of the day in UTC.
        spread_column: instead, bid and ask of each bar as they are in `sides`.
        sides: bars of further prices by symbol.
        latency_ns: the time from a decision to the moment at which an order counts.
        latency_jitter_ns: up to how much longer that takes, drawn for each request.
        volume_share: the share of a bar's volume that may fill on it, None without a limit.
        reject_percent: how many orders in a hundred are rejected after they were acknowledged.
        blow_outs: when the spread is wider than that.
    """

    commission: Commission
    slippage: Slippage
    spread_percent: float
    spread_points: float
    latency_ns: int = 0
    spread_by_hour: tuple[float, ...] | None = None
    spread_column: bool = False
    sides: Mapping[str, SideBars] = field(default_factory=dict)
    latency_jitter_ns: int = 0
    volume_share: float | None = None
    reject_percent: float = 0.0
    blow_outs: tuple[BlowOut, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRules:
    """Assumptions where a bar leaves the path open.

    Attributes:
        limit_fill: `through`, the price must trade beyond a limit, `touch`, or `seeded`: a limit that was touched fills
            with `touch_probability`; or another one of `LIMIT_FILLS`.
        intrabar: which exit comes first when a bar holds both; see `src.brokers.simulated.intrabar`.
        at_end: `close` positions at the last price when a symbol's data end, or `keep` them marked.
        no_entry_across_ns: a market order opens nothing when it has waited for a bar for longer than this in the open
            hours of the instrument's calendar, and longer than a bar; None for however long it takes.
        seed: of all draws.
        finer: bars shorter than the base bars by symbol; a base bar on which something may fill is worked through them.
        touched: the rule that `limit_fill` names.
    """

    limit_fill: str = "through"
    intrabar: Literal["worst", "best", "path"] = "worst"
    at_end: Literal["close", "keep"] = "close"
    no_entry_across_ns: int | None = None
    touch_probability: float = 0.5
    seed: int = 0
    finer: Mapping[str, BarSeries] = field(default_factory=dict)
    touched: LimitFill = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rule = limit_fill_named(self.limit_fill, probability=self.touch_probability, seed=self.seed)
        object.__setattr__(self, "touched", rule)
