"""The toolkit's pages in a real browser: charts, tables, hints, colours, packed columns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.pages import Column, Page, Tile, banner, section, tiles, write_page
from tests.browser.browser import Driver

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[[Path], Driver]


@pytest.fixture
def toolkit_page(tmp_path: Path) -> Path:
    """A page with one of each piece."""
    page = Page("A page of pieces")
    page.add(banner("SYNTHETIC", "made from seed 7"))
    page.add(tiles([Tile(name="Net", text="1,234.50", tone="good", meaning="What is left.", key="net")]))
    figure = {
        "data": [{"x": np.arange(50), "y": np.sin(np.arange(50)), "mode": "lines", "line": {"color": "accent"}}],
        "layout": {"xaxis": {"title": {"text": "accent"}}},
    }
    page.add(section("Curve", page.chart("curve", figure, note="A curve."), "curve-section"))
    page.add('<div style="height:3000px"></div>')
    page.add(section("Below", page.chart("below", figure), "below-section"))
    columns = [Column(name="Name"), Column(name="Net", kind="money", tone=True), Column(name="At", kind="instant")]
    rows = [(f"row <{i % 7}>", float((i * 37) % 101 - 50), 1_700_000_000_000_000_000 + i * 60_000_000_000)
            for i in range(2_500)]  # fmt: skip
    page.add(section("Rows", page.table("rows", columns, rows), "rows-section"))
    page.pack("numbers", {"whole": np.array([5, 10, -15]), "real": np.array([0.5, np.nan]), "words": ["b", "a", "b"]})
    path = tmp_path / "page.html"
    write_page(path, page)
    return path


def test_a_page_is_drawn_whole(open_page: Open, toolkit_page: Path) -> None:
    """Both charts have their lines, that far below the window too, and the table its first page."""
    driver = open_page(toolkit_page)

    lines = driver.execute_script("return document.querySelectorAll('.chart .scatterlayer .js-line').length")
    rows = driver.execute_script("return document.querySelectorAll('#rows tbody tr').length")
    links = driver.execute_script("return [...document.querySelectorAll('#contents a')].map(a => a.textContent)")
    assert (lines, rows, links) == (2, 100, ["Curve", "Below", "Rows"])


def test_a_hint_shows_on_hover(open_page: Open, toolkit_page: Path) -> None:
    """The meaning of a figure appears when the pointer is over it, and goes away."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    driver = open_page(toolkit_page)
    hint = driver.find_element(By.ID, "hint")
    before = hint.is_displayed()

    ActionChains(driver).move_to_element(driver.find_element(By.CSS_SELECTOR, '[data-key="net"]')).perform()
    shown = (hint.is_displayed(), hint.text)
    ActionChains(driver).move_to_element(driver.find_element(By.TAG_NAME, "h1")).perform()

    assert (before, shown, hint.is_displayed()) == (False, (True, "What is left."), False)


def test_a_table_sorts_and_filters(open_page: Open, toolkit_page: Path) -> None:
    """A click on a heading sorts by value, the field filters by words and by comparisons."""
    from selenium.webdriver.common.by import By

    driver = open_page(toolkit_page)
    cells = "return [...document.querySelectorAll('#rows tbody tr')].map(row => row.cells[1].textContent)"

    driver.find_elements(By.CSS_SELECTOR, "#rows th")[1].click()
    falling = driver.execute_script(cells)
    driver.find_elements(By.CSS_SELECTOR, "#rows th")[1].click()
    rising = driver.execute_script(cells)
    driver.find_element(By.CSS_SELECTOR, "#rows input").send_keys("net>=49 name:<3>")
    filtered = driver.execute_script("return lockstep.tables.rows.shown")

    expected = [i for i in range(2_500) if (i * 37) % 101 - 50 >= 49 and i % 7 == 3]
    assert (falling[0], rising[0]) == ("50.00", "-50.00")
    assert sorted(filtered) == expected


def test_the_colours_change(open_page: Open, toolkit_page: Path) -> None:
    """The switch goes from the system's colours to light to dark, and charts follow."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    driver = open_page(toolkit_page)
    state = (
        "return [document.documentElement.dataset.theme,"
        " getComputedStyle(document.querySelector('#curve .js-line')).stroke]"
    )
    driver.execute_script("lockstep.setTheme('auto')")
    switch = driver.find_element(By.ID, "theme")

    for expected in (["light", "rgb(29, 95, 196)"], ["dark", "rgb(107, 166, 251)"]):
        switch.click()
        WebDriverWait(driver, 20).until(lambda driver, wanted=expected: driver.execute_script(state) == wanted)
    switch.click()

    assert switch.text == "Auto"


def test_packed_columns_arrive_as_they_were(open_page: Open, toolkit_page: Path) -> None:
    """Whole numbers, real ones and texts are the same in the page."""
    driver = open_page(toolkit_page)

    found = driver.execute_async_script(
        "const done = arguments[0];"
        "lockstep.unpack('numbers').then(c => done([[...c.whole], [...c.real].map(String), c.words]))"
    )

    assert found == [[5, 10, -15], ["0.5", "NaN"], ["b", "a", "b"]]


def test_the_field_of_a_table_shows_conditions_that_it_understands(open_page: Open, toolkit_page: Path) -> None:
    """Its examples are of the table's own columns, and keep rows."""
    driver = open_page(toolkit_page)
    field = driver.find_element("css selector", "#rows input")
    shown = field.get_attribute("placeholder")

    driver.execute_script("lockstep.tables.rows.select(arguments[0])", shown.rpartition(" ")[2])
    kept = driver.execute_script("return lockstep.tables.rows.shown.length")

    assert shown == "Filter: words, or net>0"
    assert 0 < kept < 2_500
