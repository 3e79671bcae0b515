"""What a recording tells of a live run's threads, and how the run's page shows it."""

from pathlib import Path

import numpy as np

from src.backtesting.artifacts import write_run
from src.backtesting.report import build_run_report
from src.core.timeframe import SECOND_NS
from src.live.recording import FILE, Recording
from src.research.replay.turns import recorded_threads
from tests.backtesting.results.worlds import START_NS, busy_world
from tests.research.page_values import PageValues

#: Instant in seconds after the start, kind, participant, values.
ENTRIES = (
    (1, "turn", "worker:AAA", {"what": "first"}),
    (2, "call", "worker:AAA", {"n": 0, "method": "place"}),
    (3, "turn", "monitor:positions", {"what": "step"}),
    (3, "call", "monitor:positions", {"n": 0, "method": "protect"}),
    (5, "reply", "worker:AAA", {"n": 0, "result": {}}),
    (6, "call", "worker:AAA", {"n": 1, "method": "place"}),
    (7, "reply", "worker:AAA", {"n": 1, "error": {"type": "Rejected"}}),
    (3_600, "turn", "worker:AAA", {"what": "step"}),
)


def recorded(folder: Path) -> Path:
    """The folder, with a recording of these entries."""
    recording = Recording(folder / FILE, {"mode": "live"})
    for second, kind, participant, body in ENTRIES:
        recording.write(START_NS + second * SECOND_NS, kind, participant, body)
    recording.close()
    return folder


def test_turns_and_answers_are_counted_for_each_thread(tmp_path: Path) -> None:
    """An answer belongs to the call of its number by the same participant; a call without one is counted apart."""
    found = recorded_threads(recorded(tmp_path))

    worker, monitor = found["worker:AAA"], found["monitor:positions"]
    assert ((worker.turns_ns - START_NS) // SECOND_NS).tolist() == [1, 3_600]
    assert (worker.replies_ns // SECOND_NS).tolist() == [3, 1]
    assert (worker.unanswered, monitor.unanswered, len(monitor.replies_ns)) == (0, 1, 0)


def test_a_folder_without_a_recording_tells_of_no_threads(tmp_path: Path) -> None:
    """A backtest has none."""
    assert recorded_threads(tmp_path) == {}


def test_the_page_shows_when_the_threads_went_on_and_how_long_they_waited(tmp_path: Path) -> None:
    """A lane for each thread with all its turns, and median, p99 and longest answer in seconds."""
    folder = write_run(busy_world().result(), run_id="live-1", manifest={}, runs_dir=tmp_path, report=False)
    (folder / "timing.json").unlink()

    page = PageValues(build_run_report(folder, timing=True, threads=recorded_threads(recorded(folder))))

    heat = page.charts["live-turns"]["data"][0]
    assert heat["y"] == ["monitor:positions", "worker:AAA"]
    assert np.array(heat["z"]).sum(axis=1).tolist() == [1, 2]
    monitor, worker = page.rows("live-threads")
    assert list(worker.values()) == ["worker:AAA", 2, 2, 0, 1.0, 3.0, 3.0]
    assert (monitor["Unanswered"], monitor["Median s"]) == (1, None)
