"""The page of an exploration in a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest

from src.pages import write_page
from src.research.explore.lab import Lab
from src.research.explore.report_page import exploration_page
from src.research.explore.study import explore
from src.research.explore.timelines import timelines_of
from tests.browser.browser import Driver
from tests.research.explore.bots import TWO_SLOTS, observed_by, write_project

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_page_of_an_exploration_is_drawn_and_its_tables_sort(
    open_page: Callable[[Path], Driver], tmp_path: Path
) -> None:
    """Points of every schedule, the lanes of both orders, and a click on a heading."""
    from selenium.webdriver.common.by import By

    config = write_project(tmp_path, "Healthy", TWO_SLOTS)
    lab = Lab(config, [])
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    found = explore(symbols, 4, 7, lambda tried: observed_by(Lab(config, []), tried), lab)
    times = [timelines_of(each.race, lab.run) for each in found.findings if each.race is not None]
    path = tmp_path / "explore.html"
    write_page(path, exploration_page(found, "racing", lambda variant: variant.schedule, times, synthetic_seed=7))

    driver = open_page(path)
    marks = driver.execute_script("return document.querySelectorAll('#lanes-1 .scatterlayer path.point').length")
    first = []
    for _ in range(2):
        driver.find_elements(By.CSS_SELECTOR, "#schedules th")[0].click()
        first.append(driver.execute_script("return document.querySelector('#schedules tbody tr').cells[0].textContent"))

    assert times[0] is not None
    assert marks == len(times[0].written) + len(times[0].swapped)
    assert sorted(first) == ["1", "4"]
    assert driver.execute_script("return document.querySelector('.banner').textContent").startswith("SYNTHETIC")
