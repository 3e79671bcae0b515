"""A session in real time: begun, stopped, killed at any moment, resumed, and what it refuses to go on with."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import ConfigError, DataError
from src.core.strategy import Bar
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live import beginning, ending
from src.live.account_state import AccountState, Command
from src.live.edge_limits import EdgeLimits
from src.live.keeping import MEMORY
from src.live.operator import Operator
from src.live.recording import Recording, read_entries
from src.research.replay import replay_recorded
from tests.live.live_world import START_NS, Coming, Holding, LiveWorld, Source, check_whole, live_world

__all__ = ["live_world"]

pytestmark = pytest.mark.slow  # each is a process or two in real time, at some hundred times its pace


def test_a_session_trades_stops_in_order_and_replays(live_world: LiveWorld) -> None:
    """One process, nothing goes wrong."""
    result = live_world.run(5)

    assert result.outcome == "STOPPED"
    assert len(live_world.exchange.sent) >= 4
    check_whole(live_world)


def test_a_stopped_session_goes_on_with_what_it_holds(live_world: LiveWorld) -> None:
    """The position of before is closed by the strategy that opened it, and nothing is entered a second time."""
    first = live_world.run(1.5)
    assert not first.over
    assert len(live_world.exchange.positions) == 2

    second = live_world.run(4, rest=20 * SECOND_NS)

    assert second.resumed
    assert second.folder == first.folder
    check_whole(live_world)


@pytest.mark.parametrize("rest", [0, MINUTE_NS])
def test_the_orders_of_a_minute_are_counted_over_a_restart(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch, rest: int
) -> None:
    """Else a bot that is started again and again has no limit."""
    counted: list[int] = []

    class Counted(EdgeLimits):
        def __init__(self, *args: Any, **more: Any) -> None:
            counted.append(len(list(more["sent_ns"])))
            super().__init__(*args, **more)

    monkeypatch.setattr(beginning, "EdgeLimits", Counted)
    live_world.values["live"]["speed"] = 40.0  # a busy machine is not to make a minute of a moment
    live_world.run(1.25)
    live_world.run(0.1, rest=rest)

    assert counted == [0, 0 if rest else 2]


@pytest.mark.parametrize("at", [2, 5, 9, 12, 14, 17, 21, 26, 33, 44])
def test_a_session_killed_at_a_moment_goes_on_whole(live_world: LiveWorld, at: int) -> None:
    """Whatever was written and sent by then, nothing is sent twice, and what is held is known."""
    assert live_world.run_killed(3.5, at), f"expected {at} moments, found {live_world.moments}"

    result = live_world.run(3.5)

    assert result.outcome == "STOPPED"
    held = {each.position_id for each in result.snapshot.positions}
    assert held == {each.position_id for each in live_world.exchange.positions.values()}
    check_whole(live_world)


@pytest.mark.parametrize("at", [5, 12, 19])
def test_a_session_killed_twice_in_a_row_goes_on_whole(live_world: LiveWorld, at: int) -> None:
    """The second time shortly after it has gone on, or while it is about to."""
    live_world.run_killed(3.5, at)
    live_world.run_killed(1.5, 1 + at % 7)
    live_world.run_killed(1.5, 3 + at % 5)

    live_world.run(3.5)

    check_whole(live_world)


# -- what goes wrong -----------------------------------------------------------------------------------


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Nothing can be written any more after so many entries."""
    whole, count = Recording._insert, [0]

    def insert(self: Recording, row: tuple[object, ...]) -> None:
        count[0] += 1
        if count[0] > after:
            raise sqlite3.OperationalError("database or disk is full")
        whole(self, row)

    monkeypatch.setattr(Recording, "_insert", insert)


