"""A venue that fills at quotes: the account's rules between bars, and a comparison with a naive reading of a tape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.engine.tick_market import TickMarket
from src.brokers.simulated import FillRules, PriceTape, SimulatedBroker
from src.brokers.simulated.funding import FundingRates
from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.journal import Journal, JournalRecord
from src.core.records import OrderRequest, OrderResult, OrderType, Side
from src.core.timeframe import SECOND_NS
from src.testing.worlds import price_tape
from tests.brokers.simulated.venue import START_NS, HandClock, costs_of, series

Row = tuple[float, float, float] | tuple[float, float]


class Quoted:
    """A broker over given prices, with the market that moves it.

    Args:
        rows: (seconds since the start, bid, ask) or (seconds, price) by symbol, or those of `AAA`.
        symbols: what differs from a plain instrument, by symbol.
    """

    def __init__(
        self, rows: Mapping[str, Sequence[Row]] | Sequence[Row], *, account: Mapping[str, Any] | None = None,
        costs: Mapping[str, Any] | None = None, rules: Mapping[str, Any] | None = None,
        symbols: Mapping[str, Mapping[str, Any]] | None = None, funding: Mapping[str, FundingRates] | None = None,
    ) -> None:  # fmt: skip
        by_symbol = rows if isinstance(rows, Mapping) else {"AAA": rows}
        config = AccountConfig(**{"currency": "USD", "balance": 10_000, "leverage": 10, **(account or {})})
        instruments = {
            symbol: Instrument(
                **{"symbol": symbol, "kind": "perpetual", "quote_currency": "USD", **(symbols or {}).get(symbol, {})}
            )
            for symbol in by_symbol
        }
        tapes: dict[str, PriceTape] = {
            symbol: price_tape(symbol, each, start=START_NS) for symbol, each in by_symbol.items()
        }
        base = {symbol: series(symbol, [(each[0][1],) * 4] * 10) for symbol, each in by_symbol.items()}
        self.broker = SimulatedBroker(
            config, instruments, base, {}, costs_of(**(costs or {})), FillRules(**(rules or {"at_end": "keep"})),
            funding=funding, tapes=tapes,
        )  # fmt: skip
        self.clock = HandClock()
        self.records: list[JournalRecord] = []
        self.journal = Journal(self.records.extend)
        self.market = TickMarket(self.broker, self.journal, START_NS, START_NS + 540 * SECOND_NS)
        self.broker.bind(self.clock, self.journal)  # type: ignore[arg-type]  # a venue asks a clock for the time only
        self._orders = 0

    def to(self, second: float) -> None:
        """Let everything happen up to a second, itself included."""
        until_ns = START_NS + round(second * 1e9)
        while (at := self.market.next_ns()) is not None and at <= until_ns:
            self.clock.instant_ns = at
            self.market.advance(at)
        self.clock.instant_ns = until_ns

    def place(self, side: Side, kind: OrderType = OrderType.MARKET, symbol: str = "AAA", **what: Any) -> OrderResult:
        """One order of one unit by default."""
        self._orders += 1
        request = {"client_id": f"o{self._orders}", "book": "me", "symbol": symbol, "volume": 1.0, **what}
        return self.broker.place(OrderRequest(side=side, type=kind, **request))

    @property
    def fills(self) -> list[tuple[float, float, str]]:
        """(seconds, price, kind) of each fill."""
        return [((fill.filled_ns - START_NS) / 1e9, fill.price, fill.kind) for fill in self.broker.fills()]


def test_before_the_first_quote_the_spread_of_the_hour_lies_around_the_close() -> None:
    """A spread of 2 at midnight, half of it on each side of 100."""
    venue = Quoted([(5, 100, 100)], costs={"spread_by_hour": (2.0, *[0.0] * 23)})

    quote = venue.broker.quote("AAA")

    assert quote is not None
    assert (quote.bid, quote.ask) == (99.0, 101.0)


def test_margin_is_tested_at_each_quote_and_not_only_where_bars_close() -> None:
    """Between two closes the level is reached once: the position is gone although the price comes back."""
    rows = [(0, 100, 100), (1, 100, 100), (2, 91, 91), (3, 89, 89), (4, 100, 100)]
    venue = Quoted(rows, account={"balance": 1_000, "stop_out_percent": 10})
    venue.place(Side.BUY, volume=90.0)

    venue.to(60)

    assert venue.fills == [(1, 100, "entry"), (3, 89, "stop_out")]
    assert all(not fill.ambiguous for fill in venue.broker.fills())


def test_a_stop_at_the_quote_of_a_stop_out_comes_first() -> None:
    """What the stop closes needs no margin any more."""
    rows = [(0, 100, 100), (1, 100, 100), (3, 89, 89)]
    venue = Quoted(rows, account={"balance": 1_000, "stop_out_percent": 10})
    venue.place(Side.BUY, volume=90.0, stop=95.0)

    venue.to(60)

    assert venue.fills == [(1, 100, "entry"), (3, 89, "stop")]


def test_funding_is_paid_at_its_instant_at_the_price_of_then() -> None:
    """By the quote that stood, not by the next one."""
    rates = FundingRates(ts_ns=np.array([START_NS + 5 * SECOND_NS]), rate=np.array([0.01]))
    venue = Quoted(
        [(0, 100, 100), (1, 100, 100), (4, 110, 110), (6, 200, 200)],
        symbols={"AAA": {"funding": True}}, funding={"AAA": rates},
    )  # fmt: skip
    venue.place(Side.BUY)

    venue.to(60)

    assert [(each.instant_ns, each.amount) for each in venue.broker.payments()] == [
        (START_NS + 5 * SECOND_NS, pytest.approx(-1.1))
    ]


def test_profits_are_converted_at_the_quote_of_the_instant() -> None:
    """A gain is sold at the bid of the pair that stands when the position closes."""
    rows = {
        "AAA": [(0, 100, 100), (1, 100, 100), (3, 110, 110)],
        "EURUSD": [(0, 1.0, 1.0), (2, 1.2, 1.3), (4, 2.0, 2.0)],
    }
    symbols = {
        "AAA": {"quote_currency": "EUR"}, "EURUSD": {"quote_currency": "USD", "base_currency": "EUR"},
    }  # fmt: skip
    venue = Quoted(rows, symbols=symbols)
    venue.place(Side.BUY, target=105.0)

    venue.to(60)

    assert venue.fills == [(1, 100, "entry"), (3, 110, "target")]
    assert venue.broker.snapshot().account.balance == pytest.approx(10_000 + 10 * 1.2)


def test_a_trailing_stop_follows_each_quote() -> None:
    """The level of a long position follows the bid; the first bid at or below it closes."""
    rows = [(0, 100, 100), (1, 100, 100), (2, 104, 104), (3, 102.5, 102.5), (4, 101.9, 101.9), (5, 200, 200)]
    venue = Quoted(rows)
    venue.place(Side.BUY, stop_trail_distance=2.0)

    venue.to(60)

    assert venue.fills == [(1, 100, "entry"), (4, 101.9, "trailing")]


def test_a_child_at_the_market_fills_at_a_later_quote_than_its_parent() -> None:
    """What came at the instant at which the parent filled is gone."""
    venue = Quoted([(0, 100, 101), (1, 99, 100), (1, 98, 99), (1.5, 95, 96), (2, 90, 91)])
    venue.place(Side.BUY, OrderType.LIMIT, price=100.5)
    venue.place(Side.SELL, parent="o1", reduce_only=True)

    venue.to(60)

    assert venue.fills == [(1, 100, "entry"), (1.5, 95, "exit")]


def test_a_cancellation_arrives_after_its_latency_between_two_quotes() -> None:
    """Until then the order may fill."""
    rows = [(0, 100, 100), (10, 100, 100), (11, 94, 94)]
    late, soon = (Quoted(rows, costs={"latency_s": each}) for each in (2, 0.5))
    for venue in (late, soon):
        venue.place(Side.BUY, OrderType.LIMIT, price=95.0)
        venue.to(10)
        venue.broker.cancel("o1")
        venue.to(60)

    assert late.fills == [(11, 94, "entry")]
    assert soon.fills == []


def test_jitter_below_a_bar_counts() -> None:
    """An order is somewhere between the least and the most delay under way."""
    rows = [(i / 100, 100 + i / 100, 100 + i / 100) for i in range(500)]
    venue = Quoted(rows, costs={"latency_s": 1, "latency_jitter_ns": SECOND_NS})
    venue.place(Side.BUY)

    venue.to(60)

    assert 1 < venue.fills[0][0] < 2


def test_a_share_of_the_volume_is_refused() -> None:
    """It is counted on bars."""
    with pytest.raises(ConfigError, match="leave backtest.costs.volume_share out"):
        Quoted([(0, 100, 100)], costs={"volume_share": 0.1})


def test_the_equity_is_kept_where_money_moved_and_bars_closed() -> None:
    """At the start, at each execution, at each close, and the last one is the account's."""
    venue = Quoted([(0, 100, 100), (1, 100, 100), (30, 90, 90), (70, 95, 95)])
    venue.place(Side.BUY)

    venue.to(120)
    instants, equity = venue.broker.equity_samples()

    assert [(at - START_NS) / 1e9 for at in instants.tolist()] == [0, 1, 60, 120]
    assert equity.tolist() == [10_000, 10_000, 9_990, 9_995]


