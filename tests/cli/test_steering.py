"""`--pause`, `--run-to` and `--break`: what is refused before the run, and what is said of a pause that never came."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import Outcome
from src.cli.app import main
from src.cli.output import Output
from src.cli.steering import Steering, steered
from src.core.bars import Bar
from src.core.config_file import ConfigDocument, parse_config
from src.core.errors import ConfigError
from src.core.strategy import BarStrategy
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant
from src.testing import bar_series, build_world
from tests.cli.small import CONFIG

START = parse_instant("2024-01-01")
pytestmark = pytest.mark.usefixtures("no_terminal")


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests are run from."""
    monkeypatch.setattr("src.cli.steering.keys_available", lambda: False)
    monkeypatch.setattr("src.cli.keys.keys_available", lambda: False)


@pytest.fixture
def document(tmp_path: Path) -> ConfigDocument:
    """The small configuration."""
    return parse_config(CONFIG, "small.yaml", tmp_path)


class Idle(BarStrategy):
    """Looks at its bars and does nothing."""

    def on_bar(self, bar: Bar) -> None:
        return


@pytest.mark.parametrize(
    ("steering", "why"),
    [
        (Steering(break_when="account.eqity < 3"), "did you mean 'equity'?"),
        (Steering(break_when="BTC.close > 1"), "did you mean 'BTCUSDT'?"),
        (Steering(run_to="noon"), "expected a date such as"),
        (Steering(break_when="account.equity < 3"), "need somebody at a terminal"),
        (Steering(pause=True), "need somebody at a terminal"),
    ],
)
def test_what_was_typed_is_checked_before_who_is_there(steering: Steering, why: str, document: ConfigDocument) -> None:
    """A wrong condition is named also where there is no terminal: with one it would be wrong as well."""
    with pytest.raises(ConfigError) as caught:
        steering.check(document)

    assert why in caught.value.message


@pytest.mark.parametrize("at", ["2024-01-02", "2024-02-01", "2023-12-31"])
def test_an_instant_outside_the_window_is_refused_before_the_run(at: str) -> None:
    """The end itself is no place to stand still: nothing comes after it."""
    with pytest.raises(ConfigError, match=f"to before 2024-01-02 00:00:00Z, found {at} 00:00:00Z: the run"):
        Steering(run_to=at).check_window(START, START + DAY_NS)
    Steering(run_to="2024-01-01 23:59").check_window(START, START + DAY_NS)
    Steering().check_window(START, START + DAY_NS)


def test_an_instant_after_the_end_of_the_run_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the window, before the run is announced."""
    monkeypatch.setattr("src.cli.steering.keys_available", lambda: True)
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG, encoding="utf-8")

    code = main(["--mode", "backtest", "--config", str(config), "--run-to", "2024-03-01"])
    printed = capsys.readouterr()

    assert code == 2
    assert "found 2024-03-01 00:00:00Z: the run is over then" in printed.err
    assert "backtest of small" not in printed.out


def test_a_run_that_ends_before_its_pause_says_so() -> None:
    """The instant lies in the window, but no bar and no timer after it."""
    controller = build_world([bar_series("AAA", [100.0] * 5)], [Idle], end_ns=START + DAY_NS)
    said: list[str] = []

    @contextmanager
    def watch(shown: BacktestController) -> Iterator[None]:
        shown.tell = said.append
        yield

    with steered(Steering(run_to="2024-01-01 12:00"), watch, Output())(controller):
        result = controller.run()

    assert result.outcome is Outcome.COMPLETED
    assert said[-1] == "the run ended without a pause: no step came after 2024-01-01 12:00:00Z"
    assert result.end_ns - START > 12 * HOUR_NS
