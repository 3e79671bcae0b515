"""The bot's log: JSON lines with time, participant, symbol and order, rotated, and readable on a terminal."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from src.core.sync import current_participant, start_thread
from src.live.logs import BotLog
from src.live.secrets import Secrets


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The events in a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_has_instant_participant_symbol_and_order(tmp_path: Path) -> None:
    """A line of a worker's turn says when, who, of which symbol and of which order."""
    bot_log = BotLog(tmp_path / "run" / "bot.log", lambda: 1_700_000_000_000_000_000, secrets=Secrets())
    token = current_participant.set("worker:BTCUSDT")
    try:
        bot_log.log.info("order placed", order="b1", volume=0.5)
    finally:
        current_participant.reset(token)
    bot_log.close()

    assert lines_of(tmp_path / "run" / "bot.log") == [
        {
            "instant": "2023-11-14 22:13:20Z", "level": "info", "participant": "worker:BTCUSDT",
            "event": "order placed", "order": "b1", "volume": 0.5, "symbol": "BTCUSDT", "order_id": "b1",
        }
    ]  # fmt: skip


def test_the_files_are_rotated_and_the_oldest_go(tmp_path: Path) -> None:
    """No file grows beyond the limit, only so many are kept, and the newest line is in the first."""
    with BotLog(tmp_path / "bot.log", lambda: 0, secrets=Secrets(), most_bytes=2_000, kept_files=2) as bot_log:
        for number in range(100):
            bot_log.log.info("tick", number=number)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["bot.log", "bot.log.1", "bot.log.2"]
    assert all((tmp_path / name).stat().st_size <= 2_000 for name in names)
    assert lines_of(tmp_path / "bot.log")[-1]["number"] == 99


def test_an_error_of_a_thread_is_logged_with_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ends a thread goes to the log and to who asks for it, with the thread's name, and not to stderr."""
    told = []
    with (
        BotLog(tmp_path / "bot.log", lambda: 0, secrets=Secrets()) as bot_log,
        bot_log.catching(lambda name, error: told.append((name, str(error)))),
    ):
        start_thread("market pump", lambda: int("none")).join()

    (line,) = lines_of(tmp_path / "bot.log")
    assert (line["level"], line["thread"]) == ("error", "market pump")
    assert "Traceback" in line["exception"]
    assert told == [("market pump", "invalid literal for int() with base 10: 'none'")]
    assert capsys.readouterr().err == ""


def test_the_terminal_shows_the_same_for_people(tmp_path: Path) -> None:
    """The terminal gets one readable line an event, without JSON."""
    terminal = io.StringIO()
    with BotLog(tmp_path / "bot.log", lambda: 0, secrets=Secrets(), terminal=terminal) as bot_log:
        bot_log.log.warning("symbol stopped", symbol="ETHUSDT")

    shown = terminal.getvalue()
    assert shown.count("\n") == 1
    assert "warning" in shown
    assert "symbol stopped" in shown
    assert "symbol=ETHUSDT" in shown
    assert "{" not in shown


class _GoneTerminal(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_terminal_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    """When nobody reads the terminal any more the file goes on."""
    with BotLog(tmp_path / "bot.log", lambda: 0, secrets=Secrets(), terminal=_GoneTerminal()) as bot_log:
        bot_log.log.info("one")
        bot_log.log.info("two")

    assert [line["event"] for line in lines_of(tmp_path / "bot.log")] == ["one", "two"]


def test_a_disk_that_fails_stops_nobody_and_is_counted(tmp_path: Path) -> None:
    """A line that cannot be written is counted; who logs is not told."""
    with BotLog(tmp_path / "bot.log", lambda: 0, secrets=Secrets(), most_bytes=100) as bot_log:
        bot_log.log.info("fits")
        (tmp_path / "bot.log").unlink()
        (tmp_path / "bot.log").mkdir()  # what cannot be opened as a file
        bot_log.close()
        bot_log.log.info("lost")

    assert bot_log.lines_lost == 1