# -- against a naive reading -----------------------------------------------------------------------


@dataclass
class Asked:
    """An order as the naive reading keeps it."""

    at: int
    long: bool
    kind: OrderType
    price: float | None
    stop: float
    target: float
    entry: tuple[int, float] | None = None
    exit: tuple[int, float, str] | None = None


def read_naively(order: Asked, quotes: Sequence[tuple[int, float, float]]) -> None:
    """What becomes of an order: quote by quote, its entry first, then its stop, then its target."""
    for second, bid, ask in quotes:
        if second <= order.at or order.exit is not None:
            continue
        enter, leave = (ask, bid) if order.long else (bid, ask)
        sign = 1 if order.long else -1
        if order.entry is None:
            price = order.price
            limit = order.kind is OrderType.LIMIT and price is not None and sign * (enter - price) <= 0
            stop = order.kind is OrderType.STOP and price is not None and sign * (enter - price) >= 0
            if order.kind is OrderType.MARKET or limit or stop:
                order.entry = second, enter
        if order.entry is not None:
            if sign * (leave - order.stop) <= 0:
                order.exit = second, leave, "stop"
            elif sign * (leave - order.target) >= 0:
                order.exit = second, leave, "target"


walk = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=5, max_size=60)
wish = st.tuples(
    st.integers(0, 50), st.booleans(), st.sampled_from([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP]),
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 6),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(steps=walk, wishes=st.lists(wish, max_size=6))
def test_orders_fill_as_a_naive_reading_of_the_tape_says(
    steps: list[tuple[int, int]], wishes: list[tuple[int, bool, OrderType, int, int, int]]
) -> None:
    """Market, limit and stop entries with their stops and targets, on a hedging account, touched limits included."""
    price, quotes = 1_000, [(0, 1_000.0, 1_001.0)]
    for i, (move, spread) in enumerate(steps, start=1):
        price += move
        quotes.append((i, float(price), float(price + spread)))
    venue = Quoted(
        quotes, account={"balance": 1e6, "positions": "hedging"}, rules={"at_end": "keep", "limit_fill": "touch"}
    )  # fmt: skip
    expected: list[Asked] = []
    for at, long, kind, away, risk, gain in sorted(wishes, key=lambda each: each[0]):
        venue.to(at)
        _, bid, ask = quotes[min(at, len(quotes) - 1)]
        sign, quote = (1, ask) if long else (-1, bid)
        wanted = None if kind is OrderType.MARKET else quote + sign * away * (1 if kind is OrderType.STOP else -1)
        asked = Asked(
            at, long, kind, wanted, (wanted or quote) - sign * (risk + 4), (wanted or quote) + sign * (gain + 4)
        )
        placed = venue.place(
            Side.BUY if long else Side.SELL, kind, price=wanted, stop=asked.stop, target=asked.target
        )  # fmt: skip
        if placed.accepted:
            expected.append(asked)
    for asked in expected:
        read_naively(asked, quotes)

    venue.to(500)

    naive = sorted([(*each.entry, "entry") for each in expected if each.entry is not None])
    naive += sorted([each.exit for each in expected if each.exit is not None])
    assert sorted(venue.fills) == sorted(naive)
