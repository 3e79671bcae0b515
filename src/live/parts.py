"""What looks after the bot and is no part of it: log, alerts, health, heartbeat.

Made by the main thread before the bot; the heartbeat is written by a thread of its own. It reads the bot's clock, and
the machine's before there is one.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TextIO

from src.core.errors import LockstepError
from src.core.sync import Ticker, wall_ns
from src.live.account_state import AccountState
from src.live.alert_delivery import AppriseDelivery
from src.live.alerts import Alerts, Kind, Level
from src.live.assembly import Bot
from src.live.clock import LiveClock
from src.live.config import LiveConfig
from src.live.feed import LiveSource
from src.live.health import Health, HealthLimits
from src.live.logs import BotLog
from src.live.secrets import Secrets
from src.live.wire import to_plain
from src.live.world import World

__all__ = ["Parts"]

#: How often the heartbeat is written, real seconds.
_BEAT_S = 2.0
#: The venue is looked after at most so often, real seconds.
_LEAST_LOOK_S = 0.1


class Parts:
    """What looks after the bot and is no part of it: log, alerts, health, heartbeat."""

    def __init__(
        self, config: LiveConfig, mode: str, state: AccountState, folder: Path, stack: ExitStack, *,
        environ: Mapping[str, str], terminal: TextIO | None, secrets: Secrets, poll_ns: int, speed: float,
    ) -> None:  # fmt: skip
        self._state = state
        self._mode = mode
        self._config = config
        self._folder = folder
        self.clock: LiveClock | None = None
        self.log = stack.enter_context(BotLog(folder / "bot.log", self.now_ns, secrets=secrets, terminal=terminal))
        self.alerts = stack.enter_context(
            Alerts(
                config.notify, AppriseDelivery(config.notify, environ), self.now_ns, label=config.label,
                path=folder / "alerts.jsonl", secrets=secrets, log=self.log.log,
                summary=self._summary,
            )
        )  # fmt: skip
        skew_ns = config.live.max_clock_skew_ns if config.live is not None else 10**9
        limits = HealthLimits(
            max_age_ns=config.max_age_ns + 2 * poll_ns, max_skew_ns=round(skew_ns * speed)
        )  # fmt: skip
        self.health = Health(self.now_ns, limits, alerts=self.alerts, log=self.log.log, folder=folder)
        self.source: LiveSource | None = None
        #: Asks the venue while nobody gets a turn, see `Feed.look_after`.
        self.look_after: Callable[[], None] | None = None
        self._look_s = max(_LEAST_LOOK_S, poll_ns / 1e9 / speed)
        self._bot: Bot | None = None
        #: Whether it was told that the bot has ended.
        self.has_ended = False
        self._stack = stack

    def now_ns(self) -> int:
        """The bot's present as it moves."""
        return wall_ns() if self.clock is None else self.clock.present_ns()

    def begin(self, bot: Bot, *, resumed: bool) -> None:
        """The bot runs from now on."""
        self._bot = bot
        self.health.feed_begins(self.now_ns())
        self.health.prices = self._prices
        self.health.watch()
        self._stack.callback(self.health.close)
        for every_s, look in ((_BEAT_S, self._beat), (self._look_s, self.look_after)):
            if look is not None:
                self._stack.callback(Ticker(every_s, look).close)
        how = "goes on" if resumed else "begins"
        symbols = ", ".join(self._config.symbols)
        self.alerts.tell(Level.INFO, Kind.START, f"{self._config.name} {how} in {self._mode}: {symbols}")

    def end(self, outcome: str, reason: str) -> None:
        """The bot has ended."""
        self.has_ended = True
        level = Level.INFO if outcome == "STOPPED" else Level.CRITICAL
        self.alerts.tell(level, Kind.STOP, f"{self._config.name} has ended, {outcome.lower()}: {reason or 'no reason'}")
        with suppress(LockstepError):  # a full disk has ended the run perhaps, and the result is still to be shown
            self._state.beat({**self._status(), "running": False, "outcome": outcome, "reason": reason})

    def given_up(self, symbol: str, text: str) -> None:
        """The venue refuses a part of what protects a position, and it is not tried again."""
        self.alerts.tell(Level.WARNING, Kind.REFUSED_ORDER, text, f"{symbol}:target")

    def not_kept(self, why: str) -> None:
        """Something could not be written to the durable state."""
        self.alerts.tell(Level.CRITICAL, Kind.NOT_KEPT, why, "state")

    def _beat(self) -> None:
        skew_ns = None if self.source is None else self.source.skew_ns
        if skew_ns is not None:
            self.health.skew(skew_ns)
        with suppress(LockstepError):
            self._state.beat({**self._status(), "running": True, "health": self.health.report().to_plain()})

    @property
    def _present(self) -> World | None:
        """What the bot sees; None while a run is rebuilt: it is of before then, and stays so if that fails."""
        is_past = self.clock is not None and (self.clock.is_scripted or self.clock.is_void)
        return None if self._bot is None or is_past else self._bot.world

    def _prices(self) -> dict[str, int | None]:
        world = self._present
        if world is None:
            return {}
        quotes = {symbol: world.quote(symbol) for symbol in self._config.symbols}
        return {symbol: None if quote is None else quote.instant_ns for symbol, quote in quotes.items()}

    def _status(self) -> dict[str, Any]:
        found: dict[str, Any] = {"pid": os.getpid(), "mode": self._mode, "folder": str(self._folder)}
        world = self._present
        if self._bot is not None and world is not None:
            snapshot = world.snapshot()
            found["account"] = to_plain(snapshot.account)
            found["positions"] = to_plain(snapshot.positions)
            found["orders"] = len(snapshot.orders)
            found["failures"] = dict(self._bot.controller.failures)
        return found

    def _summary(self) -> str:
        if self._bot is None:
            return "nothing has happened"
        account = self._bot.world.snapshot().account
        return f"equity {account.equity:.2f} {account.currency}, balance {account.balance:.2f}"
