"""What only somebody at a terminal sees: the progress bar, and the questions of an import."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command import MAIN, Told, run

pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

ROWS = "timestamp,open,high,low,close,volume\n" + "".join(
    f"2024-01-01 {i // 60:02d}:{i % 60:02d}:00,100,101,99,{100 + i % 2},5\n" for i in range(600)
)


def at_terminal(*words: str | Path, cwd: Path) -> Any:
    """`main.py` with a pseudo-terminal of 120 columns."""
    return pexpect.spawn(
        sys.executable, [str(MAIN), *map(str, words)], cwd=str(cwd), encoding="utf-8", timeout=240, dimensions=(50, 120)
    )


def test_a_terminal_shows_progress_with_speed_and_virtual_date(project: Path) -> None:
    """Per cent, bars per second, remaining time and the date in the market; all of it at 100 % in the end."""
    child = at_terminal("--mode", "backtest", "--config", "config.yaml", "--json", "--quiet", "--progress", cwd=project)
    child.expect(pexpect.EOF)
    quiet = child.before
    child.close()
    child = at_terminal("--mode", "backtest", "--config", "config.yaml", cwd=project)
    child.expect(r"2024-01-03 00:00 .*100%.* [\d,]+ bars/s, 0 s left")
    child.expect("COMPLETED")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "bars/s" not in quiet.replace("bars_per_s", "")


def test_a_pipe_gets_no_progress_bar(project: Path) -> None:
    """Not a single control character in what a file receives."""
    ended = run("--mode", "backtest", "--config", "config.yaml", cwd=project)

    assert (ended.code, ended.err, "\x1b" in ended.out) == (0, "", False)


def test_an_import_asks_what_the_file_does_not_say(tmp_path: Path, told: Told) -> None:
    """Each open question once, a wrong answer again, the rows to confirm, and then the bars are stored."""
    (tmp_path / "bars.csv").write_text(ROWS, encoding="utf-8")

    child = at_terminal("data", "import", "bars.csv", cwd=tmp_path)
    for question, answer in (
        ("symbol: the name under which", "XYZUSD"),
        ("kind: the class of instrument", "crypto"),
        ("zone: the zone of the stamps", "America/New_York"),
        ("stamp: whether a stamp", "clsoe"),
        ("expected one of open, close, found 'clsoe'", None),
        ("stamp: whether a stamp", "close"),
        ("price: which price", ""),
        ("Is this what the file means", "y"),
    ):
        child.expect(question)
        if answer is not None:
            child.expect(": ?$|]: ")
            child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    listed = told("data", "list", "--json").value["series"]

    assert child.exitstatus == 0
    # 00:00 in New York is 05:00 UTC; stamped at the close, the first bar opened a minute earlier.
    assert [(one["symbol"], one["bars"], one["price_side"], one["first_ns"]) for one in listed] == [
        ("XYZUSD", 600, "trade", 1_704_085_140_000_000_000)
    ]


def test_rows_that_are_not_confirmed_are_not_stored(tmp_path: Path) -> None:
    """A "no" at the last question leaves no file."""
    (tmp_path / "bars.csv").write_text(ROWS, encoding="utf-8")
    said = ("--symbol", "XYZUSD", "--kind", "crypto", "--stamp", "open", "--price", "trade")

    child = at_terminal("data", "import", "bars.csv", *said, cwd=tmp_path)
    child.expect("zone: the zone")
    child.expect("]: ")
    child.sendline("UTC")
    child.expect("Is this what the file means")
    child.sendline("n")
    child.expect("nothing was imported")
    child.expect(pexpect.EOF)
    child.close()

    assert (child.exitstatus, [path.name for path in tmp_path.iterdir()]) == (2, ["bars.csv"])
