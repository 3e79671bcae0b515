"""The simulated venue: a lock-guarded shell over pure matching and ledger, for virtual and for real time."""

from src.brokers.simulated.broker import SimulatedBroker
from src.brokers.simulated.commission import Commission
from src.brokers.simulated.live_broker import LiveSimulatedBroker
from src.brokers.simulated.quotes import PriceTape
from src.brokers.simulated.rules import Costs, FillRules
from src.brokers.simulated.slippage import Slippage

__all__ = [
    "Commission",
    "Costs",
    "FillRules",
    "LiveSimulatedBroker",
    "PriceTape",
    "SimulatedBroker",
    "Slippage",
]
