"""The sentences of what a validation may claim, and of what it may not: the terminal and the page say the same.

Pure; any thread.
"""

import re
from collections.abc import Mapping
from typing import Any

from src.core.timeframe import format_instant
from src.core.words import counted
from src.research.validation.false_discovery import assumption
from src.research.validation.family import Family

__all__ = ["STABILITY_TEXT", "SYNTHETIC_TEXT", "best_text", "claim_text", "method_note", "overfitting_text", "p_text",
           "ratio_text"]  # fmt: skip

SYNTHETIC_TEXT = "generated trades or a generated market; what passes here says nothing about a market"
STABILITY_TEXT = (
    "This is a test of stability: no discovery_cutoff is declared, so the windows may show what the candidates were "
    "chosen for, no p-value is computed, and nothing is known of how many of those that pass are luck."
)
_METHODS = {"by": "Benjamini-Yekutieli", "bh": "Benjamini-Hochberg"}


def claim_text(*, method: str, level: float, family: Family, cutoff_ns: int, passed: int) -> str:
    """What may be said of the survivors together.

    Args:
        passed: how many there are.
    """
    how = f"{_METHODS.get(method, method)}, {family.told}"
    when = f"trades entered from {format_instant(cutoff_ns)[:10]} on"
    percent = f"{100 * level:g} %"
    if not passed:
        return f"None passes at {percent} ({how}; {when}), so nothing is claimed."
    # Of a share that holds on average nothing follows for the very candidates that passed this time.
    these = f"of what passes, here {counted(passed, 'candidate')}, is"
    return f"At most {percent} {these} expected to be false ({how}; {when})."


def overfitting_text(pbo: Mapping[str, Any]) -> str:
    """The probability of backtest overfitting, and what it is."""
    return (
        f"Probability of backtest overfitting {ratio_text(pbo['probability'])}: so often the best of one half of the "
        f"time is not above the median of {counted(pbo['candidates'], 'candidate')} in the other, and "
        f"{ratio_text(pbo['loss'])} it loses there (CSCV, {pbo['blocks']} blocks, {pbo['combinations']:,} "
        f"combinations, by {pbo['measure']})."
    )


def best_text(found: Mapping[str, Any]) -> str:
    """What a reality check has found out."""
    name = {"spa": "Hansen's test of superior predictive ability", "white": "White's reality check"}[found["variant"]]
    floor = ", which is the least that so many resamples can show" if found["value"] <= found["floor"] else ""
    return (
        f"That the best of {counted(found['candidates'], 'candidate')} is no better than none has p "
        f"{p_text(found['value'])}{floor} ({name}, {counted(found['periods'], 'week')} after the cut-off)."
    )


def method_note(method: Any, notes: Mapping[str, int]) -> str:
    """What the correction rests on, and what was said of p-values: notes that differ in numbers alone are told once.

    Args:
        notes: each with how many p-values it was said of.
    """
    kinds = dict[str, list[Any]]()
    for note, count in notes.items():
        kind = kinds.setdefault(re.sub(r"\d+", "#", note), [0, note])
        kind[0] += count
    told = [
        f"{counted(count, 'p-value')}{', as one says' if count > 1 else ''}: {note}" for count, note in kinds.values()
    ]
    return "; ".join([assumption(method), *told])


def ratio_text(value: float | None) -> str:
    """A probability."""
    return "n/a" if value is None else f"{value:.3f}"


def p_text(value: float | None) -> str:
    """A p-value."""
    return "n/a" if value is None else f"{value:.2g}"
