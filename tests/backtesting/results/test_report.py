"""The report of a run: self-contained, escaped, small, and equal for equal runs."""

import base64
import html
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting.artifacts import write_run
from src.backtesting.report import build_run_report
from src.backtesting.report.curves import exposure_figure, thinned
from src.backtesting.report.figures import Exposure, exposure
from src.backtesting.report.stored import read_run
from src.backtesting.result import BacktestResult
from src.core.bars import BarSeries
from src.core.errors import DataError, StrategyError
from src.core.journal import JournalRecord
from src.core.records import Side
from src.core.timeframe import MINUTE_NS
from src.pages.packing import unpacked
from tests.backtesting.results.worlds import START_NS, World, bars, busy_world, failed

RUN_ID = "0123456789abcdef"
MANIFEST = {"seed": 7, "policy": "1:fifo:7", "synthetic": False}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Where runs are stored."""
    return tmp_path / "runs"


def page(
    runs: Path,
    result: BacktestResult,
    manifest: dict[str, Any] | None = None,
    prices: dict[str, BarSeries] | None = None,
) -> str:
    """The report that is written with a run."""
    number = len(list(runs.glob("*"))) if runs.is_dir() else 0
    folder = write_run(
        result, run_id=RUN_ID, manifest={**MANIFEST, **(manifest or {})}, runs_dir=runs / str(number),
        price_series=prices,
    )  # fmt: skip
    return (folder / "report.html").read_text(encoding="utf-8")


def own_part(text: str) -> str:
    """The page without the inlined chart library."""
    return re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.DOTALL)


def data_of(text: str) -> Any:
    """The values that the page's script reads."""
    match = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', text, flags=re.DOTALL)
    assert match is not None
    return json.loads(match.group(1))


def pack_of(text: str, name: str) -> Any:
    """Columns that were packed into the page."""
    match = re.search(rf'id="pack-{name}" data-columns="([^"]*)">([^<]*)<', text)
    assert match is not None
    return unpacked(html.unescape(match.group(1)), match.group(2))


def test_the_page_asks_the_network_for_nothing(runs: Path) -> None:
    """Neither addresses nor sources, the library is inlined once, and the page forbids all loading."""
    text = page(runs, busy_world().result(), prices={"AAA": bars("AAA", 200)})
    own = own_part(text)

    assert len(text) - len(own) > 1_000_000
    assert not re.search(r"https?:|src=|@import|url\(", own)
    assert "default-src 'none'" in own


def test_the_page_shows_each_part_of_a_run(runs: Path) -> None:
    """Headline, curves, prices, groups, excursions, exposure, costs, trades, refusals, fidelity and manifest."""
    result = busy_world().result(refusals={"max_open_positions": 1234}, fidelity={"latency": "counts as 0"})

    own = own_part(page(runs, result, prices={"AAA": bars("AAA", 200)}))

    for words in (RUN_ID, result.digest, "COMPLETED", "Equity and drawdown", "Prices, entries and exits",
                  "From gross to net", "By symbol", "By strategy", "By side", "By exit", "breakout", "cross up",
                  "stop (ambiguous)", "1234", "max_open_positions", "counts as 0", "Manifest", "1,004.00",
                  "Returns by month", "Weekday by hour", "Distribution of R", "Excursions",
                  "Exposure and margin"):  # fmt: skip
        assert words in own
    assert "SYNTHETIC" not in own


def test_a_synthetic_market_is_said_large_with_its_seed(runs: Path) -> None:
    """The banner names the seed of the market, or that of the run when they are one."""
    own = own_part(page(runs, busy_world().result(), {"synthetic": True}))
    apart = own_part(page(runs, busy_world().result(), {"synthetic": True, "synthetic_seed": 9}))

    assert "<strong>SYNTHETIC</strong><span>The market was generated from seed 7." in own
    assert "<strong>SYNTHETIC</strong><span>The market was generated from seed 9." in apart


def test_a_run_in_real_time_has_no_seed_to_show(runs: Path) -> None:
    """Its manifest holds None there."""
    own = own_part(page(runs, busy_world().result(), {"seed": None}))

    assert "&middot; schedule 1:fifo:7" in own
    assert "seed None" not in own


