"""The progress of a suite says what is known, and draws where somebody looks."""

import io

import pytest
from rich.console import Console

from src.cli.suite_progress import SuiteProgress, speed_text


@pytest.mark.parametrize(
    ("done", "failed", "total", "before", "seconds", "text"),
    [
        (0, 0, 10, 0, 0.0, ""),
        (0, 1, 10, 0, 5.0, "1 failed"),
        (4, 0, 10, 0, 2.0, "2.0 runs/s, 3 s left"),
        (4, 2, 10, 3, 2.0, "2 failed, 0.5 runs/s, 12 s left"),
        (10, 0, 10_000, 0, 1.0, "10.0 runs/s, 16 min 39 s left"),
        (1, 0, 10_000, 0, 1.0, "1.0 runs/s, 2 h 46 min left"),
        (5, 0, 5, 5, 3.0, ""),
    ],
)
def test_the_speed_counts_what_was_made_now(
    done: int, failed: int, total: int, before: int, seconds: float, text: str
) -> None:
    """What an earlier attempt had made is no speed."""
    assert speed_text(done, failed, total, before, seconds) == text


def test_on_a_terminal_a_bar_is_drawn_and_elsewhere_nothing_for_a_short_suite() -> None:
    """A file gets a line each half minute only."""
    terminal, file = io.StringIO(), io.StringIO()
    for stream, is_terminal in ((terminal, True), (file, False)):
        console = Console(file=stream, force_terminal=is_terminal, width=100)
        with SuiteProgress(console) as progress:
            progress.begin(0)
            for done in range(1, 4):
                progress.tell(done, 0, 3)

    assert "3/3 runs" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert file.getvalue() == ""


def test_a_quiet_suite_draws_nothing_on_a_terminal_either() -> None:
    """Somebody asked for that."""
    stream = io.StringIO()
    with SuiteProgress(Console(file=stream, force_terminal=True), shown=False) as progress:
        progress.begin(0)
        progress.tell(3, 0, 3)

    assert stream.getvalue() == ""
