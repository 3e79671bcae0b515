"""Does a limit fill that was touched and not traded through? Through, touch, or a seeded draw. Pure.

A limit that the price goes beyond always fills; these rules are asked only when a quote stands exactly at the limit.
Each is called with the identity of the order (a target is one too) and the open of the bar, and answers the same at
every call, so the answer follows from the run's seed and not from who asked first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from src.core.errors import ConfigError
from src.core.rng import stable_hash

__all__ = ["LimitFill", "limit_fill_named"]

#: Whether the touched limit of this identity fills on the bar that opens at this instant.
LimitFill = Callable[[str, int], bool]

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
    if name == "through":
        return _through
    if name == "touch":
        return _touch
    if name == "seeded":
        return Seeded(seed, probability)
    raise ConfigError(f"expected a limit fill among through, touch, seeded; found {name!r}")


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
