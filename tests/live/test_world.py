"""What the bot sees, as it changes."""

from collections import deque
from typing import Any

import pytest

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.records import (
    OrderEvent,
    OrderState,
    OrderType,
    Side,
    Snapshot,
    make_account,
    make_fill,
    make_order,
    make_order_event,
    make_order_request,
    make_position,
    make_quote,
    make_snapshot,
)
from src.core.timeframe import MINUTE_NS
from src.live.world import World, late_symbols

SERIES = [("AAA", MINUTE_NS, "trade"), ("AAA", 5 * MINUTE_NS, "trade"), ("BBB", MINUTE_NS, "trade")]


class Shown:
    """A source that shows what it is told to."""

    def __init__(self) -> None:
        self.bars = {(symbol, length): BarSeries.empty(symbol, length) for symbol, length, _ in SERIES}
        self.quotes: dict[str, Any] = {}
        self.mail: dict[str, deque[OrderEvent]] = {"AAA": deque(), "BBB": deque()}
        self.account = make_account(currency="USDT", instant_ns=1, balance=10.0, equity=10.0, margin_used=0.0)
        self.held: tuple[Any, ...] = ()
        self.orders: tuple[Any, ...] = ()

    def series(self, symbol: str, length: int) -> BarSeries:
        """See `Broker`."""
        return self.bars[symbol, length]

    def quote(self, symbol: str) -> Any:
        """See `Broker`."""
        return self.quotes.get(symbol)

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker`."""
        return self.mail[symbol]

    def snapshot(self) -> Snapshot:
        """See `Broker`."""
        return make_snapshot(account=self.account, positions=self.held, orders=self.orders)


def filled(number: int, symbol: str = "AAA") -> OrderEvent:
    """An order that has filled."""
    request = make_order_request(
        client_id=f"o{number}", book="b", symbol=symbol, side=Side.BUY, type=OrderType.MARKET, volume=1.0
    )
    order = make_order(order_id=f"o{number}", request=request, state=OrderState.FILLED, placed_ns=1, effective_ns=1,
                       updated_ns=2, filled_volume=1.0, average_price=100.0)  # fmt: skip
    fill = make_fill(fill_id=f"f{number}", order_id=f"o{number}", position_id="p", book="b", symbol=symbol,
                     side=Side.BUY, volume=1.0, price=100.0, filled_ns=2, filled_from_ns=2)  # fmt: skip
    return make_order_event(order=order, fill=fill)


@pytest.fixture
def source() -> Shown:
    """With a bar, a quote, a position and an event."""
    source = Shown()
    source.bars["AAA", MINUTE_NS].append(0, 1.0, 2.0, 0.5, 1.5, 3.0)
    source.quotes["AAA"] = make_quote(symbol="AAA", instant_ns=5, bid=1.0, ask=1.1)
    source.held = (
        make_position(position_id="q", book="b", symbol="BBB", volume=-2.0),
        make_position(position_id="p", book="b", symbol="AAA", volume=1.0),
    )
    source.mail["AAA"].append(filled(1))
    return source


def world() -> World:
    """An empty one."""
    return World(SERIES, "USDT")


def test_a_world_that_is_told_the_same_changes_shows_the_same(source: Shown) -> None:
    """The change is plain, and after it nothing is new."""
    first, second = world(), world()
    change = first.collect(source)  # type: ignore[arg-type]  # as much of a broker as is looked at

    first.apply(change)
    second.apply(change)

    assert first.snapshot() == second.snapshot()
    assert [each.symbol for each in first.snapshot().positions] == ["AAA", "BBB"]
    assert first.series("AAA", MINUTE_NS).close_at[0] == second.series("AAA", MINUTE_NS).close_at[0] == 1.5
    assert first.quote("AAA") == second.quote("AAA")
    assert list(first.mailbox("AAA")) == list(second.mailbox("AAA")) == [filled(1)]
    assert first.signals.changes == 1
    assert first.collect(source) == {}  # type: ignore[arg-type]  # as much of a broker as is looked at


def test_nothing_is_visible_before_it_is_applied(source: Shown) -> None:
    """What was collected may still be thrown away."""
    seen = world()

    seen.collect(source)  # type: ignore[arg-type]  # as much of a broker as is looked at

    assert seen.snapshot().positions == ()
    assert not seen.mailbox("AAA")
    assert seen.quote("AAA") is None


def test_a_snapshot_is_whole_for_whoever_looks_without_a_turn(source: Shown) -> None:
    """It is the same object until the account is another one, and nobody who looks makes one."""
    seen = world()
    before = seen.snapshot()
    seen.apply({"quotes": {"AAA": [1, 1.0, 1.1, 1.0]}})
    assert seen.snapshot() is before

    seen.apply(seen.collect(source))  # type: ignore[arg-type]  # as much of a broker as is looked at

    assert seen.snapshot() is seen.snapshot()
    assert len(seen.snapshot().positions) == 2
    assert before.positions == ()


def test_executions_that_were_told_are_not_told_again(source: Shown) -> None:
    """A source that begins anew tells them from the first one on."""
    seen = world()
    seen.apply(seen.collect(source))  # type: ignore[arg-type]  # as much of a broker as is looked at
    source.mail["AAA"].extend([filled(1), filled(2)])

    change = seen.collect(source)  # type: ignore[arg-type]  # as much of a broker as is looked at

    assert len(change["events"]["AAA"]) == 1
    assert not source.mail["AAA"]
    assert seen.told == {"f1"}


def test_prices_are_left_out_where_they_are_not_wanted(source: Shown) -> None:
    """A reply to a call shows the account alone."""
    change = world().collect(source, prices=False)  # type: ignore[arg-type]  # as much of a broker as is looked at

    assert set(change) == {"account", "positions", "events"}


def test_bars_of_one_instant_come_in_the_order_of_the_symbols(source: Shown) -> None:
    """Shorter ones first, and only what is new."""
    source.bars["BBB", MINUTE_NS].append(0, 1.0, 1.0, 1.0, 1.0, 1.0)
    source.bars["AAA", 5 * MINUTE_NS].append(0, 1.0, 1.0, 1.0, 1.0, 1.0)

    change = world().collect(source)  # type: ignore[arg-type]  # as much of a broker as is looked at

    keys = [(symbol, length) for symbol, length, *_ in change["bars"]]
    assert keys == [("AAA", MINUTE_NS), ("AAA", 5 * MINUTE_NS), ("BBB", MINUTE_NS)]


def test_bars_that_came_too_late_are_found() -> None:
    """One that closes at the instant itself is in time."""
    bars = [[symbol, MINUTE_NS, at * MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 1.0] for symbol, at in
            (("BBB", 0), ("AAA", 0), ("AAA", 1), ("CCC", 2))]  # fmt: skip
    change: dict[str, Any] = {"bars": bars, "quotes": {}}

    found = late_symbols(change, 3 * MINUTE_NS)

    assert found == ["BBB", "AAA"]
    assert late_symbols({}, 3 * MINUTE_NS) == []


def test_a_book_that_holds_nothing_is_flat() -> None:
    """And always the same object."""
    seen = world()

    assert seen.position("b", "AAA").volume == 0.0
    assert seen.position("b", "AAA") is seen.position("b", "AAA")


@pytest.mark.parametrize("look", [World.quote, World.positions, World.mailbox, World.base_series])
def test_a_symbol_that_is_not_traded_is_told(look: Any) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match="found CCC"):
        look(world(), "CCC")


def test_a_timeframe_that_nobody_subscribed_is_told() -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match="subscribe"):
        world().series("AAA", 7)
