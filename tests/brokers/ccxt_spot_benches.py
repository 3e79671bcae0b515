"""Benches of the ccxt broker of a spot account: a local venue, asked over HTTP by the unmodified client of ccxt.

As `ccxt_benches`: the venue's clock stands, and to wait is to let a bar close and to read the account again.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from src.brokers.ccxt_spot_broker import CcxtSpotBroker
from src.brokers.ccxt_spot_wire import SPOT_OPTIONS
from src.brokers.simulated import Costs
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.testing.broker_contract import Capability
from tests.brokers import ccxt_benches
from tests.brokers.ccxt_benches import COSTS, SYMBOL, CcxtBench, Market, ccxt_bench

__all__ = ["ABLE", "ACCOUNT", "RULES", "client_to", "run_on_bench", "spot_bench"]

#: What the broker can do at this exchange.
ABLE = frozenset({
    Capability.SPOT, Capability.STOP_ORDERS, Capability.PROTECTION, Capability.STOP_LIMIT, Capability.IOC,
    Capability.FOK, Capability.POST_ONLY, Capability.FIND_ORDER, Capability.MOVES_PRICES,
})  # fmt: skip
RULES = Instrument(
    symbol=SYMBOL, kind="spot", quote_currency="USDT", base_currency="BTC", tick=0.01, volume_step=0.001,
    min_volume=0.01, max_volume=1e6, min_notional=5.0,
)  # fmt: skip
ACCOUNT = AccountConfig.model_validate({"currency": "USDT", "balance": 10_000, "type": "spot"})


SPOT = Market(
    exchange="binance", rules=RULES, account=ACCOUNT, broker=CcxtSpotBroker, options={"options": SPOT_OPTIONS}
)

client_to = partial(ccxt_benches.client_to, market=SPOT)


def spot_bench(
    costs: Costs = COSTS, *, fees_in_coin: bool = False, **more: Any
) -> AbstractContextManager[CcxtBench]:  # fmt: skip
    """A fresh account at a venue of its own, with a broker that has begun; see `ccxt_bench`."""
    market = replace(SPOT, rules=replace(RULES, fees_in_base=fees_in_coin))
    return ccxt_bench(costs, market=market, **more)


run_on_bench = partial(ccxt_benches.run_on_bench, market=SPOT)
