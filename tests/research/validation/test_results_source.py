"""Candidates from a database of results: each run once, its trades in units of their risk, and its data set."""

from pathlib import Path

import duckdb
import pytest

from src.backtesting.result import Outcome
from src.core.errors import ConfigError, DataError
from src.research.suite.results_file import METRIC_COLUMNS
from src.research.validation.family import trials_on
from src.research.validation.ports import Period
from src.research.validation.section import ValidationSection
from src.research.validation.sources import source_for
from src.research.validation.sources.results import WITHOUT_R, ResultsSource
from tests.backtesting.results.worlds import START_NS
from tests.research.suite.stored import stored_run, stored_suite

HOUR = 3_600_000_000_000


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder for runs."""
    return tmp_path / "runs"


def test_each_run_that_got_to_its_end_is_one_candidate(runs: Path) -> None:
    """Also one that stands in two suites and twice in one; what failed is none."""
    one = stored_run(runs, {"fast": 1}, 5, -2, 3, stop=95.0)
    two = stored_run(runs, {"fast": 2}, -1, 4, stop=90.0, sources={"BBB": "feed"})
    failed = stored_run(runs, {"fast": 3}, 1, stop=95.0, outcome=Outcome.FAILED)
    path = runs / "results.duckdb"
    stored_suite(path, "a", runs, (one, {"fast": 1}), (two, {"fast": 2}), (one, {"fast": 1}), (failed, {"fast": 3}))
    stored_suite(path, "b", runs, (two, {"fast": 2, "other": "x"}))
    source = ResultsSource(path)

    found = list(source.trades())

    order = sorted([one, two], key=lambda answer: answer.run_id)
    assert [candidate.candidate_id for candidate, _ in found] == [answer.run_id for answer in order]
    assert [candidate.number for candidate, _ in found] == [0, 1]
    assert tuple(candidate for candidate, _ in found) == source.candidates()
    by_id = {candidate.candidate_id: (candidate, trades) for candidate, trades in found}
    candidate, trades = by_id[one.run_id]
    assert trades.r_net.tolist() == [1.0, -0.4, 0.6]
    assert trades.cost_r is not None
    assert trades.cost_r.tolist() == [0.0, 0.0, 0.0]
    assert trades.side is not None
    assert trades.side.tolist() == [1, 1, 1]
    assert trades.entry_ns.tolist() == [START_NS + (24 * day + 1) * HOUR for day in range(3)]
    assert trades.exit_ns.tolist() == [START_NS + (24 * day + 2) * HOUR for day in range(3)]
    assert candidate.labels == (("fast", 1),)
    assert dict(candidate.given)["trades"] == 3
    assert [name for name, _ in candidate.given] == list(METRIC_COLUMNS)
    assert len(candidate.trial) == 64
    assert candidate.trial != by_id[two.run_id][0].trial
    assert by_id[two.run_id][1].r_net.tolist() == [-0.1, 0.4]
    series = {each.candidate_id: data for each, data in zip(source.candidates(), source.series(), strict=True)}
    assert series[two.run_id].series == (("BBB", "feed"),)
    assert series[one.run_id].start_ns == START_NS


def test_a_suite_and_a_condition_choose(runs: Path) -> None:
    """Relative to the folder of runs that the configuration names."""
    one, two = (stored_run(runs, {"fast": fast}, 5, stop=95.0) for fast in (1, 2))
    stored_suite(runs / "results.duckdb", "a", runs, (one, {"fast": 1}), (two, {"fast": 2}))
    stored_suite(runs / "results.duckdb", "b", runs, (two, {"fast": 2}))
    chosen = [
        {"suite": "b"}, {"suite": "id-of-b"}, {"where": "fast = 2"}, {"suite": "a", "where": "fast = 2 AND trades > 0"},
    ]  # fmt: skip

    for each in chosen:
        settings = {"candidates": {"source": "results", **each}, "runs": "runs"}
        source = source_for(ValidationSection.model_validate(settings), runs.parent)
        assert [candidate.candidate_id for candidate in source.candidates()] == [two.run_id]
    with pytest.raises(ConfigError, match="found none; run the suite first"):
        ResultsSource(runs / "results.duckdb", where="fast > 5").candidates()
    with pytest.raises(ConfigError, match="expected a suite of this database"):
        ResultsSource(runs / "results.duckdb", suite="c").candidates()
    with pytest.raises(DataError, match="there are no results"):
        ResultsSource(runs / "absent.duckdb").candidates()


def test_what_else_is_stored_changes_nothing(runs: Path) -> None:
    """Neither the candidates of a suite nor their identity."""
    path = runs / "results.duckdb"
    one, two, three = (stored_run(runs, {"fast": fast}, fast, -1, stop=95.0) for fast in (1, 2, 3))
    stored_suite(path, "mine", runs, (one, {"fast": 1}), (two, {"fast": 2}))
    before = ResultsSource(path, suite="mine")
    known = (before.identity(), before.candidates(), before.series())

    stored_suite(path, "another", runs, (two, {"fast": "2"}), (three, {"fast": 3}))

    after = ResultsSource(path, suite="mine")
    assert (after.identity(), after.candidates(), after.series()) == known
    assert ResultsSource(path).identity() != known[0]


def test_costs_count_in_units_of_risk_and_received_financing_is_no_cost(runs: Path) -> None:
    """Commission, spread, slippage, and financing where it was paid."""
    one = stored_run(runs, {"fast": 1}, 5, -2, stop=95.0)
    path = runs / "results.duckdb"
    stored_suite(path, "a", runs, (one, {}))
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE trades SET commission = 1, spread_cost = 0.5, slippage_cost = 0.25")
        connection.execute("UPDATE trades SET financing = CASE number WHEN 0 THEN 2 ELSE -2 END, side = 'sell'")

    ((_, trades),) = ResultsSource(path).trades()

    assert trades.cost_r is not None
    assert trades.cost_r.tolist() == [3.75 / 5, 1.75 / 5]
    assert trades.side is not None
    assert trades.side.tolist() == [-1, -1]


def test_a_run_with_trades_that_had_no_stop_comes_without_trades(runs: Path) -> None:
    """Its label says of how many; its neighbours keep theirs, and one that never traded has none."""
    whole = stored_run(runs, {"fast": 1}, 5, -2, stop=95.0)
    bare = stored_run(runs, {"fast": 2}, 5, -2, 1)
    idle = stored_run(runs, {"fast": 3})
    partly = stored_run(runs, {"fast": 4}, 5, -2, 1, stop=95.0)
    path = runs / "results.duckdb"
    stored_suite(path, "a", runs, (whole, {}), (bare, {}), (idle, {}), (partly, {}))
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE trades SET risk = 0 WHERE run_id = ? AND number = 1", [partly.run_id])

    found = {candidate.candidate_id: (dict(candidate.labels), trades) for candidate, trades in
             ResultsSource(path).trades()}  # fmt: skip

    assert {run_id: len(trades) for run_id, (_, trades) in found.items()} == {
        whole.run_id: 2, bare.run_id: 0, idle.run_id: 0, partly.run_id: 0,
    }  # fmt: skip
    assert found[whole.run_id][1].r_net.tolist() == [1.0, -0.4]
    assert found[bare.run_id][0] == {WITHOUT_R: 3}
    assert found[partly.run_id][0] == {WITHOUT_R: 1}
    assert found[idle.run_id][0] == found[whole.run_id][0] == {}


def test_nobody_is_kept_from_writing_while_candidates_are_read(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is closed whenever trades are handed out, also between two blocks."""
    monkeypatch.setattr("src.research.validation.sources.results._TRADES_AT_ONCE", 1)
    path = runs / "results.duckdb"
    answers = [stored_run(runs, {"fast": fast}, fast, stop=95.0) for fast in (1, 2, 3)]
    stored_suite(path, "a", runs, *[(answer, {}) for answer in answers])
    source = ResultsSource(path)

    lengths = []
    for place, (_, trades) in enumerate(source.trades()):
        stored_suite(path, f"b{place}", runs, (answers[0], {}))
        lengths.append(len(trades))

    assert lengths == [1, 1, 1]


