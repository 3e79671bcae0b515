"""Is the bot well? What goes on is told here, and a watch that depends on nobody's turn judges it.

The methods that tell are called by whatever thread knows, also inside turns: each stores a number and waits for
nobody. A thread of its own looks every second, tells alerts what has begun and what is over, once each, and goes on
when every thread of the bot hangs. Ages are by the bot's clock, hangs by real time.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import LockstepError
from src.core.log import Log
from src.core.sync import Lock, Ticker, monotonic_ns, thread_stacks
from src.core.timeframe import MINUTE_NS, SECOND_NS, format_instant
from src.live.alerts import Alerts, Kind, Level

__all__ = ["Finding", "Health", "HealthLimits", "HealthReport"]

#: How often the disk is asked, real nanoseconds.
_DISK_NS = 30 * SECOND_NS
#: Keys of findings of which there is one only.
_FEED, _VENUE, _CLOCK, _DISK = "feed", "venue", "clock", "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """From where on something is wrong.

    Attributes:
        max_age_ns: of the last answer of the feed, by the bot's clock.
        failures: refreshes that fail in a row until the connection counts as lost.
        hang_after_ns: real time that a turn may take, and that a participant may be later than its poll.
        max_skew_ns: between this machine's clock and the venue's.
        disk_free_bytes: what has to be free where the run is written.
    """

    max_age_ns: int = 5 * SECOND_NS
    failures: int = 3
    hang_after_ns: int = MINUTE_NS
    max_skew_ns: int = SECOND_NS
    disk_free_bytes: int = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong now.

    Attributes:
        kind: one of `Kind`.
        key: which of that kind: a participant, a symbol, an order, or what there is one of only.
        level: one of `Level`.
        text: a sentence.
        since_ns: when it was first seen, by the bot's clock.
    """

    kind: str
    key: str
    level: str
    text: str
    since_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """What the watch has to say at an instant; all is well without findings, which are sorted by kind and key."""

    instant_ns: int
    findings: tuple[Finding, ...]
    feed_age_ns: int | None
    skew_ns: int | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def to_plain(self) -> dict[str, Any]:
        """The same as plain values, for a heartbeat."""
        return {
            "ok": self.ok,
            "instant": format_instant(self.instant_ns),
            "feed_age_s": None if self.feed_age_ns is None else self.feed_age_ns / SECOND_NS,
            "skew_s": None if self.skew_ns is None else self.skew_ns / SECOND_NS,
            "findings": [
                {
                    "kind": each.kind, "key": each.key, "level": each.level, "text": each.text,
                    "since": format_instant(each.since_ns),
                }
                for each in self.findings
            ],
        }  # fmt: skip


_Facts = dict[tuple[str, str], tuple[str, str]]  # (kind, key) -> (level, text)


