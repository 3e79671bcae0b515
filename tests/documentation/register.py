"""By what each block of README and docs is executed: one entry for each block of a page, in the page's order.

`test_blocks.py` holds the register against the pages and runs what is to be run here. A block that nobody can run here
has a reason, and the reason is not that nobody wrote a test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "REGISTER",
    "By",
    "Code",
    "Commands",
    "Config",
    "Except",
    "How",
    "Manifest",
    "OnBar",
    "Paths",
    "Quoted",
    "Same",
    "Shell",
    "Strategy",
]


@dataclass(frozen=True, slots=True)
class By:
    """Another test takes it from its page and runs it, or compares it with what is printed.

    Attributes:
        test: `tests/...py::test_name`, or a file. It has to take the block with the functions of pages.py, or the page.
        without: commands that contain the key are not run: why.
    """

    test: str
    without: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Except:
    """Nobody can run it here: why, and where the same is tried otherwise."""

    reason: str
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Commands:
    """Run line by line, in the page's own copy of the delivered configurations.

    Attributes:
        more: words that are put behind a command that contains the key, to make it shorter.
        codes: exit codes other than 0 of commands that contain the key.
        without: commands that contain the key are not run: why.
    """

    more: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shell:
    """Run word for word by a shell, in a clone whose default configuration has one day.

    Attributes:
        without: commands that contain the key are not run: why.
    """

    without: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """Keys of a configuration, read together with the delivered one in every mode that has them."""

    under: str = ""
    base: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file of a suite or a validation, read as that; `kind` is a function of preludes.py."""

    kind: str


@dataclass(frozen=True, slots=True)
class Strategy:
    """A class of a strategy: the bot runs it over a day of the delivered market."""

    name: str
    imports: str = ""


@dataclass(frozen=True, slots=True)
class OnBar:
    """The body of a strategy's `on_bar`: every order in it has to be accepted."""


@dataclass(frozen=True, slots=True)
class Code:
    """Python that is executed with the names that a function of preludes.py makes, which then looks what came of it."""

    prelude: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """Lines that stand in a file as they are."""

    file: str


@dataclass(frozen=True, slots=True)
class Same:
    """Every command stands on another page as well, where it is executed."""

    page: str


@dataclass(frozen=True, slots=True)
class Paths:
    """Files and folders: each first word of a line is there."""


How = By | Except | Commands | Shell | Config | Manifest | Strategy | OnBar | Code | Quoted | Same | Paths

_E2E = "tests/end_to_end"
_LIVE = By(f"{_E2E}/test_documented_live.py")
_PYTHON = By(f"{_E2E}/test_documented_python.py")
_DEBUGGING = By(f"{_E2E}/test_debugging.py")
_HOWTO = By("tests/documentation/test_how_to.py")
_TUTORIAL = By("tests/documentation/test_tutorial.py::test_the_tutorial_works_to_its_last_line")
_WALKFORWARD = f"{_E2E}/test_walkforward.py"
_INSTALLED = {
    "pip install": "`.ci/run` installs, into an environment of its own", "pytest": "these tests are run by it",
}  # fmt: skip
_EXCHANGE = Except("asks an exchange over the network", "tests/data/test_sync.py")

