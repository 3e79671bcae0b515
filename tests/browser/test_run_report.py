"""The report of a run, and of two runs side by side, in a real browser: drawn, zoomed, hovered, sorted, filtered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting.artifacts import write_run
from src.backtesting.report import build_comparison, build_run_report
from src.core.bars import BarSeries
from src.core.journal import JournalRecord
from src.core.records import Side
from src.core.timeframe import MINUTE_NS
from src.pages import write_page
from tests.backtesting.results.test_report import traced
from tests.backtesting.results.worlds import START_NS, World
from tests.browser.browser import Driver

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[[Path], Driver]
BARS = 20_000


def stored(runs: Path, name: str, *, seed: int = 3) -> Path:
    """A run of one symbol with a hundred trades, and its report."""
    rng = np.random.default_rng(seed)
    close = np.rint(10_000 + rng.normal(scale=2, size=BARS).cumsum()) / 100
    opening = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opening, close) + 0.02, np.minimum(opening, close) - 0.02
    open_ns = START_NS + np.arange(BARS, dtype=np.int64) * MINUTE_NS
    bars = BarSeries("AAA", MINUTE_NS, open_ns, opening, high, low, close, np.ones(BARS))
    world = World(days=14)
    for number in range(100):
        first, last = number * 180 + 30, number * 180 + 150
        side, back = (Side.BUY, Side.SELL) if number % 2 else (Side.SELL, Side.BUY)
        stop = round(float(close[first]) * (0.98 if number % 2 else 1.02), 2)
        entry = world.fill((first + 1) / 60, side, 1, float(close[first]), stop=stop, reason=f"why {number}")
        world.journal_entries.append(
            JournalRecord(entry.filled_ns, "AAA", "protect", "broker", (entry.position_id, stop, None, "entry"))
        )
        world.fill((last + 1) / 60, back, 1, float(close[last]), kind="target")
        world.sample((last + 1) / 60, world.balance + world.realised)
    world.sample(14 * 24, world.balance + world.realised)
    manifest = {"synthetic": True, "synthetic_seed": seed}
    return write_run(world.result(), run_id=name, manifest=manifest, runs_dir=runs, price_series={"AAA": bars})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored run."""
    return stored(tmp_path_factory.mktemp("runs"), "0123456789abcdef")


def candles(driver: Driver) -> dict[str, Any]:
    """What the chart of prices shows."""
    found: dict[str, Any] = driver.execute_script(
        "const of = document.getElementById('candles').data[0];"
        "return {...lockstep.candles.state, bySymbol: null, first: of.x[0], drawn: of.x.length, high: of.high[0],"
        " boxes: document.querySelectorAll('#candles .boxes path.box').length}"
    )
    return found


