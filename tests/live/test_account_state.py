"""The state that outlives the bot's process, and the channel between processes."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from src.core.errors import ConfigError, DataError
from src.live.account_state import AccountState, Answer, Latch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet, in a folder that is not there either."""
    return tmp_path / "state" / "mine.sqlite"


def in_another_process(code: str, path: Path) -> subprocess.Popen[str]:
    """A process with the state as `state`."""
    text = (
        "import os, sys\nfrom pathlib import Path\nfrom src.live.account_state import AccountState\n"
        f"state = AccountState(Path(sys.argv[1]))\n{code}"
    )
    return subprocess.Popen(
        [sys.executable, "-c", text, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_the_latch_stays_until_its_label_is_repeated(path: Path) -> None:
    """It survives the process, keeps its first reason, and another label opens nothing."""
    with AccountState(path) as state:
        state.latch("kill", "asked for", True, 7)
        state.latch("kill", "again", False, 8)

    with AccountState(path) as state:
        found = state.latched
        with pytest.raises(ConfigError, match="expected mine"):
            state.unlatch("yours")
        still = state.latched
        state.unlatch("mine")
        opened = state.latched
    assert found == still == Latch(by="kill", why="asked for", keep_positions=True, instant_ns=7)
    assert opened is None


def test_a_latch_that_cannot_be_read_is_damage_and_not_an_open_one(path: Path) -> None:
    """Whoever asks before it opens something hears of it as of any other damage."""
    with AccountState(path) as state:
        state.latch("operator", "kill was asked for", False, 1)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE facts SET value = '{\"who\": 1}' WHERE key = 'latch'")

    with AccountState(path) as state, pytest.raises(DataError, match="latch that cannot be read"):
        _ = state.latched


def test_the_pause_and_texts_survive(path: Path) -> None:
    """What was kept is there in the next process, and what was taken away is not."""
    with AccountState(path) as state:
        state.set_paused(True, "operator", 1)
        state.keep("run", "runs/mine-1")
        state.keep("day", "5")
        state.keep("day", None)

    with AccountState(path) as state:
        assert (state.paused, state.value("run"), state.value("day")) == (True, "runs/mine-1", None)
        state.set_paused(False, "operator", 2)
        assert not state.paused


def test_commands_are_given_once_and_answered(path: Path) -> None:
    """Another connection reads the answer; what was not taken can be withdrawn."""
    with AccountState(path) as bot, AccountState(path) as terminal:
        first = terminal.submit("close", {"symbol": "BTCUSDT"}, "operator")
        second = terminal.submit("pause", {}, "operator")
        withdrawn = terminal.withdraw(second)
        taken = bot.take()
        unanswered = terminal.answer_of(first)
        bot.answer(first, True, "closing 1")

        assert [(each.verb, each.args, each.by) for each in taken] == [("close", {"symbol": "BTCUSDT"}, "operator")]
        assert (withdrawn, bot.take(), unanswered) == (True, [], None)
        assert terminal.answer_of(first) == Answer(ok=True, text="closing 1")
        assert not terminal.withdraw(first)


def test_a_bot_does_not_do_what_was_asked_before_it_was_there(path: Path) -> None:
    """A command to flatten from yesterday is answered with no, and not done today."""
    with AccountState(path) as state:
        number = state.submit("flatten", {}, "operator")

        with state.own():
            assert state.take() == []

        answer = state.answer_of(number)
        assert answer is not None
        assert not answer.ok


def test_one_bot_has_a_label(path: Path) -> None:
    """A second one is refused and told which process has it; a killed one leaves no lock."""
    first = in_another_process("with state.own():\n  print('mine', flush=True)\n  sys.stdin.readline()", path)
    try:
        assert first.stdout is not None
        first.stdout.readline()
        with AccountState(path) as state:
            owned = state.is_owned
            with pytest.raises(ConfigError, match=f"process {first.pid}"), state.own():
                pass
            first.kill()
            first.wait()
            with state.own():
                assert state.is_owned
            assert owned
            assert not state.is_owned
    finally:
        first.kill()
        first.communicate()


def test_many_processes_write_at_once(path: Path) -> None:
    """Each has its commands in the file, each once, whoever made the file."""
    code = "for i in range(25):\n  state.submit('pause', {'from': os.getpid(), 'i': i}, 'x')\n  state.beat({'i': i})"
    processes = [in_another_process(code, path) for _ in range(3)]
    codes = [process.communicate() and process.returncode for process in processes]

    with AccountState(path) as state:
        found = {(each.args["from"], each.args["i"]) for each in state.take()}
    assert codes == [0, 0, 0]
    assert found == {(process.pid, i) for process in processes for i in range(25)}


def test_a_killed_process_leaves_what_it_had_said(path: Path) -> None:
    """A latch is durable when the call returns."""
    process = in_another_process("state.latch('kill', 'x', False, 1)\nos.kill(os.getpid(), 9)", path)
    process.communicate()

    with AccountState(path) as state:
        assert state.latched is not None


def test_the_heartbeat_tells_the_machine_s_time(path: Path) -> None:
    """What the bot showed last, and when."""
    with AccountState(path) as state:
        before = state.last_beat()
        state.beat({"health": "ok"})
        found = state.last_beat()

    assert before is None
    assert found is not None
    assert found["health"] == "ok"
    assert found["wall_ns"] > 10**18


def test_a_file_of_another_version_is_refused(path: Path) -> None:
    """It is left as it is."""
    AccountState(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()

    with pytest.raises(DataError, match="found version 9"):
        AccountState(path)


@pytest.mark.parametrize("where", [0, 4100])
def test_a_damaged_file_is_refused(path: Path, where: int) -> None:
    """Wherever the damage is, a sentence says what to do."""
    with AccountState(path) as state:
        for i in range(200):
            state.keep(f"key{i}", "value" * 20)
    data = bytearray(path.read_bytes())
    data[where : where + 12_000] = b"\x5a" * 12_000
    path.write_bytes(bytes(data))

    with pytest.raises(DataError, match="damaged file"):
        AccountState(path)


def test_a_command_that_was_taken_and_not_answered_may_be_done_yet(tmp_path: Path) -> None:
    """The bot that took it was killed; what it had written down it does when it goes on."""
    with AccountState(tmp_path / "bot.sqlite") as state:
        with state.own():
            taken = state.submit("close", {"symbol": "AAA"}, "x")
            state.take()
            waiting = state.submit("pause", {}, "x")
        with state.own():
            first, second = state.answer_of(taken), state.answer_of(waiting)

    assert first is not None
    assert second is not None
    assert "may do it when it goes on" in first.text
    assert "is not done later" in second.text
