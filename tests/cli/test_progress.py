"""The progress bar: where it is drawn, and what it says."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from src.backtesting.run import PreparedRun, execute, prepare
from src.cli.progress import progress_watch
from src.core.config_file import parse_config
from tests.cli.small import CONFIG


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedRun:
    """A day of one symbol, ready to run."""
    return prepare(parse_config(CONFIG, "small.yaml", tmp_path))


def test_nothing_is_drawn_where_nobody_looks(prepared: PreparedRun) -> None:
    """A file gets no bar, and a terminal none when that was asked for."""
    file, terminal = Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)

    assert progress_watch(prepared, file) is None
    assert progress_watch(prepared, terminal, forced=False) is None


@pytest.mark.slow
def test_the_bar_ends_at_the_last_bar_and_changes_no_digest(prepared: PreparedRun) -> None:
    """It shows the window's end and all bars; the run is the same with and without it."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)

    watched = execute(prepared, watch=progress_watch(prepared, console), report=False)
    alone = execute(prepared, report=False)

    assert watched.result.digest == alone.result.digest
    assert "2024-01-02 00:00" in stream.getvalue()
    assert "100%" in stream.getvalue()
