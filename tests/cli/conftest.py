"""A tiny store where the commands look for one, and the present that they see."""

from pathlib import Path

import pytest

from src.cli import data_care, data_views
from tests.cli.caring import MINUTES, PRESENT_NS
from tests.data.care import write_store


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bar of the store has just closed."""
    for module in (data_views, data_care):
        monkeypatch.setattr(module, "wall_ns", lambda: PRESENT_NS)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: None) -> Path:
    """A sound store where the commands look for one."""
    monkeypatch.chdir(tmp_path)
    return write_store(tmp_path / "data" / "market.duckdb", MINUTES)
