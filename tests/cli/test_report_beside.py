"""The page beside what a command has stored: made here or in a process of its own, and never in the way of a result."""

from pathlib import Path

import pytest

from src.cli import report_beside
from src.cli.output import Output
from src.cli.report_beside import page_beside
from src.research.suite.report_page import write_suite_report
from tests.research.suite.left import left_suite


@pytest.mark.slow
def test_a_process_of_its_own_makes_the_same_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two depends on the number of rows alone."""
    folder, out = left_suite(tmp_path), Output()
    here = page_beside(folder, write_suite_report, out, rows=7)
    assert here is not None
    first = here.read_bytes()
    here.unlink()
    monkeypatch.setattr(report_beside, "_MOST_HERE", 6)

    there = page_beside(folder, write_suite_report, out, rows=7)
    assert there == here
    assert there.read_bytes() == first


@pytest.mark.slow
@pytest.mark.parametrize("rows", [7, 7_000])
def test_a_page_that_cannot_be_made_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int) -> None:
    """With the command that makes it again."""
    folder = left_suite(tmp_path)
    (folder / "index.json").write_text("{}", encoding="utf-8")

    assert page_beside(folder, write_suite_report, Output(), rows=rows) is None
    told = " ".join(capsys.readouterr().err.split())
    assert "the page was not written" in told
    assert "makes it again" in told
