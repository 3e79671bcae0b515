"""The page of a parity check in a real browser: decisions on their lanes, differences by cause, errors of fills."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from src.core.timeframe import SECOND_NS
from src.pages import write_page
from src.research.parity.causes import Explained
from src.research.parity.compare import compare_decisions
from src.research.parity.decisions import Decision, decisions_of
from src.research.parity.fill_errors import FillError, FillReport, TradeError
from src.research.parity.report import ParityReport
from src.research.parity.report_page import parity_page
from src.research.parity.store_bars import StoreComparison
from tests.browser.browser import Driver
from tests.research.parity.journals import decided, minute

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[[Path], Driver]
EVIL = "<img src=x>"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The page of a run that made its decisions later than its replay, one of them with another stop, and one less."""

    def trailing(bars: list[int], delay_ns: int, stop: float) -> tuple[Decision, ...]:
        records = [decided(minute(bar) + delay_ns * bar, "protect", identity="p", type="trailing",
                           stop=stop if bar == 3 else 100.0 + bar) for bar in bars]  # fmt: skip
        return tuple(replace(each, reason=EVIL) for each in decisions_of(records))

    left, right = trailing([1, 2, 3, 4, 5, 6], 0, 103.0), trailing([1, 2, 3, 4, 5], SECOND_NS, 99.0)
    comparison = compare_decisions(left, right)
    explained = tuple(
        Explained(difference=each, cause=cause, instant_ns=each.bar_ns, text=f"because {EVIL}")
        for each, cause in zip(comparison.differences, ("data", "fill"), strict=True)
    )
    report = ParityReport(reference="live-1", other=EVIL, comparison=comparison, explained=explained)
    fills = FillReport(
        fills=tuple(
            FillError(symbol="AAA", book="b", trade=1, side="buy", kind="entry", volume=1.0, instant_ns=minute(place),
                      status="paired", basis_points=points, ticks=1.0, time_ns=-SECOND_NS, fee=0.0)
            for place, points in enumerate((-2.0, 0.0, 7.0))
        ),
        trades=(TradeError(symbol="AAA", book="b", trade=1, fills=3, unpaired=0, ticks=3.0, basis_points=5.0,
                           time_ns=-90 * SECOND_NS, fee=0.0),),
        resyncs=0, refused={},
    )  # fmt: skip
    stored = StoreComparison(compared=50, differences=(), notes=("no series of BBB",))
    write_page(tmp_path / "parity.html", parity_page("live-1", [report], fills=fills, stored=stored))
    return tmp_path / "parity.html"


def test_decisions_and_differences_are_drawn_and_sorted(open_page: Open, path: Path) -> None:
    """A mark for each decision of both runs, a line between two that belong together, and the table of differences."""
    from selenium.webdriver.common.by import By

    driver = open_page(path)
    marks = driver.execute_script(
        "return document.getElementById('p1-axis').data.map(one => [one.name || one.mode, one.x.length])"
    )
    drawn = driver.execute_script("return document.querySelectorAll('#p1-axis .scatterlayer path.point').length")
    bars = driver.execute_script("return document.querySelectorAll('#fill-errors .barlayer .point').length")
    causes = []
    for _ in range(2):
        driver.find_elements(By.CSS_SELECTOR, "#p1-table th")[7].click()
        causes.append([row.text for row in driver.find_elements(By.CSS_SELECTOR, "#p1-table td:nth-child(8)")])

    assert marks == [["equal", 8], ["lines", 3], ["data", 2], ["fill", 1]]
    assert drawn == 11
    assert bars >= 3
    assert causes == [["data", "fill"], ["fill", "data"]]
    assert driver.find_elements(By.TAG_NAME, "img") == []


def test_the_tiles_say_what_the_command_says(open_page: Open, path: Path) -> None:
    """Counts, the median of the delays, of an even number of them as well, and how far fills lie apart in time."""
    driver = open_page(path)

    tiles = driver.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('.tile')].map(one =>"
        " [one.dataset.key, one.querySelector('b').textContent]))"
    )
    later = driver.execute_script("return document.querySelector('#fills-table tbody tr').cells[7].textContent")

    assert tiles == {
        "p1-reference": "6", "p1-other": "5", "p1-equal": "4", "p1-delay": "3 s", "p1-data": "1", "p1-fill": "1",
    }  # fmt: skip
    assert later == "-00:01"
