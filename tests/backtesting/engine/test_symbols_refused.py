"""Changes of the symbols that cannot be: each is refused with a sentence, at once or when due, and ends nothing."""

import shutil
from pathlib import Path

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import Outcome
from src.backtesting.run import compose, prepare
from src.core.bars import Bar
from src.core.config_file import read_config
from src.core.errors import ConfigError, PreflightError
from src.core.strategy import BarStrategy
from src.testing import bar_series, bot_config, build_world
from tests.backtesting.engine.joining import (
    CONFIG,
    JOIN,
    LEAVE,
    ROWS,
    Change,
    Idle,
    asked,
    finished,
    holder,
    make_project,
    planned,
    prepared,
)
from tests.backtesting.engine.underway import Underway


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its generated market; copied, never run in."""
    return make_project(tmp_path_factory.mktemp("made"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


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
        ConfigError, match=r"--set backtest.control: backtest.control.0.at: expected an instant from 2024-01-01"
    ):
        prepared(project, store, "backtest.end=null", planned(("2024-02-01", "add", "SOLUSDT")))
