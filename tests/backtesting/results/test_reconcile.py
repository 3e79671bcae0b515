"""The money of a run adds up, and a break is an error."""

import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given

from src.backtesting.metrics import compute_metrics
from src.backtesting.reconcile import check_money, replay_fills
from src.backtesting.result import BacktestResult
from src.core.errors import InternalError
from src.core.records import Side
from tests.backtesting.results.worlds import World, busy_world


def test_a_sound_run_reconciles() -> None:
    """Partial exits, an open position and every cost lead from start to end balance."""
    result = busy_world().result()

    check_money(result)

    assert result.initial_balance + replay_fills(result.fills).realised == pytest.approx(
        result.account.balance, rel=1e-12
    )


def test_the_replay_keeps_the_account_of_each_open_position() -> None:
    """Two bought at 110 and 112, one sold: one left at the average of 111."""
    world = World()
    world.fill(1, Side.BUY, 1, 110, commission=1.0)
    world.fill(2, Side.BUY, 1, 112, spread_cost=0.5)
    world.fill(3, Side.SELL, 1, 115)

    (leg,) = replay_fills(world.fills).open_legs

    assert (leg.volume, leg.entry_price, leg.realised) == (1.0, 111.0, 3.0)
    assert (leg.opened_ns, leg.commission, leg.spread_cost) == (world.at(1), 1.0, 0.5)


def broken(result: BacktestResult, how: str) -> BacktestResult:
    """The result with one thing wrong."""
    replace = dataclasses.replace
    if how == "balance":
        return replace(result, account=replace(result.account, balance=result.account.balance + 0.01))
    if how == "fill lost":
        return replace(result, fills=result.fills[:-1])
    if how == "commission":
        return replace(result, fills=[replace(result.fills[0], commission=9.0), *result.fills[1:]])
    if how == "trade lost":
        return replace(result, trades=result.trades[:-1])
    if how == "net":
        return replace(result, trades=[replace(result.trades[0], gross=99.0), *result.trades[1:]])
    if how == "position lost":
        return replace(result, open_positions=())
    if how == "curve":
        return replace(result, equity=result.equity + 1.0)
    return replace(result, account=replace(result.account, balance=float("nan")))


@pytest.mark.parametrize(
    "how", ["balance", "fill lost", "commission", "trade lost", "net", "position lost", "curve", "not a number"]
)
def test_money_that_does_not_add_up_is_an_internal_error(how: str) -> None:
    """Each single break is found: a cent, a fill, a cost, a trade, a position, a last fee missing from the curve."""
    result = broken(busy_world().result(), how)

    with pytest.raises(InternalError):
        check_money(result)


def test_a_difference_within_a_millionth_is_rounding() -> None:
    """A tenth of a millionth of the balance passes."""
    result = busy_world().result()
    account = dataclasses.replace(result.account, balance=result.account.balance * (1 + 1e-7))

    check_money(dataclasses.replace(result, account=account))


def test_a_fill_that_closes_more_than_is_held_is_named() -> None:
    """The error names the fill and the two volumes."""
    world = World()
    world.fill(1, Side.BUY, 1, 100)
    world.fill(2, Side.SELL, 1, 101)
    fills = [world.fills[0], dataclasses.replace(world.fills[1], volume=2.0)]

    with pytest.raises(InternalError, match=r"o2-1 closes 2 AAA of a position that holds 1"):
        replay_fills(fills)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 5), st.integers(50, 200), st.integers(0, 9)), min_size=1, max_size=40
    )
)
def test_every_sequence_of_fills_reconciles(moves: list[tuple[bool, int, int, int]]) -> None:
    """Whatever is bought, added, reduced and sold, fills, trades, balance and final equity tell one story."""
    world = World(days=10)
    held = 0
    for number, (buys, volume, price, cents) in enumerate(moves):
        side = Side.BUY if buys else Side.SELL
        size = min(volume, abs(held)) if held * side.sign < 0 else volume
        world.fill(number, side, size, price / 2, commission=cents / 100, spread_cost=cents / 200)
        held += side.sign * size
    result = world.result()

    check_money(result)
    metrics = compute_metrics(result)

    story = metrics.initial_balance + metrics.net + metrics.open_realised + metrics.open_profit
    assert story == pytest.approx(metrics.final_equity, rel=1e-9)
    assert metrics.gross - metrics.spread_cost - metrics.slippage_cost - metrics.commission == pytest.approx(
        metrics.net, abs=1e-9
    )
