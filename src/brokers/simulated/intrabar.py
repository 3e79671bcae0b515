"""In which order did a bar reach its extremes? The assumption where one bar holds both exits of a position. Pure.

`worst` assumes no path at all: for each position the outcome that is worse for it. `best` is the reverse, for the other
end of the interval and for nothing else. `path` assumes one path for everybody: open, the extreme that is nearer to the
open, the other extreme, close. Whatever is assumed, a trade that another path would have ended otherwise is ambiguous.
"""

from enum import Enum

from src.core.bars import BarSeries
from src.core.errors import ConfigError

__all__ = ["INTRABAR", "Assumption", "assumption_for"]

INTRABAR = ("worst", "best", "path")


class Assumption(Enum):
    """What is assumed for one position on one bar."""

    WORST = "the worse outcome"
    BEST = "the better outcome"
    FAVOURABLE_FIRST = "the extreme on the side of the profit comes first"
    ADVERSE_FIRST = "the extreme on the side of the loss comes first"


def assumption_for(name: str, series: BarSeries, i: int, *, long: bool) -> Assumption:
    """What `name` assumes for a position on bar `i`; of equally near extremes the adverse one comes first.

    Raises:
        ConfigError: there is no such assumption.
    """
    if name == "worst":
        return Assumption.WORST
    if name == "best":
        return Assumption.BEST
    if name == "path":
        up, down = series.high_at[i] - series.open_at[i], series.open_at[i] - series.low_at[i]
        favourable, adverse = (up, down) if long else (down, up)
        return Assumption.FAVOURABLE_FIRST if favourable < adverse else Assumption.ADVERSE_FIRST
    raise ConfigError(f"expected an assumption among {', '.join(INTRABAR)}, found {name!r}")
