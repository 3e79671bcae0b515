"""What a bot remembers beyond one run: the account's day, cool-downs, and what its strategies keep in `state`.

Plain values that JSON can write, so that whoever composes the bot can keep them anywhere. A bot that is killed and goes
on with its run needs none of this; one that begins a new run does.
"""

from collections.abc import Mapping
from typing import Any

from src.core.record import record

__all__ = ["Memory", "RiskMemory"]


@record
class RiskMemory:
    """What the risk manager remembers.

    Attributes:
        day_ends_ns: when the account's day under way ends; 0 before the first one.
        day_equity: the equity that it began with.
        tripped: whether its loss limit was acted on.
        cool_until: (book, symbol, instant until which it pauses).
    """

    day_ends_ns: int = 0
    day_equity: float = 0.0
    tripped: bool = False
    cool_until: tuple[tuple[str, str, int], ...] = ()


@record
class Memory:
    """What a bot remembers.

    Attributes:
        risk: of its risk manager.
        states: (instance, symbol, `state`) of its strategies.
    """

    risk: RiskMemory = RiskMemory()
    states: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """As values that JSON can write, as far as the strategies' own are."""
        risk = self.risk
        return {
            "day": [risk.day_ends_ns, risk.day_equity, risk.tripped],
            "cool_until": [list(each) for each in risk.cool_until],
            "states": [[name, symbol, dict(state)] for name, symbol, state in self.states],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Memory":
        """The same from such values."""
        ends_ns, equity, tripped = plain["day"]
        cool = tuple((str(book), str(symbol), int(at_ns)) for book, symbol, at_ns in plain["cool_until"])
        risk = RiskMemory(day_ends_ns=ends_ns, day_equity=equity, tripped=tripped, cool_until=cool)
        return cls(risk=risk, states=tuple((name, symbol, state) for name, symbol, state in plain["states"]))
