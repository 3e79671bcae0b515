"""The page of a validation in a real browser: verdicts sort and filter, thousands of them too, and all is drawn."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from src.pages import write_page
from src.research.validation import reoptimise, validation
from src.research.validation.crew import Judges
from src.research.validation.report_data import read_stored
from src.research.validation.report_page import validation_page_of, write_validation_report
from src.research.validation.setup import read_validation
from src.research.validation.validation import run_validation
from tests.browser.browser import Driver
from tests.end_to_end.reoptimising import CONFIG as CHOICES
from tests.end_to_end.reoptimising import Here as Runs
from tests.end_to_end.reoptimising import write_world
from tests.research.validation.judges import Here
from tests.research.validation.test_validation import CONFIG, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[[Path], Driver]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a validation of 120 candidates leaves."""
    place = tmp_path_factory.mktemp("browser")
    path = place / "validate.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "judges_for", lambda *given: Judges(Here()))
        report = run_validation(read_validation(path, []), Watch(), workers=1)
    assert report.folder is not None
    return report.folder


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a walk-forward leaves that chooses its parameters again on each train."""
    place = tmp_path_factory.mktemp("browser") / "project"
    write_world(place)
    path = place / "validate.yaml"
    path.write_text(f"name: again\nruns: verdicts\n{CHOICES.lstrip()}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reoptimise, "executor_for", lambda *given, **more: Runs())
        report = run_validation(read_validation(path, []), Watch(), workers=1)
    assert report.folder is not None
    return report.folder


def column(driver: Driver, place: int) -> list[str]:
    """What stands in a column of the verdicts that are shown."""
    found: list[str] = driver.execute_script(
        f"return [...document.querySelectorAll('#verdict-rows tbody tr')].map(row => row.children[{place}].textContent)"
    )
    return found


def test_all_parts_are_drawn_in_light_and_dark(open_page: Open, folder: Path) -> None:
    """Funnel, windows, p-values with their line, Sharpe ratios, the curve of overfitting."""
    found = read_stored(folder)
    driver = open_page(write_validation_report(folder))
    for theme in ("dark", "light"):
        driver.execute_script(f"lockstep.setTheme('{theme}')")
        state = driver.execute_script(
            "const count = query => document.querySelectorAll(query).length;"
            "return [count('#funnel-chart .bars .point'), count('#windows .heatmaplayer image'),"
            "count('#p-values-chart .scatterlayer .js-line'), count('#p-values-chart .scatterlayer .points path'),"
            "count('#deflated .scatterlayer .points path'),"
            "count('#overfitting-chart .bars .point') > 5, count('#slope .scatterlayer .points path'),"
            "document.querySelector('.banner strong').textContent]"
        )
        dots = sum(each.p_value is not None and each.p_value < 1 for each in found.judged)
        passed = len(found.survivors)
        assert state == [3 * len(found.funnel), 1, 1, dots, 2 * passed, True, 924, "SYNTHETIC"]
        assert passed > 0


def test_the_stitched_equity_is_drawn_with_a_line_at_each_seam(open_page: Open, chosen: Path) -> None:
    """A curve for each window; without a cut-off the page says STABILITY."""
    windows = len(read_stored(chosen).chosen)
    driver = open_page(write_validation_report(chosen))
    state = driver.execute_script(
        "const count = query => document.querySelectorAll(query).length;"
        "return [count('#stitched .scatterlayer .js-line'), count('#stitched .shapelayer path'),"
        "count('#chosen-rows tbody tr'), count('#p-values-chart'),"
        "[...document.querySelectorAll('.banner strong')].map(word => word.textContent)]"
    )

    assert state[:4] == [windows, windows, windows, 0]
    assert "STABILITY" in state[4]


def test_verdicts_are_sorted_by_a_click_and_filtered_by_words(open_page: Open, folder: Path) -> None:
    """A small p is smaller than a large one, however it is written."""
    from selenium.webdriver.common.by import By

    driver = open_page(write_validation_report(folder))
    found = read_stored(folder)
    heads = driver.find_elements(By.CSS_SELECTOR, "#verdict-rows thead th")
    place = [head.text.strip() for head in heads].index("p")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", heads[place])
    heads[place].click()
    heads[place].click()
    ends = driver.execute_script(
        "const state = lockstep.tables['verdict-rows'];"
        f"return [state.values[{place}][state.shown[0]], state.values[{place}][state.shown[state.shown.length - 1]]]"
    )
    field = driver.find_element(By.CSS_SELECTOR, "#verdict-rows input")
    field.send_keys("status:pass")
    passed = column(driver, 0)
    field.clear()
    field.send_keys("phase:expectancy mean<0")
    rejected = len(column(driver, 0))

    values = sorted(each.p_value for each in found.judged if each.p_value is not None)
    assert sorted(ends) == [values[0], values[-1]]
    assert sorted(passed) == sorted(each.candidate_id for each in found.survivors)
    assert rejected == min(100, sum(each.phase == "expectancy" for each in found.judged))


def test_thirteen_thousand_verdicts_are_shown_a_page_at_a_time(open_page: Open, folder: Path, tmp_path: Path) -> None:
    """A hundred rows stand in the page, sorting and filtering reach all of them."""
    found = read_stored(folder)
    many = tuple(
        dataclasses.replace(found.judged[number % 120], candidate_id=f"candidate-{number:05}", number=number)
        for number in range(13_000)
    )
    path = tmp_path / "many.html"
    write_page(path, validation_page_of(dataclasses.replace(found, judged=many)))
    driver = open_page(path)
    before = len(column(driver, 0))
    driver.execute_script(
        "const state = lockstep.tables['verdict-rows']; state.sort(0, true); state.select('candidate-129')"
    )

    assert before == 100
    assert column(driver, 0)[0] == "candidate-12999"
    assert driver.execute_script("return lockstep.tables['verdict-rows'].shown.length") == 100
    assert path.stat().st_size < 8_000_000
