"""What is said of a run at its start and at its end, and where a run is put."""

from pathlib import Path

import pytest

from src.core.errors import ConfigError
from src.live.reconcile import Difference, refusal_of
from src.live.recording import Recording
from src.live.runs import new_folder
from src.live.summary import RunSummary, summary_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a recording is made."""
    return tmp_path / "recording.sqlite"


def write(path: Path, *outcomes: tuple[str, list[object]]) -> int:
    """Add outcomes to a recording; how many entries it has then."""
    recording = Recording(path)
    for kind, values in outcomes:
        recording.write(1, "outcome", "worker:A", {"stream": "A", "kind": kind, "values": values})
    recording.close()
    return recording.count


def test_fills_trades_and_refusals_of_a_run_are_counted_the_most_frequent_refusal_first(path: Path) -> None:
    """An accepted decision is no refusal; a refusal of the venue counts as one of the risk manager does."""
    write(
        path, ("fill", ["f1"]), ("fill", ["f2"]), ("trade", ["t1", "S", -2.5]), ("trade", ["t2", "S", 4.0]),
        ("decision", ["S", "enter", "accepted"]), ("decision", ["S", "enter", "max_open_positions"]),
        ("refusal", ["S", "o1", "stale_price"]), ("refusal", ["S", "o2", "stale_price"]),
    )  # fmt: skip

    assert summary_of(path) == RunSummary(
        fills=2, trades=2, net=1.5, refusals={"stale_price": 2, "max_open_positions": 1}
    )


def test_the_end_of_a_process_after_which_the_run_went_on_is_not_counted(path: Path) -> None:
    """What it told is told again by the next process."""
    first = write(path, ("fill", ["f1"]))
    write(path, ("fill", ["f2"]))
    recording = Recording(path)
    recording.write(2, "resumed", "", {"skips_from": first})
    recording.close()
    write(path, ("fill", ["f2"]))

    assert summary_of(path).fills == 2


def test_a_new_run_takes_the_next_number(tmp_path: Path) -> None:
    """Folders of one label and mode are numbered."""
    assert [new_folder(tmp_path / "runs", "mine", "live").name for _ in range(2)] == ["mine-live-1", "mine-live-2"]


def test_a_file_where_the_runs_belong_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing is written over, and the sentence says which key names the folder."""
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(ConfigError, match=r"expected a folder for runs .*runs") as caught:
        new_folder(tmp_path / "runs", "mine", "live")

    assert "found" in caught.value.message


def test_the_commands_that_resolve_a_difference_name_the_bot_as_it_was_typed() -> None:
    """They can be pasted."""
    found = Difference(symbol="A", kind="foreign", found="1", sentence="A: 1 long", resolved_by=("adopt A",))

    assert "adopt A --config 'my bot.yaml'`" in refusal_of([found], ("--config", "my bot.yaml")).message
