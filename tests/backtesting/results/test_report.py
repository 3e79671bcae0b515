"""The report: self-contained, escaped, small, and equal for equal runs."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting.metrics import compute_metrics
from src.backtesting.report import report_html, write_report
from src.backtesting.report_curves import thinned
from src.backtesting.result import BacktestResult
from src.core.errors import StrategyError
from src.core.records import Side
from src.core.timeframe import MINUTE_NS
from tests.backtesting.results.worlds import START_NS, World, bars, busy_world, failed

MANIFEST = {"run_id": "0123456789abcdef", "seed": 7, "policy": "1:fifo:7", "synthetic": False}


def page(result: BacktestResult, manifest: dict[str, Any] | None = None, **more: Any) -> str:
    """The report of a result."""
    return report_html(result, compute_metrics(result), MANIFEST if manifest is None else manifest, **more)


def own_part(text: str) -> str:
    """The page without the inlined chart library."""
    return re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.DOTALL)


def figures(text: str) -> Any:
    """The values that the charts read."""
    match = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, flags=re.DOTALL)
    assert match is not None
    return json.loads(match.group(1))


def numbers(stored: dict[str, str]) -> np.ndarray:
    """An array as the chart decodes it."""
    assert stored["dtype"] == "f8"
    return np.frombuffer(base64.b64decode(stored["bdata"]), "<f8")


def test_the_page_asks_the_network_for_nothing() -> None:
    """Neither addresses nor sources nor links, the library is inlined once, and the page forbids all loading."""
    text = page(busy_world().result())
    own = own_part(text)

    assert len(text) - len(own) > 1_000_000
    assert not re.search(r"https?:|src=|href=|@import|url\(", own)
    assert "default-src 'none'" in own
    assert own.count("<script") == 2


def test_the_page_shows_each_part_of_a_run() -> None:
    """Headline, curves, prices, costs, groups, trades, refusals, exits, fidelity and manifest."""
    result = busy_world().result(refusals={"max_open_positions": 1234}, fidelity={"latency": "counts as 0"})

    own = own_part(page(result, price_series={"AAA": bars("AAA", 200)}))

    for words in ("0123456789abcdef", result.digest, "COMPLETED", "Equity and drawdown", "Prices, entries and exits",
                  "From gross to net", "By symbol", "By book", "breakout", "cross up", "stop (ambiguous)", "1,234",
                  "max_open_positions", "counts as 0", "Manifest", "1,004.00"):  # fmt: skip
        assert words in own
    assert "SYNTHETIC" not in own


def test_a_synthetic_market_is_said_large_with_its_seed() -> None:
    """The banner names the seed of the market, or that of the run when they are one."""
    own = own_part(page(busy_world().result(), {**MANIFEST, "synthetic": True}))
    apart = own_part(page(busy_world().result(), {**MANIFEST, "synthetic": True, "synthetic_seed": 9}))

    assert "<strong>SYNTHETIC</strong>The market was generated from seed 7." in own
    assert "<strong>SYNTHETIC</strong>The market was generated from seed 9." in apart


def test_zero_trades_and_errors_are_said_at_the_top() -> None:
    """A run without trades names its commonest refusal; a failed one its error; a degraded one the symbol."""
    empty = own_part(page(World().result(refusals={"margin": 837})))
    ended = own_part(page(failed(busy_world(), StrategyError("Mine raised on bar 3"))))
    dropped = own_part(page(busy_world().result(failures={"BBB": "no data after noon"})))

    assert "<strong>NO TRADES</strong>the run closed 0 trades" in empty
    assert "`margin` (837 times)" in empty
    assert "<b>StrategyError</b>: Mine raised on bar 3" in ended
    assert "<b>BBB</b>: no data after noon" in dropped


def test_all_text_of_a_user_is_escaped() -> None:
    """Markup in names, reasons, errors, configuration and codes comes out as text, and cannot end a script."""
    evil = "</script><img src=x onerror=alert(1)>{{data}}"
    world = World()
    world.fill(1, Side.BUY, 1, 100, symbol=evil, book=evil, reason=evil)
    world.fill(2, Side.SELL, 1, 101, symbol=evil, book=evil, reason=evil, kind=evil)
    world.fill(3, Side.BUY, 1, 101, symbol=evil, book=evil)
    result = world.result(
        currency=evil, refusals={evil: 1}, fidelity={evil: evil}, failures={evil: evil}, error=StrategyError(evil)
    )
    manifest = {**MANIFEST, "run_id": evil, "seed": evil, "policy": evil, "configuration": {evil: [evil]}}

    own = own_part(page(result, manifest, price_series={evil: bars("x", 10)}))

    assert "<img" not in own
    assert own.count("</script>") == 2
    assert own.count("&lt;img") > 15
    assert figures(own)["prices"][0]["long"]["text"][0].count("&lt;img") == 2


def test_equal_runs_have_equal_reports() -> None:
    """No real time and no order of chance is in the page."""
    first, second = busy_world().result(seconds=1.0), busy_world().result(seconds=2.0)

    assert page(first) == page(second)


def test_curves_are_drawn_from_the_samples() -> None:
    """A short curve is drawn in full, in milliseconds, with its drawdown in percent."""
    found = figures(page(busy_world().result()))["equity"]

    assert numbers(found["at"])[0] == START_NS / 1e6
    assert numbers(found["equity"]).tolist() == [1000, 1009, 1001, 1003, 1004]
    assert numbers(found["drawdown"])[2] == pytest.approx(-8 / 1009 * 100)


def test_entries_and_exits_are_marked_at_their_fills() -> None:
    """Long and short entries, exits won and lost, and the position that is still open."""
    text = page(busy_world().result(), price_series={"AAA": bars("AAA", 200), "BBB": bars("BBB", 200)})

    first, second = figures(text)["prices"]

    assert numbers(first["long"]["price"]).tolist() == [100.0, 110.0]
    assert first["long"]["text"][1].startswith("still open: 1 at 110")
    assert numbers(first["won"]["price"]).tolist() == [106.0]
    assert (numbers(second["short"]["price"]).tolist(), numbers(second["lost"]["price"]).tolist()) == ([50.0], [52.0])
    assert len(numbers(first["lost"]["at"])) == 0


def test_prices_outside_the_window_are_not_drawn() -> None:
    """Bars of the warm-up, before the start, stay out."""
    series = bars("AAA", 600, start_ns=START_NS - 500 * MINUTE_NS)

    found = figures(page(busy_world().result(), price_series={"AAA": series}))["prices"][0]

    assert numbers(found["at"])[0] == (START_NS + MINUTE_NS) / 1e6
    assert found["note"] == "100 bars."


def test_a_long_trade_table_is_cut_in_the_middle_and_says_so() -> None:
    """Of 1,203 trades the first and last 500 are listed, 203 are named as left out."""
    world = World(days=60)
    for number in range(1_203):
        world.trade(1.0, hours=number, reason=f"trade-{number + 1}-")

    own = own_part(page(world.result()))

    assert "1,203 closed trades, money in USDT; the first and last 500 are shown" in own
    assert "203 trades left out here" in own
    assert [f"trade-{n}-" in own for n in (1, 500, 501, 703, 704, 1_203)] == [True, True, False, False, True, True]


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
def test_the_report_of_a_long_run_stays_small(tmp_path: Path) -> None:
    """Half a million bars, samples on each and 11,000 trades make less than 15 MB."""
    count = 500_000
    world = World(days=count / 1440)
    for number in range(11_000):
        world.trade((number % 7) - 3.0, hours=number * 0.75, lasts=0.5, reason="cross up")
    equity_ns = START_NS + np.arange(count, dtype=np.int64) * MINUTE_NS
    equity = 1_000 + np.random.default_rng(1).normal(size=count).cumsum() * 0.01
    result = world.result(equity_ns=equity_ns, equity=equity)

    write_report(tmp_path / "report.html", result, compute_metrics(result), MANIFEST, {"AAA": bars("AAA", count)})

    assert (tmp_path / "report.html").stat().st_size < 15_000_000
