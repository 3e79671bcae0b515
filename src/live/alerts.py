"""Alerts: what a person must hear of leaves the process, without anybody waiting for it.

`tell` may be called by every thread in its turn or outside of one, but by no signal handler; it never waits for a
network or a disk and never raises. Threads of their own write the file and bring the messages to their targets.
Repetitions are counted by real time, since that is the time of who reads them; stamps and days are by the bot's clock.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

from src.core.day import AccountDay
from src.core.log import Log
from src.core.sync import Event, Lock, current_participant, monotonic_ns, start_thread, wall_ns
from src.core.texts import writable
from src.core.timeframe import SECOND_NS, format_instant
from src.live.alert_delivery import LEVELS, PAUSES_S, Alert, Courier, Deliver
from src.live.notify_section import NotifySection
from src.live.secrets import Secrets

__all__ = ["Alert", "Alerts", "AlertsStatistics", "Kind", "Level"]

#: So many lines may wait for a disk that does not take them.
_MOST_LINES = 10_000
#: So long may a text become.
_LONGEST = 4_000
#: How often the repetitions and the day are looked at, real seconds.
_LOOK_S = 0.5


class Level(StrEnum):
    """How much it matters: to know of, to look at today, to act on now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Kind(StrEnum):
    """What alerts are about."""

    START = "start"
    STOP = "stop"
    FILL = "fill"
    UNKNOWN_ORDER = "unknown_order"
    REFUSED_ORDER = "refused_order"
    UNPROTECTED_POSITION = "unprotected_position"
    STALE_FEED = "stale_feed"
    LIMIT_HIT = "limit_hit"
    KILL = "kill"
    RECONCILIATION_DIFFERENCE = "reconciliation_difference"
    HANGING_THREAD = "hanging_thread"
    DEAD_THREAD = "dead_thread"
    CLOCK_SKEW = "clock_skew"
    CONNECTION_LOST = "connection_lost"
    CONNECTION_BACK = "connection_back"
    DISK_FULL = "disk_full"
    NOT_KEPT = "not_kept"
    DAILY_SUMMARY = "daily_summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsStatistics:
    """How many were told since the start, by level and kind; repetitions that nobody was sent; lines not written."""

    told: dict[str, int]
    kinds: dict[str, int]
    repeated: int
    lines_lost: int


class _Window:
    """What was told lately, and how often the same has come since."""

    __slots__ = ("count", "last", "level", "until_ns")

    def __init__(self, alert: Alert, until_ns: int) -> None:
        self.level = LEVELS.index(alert.level)
        self.until_ns = until_ns
        self.count = 0
        self.last = alert


