"""A seeded life on a spot account: prices, faults, restarts and wishes at random, and the venue's truth at the end."""

from contextlib import suppress
from random import Random

from src.brokers.ccxt_spot_broker import CcxtSpotBroker
from src.core.errors import BrokerUnavailable
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_benches import START_NS, SYMBOL, CcxtBench
from tests.brokers.ccxt_spot_benches import ACCOUNT, RULES, client_to, spot_bench

__all__ = ["live_at_random"]

THEIRS = 30.0
_KINDS = [kind for kind in FaultKind if kind is not FaultKind.SLOW]
_ENDPOINTS = (
    "POST order", "POST orderList/oco", "DELETE orderList", "DELETE order", "GET order", "GET account", "GET myTrades",
    "GET openOrders",
)  # fmt: skip


class _Life:
    def __init__(self, bench: CcxtBench, draw: Random) -> None:
        self.bench = bench
        self.draw = draw
        self.sent: list[OrderRequest] = []
        self.problems: list[str] = []

    def place(self, **values: object) -> None:
        """Send an order under an id of its own, at most once."""
        request = OrderRequest(
            client_id=f"ksoak{len(self.sent)}",
            book="S",
            symbol=SYMBOL,
            **values,  # type: ignore[arg-type]  # prices
        )
        self.sent.append(request)
        with suppress(BrokerUnavailable):
            self.bench.broker.place(request)

    def close(self, volume: float | None = None) -> None:
        """Close what is held, or a part of it."""
        position = self.bench.broker.position("S", SYMBOL)
        if not position.is_flat:
            volume = position.volume if volume is None else volume
            self.place(side=Side.SELL, type=OrderType.MARKET, volume=volume, reduce_only=True,
                       position_id=position.position_id)  # fmt: skip

    def later(self, seconds: float) -> None:
        """Let time go by, and read."""
        self.bench.venue.advance_to(self.bench.now_ns() + round(seconds * SECOND_NS))
        with suppress(BrokerUnavailable):
            self.bench.broker.refresh()
        there = self.bench.venue.coins["BTC"]
        if there < THEIRS - 1e-9:
            self.problems.append(f"{THEIRS} coins were other people's, and there are {there}")

    def restart(self) -> None:
        """Begin anew, knowing what was sent."""
        self.bench.broker.client.close()
        while True:
            client = client_to(self.bench.venue)
            with suppress(BrokerUnavailable):
                self.bench.broker = CcxtSpotBroker(
                    client, ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=self.bench.venue.now_ns
                )
                self.bench.broker.start(self.sent, START_NS)
                return
            client.close()
            self.bench.venue.advance_to(self.bench.now_ns() + 2 * SECOND_NS)

    def step(self) -> None:
        """One thing that happens."""
        draw, bench = self.draw, self.bench
        broker, kind = bench.broker, draw.randrange(10)
        position, quote = broker.position("S", SYMBOL), broker.quote(SYMBOL)
        if quote is None:
            return
        price = RULES.round_price(quote.bid)
        if kind <= 2 and position.is_flat:
            self.place(side=Side.BUY, type=OrderType.MARKET, volume=draw.choice([0.5, 1.0]),
                       stop=RULES.round_price(price * 0.97), target=RULES.round_price(price * 1.03))  # fmt: skip
        elif kind == 3 and not position.is_flat:
            with suppress(BrokerUnavailable):
                broker.protect(position.position_id, stop=RULES.round_price(price * draw.choice([0.98, 0.99])))
        elif kind == 4:
            self.close(draw.choice([None, 0.2]))
        elif kind == 5:
            bench.move_to(RULES.round_price(price * draw.choice([0.96, 0.985, 1.015, 1.04])))
        elif kind == 6:
            self.restart()
        elif kind == 7:
            bench.venue.fail(Fault(
                kind=draw.choice(_KINDS), endpoint=draw.choice(_ENDPOINTS), after=draw.randrange(4),
                times=draw.randrange(1, 4), seconds=draw.choice([1.0, 3.0]),
            ))  # fmt: skip
        self.later(draw.choice([1, 2, 5, 20, 60]))


def live_at_random(seed: int, steps: int = 40) -> list[str]:
    """Live so, and then get out; what does not add up, in sentences."""
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as bench:
        life = _Life(bench, Random(seed))
        for _ in range(steps):
            life.step()
        bench.venue.heal()
        for _ in range(12):
            life.later(20)
            life.close()
        life.later(20)
        broker, problems = bench.broker, life.problems
        trades = [event.trade for event in broker.mailbox(SYMBOL) if event.trade is not None]
        if broker.positions(SYMBOL):
            problems.append(f"held in the end: {broker.positions(SYMBOL)}")
        if bench.venue.broker.snapshot().orders:
            problems.append(f"working in the end: {bench.venue.broker.snapshot().orders}")
        left = bench.venue.coins["BTC"] - THEIRS
        if not -1e-9 <= left <= RULES.volume_step * (len(life.sent) + 1):
            problems.append(f"{left} coins stayed behind of {len(life.sent)} orders and {len(trades)} trades")
        net, account = sum(trade.net for trade in trades), broker.snapshot().account
        if abs(account.balance - 10_000 - net) > 1e-6:
            problems.append(f"the trades made {net} and the balance changed by {account.balance - 10_000}")
        if abs(account.balance - bench.venue.coins["USDT"]) > 1e-6:
            problems.append(f"expected the balance {bench.venue.coins['USDT']}, found {account.balance}")
        broker.client.close()
    return problems