class Health:
    """What is known of the bot's parts.

    Args:
        now_ns: the bot's clock as it moves, also while somebody has the turn; must not wait.
        limits: from where on something is wrong.
        alerts: told what begins and what is over.
        log: gets the stack of a thread that hangs.
        folder: where the run is written, for the disk; None to leave the disk alone.
        real_ns: real time.
        free_bytes: asks the disk.
    """

    def __init__(
        self, now_ns: Callable[[], int], limits: HealthLimits | None = None, *, alerts: Alerts | None = None,
        log: Log | None = None, folder: Path | None = None, real_ns: Callable[[], int] = monotonic_ns,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:  # fmt: skip
        self.limits = limits if limits is not None else HealthLimits()
        self._now_ns = now_ns
        self._real_ns = real_ns
        self._alerts = alerts
        self._log = log
        self._folder = folder
        self._free_bytes = free_bytes
        #: Tells of each symbol when its price is from, by the bot's clock; None where there is none. Waits for nobody.
        self.prices: Callable[[], Mapping[str, int | None]] = dict
        self._feed_ns: int | None = None
        self._feed_began_ns: int | None = None
        self._has_answered = False
        self._failures = 0
        self._failure = ""
        self._skew_ns: int | None = None
        self._turns: dict[str, int] = {}
        #: By participant: how often it should be asked, and when it was asked last, real nanoseconds.
        self._polls: dict[str, tuple[int, int]] = {}
        self._alive: dict[str, Callable[[], bool]] = {}
        self._dead: dict[str, str] = {}
        #: What others have judged: positions without protection, orders of unknown state.
        self._stated: _Facts = {}
        self._disk_asked_ns: int | None = None
        self._disk_free: int | None = None
        self._looking = Lock()
        self._open: dict[tuple[str, str], Finding] = {}
        self._ticker: Ticker | None = None

    # -- what goes on --------------------------------------------------------------------------------------------------

    def feed_begins(self, instant_ns: int) -> None:
        """The feed works from now on: without any answer it is stale after a while."""
        if self._feed_ns is None:
            self._feed_ns = instant_ns
        if self._feed_began_ns is None:
            self._feed_began_ns = instant_ns

    def feed_ok(self, instant_ns: int) -> None:
        """The feed has had an answer that shows the market at `instant_ns`, by the bot's clock."""
        self._feed_ns = instant_ns
        self._has_answered = True
        self._failures = 0

    def feed_failed(self, error: BaseException) -> None:
        """The feed has had no answer."""
        self._failure = error.message if isinstance(error, LockstepError) else f"{type(error).__name__}: {error}"
        self._failures += 1

    def turn_began(self, name: str) -> None:
        """A participant has the turn."""
        self._turns[name] = self._real_ns()

    def turn_ended(self, name: str) -> None:
        """It has given the turn away, if only for a call."""
        self._turns.pop(name, None)

    def expect(self, name: str, *, poll_ns: int | None = None, alive: Callable[[], bool] | None = None) -> None:
        """A thread works from now on.

        Args:
            name: the participant, or what the thread is called.
            poll_ns: how often `polled` is called for it, real nanoseconds; None if it is not.
            alive: whether the thread lives.
        """
        self._dead.pop(name, None)
        if poll_ns is not None:
            self._polls[name] = (poll_ns, self._real_ns())
        if alive is not None:
            self._alive[name] = alive

    def polled(self, name: str) -> None:
        """A participant was asked whether there is something to do, or has done it."""
        expected = self._polls.get(name)
        if expected is not None:
            self._polls[name] = (expected[0], self._real_ns())

    def left(self, name: str) -> None:
        """A participant or thread has ended as it should."""
        self._turns.pop(name, None)
        self._polls.pop(name, None)
        self._alive.pop(name, None)

    def died(self, name: str, error: BaseException) -> None:
        """A thread was ended by an error."""
        self._dead[name] = f"{type(error).__name__}: {error}"
        self.left(name)

    def skew(self, ns: int) -> None:
        """How far the venue's clock is ahead of this machine's, as measured just now."""
        self._skew_ns = ns

    def unprotected(self, symbol: str, text: str) -> None:
        """A position has no stop where it has to have one; `text` says so in a sentence."""
        self._stated[Kind.UNPROTECTED_POSITION, symbol] = (Level.CRITICAL, text)

    def protected(self, symbol: str) -> None:
        """It has one, or the position is gone."""
        self._stated.pop((Kind.UNPROTECTED_POSITION, symbol), None)

    def order_unknown(self, order_id: str, text: str) -> None:
        """Nobody knows what has become of an order; `text` says so in a sentence."""
        self._stated[Kind.UNKNOWN_ORDER, order_id] = (Level.WARNING, text)

    def order_known(self, order_id: str) -> None:
        """It is known again."""
        self._stated.pop((Kind.UNKNOWN_ORDER, order_id), None)

    # -- judging -------------------------------------------------------------------------------------------------------

    def report(self) -> HealthReport:
        """What is wrong now. Any thread; changes nothing and tells nobody."""
        now_ns = self._now_ns()
        facts = self._facts(now_ns)
        begun = dict(self._open)
        findings = [
            Finding(
                kind=kind, key=key, level=level, text=text,
                since_ns=begun[kind, key].since_ns if (kind, key) in begun else now_ns,
            )
            for (kind, key), (level, text) in sorted(facts.items())
        ]  # fmt: skip
        age_ns = None if self._feed_ns is None else now_ns - self._feed_ns
        return HealthReport(instant_ns=now_ns, findings=tuple(findings), feed_age_ns=age_ns, skew_ns=self._skew_ns)

    def look(self) -> HealthReport:
        """Judge, and tell alerts what has begun and what is over since the last look."""
        with self._looking:
            self._ask_disk()
            report = self.report()
            found = {(each.kind, each.key): each for each in report.findings}
            begun = [each for place, each in found.items() if place not in self._open]
            over = [each for place, each in sorted(self._open.items()) if place not in found]
            self._open = found
        for finding in over:
            self._tell_over(finding, report.instant_ns)
        for finding in begun:
            self._tell(finding)
        return report

    def watch(self, every_s: float = 1.0) -> None:
        """Look from a thread of its own, every so many real seconds, until `close`."""
        if self._ticker is None:
            self._ticker = Ticker(every_s, self._look_safely)

    def close(self) -> None:
        """End the watch."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.close()

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception as error:  # it would be the end of the watch
            if self._log is not None:
                self._log.error("the watch failed", exc_info=error)

    def _facts(self, now_ns: int) -> _Facts:
        facts = self._stated.copy()
        facts |= self._facts_of_feed(now_ns)
        facts |= self._facts_of_threads()
        skew_ns, limits = self._skew_ns, self.limits
        if skew_ns is not None and abs(skew_ns) > limits.max_skew_ns:
            side = "behind" if skew_ns > 0 else "ahead of"
            facts[Kind.CLOCK_SKEW, _CLOCK] = (
                Level.WARNING,
                f"expected this machine's clock within {limits.max_skew_ns / SECOND_NS:g} s of the venue's, found it "
                f"{abs(skew_ns) / SECOND_NS:.3f} s {side} it; set the clock",
            )
        free = self._disk_free
        if free is not None and free < limits.disk_free_bytes:
            facts[Kind.DISK_FULL, _DISK] = (
                Level.CRITICAL,
                f"expected {limits.disk_free_bytes / 1e6:,.0f} MB free where the run is written, found "
                f"{free / 1e6:,.0f} MB; make room, or the bot must stop",
            )
        return facts

    def _facts_of_feed(self, now_ns: int) -> _Facts:
        facts: _Facts = {}
        failures, feed_ns, limits = self._failures, self._feed_ns, self.limits
        if failures >= limits.failures:
            text = f"no answer from the venue, {failures} times in a row: {self._failure}; no entries until it is back"
            facts[Kind.CONNECTION_LOST, _VENUE] = (Level.CRITICAL, text)
        if feed_ns is not None and now_ns - feed_ns > limits.max_age_ns:
            age = (now_ns - feed_ns) / SECOND_NS
            text = (
                f"the last prices are {age:.1f} s old, {limits.max_age_ns / SECOND_NS:g} s are allowed; nothing is "
                "ordered on them"
            )
            facts[Kind.STALE_FEED, _FEED] = (Level.WARNING, text)
        return facts or self._facts_of_prices(now_ns)

    def _facts_of_prices(self, now_ns: int) -> _Facts:
        """Of a venue that answers, the symbols whose price does not move: a market has ended, or was halted."""
        facts: _Facts = {}
        began_ns, most_ns = self._feed_began_ns, self.limits.max_age_ns
        if began_ns is None or not self._has_answered:  # what is visible may be of the process before
            return facts
        for symbol, told_ns in self.prices().items():
            age_ns = now_ns - (began_ns if told_ns is None else told_ns)
            if age_ns <= most_ns:
                continue
            age = f"{age_ns / SECOND_NS:.0f} s"
            found = f"the last price of {symbol} is {age} old" if told_ns else f"{symbol} has had no price for {age}"
            text = f"{found}, though the venue answers; nothing is opened there, look whether it is still traded"
            facts[Kind.STALE_FEED, symbol] = (Level.WARNING, text)
        return facts

    def _facts_of_threads(self) -> _Facts:
        facts: _Facts = {
            (Kind.DEAD_THREAD, name): (Level.CRITICAL, f"the thread of {name} was ended by an error: {why}")
            for name, why in self._dead.copy().items()
        }
        for name, alive in self._alive.copy().items():
            if not alive():
                text = f"the thread of {name} has ended without a word"
                facts[Kind.DEAD_THREAD, name] = (Level.CRITICAL, text)
        real_ns, most_ns = self._real_ns(), self.limits.hang_after_ns
        for name, began_ns in self._turns.copy().items():
            if real_ns - began_ns > most_ns:
                seconds = (real_ns - began_ns) / SECOND_NS
                text = (
                    f"{name} has had the turn for {seconds:.0f} s, and nobody else can act; `kill` works all the same"
                )
                facts[Kind.HANGING_THREAD, name] = (Level.CRITICAL, text)
        if any(kind == Kind.HANGING_THREAD for kind, _ in facts):
            return facts  # of course the others are late
        for name, (poll_ns, polled_ns) in self._polls.copy().items():
            late_ns = real_ns - polled_ns - poll_ns
            if late_ns > most_ns and (Kind.DEAD_THREAD, name) not in facts:
                text = f"{name} should have looked for work {late_ns / SECOND_NS:.0f} s ago, and has not"
                facts[Kind.HANGING_THREAD, name] = (Level.CRITICAL, text)
        return facts

    def _ask_disk(self) -> None:
        real_ns, asked_ns = self._real_ns(), self._disk_asked_ns
        if self._folder is None or (asked_ns is not None and real_ns - asked_ns < _DISK_NS):
            return
        self._disk_asked_ns = real_ns
        try:
            self._disk_free = self._free_bytes(self._folder)
        except OSError:  # a folder that is gone is found by whoever writes there
            self._disk_free = None

    def _tell(self, finding: Finding) -> None:
        if self._alerts is not None:
            self._alerts.tell(finding.level, finding.kind, finding.text, finding.key)
        if self._log is not None and finding.kind == Kind.HANGING_THREAD:
            stack = thread_stacks().get(finding.key, "unknown")
            self._log.warning("a thread hangs", thread=finding.key, stack=stack)

    def _tell_over(self, finding: Finding, now_ns: int) -> None:
        if self._alerts is None:
            return
        seconds = (now_ns - finding.since_ns) / SECOND_NS
        lost = finding.kind == Kind.CONNECTION_LOST
        kind = Kind.CONNECTION_BACK if lost else finding.kind
        what = "the venue answers again" if lost else f"over: {finding.text}"
        # At the same level, so that whoever was told that it began is told that it is over.
        self._alerts.tell(finding.level, kind, f"{what} (it lasted {seconds:.0f} s)", finding.key, over=True)