REGISTER: Mapping[str, Sequence[tuple[str, How]]] = {
    "README.md": [
        ("pip install -e . &&", Shell(without=_INSTALLED)),
        ("Trades", By(f"{_E2E}/test_default_run.py::test_the_figures_in_the_readme_are_those_of_the_default_run")),
        ("python main.py init", Shell()),
        ("from src.core.features import", Strategy("MyStrategy")),
        ("python main.py --mode backtest --data", By("tests/documentation/test_readme.py")),
        ("python main.py explore", Same("docs/threads.md")),
        ("python main.py data sync", Commands(
            more={"lookahead": "--set backtest.end=2024-01-03 --edges 1 --starts 1"},
            without={"data sync": "asks an exchange over the network; see tests/data/test_sync.py"},
        )),
        ("python main.py suite", Commands()),
        ("python main.py walkforward", By(
            f"{_WALKFORWARD}::test_the_delivered_validation_shows_survivors_rejections_and_which_were_planted"
        )),
        ("DATA=", By(f"{_E2E}/test_real_data.py")),
        ("pip install -e '.[live]'", Except(
            "the prices of an exchange; the tutorial runs the same at the exchange of this machine",
            "tests/documentation/test_tutorial.py",
        )),
        ("main.py ", Paths()),
    ],
    "docs/account.md": [("account:", Config(base={"strategies": [{"use": "sma_cross"}]}))],
    "docs/alerts.md": [("notify:", Config())],
    "docs/architecture.md": [("main.py ", Paths()), ("while wait", Quoted("src/core/trading_controller.py"))],
    "docs/broker-contract.md": [("from src.testing.broker_contract", Code("contract"))],
    "docs/calendars.md": [("class Trend(BarStrategy):", Strategy(
        "Trend", "from src.core.features import on_timeframe, sma\nfrom src.core.strategy import BarStrategy\n"
    ))],
    "docs/control.md": [
        ("python main.py --mode backtest --config C --pause", By(f"{_E2E}/test_steering.py")),
        ("controller.break_when", Code("steered")),
        ("backtest:", Config(base={"instruments": {"SOLUSDT": {"tick": 0.01}}, "strategies": [{"use": "sma_cross"}]})),
    ],
    "docs/data.md": [
        ("python main.py data sync --source", _EXCHANGE),
        ("from src.data.tick_bars", Code("ticks")),
        ("from src.data.sources.frame", Code("frames")),
        ("python main.py data list", Commands(codes={"data delete": 2})),  # nobody is there to be asked
        ("data/market.mirror/symbol", Code("mirrored_files")),
        ("from src.data.mirror", Code("mirror")),
        ("backtest:", Config()),
        ("backtest:", Config()),
    ],
    "docs/debugging.md": [
        ("others = BOOK.open", _DEBUGGING), ("python main.py", _DEBUGGING), ("('beside 0', 12)", _DEBUGGING),
        ("python main.py", _DEBUGGING), ("ETHUSDT long", _DEBUGGING), ("NON-DETERMINISTIC", _DEBUGGING),
        ("{", _DEBUGGING), ("python main.py explore", _DEBUGGING), ("three-for-two:", _DEBUGGING),
        ("python main.py", _DEBUGGING), ("ETHUSDT long", _DEBUGGING), ("python -c", _DEBUGGING),
        ("('beside -1', 8)", _DEBUGGING), ("class Locked", _DEBUGGING), ("python main.py explore", _DEBUGGING),
        ("worker:BTCUSDT and", _DEBUGGING), ("strength =", _DEBUGGING), ("python main.py explore", _DEBUGGING),
        ("three-for-two:", _DEBUGGING), ("python main.py", _DEBUGGING), ("its digest", _DEBUGGING),
    ],
    "docs/differences.md": [("python benchmarks/differential.py", Except(
        "installs two other programs in environments of their own", "tests/benchmarks/test_differential.py"
    ))],
    "docs/faults.md": [("backtest:", Config()), ("from src.testing.fault_loop", Code("faults"))],
    "docs/features.md": [("from src.core.features", Strategy(
        "MyStrategy", "from src.core.strategy import BarStrategy\n"
    ))],
    "docs/fills.md": [("backtest:", Config())],
    "docs/from-backtrader.md": [
        ("import backtrader as bt", Except("backtrader is no part of the environment; its names are read", "")),
        ("from src.core.bars", By("tests/documentation/test_how_to.py::test_the_strategy_from_backtrader_runs")),
        ("name: moved", By("tests/documentation/test_how_to.py::test_the_strategy_from_backtrader_runs")),
        ("python main.py", By("tests/documentation/test_how_to.py::test_the_strategy_from_backtrader_runs")),
    ],
    "docs/granularity.md": [("backtest:", Config())],
    "docs/how-to/broker.md": [('"""', _HOWTO), ('"careful"', _HOWTO), ("live:", _HOWTO), ("import pytest", _HOWTO)],
    "docs/how-to/data-source.md": [('"""', _HOWTO), ('"steps"', _HOWTO), ("python main.py data sync", _HOWTO)],
    "docs/how-to/fill-model.md": [
        ('"""', _HOWTO), ('"every_tenth"', _HOWTO), ("backtest:", _HOWTO), ("python main.py", _HOWTO),
    ],
    "docs/how-to/schedule.md": [('"""', _HOWTO), ('"backwards"', _HOWTO), ("python main.py", _HOWTO)],
    "docs/how-to/strategy.md": [
        ('"""', _HOWTO), ("strategies:", _HOWTO), ("python main.py", _HOWTO), ("from pullback", _HOWTO),
    ],
    "docs/index.md": [("pip install -e . &&", Shell(without={"pip install": _INSTALLED["pip install"]}))],
    "docs/live.md": [
        ("pip install", By(_LIVE.test, without={"pip install": "fetches packages"})), ("paper:", _LIVE),
        ("LOCKSTEP_BINANCEUSDM_DEMO_KEY", Except("keys of an account", f"{_E2E}/test_documented_live.py")),
        ("look:", _LIVE), ("STOPPED", _LIVE),
        ("error: expected the account", _LIVE),
        ("python main.py parity RUN", By(_LIVE.test, without={
            "data sync": "asks an exchange over the network; see tests/data/test_sync.py",
            "--against-store": "of bars that were synced from there; docs/parity.md has it with others",
        })),
    ],
    "docs/operation.md": [("python main.py status", _LIVE), ("live:", Config())],
    "docs/orders.md": [
        ("entry = self.buy(limit", OnBar()),
        ("entry = self.buy(trigger", OnBar()),
    ],
    "docs/paper.md": [("paper:", Config())],
    "docs/parity.md": [("python main.py replay RUN", By(f"{_E2E}/test_parity.py"))],
    "docs/python.md": [
        ("from src.backtesting import", _PYTHON), ("from src.core.features import", _PYTHON),
        ("print(run.outcome", _PYTHON), ("again = open_run", _PYTHON), ("from src.core.errors import", _PYTHON),
        ("import empyrical", _PYTHON), ("python main.py export RUN --tearsheet", _PYTHON),
        ("python main.py export RUN", _PYTHON),
    ],
    "docs/recording.md": [("sqlite3", _LIVE), ("sqlite3", _LIVE), ("sqlite3", _LIVE), ("from pathlib", _LIVE)],
    "docs/reports.md": [("python main.py report RUN", By(f"{_E2E}/test_parity.py"))],
    "docs/scale.md": [("python main.py data export", Except(
        "several machines; the same verbs run on one", "tests/research/executors/test_dask.py"
    ))],
    "docs/service.md": [
        ("install -D", Except("a service manager, and files of a user")),
        ("LOCKSTEP_BINANCEUSDM_REAL_KEY", Except("keys of an account", f"{_E2E}/test_documented_live.py")),
        ("jq -r", Except("the log of a bot that ran as a service", "tests/live/test_logs.py")),
    ],
    "docs/suites.md": [
        ("python main.py suite", Commands()),
        ("product:", Manifest("suite")),
        ("search:", Manifest("suite")),
        ("python main.py results", Commands()),
    ],
    "docs/synthetic.md": [("instruments:", Config(base={"symbols": ["BTCUSD", "EURUSD", "AAPL"], "strategies": [
        {"use": "sma_cross", "timeframe": "15m"}
    ]}))],
    "docs/threads.md": [
        ("from src.core.bars", By(f"{_E2E}/test_documented.py")),
        *((f"python main.py {word}", By(f"{_E2E}/test_documented.py")) for word in (
            "--mode backtest --strict", "--mode backtest --set", "explore", "verify"
        )),
        ("backtest:", Config()),
        ("python main.py --mode backtest --stats", By(f"{_E2E}/test_documented.py")),
    ],
    "docs/tutorial.md": [
        ("python3 -m venv", Except("makes an environment and fetches packages, as .ci/run does", ".ci/run")),
        *[(begins, _TUTORIAL) for begins in (
            "python main.py --mode backtest", '"""', "name: dip", "python main.py --mode", "python main.py --mode",
            "python main.py explore", "python main.py explore", "name: dips", "python main.py suite", "name: dips",
            "python main.py walkforward", "python main.py venue", "python main.py --mode paper", "export",
            "python main.py status", "python main.py parity",
        )],
    ],
    "docs/validation.md": [
        ("python main.py walkforward", By(f"{_WALKFORWARD}::test_each_command_of_the_page_runs")),
        ("import csv", By(_WALKFORWARD)), ("name: others", By(_WALKFORWARD)),
        ("python main.py walkforward others", By(_WALKFORWARD)), ("phase", By(_WALKFORWARD)),
        ("candidates:", Manifest("validation")),
        ("anchored:", By("tests/research/validation/test_windows.py::test_the_picture_of_the_page_is_drawn_to_scale")),
        ("python main.py walkforward configs/reoptimise.yaml", Commands()),
        ("name: reoptimise", Manifest("reoptimisation")),
        ("SELECT", Code("verdicts")),
    ],
    "docs/venue-spot.md": [("account =", Code("spot_venue"))],
    "docs/venue.md": [
        ("with LocalVenue", Code("venue")),
        ("python main.py venue", By(f"{_E2E}/test_three_modes.py::test_the_venue_serves_until_it_is_interrupted")),
        ("python main.py --mode paper", By(f"{_E2E}/three_modes.py")),
    ],
}  # fmt: skip
