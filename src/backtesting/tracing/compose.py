"""What a composed run is made of, measured: the one place that puts the decorators around the ports.

Called by whoever composes a run, and only when somebody asked for a measurement.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from src.backtesting.engine.ports import Market
from src.backtesting.tracing.broker import TracedBroker
from src.backtesting.tracing.clock import MeasuredClock, TracedClock, TracedLock, TracedMarket
from src.backtesting.tracing.probe import Probe
from src.backtesting.tracing.strategies import traced_classes
from src.core.broker import Broker
from src.core.strategy import Strategy
from src.core.sync import Lock

__all__ = ["Guarded", "TracedPorts", "measure_lock", "traced_ports"]


class Guarded(Protocol):
    """An object whose state one lock guards."""

    def guard_with(self, lock: AbstractContextManager[bool]) -> None:
        """Use another lock from now on; before the first call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedPorts:
    """What the bot and the clock get instead of the plain ports."""

    clock: TracedClock
    broker: TracedBroker
    market: TracedMarket
    classes: dict[str, type[Strategy]]


def traced_ports(
    probe: Probe,
    clock: MeasuredClock,
    broker: Broker,
    market: Market,
    classes: Mapping[str, type[Strategy]],
    *,
    instant: Callable[[], int],
    preempts: bool = False,
) -> TracedPorts:
    """The same ports, measured.

    Args:
        instant: the present virtual instant; asked once a turn, and not a call of the clock, which counts those.
        preempts: see `TracedClock`.
    """
    probe.bind(instant)
    return TracedPorts(
        clock=TracedClock(clock, probe, preempts=preempts),
        broker=TracedBroker(broker, probe),
        market=TracedMarket(market, probe),
        classes=traced_classes(classes, probe),
    )


def measure_lock(guarded: Guarded, probe: Probe, what: str) -> None:
    """Give `guarded` a lock of which the waits are spans, named after `what`."""
    guarded.guard_with(TracedLock(Lock(), probe, what))
