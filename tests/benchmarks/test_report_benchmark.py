"""What the report's benchmark measures is a run like those of the product, and the same each time."""

from pathlib import Path

import numpy as np

from benchmarks import report
from src.backtesting.report.prices import kept_prices
from src.backtesting.report.stored import read_run


def test_the_run_that_is_measured_has_what_was_asked_for(tmp_path: Path) -> None:
    """So many bars in steps of a tenth of a pip, so many trades with moved stops; made again, the same digest."""
    bars = report.market(2_000)
    folder = report.stored_run(bars, 80, tmp_path / "one")
    again = report.stored_run(report.market(2_000), 80, tmp_path / "two")

    report.made(folder, bars, folder / "report.html")

    run, (shown,) = read_run(folder), kept_prices(folder / "report.html")
    assert run.trade_count == 80
    assert all(len(run.protections[identity]) == 2 for identity in run.trades["trade_id"])
    assert run.manifest["digest"] == read_run(again).manifest["digest"]
    assert (shown.decimals, shown.exact, shown.merged) == (5, True, 1)
    np.testing.assert_array_equal(shown.price(shown.close), bars.close)
