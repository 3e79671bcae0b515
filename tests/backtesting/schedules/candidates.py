"""Ready participants as a schedule policy sees them."""

from dataclasses import dataclass

from src.backtesting.schedules import SchedulePolicy


@dataclass
class Ready:
    """A candidate."""

    name: str
    yields: int = 0
    yielding: bool = False


def orders(policy: SchedulePolicy, names: list[str], instants: range) -> list[list[str]]:
    """In which order a policy works off the names at each instant."""
    out = []
    for now in instants:
        ready = [Ready(name) for name in names]
        done = []
        while len(ready) > 1:
            done.append(ready.pop(policy.choose(ready, now)).name)
        out.append([*done, *(each.name for each in ready)])
    return out


def turns(policy: SchedulePolicy, points: dict[str, int], now: int) -> list[str]:
    """Who ran from each preemption point to the next, when each of the names meets so many of them in its turn."""
    ready = [Ready(name) for name in points]
    out = []
    while ready:
        chosen = ready[policy.choose(ready, now) if len(ready) > 1 else 0]
        out.append(chosen.name)
        for each in ready:
            each.yielding = False
        if chosen.yields == points[chosen.name]:
            ready.remove(chosen)
        else:
            chosen.yields += 1
            chosen.yielding = True
    return out
