"""What the operator wants, on its way into the bot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import DataError
from src.core.sync import start_thread
from src.core.timeframe import MINUTE_NS
from src.live.clock import LiveClock
from src.live.control import Control, Inbox, OperatorThread
from src.live.recording import FILE, Recording, read_entries
from src.live.tape import Tape
from tests.live.live_world import START_NS

SPEED = 1000.0


class Bench:
    """A control, an operator that notes what it is told and ends at `stop`, and a recording."""

    def __init__(self, folder: Path, take: Any = lambda: ()) -> None:
        self.path = folder / FILE
        self.recording = Recording(self.path)
        tape = Tape(self.recording)
        self.clock = LiveClock(tape, speed=SPEED, origin_ns=START_NS)
        self.done: list[tuple[str, int]] = []
        inbox = Inbox()
        self.control = Control(self.clock, tape, inbox, take, 1.0)
        OperatorThread(self.clock, inbox, self._execute).start()
        self.control.start()

    def _execute(self, body: Mapping[str, Any]) -> None:
        self.done.append((str(body["verb"]), self.clock.now_ns()))
        if body["verb"] == "fail":
            raise KeyError("a defect")
        if body["verb"] == "stop":
            self.clock.stop("asked to")

    def run(self) -> list[str]:
        """The verbs that were executed."""
        try:
            self.clock.drive()
        finally:
            self.recording.close()
        return [verb for verb, _ in self.done]


def once(*verbs: str) -> Any:
    """Commands of another process, given at one look."""
    waiting = [{"id": i, "verb": verb, "args": {}, "by": "x"} for i, verb in enumerate(verbs, 1)]

    def take() -> Sequence[dict[str, Any]]:
        found, waiting[:] = list(waiting), []
        return found

    return take


def test_commands_are_written_before_they_are_executed_in_their_order(tmp_path: Path) -> None:
    """Each entry is there before the operator's turn."""
    bench = Bench(tmp_path, once("pause", "close", "stop"))

    assert bench.run() == ["pause", "close", "stop"]

    commands = list(read_entries(bench.path, kinds=("command",)))
    step = next(each for each in read_entries(bench.path, kinds=("turn",)) if each.body["what"] == "step")
    assert [each.body["verb"] for each in commands] == ["pause", "close", "stop"]
    assert max(each.n for each in commands) < step.n


def test_a_command_from_within_comes_from_any_thread(tmp_path: Path) -> None:
    """As that of a signal."""
    bench = Bench(tmp_path)
    start_thread("signal", lambda: bench.control.ask({"id": 0, "verb": "stop", "args": {}})).join()

    assert bench.run() == ["stop"]


def test_a_planned_command_comes_in_its_time(tmp_path: Path) -> None:
    """Not before."""
    bench = Bench(tmp_path)
    bench.control.ask_at(START_NS + MINUTE_NS, {"id": 0, "verb": "stop", "args": {}})

    assert bench.run() == ["stop"]

    assert bench.done[0][1] >= START_NS + MINUTE_NS


def test_commands_that_cannot_be_read_for_a_moment_are_read_later(tmp_path: Path) -> None:
    """Somebody else holds the file."""
    looks, take = [0], once("stop")

    def held() -> Sequence[dict[str, Any]]:
        looks[0] += 1
        if looks[0] < 10:
            raise DataError("locked")
        found: Sequence[dict[str, Any]] = take()
        return found

    assert Bench(tmp_path, held).run() == ["stop"]


def test_commands_that_cannot_be_read_at_all_end_the_run(tmp_path: Path) -> None:
    """Nobody could stop the bot any more; it can be gone on with."""

    def gone() -> Sequence[dict[str, Any]]:
        raise DataError("no disk")

    bench = Bench(tmp_path, gone)

    with pytest.raises(DataError, match="no disk"):
        bench.run()
    assert len(list(read_entries(bench.path, kinds=("ended",)))) == 1


def test_a_command_that_fails_by_a_defect_ends_the_run(tmp_path: Path) -> None:
    """Nobody is left waiting."""
    with pytest.raises(KeyError):
        Bench(tmp_path, once("fail")).run()
