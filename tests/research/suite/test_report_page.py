"""The page of a suite: each figure in it is the one that is stored, and nothing of the machine is in it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.backtesting.artifacts.trial_ledger import LEDGER
from src.core.errors import DataError
from src.research.suite.ranking import read_results
from src.research.suite.report_curves import correlation, curves_of, thinned
from src.research.suite.report_data import ListedRun, read_suite
from src.research.suite.report_page import suite_page, write_suite_report
from tests.research.page_values import PageValues, numbers
from tests.research.suite.left import NETS, left_suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite that nobody changes anything of."""
    return left_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def page(folder: Path) -> PageValues:
    """Its page."""
    return PageValues(suite_page(folder))


def ended(page: PageValues) -> list[dict[str, Any]]:
    """The rows of runs that got to their end."""
    return [row for row in page.rows("ranking") if row["status"] == "COMPLETED"]


def test_the_ranking_is_that_of_the_results_database(folder: Path, page: PageValues) -> None:
    """Order, labels, all figures, trials and deflated Sharpe ratio; the runs without figures stand last."""
    runs = folder.parent.parent
    wanted = read_results(runs / "results.duckdb", ledger=runs / LEDGER).rows
    rows = page.rows("ranking")

    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["run"] for row in rows[:5]] == [each.name for each in wanted[:5]]
    for row, each in zip(rows[:5], wanted, strict=False):
        assert [row[name] for name in ("fast", "slow", "size")] == [each.labels[name] for name in
                                                                   ("fast", "slow", "size")]  # fmt: skip
        known = {name: value for name, value in each.figures.items() if name in row and not name.endswith("_ns")}
        assert {name: row[name] for name in known} == known
        assert len(known) > 35
    assert [row["status"] for row in rows[5:]] == ["FAILED", "LOST"]
    assert all(row["net"] is None and row["sharpe"] is None for row in rows[5:])


def test_each_figure_is_that_of_the_metrics_of_the_run(folder: Path, page: PageValues) -> None:
    """Instants as milliseconds, durations as seconds; a figure that no run has, has no column."""
    for row in ended(page):
        metrics = json.loads((folder.parent.parent / row["run id"] / "metrics.json").read_text(encoding="utf-8"))
        scale = {"start_ns": 1e6, "end_ns": 1e6, "max_drawdown_start_ns": 1e6, "max_drawdown_trough_ns": 1e6,
                 "average_trade_ns": 1e9, "longest_flat_ns": 1e9, "longest_underwater_ns": 1e9}  # fmt: skip
        shown = {name: value for name, value in row.items() if name in metrics}
        assert shown == {
            name: metrics[name] / scale[name] if name in scale and metrics[name] is not None else metrics[name]
            for name in shown
        }
        assert {name for name, value in metrics.items() if isinstance(value, (int, float)) and name not in row} == set()


def test_the_tiles_say_what_the_runs_came_to(page: PageValues) -> None:
    """Counted again from the daily profits that the runs were made of."""
    nets = [sum(each) for each in NETS.values()]
    sharpes = sorted(row["sharpe"] for row in ended(page))
    tiles = page.tiles()

    assert tiles["runs"] == "7"
    assert tiles["profitable"] == f"{sum(net > 0 for net in nets)} of 5"
    assert tiles["best"] == f"{sharpes[-1]:.2f}"
    assert tiles["median"] == f"{sharpes[2]:.2f}"
    assert tiles["deflated"] == f"{max(row['deflated_sharpe'] for row in ended(page)):.3f}"