def settled(driver: Driver, *, bars_below: int) -> dict[str, Any]:
    """What the chart shows once it shows fewer bars than that."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 30).until(
        lambda driver: driver.execute_script("return lockstep.candles.state.bars") < bars_below
    )
    return candles(driver)


def drag(driver: Driver, area: Any, *, begin: int, by: int) -> None:
    """Press the button so many pixels from the middle, move, and let go."""
    from selenium.webdriver.common.action_chains import ActionChains

    chain = ActionChains(driver).move_to_element_with_offset(area, begin, 0).click_and_hold()
    chain.move_by_offset(by, 2).release().perform()


def test_the_figures_are_there(open_page: Open, folder: Path) -> None:
    """All charts are drawn, the candles stand for all bars, the banner and the tiles are seen."""
    driver = open_page(folder / "report.html")

    charts = driver.execute_script(
        "return [...document.querySelectorAll('.chart')].filter(one => !one.querySelector('.main-svg'))"
        ".map(one => one.id)"
    )
    shown = candles(driver)
    text = driver.find_element("tag name", "body").text
    assert charts == []
    assert (shown["bars"], shown["perCandle"], shown["drawn"]) == (BARS, 20, BARS // 20)
    assert shown["boxes"] == shown["drawn"]
    assert "SYNTHETIC" in text
    assert driver.find_element("css selector", '[data-key="trades"] b').text == "100"


def test_zooming_brings_detail(open_page: Open, folder: Path) -> None:
    """Dragging over a part of the prices shows that part, in the end each bar by itself, with its stops."""
    driver = open_page(folder / "report.html")
    area = driver.find_element("css selector", "#candles .nsewdrag")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    drag(driver, area, begin=-30, by=60)
    near = settled(driver, bars_below=2_000)
    drag(driver, area, begin=-200, by=400)
    nearer = settled(driver, bars_below=near["bars"])

    driver.execute_script(
        "const box = arguments[0].getBoundingClientRect(), at = { clientX: box.left + 9, clientY: box.top + 9 };"
        "const turn = ctrlKey => arguments[0].dispatchEvent(new WheelEvent('wheel',"
        " { ...at, ctrlKey, deltaY: -300, bubbles: true, cancelable: true }));"
        "if (!turn(false)) { throw new Error('the wheel alone has to move the page'); } turn(true);",
        driver.find_element("css selector", "#candles .nsewdrag"),
    )
    nearest = settled(driver, bars_below=nearer["bars"])

    lines = driver.execute_script("return document.getElementById('candles').data.map(one => [one.name, one.x.length])")
    assert 200 < near["bars"] < 2_000
    assert nearer["perCandle"] == 1
    assert nearer["drawn"] == nearer["bars"] < 700
    assert nearest["bars"] < nearer["bars"]
    assert dict(lines)["Stops"] > 0
    driver.execute_async_script("const done = arguments[0]; lockstep.candles.showAll().then(done)")
    assert candles(driver)["bars"] == BARS


def test_candles_of_many_bars_keep_their_extremes(open_page: Open, folder: Path) -> None:
    """Each candle opens with its first bar, closes with its last, and reaches as far as any of them."""
    driver = open_page(folder / "report.html")

    wrong = driver.execute_async_script(
        "const done = arguments[0]; lockstep.candles.bars(0).then(of => {"
        " const shown = document.getElementById('candles').data[0], per = lockstep.candles.state.perCandle;"
        " let wrong = 0;"
        " for (let k = 0; k < shown.x.length; k++) {"
        "  const part = name => Array.from(of[name].slice(k * per, (k + 1) * per));"
        "  if (shown.open[k] !== part('open')[0] || shown.close[k] !== part('close').at(-1)"
        "   || shown.high[k] !== Math.max(...part('high')) || shown.low[k] !== Math.min(...part('low'))) { wrong++; } }"
        " done(wrong); })"
    )

    assert wrong == 0


def test_hovering_an_entry_tells_its_reason(open_page: Open, folder: Path) -> None:
    """Zoomed to a trade, the label of its entry names the trade, the price and the reason."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    driver = open_page(folder / "report.html")
    driver.execute_async_script("const done = arguments[0]; lockstep.candles.trade(41).then(done)")
    point = driver.execute_script(
        "const place = document.getElementById('candles'); place.scrollIntoView({block: 'center'});"
        "const set = place.data.find(one => one.name === 'Long entry');"
        "const at = set.text.findIndex(text => text.includes('why 41'));"
        "const box = place.querySelector('.nsewdrag').getBoundingClientRect(), full = place._fullLayout;"
        "return [box.left + full.xaxis.d2p(set.x[at]), box.top + full.yaxis.d2p(set.y[at])]"
    )
    actions = ActionChains(driver)
    actions.w3c_actions.pointer_action.move_to_location(round(point[0]), round(point[1]))
    actions.w3c_actions.pointer_action.move_to_location(round(point[0]) + 1, round(point[1]))
    actions.perform()

    label = WebDriverWait(driver, 20).until(
        lambda driver: driver.execute_script("return document.querySelector('#candles .hoverlayer')?.textContent")
    )
    assert "#42 Long" in label
    assert "why 41" in label


