"""Bad input: one sentence that names the place, the promised exit code, no traceback, and nothing left behind."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.command import BACKTEST, MAIN, Told, run, run_names

pytestmark = pytest.mark.slow

HEADER = "timestamp,open,high,low,close,volume\n"
GOOD = "2024-01-01T00:0{i}:00Z,100,101,99,100,5\n"

NO_STOP = """
from src.core.strategy import BarStrategy

class NoStop(BarStrategy):
    timeframe = "15m"

    def on_bar(self, bar):
        if self.position.is_flat:
            self.buy()
"""


def overridden(*overrides: str) -> list[str]:
    """`--set` before each."""
    return [word for override in overrides for word in ("--set", override)]


@pytest.mark.parametrize(
    ("overrides", "code", "sentence"),
    [
        (["risk.sise=3"], 2, "--set risk.sise: unknown key 'sise'; did you mean 'size'?"),
        (["account.balance=much"], 2, "--set account.balance: input should be a valid number"),
        (["symbols=[BTCUSDT, DOGEUSDT]"], 2, "--set symbols: DOGEUSDT has no entry under instruments"),
        (["strategies.0.use=sma_cros"], 2, "found 'sma_cros'; did you mean 'sma_cross'?"),
        (["strategies.0.use=absent.py:X"], 2, "expected a strategy file at"),
        (["strategies.0.params.fast=7000"], 2, "strategies.0.params.fast: expected at most 100, found 7000"),
        (["backtest.start=2024-13-01"], 2, "backtest.start: expected a date such as 2024-01-31"),
        (["backtest.start=2024"], 2, "backtest.start: expected a date such as 2024-01-31, found the number 2024"),
        (["backtest.schedule=lifo"], 2, "--set backtest.schedule: expected a schedule among fifo, seeded"),
        (["nonsense"], 2, "expected --set key=value, found --set 'nonsense'"),
        (["backtest.costs.slippage_percent=null"], 3, "backtest.costs has no slippage: write slippage_percent"),
        (["strategies.0={use: 'no_stop.py:NoStop'}"], 2, "risk.size.risk_percent needs a stop, but NoStop entered"),
        (["backtest.data={source: store, store: absent.duckdb}"], 3, "there is no data file"),
    ],
    ids=lambda value: value[0].partition("=")[0] if isinstance(value, list) else "",
)
def test_a_wrong_configuration_is_refused_with_its_place(
    project: Path, told: Told, overrides: Sequence[str], code: int, sentence: str
) -> None:
    """One sentence on stderr, the exit code, no traceback, no run."""
    (project / "no_stop.py").write_text(NO_STOP, encoding="utf-8")

    ended = told(*BACKTEST, *overridden(*overrides), cwd=project)

    assert (ended.code, sentence in ended.err, run_names(project)) == (code, True, []), ended.err
    assert "Traceback" not in ended.err


def test_all_problems_of_a_file_are_reported_at_once_with_their_lines(project: Path, told: Told) -> None:
    """Nobody has to run again to learn of the second mistake."""
    config = project / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("balance: 10_000", "balance: -1").replace("at_r: 1", "at_rr: 1"), encoding="utf-8")

    ended = told(*BACKTEST, "--json", cwd=project)

    assert ended.code == 2
    assert [line.partition(": ")[0] for line in ended.value["error"]["problems"]] == [
        "config.yaml:3",
        "config.yaml:15",
        "config.yaml:15",
    ]


def test_dates_without_data_are_refused_by_preflight(project: Path, told: Told) -> None:
    """The sentence says what the store covers; exit code 3."""
    assert told(*BACKTEST, "--quiet", cwd=project).code == 0
    store = "backtest.data={source: store, store: data/synthetic.duckdb}"

    ended = told(*BACKTEST, *overridden(store, "backtest.start=2030-01-01", "backtest.end=2030-02-01"), cwd=project)

    assert ended.code == 3
    assert "BTCUSDT has no bars from 2030-01-01 00:00:00Z" in ended.err
    assert "covers 2023-12-30" in ended.err
    assert len(run_names(project)) == 1


def test_a_window_far_beyond_the_data_is_refused_with_the_date_to_write(project: Path, told: Told) -> None:
    """Days on which nothing could happen would dilute every figure; the data of the project end in 2024."""
    assert told(*BACKTEST, "--quiet", cwd=project).code == 0
    store = "backtest.data={source: store, store: data/synthetic.duckdb}"

    ended = told(*BACKTEST, *overridden(store, "backtest.end=2030-01-01"), cwd=project)

    assert ended.code == 3
    assert "days beyond the stored bars; write backtest.end: 2024-01-03" in ended.err


def test_a_folder_that_cannot_be_written_is_named(project: Path, told: Told) -> None:
    """A file stands where the folder for runs should be."""
    (project / "blocked").write_text("", encoding="utf-8")

    ended = told(*BACKTEST, *overridden("backtest.runs=blocked/runs"), cwd=project)

    assert ended.code == 2
    assert "expected a folder for runs that can be written at" in ended.err


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "is empty"),
        (HEADER, "has a header and no rows"),
        (HEADER + GOOD.format(i=0) + GOOD.format(i=0), "line 3: expected each stamp once"),
        (HEADER + GOOD.format(i=5) + GOOD.format(i=2), "line 3: expected rows in time order"),
        (HEADER + GOOD.format(i=0) + "2024-01-01T00:01:00Z,100,98,99,100,5\n", "line 3: expected high at or above low"),
        (HEADER + GOOD.format(i=0).replace("Z", ""), "--zone: the zone of the stamps"),
        ("when,price\n1,2\n", "line 1: expected columns for time, open, high, low, close, found when, price"),
    ],
    ids=["empty", "no rows", "duplicate", "unsorted", "high below low", "naive", "columns"],
)
def test_a_bad_data_file_is_refused_and_nothing_is_stored(tmp_path: Path, told: Told, rows: str, sentence: str) -> None:
    """Exit code 2, the file and the line, no store and no run."""
    (tmp_path / "bars.csv").write_text(rows, encoding="utf-8")
    said = ("--symbol", "XYZUSD", "--kind", "crypto", "--stamp", "open", "--price", "trade", "--timeframe", "1m")

    imported = told("data", "import", "bars.csv", *said)
    quick = told("--mode", "backtest", "--data", "bars.csv", "--use", "sma_cross", *said)

    assert [(one.code, sentence in one.err, "bars.csv" in one.err) for one in (imported, quick)] == [
        (2, True, True)
    ] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["bars.csv"]


def test_an_open_question_without_a_terminal_is_refused_with_the_command_to_paste(tmp_path: Path, told: Told) -> None:
    """The command names every answer; pasted as it stands it works."""
    rows = "".join(f"2024-01-01T00:{i:02d}:00Z,100,101,99,100,5\n" for i in range(10))
    (tmp_path / "XYZUSD.csv").write_text(HEADER + rows, encoding="utf-8")

    refused = told("data", "import", "XYZUSD.csv")
    command = refused.err.splitlines()[-1].split()
    pasted = run(*command[2:], cwd=tmp_path)

    assert (refused.code, command[:4]) == (2, ["python", str(MAIN), "data", "import"])
    assert pasted.code == 0
    assert "stored 10 new of 10 1m trade bars of XYZUSD" in pasted.out
