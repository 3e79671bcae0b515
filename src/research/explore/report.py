"""What an exploration found, as lines for people and values for programs. Builds text, prints nothing; any thread."""

from collections.abc import Callable
from typing import Any

from src.backtesting.summary import money_text, percent_text
from src.core.program import program
from src.core.timeframe import format_instant
from src.research.explore.diagnose import OUTSIDE, Race
from src.research.explore.differences import event_text
from src.research.explore.groups import Group, Spread
from src.research.explore.schedules import Variant
from src.research.explore.study import Exploration, Finding

__all__ = [
    "GROUP_COLUMNS",
    "Command",
    "as_dict",
    "finding_lines",
    "group_rows",
    "headline",
    "reproduction_lines",
    "spread_rows",
]

#: The line for a shell that runs a variant.
Command = Callable[[Variant], str]

GROUP_COLUMNS = ("Result", "Schedules", "Trades", "Profit", "Max drawdown", "Outcome", "Digest")


def headline(found: Exploration) -> str:
    """The answer in one sentence."""
    count = len(found.results)
    if count == 1:
        return "1 schedule was tried: that tells nothing about others"
    if found.agrees:
        return f"{count} schedules, one result: it does not depend on the order of turns"
    if not found.repeats:
        return (
            f"{count} schedules, {len(found.groups)} results, but the same schedule, run again, gives another result: "
            f"the bot is not deterministic, whatever the order of turns; `{program()} verify` looks for the first "
            "event that differs"
        )
    return f"{count} schedules, {len(found.groups)} results: the result depends on the order of turns"


def group_rows(found: Exploration, most: int) -> list[list[str]]:
    """A row for each of the first `most` groups, in the order of `GROUP_COLUMNS`."""
    return [
        [
            str(number),
            str(len(group.numbers)),
            "n/a" if group.first.trades is None else f"{group.first.trades:,}",
            money_text(group.first.profit, signed=True),
            percent_text(group.first.drawdown_percent),
            group.first.outcome,
            group.first.digest[:16],
        ]
        for number, group in enumerate(found.groups[:most], start=1)
    ]


def spread_rows(found: Exploration) -> list[tuple[str, str]]:
    """Least, median and greatest of each figure over all schedules."""
    rows: list[tuple[str, Spread | None, Callable[[float], str]]] = [
        ("Trades", found.trades, lambda value: f"{value:,g}"),
        ("Profit", found.profit, lambda value: money_text(value, signed=True)),
        ("Max drawdown", found.drawdown_percent, percent_text),
    ]
    return [
        (label, f"least {text(spread.low)}, median {text(spread.median)}, greatest {text(spread.high)}")
        for label, spread, text in rows
        if spread is not None
    ]


def finding_lines(found: Exploration, finding: Finding, command: Command) -> list[str]:
    """Who raced for what, the first event that differs, and the lines that show it."""
    group = found.group_of(finding.number) + 1
    race = finding.race
    if race is None:
        return [f"Result {group} is not explained: {finding.reason}."]
    at = "" if race.instant_ns is None else f" at {format_instant(race.instant_ns)}"
    lines = [
        f"{race.first} and {race.second} race for {_resource_text(race)}{at}",
        f"  {race.first} before {race.second} gives result 1, {race.second} first gives another one",
    ]
    if race.difference is not None:
        lines += [
            "  the first event that differs:",
            f"    as written: {event_text(race.difference.reference)}",
            f"    swapped:    {event_text(race.difference.other)}",
        ]
    return [
        *lines,
        f"  as written, digest {found.groups[0].first.digest[:16]}:",
        f"    {command(_twin(race))}",
        f"  swapped, digest {race.digest[:16]}:",
        f"    {command(_swapped(race))}",
    ]


def reproduction_lines(found: Exploration, most: int, command: Command) -> list[str]:
    """One line for each of the first `most` groups."""
    lines = []
    for number, group in enumerate(found.groups[:most], start=1):
        lines += [f"result {number}, digest {group.first.digest[:16]}:", f"  {command(group.first.variant)}"]
    return lines


def as_dict(found: Exploration, command: Command, exit_code: int) -> dict[str, Any]:
    """The whole exploration as plain values."""
    return {
        "schedules": len(found.results),
        "agree": found.agrees,
        "repeats": found.repeats,
        "exit_code": exit_code,
        "headline": headline(found),
        "groups": [_group(group, command) for group in found.groups],
        "spread": {
            "trades": _spread(found.trades),
            "profit": _spread(found.profit),
            "drawdown_percent": _spread(found.drawdown_percent),
        },
        "races": [
            _race(found, finding, finding.race, command) for finding in found.findings if finding.race is not None
        ],
        "unexplained": [
            {"group": found.group_of(finding.number), "reason": finding.reason}
            for finding in found.findings
            if finding.race is None
        ],
        "diagnosing_runs": found.runs,
    }


def _resource_text(race: Race) -> str:
    return f"the last {race.resource}" if race.resource in ("slot", "margin", "open risk") else race.resource


def _swapped(race: Race) -> Variant:
    return Variant(kind="", schedule=race.schedule, symbols=race.symbols)


def _twin(race: Race) -> Variant:
    return Variant(kind="", schedule=race.twin_schedule, symbols=race.twin_symbols)


def _group(group: Group, command: Command) -> dict[str, Any]:
    first = group.first
    return {
        "schedules": len(group.numbers),
        "digest": first.digest,
        "outcome": first.outcome,
        "error": first.error or None,
        "trades": first.trades,
        "profit": first.profit,
        "drawdown_percent": first.drawdown_percent,
        "schedule": first.variant.schedule,
        "symbols": None if first.variant.symbols is None else list(first.variant.symbols),
        "reproduce": command(first.variant),
    }


def _race(found: Exploration, finding: Finding, race: Race, command: Command) -> dict[str, Any]:
    difference = race.difference
    return {
        "participants": [race.first, race.second],
        "resource": race.resource,
        "outside": race.resource == OUTSIDE,
        "instant": None if race.instant_ns is None else format_instant(race.instant_ns),
        "group": found.group_of(finding.number),
        "first_difference": None
        if difference is None
        else {
            "reference": None if difference.reference is None else event_text(difference.reference),
            "swapped": None if difference.other is None else event_text(difference.other),
        },
        "digest": race.digest,
        "reproduce": command(_swapped(race)),
        "reproduce_reference": command(_twin(race)),
    }


def _spread(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else {"min": spread.low, "median": spread.median, "max": spread.high}
