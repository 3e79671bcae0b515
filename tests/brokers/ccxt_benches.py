"""Benches of the ccxt broker for the broker contract: a local venue, asked over HTTP by the unmodified client of ccxt.

The venue's clock stands. To wait is to let a bar close and to read the account again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.ccxt_client import CcxtClient, key_names
from src.brokers.simulated import Commission, Costs, Slippage
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.broker_contract import Bench, Capability
from src.testing.venue import KEY, SECRET, LocalVenue
from src.testing.venue_wire import Reply
from tests.brokers.contract_benches import START_NS, bars_that_stand, move_prices

__all__ = ["ABLE", "START_NS", "SYMBOL", "CcxtBench", "Market", "ccxt_bench", "client_to", "run_on_bench"]

SYMBOL = "BTCUSDT"
BARS = 3_000
HISTORY = 5
#: So many minutes of the market are long enough for anything that a case waits for.
PATIENCE = 8
#: Between the closes of bars, where nothing happens by itself.
WITHIN_NS = 10 * SECOND_NS

#: What the broker can do at this exchange.
ABLE = frozenset({
    Capability.NETTING, Capability.SHORT, Capability.MODIFY, Capability.STOP_ORDERS, Capability.PROTECTION,
    Capability.STOP_LIMIT, Capability.IOC, Capability.FOK, Capability.POST_ONLY, Capability.FIND_ORDER,
    Capability.MOVES_PRICES, Capability.REVERSE,
})  # fmt: skip
RULES = Instrument(
    symbol=SYMBOL, kind="perpetual", quote_currency="USDT", tick=0.01, volume_step=0.001, min_volume=0.01,
    max_volume=1e6, min_notional=5.0,
)  # fmt: skip
COSTS = Costs(
    commission=Commission(percent=0.05), slippage=Slippage(percent=0.01), spread_percent=0.0, spread_points=0.02
)  # fmt: skip
ACCOUNT = AccountConfig.model_validate({"currency": "USDT", "balance": 10_000, "leverage": 5})


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A market of the venue, and who trades there.

    Attributes:
        options: of ccxt's client.
    """

    exchange: str
    rules: Instrument
    account: AccountConfig
    broker: type[CcxtBroker]
    options: Mapping[str, Any] = field(default_factory=dict)


PERPETUALS = Market(exchange="binanceusdm", rules=RULES, account=ACCOUNT, broker=CcxtBroker)


#: In the headers of an answer that says that there is none.
_SILENT = "X-Silent"


class _CurtVenue(LocalVenue):
    """Says at once that it will not answer, so that nobody has to wait for it, and nobody who waits is taken for that.

    A time-out that is short enough to be waited for is exceeded by every machine that stands still for a moment.
    """

    def _asked(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        reply = super()._asked(method, path, query, headers)
        return replace(reply, way="send", headers={_SILENT: "yes"}) if reply.way == "silent" else reply


class _Hearing(HTTPAdapter):
    """Makes of such an answer what the library makes of none in time."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """See `HTTPAdapter.send`; waits for an answer as long as it takes."""
        response = super().send(request, *args, **{**more, "timeout": None})
        if _SILENT in response.headers:
            response.close()
            raise requests.ReadTimeout("no answer in time")
        return response


def client_to(venue: LocalVenue, *, market: Market = PERPETUALS, **more: Any) -> CcxtClient:
    """A client that is connected with the venue."""
    names = key_names(market.exchange, "demo")
    options = {"rateLimit": 0.01, **market.options}
    client = CcxtClient(
        market.exchange, environment="demo", url=venue.url, now_ns=venue.now_ns, real_ns=venue.now_ns,
        environ=dict(zip(names, (KEY, SECRET), strict=True)), wait=lambda seconds: None, options=options, **more,
    )  # fmt: skip
    for inner in (client._ccxt, client._acting):
        inner.session.mount(venue.url, _Hearing())
    return client


class CcxtBench:
    """See `Bench`: prices stand still until they are moved."""

    symbol = SYMBOL
    prefix = "t"

    def __init__(self, venue: LocalVenue, series: BarSeries, broker: CcxtBroker) -> None:
        self.venue = venue
        self.series = series
        self.broker = broker

    def now_ns(self) -> int:
        """See `Bench.now_ns`."""
        return self.venue.now_ns()

    def until(self, condition: Callable[[], bool]) -> bool:
        """See `Bench.until`."""
        for _ in range(PATIENCE):
            if condition():
                return True
            now = self.venue.now_ns()
            self.venue.advance_to(now - now % MINUTE_NS + MINUTE_NS + WITHIN_NS)
            self.broker.refresh()
        return condition()

    def move_to(self, price: float) -> None:
        """See `Bench.move_to`."""
        move_prices(self.series, price)


def standing_prices(symbol: str = SYMBOL) -> BarSeries:
    """Bars that stay at a price."""
    return bars_that_stand(symbol, history=HISTORY, bars=BARS)


@contextmanager
def ccxt_bench(
    costs: Costs = COSTS, *, market: Market = PERPETUALS, coins: Mapping[str, float] | None = None, **more: Any
) -> Iterator[CcxtBench]:
    """A fresh account at a venue of its own, with a broker that has begun."""
    series, rules = standing_prices(), {SYMBOL: market.rules}
    with _CurtVenue(
        {SYMBOL: series}, rules, START_NS + WITHIN_NS, account=market.account, costs=costs, coins=coins
    ) as venue:
        broker = market.broker(
            client_to(venue, market=market), market.account, rules, {SYMBOL: (MINUTE_NS,)},
            now_ns=venue.now_ns, bars_from_ns=START_NS - HISTORY * MINUTE_NS, **more,
        )  # fmt: skip
        broker.start()
        try:
            yield CcxtBench(venue, series, broker)
        finally:
            broker.client.close()


def run_on_bench(run: Callable[[Bench], None], market: Market = PERPETUALS) -> None:
    """A factory of benches for `check`."""
    with ccxt_bench(market=market) as bench:
        run(bench)
