"""A market that is a list of instants, and participants that write down when they had a turn.

No broker and no bot: what is tested with it is the time controller alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from src.backtesting.engine.time_controller import TimeController
from src.core.clock import PHASE_MONITOR, PHASE_WORKER, Participant
from src.core.errors import Stopping
from src.core.sync import runtime_named
from src.core.wake import Signals


class ScriptedMarket:
    """Steps at the given instants; `ends` names the symbols whose data end with a step."""

    def __init__(self, instants: Sequence[int], end_ns: int, ends: Mapping[int, Sequence[str]]) -> None:
        self.start_ns = 0
        self.end_ns = end_ns
        self.signals = Signals()
        self.count = 0
        self._left = list(instants)
        self._ends = dict(ends)

    def next_ns(self) -> int | None:
        return self._left[0] if self._left else None

    def advance(self, instant_ns: int) -> Sequence[str]:
        self._left.remove(instant_ns)
        self.count += 1
        return self._ends.get(instant_ns, ())


class Bell:
    """Rings at each step that its owner has not heard yet."""

    def __init__(self, market: ScriptedMarket) -> None:
        self._market = market
        self.heard = 0

    def __call__(self) -> bool:
        return self._market.count > self.heard

    def next_due_ns(self) -> int | None:
        return None

    def hear(self) -> None:
        self.heard = self._market.count


class Deaf(Bell):
    """Never rings."""

    def __call__(self) -> bool:
        return False


class Stage:
    """A time controller with a scripted market; `log` holds (instant, participant) of each turn after the first."""

    def __init__(
        self,
        instants: Sequence[int] = (),
        *,
        symbols: Sequence[str] = ("AAA", "BBB", "CCC"),
        end_ns: int = 1_000,
        ends: Mapping[int, Sequence[str]] | None = None,
        runtime: str = "threads",
        **controller: Any,
    ) -> None:
        self.market = ScriptedMarket(instants, end_ns, ends or {})
        self.clock = TimeController(symbols, runtime=runtime_named(runtime), **controller)
        self.clock.attach(self.market)
        self.born: list[str] = []
        self.log: list[tuple[int, str]] = []
        self.stopped: list[str] = []

    def add(
        self,
        name: str,
        act: Callable[[], None] | None = None,
        *,
        symbol: str = "",
        rank: int = 0,
        wake: Any = None,
        timed: bool = False,
        leaves: bool = True,
    ) -> None:
        """Register a participant that calls `act` in each of its turns; without a symbol it is a monitor."""
        bell = Bell(self.market) if wake is None else wake
        phase = PHASE_WORKER if symbol else PHASE_MONITOR

        def run() -> None:
            self.born.append(name)
            try:
                while self.clock.wait_for_next_step(name):
                    if isinstance(bell, Bell):
                        bell.hear()
                    self.log.append((self.clock.now_ns(), name))
                    if act is not None:
                        act()
            except Stopping:
                self.stopped.append(name)
            if leaves:
                self.clock.leave(name)

        self.clock.spawn(Participant(name=name, phase=phase, rank=rank, wake=bell, symbol=symbol, timed=timed), run)

    def note(self, name: str) -> None:
        """Write a line of its own into the log."""
        self.log.append((self.clock.now_ns(), name))

    def run(self) -> list[tuple[int, str]]:
        """Drive to the end and return the log."""
        self.clock.drive()
        return self.log
