"""A spot account at the edges of what may be sold: orders under way, the least value, and beginnings in between."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from src.core.errors import BrokerUnavailable
from src.core.records import OrderRequest, OrderState, OrderType, Side
from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_benches import SYMBOL, CcxtBench
from tests.brokers.ccxt_spot_benches import RULES, spot_bench
from tests.brokers.test_ccxt_spot import THEIRS, ask, coins, enter, exits, later, read, resting
from tests.brokers.test_ccxt_spot_restart import restarted

LISTS, ORDERS = "POST orderList/oco", "POST order"


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account where other people's coins lie and fees are taken in coin."""
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as made:
        yield made


def sent(bench: CcxtBench) -> list[OrderRequest]:
    """What the bot has asked for."""
    entry = OrderRequest(client_id="kin", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=0.1)
    closing = replace(entry, client_id="kout", side=Side.SELL, reduce_only=True, position_id="kin")
    return [entry, closing]


# -- the least value ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [{"stop": 90.0}, {"stop_distance": 10.0}])
def test_what_cannot_be_guarded_is_not_bought_however_its_stop_is_told(bench: CcxtBench, stop: dict[str, Any]) -> None:
    """At its stop it would be worth less than the exchange takes."""
    assert ask(bench, volume=0.054, **stop).code == "min_notional"


def test_what_could_not_be_sold_again_is_not_bought(bench: CcxtBench) -> None:
    """The fee leaves less than the least volume, or than the least value; what adds to a position has no such need."""
    assert [ask(bench, volume=each).code for each in (0.01, 0.051)] == ["min_volume", "min_notional"]
    enter(bench)
    assert ask(bench, volume=0.051).accepted


def test_a_part_is_not_sold_that_would_leave_what_cannot_be_sold(bench: CcxtBench) -> None:
    """It would be held without a stop for as long as the price does not rise."""
    enter(bench)

    result = bench.broker.close("kin", client_id="kpart", volume=0.96)

    assert (result.code, bench.broker.close("kin", client_id="kout").accepted) == ("min_notional", True)


@pytest.mark.parametrize(("left", "held"), [(0.045955, False), (0.055945, True)])
def test_what_a_sale_leaves_that_ended_early_is_held_when_it_can_be_sold(
    bench: CcxtBench, left: float, held: bool
) -> None:
    """Otherwise it stays behind: a position that nothing can close would be held for ever."""
    ask(bench, client_id="kin", volume=0.11 if held else 0.09)
    later(bench, 1)
    bench.venue.fail(Fault(kind=FaultKind.PART_THEN_REJECTED, endpoint=ORDERS))
    bench.broker.close("kin", client_id="kout")
    later(bench, 1, 1)

    assert bench.broker.position("S", SYMBOL).volume == pytest.approx(left if held else 0.0)
    assert exits(bench) == ([] if held else ["exit"])
    account = bench.broker.snapshot().account
    assert held or account.balance == pytest.approx(bench.venue.coins["USDT"])
    made = sum(event.trade.net for event in read(bench) if event.trade)
    assert held or made == pytest.approx(account.balance - 10_000)
    assert coins(bench) == pytest.approx(THEIRS + left)
    assert restarted(bench, *sent(bench)).position("S", SYMBOL).is_flat is not held


# -- orders under way --------------------------------------------------------------------------------------------------


def test_a_stop_that_is_moved_while_a_sale_is_under_way_loses_nothing(bench: CcxtBench) -> None:
    """There is nothing to be guarded until it is known what has become of the sale; then there is all of it."""
    enter(bench)
    bench.venue.fail(Fault(kind=FaultKind.LOST, endpoint=ORDERS))
    with pytest.raises(BrokerUnavailable):
        bench.broker.close("kin", client_id="kout")

    result = bench.broker.protect("kin", stop=95.0)
    later(bench, 2, 2, 2, 2)

    assert result.code == "rate_limit"
    assert resting(bench) == [("limit", 120.0, 0.999), ("stop", 90.0, 0.999)]
    assert bench.broker.position("S", SYMBOL).target == 120.0


