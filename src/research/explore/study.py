"""One exploration: run every variant, put the results together, and find out why they differ.

The runs themselves are made by callables that are handed in: `observe` runs many variants, side by side and in any
order, `lab` runs one in this process. What comes out is a function of what they return, not of when. Called by one
thread.
"""

from collections.abc import Callable, Sequence

from src.core.errors import StalledThreadError
from src.core.record import record
from src.research.explore.diagnose import Race, Script, explain
from src.research.explore.groups import Group, Observed, Spread, grouped, spread_of
from src.research.explore.lab import Lab
from src.research.explore.schedules import REFERENCE, Variant, variants

__all__ = ["MOST_RUNS", "Exploration", "Finding", "explore"]

#: After so many runs that only look for a race, no further one is looked for.
MOST_RUNS = 120

#: The kinds of schedules of which one that differs is explained, the plainest first.
_KINDS = ("seeded", "order", "preemptive")

_NOT_AGAIN = "run once more it gave the reference's result, or no two turns decide: something besides the order does"
_HANGS = "a thread hangs under it, and would hang the search as well"
_TOO_MANY = "not looked for: too many runs were spent already"


@record
class Finding:
    """Why one variant differs.

    Attributes:
        number: its place in the list of variants.
        race: the two turns that decide; None with the `reason` why they were not found.
    """

    number: int
    race: Race | None
    reason: str = ""


@record
class Exploration:
    """What came out.

    Attributes:
        results: of each variant, in the order of the list.
        groups: equal results, the reference's first.
        trades, profit, drawdown_percent: how the figures spread over all variants; None where no run has them.
        findings: one for each race that was found and each variant that was not explained.
        runs: how many runs the search for races took.
    """

    symbols: tuple[str, ...]
    results: tuple[Observed, ...]
    groups: tuple[Group, ...]
    trades: Spread | None
    profit: Spread | None
    drawdown_percent: Spread | None
    findings: tuple[Finding, ...]
    runs: int

    @property
    def agrees(self) -> bool:
        """Whether every schedule gave one result."""
        return len(self.groups) == 1

    def group_of(self, number: int) -> int:
        """The place of a variant's group."""
        return next(i for i, group in enumerate(self.groups) if number in group.numbers)


def explore(
    symbols: Sequence[str],
    count: int,
    seed: int,
    observe: Callable[[list[Variant]], Sequence[Observed]],
    lab: Lab,
) -> Exploration:
    """Run `count` variants of one bot and explain where they differ.

    Args:
        symbols: the configured order.
        seed: decides which variants.
        observe: gives the result of each variant, in the order of the list.

    Raises:
        LockstepError: a run could not even begin.
    """
    tried = variants(symbols, count, seed)
    results = tuple(observe(tried))
    groups = grouped(results)
    findings = _findings(tuple(symbols), results, groups, lab) if len(groups) > 1 else []
    return Exploration(
        symbols=tuple(symbols),
        results=results,
        groups=tuple(groups),
        trades=spread_of(result.trades for result in results),
        profit=spread_of(result.profit for result in results),
        drawdown_percent=spread_of(result.drawdown_percent for result in results),
        findings=tuple(findings),
        runs=lab.runs,
    )


def _findings(
    symbols: tuple[str, ...], results: Sequence[Observed], groups: Sequence[Group], lab: Lab
) -> list[Finding]:
    reference = lab.run(Script(schedule=REFERENCE))
    found: list[Finding] = []
    seen: set[tuple[frozenset[str], str]] = set()
    for number in _to_explain(results, groups):
        result = results[number]
        if result.error.startswith(StalledThreadError.__name__):
            found.append(Finding(number=number, race=None, reason=_HANGS))
            continue
        if lab.runs >= MOST_RUNS:
            found.append(Finding(number=number, race=None, reason=_TOO_MANY))
            continue
        race = explain(lab.run, reference, result.variant, symbols)
        if race is None:
            found.append(Finding(number=number, race=None, reason=_NOT_AGAIN))
            continue
        same = (frozenset((race.first, race.second)), race.resource)
        if same not in seen:
            seen.add(same)
            found.append(Finding(number=number, race=race))
    return found


def _to_explain(results: Sequence[Observed], groups: Sequence[Group]) -> list[int]:
    """The first variant of each kind that differs from the reference."""
    differing = sorted(number for group in groups[1:] for number in group.numbers)
    first = (next((n for n in differing if results[n].variant.kind == kind), None) for kind in _KINDS)
    return [number for number in first if number is not None]