def test_a_month_that_hardly_moved_looks_so(runs: Path) -> None:
    """Its return has the digits that tell it from none, the faint colour of little, and all digits on hover."""
    world = World(days=40, balance=10_000)
    for net, hours in ((-2.0, 24), (-0.125, 35 * 24)):
        world.trade(net, hours=hours)
        world.sample(hours + 1, world.balance + world.realised)

    months = page(runs, world.result()).partition('<table id="months"')[2].partition("</table>")[0]
    cells = re.findall(r'<td data-value="[^"]*" style="[^"]* (\d+)%[^"]*" data-meaning="([^"]*)"[^>]*>([^<]*)<', months)

    assert cells == [("8", "Jan 2024: -0.0200 %", "-0.02"), ("2", "Feb 2024: -0.0013 %", "0.00")]
    assert "<b>-0.02</b>" in months


def test_a_run_that_was_cut_short_has_no_months_that_it_did_not_see(runs: Path) -> None:
    """The window is of three months, the last sample in the first one: nothing is said of the others."""
    world = World(days=90)
    world.trade(10.0, hours=24)
    world.sample(48, world.balance + world.realised)

    text = page(runs, failed(world, StrategyError("Mine raised on bar 3")))

    months = text.partition('<table id="months"')[2].partition("</table>")[0]
    assert re.findall(r'data-meaning="([^"]*)"', months) == ["Jan 2024: +1.0000 %"]
    last = numbers(data_of(text)["charts"]["exposure"]["data"][0]["x"])[-1]
    assert last == world.at(48) / 1e6


def test_stops_of_a_live_run_are_those_that_were_decided(tmp_path: Path) -> None:
    """Its venue keeps them, so the journal has no record of each: the first one is the trade's, then what was asked."""
    world = World()
    entry = world.fill(1, Side.BUY, 1, 100.0, stop=95.0)
    asked = ("sma", "protect", "accepted", entry.position_id, None, "trailing", None, None, 98.0, None, "trailing")
    refused = ("sma", "protect", "not_better", entry.position_id, None, "trailing", None, None, 90.0, None, "trailing")
    for hours, values in ((2, asked), (3, refused)):
        world.journal_entries.append(JournalRecord(world.at(hours), "AAA", "decision", "monitor:positions", values))
    world.fill(4, Side.SELL, 1, 98.0, kind="trailing")

    run = read_run(write_run(world.result(), run_id=RUN_ID, manifest=MANIFEST, runs_dir=tmp_path, report=False))

    moves = [(each.instant_ns, each.stop, each.target) for each in run.protections[entry.position_id]]
    assert moves == [(world.at(1), 95.0, None), (world.at(2), 98.0, None)]


def test_a_refused_entry_without_a_size_shows_none(runs: Path) -> None:
    """It was refused before its volume was worked out: that is not a volume of 0."""
    world = busy_world()
    values = ("sma", "enter", "max_open_positions", "k1", "buy", "market", 0.0, None, 90.0, None, "cross up")
    world.journal_entries.append(JournalRecord(world.at(60), "AAA", "decision", "worker:AAA", values))

    table = data_of(page(runs, world.result(refusals={"max_open_positions": 1})))["tables"]["refused"]

    (place,) = [i for i, one in enumerate(table["columns"]) if one["name"] == "Volume"]
    assert table["values"][place] == [None]


def test_exposure_is_drawn_to_the_end_of_the_run(runs: Path) -> None:
    """What the last fill left is held from then on: a line, although there was one fill."""
    run = read_run(write_run(busy_world().result(), run_id=RUN_ID, manifest=MANIFEST, runs_dir=runs))
    whole = exposure(run)
    one = Exposure(**{each.name: getattr(whole, each.name)[:1] for each in fields(Exposure)})
    figure = exposure_figure(run, one)

    assert figure is not None
    gross = figure["data"][0]
    assert [len(gross["x"]), gross["y"][0]] == [2, gross["y"][1]]


def test_zero_trades_and_errors_are_said_at_the_top(runs: Path) -> None:
    """A run without trades names its commonest refusal; a failed one its error; a degraded one the symbol."""
    empty = own_part(page(runs, World().result(refusals={"margin": 837})))
    ended = own_part(page(runs, failed(busy_world(), StrategyError("Mine raised on bar 3"))))
    dropped = own_part(page(runs, busy_world().result(failures={"BBB": "no data after noon"})))

    assert "<strong>NO TRADES</strong><span>the run closed 0 trades" in empty
    assert "`margin` (837 times)" in empty
    assert "<strong>StrategyError</strong><span>Mine raised on bar 3" in ended
    assert "<strong>BBB</strong><span>no data after noon" in dropped


