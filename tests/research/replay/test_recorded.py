"""A recorded run, replayed: the same decisions, or the first one that differs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import ConfigError, DataError
from src.core.strategy import Bar
from src.live.recording import FILE, Entry, Recording, read_story
from src.research.replay import replay_recorded
from tests.live.live_world import Coming, LiveWorld, live_world

__all__ = ["live_world"]

pytestmark = pytest.mark.slow  # each has a run in real time, at some hundred times its pace


@pytest.fixture
def folder(live_world: LiveWorld) -> Path:
    """Of a run that has traded."""
    return live_world.run(2.5).folder


def test_a_run_is_replayed_decision_by_decision(folder: Path) -> None:
    """The journal is the same, and everything that was recorded was asked for."""
    replayed = replay_recorded(folder, classes={"in": Coming})

    assert replayed.same
    assert list(replayed.records) == list(replayed.recorded)
    assert len(replayed.records) > 0
    assert replayed.calls >= 2
    assert replayed.error is None


def test_another_strategy_is_found_at_its_first_decision(folder: Path) -> None:
    """With what was expected and what it does instead."""

    class Other(Coming):
        def on_bar(self, bar: Bar) -> None:
            if self.position.is_flat:
                self.buy(volume=2.0, stop=bar.close * 0.5, reason="in")

    replayed = replay_recorded(folder, classes={"in": Other})

    assert replayed.difference is not None
    assert "'volume': 1.0" in replayed.difference.expected
    assert "'volume': 2.0" in replayed.difference.found


def test_a_price_that_is_changed_on_the_way_is_found(folder: Path) -> None:
    """Decisions are compared exactly."""

    def changed(path: Path) -> Iterator[Entry]:
        bars = 0
        for entry in read_story(path):
            if entry.kind == "world" and entry.body.get("bars") and entry.n:
                bars += 1
            if bars == 1 and entry.kind == "world" and entry.body.get("bars"):
                rows = [[*row[:6], row[6] * 1.001, row[7]] for row in entry.body["bars"]]
                yield replace(entry, body={**entry.body, "bars": rows})
                continue
            yield entry

    assert not replay_recorded(folder, classes={"in": Coming}, entries=changed).same


def test_a_strategy_that_fails_in_the_replay_alone_is_a_difference(folder: Path) -> None:
    """And nobody is left waiting."""

    class Failing(Coming):
        def on_bar(self, bar: Bar) -> None:
            raise ValueError("a mistake")

    replayed = replay_recorded(folder, classes={"in": Failing})

    assert replayed.difference is not None or replayed.error is not None


def test_a_recording_that_is_cut_anywhere_replays_up_to_there(folder: Path) -> None:
    """As that of a bot that was killed."""
    entries = list(read_story(folder / FILE))
    for cut in range(3, len(entries), max(1, len(entries) // 12)):

        def some(path: Path, cut: int = cut) -> Iterator[Any]:
            return iter(entries[:cut])

        replayed = replay_recorded(folder, classes={"in": Coming}, entries=some)

        assert replayed.same, (cut, replayed.difference)


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    """No recording, and one of a run that had not begun."""
    with pytest.raises(DataError, match="no such file"):
        replay_recorded(tmp_path)
    Recording(tmp_path / FILE, {"mode": "live"}).close()
    with pytest.raises(DataError, match="had not begun"):
        replay_recorded(tmp_path)


def test_a_strategy_that_is_not_there_any_more_is_told(folder: Path) -> None:
    """The configuration names it."""
    with pytest.raises((ConfigError, DataError)):
        replay_recorded(folder)