def test_a_market_that_was_generated_is_told_and_the_period_is_that_of_the_runs(runs: Path) -> None:
    """One series of one run is enough; what nobody traded at the beginning and at the end was looked at as well."""
    early = stored_run(runs, {"fast": 1}, 5, -2, stop=95.0)
    later = stored_run(
        runs, {"fast": 2}, 5, stop=95.0, start_ns=START_NS + 24 * HOUR,
        sources={"AAA": "exchange", "BBB": "SYNTHETIC seed 7 0123456789abcdef"},
    )  # fmt: skip
    path = runs / "results.duckdb"
    stored_suite(path, "a", runs, (early, {"fast": 1}))
    stored_suite(path, "b", runs, (early, {"fast": 1}), (later, {"fast": 2}))

    real, made = ResultsSource(path, suite="a"), ResultsSource(path, suite="b")

    assert (real.synthetic, made.synthetic) == (False, True)
    assert real.period == Period(start_ns=START_NS, end_ns=START_NS + 6 * 24 * HOUR)
    assert made.period == Period(start_ns=START_NS, end_ns=START_NS + 7 * 24 * HOUR)


def test_all_runs_of_a_database_and_the_ledger_beside_it_were_tried(runs: Path) -> None:
    """Whatever was chosen, and wherever the verdicts are written to."""
    answers = [stored_run(runs, {"fast": fast}, fast, stop=95.0) for fast in (1, 2, 3)]
    (runs / "elsewhere").mkdir()
    stored_suite(runs / "results.duckdb", "a", runs, *[(each, {"fast": 1}) for each in answers[:2]])
    stored_suite(runs / "elsewhere" / "results.duckdb", "a", runs, *[(each, {"fast": 1}) for each in answers[:2]])
    chosen = {"suite": "a", "where": f"run_id = '{answers[0].run_id}'"}

    away = ResultsSource(runs / "elsewhere" / "results.duckdb", ledger=runs.parent / "trials.jsonl", **chosen)
    other = ResultsSource(runs / "results.duckdb", ledger=runs.parent / "trials.jsonl", **chosen)

    assert len(away.candidates()) == len(other.candidates()) == 1
    assert len(trials_on(away.series(), away.tried())) == 2
    assert len(trials_on(other.series(), other.tried())) == 3


def test_labels_stay_what_they_were_stored_as(runs: Path) -> None:
    """Another suite whose label of the same name is a text changes none."""
    one, two = (stored_run(runs, {"fast": fast}, fast, stop=95.0) for fast in (1, 2))
    path = runs / "results.duckdb"
    labels = {"fast": 1, "share": 0.5, "symbols": ["AAA", "BBB"], "none": None, "on": True}
    stored_suite(path, "a", runs, (one, labels))
    before = ResultsSource(path, where="suite = 'a'").candidates()
    stored_suite(path, "b", runs, (two, {"fast": "quick", "share": "half", "on": "yes"}))

    after = ResultsSource(path, where="suite = 'a'").candidates()

    assert before == after
    assert after[0].labels == (("fast", 1), ("share", 0.5), ("symbols", "AAA+BBB"), ("on", True))
