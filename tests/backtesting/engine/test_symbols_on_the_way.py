"""Symbols that join and leave a run: at a planned instant or when somebody asks, it is one run with one result."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import Outcome
from src.backtesting.run import compose
from src.core.bars import Bar
from src.core.errors import StrategyError
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.testing import bar_series, bot_config, build_world
from tests.backtesting.engine.joining import (
    JOIN,
    LEAVE,
    ROWS,
    START,
    Holder,
    Idle,
    asked,
    control_of,
    decisions,
    finished,
    holder,
    inputs_of,
    make_project,
    planned,
    prepared,
    removing,
)

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its generated market; copied, never run in."""
    return make_project(tmp_path_factory.mktemp("made"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


# -- one run, however it was asked for -------------------------------------------------------------


@both
def test_a_planned_symbol_joins_and_another_leaves(project: Path, runtime: str) -> None:
    """The one trades from its instant on, the other until its own; both are inputs and control records."""
    run = finished(project, planned(JOIN, LEAVE), f"backtest.runtime={runtime}")
    result = run.result
    joined, left = parse_instant(JOIN[0]), parse_instant(LEAVE[0])
    summaries = {each.symbol: each for each in result.symbols}

    assert (result.outcome, list(summaries)) == (Outcome.COMPLETED, ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
    assert joined <= (summaries["SOLUSDT"].first_ns or 0) < joined + 10 * MINUTE_NS
    assert min(entry.instant_ns for entry in decisions(result, "SOLUSDT")) > joined
    own = [entry for entry in decisions(result, "ETHUSDT") if entry.participant == "worker:ETHUSDT"]
    assert max(entry.instant_ns for entry in own) <= left
    assert [(each["instant_ns"], each["action"], each["symbol"]) for each in inputs_of(run)] == [
        (joined, "add", "SOLUSDT"),
        (left, "remove", "ETHUSDT"),
    ]
    assert [(each["instant_ns"], each["action"], each["symbol"]) for each in control_of(run)] == [
        (joined, "add_symbol", "SOLUSDT"),
        (left, "remove_symbol", "ETHUSDT"),
    ]


def test_threads_and_fibers_give_one_digest(project: Path) -> None:
    """And one id, because the runtime is no input."""
    one, other = (finished(project, planned(JOIN, LEAVE), f"backtest.runtime={each}") for each in ("threads", "fibers"))

    assert (one.run_id, one.result.digest) == (other.run_id, other.result.digest)
    assert one.result.turns == other.result.turns


@both
def test_asking_at_an_instant_is_the_same_run_as_planning_it(project: Path, runtime: str) -> None:
    """One id, one digest, one folder, and the same list of inputs; it is another run than the one without."""
    plain = finished(project)
    plan = finished(project, planned(JOIN, LEAVE))
    before = inputs_of(plan)
    live = asked(project, [JOIN, LEAVE], f"backtest.runtime={runtime}")

    assert (live.run_id, live.result.digest) == (plan.run_id, plan.result.digest)
    assert (live.folder, inputs_of(live)) == (plan.folder, before)
    assert live.result.steps == plan.result.steps
    assert plain.run_id != plan.run_id
    assert plain.result.digest != plan.result.digest


@pytest.mark.parametrize("schedule", ["seeded", "preemptive"])
def test_it_is_so_under_other_schedules_too(project: Path, schedule: str) -> None:
    """The change is no turn, so no policy chooses when it happens."""
    how = f"backtest.schedule={schedule}"
    plan = finished(project, planned(JOIN, LEAVE), how)
    live = asked(project, [JOIN, LEAVE], how)

    assert (live.run_id, live.result.digest) == (plan.run_id, plan.result.digest)


@pytest.mark.slow
def test_an_instant_of_a_timer_alone_is_one_too(project: Path) -> None:
    """Between two bars, where somebody wakes from a sleep, the sleeper goes first in both ways."""
    at = "2024-01-01T00:30:30Z"
    own = 'strategies=[{use: "own.py:Sleeper"}]'
    changes = [(at, "add", "SOLUSDT"), (at, "remove", "ETHUSDT")]
    plan = finished(project, planned(*changes), own)
    live = asked(project, changes, own)

    assert (live.run_id, live.result.digest) == (plan.run_id, plan.result.digest)
    assert [each["instant_ns"] for each in inputs_of(live)] == [START + 30 * MINUTE_NS + 30 * SECOND_NS] * 2


def test_the_order_of_a_list_counts_only_inside_an_instant(project: Path) -> None:
    """It is carried out by instants; an empty list is none."""
    assert prepared(project, planned(LEAVE, JOIN)).run_id == prepared(project, planned(JOIN, LEAVE)).run_id
    assert prepared(project, planned()).run_id == prepared(project).run_id


def test_an_instant_without_a_bar_is_stood_at(project: Path) -> None:
    """The change happens then, not at the bar before or after."""
    at = "2024-01-01T04:00:17.5Z"
    run = finished(project, planned((at, "add", "SOLUSDT"), (at, "remove", "BTCUSDT")))

    assert [each["instant_ns"] for each in control_of(run)] == [parse_instant(at)] * 2
    left = [entry for entry in run.result.records if entry.kind == "participant" and entry.stream == "BTCUSDT"]
    assert [entry.instant_ns for entry in left] == [parse_instant(at)]


def test_a_newcomer_sees_what_a_run_that_begins_there_sees(project: Path) -> None:
    """Warm-up before, the same bars and higher timeframes from its instant on, so the same decisions."""
    one = "risk={size: {volume: 1}}"
    joined = finished(project, planned(JOIN), one)
    store = "backtest.data={source: store, store: data/synthetic.duckdb}"
    alone = finished(project, "symbols=[SOLUSDT]", store, f"backtest.start={JOIN[0]}", one)

    assert decisions(joined.result, "SOLUSDT") == decisions(alone.result, "SOLUSDT") != []
    assert joined.result.symbols[2] == alone.result.symbols[0]


def test_its_bars_are_part_of_the_identity(project: Path) -> None:
    """Their fingerprint stands with the change."""
    run = finished(project, planned(JOIN))

    (change,) = inputs_of(run)
    assert change["data_fingerprint"] not in ("", run.result.digest)


def test_what_is_asked_before_the_start_happens_at_the_start(project: Path) -> None:
    """After the first turns of the others."""
    controller = compose(prepared(project))
    controller.add_symbol("SOLUSDT")
    controller.remove_symbol("ETHUSDT")
    result = controller.run()
    plan = compose(
        prepared(project, planned(("2024-01-01", "add", "SOLUSDT"), ("2024-01-01", "remove", "ETHUSDT")))
    ).run()

    assert result.digest == plan.digest
    assert decisions(result, "ETHUSDT") == []


def test_the_account_is_marked_with_the_newcomer(project: Path) -> None:
    """Equity at the end of the curve is the account's, with a position of the newcomer still open."""
    result = finished(project, planned(JOIN), "backtest.at_end=keep").result

    assert any(position.symbol == "SOLUSDT" for position in result.open_positions)
    assert result.equity[-1] == result.account.equity


# -- leaving ---------------------------------------------------------------------------------------


@both
def test_who_leaves_hears_of_its_orders_and_stops(runtime: str) -> None:
    """Its entries are cancelled first, `on_stop` is the last call, and enters nothing any more."""
    controller, heard = holder(runtime=runtime)
    result = removing(controller, "AAA", 5)

    assert [each for each in heard if each.startswith("AAA")] == ["AAA filled", "AAA cancelled", "AAA stops blocked"]
    assert result.outcome is Outcome.COMPLETED
    ends = [entry for entry in result.records if entry.kind == "participant" and entry.stream == "AAA"]
    assert [(entry.instant_ns, entry.values[0]) for entry in ends] == [(START + 5 * MINUTE_NS, "left")]


def test_its_position_stays_guarded_by_its_stop() -> None:
    """The bars of the symbol go on, for marking and matching."""
    controller, _ = holder()
    result = removing(controller, "AAA", 5)

    assert [(trade.symbol, trade.exit_kind) for trade in result.trades if trade.symbol == "AAA"] == [("AAA", "stop")]
    assert result.bars == 2 * len(ROWS)


def test_the_monitor_manages_its_position_and_hears_its_events() -> None:
    """A time exit closes it after the worker has left, and the loss starts the pause of its book."""
    config = bot_config(["AAA", "BBB"], [Holder], manage={"time_exit": {"after": "6m"}}, cool_down_after_loss="1h")
    controller, _ = holder(config=config)
    result = removing(controller, "AAA", 5)

    exits = [(trade.symbol, trade.exit_kind) for trade in result.trades]
    assert ("AAA", "time_exit") in exits
    assert not controller.venue.mailbox("AAA")


def test_who_sleeps_in_a_turn_is_woken_to_leave() -> None:
    """Its call of the clock ends the turn; nothing waits for the sleep."""

    class Sleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA":
                self.clock.sleep(60 * MINUTE_NS)

    controller = build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS)], [Sleeps])
    result = removing(controller, "AAA", 5)

    ends = {
        entry.stream: (entry.instant_ns, entry.values[0]) for entry in result.records if entry.kind == "participant"
    }
    assert ends["AAA"] == (START + 5 * MINUTE_NS, "stopped")
    assert ends["BBB"] == (START + len(ROWS) * MINUTE_NS, "left")


