"""What the page about threads shows is what happens: its strategy runs, its commands end as it says."""

import shlex
from pathlib import Path

import pytest

from tests.documentation.pages import block_of, blocks, commands
from tests.end_to_end.command import Told

pytestmark = pytest.mark.slow

PAGE = "docs/threads.md"
COMMANDS = [line for block in blocks(PAGE) if not block.language for line in commands(block)]
#: Those that do not end with 0; the page says so.
CODES = {"explore": 4}


def test_the_strategy_of_the_page_gives_one_digest_in_threads_and_fibers(
    default_folder: Path, tmp_path: Path, told: Told
) -> None:
    """It sleeps, feeds a queue, starts a thread and sets timers; both runtimes decide the same."""
    file = tmp_path / "patient.py"
    file.write_text(block_of(PAGE, "from src.core.bars").text, encoding="utf-8")
    words = ["--mode", "backtest", "--json", "--config", str(default_folder / "configs" / "default.yaml"), "--set"]
    words += [f"strategies=[{{use: '{file}:Patient', timeframe: 15m}}]", "--set", "backtest.end=2024-01-06"]

    ended = [told(*words, "--set", f"backtest.runtime={name}", cwd=default_folder) for name in ("threads", "fibers")]

    assert [each.code for each in ended] == [0, 0], ended[0].err
    assert ended[0].value["digest"] == ended[1].value["digest"]
    assert ended[0].value["metrics"]["trades"] > 10


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_ends_as_it_says(command: str, default_folder: Path, told: Told) -> None:
    """Run as they stand, with the delivered configuration in a folder of its own, over the first two of its days."""
    words = shlex.split(command)[2:]
    words += ["--set", "backtest.end=2024-01-03"]
    if "--config" not in words:
        words += ["--config", "configs/default.yaml"]

    ended = told(*words, cwd=default_folder)

    assert ended.code == CODES.get(words[0], 0), ended.err
