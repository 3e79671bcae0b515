"""How alerts leave the process: one thread a target, which tries again until the target answers.

Nothing here waits in the thread of who has something to tell: it puts the message down and goes on. A target that does
not answer holds up nobody, not even another target.
"""

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from src.core.errors import ConfigError, LockstepError
from src.core.sync import Event, Lock, monotonic_ns, start_thread
from src.core.timeframe import SECOND_NS, format_instant
from src.live.notify_section import NotifySection, TargetSection
from src.live.secrets import Secrets

__all__ = ["Alert", "AppriseDelivery", "Courier", "Deliver", "Message"]

LEVELS = ("info", "warning", "critical")

#: How long a target is left alone after so many failures in a row, seconds; the last one for all further ones.
PAUSES_S = (1.0, 5.0, 15.0, 60.0, 300.0)
#: After so many failures a message lets others go first, since it may be the message that the target does not like.
_PATIENCE = 3
#: So many messages go out as one, at most, where several wait.
_BUNDLE = 10
_LONGEST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person is told.

    Attributes:
        n: its number, from 1 on.
        instant_ns: by the bot's clock.
        participant: who has told it.
        level: `info`, `warning` or `critical`.
        kind: what it is about, one of `Kind`.
        key: which of that kind: a symbol, an order, a participant.
        text: a sentence.
        over: whether it says that something is over.
        repeats: how often the same had come since it was last told.
    """

    n: int
    instant_ns: int
    participant: str
    level: str
    kind: str
    key: str
    text: str
    over: bool = False
    repeats: int = 0

    def sentence(self) -> str:
        """The text, with how often it has come."""
        return f"{self.text} (and {self.repeats} times before)" if self.repeats else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a target is sent: a title, a text, the highest level in it, and whether all of it is over."""

    title: str
    body: str
    level: str
    over: bool


class Deliver(Protocol):
    """Brings a message to a target; may take long, raises when it has not arrived. Called by the target's thread."""

    def __call__(self, target: str, message: Message) -> None: ...


class AppriseDelivery:
    """Delivery through apprise: a chat, a mail, a telephone, a URL of one's own.

    Args:
        section: names the environment variables.
        environ: holds the addresses.

    Raises:
        ConfigError: a variable is not set, or apprise does not know what is in it, or apprise is not installed.
    """

    def __init__(self, section: NotifySection, environ: Mapping[str, str] = os.environ) -> None:
        self._receivers: dict[str, Any] = {}
        self._kinds: dict[str, Any] = {}
        if not section.targets:
            return
        apprise = _apprise()
        self._kinds = {
            "info": apprise.NotifyType.INFO, "warning": apprise.NotifyType.WARNING,
            "critical": apprise.NotifyType.FAILURE, "over": apprise.NotifyType.SUCCESS,
        }  # fmt: skip
        self._text = apprise.NotifyFormat.TEXT
        for target in section.targets:
            name = target.url_env
            address = environ.get(name, "").strip()
            if not address:
                raise ConfigError(
                    f"notify.targets: expected an address in the environment variable {name}, found none; set it, or "
                    "take the target out"
                )
            # Without a deadline of its own it works in the thread that calls it and starts none.
            receiver = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, service_timeout=0))
            if not receiver.add(address):
                raise ConfigError(
                    f"notify.targets: expected an address that apprise knows in {name}, such as json://host/path, "
                    "found another; docs/alerts.md has examples"
                )
            self._receivers[name] = receiver

    def __call__(self, target: str, message: Message) -> None:
        """Send it once.

        Raises:
            LockstepError: it has not arrived; the reason may hold parts of the address, so it is masked by who asks.
        """
        kind = self._kinds["over" if message.over else message.level]
        result = self._receivers[target].notify(
            body=message.body, title=message.title, notify_type=kind, body_format=self._text
        )
        if not result:
            told = "; ".join(dict.fromkeys(str(entry.message) for entry in result.logs()))
            raise LockstepError(f"expected {target} to take a message, found: {told or 'no answer'}")


