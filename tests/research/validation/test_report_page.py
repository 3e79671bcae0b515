"""The page of a validation: each figure in it is the one that is stored, and it claims what the validation claims."""

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import false_discovery_control

from src.core.errors import DataError
from src.research.validation import reoptimise, validation
from src.research.validation.crew import Judges
from src.research.validation.overfitting import OverfittingBlocks
from src.research.validation.report import Prepared, ValidationReport
from src.research.validation.report_charts import line_of, overfitting_figure
from src.research.validation.report_data import read_stored
from src.research.validation.report_page import validation_page, validation_page_of, write_validation_report
from src.research.validation.setup import read_validation
from src.research.validation.validation import run_validation
from tests.end_to_end.reoptimising import CONFIG as CHOICES
from tests.end_to_end.reoptimising import Here as Runs
from tests.end_to_end.reoptimising import write_world
from tests.research.page_values import PageValues, numbers
from tests.research.validation.judges import Here

pytestmark = pytest.mark.slow

CONFIG = """\
name: tiny
runs: runs
discovery_cutoff: 2018-01-01
candidates: {source: generated, generated: {candidates: 90, planted: 8, years: 6, edge: 0.6, seed: 3}}
multiple_testing: {reality_check: spa, resamples: 99}
daylight: {zones: {LONDON: Europe/London}}
"""


class Watch:
    def prepared(self, about: Prepared) -> None:
        """Nobody looks."""

    def done(self, done: int, failed: int, total: int) -> None:
        """Nobody counts."""


@dataclasses.dataclass
class Done:
    """A validation, and its page."""

    report: ValidationReport
    folder: Path
    page: PageValues


def done_in(folder: Path, text: str = CONFIG) -> Done:
    """Without processes, which take longer to begin than all of their work."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "validate.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "judges_for", lambda *given: Judges(Here()))
        patch.setattr(reoptimise, "executor_for", lambda *given, **more: Runs())
        report = run_validation(read_validation(path, []), Watch(), workers=1)
    assert report.folder is not None
    return Done(report, report.folder, PageValues(validation_page(report.folder)))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One with a cut-off, that nobody changes anything of."""
    pytest.importorskip("arch", reason="the reality check needs the extra statistics")
    return done_in(tmp_path_factory.mktemp("done"))


