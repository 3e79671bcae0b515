"""What a simulated venue is configured with: costs and fill rules."""

from dataclasses import dataclass
from typing import Literal

from src.brokers.simulated.commission import Commission
from src.brokers.simulated.slippage import Slippage

__all__ = ["Costs", "FillRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Trading costs; a 0 has to be written, so there are no defaults for the three models.

    `latency_ns` is the time from a decision to the moment at which an order counts.
    """

    commission: Commission
    slippage: Slippage
    spread_percent: float
    spread_points: float
    latency_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRules:
    """Assumptions where a bar leaves the path open.

    Attributes:
        limit_fill: `through`, the price must trade beyond a limit, or `touch`.
        intrabar: which exit comes first when a bar holds both; `worst` for the position.
        at_end: `close` positions at the last price when a symbol's data end, or `keep` them marked.
        no_entry_across_ns: a market order opens nothing when it has waited for a bar for longer than this in the open
            hours of the instrument's calendar, and longer than a bar; None for however long it takes.
    """

    limit_fill: Literal["through", "touch"] = "through"
    intrabar: Literal["worst"] = "worst"
    at_end: Literal["close", "keep"] = "close"
    no_entry_across_ns: int | None = None
