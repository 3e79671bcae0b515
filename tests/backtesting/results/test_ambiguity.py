"""Trades that another path inside a bar would have ended otherwise are listed, and the profit is an interval."""

import json
from pathlib import Path

from src.backtesting.artifacts import write_run
from src.backtesting.report import build_run_report
from tests.backtesting.results.test_report import data_of
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


def test_the_report_lists_each_ambiguous_trade_with_its_three_results(tmp_path: Path) -> None:
    """The worst, the chosen and the best; a run without any has no such section."""
    result = busy_world().result()

    doubtful = build_run_report(write_run(result, run_id="a", manifest={}, runs_dir=tmp_path, report=False)).html()
    certain = build_run_report(
        write_run(World().result(), run_id="b", manifest={}, runs_dir=tmp_path, report=False)
    ).html()

    (trade,) = result.ambiguous_trades
    assert f"1 trade of {len(result.trades)} would have ended otherwise" in doubtful
    table = data_of(doubtful)["tables"]["ambiguous"]
    row = {column["name"]: values[0] for column, values in zip(table["columns"], table["values"], strict=True)}
    assert (row["Worst"], row["Chosen"], row["Best"]) == (trade.net_worst, trade.net, trade.net_best)
    assert row["#"] == result.trades.index(trade) + 1
    assert "ambiguous" not in data_of(certain)["tables"]