def test_closing_all_takes_the_orders_away_that_would_sell_it_later(bench: CcxtBench) -> None:
    """Else nobody got out: not the session's end, not the daily loss, not the operator."""
    enter(bench, stop=None, target=None)
    assert ask(bench, Side.SELL, OrderType.LIMIT, client_id="krest", price=110.0, volume=0.6).accepted
    later(bench, 1)

    result = bench.broker.close("kin", client_id="kout")
    later(bench, 1)

    assert result.accepted
    assert (exits(bench), resting(bench), bench.broker.snapshot().orders) == (["exit"], [], ())
    assert THEIRS <= coins(bench) < THEIRS + RULES.volume_step
    states = [event.order.state for event in read(bench) if event.order.order_id == "krest"]
    assert states == [OrderState.CANCELLED]


def test_a_part_is_closed_of_what_is_free(bench: CcxtBench) -> None:
    """An order to sell that rests is left alone by whoever wants less than all."""
    enter(bench, stop=None, target=None)
    ask(bench, Side.SELL, OrderType.LIMIT, client_id="krest", price=110.0, volume=0.6)

    assert bench.broker.close("kin", client_id="kpart", volume=0.3).accepted
    later(bench, 1)

    assert resting(bench) == [("limit", 110.0, 0.6)]


def test_what_is_there_is_sold_when_somebody_has_taken_coins_of_the_bot(bench: CcxtBench) -> None:
    """The exchange refuses to sell more than there is; the rest is told as held, because nobody has sold it."""
    enter(bench, stop=None, target=None)
    bench.venue.coins["BTC"] = 0.5
    later(bench, 1, 6, 6)

    result = bench.broker.close("kin", client_id="kout")
    later(bench, 1)

    assert (result.accepted, coins(bench)) == (True, 0.0)
    assert bench.broker.position("S", SYMBOL).volume == pytest.approx(0.4995)


def test_a_stop_that_rests_where_it_is_wished_is_left_alone(bench: CcxtBench) -> None:
    """Replacing it would leave the position without one for a moment."""
    enter(bench)
    asked = [call.endpoint for call in bench.venue.calls].count(LISTS)

    result = bench.broker.protect("kin", stop=90.0)

    assert (result.accepted, bool(result.order_id)) == (True, True)
    assert [call.endpoint for call in bench.venue.calls].count(LISTS) == asked


@pytest.mark.parametrize("kind", [FaultKind.UNANSWERED, FaultKind.RESET_AFTER])
def test_a_move_that_nobody_answered_and_that_arrived_is_not_taken_back(bench: CcxtBench, kind: FaultKind) -> None:
    """What was wished before is not placed again in its stead."""
    enter(bench)
    bench.venue.fail(Fault(kind=kind, endpoint=LISTS))
    with pytest.raises(BrokerUnavailable):
        bench.broker.protect("kin", stop=95.0)
    later(bench, 1, 1)

    assert resting(bench) == [("limit", 120.0, 0.999), ("stop", 95.0, 0.999)]
    assert bench.broker.position("S", SYMBOL).stop == 95.0
    assert [call.endpoint for call in bench.venue.calls].count(LISTS) == 2


# -- beginnings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, 130.0])
def test_a_stop_that_was_moved_is_where_it_was_last_after_a_process_died_between_two(
    bench: CcxtBench, target: float | None
) -> None:
    """The last one was cancelled and the next one never came: not the stop of the entry but the last one is placed."""
    entry = OrderRequest(
        client_id="kentry", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0, stop=90.0,
        target=target,
    )  # fmt: skip
    bench.broker.place(entry)
    later(bench, 60)
    assert bench.broker.protect("kentry", stop=95.0).accepted
    bench.venue.fail(Fault(kind=FaultKind.LOST, endpoint=ORDERS if target is None else LISTS))
    with pytest.raises(BrokerUnavailable):
        bench.broker.protect("kentry", stop=96.0)

    position = restarted(bench, entry).position("S", SYMBOL)

    assert (position.stop, position.target) == (95.0, target)
