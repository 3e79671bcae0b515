"""Participants on a clock that nothing but themselves moves: the same programs on every clock.

No market, no broker and no bot; what is tested with it is what a clock lets its participants wait for.
"""

from collections.abc import Callable, Sequence

from src.backtesting.engine.time_controller import TimeController
from src.core.clock import PHASE_WORKER, Clock, Participant
from src.core.errors import Stopping
from src.core.sync import current_participant, runtime_named
from src.core.wake import Signals
from src.core.wall_clock import WallClock

#: One tick of a program, far longer than what any clock needs between two turns.
TICK_NS = 3_000_000_000
SPEED = 60.0
END_NS = 1_000 * TICK_NS

CLOCKS = ("threads", "fibers", "wall")


class QuietMarket:
    """Nothing but one last event, so that there is always something to wait for."""

    start_ns = 0
    end_ns = END_NS

    def __init__(self) -> None:
        self.signals = Signals()
        self._left = [END_NS]

    def next_ns(self) -> int | None:
        return self._left[0] if self._left else None

    def advance(self, instant_ns: int) -> Sequence[str]:
        self._left.clear()
        return ()


class NoWake:
    """The wake of a participant that never waits for the market."""

    def __call__(self) -> bool:
        return False

    def next_due_ns(self) -> int | None:
        return None


class Play:
    """A clock of the given kind and participants that each run one function, by name in alphabetical order.

    Attributes:
        log: (tick, participant, what) of each `note`; the tick is rounded down.
        stopped: participants that were told to stop.
    """

    def __init__(self, kind: str, names: Sequence[str] = ("A", "B", "C", "D")) -> None:
        self.kind = kind
        self.names = tuple(names)
        self.clock: Clock
        if kind == "wall":
            self.clock = WallClock(SPEED, origin_ns=0)
        else:
            controller = TimeController(self.names, runtime=runtime_named(kind))
            controller.attach(QuietMarket())
            self.clock = controller
        self.log: list[tuple[int, str, str]] = []
        self.stopped: list[str] = []

    def add(
        self, name: str, act: Callable[[], None], on_failure: Callable[[BaseException], None] | None = None
    ) -> None:
        """Register a participant that runs `act` in its first turn and leaves."""

        def run() -> None:
            try:
                act()
            except Stopping:
                self.stopped.append(name)
                raise

        rank = self.names.index(name)
        self.clock.spawn(
            Participant(name=name, phase=PHASE_WORKER, rank=rank, wake=NoWake(), symbol=name, on_failure=on_failure),
            run,
        )

    def note(self, what: object = "") -> None:
        """Write down that the caller is here, and when."""
        self.log.append((self.clock.now_ns() // TICK_NS, current_participant.get(), str(what)))

    def wait(self, ticks: float) -> None:
        """Sleep."""
        self.clock.sleep(int(ticks * TICK_NS))

    def run(self, **acts: Callable[[], None]) -> list[tuple[int, str, str]]:
        """Run the given participants to the end and return the log."""
        for name, act in acts.items():
            self.add(name, act)
        self.clock.drive()
        return self.log

    def words(self, **acts: Callable[[], None]) -> list[str]:
        """Run and return who said what, without the ticks."""
        return [f"{name} {what}".strip() for _, name, what in self.run(**acts)]
