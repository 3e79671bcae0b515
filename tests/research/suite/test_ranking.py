"""The ranking: any figure decides, ties by place, what is missing last, and the number of trials beside the Sharpe."""

import math
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from src.backtesting.artifacts.trial_ledger import LEDGER
from src.backtesting.result import Outcome
from src.core.errors import ConfigError, DataError
from src.core.timeframe import DAY_NS
from src.research.deflated_sharpe import deflated_sharpe
from src.research.suite.heatmap import heat_map
from src.research.suite.ranking import Ranking, highest_first, read_results
from src.research.suite.results import SuiteRow, SuiteRunRow, export_rows, write_suite
from src.research.suite.selection import FIGURES
from tests.backtesting.results.worlds import START_NS
from tests.research.suite.stored import stored_run, stored_suite

# Daily profits, from bad to good.
NETS = {1: (-5, 3, -4, 1), 2: (2, -3, 2, -2), 3: (3, -1, 4, 2), 4: (1, 1, 2, 1)}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a database with four runs over `fast`, and one that failed."""
    runs = tmp_path_factory.mktemp("ranking") / "runs"
    named: list[Any] = [
        (stored_run(runs, {"fast": fast}, *nets), {"fast": fast, "size": 0.5, "symbols": ["AAA", "BBB"]})
        for fast, nets in NETS.items()
    ]
    failed = stored_run(runs, {"fast": 5}, 9, 9, outcome=Outcome.FAILED)
    stored_suite(runs / "results.duckdb", "demo", runs, *named, (failed, {"fast": 5, "size": 0.5, "symbols": ["AAA"]}))
    return runs


@pytest.fixture
def path(stored: Path, tmp_path: Path) -> Path:
    """That database, for the test alone."""
    return Path(shutil.copytree(stored, tmp_path / "runs")) / "results.duckdb"


def fasts(ranking: Ranking) -> list[Any]:
    """The label of each row."""
    return [row.labels["fast"] for row in ranking.rows]


def test_the_best_sharpe_comes_first_and_runs_without_one_last(path: Path) -> None:
    """Ranks count from 1; the failed run has no figures."""
    ranking = read_results(path)

    assert fasts(ranking) == [4, 3, 2, 1, 5]
    assert [row.rank for row in ranking.rows] == [1, 2, 3, 4, 5]
    assert (ranking.by, ranking.descending, ranking.labels, ranking.total) == ("sharpe", True, ("fast", "symbols"), 5)
    last = ranking.rows[-1]
    assert (last.status, last.error, set(last.figures.values())) == ("FAILED", "Mine raised on bar 3", {None})
    assert ranking.rows[0].labels == {"fast": 4, "size": 0.5, "symbols": "AAA+BBB"}
    assert ranking.rows[0].series == (("AAA", "exchange"), ("BBB", "exchange"))


def test_any_column_decides_and_less_drawdown_is_better(path: Path) -> None:
    """Figures go downwards but those of which less is better; labels go upwards; capitals do not matter."""
    assert fasts(read_results(path, by="net")) == [3, 4, 2, 1, 5]
    assert fasts(read_results(path, by="Max_Drawdown_Percent"))[:4] == [4, 3, 2, 1]
    assert fasts(read_results(path, by="fast")) == [1, 2, 3, 4, 5]
    assert fasts(read_results(path, by="deflated_sharpe", top=2)) == [4, 3]
    assert not highest_first("losses")
    assert not highest_first("fast")
    assert highest_first("calmar")


def test_between_equal_figures_the_place_in_the_manifest_decides(path: Path) -> None:
    """Three of them had four trades; all of the failed run's are missing."""
    assert fasts(read_results(path, by="trades")) == [1, 2, 3, 4, 5]


