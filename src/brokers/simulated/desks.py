"""Which desk a symbol gets: the plain one, or one whose spread is another for each bar. Pure."""

from src.brokers.simulated.blown_spread import blown_out
from src.brokers.simulated.desk import Desk
from src.brokers.simulated.rules import Costs, SideBars
from src.brokers.simulated.varying_spread import VaryingDesk, column_spread, hourly_spread
from src.core.bars import BarSeries
from src.core.instrument import Instrument

__all__ = ["desk_for"]


def desk_for(instrument: Instrument, series: BarSeries, costs: Costs, rank: int) -> Desk:
    """The desk of a symbol; see `Desk`."""
    spread = None if costs.spread_by_hour is None else hourly_spread(series, costs.spread_by_hour)
    if costs.spread_column:
        spread = column_spread(series, costs.sides.get(instrument.symbol, SideBars()))
    if costs.blow_outs:
        spread = blown_out(series, costs, spread)
    if spread is None:
        return Desk(instrument, series, costs, rank)
    return VaryingDesk(instrument, series, costs, rank, spread)
