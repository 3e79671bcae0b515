"""The page of a suite in a real browser: the table sorts and filters, and the heat map follows what is chosen."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.research.suite.report_page import write_suite_report
from tests.browser.browser import Driver
from tests.research.page_values import PageValues
from tests.research.suite.left import NETS, left_suite

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[[Path], Driver]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a suite of five runs over three parameters, and two that failed."""
    return write_suite_report(left_suite(tmp_path_factory.mktemp("browser")))


def column(driver: Driver, table: str, place: int) -> list[str]:
    """What stands in a column of the rows that are shown."""
    found: list[str] = driver.execute_script(
        f"return [...document.querySelectorAll('#{table} tbody tr')].map(row => row.children[{place}].textContent)"
    )
    return found


def heat(driver: Driver) -> dict[str, Any]:
    """What the heat map shows now."""
    found: dict[str, Any] = driver.execute_script("return lockstep.heat.shown")
    return found


def choose(driver: Driver, ident: str, text: str) -> None:
    """Choose in the page, as somebody does with the keyboard or the mouse."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element(By.ID, ident)).select_by_visible_text(text)


def test_runs_are_sorted_by_a_click_and_filtered_by_words(open_page: Open, path: Path) -> None:
    """By value and not by text; a comparison filters by a column."""
    from selenium.webdriver.common.by import By

    driver = open_page(path)
    heads = driver.execute_script(
        "return [...document.querySelectorAll('#ranking thead th')].map(cell => cell.firstChild.textContent.trim())"
    )
    place = heads.index("Net")
    driver.find_elements(By.CSS_SELECTOR, "#ranking thead th")[place].click()
    nets = [float(text.replace(",", "")) for text in column(driver, "ranking", place) if text != "–"]
    driver.find_element(By.CSS_SELECTOR, "#ranking input").send_keys("net>0 fast:2")
    kept = column(driver, "ranking", 1)
    driver.execute_script("lockstep.tables.ranking.select('return_percent>0 fast:2')")
    by_key = column(driver, "ranking", 1)

    assert nets in (sorted(nets), sorted(nets, reverse=True))
    assert sorted(nets) == sorted(float(sum(each)) for each in NETS.values())
    assert sorted(kept) == ["run-2", "run-3", "run-4"] == sorted(by_key)
    assert not [head for head in heads if "_" in head]


def test_the_heat_map_changes_with_what_is_chosen(open_page: Open, path: Path) -> None:
    """Its cells are the stored figures; a cell of several runs shows their mean and says so."""
    driver = open_page(path)
    sharpe = {
        (row["fast"], row["slow"], row["size"]): (row["sharpe"], row["net"])
        for row in PageValues(path.read_text(encoding="utf-8")).rows("ranking")
        if row["status"] == "COMPLETED"
    }
    mean = (sharpe[2, 30, 0.5][0] + sharpe[2, 30, 1.0][0]) / 2
    first, note = heat(driver), driver.execute_script("return document.getElementById('heat-note').textContent")
    drawn = driver.execute_script("return document.querySelectorAll('#heat .heatmaplayer image').length")
    assert (first["x"], first["y"], first["of"], drawn) == ([1, 2], [10, 30], "sharpe", 1)
    assert first["z"][0] == [sharpe[1, 10, 0.5][0], sharpe[2, 10, 0.5][0]]
    assert first["z"][1][0] == sharpe[1, 30, 0.5][0]
    assert math.isclose(first["z"][1][1], mean)
    assert first["counts"] == [[1, 1], [1, 2]]
    assert "1 of them shows the mean" in note
    assert "which differ in size" in note

    choose(driver, "heat-only-size", "1")
    assert heat(driver)["z"] == [[sharpe[2, 30, 1.0][0]]]
    choose(driver, "heat-only-size", "0.5")
    assert heat(driver)["counts"] == [[1, 1], [1, 1]]
    assert "each of one run" in driver.execute_script("return document.getElementById('heat-note').textContent")
    choose(driver, "heat-of", "Net")
    assert heat(driver)["z"] == [[-5, 8], [-1, 5]]
    choose(driver, "heat-x", "slow")
    assert (heat(driver)["x"], heat(driver)["y"]) == ([10, 30], [1, 2])
    choose(driver, "heat-y", "nothing")
    assert heat(driver)["x"] == [10, 30]
    assert len(heat(driver)["z"]) == 1


def test_all_parts_are_drawn_in_light_and_dark(open_page: Open, path: Path) -> None:
    """A curve for each of the best, their correlation, and what failed with the line to paste."""
    driver = open_page(path)
    for theme in ("light", "dark"):
        driver.execute_script(f"lockstep.setTheme('{theme}')")
        state = driver.execute_script(
            "return [document.querySelectorAll('#equity .scatterlayer .js-line').length,"
            "document.querySelectorAll('#correlation .heatmaplayer image').length,"
            "document.querySelectorAll('#failures tbody tr').length, document.documentElement.dataset.theme]"
        )
        assert state == [5, 1, 2, theme]
    assert "--set strategies.0.params.fast=3" in column(driver, "failures", 4)[0]
    assert driver.execute_script("return [...document.querySelectorAll('#contents a')].map(a => a.textContent)") == [
        "Failures (2)", "Ranking", "Heat map", "Equity of the best", "Correlation of the best", "Manifest",
    ]  # fmt: skip
