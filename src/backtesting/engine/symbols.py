"""Symbols that join or leave a run while it goes on: asked for from any thread, planned by the configuration.

Either way a change takes effect between two steps, after everything else that happens at its instant, in the thread
that performs steps. So a change that somebody asked for is the same as one that was planned for that instant, and the
list of what took effect is an input of the run. A change that cannot be made is refused with a sentence and changes
nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from src.backtesting.engine.conditions import World
from src.backtesting.engine.control import RunControl
from src.backtesting.engine.market import SimulatedMarket
from src.backtesting.engine.time_controller import TimeController
from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError, PreflightError
from src.core.instrument import Instrument
from src.core.symbols import ADD, REMOVE
from src.core.sync import Lock, current_participant
from src.core.timeframe import format_instant
from src.core.trading_controller import TradingController

__all__ = ["Newcomer", "Supply", "SymbolChange", "SymbolChanges", "input_of"]

#: In whose name strategies are made between two steps.
_NAME = "symbols"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolChange:
    """A symbol that joins or leaves after everything else of an instant: `action` is `add` or `remove`."""

    instant_ns: int
    action: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """What a run has to know of a symbol that joins it.

    Attributes:
        from_ns: when it joins, so that bars which close later are new to it.
        base: its finest bars, from its warm-up to the end of the run's window.
        derived: higher timeframes by their length in ns.
        fingerprint: digest of the base bars.
        source: where they come from.
    """

    instrument: Instrument
    from_ns: int
    base: BarSeries
    derived: Mapping[int, BarSeries]
    fingerprint: str
    source: str


class Supply(Protocol):
    """Where the bars of symbols that join come from."""

    def check(self, symbol: str, instant_ns: int) -> None:
        """Refuse what cannot be had; quick, from any thread.

        Raises:
            ConfigError: there are no bars of the symbol after that instant.
        """
        ...

    def newcomer(self, symbol: str, instant_ns: int) -> Newcomer:
        """The bars for a run that begins at an instant.

        Raises:
            PreflightError: there are none, or not what the strategies need.
            DataError: they cannot be read.
            ConfigError: the instrument does not fit the account.
        """
        ...


class SymbolChanges:
    """The changes of one run.

    Args:
        supply: where bars come from; without one no symbol can be added.
        planned: what the configuration says, in order of the instants.
        tell: told of refusals that nobody else can hear.

    Attributes:
        joined: the symbols that joined.
    """

    def __init__(
        self,
        clock: TimeController,
        market: SimulatedMarket,
        bot: TradingController,
        control: RunControl,
        world: World,
        *,
        supply: Supply | None,
        planned: Sequence[SymbolChange],
        tell: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._market = market
        self._bot = bot
        self._control = control
        self._world = world
        self._supply = supply
        self._tell = tell
        self._lock = Lock()  # guards what was asked for and whether anything still may be
        self._asked: list[tuple[str, str]] = []
        self._closed = False
        self._planned = list(planned)
        self._made: list[dict[str, Any]] = []
        self.joined: dict[str, Newcomer] = {}
        for change in planned:
            market.plan(change.instant_ns, market.start_ns, partial(self._post, self._carry_out, change))

    def add(self, symbol: str) -> None:
        """Let a symbol join as soon as everything of the present instant has happened; from any thread.

        Raises:
            ConfigError: it cannot join; the sentence says why.
        """
        self._ask(ADD, symbol)

    def remove(self, symbol: str) -> None:
        """Let a symbol leave, likewise.

        Raises:
            ConfigError: it cannot leave; the sentence says why.
        """
        self._ask(REMOVE, symbol)

    @property
    def inputs(self) -> tuple[dict[str, Any], ...]:
        """What took effect and what is still planned, as the run's identity has it; complete when the run is over."""
        return (*self._made, *[input_of(change, self._supply) for change in self._planned])

    def close(self) -> None:
        """The run is over: what was asked for too late is refused."""
        with self._lock:
            self._closed = True
            late, self._asked = self._asked, []
        for action, symbol in late:
            self._refuse(action, symbol, "the run ended before")

    # -- asking ------------------------------------------------------------------------------------

    def _ask(self, action: str, symbol: str) -> None:
        with self._lock:  # what needs no look into a store is refused first
            self._judge(action, symbol)
        if action == ADD:
            self._supplied().check(symbol, self._clock.instant_ns)
        with self._lock:
            self._judge(action, symbol)
            self._asked.append((action, symbol))
        self._clock.post(partial(self._arrive, action, symbol))

    def _judge(self, action: str, symbol: str) -> None:
        if self._closed:
            raise ConfigError(f"the run is over; {symbol} can neither join nor leave it")
        if action == ADD:
            self._market.check_join(symbol)
        roster = self._bot.roster.copy()
        for pending in self._asked:
            with suppress(ConfigError):  # it will be refused itself
                roster.change(*pending)
        roster.change(action, symbol)

    def _supplied(self) -> Supply:
        if self._supply is None:
            raise ConfigError("there is no store to take bars from; a run of a configuration file has one")
        return self._supply

    # -- between steps -----------------------------------------------------------------------------

    def _arrive(self, action: str, symbol: str) -> None:
        now = self._clock.instant_ns
        change = SymbolChange(instant_ns=now, action=action, symbol=symbol)
        self._control.ask_again()
        self._market.plan(now, now, partial(self._post, self._carry_out_asked, change))

    def _post(self, carry_out: Callable[[SymbolChange], None], change: SymbolChange) -> None:
        # The market's step is not the place: who is ready after it is being found out.
        self._clock.post(partial(carry_out, change))

    def _carry_out_asked(self, change: SymbolChange) -> None:
        with self._lock:
            self._asked.remove((change.action, change.symbol))
        self._make(change)

    def _carry_out(self, change: SymbolChange) -> None:
        self._planned.remove(change)
        self._make(change)

    def _make(self, change: SymbolChange) -> None:
        now, symbol = change.instant_ns, change.symbol
        entry = {"instant_ns": now, "action": change.action, "symbol": symbol}
        newcomer: Newcomer | None = None
        try:
            self._bot.roster.copy().change(change.action, symbol)
            if now >= self._market.end_ns:
                raise ConfigError(f"the run is at its end, {format_instant(now)}")
            if change.action == ADD:
                self._market.check_join(symbol)
                newcomer = self._supplied().newcomer(symbol, now)
                entry["data_fingerprint"] = newcomer.fingerprint
        except (ConfigError, PreflightError, DataError) as problem:
            self._refuse(change.action, symbol, problem.message)
            return
        self._made.append(entry)
        self._control.note(f"{change.action}_symbol", symbol=symbol)
        # From here on an error is one of the run.
        me = current_participant.set(_NAME)
        try:
            if newcomer is None:
                self._bot.remove_symbol(symbol)
            else:
                self._join(newcomer, now)
        finally:
            current_participant.reset(me)

    def _join(self, newcomer: Newcomer, now_ns: int) -> None:
        symbol = newcomer.instrument.symbol
        self.joined[symbol] = newcomer
        self._market.join(newcomer.instrument, newcomer.base, newcomer.derived, now_ns)
        self._clock.symbols = (*self._clock.symbols, symbol)
        self._world.symbols = (*self._world.symbols, symbol)
        self._bot.add_symbol(symbol)

    def _refuse(self, action: str, symbol: str, why: str) -> None:
        self._control.note(f"{action}_symbol", symbol=symbol, refused=why)
        self._tell(f"{symbol} was not {'added' if action == ADD else 'removed'}: {why}")


def input_of(change: SymbolChange, supply: Supply | None) -> dict[str, Any]:
    """A planned change as the identity of a run has it."""
    entry = {"instant_ns": change.instant_ns, "action": change.action, "symbol": change.symbol}
    if change.action == ADD and supply is not None:
        entry["data_fingerprint"] = supply.newcomer(change.symbol, change.instant_ns).fingerprint
    return entry
