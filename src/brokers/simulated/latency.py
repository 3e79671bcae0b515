"""How long a request is under way to the venue: a fixed time and, drawn for each request, up to a jitter more. Pure."""

from dataclasses import dataclass

from src.core.bars import BarSeries
from src.core.rng import stable_hash

__all__ = ["Jitter", "effective_latency"]


def effective_latency(latency_ns: int, series: BarSeries) -> int:
    """What of a delay acts on bars: inside a bar only four prices are known, so a shorter one counts as none."""
    return latency_ns if latency_ns >= series.timeframe_ns else 0


@dataclass(frozen=True, slots=True)
class Jitter:
    """A delay that is another one for each request.

    Attributes:
        latency_ns: the least delay.
        jitter_ns: up to how much more, both ends included.
        seed: of the draws.
    """

    latency_ns: int
    jitter_ns: int
    seed: int = 0

    def of(self, symbol: str, what: str, identity: str) -> int:
        """The delay of a request: its kind, such as `place`, and the identity of what it is about."""
        more = stable_hash(self.seed, "latency", symbol, what, identity) % (self.jitter_ns + 1)
        return self.latency_ns + more