def test_the_curves_are_samples_of_the_stored_equity_and_the_correlation_that_of_daily_returns(
    folder: Path, page: PageValues
) -> None:
    """Against pandas over the same files; the best first."""
    runs = folder.parent.parent
    daily = {}
    for row, trace in zip(ended(page), page.charts["equity"]["data"], strict=True):
        table = pd.read_parquet(runs / row["run id"] / "equity.parquet")
        stored = dict(zip((table["instant_ns"] / 1e6).tolist(), table["equity"].tolist(), strict=True))
        x, y = numbers(trace["x"]), numbers(trace["y"])
        assert trace["name"].startswith(row["run"])
        assert [stored[at] for at in x] == y
        assert (x[0], x[-1]) == (min(stored), max(stored))
        # A sample at midnight belongs to the day that ends there; days without one keep what was.
        ends = np.arange(row["start_ns"] + 864e5, row["end_ns"] + 1, 864e5)
        series = pd.Series(table["equity"].to_numpy(), index=table["instant_ns"] / 1e6)
        series = series[~series.index.duplicated(keep="last")]
        last = series.reindex(series.index.union(pd.Index(ends))).ffill().loc[ends].to_numpy()
        daily[row["run"]] = np.diff(last, prepend=series.iloc[0]) / np.concatenate([[series.iloc[0]], last[:-1]])
    z = page.charts["correlation"]["data"][0]["z"]

    assert {len(each) for each in daily.values()} == {6}
    wanted = np.corrcoef(list(daily.values()))
    assert np.array(z, dtype=float) == pytest.approx(wanted, abs=1e-8)
    assert page.charts["correlation"]["data"][0]["x"] == list(daily)


def test_what_failed_stands_with_its_sentence_and_the_line_that_makes_it_again(page: PageValues) -> None:
    """In the order of the manifest; a name is text and never HTML."""
    rows = page.rows("failures")

    assert [(row["run"], row["why"]) for row in rows] == [
        ("run-5", "Mine raised on bar 3"), ("lost <b>", "its process died (2 attempts)"),
    ]  # fmt: skip
    assert "--config base.yaml --set strategies.0.params.fast=3</code>" in rows[0]["reproduce"]
    assert "FAILED" in rows[0]["status"]
    assert "--resume" in page.text
    assert page.tables["ranking"]["run"][-1] == "lost &lt;b&gt;"


def test_a_run_with_a_page_of_its_own_is_linked(tmp_path: Path) -> None:
    """Relative to the suite's folder; the others are plain names."""
    folder = left_suite(tmp_path)
    best = ended(PageValues(suite_page(folder)))[0]
    (folder.parent.parent / best["run id"] / "report.html").write_text("", encoding="utf-8")
    rows = ended(PageValues(suite_page(folder)))

    assert rows[0]["run"] == f'<a href="../../{best["run id"]}/report.html">{best["run"]}</a>'
    assert (folder / f"../../{best['run id']}/report.html").is_file()
    assert not any("href" in row["run"] for row in rows[1:])


def test_a_page_made_twice_has_the_same_bytes_and_says_nothing_of_the_machine(folder: Path) -> None:
    """No path, no number of workers, and an order of the records that says nothing."""
    path = write_suite_report(folder)
    first = path.read_bytes()
    lines = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "records.jsonl").write_bytes(b"".join(reversed(lines)))
    text = PageValues(write_suite_report(folder).read_text(encoding="utf-8")).text

    assert path.read_bytes() == first
    assert str(folder.parent.parent) not in first.decode("utf-8")
    assert "somewhere" not in text
    assert "workers" not in text


def test_without_a_ledger_the_runs_themselves_are_the_trials(tmp_path: Path) -> None:
    """And the page says so."""
    folder = left_suite(tmp_path)
    (folder.parent.parent / LEDGER).unlink(missing_ok=True)
    page = PageValues(suite_page(folder))

    assert {row["trials"] for row in ended(page)} == {5}
    assert "no trial ledger" in page.text


def test_a_run_that_is_listed_twice_is_ranked_twice_and_drawn_once(tmp_path: Path) -> None:
    """As the results database has it."""
    folder = left_suite(tmp_path, again=True)
    page = PageValues(suite_page(folder))

    assert len(ended(page)) == 6
    assert len(page.charts["equity"]["data"]) == 5


