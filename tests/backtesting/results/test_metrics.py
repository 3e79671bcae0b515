"""Every figure of a run against a computation by hand."""

import dataclasses
import json

import numpy as np
import pytest

from src.backtesting.metrics import compute_metrics
from src.backtesting.result import Outcome
from src.core.records import Side
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant
from tests.backtesting.results.worlds import World, busy_world, summary


def test_money_of_closed_trades_is_split_into_gross_and_costs() -> None:
    """Gains of 12 and -6 at fill prices are 9.75 at mid prices, less 2.5 spread, 1.25 slippage and 5 commission."""
    metrics = compute_metrics(busy_world().result())

    assert (
        metrics.gross,
        metrics.spread_cost,
        metrics.slippage_cost,
        metrics.commission,
        metrics.net,
    ) == pytest.approx((9.75, 2.5, 1.25, 5.0, 1.0))


def test_what_is_open_is_counted_apart() -> None:
    """The open unit has realised +1 on the closed part less 2 commission, and stands at +4."""
    metrics = compute_metrics(busy_world().result())

    assert (metrics.open_positions, metrics.open_profit, metrics.open_realised) == pytest.approx((1, 4.0, -1.0))
    assert (metrics.open_spread_cost, metrics.open_slippage_cost, metrics.open_commission) == (1.0, 0.5, 2.0)
    assert metrics.final_equity == pytest.approx(
        metrics.initial_balance + metrics.net + metrics.open_realised + metrics.open_profit
    )


def test_returns_are_on_the_start_balance_and_buy_and_hold_weighs_symbols_equally() -> None:
    """1004 from 1000 is 0.4 percent; +10 and -10 percent held in equal parts is 0, a third with +30 makes 10."""
    metrics = compute_metrics(busy_world().result())
    three = (summary("AAA", 100, 110), summary("BBB", 50, 45), summary("CCC", 10, 13), summary("DDD", None, None))

    assert metrics.return_percent == pytest.approx(0.4)
    assert metrics.buy_and_hold_percent == pytest.approx(0.0)
    assert compute_metrics(busy_world().result(symbols=three)).buy_and_hold_percent == pytest.approx(10.0)


def test_trade_figures_by_hand() -> None:
    """Nets of +9 and -8: half won, profit factor 9/8, expectancy 0.5, and R of 9/10 and -8/6."""
    metrics = compute_metrics(busy_world().result())

    assert (metrics.trades, metrics.wins, metrics.losses, metrics.win_rate_percent) == (2, 1, 1, 50.0)
    assert (metrics.average_win, metrics.average_loss) == pytest.approx((9.0, -8.0))
    assert (metrics.profit_factor, metrics.expectancy) == pytest.approx((9 / 8, 0.5))
    assert metrics.average_r == pytest.approx((0.9 - 8 / 6) / 2)
    assert metrics.total_r == pytest.approx(0.9 - 8 / 6)
    assert (metrics.r_counted, metrics.without_r) == (2, 0)
    assert metrics.average_trade_ns == 12 * HOUR_NS
    assert metrics.exit_kinds == {"stop": 1, "target": 1}


def test_a_trade_without_a_stop_is_counted_and_takes_no_part_in_the_average_r() -> None:
    """One trade of 2 R and one without a stop: the average is 2, not 1."""
    world = World()
    world.trade(10.0, hours=1, stop=95.0)
    world.trade(5.0, hours=5)

    metrics = compute_metrics(world.result())

    assert (metrics.average_r, metrics.r_counted, metrics.without_r) == (2.0, 1, 1)


def test_a_trade_of_exactly_nothing_is_neither_won_nor_lost() -> None:
    """Nets of +5, 0 and -5 give one win, one loss and a win rate of a third."""
    world = World()
    for hours, net in ((1, 5.0), (3, 0.0), (5, -5.0)):
        world.trade(net, hours=hours)

    metrics = compute_metrics(world.result())

    assert (metrics.trades, metrics.wins, metrics.losses) == (3, 1, 1)
    assert metrics.win_rate_percent == pytest.approx(100 / 3)