@both
def test_a_strategy_may_ask_from_inside_its_turn(runtime: str) -> None:
    """It takes effect after everything of that instant."""
    controller: BacktestController

    class Asks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA" and len(self.bars) == 3:
                controller.remove_symbol("AAA")

    controller = build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS)], [Asks], runtime=runtime)
    result = controller.run()

    ends = [entry for entry in result.records if entry.kind == "participant" and entry.stream == "AAA"]
    assert [(entry.instant_ns, entry.values[:2]) for entry in ends] == [(START + 3 * MINUTE_NS, ("left", 3))]


def test_a_symbol_whose_data_have_ended_may_be_removed() -> None:
    """There is nothing left to do, and nothing goes wrong."""
    controller = build_world([bar_series("AAA", ROWS[:4]), bar_series("BBB", ROWS)], [Idle])
    result = removing(controller, "AAA", 8)

    assert (result.outcome, len(controller.symbol_changes.inputs)) == (Outcome.COMPLETED, 1)


# -- what is planned in the market -----------------------------------------------------------------


def test_what_is_planned_comes_after_everything_else_of_its_instant() -> None:
    """Also at the start, between bars and when no bar comes any more; several in the order of planning."""
    controller = build_world(
        [bar_series("AAA", ROWS[:5]), bar_series("BBB", ROWS[:5])], [Idle], end_ns=START + 60 * MINUTE_NS
    )
    market, seen = controller.market, []

    def note(name: str) -> Callable[[], None]:
        return lambda: seen.append((controller.time_controller.instant_ns - START, market.bars, name))

    for instant_ns, name in (
        (30 * MINUTE_NS, "late"), (0, "first"), (2 * MINUTE_NS, "a"), (2 * MINUTE_NS, "b"), (90 * SECOND_NS, "between"),
        (5 * MINUTE_NS, "last"),
    ):  # fmt: skip
        market.plan(START + instant_ns, START, note(name))
    result = controller.run()

    assert seen == [
        (0, 0, "first"), (90 * SECOND_NS, 2, "between"), (2 * MINUTE_NS, 4, "a"), (2 * MINUTE_NS, 4, "b"),
        (5 * MINUTE_NS, 10, "last"), (30 * MINUTE_NS, 10, "late"),
    ]  # fmt: skip
    assert (result.outcome, market.bars, market.total_bars) == (Outcome.COMPLETED, 10, 10)


# -- when it goes wrong ----------------------------------------------------------------------------


def test_a_newcomer_whose_strategy_cannot_be_made_ends_the_run_or_is_dropped(project: Path) -> None:
    """As `on_error` says, as at the start of a run."""
    picky = 'strategies=[{use: "own.py:Picky"}]'
    all_stop = finished(project, planned(JOIN), picky)
    dropped = finished(project, planned(JOIN), picky, "on_error=stop_symbol")

    assert (all_stop.result.outcome, type(all_stop.result.error)) == (Outcome.FAILED, StrategyError)
    assert dropped.result.outcome is Outcome.DEGRADED
    assert "not this one" in dropped.result.failures["SOLUSDT"]
    assert [each["symbol"] for each in inputs_of(dropped)] == ["SOLUSDT"]
