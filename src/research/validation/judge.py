"""What a worker does: the walk-forward of a few candidates, of which it gets numbers, parameters and a path.

Reads the trades by itself, in a connection of its own that only reads and is closed before anything is computed. What
comes back is a function of the candidate and the parameters alone. A candidate that breaks fails alone.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from src.core.record import record
from src.core.sync import monotonic_ns
from src.core.timeframe import DAY_NS
from src.research.validation.daylight import daylight_split
from src.research.validation.figures import total_r
from src.research.validation.judged_book import JudgedLine, judged_line
from src.research.validation.ports import CandidateTrades, Period
from src.research.validation.purged_splits import purged_splits
from src.research.validation.pvalues import p_value
from src.research.validation.section import ValidationSection
from src.research.validation.stability import stability
from src.research.validation.trade_file import read_trades
from src.research.validation.windows import entered_in

__all__ = [
    "JudgeAnswer", "JudgeTask", "Parameters", "judge_chunk", "judged", "parameters_text", "significance", "why_broken",
]  # fmt: skip


@record
class Parameters:
    """What every candidate is judged by."""

    section: ValidationSection
    period: Period


@record
class JudgeTask:
    """Some candidates for a worker.

    Attributes:
        candidates: number and id of each.
        path: of the file of trades.
        parameters: see `parameters_text`.
    """

    candidates: tuple[tuple[int, str], ...]
    path: str
    parameters: str


@record
class JudgeAnswer:
    """What became of the candidates of a task.

    Attributes:
        lines: one for each, in the order of the task; see `judged`.
        seconds: real time; no function of the candidates.
    """

    lines: tuple[JudgedLine, ...]
    seconds: float


def parameters_text(section: ValidationSection, period: Period) -> str:
    """The parameters as one text."""
    dumped = section.model_dump(mode="json", by_alias=True)
    return json.dumps({"section": dumped, "period": [period.start_ns, period.end_ns]}, sort_keys=True)


@lru_cache(maxsize=4)
def _parameters(text: str) -> Parameters:
    read = json.loads(text)
    start_ns, end_ns = read["period"]
    return Parameters(
        section=ValidationSection.model_validate(read["section"]), period=Period(start_ns=start_ns, end_ns=end_ns)
    )


def judge_chunk(task: JudgeTask) -> JudgeAnswer:
    """Judge the candidates of a task.

    Raises:
        DataError: the trades cannot be read, which is nothing that any candidate has done.
    """
    began = monotonic_ns()
    parameters = _parameters(task.parameters)
    bare = not parameters.section.daylight.zones  # nothing else asks for sessions
    trades = read_trades(Path(task.path), [number for number, _ in task.candidates], bare=bare)
    lines = tuple(judged_line(judged(name, number, trades[number], parameters)) for number, name in task.candidates)
    return JudgeAnswer(lines=lines, seconds=(monotonic_ns() - began) / 1e9)


def judged(candidate_id: str, number: int, trades: CandidateTrades, parameters: Parameters) -> dict[str, Any]:
    """The walk-forward of one candidate, as plain values for a line of the records.

    Returns:
        `number`, `id`, and either `error`, a sentence, or `status`, `reason`, `warning` and `figures` of the phase
        `stability`, its `windows`, the `daylight` split, and with a cut-off `p`: value, clusters, note.
    """
    section = parameters.section
    told: dict[str, Any] = {"number": number, "id": candidate_id}
    try:
        trades = entered_in(trades, parameters.period)
        phase, windows = stability(trades, section.walkforward, parameters.period, section.discovery_cutoff_ns)
        told |= {
            "status": phase.status.value, "reason": phase.reason, "warning": phase.warning,
            "figures": [list(each) for each in (*phase.figures, *_combinations(trades, section))],
            "windows": list(windows), "daylight": list(daylight_split(trades, section.daylight)),
        }  # fmt: skip
        if section.discovery_cutoff_ns is not None:
            told["p"] = significance(candidate_id, trades, section)
    except MemoryError:
        raise
    except Exception as error:
        return {"number": number, "id": candidate_id, "error": why_broken(error)}
    return told


def _combinations(trades: CandidateTrades, section: ValidationSection) -> Iterator[tuple[str, Any]]:
    """How many of the combinatorial tests are positive, where that is asked for and there are trades enough."""
    asked = section.walkforward.combinatorial
    if asked is None or len(trades) < asked.groups:
        return
    sums = [
        total_r(trades.r_net[each.test])
        for each in purged_splits(trades.entry_ns, trades.exit_ns, groups=asked.groups, tested=asked.tested)
    ]
    yield "combinations", len(sums)
    yield "combinations_positive", sum(each is not None and each > 0 for each in sums)


def significance(candidate_id: str, trades: CandidateTrades, section: ValidationSection) -> dict[str, Any]:
    """The p-value of the trades after the cut-off: value, how many trades and days it is based on, its note, and of one
    that was resampled the least that it could have been."""
    later = trades.entry_ns >= np.int64(section.discovery_cutoff_ns or 0)
    r, days = trades.r_net[later], trades.entry_ns[later] // DAY_NS
    found = p_value(section.multiple_testing.p_value, r, days, section.multiple_testing, candidate_id)
    told = {"value": found.value, "trades": len(r), "days": found.clusters, "note": found.note}
    return told | {"floor": found.floor} if found.floor else told


def why_broken(error: BaseException) -> str:
    """The sentence of a candidate that broke."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" in {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
    return f"{type(error).__name__}{where}: {error}"
