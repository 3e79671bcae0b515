"""The bars of a recorded run are found in its recording, and its page is made from them."""

from pathlib import Path

import pytest

from src.cli.app import main
from src.core.errors import DataError
from src.research.replay.stored import result_of
from src.research.run_prices import prices_of
from tests.live.live_world import LiveWorld, live_world

__all__ = ["live_world"]

pytestmark = pytest.mark.slow  # a run in real time, at some hundred times its pace


@pytest.fixture
def folder(live_world: LiveWorld) -> Path:
    """Of a run that has traded."""
    return live_world.run(2.5).folder


def test_a_recorded_run_has_the_bars_of_its_recording(folder: Path) -> None:
    """No store is asked."""
    found = prices_of(folder, {}, []).prices

    expected = result_of(folder)[1]
    assert isinstance(found, dict)
    assert {name: series.length for name, series in found.items()} == {
        name: series.length for name, series in expected.items()
    }


def test_a_recording_without_its_tables_gets_them(folder: Path) -> None:
    """They are made from the recording before the page is; made again, the page says the same of prices."""
    codes = []
    pages = []
    for _ in range(2):
        codes.append(main(["report", str(folder), "--quiet"]))
        pages.append((folder / "report.html").read_text(encoding="utf-8"))

    assert codes == [0, 0]
    assert (folder / "trades.parquet").is_file()
    assert 'id="pack-bars-0"' in pages[0]
    assert pages[0] == pages[1]


def test_an_empty_folder_has_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what was looked for, with the exit code of wrong data."""
    code = main(["report", str(tmp_path)])

    assert code == DataError.exit_code
    assert "expected the folder of a run" in capsys.readouterr().err
