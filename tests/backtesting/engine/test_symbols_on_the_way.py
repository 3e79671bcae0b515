"""Symbols that join and leave a run: at a planned instant or when somebody asks, it is one run with one result."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.run import FinishedRun, PreparedRun, compose, execute, prepare
from src.core.bars import Bar
from src.core.config_file import read_config
from src.core.errors import ConfigError, PreflightError, StrategyError
from src.core.journal import JournalRecord
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.testing import bar_series, bot_config, build_world
from tests.backtesting.engine.underway import PATIENCE_S, Underway

START = parse_instant("2024-01-01")
both = pytest.mark.parametrize("runtime", ["threads", "fibers"])

CONFIG = """\
name: small
account: {type: margin, currency: USDT, balance: 10_000, leverage: 3}
instruments:
  BTCUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001}
  ETHUSDT: {kind: perpetual, tick: 0.01, volume_step: 0.001}
  SOLUSDT: {kind: perpetual, tick: 0.01, volume_step: 0.01}
  ODDEUR: {kind: perpetual, currency: EUR}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {use: sma_cross, timeframe: 5m, params: {fast: 5, slow: 15}}
risk: {size: {risk_percent: 0.5}, max_open_positions: 2}
manage: {on: bar_close, break_even: {at_r: 1}, trailing: {start_r: 1.5, distance_atr: 1}}
backtest:
  start: 2024-01-01
  end: 2024-01-01 12:00
  data: {source: synthetic, seed: 3}
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01}
"""

OWN = """
from src.core.strategy import BarStrategy

class Picky(BarStrategy):
    timeframe = "1m"

    def __init__(self):
        if self.symbol == "SOLUSDT":
            raise RuntimeError("not this one")

    def on_bar(self, bar):
        return

class Sleeper(BarStrategy):
    timeframe = "1m"

    def on_bar(self, bar):
        if self.symbol == "BTCUSDT" and len(self.bars) == 30:
            self.clock.sleep(30_000_000_000)
        if self.position.is_flat:
            self.buy(stop=bar.close * 0.98)
        elif len(self.bars) % 7 == 0:
            self.close()
"""

#: Steps that the tests add to and remove from: (instant, action, symbol).
Change = tuple[str, str, str]
JOIN: Change = ("2024-01-01T04:00Z", "add", "SOLUSDT")
LEAVE: Change = ("2024-01-01T08:00Z", "remove", "ETHUSDT")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its generated market; copied, never run in."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    prepare(read_config(folder / "config.yaml"), stored=False)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def planned(*changes: Change) -> str:
    """The override that plans changes."""
    items = ", ".join(f"{{at: {at}, {action}: {symbol}}}" for at, action, symbol in changes)
    return f"backtest.control=[{items}]"


def prepared(project: Path, *overrides: str) -> PreparedRun:
    """The project's run with overrides."""
    return prepare(read_config(project / "config.yaml", list(overrides)))


def finished(project: Path, *overrides: str) -> FinishedRun:
    """The project's run, carried out and stored."""
    return execute(prepared(project, *overrides), report=False)


def asked(project: Path, changes: Sequence[Change], *overrides: str) -> FinishedRun:
    """The same, with the changes asked for by another thread while the run stands still at their instants."""

    @contextmanager
    def watch(controller: BacktestController) -> Iterator[None]:
        def act() -> None:
            for at, action, symbol in changes:
                controller.run_to(at)
                assert controller.control.wait_paused(PATIENCE_S)
                (controller.add_symbol if action == "add" else controller.remove_symbol)(symbol)
            controller.resume()

        controller.pause()
        thread = threading.Thread(target=act, name="asks")
        thread.start()
        try:
            yield
        finally:
            thread.join(PATIENCE_S)

    return execute(prepared(project, *overrides), watch=watch, report=False)


