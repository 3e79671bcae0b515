"""The trace as a viewer gets it: opened as JSON, its tracks, nesting, names and totals."""

import json
import re
from collections import Counter as Tally
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.result import Outcome
from src.backtesting.tracing import Probe, ensure_trace_file, write_trace
from src.core.bars import Bar
from src.core.errors import ConfigError
from src.core.timeframe import SECOND_NS
from tests.backtesting.tracing.worlds import SYMBOLS, Counter, Trader, nesting_errors, traced_world, written
from tests.delays import wait_for_real

BROKER_CALLS = {
    f"broker {name}"
    for name in (
        "cancel", "close", "entry_per_unit", "equity", "exit_per_unit", "margin_per_unit", "modify", "place",
        "position", "positions", "protect", "quote", "snapshot",
    )
}  # fmt: skip
TRACKS = ["monitor:positions", *(f"worker:{symbol}" for symbol in SYMBOLS)]


def opened(probe: Probe, path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of a trace that was written and read again, and the rest of it."""
    write_trace(probe, path, title="Lockstep of a test")
    whole = json.loads(path.read_text(encoding="utf-8"))
    return whole.pop("traceEvents"), whole


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_a_trace_has_a_named_track_per_participant_and_nested_spans(runtime: str, tmp_path: Path) -> None:
    """Metadata name the threads in order; each track's complete events lie inside one another or side by side."""
    probe = Probe(max_spans=100_000)
    result = traced_world(probe, runtime=runtime).run()
    events, rest = opened(probe, tmp_path / "trace.json")
    spans = [event for event in events if event["ph"] == "X"]

    assert result.outcome is Outcome.COMPLETED
    assert [event["args"]["name"] for event in events if event["name"] == "thread_name"] == TRACKS
    assert [event["args"]["name"] for event in events if event["name"] == "process_name"] == ["Lockstep of a test"]
    assert {event["ph"] for event in events} == {"M", "X"}
    assert nesting_errors(spans) == []
    assert {event["tid"] for event in spans} == {1, 2, 3, 4}
    assert rest["otherData"]["dropped_spans"] == 0
    assert len(spans) == rest["otherData"]["kept_spans"]


def test_the_names_and_totals_of_the_spans_are_those_of_the_run(tmp_path: Path) -> None:
    """As many turn spans as turns, as many step spans as steps, and the sum of the turns is the busy time."""
    probe = Probe(max_spans=100_000)
    world = traced_world(probe)
    result = world.run()
    events, _ = opened(probe, tmp_path / "trace.json")
    spans = [event for event in events if event["ph"] == "X"]
    turns = Tally(TRACKS[event["tid"] - 1] for event in spans if event["name"] == "turn")
    busy_ns = sum(round(event["dur"] * 1e3) for event in spans if event["name"] == "turn")

    assert turns == world.time_controller.statistics().turns_by_participant
    assert sum(event["name"] == "step" for event in spans) == result.steps
    assert busy_ns == sum(each.busy_ns for each in probe.statistics().participants)
    names = {event["name"] for event in spans}
    assert {"turn", "strategy", "step", "barrier wait", "sleep", "broker place", "broker snapshot"} <= names
    assert names <= {"turn", "strategy", "step", "barrier wait", "sleep", "lock wait"} | BROKER_CALLS


def test_a_span_says_its_virtual_instant_and_what_was_called(tmp_path: Path) -> None:
    """Instants are ISO texts; strategy spans name the method and the instance."""
    probe = Probe(max_spans=100_000)
    traced_world(probe).run()
    events, _ = opened(probe, tmp_path / "trace.json")
    spans = [event for event in events if event["ph"] == "X"]
    calls = Tally(event["args"]["call"] for event in spans if event["name"] == "strategy")

    assert all(re.fullmatch(r"2024-01-01T00:\d\d:\d\dZ", event["args"]["virtual"]) for event in spans)
    assert {event["args"]["strategy"] for event in spans if event["name"] == "strategy"} == {"Trader"}
    # 40 bars of three symbols, and the rest of the one that slept.
    assert (calls["on_start"], calls["on_stop"], calls["on_bar"]) == (3, 3, 3 * 40 + 1)
    assert calls["on_order"] > 20
    assert calls["on_trade_closed"] > 20


def test_a_sleep_inside_a_strategy_splits_its_turn_and_its_span(tmp_path: Path) -> None:
    """What was under way goes on in the next turn, half a virtual minute later; the tracks stay nested."""
    probe = Probe(max_spans=100_000)
    traced_world(probe).run()
    events, _ = opened(probe, tmp_path / "trace.json")
    mine = [event for event in events if event["ph"] == "X" and event["tid"] == 3]
    at = next(i for i, event in enumerate(mine) if event["name"] == "sleep")
    around = [(event["name"], event["args"]["virtual"][11:]) for event in mine[at - 2 : at + 3]]

    assert around == [
        ("turn", "00:10:00Z"),
        ("strategy", "00:10:00Z"),
        ("sleep", "00:10:00Z"),
        ("turn", "00:10:30Z"),
        ("strategy", "00:10:30Z"),
    ]


class Helped(Trader):
    """A helper thread holds a lock of the clock for ten seconds, and the worker wants it after one."""

    def on_bar(self, bar: Bar) -> None:
        if self.symbol != "AAA" or len(self.bars) != 5:
            return
        lock = self.clock.lock("shared")

        def hold() -> None:
            with lock:
                self.clock.sleep(10 * SECOND_NS)

        helper = self.clock.start_thread(hold, "holder")
        self.clock.sleep(SECOND_NS)
        with lock:
            helper.join()


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_helper_threads_have_tracks_and_locks_of_the_clock_are_lock_waits(runtime: str, tmp_path: Path) -> None:
    """The wait says what it is for, from the virtual second at which it began; the turns are all there."""
    probe = Probe(max_spans=100_000)
    world = traced_world(probe, Helped, runtime=runtime)
    result = world.run()
    events, _ = opened(probe, tmp_path / "trace.json")
    spans = [event for event in events if event["ph"] == "X"]
    waits = [event for event in spans if event["name"] == "lock wait"]

    assert result.outcome is Outcome.COMPLETED
    assert nesting_errors(spans) == []
    assert [track.name for track in probe.tracks] == [*TRACKS, "worker:AAA/holder-1"]
    statistics = world.time_controller.statistics()
    turns = {track.name: track.turns for track in probe.tracks}
    assert turns.pop("worker:AAA/holder-1") == statistics.turns - sum(statistics.turns_by_participant.values()) == 2
    assert turns == statistics.turns_by_participant
    assert [(event["tid"], event["args"]["virtual"]) for event in waits] == [(2, "2024-01-01T00:05:01Z")]
    assert waits[0]["args"]["for"].startswith("the lock shared")
    assert traced_world(None, Helped, runtime=runtime).run().digest == result.digest


class Slow(Trader):
    """One turn that takes a twentieth of a real second."""

    def on_bar(self, bar: Bar) -> None:
        if self.symbol == "AAA" and len(self.bars) == 5:
            wait_for_real(0.05)


def test_a_turn_longer_than_its_poll_is_flagged_in_the_trace_and_counted(tmp_path: Path) -> None:
    """An instant event at the end of the turn, with both durations; no other turn is flagged."""
    probe = Probe(max_spans=100_000, flag_overruns=True)
    traced_world(probe, Slow, poll="20ms").run()
    events, rest = opened(probe, tmp_path / "trace.json")
    flagged = [event for event in events if event["name"] == "OVERRUN"]
    long = [event for event in events if event["name"] == "turn" and event["dur"] > 20e3 and event["tid"] > 1]
    late = [event for event in flagged if event["args"]["virtual"] == "2024-01-01T00:05:00Z" and event["tid"] == 2]

    assert [(event["ph"], event["args"]["poll_ms"], event["args"]["turn_ms"] >= 50) for event in late] == [
        ("i", 20.0, True)
    ]
    assert sorted((event["tid"], round(event["ts"])) for event in flagged) == sorted(
        (event["tid"], round(event["ts"] + event["dur"])) for event in long
    )
    assert rest["otherData"]["overruns"] == len(flagged) == probe.statistics().overruns


def test_a_full_buffer_drops_spans_and_says_so_and_the_sums_stay_exact(tmp_path: Path) -> None:
    """The same run, once with room for all spans and once for a few, has the same statistics but for the dropped."""
    wide, narrow = Probe(max_spans=100_000, reading=Counter()), Probe(max_spans=50, reading=Counter())
    for probe in (wide, narrow):
        traced_world(probe, runtime="fibers").run()
    events, rest = opened(narrow, tmp_path / "trace.json")
    kept = wide.statistics().kept_spans

    assert kept > 500
    assert (rest["otherData"]["kept_spans"], rest["otherData"]["dropped_spans"]) == (50, kept - 50)
    assert sum(event["ph"] == "X" for event in events) == 50
    assert nesting_errors([event for event in events if event["ph"] == "X"]) == []
    assert narrow.statistics().participants == wide.statistics().participants


def test_a_written_trace_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    """One rename publishes it."""
    path = tmp_path / "trace.json"
    path.write_text("old", encoding="utf-8")
    count = write_trace(Probe(), path)

    assert count == 0
    assert written(path) == [path]
    assert json.loads(path.read_text(encoding="utf-8"))["otherData"]["turns"] == 0


def test_a_file_that_cannot_be_written_is_refused_without_a_trace_of_the_attempt(tmp_path: Path) -> None:
    """A folder, a missing folder and a name that is too long; nothing is left behind."""
    sentences = []
    for path in (tmp_path, tmp_path / "absent" / "trace.json", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError) as refused:
            ensure_trace_file(path)
        sentences.append(refused.value.message)

    assert "found a folder" in sentences[0]
    assert f"found no folder {tmp_path / 'absent'}" in sentences[1]
    assert "too long" in sentences[2]
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_cannot_be_written_after_all_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    """The place turned into a folder while the run went on."""
    path = tmp_path / "trace.json"
    ensure_trace_file(path)
    path.mkdir()

    with pytest.raises(ConfigError, match="the run itself is not affected"):
        write_trace(Probe(), path)
    assert written(path) == [path]