def test_a_row_of_the_trades_leads_to_its_prices(open_page: Open, folder: Path) -> None:
    """A click on a trade zooms the prices to it; the list sorts and filters."""
    driver = open_page(folder / "report.html")
    field = driver.find_element("css selector", "#trades input")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)

    field.send_keys("side:buy net>0")
    kept = driver.execute_script("return lockstep.tables.trades.shown")
    row = driver.find_element("css selector", "#trades tbody tr")
    number = int(row.find_element("css selector", "td").text)
    row.click()
    shown = settled(driver, bars_below=1_000)

    heads = driver.execute_script(
        "const t = lockstep.tables.trades; const at = name => t.columns.findIndex(c => c.name === name);"
        "return [Array.from(t.values[at('Net')]), t.values[at('Side')], Array.from(t.values[at('Entry')])]"
    )
    expected = [i for i in range(100) if heads[1][i] == "buy" and heads[0][i] > 0]
    assert kept == expected
    assert shown["from"] < heads[2][number - 1] < shown["to"]


def test_two_runs_side_by_side(open_page: Open, folder: Path, tmp_path: Path) -> None:
    """The curves of both, the first record that differs, the figures that differ."""
    other = stored(tmp_path, "fedcba9876543210", seed=4)
    write_page(tmp_path / "compare.html", build_comparison(folder, other))

    driver = open_page(tmp_path / "compare.html")

    names = driver.execute_script("return document.getElementById('curves').data.map(one => one.name)")
    text = driver.find_element("id", "difference-section").text
    assert names == ["0123456789abcdef"] * 2 + ["fedcba9876543210"] * 2
    assert "The first record of any kind that differs" in text
    assert len(driver.find_elements("css selector", "#figures tbody tr")) > 20


def test_tables_of_groups_show_all_their_columns(open_page: Open, folder: Path) -> None:
    """Side by side where they fit, one under another where not; a table that is wider still shows where it goes on."""
    driver = open_page(folder / "report.html", size=(1400, 900))  # type: ignore[call-arg]  # the fixture takes a size
    cut = (
        "return [...document.querySelectorAll('.pair .scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)"
        ".map(one => one.parentElement.id)"
    )
    stacked = "return document.querySelectorAll('.pair.stacked #by-symbol').length"
    fitting = [driver.execute_script(cut), driver.execute_script(stacked)]
    driver.execute_script("document.querySelector('#by-symbol tbody td').textContent = 'A'.repeat(40); lockstep.fit();")
    crowded = [driver.execute_script(cut), driver.execute_script(stacked)]

    edges = driver.execute_script(
        "const one = document.querySelector('#trades .scroll'), seen = [one.className];"
        "one.scrollLeft = 100000; lockstep.edges(one); seen.push(one.className); return seen;"
    )
    assert fitting == [[], 0]
    assert crowded == [[], 1]
    assert edges == ["scroll more-right", "scroll more-left"]


def test_a_recorded_trace_is_drawn_and_the_longest_turns_are_looked_through(
    open_page: Open, folder: Path, tmp_path: Path
) -> None:
    """A bar for each span on the lane of its thread; another turn is another picture."""
    found = traced()
    first = found["trace"]["turns"][0]
    found["trace"]["turns"].append({**first, "thread": "monitor:positions", "spans": [(1, "turn", "turn", 0.0, 7.0)]})
    (folder / "timing.json").write_text(json.dumps({"threads": found}), encoding="utf-8")
    write_page(tmp_path / "traced.html", build_run_report(folder, timing=True))

    driver = open_page(tmp_path / "traced.html")

    drawn = "return document.querySelectorAll('#turn .barlayer .point').length"
    lanes = "return document.getElementById('turn')._fullLayout.yaxis._categories"
    assert driver.execute_script("return document.querySelectorAll('#thread-busy .heatmaplayer image').length") == 1
    assert driver.execute_script("return document.querySelectorAll('#thread-parts .barlayer .point').length") == 15
    assert driver.execute_script(drawn) == 3
    driver.execute_async_script("const done = arguments[0]; lockstep.turn.choose(1).then(() => done())")
    assert driver.execute_script(drawn) == 1
    assert driver.execute_script(lanes) == ["monitor:positions"]


def test_a_narrow_window_holds_the_page(open_page: Open, folder: Path) -> None:
    """On a telephone nothing sticks out to the side."""
    driver = open_page(folder / "report.html", size=(500, 900))  # type: ignore[call-arg]  # the fixture takes a size

    wide = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")

    assert wide[0] <= wide[1]