def test_a_condition_chooses_by_figures_and_labels(path: Path) -> None:
    """`total` counts what it holds for, also beyond the top; labels that are alike there are no varying ones."""
    ranking = read_results(path, where="trades > 3 AND fast BETWEEN 2 AND 4 AND deflated_sharpe IS NOT NULL", top=2)

    assert (fasts(ranking), ranking.total, ranking.labels) == ([4, 3], 3, ("fast",))
    assert fasts(read_results(path, where="symbols = 'AAA'")) == [5]
    assert fasts(read_results(path, where="status <> 'COMPLETED'")) == [5]
    assert read_results(path, where="false").rows == ()


@pytest.mark.parametrize(
    "where",
    [
        "sharp > 1",
        "trades >",
        "",
        "true; DROP TABLE runs",
        "symbols > 3",
        "(SELECT count(*) FROM read_csv('{folder}/secret.csv')) > 0",
        "(SELECT count(*) FROM '{folder}/secret.csv') > 0",
    ],
)
def test_what_is_no_condition_is_refused_with_the_columns_there_are(path: Path, where: str) -> None:
    """Another file is out of reach, and so is a second statement."""
    (path.parent / "secret.csv").write_text("a\n1\n")

    with pytest.raises(ConfigError, match="where: expected a condition") as caught:
        read_results(path, where=where.replace("{folder}", path.parent.as_posix()))

    assert "labels: fast, size, symbols\nfigures: currency, " in caught.value.message
    assert len(read_results(path).rows) == 5


def test_an_unknown_column_is_refused_with_the_nearest_one(path: Path) -> None:
    """And with all of them."""
    with pytest.raises(ConfigError, match=r"--by: expected one of the columns, found 'sharp'; did you mean 'sharpe'"):
        read_results(path, by="sharp")


def test_a_label_of_the_name_of_a_figure_gets_a_name_of_its_own(tmp_path: Path) -> None:
    """The name alone is the figure, in the order as in a condition; dots stand in quotes."""
    one, two = (stored_run(tmp_path, {"n": n}, *NETS[n]) for n in (1, 2))
    path = tmp_path / "results.duckdb"
    stored_suite(path, "demo", tmp_path, (one, {"trades": 7, "risk.size": 1.5}), (two, {"trades": 6, "risk.size": 2}))

    ranking = read_results(path, by="label_trades", where='label_trades > 5 AND "risk.size" > 1')

    assert [row.labels["trades"] for row in ranking.rows] == [6, 7]
    assert (ranking.by, ranking.labels) == ("label_trades", ("trades", "risk.size"))
    assert [row.value for row in ranking.rows] == [6, 7]
    assert (read_results(path, by="trades").by, read_results(path, by="Trades").by) == ("trades", "trades")
    found = heat_map(path, "trades", "risk.size", "trades")
    assert (found.x, found.y, found.values) == ((6, 7), (1.5, 2.0), ((None, 4), (4, None)))


def test_words_of_sql_are_told_in_the_quotes_that_they_need(tmp_path: Path) -> None:
    """Every product over windows has such a label."""
    path = tmp_path / "results.duckdb"
    stored_suite(path, "demo", tmp_path, (stored_run(tmp_path, {}, 1, 2), {"window": "2024", "": 1, "fast": 2}))

    with pytest.raises(ConfigError, match='labels: "window", label, fast\n'):
        read_results(path, where="window = '2024'")

    assert len(read_results(path, where="\"window\" = '2024' AND label = 1").rows) == 1


def test_numbers_too_large_for_a_database_are_numbers_or_texts(tmp_path: Path) -> None:
    """A seed may be any number."""
    runs = [stored_run(tmp_path, {"n": n}, *NETS[n]) for n in (1, 2)]
    for name, large in (("large", 2**70), ("enormous", 10**400)):
        path = tmp_path / f"{name}.duckdb"
        stored_suite(path, name, tmp_path, (runs[0], {"seed": large}), (runs[1], {"seed": 3}))
        found = [row.labels["seed"] for row in read_results(path, by="seed", top=2**70).rows]
        assert found == ([3.0, float(large)] if large == 2**70 else [str(large), "3"])