def test_an_ambiguous_trade_opens_an_interval_around_the_net() -> None:
    """The short stopped at 52 might have reached 45: 21 more in the best case, no less in the worst."""
    metrics = compute_metrics(busy_world().result())

    assert metrics.ambiguous_trades == 1
    assert (metrics.net_worst, metrics.net, metrics.net_best) == pytest.approx((1.0, 1.0, 22.0))


def test_exposure_is_the_union_of_the_times_with_a_position() -> None:
    """Held from hour 2 to 6, 10 to 30 and 40 to 96: 80 of 96 hours, flat at most for 10."""
    metrics = compute_metrics(busy_world().result())

    assert metrics.exposure_percent == pytest.approx(80 / 96 * 100)
    assert metrics.longest_flat_ns == 10 * HOUR_NS


def test_positions_held_at_the_same_time_count_once_in_the_exposure() -> None:
    """Hours 0 to 12 and 6 to 18 on two symbols of a one-day window are three quarters, then 6 hours flat."""
    world = World(days=1)
    world.fill(0, Side.BUY, 1, 100)
    world.fill(6, Side.BUY, 1, 50, symbol="BBB")
    world.fill(12, Side.SELL, 1, 100)
    world.fill(18, Side.SELL, 1, 50, symbol="BBB")

    metrics = compute_metrics(world.result())

    assert metrics.exposure_percent == pytest.approx(75.0)
    assert metrics.longest_flat_ns == 6 * HOUR_NS


def test_drawdown_and_days_come_from_the_equity_samples() -> None:
    """1009 at hour 6 falls to 1001 at hour 30 and is not seen again in the remaining 90 hours."""
    world = busy_world()

    metrics = compute_metrics(world.result())

    assert metrics.max_drawdown_percent == pytest.approx(8 / 1009 * 100)
    assert metrics.max_drawdown == pytest.approx(8.0)
    assert (metrics.max_drawdown_start_ns, metrics.max_drawdown_trough_ns) == (world.at(6), world.at(30))
    assert metrics.longest_underwater_ns == 90 * HOUR_NS
    assert metrics.days == 4


def test_daily_ratios_of_a_run_by_hand() -> None:
    """Days end at 1009, 1003, 1003 (flat) and 1004; the ratios are those of these four returns."""
    returns = np.array([9 / 1000, -6 / 1009, 0.0, 1 / 1003])

    metrics = compute_metrics(busy_world().result())

    assert metrics.sharpe == pytest.approx(
        returns.mean() / np.sqrt(((returns - returns.mean()) ** 2).sum() / 3) * 365**0.5
    )
    assert metrics.sortino == pytest.approx(returns.mean() / np.sqrt((6 / 1009) ** 2 / 4) * 365**0.5)
    apart = (returns - returns.mean()) / returns.std()
    assert metrics.skew == pytest.approx((apart**3).mean())
    assert metrics.kurtosis == pytest.approx((apart**4).mean())
    assert metrics.annual_return_percent == pytest.approx((1.004 ** (365 / 4) - 1) * 100)
    assert metrics.calmar == pytest.approx((1.004 ** (365 / 4) - 1) / (8 / 1009))


def test_notional_is_price_times_volume_of_all_fills() -> None:
    """200 + 104 + 108 + 150 + 156 + 220 + 111 is 1049 on a balance of 1000."""
    metrics = compute_metrics(busy_world().result())

    assert (metrics.fills, metrics.notional, metrics.turnover) == pytest.approx((7, 1049.0, 1.049))


