"""The benchmark of hand-overs runs, tells what it measured, and measures what it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import handover
from src.backtesting.engine.time_controller import TimeController

PROGRAM = Path(handover.__file__)


def test_a_short_run_prints_the_ratios_and_the_raw_figures() -> None:
    """One JSON object; each field is the largest of its ratios, each kind has a figure for each number."""
    command = [sys.executable, str(PROGRAM), "--json", "--rounds", "1", "--handovers", "40", "--participants", "2", "3"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    report = json.loads(done.stdout)
    for field in ("threads_over_baton", "fibers_over_greenlet"):
        assert report[field] == max(report["ratios"][field].values())
    assert list(report["us"]) == ["threads", "baton", "fibers", "greenlet"]
    assert all(sorted(by_count) == ["2", "3"] and min(by_count.values()) > 0 for by_count in report["us"].values())


@pytest.mark.parametrize("kind", handover.KINDS)
def test_each_kind_measures_a_time(kind: str) -> None:
    """With an odd number of participants, which is none of the usual ones."""
    assert handover.one(kind, 3, 30) > 0.0


def test_every_turn_of_ours_hands_over_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step gives each participant one turn, so that no turn is counted that cost nothing."""
    made: list[TimeController] = []

    class Kept(TimeController):
        def drive(self) -> None:
            made.append(self)
            super().drive()

    monkeypatch.setattr(handover, "TimeController", Kept)
    handover.ours(3, 10, "fibers")

    turns = made[0].statistics().turns_by_participant
    assert turns == {f"worker:S{i:02d}": 1 + 1 + 10 for i in range(3)}  # its first turn, the first step, ten laps


def test_the_table_shows_every_kind_and_both_ratios() -> None:
    """For a reader, with the numbers of participants as columns."""
    report = handover.measure([2, 4], rounds=1, handovers=20)

    lines = handover.table(report).splitlines()
    assert lines[0].split() == ["participants", "2", "4"]
    assert [line.split()[0] for line in lines[1:]] == [*handover.KINDS, *handover.RATIOS]


def test_a_count_that_measures_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One participant has nobody to hand over to."""
    with pytest.raises(SystemExit):
        handover.main(["--participants", "1"])

    assert "two participants" in capsys.readouterr().err