def test_a_file_that_lacks_a_figure_is_read_without_it(path: Path) -> None:
    """One that an older version has written."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE metrics DROP COLUMN kurtosis")

    rows = read_results(path, by="net").rows

    assert {row.figures["kurtosis"] for row in rows} == {None}
    assert {row.figures["deflated_sharpe"] for row in rows} == {None}
    assert rows[0].figures["sharpe"] is not None
    assert {row["kurtosis"] for row in export_rows(path)["metrics"]} == {None}


def test_one_suite_is_chosen_by_its_name_or_the_beginning_of_its_id(path: Path) -> None:
    """An unknown one is refused with those there are."""
    runs = path.parent
    stored_suite(path, "other", runs, (stored_run(runs, {"slow": 1}, 1, 2, 1), {"slow": 1}))

    assert [row.suite for row in read_results(path, suite="other").rows] == ["other"]
    assert len(read_results(path, suite="id-of-demo").rows) == 5
    assert len(read_results(path).rows) == 6
    assert "slow" not in read_results(path, suite="demo").rows[0].labels
    with pytest.raises(ConfigError, match=r"found 'none'; there are: demo \(id-of-demo\), other \(id-of-other\)"):
        read_results(path, suite="none")


def test_a_run_is_judged_by_all_trials_on_its_data_whoever_made_them(path: Path) -> None:
    """Runs outside of any suite count, and the one that failed; those on other symbols, sources or times do not."""
    runs = path.parent
    ledger = runs / LEDGER
    within = read_results(path, ledger=ledger, suite="demo").rows[0]
    stored_run(runs, {"by hand": 1}, 1, -2, 2, sources={"AAA": "exchange", "CCC": "exchange"})
    stored_run(runs, {"by hand": 2}, 1, -2, 2, sources={"AAA": "elsewhere"})
    stored_run(runs, {"by hand": 3}, 1, -2, 2, start_ns=START_NS + 6 * DAY_NS)
    stored_run(runs, {"by hand": 4}, sources={"AAA": "exchange"}, start_ns=START_NS + 5 * DAY_NS)

    after = read_results(path, ledger=ledger, suite="demo").rows[0]

    assert (within.figures["trials"], after.figures["trials"]) == (5, 7)
    assert after.figures["deflated_sharpe"] < within.figures["deflated_sharpe"] < 1
    daily = [row.figures["sharpe"] / math.sqrt(365) for row in read_results(path).rows[:4]]
    mean = sum(daily) / 4
    figures = within.figures
    assert figures["deflated_sharpe"] == pytest.approx(
        deflated_sharpe(
            daily[0], figures["days"], figures["skew"], figures["kurtosis"], 5,
            sum((each - mean) ** 2 for each in daily) / 3,
        )
    )  # fmt: skip


def test_without_a_ledger_the_runs_of_the_database_are_the_trials(path: Path) -> None:
    """What is stored was tried, whatever became of the ledger."""
    (path.parent / LEDGER).unlink()

    assert {row.figures["trials"] for row in read_results(path, ledger=path.parent / LEDGER).rows} == {4, None}


def test_no_database_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    """Nothing is made by looking."""
    with pytest.raises(DataError, match="suite MANIFEST` runs a suite and writes them"):
        read_results(tmp_path / "results.duckdb")

    assert list(tmp_path.iterdir()) == []


def test_a_suite_without_any_answer_is_an_empty_ranking_with_its_errors(tmp_path: Path) -> None:
    """All of its runs were lost; all figures are columns that can be asked for all the same."""
    path = tmp_path / "results.duckdb"
    row = SuiteRunRow(position=0, name="a", labels=(), run_id=None, status="LOST", error="killed")
    write_suite(path, SuiteRow(suite_id="x", name="x", outcome="FAILED"), [row], [], tmp_path)

    for figure in ("sharpe", *FIGURES[-2:]):
        rows = read_results(path, by=figure).rows
        assert [(each.name, each.status, each.figures[figure]) for each in rows] == [("a", "LOST", None)]