def test_all_text_of_a_user_is_escaped(runs: Path) -> None:
    """Markup in names, reasons, errors, configuration and codes comes out as text, and cannot end a script."""
    evil = "</script><img alt=x onerror=alert(1)>{{data}}"
    world = World()
    world.fill(1, Side.BUY, 1, 100, symbol=evil, book=evil, reason=evil)
    world.fill(2, Side.SELL, 1, 101, symbol=evil, book=evil, reason=evil, kind=evil)
    world.fill(3, Side.BUY, 1, 101, symbol=evil, book=evil)
    result = world.result(
        currency=evil, refusals={evil: 1}, fidelity={evil: evil}, failures={evil: evil}, error=StrategyError(evil)
    )

    own = own_part(page(runs, result, {"seed": evil, "policy": evil}, prices={evil: bars("x", 10)}))

    assert "<img" not in own
    assert own.count("</script>") == own.count("<script")
    assert own.count("&lt;img") > 10


def test_equal_runs_have_equal_reports(runs: Path) -> None:
    """No real time and no order of chance is in the page."""
    first, second = busy_world().result(seconds=1.0), busy_world().result(seconds=2.0)

    assert page(runs, first) == page(runs, second)


def test_curves_are_drawn_from_the_samples(runs: Path) -> None:
    """A short curve is drawn in full, in milliseconds, with its drawdown in percent."""
    curve, fall = data_of(page(runs, busy_world().result()))["charts"]["equity"]["data"]

    assert numbers(curve["x"])[0] == START_NS / 1e6
    assert numbers(curve["y"]).tolist() == [1000, 1009, 1001, 1003, 1004]
    assert numbers(fall["y"])[2] == pytest.approx(-8 / 1009 * 100)


def numbers(stored: dict[str, str]) -> np.ndarray:
    """An array as the chart decodes it."""
    return np.frombuffer(base64.b64decode(stored["bdata"]), "<f8")


def test_positions_still_open_are_marked(runs: Path) -> None:
    """One that was reduced and not closed is shown with what is left of it."""
    text = page(runs, busy_world().result(), prices={"AAA": bars("AAA", 200), "BBB": bars("BBB", 200)})

    ((symbol, side, _, price, volume, _),) = data_of(text)["values"]["open_positions"]

    assert (symbol, side, price, volume) == ("AAA", "buy", 110.0, 1.0)


def test_prices_outside_the_window_are_not_drawn(runs: Path) -> None:
    """Bars of the warm-up, before the start, stay out."""
    series = bars("AAA", 600, start_ns=START_NS - 500 * MINUTE_NS)

    text = page(runs, busy_world().result(), prices={"AAA": series})

    (about,) = data_of(text)["values"]["prices"]
    assert about["count"] == 100
    assert pack_of(text, "bars-0")["at"][0] == START_NS // 1_000_000


def test_every_trade_is_in_the_table(runs: Path) -> None:
    """None of 1,203 trades is left out, each has its number and its reason."""
    world = World(days=60)
    for number in range(1_203):
        world.trade(1.0, hours=number, reason=f"trade-{number + 1}-")

    text = page(runs, world.result())

    heads = [one["name"] for one in data_of(text)["tables"]["trades"]["columns"]]
    rows = pack_of(text, "table-trades")
    assert rows[str(heads.index("#"))].tolist() == list(range(1, 1_204))
    assert rows[str(heads.index("Reason"))] == [f"trade-{number + 1}-" for number in range(1_203)]


def test_a_run_without_figures_has_no_report(tmp_path: Path) -> None:
    """A folder whose figures are null is refused in a sentence."""
    folder = write_run(busy_world().result(), run_id=RUN_ID, manifest=MANIFEST, runs_dir=tmp_path, report=False)
    (folder / "metrics.json").write_text("null", encoding="utf-8")

    with pytest.raises(DataError, match="has no figures"):
        build_run_report(folder)


def test_timing_is_shown_when_asked_for(tmp_path: Path) -> None:
    """The report that is made later tells the real time, the one of the run does not."""
    folder = write_run(
        busy_world().result(seconds=2.0), run_id=RUN_ID, manifest=MANIFEST, runs_dir=tmp_path,
        timing={"runtime": "threads", "machine": "abc", "turns": {"worker:AAA": 17}},
    )  # fmt: skip

    later = own_part(build_run_report(folder, timing=True).html())

    assert "Thread timing" in later
    assert "2.00 s" in later
    assert "worker:AAA" in later
    assert "Thread timing" not in (folder / "report.html").read_text(encoding="utf-8")


