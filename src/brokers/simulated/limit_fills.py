"""Does a limit fill that was touched and not traded through? Through, touch, or a seeded draw. Pure.

A limit that the price goes beyond always fills; these rules are asked only when a quote stands exactly at the limit.
Each is called with the identity of the order (a target is one too) and the open of the bar, and answers the same at
every call, so the answer follows from the run's seed and not from who asked first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from src.core.errors import ConfigError
from src.core.rng import stable_hash
from src.core.words import meant

__all__ = ["LIMIT_FILLS", "LimitFill", "limit_fill_named"]

#: Whether the touched limit of this identity fills on the bar that opens at this instant.
LimitFill = Callable[[str, int], bool]

#: Rules by name, and the function that makes each of `probability` and `seed`. A new one is a file and a line here.
LIMIT_FILLS = {
    "through": "src.brokers.simulated.limit_fills:make_through",
    "touch": "src.brokers.simulated.limit_fills:make_touch",
    "seeded": "src.brokers.simulated.limit_fills:make_seeded",
}

#: Draws are numbers below it.
_ALL_DRAWS = 2**64


def limit_fill_named(name: str, *, probability: float = 0.5, seed: int = 0) -> LimitFill:
    """The rule of that name.

    Args:
        probability: of `seeded`: how likely a touched limit fills, for each order and bar, from 0 to 1.
        seed: of `seeded`: the run's seed.

    Raises:
        ConfigError: there is no such rule.
    """
    if name not in LIMIT_FILLS:
        hint = meant(name, LIMIT_FILLS)
        raise ConfigError(f"expected a limit fill among {', '.join(LIMIT_FILLS)}, found {name!r}{hint}")
    module, _, factory = LIMIT_FILLS[name].partition(":")
    rule: LimitFill = getattr(import_module(module), factory)(probability=probability, seed=seed)
    return rule


def make_through(*, probability: float, seed: int) -> LimitFill:
    """The price has to go beyond the limit."""
    return _through


def make_touch(*, probability: float, seed: int) -> LimitFill:
    """A touch is enough."""
    return _touch


def make_seeded(*, probability: float, seed: int) -> LimitFill:
    """A touch is enough with that probability, drawn from the seed."""
    return Seeded(seed, probability)


def _through(identity: str, open_ns: int) -> bool:
    return False


def _touch(identity: str, open_ns: int) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Seeded:
    """A touched limit fills with `probability`; the queue before it is not known."""

    seed: int
    probability: float

    def __call__(self, identity: str, open_ns: int) -> bool:
        """Draw for one order and bar."""
        return stable_hash(self.seed, "touch", identity, open_ns) < self.probability * _ALL_DRAWS
