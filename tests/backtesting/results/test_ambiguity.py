"""Trades that another path inside a bar would have ended otherwise are listed, and the profit is an interval."""

import json
from pathlib import Path

from src.backtesting.artifacts import write_run
from src.backtesting.metrics import compute_metrics
from src.backtesting.report import report_html
from src.backtesting.report_ambiguity import MOST_ROWS, ambiguity_section
from tests.backtesting.results.worlds import World, busy_world


def test_the_result_lists_its_ambiguous_trades_and_the_interval_of_its_profit() -> None:
    """Trades that are certain count with their one result at both ends."""
    result = busy_world().result()

    (trade,) = result.ambiguous_trades
    others = sum(each.net for each in result.trades if each is not trade)
    assert result.profit_interval == (others + trade.net_worst, others + trade.net_best)
    assert trade.net_worst <= trade.net <= trade.net_best


def test_the_interval_is_in_the_manifest(tmp_path: Path) -> None:
    """Beside the profit as it was simulated, and how many trades it comes from."""
    result = busy_world().result()

    folder = write_run(result, run_id="0123456789abcdef", manifest={}, runs_dir=tmp_path, report=False)

    profit = json.loads((folder / "manifest.json").read_text())["profit"]
    assert (profit["worst"], profit["best"]) == result.profit_interval
    assert profit["worst"] <= profit["net"] <= profit["best"]
    assert profit["ambiguous_trades"] == 1


def test_the_report_lists_each_ambiguous_trade_with_its_three_results() -> None:
    """The worst, the chosen and the best; a run without any has no such section."""
    result = busy_world().result()

    page = report_html(result, compute_metrics(result), {})
    certain = report_html(World().result(), compute_metrics(World().result()), {})

    assert f"1 trade of {len(result.trades)} would have ended otherwise" in page
    assert 'id="ambiguous"' in page
    assert 'id="ambiguous"' not in certain


def test_a_long_list_is_cut_and_says_so() -> None:
    """All trades are in the table of the trades."""
    (trade,) = busy_world().result().ambiguous_trades

    text = ambiguity_section([trade] * (MOST_ROWS + 5), (-1.0, 2.0), 1.0, "USD")

    assert text.count("<tr>") == MOST_ROWS + 1
    assert f"The first {MOST_ROWS} are shown" in text