def traced() -> dict[str, Any]:
    """What `timing.json` has of a run that was traced: two threads over half a second."""
    counted = {"turns": 3, "busy_s": 0.2, "waiting_s": 0.3, "lock_wait_s": 0.0, "longest_turn_s": 0.1,
               "longest_turn_at": "2024-01-01 00:05:00Z",
               "shares": {"bot": 0.1, "strategy": 0.1, "broker": 0.1, "hand_over": 0.1}}  # fmt: skip
    evil = "worker:<b>"
    spans = [(0, "turn", "turn", 0.0, 100_000.0), (0, "strategy", "<i>on_bar", 1_000.0, 90_000.0),
             (1, "wait", "next turn", -50_000.0, 150_000.0)]  # fmt: skip
    return {
        "shares": {"bot": 0.2, "strategy": 0.2, "broker": 0.2, "hand_over": 0.2, "step": 0.1}, "overruns": 2,
        "hand_over": {"count": 4, "seconds": 0.1, "median_us": 12.0, "p99_us": 99.0},
        "participants": {evil: counted, "monitor:positions": counted},
        "trace": {
            "elapsed_s": 0.5, "complete": False,
            "threads": [evil, "monitor:positions"],
            "busy": {evil: [0.05] * 5, "monitor:positions": [0.0, 0.1, 0.0, 0.0, 0.0]},
            "parts": {"bot": [0.01] * 5, "strategy": [0.02] * 5, "broker": [0.0] * 5, "lock": [0.0] * 5,
                      "step": [0.03] * 5},
            "turns": [{"thread": evil, "begin_s": 0.1, "seconds": 0.1, "virtual_ns": START_NS, "spans": spans}],
        },
    }  # fmt: skip


def test_a_recorded_trace_shows_who_was_busy_when(tmp_path: Path) -> None:
    """Busy shares of each thread over real time, what the time went into, and the longest turns with their spans."""
    folder = write_run(
        busy_world().result(), run_id=RUN_ID, manifest=MANIFEST, runs_dir=tmp_path, timing={"threads": traced()}
    )

    text = build_run_report(folder, timing=True).html()

    found = data_of(text)
    heat, parts = found["charts"]["thread-busy"]["data"][0], found["charts"]["thread-parts"]["data"]
    assert heat["y"] == ["worker:&lt;b&gt;", "monitor:positions"]
    assert heat["z"] == [pytest.approx([50.0] * 5), pytest.approx([0.0, 100.0, 0.0, 0.0, 0.0])]
    assert {one["name"]: one["y"] for one in parts} == {
        "Bot": pytest.approx([10.0] * 5), "Strategies": pytest.approx([20.0] * 5),
        "Market steps": pytest.approx([30.0] * 5),
    }  # fmt: skip
    assert found["values"]["turns"]["turns"][0]["spans"][1][2] == "<i>on_bar"
    own = own_part(text)
    assert "1: worker:&lt;b&gt;, 100.000 ms, at 2024-01-01 00:00:00Z (0.100 s after the start)" in own
    assert "The trace is of the first 0.50 s" in own
    assert "Thread timing" not in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [0, 1, 4, 99, 100, 101, 1_000, 12_345])
def test_thinning_keeps_ends_and_extremes(count: int) -> None:
    """At most the limit, in order, with the first, the last, the lowest and the highest value."""
    values = np.random.default_rng(count).normal(size=count).cumsum()

    kept = thinned(values, 100)

    assert len(kept) <= 100
    assert (np.diff(kept) > 0).all()
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)
        assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())
    if count <= 100:
        assert len(kept) == count


@pytest.mark.slow
def test_the_report_of_a_long_run_stays_small(runs: Path) -> None:
    """Half a million bars, samples on each and 11,000 trades make less than 15 MB."""
    count = 500_000
    world = World(days=count / 1440)
    for number in range(11_000):
        world.trade((number % 7) - 3.0, hours=number * 0.75, lasts=0.5, reason="cross up")
    equity_ns = START_NS + np.arange(count, dtype=np.int64) * MINUTE_NS
    equity = 1_000 + np.random.default_rng(1).normal(size=count).cumsum() * 0.01
    equity[-1] = world.balance + world.realised
    result = world.result(equity_ns=equity_ns, equity=equity)

    text = page(runs, result, prices={"AAA": bars("AAA", count)})

    assert len(text) < 15_000_000
