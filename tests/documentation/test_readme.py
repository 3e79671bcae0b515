"""What README says of a file of one's own: without a terminal the whole command is printed, to be filled in."""

import re
import sys
from pathlib import Path

import pytest

from tests.documentation.pages import block_of
from tests.documentation.shell import clone_in, script_of
from tests.end_to_end.test_first_minutes import csv

pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="the command is for a POSIX shell"),
]  # fmt: skip


def test_the_command_for_a_file_prints_the_whole_one_and_that_one_runs(tmp_path: Path) -> None:
    """With the strategy of the same page; its question marks answered, it ends with a result of the file's bars."""
    clone = clone_in(tmp_path)
    csv(clone.folder / "prices.csv", 0.05)
    strategy = block_of("README.md", "from src.core.features import")
    (clone.folder / "my_strategy.py").write_text(strategy.text, encoding="utf-8")

    asked = clone.run(script_of(block_of("README.md", "python main.py --mode backtest --data"), {}))
    (paste,) = re.findall(r"^ *((?:python|lockstep) .*--data prices\.csv .*)$", asked.err, re.MULTILINE)
    filled = paste.replace("--kind '?'", "--kind crypto").replace("--price '?'", "--price trade")
    pasted = clone.run(re.sub(r"\S*main\.py", "main.py", filled))

    assert (asked.code, pasted.code) == (2, 0), asked.err + pasted.err
    assert paste.count("?") == 2
    assert "COMPLETED" in pasted.out
    assert "SYNTHETIC" not in pasted.out