def control_of(run: FinishedRun) -> list[dict[str, Any]]:
    """What stands in the run's `control.jsonl` about symbols."""
    lines = (run.folder / "control.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["action"].endswith("_symbol")]


def inputs_of(run: FinishedRun) -> list[dict[str, Any]]:
    """The changes among the inputs that the manifest shows."""
    manifest = json.loads((run.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["run_id"] == run.run_id == run.folder.name.partition(".")[0]
    changes: list[dict[str, Any]] = manifest["inputs"]["changes"]
    return changes


def decisions(result: BacktestResult, symbol: str) -> list[JournalRecord]:
    """What was decided on one symbol."""
    return [entry for entry in result.records if entry.stream == symbol and entry.kind == "decision"]


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


class Holder(BarStrategy):
    """Buys at its second bar with a stop, keeps a limit far below, and notes what it is told."""

    heard: list[str]

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 2:
            self.buy(volume=1, stop=90.0)
            self.buy(volume=1, limit=50.0)

    def on_order(self, event: OrderEvent) -> None:
        self.heard.append(f"{self.symbol} {event.order.state.value.lower()}")

    def on_stop(self) -> None:
        result = self.buy(volume=1)
        self.heard.append(f"{self.symbol} stops {result.code}")


class Idle(BarStrategy):
    """Does nothing."""

    def on_bar(self, bar: Bar) -> None:
        return


ROWS = [100.0] * 6 + [99.0] * 6 + [80.0] * 3


def holder(**how: Any) -> tuple[BacktestController, list[str]]:
    """Two symbols that both hold, and what they hear."""
    heard: list[str] = []
    cls = type("Holder", (Holder,), {"heard": heard})
    return build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS)], [cls], **how), heard


def removing(controller: BacktestController, symbol: str, minute: int) -> BacktestResult:
    """Run, and remove a symbol after so many minutes."""
    controller.run_to(START + minute * MINUTE_NS)
    with Underway(controller) as run:
        run.paused_at()
        controller.remove_symbol(symbol)
        return run.finished()


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


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "symbol", "sentence"),
    [
        ("add", "DOGEUSDT", "DOGEUSDT has no entry under instruments (there: BTCUSDT, ETHUSDT, SOLUSDT, ODDEUR)"),
        ("add", "BTCUSDT", "BTCUSDT is traded already"),
        ("add", "ODDEUR", "ODDEUR makes its profit in EUR, the account is in USDT"),
        ("remove", "SOLUSDT", "expected one of the symbols BTCUSDT, ETHUSDT, found 'SOLUSDT'"),
        ("add twice", "SOLUSDT", "SOLUSDT is traded already"),
        ("remove twice", "BTCUSDT", "BTCUSDT was removed already"),
        ("remove and add", "BTCUSDT", "BTCUSDT was removed from this run and cannot come back"),
        ("remove both", "BTCUSDT", "ETHUSDT is the last symbol and cannot be removed"),
    ],
)
def test_what_cannot_be_is_refused_and_the_run_goes_on(project: Path, action: str, symbol: str, sentence: str) -> None:
    """At once, with a sentence, whoever asks; what was asked before it stands."""
    controller = compose(prepared(project))
    if action == "add twice":
        controller.add_symbol(symbol)
    if action.startswith("remove ") and symbol == "BTCUSDT":
        controller.remove_symbol(symbol)
    last = "ETHUSDT" if action == "remove both" else symbol
    ask = controller.remove_symbol if action in ("remove", "remove twice", "remove both") else controller.add_symbol

    with pytest.raises(ConfigError) as refusal:
        ask(last)

    assert sentence in refusal.value.message
    assert controller.run().outcome is Outcome.COMPLETED


def test_nobody_trades_it_when_each_strategy_has_symbols_of_its_own(project: Path) -> None:
    """The sentence says what to leave out."""
    controller = compose(prepared(project, "strategies.0.symbols=[BTCUSDT, ETHUSDT]"))

    with pytest.raises(ConfigError, match="no strategy would trade SOLUSDT, because each has symbols of its own"):
        controller.add_symbol("SOLUSDT")


def test_a_store_without_its_bars_is_said_at_once(project: Path) -> None:
    """In both ways; bars that have ended before are none."""
    store = "backtest.data={source: store, store: data/synthetic.duckdb}"
    instrument = "instruments.DOGEUSDT={currency: USDT}"
    controller = compose(prepared(project, store, instrument))

    with pytest.raises(ConfigError, match="has no bars of DOGEUSDT; it has"):
        controller.add_symbol("DOGEUSDT")
    with pytest.raises(PreflightError, match="has no bars of DOGEUSDT; it has"):
        prepared(project, store, instrument, planned((JOIN[0], "add", "DOGEUSDT")))


