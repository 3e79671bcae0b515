"""Real delays, injected on purpose and seeded: the one place in which a test may wait for real.

They shake the operating system's choice of threads at the two seams where it could matter: at each call of the broker,
and at each hand-over of the turn, before, between and after its two steps.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from src.brokers.simulated import SimulatedBroker
from src.core.sync import Carrier, ThreadRuntime

_BROKER_CALLS = (
    "advance_time", "cancel", "close", "end_of_data", "end_orders", "equity", "margin_per_unit", "modify",
    "open_market", "place", "position", "positions", "protect", "quote", "snapshot",
)  # fmt: skip


class Delays:
    """Random delays: often none, often microseconds, rarely up to a millisecond."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        chance = self._random.random()
        if chance < 0.002:
            time.sleep(self._random.random() * 1e-3)
        elif chance < 0.025:
            time.sleep(chance * 1e-4)

    def inject(self, broker: SimulatedBroker) -> None:
        """Delay each call of the broker, before and after what it does."""
        for name in _BROKER_CALLS:
            setattr(broker, name, self._delayed(getattr(broker, name)))

    def _delayed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def delayed(*args: Any, **kwargs: Any) -> Any:
            self()
            result = call(*args, **kwargs)
            self()
            return result

        return delayed


def wait_for_real(seconds: float) -> None:
    """A turn that takes so long."""
    time.sleep(seconds)


class DelayedThreads(ThreadRuntime):
    """Threads on all cores whose hand-overs are delayed."""

    def __init__(self, delays: Delays) -> None:
        super().__init__(core=None)
        self._delays = delays
        self.handed_over = 0

    def spawn(self, name: str, run: Callable[[], None]) -> Carrier:
        carrier = super().spawn(name, run)
        resume, park = carrier.resume, carrier.park
        assert park is not None

        def delayed_resume() -> None:
            self._delays()
            self.handed_over += 1
            resume()
            # Here two threads run at once; the one that handed over must touch nothing that is shared.
            Delays(self._delays.count)()

        def delayed_park() -> None:
            park()
            self._delays()

        carrier.resume, carrier.park = delayed_resume, delayed_park
        return carrier

    def finish(self, to: Carrier | None) -> None:
        self._delays()
        super().finish(to)