@pytest.mark.parametrize("after", [25, 31, 38])
def test_a_full_disk_ends_the_run_and_nothing_unwritten_is_sent(
    live_world: LiveWorld, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is enough to go on once there is room again."""
    with monkeypatch.context() as patch:
        full_disk(patch, after)
        broken = live_world.run(4)

    assert broken.outcome == "FAILED"
    assert broken.error is not None
    assert "disk is full" in broken.error.message
    assert live_world.run(3).outcome == "STOPPED"
    check_whole(live_world)


class Failing(Coming):
    """Raises at a bar, while it holds something."""

    at = 2
    broken = True

    def on_bar(self, bar: Bar) -> None:
        """See `BarStrategy`."""
        super().on_bar(bar)
        if Failing.broken and self.state["bars"] == self.at and self.symbol == "AAA":
            raise ValueError("a mistake")


def test_a_run_that_has_failed_is_not_gone_on_with_unasked(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is held and what to do; a new run takes over, and knows the position after a kill too."""
    live_world.classes["in"] = Failing
    failed = live_world.run(4)
    assert failed.outcome == "FAILED"
    assert live_world.exchange.positions

    with pytest.raises(ConfigError, match="a mistake.*--accept-config-change"):
        live_world.run(1)

    monkeypatch.setattr(Failing, "broken", False)
    taken_over = live_world.run(0.3, accept=True)
    assert not taken_over.resumed
    assert len(taken_over.snapshot.positions) == len(live_world.exchange.positions) > 0
    resumed = live_world.run(0.3)
    assert resumed.resumed
    assert len(resumed.snapshot.positions) == len(live_world.exchange.positions) > 0


def test_a_run_that_failed_and_was_killed_before_it_could_say_so_fails_again(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is rebuilt up to its failure, ends with the same one, and does not hang."""
    live_world.classes["in"] = Failing
    live_world.run(4)
    with sqlite3.connect(live_world.recordings[0]) as db:
        db.execute("DELETE FROM meta WHERE key = 'failed'")

    again = live_world.run(1)

    assert again.resumed
    assert again.outcome == "FAILED"
    assert again.error is not None
    assert "a mistake" in again.error.message


def test_a_symbol_that_was_stopped_stays_stopped(live_world: LiveWorld) -> None:
    """The others trade on, before and after the restart."""
    live_world.values["on_error"] = "stop_symbol"
    live_world.classes["in"] = Failing
    first = live_world.run(3)
    assert first.outcome == "DEGRADED"

    second = live_world.run(3)

    assert second.resumed
    assert set(second.failures) == {"AAA"}
    check_whole(live_world)


@pytest.mark.parametrize("where", ["take", "feed"])
def test_what_fails_outside_the_bot_does_not_spoil_its_run(
    live_world: LiveWorld, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is gone on with as if its process had been killed before that."""
    turns = [0]

    def fail(*_: object) -> None:
        turns[0] += 1
        if turns[0] == (25 if where == "feed" else 3):
            raise KeyError("something unforeseen")

    with monkeypatch.context() as patch:
        if where == "feed":
            whole = Source.refresh
            patch.setattr(Source, "refresh", lambda self: (fail(), whole(self))[1])
        else:
            patch.setattr(AccountState, "take", lambda self: fail() or [])
        first = live_world.run(4)
    assert first.outcome == "FAILED"
    assert replay_recorded(first.folder, classes=live_world.classes).difference is None

    second = live_world.run(3)

    assert second.resumed
    assert second.outcome == "STOPPED"
    check_whole(live_world)


def test_a_state_that_is_locked_for_a_moment_does_not_end_the_run(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands wait until they can be read."""
    whole, turns = AccountState.take, [0]

    def take(self: AccountState) -> list[Command]:
        turns[0] += 1
        if turns[0] < 5:
            raise DataError("locked")
        return whole(self)

    monkeypatch.setattr(AccountState, "take", take)

    assert live_world.run(2).outcome == "STOPPED"


def test_a_latch_that_cannot_be_read_holds_entries_back_and_is_told(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then whether the bot was killed: it goes on looking after what it holds."""
    asked = [0]

    def latched(self: AccountState) -> None:
        asked[0] += 1
        if asked[0] > 1:  # the start asks first
            raise DataError("damaged")

    monkeypatch.setattr(AccountState, "latched", property(latched))

    result = live_world.run(2)

    told = [json.loads(line) for line in (result.folder / "alerts.jsonl").read_text().splitlines()]
    assert (result.outcome, live_world.exchange.sent) == ("STOPPED", [])
    assert [each for each in told if each.get("kind") == "limit_hit" and each["key"] == "no_state"]


def test_what_cannot_be_remembered_for_the_next_run_does_not_end_this_one(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and tried again; the recording is what this run is rebuilt from."""
    whole, live_world.classes["in"] = AccountState.keep, Holding

    def keep(self: AccountState, key: str, value: str | None) -> None:
        if key == MEMORY:
            raise DataError("the disk is full")
        whole(self, key, value)

    monkeypatch.setattr(AccountState, "keep", keep)

    result = live_world.run(2)

    told = [json.loads(line) for line in (result.folder / "alerts.jsonl").read_text().splitlines()]
    assert (result.outcome, len(result.snapshot.positions)) == ("STOPPED", 2)
    assert [each for each in told if "the disk is full" in each.get("text", "")]


def test_an_adapter_that_fails_after_it_has_sent_loses_no_order(live_world: LiveWorld) -> None:
    """Whatever it raises, the order is looked up, found, and not sent again."""
    failures = [0]

    def after(method: str) -> None:
        failures[0] += 1
        if failures[0] == 1:
            raise TypeError("no such attribute")

    live_world.exchange.after = after

    result = live_world.run(4)

    assert result.outcome == "STOPPED"
    check_whole(live_world)


def test_a_run_with_an_order_of_unknown_fate_is_not_over(live_world: LiveWorld) -> None:
    """It is gone on with, so that the order is looked for."""

    def before(method: str) -> None:
        live_world.exchange.down = True

    live_world.exchange.before = before
    first = live_world.run(1.5)
    assert not first.snapshot.positions
    assert not first.over

    live_world.exchange.down, live_world.exchange.before = False, lambda method: None
    second = live_world.run(2)

    assert second.resumed
    check_whole(live_world)


class Leaving(Coming):
    """Closes what one of its symbols holds when it ends."""

    def on_stop(self) -> None:
        """See `Strategy`."""
        if self.symbol == "AAA" and not self.position.is_flat:
            self.close(reason="the end")


def test_what_is_closed_at_the_end_is_no_difference_later(live_world: LiveWorld) -> None:
    """The bot goes on from before its end, and hears what became of what it sent then."""
    live_world.classes["in"] = Leaving
    first = live_world.run(1.5)
    assert set(live_world.exchange.positions) == {"BBB"}
    assert not first.over

    second = live_world.run(3)

    assert second.resumed
    check_whole(live_world)


def test_commands_after_the_one_to_stop_belong_to_the_end(live_world: LiveWorld) -> None:
    """The next process does not stop at once because the one before was told to."""
    path = live_world.folder / "live"
    with AccountState(next(iter([path / "bot.sqlite"]))) as state:
        whole = live_world.exchange.before

        def before(method: str) -> None:
            state.submit("stop", {"reason": "enough"}, "test")
            state.submit("pause", {}, "test")
            live_world.exchange.before = whole

        live_world.exchange.before = before
        first = live_world.run(4)
        assert first.reason == "enough"
        state.set_paused(False, "test", 0)

    second = live_world.run(3)

    assert second.resumed
    assert second.reason == "the time is over"
    check_whole(live_world)


def test_a_stop_that_cannot_flatten_stops_all_the_same(live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what came after it would be taken for the end of the process."""
    monkeypatch.setattr(Operator, "_end", lambda *_: (_ for _ in ()).throw(DataError("locked")))

    assert live_world.run(1.5).outcome == "STOPPED"


# -- time ----------------------------------------------------------------------------------------------


def test_a_run_is_not_gone_on_with_before_its_own_time(live_world: LiveWorld) -> None:
    """A clock that was set back would let the bot wait for hours without a word."""
    live_world.run(1.5)
    live_world._present = lambda: START_NS - 60 * MINUTE_NS
    live_world.now_ns = START_NS - 60 * MINUTE_NS

    with pytest.raises(ConfigError, match="the clock was set back"):
        live_world.run(1)


def test_rules_that_change_while_no_process_runs_count_from_then_on(live_world: LiveWorld) -> None:
    """What was decided by the old ones is rebuilt with them."""
    live_world.run(1.5)
    live_world.exchange.tick = 0.05

    second = live_world.run(3)

    assert second.resumed
    assert any("other rules for AAA, BBB" in each for each in live_world.told)
    check_whole(live_world)


# -- several processes ---------------------------------------------------------------------------------


def test_a_second_process_under_the_same_label_is_refused(live_world: LiveWorld) -> None:
    """The first one owns the account's state."""
    path = live_world.folder / "live" / "bot.sqlite"
    refused = pytest.raises(ConfigError, match="found one that runs")
    with AccountState(path) as state, state.own(), refused:
        live_world.run(1)


def test_a_damaged_recording_is_told(live_world: LiveWorld) -> None:
    """Nobody begins anew beside it."""
    live_world.run(1.5)
    path = live_world.recordings[0]
    for each in (Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)
    path.write_bytes(b"not a database" * 100)

    with pytest.raises(DataError, match="cannot be read"):
        live_world.run(1)
    with pytest.raises(DataError, match="cannot be read"):
        live_world.run(1, accept=True)


def test_a_configuration_that_changed_is_refused_while_something_is_held(live_world: LiveWorld) -> None:
    """Accepted, a new run begins with what is held."""
    live_world.classes["in"] = Holding
    live_world.run(1.5)
    live_world.values["poll"] = {"worker": "2s"}

    with pytest.raises(ConfigError, match="--accept-config-change"):
        live_world.run(1)
    result = live_world.run(0.2, accept=True)

    assert not result.resumed
    assert len(result.snapshot.positions) == 2


def test_an_interrupt_while_the_run_is_rebuilt_leaves_it_as_it_was(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, nothing is written, and the next process goes on."""
    live_world.classes["in"] = Holding
    live_world.run(2.5)
    sent = list(live_world.exchange.sent)
    handlers: list[Callable[[], None]] = []

    @contextmanager
    def on_interrupt(function: Callable[[], None]) -> Iterator[None]:
        handlers.append(function)
        yield

    class Interrupted(Holding):
        def on_bar(self, bar: Bar) -> None:
            handlers[0]()
            super().on_bar(bar)

    with monkeypatch.context() as patch:
        patch.setattr(ending, "on_interrupt", on_interrupt)
        live_world.classes["in"] = Interrupted
        broken = live_world.run(3)
    assert "interrupted while the run was being rebuilt" in broken.reason
    assert not broken.over
    assert live_world.exchange.sent == sent

    live_world.classes["in"] = Holding
    assert live_world.run(1).resumed
    check_whole(live_world)


# -- turns ---------------------------------------------------------------------------------------------


class Threaded(Coming):
    """Decides in a thread of its own, after a nap, and under a lock."""

    def on_start(self) -> None:
        """See `Strategy`."""
        self.lock = self.clock.lock()
        self.state["naps"] = 0

    def on_bar(self, bar: Bar) -> None:
        """See `BarStrategy`."""
        thread = self.clock.start_thread(lambda: self._decide(bar))
        thread.join()

    def _decide(self, bar: Bar) -> None:
        with self.lock:
            self.clock.sleep(SECOND_NS)
            self.state["naps"] += 1
            super().on_bar(bar)


@pytest.mark.parametrize("at", [0, 14])
def test_threads_of_a_strategy_are_recorded_and_replayed(live_world: LiveWorld, at: int) -> None:
    """Naps and locks among them, also when the bot is killed in between."""
    live_world.classes["in"] = Threaded
    if at:
        live_world.run_killed(3, at)

    result = live_world.run(3)

    assert result.outcome == "STOPPED", result.error
    assert len(live_world.exchange.sent) >= 2
    check_whole(live_world)


def test_workers_whose_bars_close_at_once_go_on_as_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever names they have."""
    world = LiveWorld(tmp_path, ("EEE", "BBB", "DDD", "AAA", "CCC"), monkeypatch)
    seen: list[tuple[int, str]] = []

    class Noting(Coming):
        def on_bar(self, bar: Bar) -> None:
            seen.append((bar.close_ns, self.symbol))
            before = self.now_ns
            super().on_bar(bar)
            seen_ns.append(self.now_ns - before)

    seen_ns: list[int] = []
    world.classes["in"] = Noting
    world.run(4)

    by_bar: dict[int, list[str]] = {}
    for close_ns, symbol in seen:
        by_bar.setdefault(close_ns, []).append(symbol)
    assert len(by_bar) >= 3
    # What a slow machine came to too late is history, and nobody looks at it.
    assert all(found == [each for each in world.exchange.symbols if each in found] for found in by_bar.values())
    assert any(len(found) == 5 for found in by_bar.values())
    check_whole(world)


# -- on paper ------------------------------------------------------------------------------------------


def check_paper(world: LiveWorld) -> None:
    """No order came twice, and the runs replay as they were."""
    begun = [path for path in world.recordings if next(read_entries(path, kinds=("turn",)), None) is not None]
    assert begun
    for path in begun:
        events = [each.body for each in read_entries(path, kinds=("paper",))]
        sent = [each["request"]["client_id"] for each in events if each["what"] == "place"]
        sent += [each["arguments"]["client_id"] for each in events if each["what"] == "close"]
        assert len(sent) == len(set(sent)) > 0
        replayed = replay_recorded(path.parent, classes=world.classes)
        assert replayed.difference is None, replayed.difference


@pytest.mark.parametrize("at", [1, 9, 10, 12, 13, 18])
def test_a_session_on_paper_that_is_killed_goes_on_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Twice in a row, and the second time it may be about to begin."""
    world = LiveWorld(tmp_path, ("AAA", "BBB"), monkeypatch, "paper")
    assert world.run_killed(3.5, at)
    world.run_killed(1.5, 1 + at % 3)

    result = world.run(3.5)

    assert result.outcome == "STOPPED", result.error
    check_paper(world)


def test_a_new_run_on_paper_takes_over_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the account as it was; killed then, it is gone on with."""
    world = LiveWorld(tmp_path, ("AAA", "BBB"), monkeypatch, "paper")
    world.classes["in"] = Holding
    first = world.run(2.5)
    world.values["poll"] = {"worker": "2s"}

    second = world.run(0.3, accept=True)
    third = world.run(0.3)

    assert len(first.snapshot.positions) == 2
    held = [(each.position_id, each.entry_price) for each in first.snapshot.positions]
    for result, resumed in ((second, False), (third, True)):
        assert result.resumed is resumed
        assert [(each.position_id, each.entry_price) for each in result.snapshot.positions] == held


@pytest.mark.parametrize("back", [1, 2, 3, 5])
def test_a_session_killed_while_it_closes_everything_to_stop_goes_on_whole(
    live_world: LiveWorld, back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command to stop was written, and some of what it asks for was done."""
    live_world.classes["in"] = Holding
    live_world.values["live"] = {**live_world.values["live"], "on_stop": "flatten"}
    whole = Operator._end

    def at_end(self: Operator, *args: object) -> object:
        live_world._kill_at = live_world.moments + back
        return whole(self, *args)  # type: ignore[arg-type]  # as they come

    with monkeypatch.context() as patch:
        patch.setattr(Operator, "_end", at_end)
        assert live_world.run_killed(2, 1_000)
    result = live_world.run(1.5)

    assert result.outcome == "STOPPED", result.error
    assert not live_world.exchange.positions
    check_whole(live_world)