class Alerts:
    """The bot's voice.

    Args:
        section: targets and limits.
        deliver: brings a message to a target, `AppriseDelivery(section)`.
        now_ns: the bot's clock as it moves, also while somebody has the turn; must not wait.
        label: the bot's name, in titles.
        path: the file that gets all alerts, one JSON object a line, and what has become of them; None for none.
        secrets: what is masked.
        log: is told as well.
        summary: says how the day was; called by a thread of alerts once a day, so it must wait for nobody.
        summarised_ns: until when the days were summarised before a restart; a day that has ended since then is
            summarised at once.
        pauses_s: after failures of a target.
        real_ns: real time, for repetitions.
    """

    def __init__(
        self, section: NotifySection, deliver: Deliver, now_ns: Callable[[], int], *, label: str = "lockstep",
        path: Path | None = None, secrets: Secrets | None = None, log: Log | None = None,
        summary: Callable[[], str] | None = None, summarised_ns: int | None = None,
        pauses_s: Sequence[float] = PAUSES_S, real_ns: Callable[[], int] = monotonic_ns,
    ) -> None:  # fmt: skip
        self._repeat_after_ns = section.repeat_after_ns
        self._now_ns = now_ns
        self._real_ns = real_ns
        self._path = path
        self._secrets = secrets if secrets is not None else Secrets()
        self._log = log
        self._summary = summary
        daily = section.daily_summary
        self._day = None if daily is None or summary is None else AccountDay(daily.zone, daily.at)
        self._day_ends_ns: int | None = None
        if self._day is not None:
            self._day_ends_ns = self._day.next_start_ns(now_ns() if summarised_ns is None else summarised_ns)
        self._lock = Lock()
        self._writing = Lock()
        self._looking = Lock()
        self._n = 0
        self._told = dict.fromkeys(LEVELS, 0)
        self._kinds: dict[str, int] = {}
        self._repeated = 0
        self._windows: dict[tuple[str, str, bool], _Window] = {}
        self._lines: deque[dict[str, Any]] = deque()
        self._lines_lost = 0
        self._closed = False
        self._wake = Event()
        self._couriers = [
            Courier(
                target, label, deliver, most=section.most_waiting, give_up_ns=section.give_up_after_ns,
                record=self._record, secrets=self._secrets, pauses_s=tuple(pauses_s), real_ns=real_ns,
            )
            for target in section.targets
        ]  # fmt: skip
        self._thread = start_thread("alerts", self._run)

    def __enter__(self) -> "Alerts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, level: str, kind: str, text: str, key: str = "", *, over: bool = False) -> None:
        """Tell the targets, unless they were told the same lately. Never waits and never raises.

        The same is the same kind and key; without a key the text stands for it. What has got worse is told at once.

        Args:
            level: `info`, `warning` or `critical`; anything else counts as critical.
            kind: one of `Kind`.
            text: a sentence.
            key: which of that kind, such as a symbol, an order or a participant.
            over: what was told of this kind and key is over; when it begins again that is told at once.
        """
        try:
            self._tell(level if level in LEVELS else Level.CRITICAL, kind, text, key, over)
        except Exception as error:  # whoever has something to tell has more important things to do
            self._broken(error)

    def look(self) -> None:
        """Tell what is due: repetitions that were counted, and the day that has ended. A thread calls it all the time.

        It is there for tests too.
        """
        with self._looking:
            self._tell_repeated()
            self._end_day()

    def settle(self, within_s: float) -> bool:
        """Wait until everything was delivered and written; whether that came to be in time. Not inside a turn."""
        ends_ns = monotonic_ns() + int(within_s * SECOND_NS)
        for courier in self._couriers:
            if not courier.idle.wait(max(0.0, (ends_ns - monotonic_ns()) / SECOND_NS)):
                return False
        self._write()
        return not self._lines

    def statistics(self) -> AlertsStatistics:
        """What was told so far."""
        with self._lock:
            return AlertsStatistics(
                told=dict(self._told), kinds=dict(self._kinds), repeated=self._repeated, lines_lost=self._lines_lost
            )

    def close(self, within_s: float = 10.0) -> None:
        """Try once more to deliver what waits, write what has become of it, and end; what comes later is written only.

        Args:
            within_s: real time for all targets together; what has not arrived by then stands in the file.
        """
        with self._looking, self._lock:  # nobody is in the middle of telling what was counted
            if self._closed:
                return
            self._closed = True
            counted = [window for window in self._windows.values() if window.count]
            self._windows.clear()
            rest = [self._numbered_locked(replace(window.last, repeats=window.count)) for window in counted]
        for alert in rest:
            self._send(alert)
        for courier in self._couriers:
            courier.end()
        ends_ns = monotonic_ns() + int(within_s * SECOND_NS)
        for courier in self._couriers:
            left = courier.join((ends_ns - monotonic_ns()) / SECOND_NS)
            for numbers, outcome in zip(left, ("not delivered", "unknown"), strict=True):
                if numbers:
                    self._record({"alerts": numbers, "target": courier.name, "outcome": outcome, "why": "the end"})
        self._wake.set()
        self._thread.join(2.0)
        self._write()

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _tell(self, level: str, kind: str, text: str, key: str, over: bool) -> None:
        text = self._secrets.masked(writable(text))
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        key = self._secrets.masked(writable(key))
        alert = Alert(
            n=0, instant_ns=self._instant_ns(), participant=current_participant.get(), level=str(level), kind=str(kind),
            key=key, text=text, over=over,
        )  # fmt: skip
        if self._closed:
            self._record(_plain(replace(alert, n=self._n)) | {"outcome": "not delivered", "why": "the end"})
            self._write()
            return
        with self._lock:
            alert = self._numbered_locked(alert)
            self._told[alert.level] += 1
            self._kinds[alert.kind] = self._kinds.get(alert.kind, 0) + 1
            news = self._news_locked(alert)
        if news is None:
            self._record(_plain(alert) | {"outcome": "repeated"})
        else:
            self._send(news)

    def _instant_ns(self) -> int:
        try:
            return self._now_ns()
        except Exception as error:  # what it was to be told about may be the clock itself
            self._broken(error)
            return wall_ns()

    def _numbered_locked(self, alert: Alert) -> Alert:
        self._n += 1
        return replace(alert, n=self._n)

    def _news_locked(self, alert: Alert) -> Alert | None:
        """The alert as it is sent, with how often it came before; None when the same was sent lately."""
        what = alert.key or alert.text
        window = self._windows.get((alert.kind, what, alert.over))
        real_ns = self._real_ns()
        lately = window is not None and real_ns < window.until_ns
        if window is not None and lately and LEVELS.index(alert.level) <= window.level:
            window.count += 1
            window.last = alert
            self._repeated += 1
            return None
        count = 0 if window is None else window.count
        self._windows[alert.kind, what, alert.over] = _Window(alert, real_ns + self._repeat_after_ns)
        if alert.over:
            kind = Kind.CONNECTION_LOST if alert.kind == Kind.CONNECTION_BACK else alert.kind
            begun = self._windows.pop((kind, what, False), None)
            count += 0 if begun is None else begun.count
        return replace(alert, repeats=count)

    def _send(self, alert: Alert) -> None:
        self._record(_plain(alert))
        for courier in self._couriers:
            if courier.wants(alert) and not courier.put(alert):
                self._record(
                    {"alerts": [alert.n], "target": courier.name, "outcome": "not delivered", "why": "the end"}
                )

    def _tell_repeated(self) -> None:
        due = []
        with self._lock:
            real_ns = self._real_ns()
            for identity, window in list(self._windows.items()):
                if real_ns < window.until_ns:
                    continue
                if not window.count:
                    del self._windows[identity]
                    continue
                alert = self._numbered_locked(replace(window.last, repeats=window.count))
                self._windows[identity] = _Window(alert, real_ns + self._repeat_after_ns)
                due.append(alert)
        for alert in due:
            self._send(alert)

    def _end_day(self) -> None:
        ends_ns = self._day_ends_ns
        if self._day is None or self._summary is None or ends_ns is None:
            return
        now_ns = self._now_ns()
        if now_ns < ends_ns:
            return
        self._day_ends_ns = self._day.next_start_ns(now_ns)
        try:
            text = self._summary()
        except Exception as error:  # of who keeps the figures; that a day has ended is told all the same
            text = f"the day has ended; its figures could not be had ({type(error).__name__}: {error})"
        with self._lock:
            counts = ", ".join(f"{count} {level}" for level, count in self._told.items() if count)
        text = f"{text}\nalerts since the start: {counts or 'none'}"
        self.tell(Level.INFO, Kind.DAILY_SUMMARY, text, key=format_instant(ends_ns))

    def _record(self, line: dict[str, Any]) -> None:
        """Have a line written and logged by the thread of alerts."""
        with self._lock:
            if len(self._lines) >= _MOST_LINES:
                self._lines_lost += 1
            else:
                self._lines.append(line)
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            try:
                self._write()
                self.look()
            except Exception as error:  # it would be the end of all alerts
                self._broken(error)

    def _write(self) -> None:
        """Write the lines that wait; on a disk that does not take them they wait on."""
        with self._writing:
            lines = [self._lines[place] for place in range(len(self._lines))]
            if not lines:
                return
            if self._path is not None:
                text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
                try:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    with self._path.open("a", encoding="utf-8", newline="\n") as file:
                        file.write(text)
                except OSError as error:
                    self._broken(error)
                    return
            for _ in lines:
                self._lines.popleft()
        for line in lines:
            self._log_line(line)

    def _log_line(self, line: dict[str, Any]) -> None:
        outcome = line.get("outcome")
        if self._log is None or outcome in ("repeated", "delivered"):
            return
        if outcome is not None:
            self._log.warning("alert not delivered", **line)
            return
        write = self._log.info if line["level"] == Level.INFO else self._log.warning
        about = {
            name: line[name] for name in ("alert", "participant", "kind", "key", "over", "repeats") if name in line
        }
        write(line["text"], **about)

    def _broken(self, error: Exception) -> None:
        if self._log is not None:
            self._log.error("alerts failed", exc_info=error)


def _plain(alert: Alert) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "alert": alert.n, "instant": format_instant(alert.instant_ns), "level": alert.level, "kind": alert.kind,
        "key": alert.key, "text": alert.text, "participant": alert.participant,
    }  # fmt: skip
    if alert.over:
        plain["over"] = True
    if alert.repeats:
        plain["repeats"] = alert.repeats
    return plain