def test_without_a_store_no_symbol_can_be_added() -> None:
    """A run over bars in memory has nowhere to take them from."""
    config = bot_config(["AAA", "BBB", "CCC"], [Idle]).model_copy(update={"symbols": ("AAA", "BBB")})
    controller = build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS)], [Idle], config)

    with pytest.raises(ConfigError, match="there is no store to take bars from"):
        controller.add_symbol("CCC")


def test_after_the_end_nothing_can_be_asked() -> None:
    """The sentence says that the run is over."""
    controller, _ = holder()
    controller.run()

    with pytest.raises(ConfigError, match="the run is over; AAA can neither join nor leave it"):
        controller.remove_symbol("AAA")


def test_what_is_asked_before_a_stop_is_refused_aloud() -> None:
    """It is no input, and its record says why."""
    controller, _ = holder()
    told: list[str] = []
    controller.tell = told.append
    controller.pause()
    with Underway(controller) as run:
        run.paused_at()
        controller.stop("enough")
        controller.remove_symbol("AAA")
        run.ended()

    assert told == ["AAA was not removed: the run ended before"]
    assert controller.symbol_changes.inputs == ()
    assert controller.control_records[-1]["refused"] == "the run ended before"


def test_what_is_asked_at_the_very_end_is_refused_aloud() -> None:
    """The end of the window is no instant of it, so that no configuration could say the same."""
    controller: BacktestController
    told: list[str] = []

    class Asks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA" and len(self.bars) == len(ROWS):
                controller.remove_symbol("BBB")

    controller = build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS)], [Asks])
    controller.tell = told.append
    result = controller.run()

    assert told == ["BBB was not removed: the run is at its end, 2024-01-01 00:15:00Z"]
    assert (result.outcome, controller.symbol_changes.inputs) == (Outcome.COMPLETED, ())


def test_a_plan_that_somebody_was_quicker_than_is_refused_aloud(project: Path) -> None:
    """The run goes on, and its id is that of what really happened."""
    earlier = ("2024-01-01T05:00Z", "remove", "ETHUSDT")
    live = asked(project, [earlier], planned(LEAVE))
    plan = finished(project, planned(earlier))

    assert live.result.outcome is Outcome.COMPLETED
    assert (live.run_id, live.result.digest) == (plan.run_id, plan.result.digest)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([("2023-12-31", "add", "SOLUSDT")], "control.0.at: expected an instant from the start, 2024-01-01 00:00:00Z"),
        (
            [("2024-01-01 12:00", "remove", "BTCUSDT")],
            "control.0.at: expected an instant before the end, 2024-01-01 12",
        ),
        ([("2024", "add", "SOLUSDT")], "expected a date such as 2024-01-31, found the number 2024"),
        ([JOIN, (LEAVE[0], "add", "DOGEUSDT")], "control.1.add: DOGEUSDT has no entry under instruments"),
        ([LEAVE, (JOIN[0], "remove", "ETHUSDT")], "control.0.remove: ETHUSDT was removed already"),
        ([LEAVE, (LEAVE[0], "add", "ETHUSDT")], "control.1.add: ETHUSDT was removed from this run"),
        ([LEAVE, (LEAVE[0], "remove", "BTCUSDT")], "control.1.remove: BTCUSDT is the last symbol"),
        ([(JOIN[0], "swap", "ETHUSDT")], "control.0.swap: unknown key 'swap'"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(project: Path, changes: list[Change], sentence: str) -> None:
    """Before anything is loaded."""
    lines = "".join(f"    - {{at: {at}, {action}: {symbol}}}\n" for at, action, symbol in changes)
    config = project / "config.yaml"
    config.write_text(f"{CONFIG}  control:\n{lines}", encoding="utf-8")

    with pytest.raises(ConfigError) as refusal:
        prepare(read_config(config))

    first = CONFIG.count("\n") + 2
    assert sentence in refusal.value.message
    assert any(f"config.yaml:{first + i}: " in refusal.value.message for i in range(len(changes)))


def test_an_instant_outside_the_data_is_refused_when_the_window_is_open(project: Path) -> None:
    """Where the configuration leaves an end open, the data say what is inside."""
    store = "backtest.data={source: store, store: data/synthetic.duckdb}"

    with pytest.raises(
        ConfigError, match=r"config.yaml:\d+: backtest.control.0.at: expected an instant from 2024-01-01"
    ):
        prepared(project, store, "backtest.end=null", planned(("2024-02-01", "add", "SOLUSDT")))


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