def test_a_suite_that_has_not_come_to_its_end_has_no_page(tmp_path: Path) -> None:
    """Neither has a folder that is no suite's, and the sentence says what to do."""
    folder = left_suite(tmp_path)
    (folder / "index.json").unlink()

    with pytest.raises(DataError, match="--resume"):
        suite_page(folder)
    with pytest.raises(DataError, match="found no such file"):
        suite_page(tmp_path)
    (folder / "index.json").write_text('{"runs": [{"key": 1}]}', encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        suite_page(folder)


def test_thinning_keeps_both_ends_and_the_last_sample_of_each_span() -> None:
    """Of a hundred samples at most one more than the spans; of few all."""
    instants = np.arange(100, dtype=np.int64) * 7

    kept = thinned(instants, 10)
    assert (kept[0], kept[-1], len(kept)) == (0, 99, 11)
    assert thinned(instants[:3], 10).tolist() == [0, 1, 2]
    assert thinned(instants[:1], 10).tolist() == [0]


def test_runs_without_common_days_have_no_correlation(folder: Path) -> None:
    """A hole is better than a number of two days; one that does not move has none with itself either."""
    suite = read_suite(folder)
    one, other = curves_of(suite.runs_dir, suite.different, most=2, points=5)
    object.__setattr__(other, "day", other.day + 1000)

    found = correlation([one, other])
    assert found[0][1] is None
    assert found[0][0] == 1.0
    object.__setattr__(one, "returns", np.zeros(len(one.returns)))
    assert correlation([one]) == [[None]]
    assert all(value is None or math.isfinite(value) for row in found for value in row)


def stored_equity(folder: Path, name: str, samples: pd.Series, day: dict[str, str]) -> ListedRun:
    """A run's folder with its equity and when its account's day starts, and the run as a suite lists it."""
    place = folder / name
    place.mkdir()
    start_ns, end_ns = int(samples.index[0].value), int(samples.index[-1].value)
    pd.DataFrame({"instant_ns": samples.index.as_unit("ns").asi8, "equity": samples.to_numpy()}).to_parquet(
        place / "equity.parquet"
    )
    manifest = {"configuration": {"risk": {"day": day}}, "symbols": [{"calendar": "24/7"}]}
    (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return ListedRun(
        position=0, name=name, status="COMPLETED", error="", labels={}, run_id=name, folder=name, again=(),
        figures={"start_ns": start_ns, "end_ns": end_ns},
    )  # fmt: skip


def test_daily_returns_are_those_of_the_day_of_the_account(tmp_path: Path) -> None:
    """From noon to noon where the account's day starts at noon; days that end at other instants are not compared."""
    at = pd.date_range("2024-01-01 12:00", "2024-01-11 12:00", freq="6h", tz="UTC")
    noise = np.random.default_rng(5).normal(size=(2, len(at))).cumsum(axis=1)
    one, other = (pd.Series(10_000 + each * 20, index=at) for each in noise)
    noon, midnight = {"zone": "UTC", "at": "12:00"}, {"zone": "UTC", "at": "00:00"}
    runs = [stored_equity(tmp_path, "one", one, noon), stored_equity(tmp_path, "other", other, noon),
            stored_equity(tmp_path, "apart", other, midnight)]  # fmt: skip

    curves = curves_of(tmp_path, runs, most=3, points=5)

    wanted = [each[at.hour == 12].pct_change().dropna().to_numpy() for each in (one, other)]
    found = correlation(curves)
    assert curves[0].returns == pytest.approx(wanted[0])
    assert found[0][1] == pytest.approx(np.corrcoef(wanted)[0, 1])
    assert found[0][2] is None


def test_headings_are_words(page: PageValues) -> None:
    """Figures are called what people call them, each by another name; the names in code stay known to the filter."""
    heads, labels = page.heads["ranking"], {"fast", "slow", "size", "symbols"}

    assert len(set(heads)) == len(heads)
    assert not [head for head in heads if head not in labels and ("_" in head or head[0].islower())]
    assert {"Max drawdown", "Deflated Sharpe", "Win rate", "Net at worst"} <= set(heads)