@pytest.fixture(scope="module")
def stability(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The same candidates without one."""
    text = CONFIG.replace("discovery_cutoff: 2018-01-01\n", "").replace("reality_check: spa, ", "")
    return done_in(tmp_path_factory.mktemp("stability"), text)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One that chooses its parameters again on each train."""
    folder = tmp_path_factory.mktemp("chosen") / "project"
    write_world(folder)
    return done_in(folder, f"name: again\nruns: verdicts\n{CHOICES.lstrip()}")


def stored(done: Done) -> list[dict[str, Any]]:
    """What the database says of each candidate."""
    with duckdb.connect(str(done.report.database), read_only=True) as connection:
        found = connection.execute("SELECT * FROM experimental_strategies WHERE validation_id = ? ORDER BY number",
                                   [done.report.validation_id])  # fmt: skip
        names = [each[0] for each in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_each_verdict_stands_with_its_reason_and_its_figures(done: Done) -> None:
    """As the database has them; survivors first, the lowest p first."""
    rows = {row["candidate"]: row for row in done.page.rows("verdict-rows")}

    assert len(rows) == 90
    for each in stored(done):
        row, figures = rows[each["candidate_id"]], json.loads(each["figures"])
        assert (row["status"], row["phase"], row["p"], row["adjusted p"]) == (
            each["status"], each["phase"], each["p_value"], each["adjusted"],
        )  # fmt: skip
        assert each["reason"] in (row["reason"], f"{row['phase']}: {row['reason']}")
        assert row["trades"] == figures["sample"]["trades"]
        assert row["mean R"] == figures["expectancy"]["mean_r"]
        assert row["OOS R"] == figures.get("stability", {}).get("test_mean_r")
        assert row["efficiency"] == figures.get("stability", {}).get("efficiency")
        assert row["DSR"] == figures.get("sharpe_ratios", {}).get("deflated")
        assert row["planted"] == {True: "yes", False: "no"}[figures["planted"]["planted"]]
    order = [row["status"] for row in rows.values()]
    passed = [row["p"] for row in rows.values() if row["status"] == "PASS"]
    assert order == sorted(order, key=lambda status: status != "PASS")
    assert passed == sorted(passed)
    assert 0 < len(passed) < 90


def test_the_tiles_and_the_funnel_are_those_of_the_validation(done: Done) -> None:
    """Counted again from the database."""
    rows, tiles = stored(done), done.page.tiles()
    planted = [each for each in rows if json.loads(each["figures"])["planted"]["planted"]]
    found = sum(each["status"] == "PASS" for each in planted)

    assert {name: int(tiles[name]) for name in ("candidates", "PASS", "REJECT", "SKIP")} == {
        "candidates": len(rows), **{name: sum(each["status"] == name for each in rows) for name in
                                    ("PASS", "REJECT", "SKIP")},
    }  # fmt: skip
    assert tiles["planted"] == f"{found} of 8"
    assert tiles["cutoff"] == "2018-01-01"
    funnel = [(row["phase"], row["in"], row["rejected"], row["skipped"]) for row in done.page.rows("funnel")]
    assert funnel == list(done.report.funnel)
    left, bars = [row["left"] for row in done.page.rows("funnel")], done.page.charts["funnel-chart"]["data"]
    assert left[-1] == int(tiles["PASS"])
    assert [trace["x"] for trace in bars] == [left, [each[2] for each in funnel], [each[3] for each in funnel]]


def test_the_discoveries_are_the_p_values_up_to_the_last_one_below_the_line(done: Done) -> None:
    """All of the family count, and scipy's adjustment says the same."""
    line, *dots = done.page.charts["p-values-chart"]["data"]
    known = sorted(row["p"] for row in done.page.rows("verdict-rows") if row["p"] < 1)
    harmonic = sum(1 / number for number in range(1, 91))
    passed = next(trace for trace in dots if trace["name"] == "pass")

    assert sorted(value for trace in dots for value in numbers(trace["y"])) == known
    assert numbers(line["y"]) == pytest.approx([0.05 * rank / (90 * harmonic) for rank in range(1, len(known) + 1)])
    below = [rank for rank, (p, most) in enumerate(zip(known, numbers(line["y"]), strict=True), start=1) if p <= most]
    assert numbers(passed["y"]) == known[: below[-1]]
    padded = false_discovery_control([*known, *[1.0] * (90 - len(known))], method="by")
    assert sum(padded <= 0.05) == below[-1] == int(done.page.tiles()["PASS"])
    assert line_of(3, 10, 0.05, "bh").tolist() == pytest.approx([0.005, 0.01, 0.015])


def test_the_curve_of_overfitting_says_what_the_probability_says(done: Done) -> None:
    """The share of ways at or left of 0, the mean of the logits, and the slope through the points."""
    pbo = done.report.pbo
    assert pbo is not None
    (bars,) = done.page.charts["overfitting-chart"]["data"]
    points = done.page.charts["slope"]["data"][0]
    counts, middle = numbers(bars["y"]), numbers(bars["x"])
    x, y = np.array(numbers(points["x"])), np.array(numbers(points["y"]))
    lines = (json.loads(line) for line in (done.folder / "statistics.jsonl").read_text(encoding="ascii").splitlines())
    ways = next(line for line in lines if line["kind"] == "overfitting")["ways"]
    logits = [math.log(rank / (2 * (90 + 1) - rank)) for rank in ways["rank"]]

    assert sum(counts) == len(logits) == len(x) == 924
    assert sum(count for count, at in zip(counts, middle, strict=True) if at < 0) == pbo["probability"] * 924
    assert sum(logits) / 924 == pytest.approx(pbo["logit_mean"])
    assert np.polyfit(x, y, 1)[0] == pytest.approx(pbo["slope"])
    assert sum(y < 0) / 924 == pytest.approx(pbo["loss"])
    assert done.page.tiles()["pbo"] == f"{pbo['probability']:.3f}"


def test_what_lies_on_the_median_is_drawn_as_overfitted() -> None:
    """As it is counted: two of three ways."""
    figure = overfitting_figure({"rank": [2, 4, 6]}, 3)
    bars = figure["data"][0]

    assert sum(count for count, at in zip(bars["y"], bars["x"], strict=True) if at < 0) == 2
    assert OverfittingBlocks(4, 2).compare() is None


def test_the_windows_of_survivors_are_those_that_are_stored(done: Done) -> None:
    """Every one of every survivor, in the picture too; those that are not counted stand in brackets."""
    passed = [row["candidate"] for row in done.page.rows("survivor-rows")]
    lines = [json.loads(line) for line in (done.folder / "windows.jsonl").read_text(encoding="ascii").splitlines()]
    wanted = {name: [line for line in lines if line["candidate"] == name] for name in passed}
    heat = done.page.charts["windows"]["data"][0]

    assert [(row["candidate"], row["number"], row["test from"], row["test trades"], row["test R"], row["label"])
            for row in done.page.rows("window-rows")] == [
        (name, line["number"], line["test_from"][:10], line["test_trades"], line["test_r"], line["label"])
        for name in passed for line in wanted[name]
    ]  # fmt: skip
    assert heat["y"] == passed
    assert heat["z"] == [[line["test_r"] for line in wanted[name]] for name in passed]
    assert all((text[0] == "(") == (line["label"] != "valid") for row, name in zip(heat["text"], passed, strict=True)
               for text, line in zip(row, wanted[name], strict=True))  # fmt: skip


def test_the_sharpe_ratios_and_the_reality_check_are_those_of_the_validation(done: Done) -> None:
    """The figures of survivors beside what luck would show."""
    rows = {row["candidate"]: row for row in done.page.rows("survivor-rows")}
    check = done.report.reality_check
    assert check is not None

    assert rows.keys() == done.report.sharpes.keys()
    for name, sharpe in done.report.sharpes.items():
        row = rows[name]
        assert (row["PSR"], row["DSR"], row["MinTRL"], row["days"], row["luck's"]) == (
            sharpe["probabilistic"], sharpe["deflated"], sharpe["minimum_track_record"], sharpe["days"],
            sharpe["luck_sharpe_daily"],
        )  # fmt: skip
    drawn = {trace["name"]: dict(zip(trace["x"], trace["y"], strict=True))
             for trace in done.page.charts["deflated"]["data"]}  # fmt: skip
    assert drawn["deflated"] == {name: row["DSR"] for name, row in rows.items()}
    assert done.page.rows("reality-figures")[0]["value"] == check["value"]
    assert "superior predictive ability" in done.page.text
    daylight = {row["candidate"] for row in done.page.rows("daylight-rows")}
    assert daylight <= done.report.daylight.keys()


def test_it_claims_what_the_validation_claims_and_says_synthetic_large(done: Done, stability: Done) -> None:
    """Without a cut-off it is called stability, has no p-value and no claim."""
    claim = f"At most 5 % of what passes, here {done.page.tiles()['PASS']} candidates, is expected to be false"

    assert claim in done.page.text
    assert "<strong>SYNTHETIC</strong>" in done.page.text
    assert "<strong>STABILITY</strong>" not in done.page.text
    assert "<strong>STABILITY</strong>" in stability.page.text
    assert "expected to be false" not in stability.page.text
    assert "no p-value is computed" in stability.page.text
    assert not {"p", "adjusted p"} & stability.page.tables["verdict-rows"].keys()
    assert "p-values-chart" not in stability.page.charts
    assert stability.page.tiles()["PASS"] == str(len(stability.report.windows))


def test_the_stitched_equity_begins_each_window_with_what_the_last_one_ended_with(chosen: Done) -> None:
    """The samples are stored ones, each window has its ends, and the table says what was chosen."""
    table = pq.read_table(chosen.folder / "equity.parquet").to_pydict()
    lines = [json.loads(line) for line in (chosen.folder / "reoptimised.jsonl").read_text("ascii").splitlines()]
    traces, rows = chosen.page.charts["stitched"]["data"], chosen.page.rows("chosen-rows")
    stored_samples = set(zip([at / 1e6 for at in table["instant_ns"]], table["equity"], table["window"], strict=True))

    assert len(traces) == len(lines) == len(rows) > 1
    for trace, line, row in zip(traces, lines, rows, strict=True):
        x, y = numbers(trace["x"]), numbers(trace["y"])
        assert {(at, value, line["number"]) for at, value in zip(x, y, strict=True)} <= stored_samples
        assert (y[0], y[-1]) == (line["equity_from"], line["equity_to"]) == (row["equity from"], row["equity to"])
        assert (row["test trades"], row["test R"]) == (line["test"].get("trades"), line["test"].get("total_r"))
        assert all(str(value) in row["chosen"] for value in line["labels"].values())
        assert line["chosen"] or line["reason"] in row["chosen"]
    seams = [shape["x0"][:10] for shape in chosen.page.charts["stitched"]["layout"]["shapes"]]
    assert seams == [line["test_from"][:10] for line in lines]
    assert chosen.page.tiles()["equity"] == f"{lines[-1]['equity_to']:,.2f}"
    assert chosen.page.charts["windows"]["data"][0]["y"] == ["reoptimised"]


def test_a_page_made_twice_has_the_same_bytes_and_no_place(done: Done) -> None:
    """It is a function of what the validation has left."""
    path = write_validation_report(done.folder)
    first = path.read_bytes()

    assert write_validation_report(done.folder).read_bytes() == first
    assert str(done.folder.parent.parent).encode() not in first


def test_names_are_text(done: Done) -> None:
    """Whatever a candidate is called."""
    found = read_stored(done.folder)
    odd = dataclasses.replace(found.judged[0], candidate_id="<img src=x>", reason="a & b", status="ERROR")
    page = PageValues(validation_page_of(dataclasses.replace(found, judged=(odd, *found.judged[1:]))))

    assert "<img" not in page.text
    assert page.tables["verdict-rows"]["candidate"][0] == "<img src=x>"
    assert "<strong>ERROR</strong>" in page.text


def _no_validation(folder: Path) -> None:
    (folder / "validation.json").unlink()


def _torn(folder: Path) -> None:
    (folder / "windows.jsonl").write_bytes(b'{"candidate": "half')


def _no_verdicts(folder: Path) -> None:
    (folder.parent.parent / "validation.duckdb").unlink()


@pytest.mark.parametrize(
    ("harm", "sentence"), [(_no_validation, "--resume"), (_torn, "damaged"), (_no_verdicts, "there are no verdicts")]
)
def test_what_is_absent_or_damaged_is_told(
    stability: Done, tmp_path: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    """With a sentence that says what to do."""
    runs = tmp_path / "runs"
    shutil.copytree(stability.folder.parent.parent, runs)
    folder = runs / "validations" / stability.folder.name
    harm(folder)

    with pytest.raises(DataError, match=sentence):
        validation_page(folder)


def test_a_validation_of_an_older_version_has_a_page_without_what_it_did_not_keep(
    stability: Done, tmp_path: Path
) -> None:
    """And the page says what is absent."""
    runs = tmp_path / "runs"
    shutil.copytree(stability.folder.parent.parent, runs)
    folder = runs / "validations" / stability.folder.name
    (folder / "statistics.jsonl").unlink()
    page = PageValues(validation_page(folder))

    assert "overfitting-chart" not in page.charts
    assert "is not in the folder" in page.text
