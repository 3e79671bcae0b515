"""The lines of the result table."""

import pytest

from src.backtesting.metrics import compute_metrics
from src.backtesting.result import Outcome
from src.backtesting.summary import commonest_refusal, duration_text, money_text, percent_text, ratio_text, result_rows
from src.core.records import Side
from src.core.timeframe import HOUR_NS, MINUTE_NS
from tests.backtesting.results.worlds import World, busy_world


def test_the_table_goes_from_gross_over_each_cost_to_net() -> None:
    """Every figure of the result has its line."""
    rows = result_rows(compute_metrics(busy_world().result(refusals={"margin": 2, "cool_down": 5})))

    assert dict(rows) == {
        "Gross profit": "+9.75 USDT",
        "Spread": "-2.50 USDT",
        "Slippage": "-1.25 USDT",
        "Commission": "-5.00 USDT",
        "Net profit, closed trades": "+1.00 USDT",
        "Open at the end (1)": "+3.00 USDT, costs of 3.50 in it",
        "Final equity": "1,004.00 USDT",
        "Return": "+0.40 %",
        "Buy and hold": "0.00 %",
        "Trades": "2",
        "Win rate": "50.00 % (1 won, 1 lost)",
        "Profit factor": "1.12",
        "Expectancy": "+0.5000 USDT a trade",
        "Average R": "-0.217 over 2 trades",
        "Ambiguous trades": "1; net between +1.00 and +22.00 USDT",
        "Refused intents": "7, most often `cool_down` (5 times)",
        "Max drawdown": "0.79 %, from 2024-01-01 to 2024-01-02",
        "Sharpe (daily)": "3.15",
        "Sortino (daily)": "6.51",
        "Calmar": "55.43",
        "Exposure": "83.33 %",
    }


def test_a_synthetic_market_is_said_first() -> None:
    """The first line of the table is the warning."""
    rows = result_rows(compute_metrics(busy_world().result()), synthetic=True)

    assert rows[0] == ("DATA", "SYNTHETIC: a generated market, not a real one")


def test_zero_trades_are_said_at_the_top_with_the_commonest_refusal() -> None:
    """The line names the refusal that came most often and how often."""
    rows = result_rows(compute_metrics(World().result(refusals={"margin": 837, "cool_down": 3})))

    assert rows[0] == (
        "NO TRADES",
        "the run closed 0 trades; 840 intents were refused, most often `margin` (837 times)",
    )


def test_zero_trades_without_any_intent_say_so() -> None:
    """A strategy that never asked is told from one that was refused."""
    rows = result_rows(compute_metrics(World().result()))

    assert "never asked" in dict(rows)["NO TRADES"]


def test_a_position_that_was_never_closed_is_told_from_no_trade_at_all() -> None:
    """An open position without a closed trade is named."""
    world = World()
    world.fill(1, Side.BUY, 1, 100)

    rows = dict(result_rows(compute_metrics(world.result())))

    assert rows["NO TRADES"] == "no position was closed; 1 still open at the end"


def test_undefined_figures_are_shown_as_such() -> None:
    """No ratio is ever shown as 0 because it could not be computed."""
    rows = dict(result_rows(compute_metrics(World().result())))

    assert (rows["Sharpe (daily)"], rows["Sortino (daily)"], rows["Calmar"]) == ("n/a", "n/a", "n/a")


def test_outcome_and_fidelity_have_lines_of_their_own() -> None:
    """A run that did not complete says so before any figure; each coarser rule says how."""
    metrics = compute_metrics(busy_world().result(outcome=Outcome.DEGRADED))

    rows = result_rows(metrics, fidelity={"latency": "shorter than a bar, so it counts as 0"})

    assert rows[0] == ("OUTCOME", "DEGRADED: the figures cover only what was simulated")
    assert rows[-1] == ("fidelity: latency", "shorter than a bar, so it counts as 0")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (money_text(1234567.891), "1,234,567.89"),
        (money_text(-0.00012345), "-0.0001"),
        (money_text(-0.0, signed=True), "0.00"),
        (money_text(None), "n/a"),
        (money_text(-0.000001), "0.00"),
        (percent_text(-0.0001, signed=True), "0.00 %"),
        (percent_text(1234.5, signed=True), "+1,234.50 %"),
        (percent_text(None), "n/a"),
        (ratio_text(None), "n/a"),
        (duration_text(None), "n/a"),
        (duration_text(0), "0m"),
        (duration_text(5), "under 1m"),
        (duration_text(27 * HOUR_NS + 3 * MINUTE_NS), "1d 3h"),
        (duration_text(90 * MINUTE_NS), "1h 30m"),
    ],
)
def test_texts_of_numbers(found: str, expected: str) -> None:
    """Money, shares, ratios and durations read the same everywhere."""
    assert found == expected


def test_of_equally_frequent_refusals_the_first_by_name_is_shown() -> None:
    """The line does not depend on the order in which refusals came."""
    assert commonest_refusal({"b": 2, "a": 2, "c": 1}) == ("a", 2)
    assert commonest_refusal({}) is None
