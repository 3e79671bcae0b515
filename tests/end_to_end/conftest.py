"""Projects to run in, and the default configuration, run once for all tests that look at it."""

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, Ended, run
from tests.end_to_end.telling import told
from tests.end_to_end.three_modes import Played, three_runs

__all__ = ["told"]


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made by `init`, shortened to two days; copied, never run in."""
    folder = tmp_path_factory.mktemp("example") / "project"
    ended = run("init", folder, cwd=folder.parent)
    assert ended.code == 0, ended.err
    config = folder / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert "end: 2024-01-15" in text
    config.write_text(text.replace("end: 2024-01-15", "end: 2024-01-03"), encoding="utf-8")
    return folder


@pytest.fixture
def project(example: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    folder = tmp_path / "project"
    shutil.copytree(example, folder)
    return folder


@pytest.fixture(scope="session")
def default_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the delivered configurations in a folder of their own, as a clone has them."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


@pytest.fixture(scope="session")
def default_run(default_folder: Path) -> Ended:
    """The default configuration, run for people."""
    return run("--mode", "backtest", "--config", "configs/default.yaml", cwd=default_folder)


@pytest.fixture(scope="session")
def default_json(default_folder: Path, default_run: Ended) -> Ended:
    """The default configuration, run a second time, for programs, with other hash seeds."""
    words = ("--mode", "backtest", "--config", "configs/default.yaml", "--json")
    return run(*words, cwd=default_folder, env={"PYTHONHASHSEED": "4711"})


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """One bot as a backtest, on paper and live over the same hours, run once for all tests that look at it."""
    return three_runs(tmp_path_factory.mktemp("three") / "modes")
