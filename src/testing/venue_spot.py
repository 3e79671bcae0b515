"""The spot market of the local venue: what of it differs from the one with perpetuals, put together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from src.brokers.simulated import Commission, Costs
from src.core.config import AccountConfig
from src.testing.venue_spot_account import SpotAccount
from src.testing.venue_spot_market import SpotMarket
from src.testing.venue_spot_orders import SpotOrders
from src.testing.venue_spot_routes import SpotRoutes
from src.testing.venue_wire import Json
from src.testing.venue_world import VenueWorld

__all__ = ["SpotParts", "matching_of", "spot_parts"]

#: What the account of the matching has, so that nothing is refused there for want of money.
_ENOUGH = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotParts:
    """What answers."""

    market: SpotMarket
    orders: SpotOrders
    routes: SpotRoutes


def matching_of(account: AccountConfig, costs: Costs) -> tuple[AccountConfig, Costs]:
    """The account and the costs of the broker that matches orders: it knows no coins and takes no commission."""
    large = {"currency": account.currency, "balance": _ENOUGH, "leverage": 100}
    return AccountConfig.model_validate(large), replace(costs, commission=Commission())


def spot_parts(
    world: VenueWorld, account: AccountConfig, costs: Costs, coins: Mapping[str, float], limits: list[Json]
) -> SpotParts:
    """The spot market of a world.

    Args:
        account: its balance is what is there at first of its currency.
        coins: what is there of others.
    """
    market = SpotMarket(world, limits)
    orders = SpotOrders(world, {account.currency: account.balance, **coins}, costs.commission)
    told = SpotAccount(world, market, orders)
    return SpotParts(market=market, orders=orders, routes=SpotRoutes(market, orders, told))
