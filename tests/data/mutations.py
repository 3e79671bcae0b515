"""One thing done to the rows of a series behind the store's back, and the bar that a check must name for it."""

from dataclasses import dataclass

from hypothesis import strategies as st

from src.core.timeframe import MINUTE_NS
from tests.data.care import Row

__all__ = ["KINDS", "Mutation", "mutated", "mutations"]


@dataclass(frozen=True)
class Mutation:
    """What is done to which row; `column` and `value` are used where a number changes.

    Attributes:
        kind: changed, missing, duplicated, swapped (two rows), exchanged (the numbers of two bars), forming (a bar
            after the last one that has not closed) or early (one that was taken inside its minute).
        row: the row it happens to, counted round and round.
        to: where a copy goes, counted round and round.
    """

    kind: str
    row: int
    to: int
    column: int
    value: float


KINDS = ("changed", "missing", "duplicated", "swapped", "exchanged", "forming", "early")

mutations = st.builds(
    Mutation,
    kind=st.sampled_from(KINDS),
    row=st.integers(0, 99),
    to=st.integers(0, 99),
    column=st.integers(1, 5),
    value=st.sampled_from([-1.0, 0.0, 0.5, 100.5, 1e9, float("nan"), float("inf")]),
)


def mutated(rows: list[Row], what: Mutation) -> tuple[list[Row], set[int]]:
    """The rows afterwards, and the stamps of which at least one must be named."""
    rows = list(rows)
    i = what.row % len(rows)
    k = i + 1 if i + 1 < len(rows) else i - 1
    stamp = rows[i][0]
    if what.kind == "changed":
        rows[i] = _with(rows[i], what.column, what.value)
    elif what.kind == "missing":
        del rows[i]
    elif what.kind == "duplicated":
        rows.insert(what.to % (len(rows) + 1), rows[i])
    elif what.kind == "swapped":
        rows[i], rows[k] = rows[k], rows[i]
        return rows, {stamp, rows[i][0]}
    elif what.kind == "exchanged":
        rows[i], rows[k] = (rows[i][0], *rows[k][1:]), (rows[k][0], *rows[i][1:])
        return rows, {rows[i][0], rows[k][0]}
    elif what.kind == "forming":
        stamp = rows[-1][0] + MINUTE_NS
        rows.append((stamp, *rows[-1][1:]))
    else:
        stamp += 17_000_000_000
        rows.insert(i + 1, (stamp, *rows[i][1:]))
    return rows, {stamp}


def _with(row: Row, column: int, value: float) -> Row:
    changed = list(row)
    changed[column] = value
    return tuple(changed)  # type: ignore[return-value]  # as many numbers as before
