"""What a paper account can charge, and what it refuses because no public price feed has it. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from src.brokers.simulated import Costs
from src.core.errors import ConfigError
from src.core.instrument import Instrument

__all__ = ["paper_costs", "paper_funding"]


def paper_costs(costs: Costs) -> Costs:
    """The costs with the spread left to the quotes, which have one of their own.

    Raises:
        ConfigError: a cost needs what no feed has.
    """
    if costs.volume_share is not None:
        raise ConfigError(
            "costs.volume_share needs the volume of the bar on which an order fills, and with mode paper orders fill "
            "at quotes, found it set: leave it out of paper.costs"
        )
    return replace(
        costs, spread_percent=0.0, spread_points=0.0, spread_by_hour=None, spread_column=False, sides={}, blow_outs=()
    )


def paper_funding(instruments: Mapping[str, Instrument]) -> None:
    """Refuse symbols that pay stored funding rates.

    Raises:
        ConfigError: one does.
    """
    paying = [symbol for symbol, rules in instruments.items() if rules.funding]
    if paying:
        raise ConfigError(
            f"instruments.{paying[0]}.funding needs the funding rates of {', '.join(paying)}, and with mode paper "
            "there are none: write funding: false, and count with results that leave funding out",
            symbol=paying[0],
        )
