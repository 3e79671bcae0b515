"""What the parts of a validation hand to one another: plain values, which cross the borders of processes.

Pure; any thread.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.record import record

__all__ = ["Candidate", "CandidateTrades", "Period", "PhaseResult", "Status", "Verdict"]


class Status(StrEnum):
    """How a phase, or a candidate as a whole, ended.

    ERROR is no verdict: something broke, nothing was found out, and the candidate is tried again.
    """

    PASS = "PASS"
    REJECT = "REJECT"
    SKIP = "SKIP"
    ERROR = "ERROR"


@record
class Period:
    """The time that the candidates were looked at: from the first instant to the one before the last."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidateTrades:
    """The closed trades of one candidate, ordered by entry, then exit, then place in their source.

    Attributes:
        entry_ns, exit_ns: instants; shape (n,).
        r_net: profit after all costs in units of the initial risk; finite; shape (n,).
        cost_r: what the costs took of it, at least 0 unless financing paid; None where nobody knows it. The profit
            before costs is `r_net + cost_r`.
        atr: average true range when the trade was entered, in any unit that is the same for all; None if unknown.
        session: the name of the session that each trade belongs to; None if there are none. Shape (n,), of texts.
        side: 1 for long, -1 for short; None if unknown.
    """

    entry_ns: IntArray
    exit_ns: IntArray
    r_net: FloatArray
    cost_r: FloatArray | None = None
    atr: FloatArray | None = None
    session: "np.ndarray[Any, np.dtype[Any]] | None" = None
    side: IntArray | None = None

    def __len__(self) -> int:
        return len(self.r_net)

    def chosen(self, mask: "np.ndarray[Any, np.dtype[np.bool_]]") -> "CandidateTrades":
        """Only the trades for which it holds; shape (n,)."""
        return CandidateTrades(
            entry_ns=self.entry_ns[mask], exit_ns=self.exit_ns[mask], r_net=self.r_net[mask],
            cost_r=None if self.cost_r is None else self.cost_r[mask],
            atr=None if self.atr is None else self.atr[mask],
            session=None if self.session is None else self.session[mask],
            side=None if self.side is None else self.side[mask],
        )  # fmt: skip


@record
class Candidate:
    """One candidate, without its trades.

    Attributes:
        number: its place among the candidates ordered by id, from 0; what a worker asks for.
        candidate_id: unique; of a suite the id of the run.
        labels: what it is for people (parameters, symbols), plain values.
        given: figures that its source had computed already, by column name; kept as they are and labelled as given,
            never used for a verdict.
        trial: what the trial ledger knows it by (configuration hash); its id where there is no ledger.
        planted: whether a generator gave it an edge; None where nobody can know.
    """

    number: int
    candidate_id: str
    labels: tuple[tuple[str, Any], ...] = ()
    given: tuple[tuple[str, Any], ...] = ()
    trial: str = ""
    planted: bool | None = None


@record
class PhaseResult:
    """What one phase found out about a candidate.

    Attributes:
        phase: its name: `sample`, `expectancy`, `years`, `cost_stress`, `sharpe`, `drawdown`, `stability`,
            `significance`.
        status: PASS, REJECT or SKIP. A phase that is switched off gives no result at all.
        reason: a sentence with the numbers: what was expected, what was found. Of a PASS it may be empty.
        warning: a sentence; empty if there is nothing to warn of.
        figures: the numbers it is based on, plain finite values or None, in a fixed order.
    """

    phase: str
    status: Status
    reason: str = ""
    warning: str = ""
    figures: tuple[tuple[str, Any], ...] = ()


@record
class Verdict:
    """What became of one candidate.

    Attributes:
        status: ERROR if it broke, else REJECT if any phase rejects, else SKIP if any had to be left out, else PASS.
        reason: of the first phase that decided; of a PASS empty.
        p_value: one-sided for a mean above 0 on the trades after the discovery cut-off; 1 where a phase failed or
            nothing is known; None without a cut-off.
        adjusted: the p-value adjusted for the whole family; None without a cut-off.
    """

    candidate_id: str
    status: Status
    reason: str
    phases: tuple[PhaseResult, ...]
    p_value: float | None = None
    adjusted: float | None = None
