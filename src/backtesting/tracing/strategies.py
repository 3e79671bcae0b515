"""Strategy classes whose methods are measured: a subclass of the user's class, made when a run is composed.

Used by the thread that composes a run; the methods run in the worker's turn, as the user's own do.
"""

from collections.abc import Callable, Mapping
from types import new_class
from typing import Any

from src.backtesting.tracing.probe import Probe
from src.backtesting.tracing.track import Kind
from src.core.strategy import BarStrategy, Strategy

__all__ = ["traced_class", "traced_classes"]

_HOOKS = ("on_start", "on_tick", "on_bar", "on_order", "on_trade_closed", "on_stop")


def traced_classes(classes: Mapping[str, type[Strategy]], probe: Probe) -> dict[str, type[Strategy]]:
    """The same instances, their classes measured."""
    return {name: traced_class(cls, probe, name) for name, cls in classes.items()}


def traced_class(cls: type[Strategy], probe: Probe, instance: str) -> type[Strategy]:
    """A subclass of `cls` that goes by its name and in which the methods that it overrides are spans.

    A method that the user left to the base class is left to it here too: whoever compares it with the base's, to see
    what a strategy reacts to, gets the same answer.
    """
    base: type[Strategy] = BarStrategy if issubclass(cls, BarStrategy) else Strategy

    def fill(body: dict[str, Any]) -> None:
        body.update(__module__=cls.__module__, __qualname__=cls.__qualname__, __doc__=cls.__doc__)
        for hook in _HOOKS:
            standard = getattr(base, hook, None)  # a plain strategy's on_bar is called by nobody
            if standard is not None and getattr(cls, hook) is not standard:
                body[hook] = _measured(hook, probe, {"call": hook, "strategy": instance}, made)

    made: list[type[Strategy]] = []
    made.append(new_class(cls.__name__, (cls,), {}, fill))
    return made[0]


def _measured(hook: str, probe: Probe, details: Mapping[str, str], made: "list[type[Strategy]]") -> Callable[..., None]:
    def method(self: Strategy, *arguments: Any) -> None:
        # Looked up as the user's own call would be, so that a static method or a descriptor works as it did.
        call = getattr(super(made[0], self), hook)
        with probe.span(Kind.STRATEGY, "strategy", details):
            call(*arguments)

    method.__name__ = hook
    return method