class _Parcel:
    __slots__ = ("alert", "attempts", "since_ns")

    def __init__(self, alert: Alert, since_ns: int) -> None:
        self.alert = alert
        self.since_ns = since_ns
        self.attempts = 0

    def order(self) -> tuple[int, int, int]:
        """Which goes first: those that have not failed often, the highest level, the oldest."""
        return self.attempts // _PATIENCE, -LEVELS.index(self.alert.level), self.alert.n

    def worth(self) -> tuple[int, int]:
        """Which goes overboard first: the lowest level, the oldest."""
        return LEVELS.index(self.alert.level), self.alert.n


class Courier:
    """One target: what waits for it, and the thread that brings it there.

    Args:
        target: whom, and from which level on.
        label: the bot's name, in titles.
        deliver: brings a message there.
        most: so many messages wait at most.
        give_up_ns: real time after which a message that has failed a few times is given up.
        record: is told what has become of each message.
        secrets: what is masked in reasons.
        pauses_s: after failures.
        real_ns: real time.
    """

    def __init__(
        self, target: TargetSection, label: str, deliver: Deliver, *, most: int, give_up_ns: int,
        record: Callable[[dict[str, Any]], None], secrets: Secrets,
        pauses_s: tuple[float, ...] = PAUSES_S, real_ns: Callable[[], int] = monotonic_ns,
    ) -> None:  # fmt: skip
        self.name = target.url_env
        self.idle = Event()
        self.idle.set()
        self._target = target
        self._label = label
        self._deliver = deliver
        self._most = most
        self._give_up_ns = give_up_ns
        self._record = record
        self._secrets = secrets
        self._pauses_s = pauses_s
        self._real_ns = real_ns
        self._lock = Lock()
        self._wake = Event()
        self._waiting: list[_Parcel] = []
        self._on_the_way: list[_Parcel] = []
        self._overboard: dict[str, int] = {}
        self._failures = 0
        self._rests_until_ns = 0
        self._ending = False
        self._abandoned = False
        self._thread = start_thread(f"alerts:{self.name}", self._run)

    @property
    def failures(self) -> int:
        """How often in a row the target has not answered."""
        return self._failures

    def wants(self, alert: Alert) -> bool:
        """Whether the target is told of it."""
        if alert.kind == "daily_summary" and self._target.summary:
            return True
        return LEVELS.index(alert.level) >= LEVELS.index(self._target.level)

    def put(self, alert: Alert) -> bool:
        """Put it down for the target; what is worth least goes overboard when too many wait. Does not wait.

        Returns:
            False after the end: nobody will deliver it.
        """
        with self._lock:
            if self._abandoned:
                return False
            self._waiting.append(_Parcel(alert, self._real_ns()))
            overboard = self._make_room_locked()
            self.idle.clear()
        self._tell_overboard(overboard)
        self._wake.set()
        return True

    def end(self) -> None:
        """Have everything that waits tried once more, now, and then nothing any more."""
        with self._lock:
            self._ending = True
            for parcel in self._waiting:
                parcel.attempts = 0
            self._rests_until_ns = 0
        self._wake.set()

    def join(self, within_s: float) -> tuple[list[int], list[int]]:
        """Wait for the end of the thread, at most so long.

        Returns:
            The numbers of the alerts that were not delivered, and of those of which that is not known, since the
            target has not answered yet.
        """
        self._thread.join(max(0.0, within_s))
        with self._lock:
            self._abandoned = True
            waiting = sorted(each.alert.n for each in self._waiting)
            unknown = sorted(each.alert.n for each in self._on_the_way)
            self._waiting = []
        self._wake.set()
        return waiting, unknown

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            wait_s: float | None
            with self._lock:
                done = self._ending and not any(each.attempts == 0 for each in self._waiting)
                if self._abandoned or done:
                    self._abandoned = True
                    self.idle.set()
                    return
                bundle, wait_s = self._next_locked()
            if bundle:
                self._send(bundle)
                continue
            self._wake.wait(wait_s)
            self._wake.clear()

    def _next_locked(self) -> tuple[list[_Parcel], float | None]:
        """What is sent now, or how long to wait for that; None for as long as nothing comes."""
        if not self._waiting:
            self.idle.set()
            return [], None
        pause_ns = self._rests_until_ns - self._real_ns()
        if pause_ns > 0 and not self._ending:
            return [], pause_ns / SECOND_NS
        ordered = sorted(self._waiting, key=_Parcel.order)
        bundle = ordered[:1]
        if ordered[0].attempts == 0 and (self._ending or not self._failures):
            bundle = sorted((each for each in ordered[:_BUNDLE] if each.attempts == 0), key=lambda each: each.alert.n)
        self._on_the_way = bundle
        self._waiting = [each for each in self._waiting if each not in bundle]
        return bundle, None

    def _send(self, bundle: list[_Parcel]) -> None:
        numbers = [each.alert.n for each in bundle]
        with self._lock:
            overboard, self._overboard = self._overboard, {}
        try:
            self._deliver(self.name, self._message([each.alert for each in bundle], overboard))
        except Exception as error:
            why = self._secrets.masked(str(error) or type(error).__name__)
        else:
            with self._lock:
                self._on_the_way, self._failures = [], 0
            self._record({"alerts": numbers, "target": self.name, "outcome": "delivered"})
            return
        self._failed(bundle, overboard, why)

    def _failed(self, bundle: list[_Parcel], overboard: dict[str, int], why: str) -> None:
        now_ns = self._real_ns()
        given_up = []
        with self._lock:
            for parcel in bundle:
                parcel.attempts += 1
                if parcel.attempts >= _PATIENCE and now_ns - parcel.since_ns >= self._give_up_ns:
                    given_up.append(parcel.alert.n)
                else:
                    self._waiting.append(parcel)
            self._on_the_way = []
            for level, count in overboard.items():
                self._overboard[level] = self._overboard.get(level, 0) + count
            pause_s = self._pauses_s[min(self._failures, len(self._pauses_s) - 1)]
            self._failures += 1
            self._rests_until_ns = now_ns + int(pause_s * SECOND_NS)
            also_overboard = self._make_room_locked()
            failures = self._failures
        numbers = [each.alert.n for each in bundle]
        self._record({"alerts": numbers, "target": self.name, "outcome": "failed", "in_a_row": failures, "why": why})
        if given_up:
            self._record({"alerts": given_up, "target": self.name, "outcome": "given up", "why": why})
        self._tell_overboard(also_overboard)

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _make_room_locked(self) -> list[Alert]:
        """Take out what is too much; it is counted, and the next message says how many there were."""
        overboard = []
        while len(self._waiting) > self._most:
            parcel = min(self._waiting, key=_Parcel.worth)
            self._waiting.remove(parcel)
            level = parcel.alert.level
            self._overboard[level] = self._overboard.get(level, 0) + 1
            overboard.append(parcel.alert)
        return overboard

    def _tell_overboard(self, alerts: list[Alert]) -> None:
        if alerts:
            numbers = [alert.n for alert in alerts]
            self._record({"alerts": numbers, "target": self.name, "outcome": "dropped", "why": "too many wait"})

    def _message(self, alerts: list[Alert], overboard: dict[str, int]) -> Message:
        level = max((alert.level for alert in alerts), key=LEVELS.index)
        if len(alerts) == 1:
            alert = alerts[0]
            word = "over" if alert.over else alert.level.upper()
            title = f"{self._label}: {word}: {alert.kind.replace('_', ' ')}"
            lines = [_shortened(alert.sentence()), format_instant(alert.instant_ns)]
        else:
            title = f"{self._label}: {len(alerts)} messages, {level.upper()}"
            lines = [
                f"{format_instant(alert.instant_ns)} {'over' if alert.over else alert.level.upper()} "
                f"{alert.kind.replace('_', ' ')}: {_shortened(alert.sentence())}"
                for alert in alerts
            ]
        if overboard:
            counts = ", ".join(f"{overboard[name]} {name}" for name in LEVELS if name in overboard)
            lines.append(f"({sum(overboard.values())} earlier messages were dropped, since too many waited: {counts})")
        return Message(title=title, body="\n".join(lines), level=level, over=all(alert.over for alert in alerts))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _apprise() -> Any:
    try:
        module = import_module("apprise")  # Any: what it returns is typed by its plugins
    except ImportError:
        raise ConfigError("alerts need a package that is not installed: pip install 'lockstep[live]'") from None
    # Its messages name addresses; they are taken from its answers, masked.
    logging.getLogger("apprise").propagate = False
    with warnings.catch_warnings():
        # It imports its plugins at the first address, and what some of them use of Python has been superseded.
        warnings.simplefilter("ignore", DeprecationWarning)
        module.Apprise.instantiate("json://localhost")
    return module
