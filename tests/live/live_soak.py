"""A live bot that runs for long in a process of its own; its feed stalls, its exchange is gone, a worker hangs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.journal import JournalRecord
from src.core.sync import Event
from src.core.timeframe import MINUTE_NS
from src.testing.venue import Fault, FaultKind
from src.testing.venue_wire import Reply
from tests.live.live_bench import (
    START_NS,
    SYMBOLS,
    BenchVenue,
    BotProcess,
    journal_of,
    make_bench,
    planted_in,
    problems_of_account,
    write_bot,
)

__all__ = ["Sample", "Soak", "run_soak"]

STRATEGY = f'''"""Enters every few minutes and leaves; one of them hangs while a file is there."""
import pathlib
import time

from src.core.strategy import BarStrategy

SYMBOLS = {SYMBOLS!r}
FLAG = pathlib.Path(__file__).parent / "hang"


class Steady(BarStrategy):
    """See the module."""

    timeframe = "1m"

    def on_bar(self, bar):
        """Enter or leave."""
        place, minute = SYMBOLS.index(bar.symbol), bar.close_ns // {MINUTE_NS}
        while place == 3 and FLAG.exists():
            time.sleep(0.05)
        phase = (minute + place) % 5
        if phase == 0 and self.position.is_flat:
            self.buy(volume=300 / bar.close, stop=bar.close * 0.997, target_r=2, reason=str(bar.close_ns))
        elif phase == 2 and not self.position.is_flat:
            self.close(reason="out")
'''
#: How long a turn may take in real time is a minute; the worker begins to hang with its next bar, seconds later.
_HANGS_S = 80.0
_MINUTES_A_LOOK = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the process had at a minute of the venue."""

    minute: float
    memory_mb: float
    threads: int
    files: int


@dataclass(slots=True)
class Soak:
    """What came of it.

    Attributes:
        gone_ns: from when until when the exchange gave no answer.
        stalled_ns: the same of its prices.
    """

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    records: list[JournalRecord] = field(default_factory=list)
    gone_ns: tuple[int, int] = (0, 0)
    stalled_ns: tuple[int, int] = (0, 0)
    hung_ns: tuple[int, int] = (0, 0)
    trades: int = 0
    trades_at_the_end: int = 0

    def entered_on_old_bars(self, most_ns: int) -> list[JournalRecord]:
        """Entries that were sent on a bar that had closed longer ago."""
        refused = {each.values[1] for each in self.records if each.kind == "refusal"}
        return [
            each for each in self.records
            if each.kind == "decision" and each.values[1] == "enter" and each.values[2] == "accepted"
            and each.values[3] not in refused and each.instant_ns - int(each.values[10]) > most_ns
        ]  # fmt: skip

    def growth(self) -> tuple[float, int, int]:
        """Megabytes, threads and files that the last quarter has more than the second one, in the mean or at most."""
        quarter = max(1, len(self.samples) // 4)
        before, after = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        memory = [sum(each.memory_mb for each in rows) / len(rows) for rows in (before, after)]
        threads = [max(each.threads for each in rows) for rows in (before, after)]
        files = [max(each.files for each in rows) for rows in (before, after)]
        return memory[1] - memory[0], threads[1] - threads[0], files[1] - files[0]


def run_soak(folder: Path, *, minutes: int = 30, speed: float = 10.0, symbols: Sequence[str] = SYMBOLS) -> Soak:
    """Run it for so many minutes of the venue; the three troubles come after a sixth, a third and half of them."""
    soak = Soak()
    flag = folder / "hang"
    with make_bench(symbols, minutes=minutes + 30, speed=speed) as venue:
        files = write_bot(
            folder, venue, STRATEGY, "Steady", symbols, speed=speed, live={"max_age": "20s", "protect_within": "30s"}
        )
        bot = BotProcess(files)
        until = _Waits(venue, bot, soak)
        until(minutes / 6)
        venue.fail(Fault(kind=FaultKind.LOST, endpoint="GET ticker/bookTicker", times=0))
        begun = venue.now_ns()
        until(minutes / 6 + 1.5)
        venue.heal()
        soak.stalled_ns = begun, venue.now_ns()
        until(minutes / 3)
        venue.before = lambda _: Reply(way="reset")
        begun = venue.now_ns()
        until(minutes / 3 + 3.5)
        venue.before = lambda _: None
        soak.gone_ns = begun, venue.now_ns()
        until(minutes / 2)
        flag.touch()
        begun = venue.now_ns()
        until(minutes / 2 + _HANGS_S * speed / 60)
        flag.unlink()
        soak.hung_ns = begun, venue.now_ns()
        trades = len(venue.broker.trades())
        until(max(minutes, minutes / 2 + _HANGS_S * speed / 60 + 7))
        soak.trades = len(venue.broker.trades())
        soak.trades_at_the_end = soak.trades - trades
        bot.look()
        code = bot.stop()
        if code != 0:
            soak.problems.append(f"the exit code is {code}: {bot.output.read_text()[-1500:]}")
        # While nobody can be reached no stop can be sent; a worker that hangs keeps none back.
        longest_ns = soak.gone_ns[1] - soak.gone_ns[0] + MINUTE_NS
        soak.problems += problems_of_account(venue, protect_within_ns=longest_ns)
        soak.problems += planted_in(folder, bot.lines)
        soak.alerts = files.alerts
        soak.records = journal_of(files)
    return soak


class _Waits:
    """Waits for a minute of the venue, and takes a sample at each on the way."""

    def __init__(self, venue: BenchVenue, bot: BotProcess, soak: Soak) -> None:
        self._venue = venue
        self._bot = bot
        self._soak = soak
        self._next = 1.0
        self._pause: Callable[[float], bool] = Event().wait

    def __call__(self, minute: float) -> None:
        while (now := (self._venue.now_ns() - START_NS) / MINUTE_NS) < minute and self._bot.code is None:
            if now >= self._next:
                self._next += _MINUTES_A_LOOK
                self._soak.samples.append(self._sample(now))
            self._pause(0.1)
        if self._bot.code is not None:
            self._soak.problems.append(f"the process has ended: {self._bot.output.read_text()[-1500:]}")

    def _sample(self, minute: float) -> Sample:
        process = Path(f"/proc/{self._bot.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Sample(
            minute=minute, memory_mb=int(status["VmRSS"].split()[0]) / 1024, threads=int(status["Threads"]),
            files=len(list((process / "fd").iterdir())),
        )  # fmt: skip