def test_tables_by_symbol_and_by_book() -> None:
    """A symbol shows its trades, its own buy and hold and what it still holds; a book only its trades."""
    metrics = compute_metrics(busy_world().result())

    first, second = metrics.per_symbol
    assert [(group.name, group.trades, group.open_volume) for group in metrics.per_symbol] == [
        ("AAA", 1, 1.0),
        ("BBB", 1, 0),
    ]
    assert (first.net, first.buy_and_hold_percent) == pytest.approx((9.0, 10.0))
    assert (second.net, second.ambiguous_trades) == pytest.approx((-8.0, 1))
    assert (first.profit_factor, second.profit_factor) == (None, 0.0)
    assert [(group.name, group.trades, group.buy_and_hold_percent) for group in metrics.per_book] == [
        ("breakout", 1, None),
        ("sma", 1, None),
    ]
    assert [group.net for group in metrics.per_book] == pytest.approx([-8.0, 9.0])


def test_a_run_without_trades_has_undefined_figures_not_zeros() -> None:
    """Rates and ratios of nothing are None; sums of nothing are 0."""
    metrics = compute_metrics(World().result(refusals={"margin": 7}))

    undefined = ("win_rate_percent", "average_win", "average_loss", "profit_factor", "expectancy", "average_r",
                 "total_r", "sharpe", "sortino", "calmar", "skew", "kurtosis", "average_trade_ns",
                 "max_drawdown_start_ns")  # fmt: skip
    assert {name: getattr(metrics, name) for name in undefined} == dict.fromkeys(undefined)
    assert (metrics.trades, metrics.net, metrics.exposure_percent, metrics.longest_flat_ns) == (0, 0.0, 0.0, 4 * DAY_NS)
    assert metrics.refusals == {"margin": 7}


def test_a_window_without_length_has_no_exposure() -> None:
    """A share of no time is undefined."""
    metrics = compute_metrics(World(days=0).result())

    assert (metrics.exposure_percent, metrics.longest_flat_ns, metrics.days) == (None, None, 0)


def test_a_run_that_was_cut_short_is_measured_up_to_its_last_sample() -> None:
    """An interrupted run of one day in a window of four has one daily return and the exposure of that day."""
    world = World(days=4)
    world.fill(12, Side.BUY, 1, 100)
    world.sample(24, 1_000.0)

    metrics = compute_metrics(world.result(outcome=Outcome.INTERRUPTED))

    assert (metrics.days, metrics.exposure_percent) == pytest.approx((1, 50.0))


def test_the_dictionary_is_json_with_null_for_what_is_no_number() -> None:
    """It survives strict JSON, tables included; an infinite figure becomes null."""
    world = busy_world()
    world.open_profit = float("inf")

    values = json.loads(json.dumps(compute_metrics(world.result()).as_dict(), allow_nan=False))

    assert values["final_equity"] is None
    assert values["per_symbol"][0]["name"] == "AAA"
    assert values["per_symbol"][0]["profit_factor"] is None
    assert values["exit_kinds"] == {"stop": 1, "target": 1}


def test_figures_do_not_depend_on_the_order_of_the_trades() -> None:
    """Sums are exact, so a reversed list of trades gives equal bits."""
    world = World()
    rng = np.random.default_rng(3)
    for number, net in enumerate(rng.normal(0, 30, 40)):
        world.trade(float(net), hours=number * 2)
    result = world.result()

    forward, backward = compute_metrics(result), compute_metrics(world.result(trades=result.trades[::-1]))

    assert forward == backward


@pytest.mark.parametrize(
    ("calendars", "days", "year"),
    [
        (("forex", "forex"), 3, 260.0),
        (("XNYS", "NYSE"), 2, 251.6),
        (("24/7", "forex"), 4, 365.0),
        (("XSAU",), 4, 365.0),
    ],
)
def test_the_year_is_the_one_of_the_calendar_that_all_symbols_share(
    calendars: tuple[str, ...], days: int, year: float
) -> None:
    """Thursday to Sunday: 365 days where calendars differ, or where theirs does not know the window."""
    symbols = tuple(dataclasses.replace(summary(f"S{i}", 1.0, 1.0), calendar=c) for i, c in enumerate(calendars))
    world = World(start_ns=parse_instant("2020-01-02"), days=4)
    world.sample(96, 1_000.0)

    metrics = compute_metrics(world.result(symbols=symbols))

    assert (metrics.days, metrics.days_per_year) == (days, year)
