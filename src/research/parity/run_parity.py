"""A recorded run held against its replay, against another run, against the store, and against simulated fills.

Called by one thread.
"""

from collections.abc import Iterable
from dataclasses import replace

from src.core.bars import BarSeries
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.core.words import counted
from src.live.control import OPERATOR
from src.live.recording import Entry
from src.research.parity.asked import asked_of, market_of
from src.research.parity.decisions import Decision, decisions_of
from src.research.parity.fill_errors import FillReport, fill_errors
from src.research.parity.recorded import RecordedRun, RunSide
from src.research.parity.report import ParityReport, parity_between
from src.research.parity.seen import SeenBar, evidence_of_journal, evidence_of_recording, with_records
from src.research.replay import ReplayedRun

__all__ = ["parity_of_replay", "parity_with", "simulated_fills"]


def parity_of_replay(
    run: RecordedRun, replayed: ReplayedRun, *, late_ns: int = SECOND_NS, stored: Iterable[BarSeries] = (),
    entries: Iterable[Entry] | None = None,
) -> ParityReport:  # fmt: skip
    """Compare what a run decided with what its replay decided.

    A replay ends with the first thing that is not as it was recorded, so there is at most one difference.

    Args:
        late_ns: see `explain`.
        stored: the bars of the store for the span of the run: where they are others, that may be the cause.
        entries: what the replay was fed with, where that is not what was recorded.
    """
    records = replayed.records
    evidence = with_records(run.evidence, records) if entries is None else evidence_of_recording(entries, records)
    again = RunSide(name="replay", decisions=decisions_of(records, run.instruments), evidence=evidence)
    report = parity_between(
        _with_bars(run.side(), stored), again, frames=dict(run.frames), late_ns=late_ns, diverged=replayed.difference
    )
    if replayed.difference is None:
        return report
    first = min(report.explained, key=lambda each: each.difference.decision.instant_ns, default=None)
    return replace(report, explained=() if first is None else (first,))


def parity_with(run: RecordedRun, other: RunSide, *, late_ns: int = SECOND_NS) -> ParityReport:
    """Compare what another run decided, the reference, with what this one did, in the span that both cover.

    What the operator commanded is left out: it is no decision of the bot.

    Args:
        late_ns: see `explain`.
    """
    mine, frames = run.side(), dict(run.frames)
    first_ns, last_ns = max(other.first_ns, mine.first_ns), min(other.last_ns, mine.last_ns)
    sides = [_within(each, first_ns, last_ns, frames) for each in (other, mine)]
    report = parity_between(*sides, frames=frames, late_ns=late_ns)
    commands = sum(each.participant == OPERATOR for each in (*other.decisions, *mine.decisions))
    if not commands:
        return report
    note = f"{counted(commands, 'command')} of the operator left out"
    return replace(report, notes=(*report.notes, note))


def _within(side: RunSide, first_ns: int, last_ns: int, frames: dict[str, int]) -> RunSide:
    """The side with what the bot itself decided at the bars of a span."""

    def belongs(decision: Decision) -> bool:
        bar_ns = decision.instant_ns - decision.instant_ns % frames.get(decision.symbol, MINUTE_NS)
        return first_ns < bar_ns <= last_ns and decision.participant != OPERATOR

    return replace(side, decisions=[each for each in side.decisions if belongs(each)])


def simulated_fills(run: RecordedRun) -> FillReport:
    """How far the fills of a run lie from simulated ones.

    Raises:
        ConfigError, PreflightError: its configuration tells no costs, or the account is a hedging one.
        DataError: no quotes were recorded.
    """
    asked, _ = asked_of(run.evidence, run.decisions, run.records)
    return fill_errors(
        asked, run.evidence.fills, market_of(run.evidence, run.sides), account=run.config().account,
        instruments=run.instruments, costs=run.costs(),
        held={(symbol, book): volume for symbol, book, volume in run.evidence.held},
    )  # fmt: skip


def _with_bars(side: RunSide, stored: Iterable[BarSeries]) -> RunSide:
    """The side as if it had seen the stored bars, each when it saw its own."""
    bars = dict(side.evidence.bars)
    for key, bar in evidence_of_journal((), stored).bars.items():
        bars[key] = SeenBar(values=bar.values, seen_ns=bars[key].seen_ns if key in bars else bar.seen_ns)
    return replace(side, evidence=replace(side.evidence, bars=bars))
