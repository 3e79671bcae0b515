"""Generated bars that come into a run on the way make it a SYNTHETIC one, whoever asked for them."""

import json
from pathlib import Path

import pytest

from src.backtesting.run import FinishedRun, compose, execute, prepare, synthetic_so_far
from src.core.config_file import read_config
from src.data.store import HistoricalDataStore
from tests.backtesting.engine.joining import asked, planned
from tests.backtesting.preflight.projects import minutes, project, series

INSTRUMENTS = "instruments={AAA: {currency: USD}, BBB: {currency: USD}}"
JOIN = ("2024-01-03T02:00Z", "add", "BBB")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of a symbol from a file, in whose store lie the generated bars of another one."""
    path = project(tmp_path, minutes(-2, 6))
    with HistoricalDataStore(tmp_path / "bars.duckdb") as store:
        store.write_bars(series(minutes(-2, 6), "BBB"), source="SYNTHETIC seed 9 from 2024-01-01")
    return path


def labels(finished: FinishedRun) -> tuple[object, ...]:
    """What is said of the market by the run and by its manifest."""
    manifest = json.loads((finished.folder / "manifest.json").read_text(encoding="utf-8"))
    return finished.synthetic, manifest["synthetic"], manifest["synthetic_seed"]


def test_a_planned_newcomer_is_labelled_before_and_after_the_run(config: Path) -> None:
    """It is known before the run begins, and its page says so."""
    prepared = prepare(read_config(config, [INSTRUMENTS, planned(JOIN)]))
    finished = execute(prepared)

    assert (prepared.synthetic, prepared.manifest["synthetic"]) == (9, True)
    assert labels(finished) == (9, True, 9)
    assert "SYNTHETIC" in (finished.folder / "report.html").read_text(encoding="utf-8")


def test_a_newcomer_that_somebody_asked_for_is_labelled_when_it_has_joined(config: Path) -> None:
    """Nobody knew of it before; a run that it does not join has real bars only."""
    joined = asked(config.parent, [JOIN], INSTRUMENTS, "backtest.runtime=threads")
    alone = execute(prepare(read_config(config, [INSTRUMENTS])), report=False)

    assert labels(joined) == (9, True, 9)
    assert labels(alone) == (None, False, None)


def test_a_display_is_told_as_soon_as_it_has_joined(config: Path) -> None:
    """Before the run nothing is generated, afterwards something was."""
    prepared = prepare(read_config(config, [INSTRUMENTS]), stored=False)
    controller = compose(prepared)
    before = synthetic_so_far(prepared, controller)
    controller.add_symbol("BBB")
    controller.run()

    assert (before, synthetic_so_far(prepared, controller)) == (None, 9)
