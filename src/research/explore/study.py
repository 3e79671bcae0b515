"""One exploration: run every variant, put the results together, and find out why they differ.

The runs themselves are made by callables that are handed in: `observe` runs many variants, side by side and in any
order, `lab` runs one in this process. What comes out is a function of what they return, not of when. Called by one
thread.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from src.core.errors import StalledThreadError
from src.core.record import record
from src.research.explore.diagnose import Race, Script, Seen, explain
from src.research.explore.groups import Group, Observed, Spread, grouped, spread_of
from src.research.explore.schedules import REFERENCE, Variant, variants

__all__ = ["MOST_RUNS", "Exploration", "Finding", "Laboratory", "explore"]

#: After so many runs that only look for a race, no further one is looked for.
MOST_RUNS = 120

#: The kinds of schedules of which one that differs is explained, the plainest first.
_KINDS = ("seeded", "order", "preemptive")

_NOT_AGAIN = "the order of turns that was written down did not repeat what differs"
_OTHER_AGAIN = "the same schedule, run again, gave another result: something besides the order of turns decides"
_NOT_REPEATED = "the written order, run again, gave another result itself: something besides the order of turns decides"
_ELSEWHERE = (
    "the written order gives one result in this process and another one in a process beside others: it depends on the "
    "process, such as on hashes of texts, or shares something, such as a file, with the runs beside it; --workers 1 "
    "runs one at a time"
)
_HANGS = "a thread hangs under it, and would hang the search as well"
_LOST = "its process died or never ended, and the search would as well"
_TOO_MANY = "not looked for: too many runs were spent already"


class Laboratory(Protocol):
    """Who runs one variant at a time for the search.

    Attributes:
        runs: how many there were.
    """

    runs: int

    def run(self, script: Script) -> Seen:
        """Run once."""
        ...


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
        repeats: False when a schedule, run again, gave another result: then nothing was said about the order of turns.
    """

    symbols: tuple[str, ...]
    results: tuple[Observed, ...]
    groups: tuple[Group, ...]
    trades: Spread | None
    profit: Spread | None
    drawdown_percent: Spread | None
    findings: tuple[Finding, ...]
    runs: int
    repeats: bool = True

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
    lab: Laboratory,
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
        repeats=all(finding.reason not in (_NOT_REPEATED, _ELSEWHERE, _OTHER_AGAIN) for finding in findings),
    )


def _findings(
    symbols: tuple[str, ...], results: Sequence[Observed], groups: Sequence[Group], lab: Laboratory
) -> list[Finding]:
    reason = _unsafe(results[0])
    if reason:
        return [
            Finding(number=groups[1].numbers[0], race=None, reason=f"the written order cannot be searched: {reason}")
        ]
    reference = lab.run(Script(schedule=REFERENCE))
    if reference.key[0] != results[0].digest:
        steady = lab.run(Script(schedule=REFERENCE)).key == reference.key
        return [Finding(number=groups[1].numbers[0], race=None, reason=_ELSEWHERE if steady else _NOT_REPEATED)]
    found: list[Finding] = []
    seen: set[tuple[frozenset[str], str]] = set()
    for number in _to_explain(results, groups):
        result = results[number]
        reason = _unsafe(result) or (_TOO_MANY if lab.runs >= MOST_RUNS else "")
        if reason:
            found.append(Finding(number=number, race=None, reason=reason))
            continue
        race = explain(lab.run, reference, result.variant, symbols)
        if race is None:
            reason = _NOT_AGAIN if _repeats(lab, reference, result) else _OTHER_AGAIN
            found.append(Finding(number=number, race=None, reason=reason))
            continue
        same = (frozenset((race.first, race.second)), race.resource)
        if same not in seen:
            seen.add(same)
            found.append(Finding(number=number, race=race))
    return found


def _repeats(lab: Laboratory, reference: Seen, result: Observed) -> bool:
    """Whether the written order and the variant give again what they gave."""
    variant = result.variant
    again = lab.run(Script(schedule=variant.schedule, symbols=variant.symbols))
    return again.key == result.key and lab.run(Script(schedule=REFERENCE)).key == reference.key


def _unsafe(result: Observed) -> str:
    """Why a run must not be repeated in this process; empty when it may."""
    if result.error.startswith(StalledThreadError.__name__):
        return _HANGS
    return "" if result.digest else _LOST


def _to_explain(results: Sequence[Observed], groups: Sequence[Group]) -> list[int]:
    """The first variant of each kind that differs from the reference."""
    differing = sorted(number for group in groups[1:] for number in group.numbers)
    first = (next((n for n in differing if results[n].variant.kind == kind), None) for kind in _KINDS)
    return [number for number in first if number is not None]
