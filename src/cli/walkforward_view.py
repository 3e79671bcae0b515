"""What `walkforward` tells: funnel, verdicts with their reasons, windows, and what may be claimed.

Main thread. Nothing is cut off in the middle of a sentence: long texts go on in the next line, whatever the width.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.cli.output import Output
from src.cli.walkforward_groups import Group, sorted_out
from src.cli.walkforward_result import deciding, statuses
from src.core.timeframe import format_instant
from src.core.words import counted
from src.research.validation.ports import Candidate, Verdict
from src.research.validation.report import Timing, ValidationReport
from src.research.validation.report_words import (
    STABILITY_TEXT,
    SYNTHETIC_TEXT,
    best_text,
    claim_text,
    overfitting_text,
    p_text,
    ratio_text,
)

__all__ = ["show_report", "timing_text"]

_LONGEST_NAME = 28
_MOST_ERRORS = 10
_WIDEST = 120  # a line of prose that is longer is hard to read, however wide the terminal


def show_report(
    report: ValidationReport, out: Output, *, top: int, again: str, page: Path | None = None
) -> None:  # fmt: skip
    """Everything that people are told of a validation that has come to its end.

    Args:
        top: at most so many survivors, and so many others.
        again: the command that tries candidates again which could not be looked at.
        page: where the page of it was written; None where there is none.
    """
    found = sorted_out(report, top, _MOST_ERRORS)
    passed, by_id = found.passed, found.by_id
    out.say()
    if report.synthetic:
        out.say(f"SYNTHETIC: {SYNTHETIC_TEXT}", style="bold yellow")
        out.say()
    _show_funnel(report, out)
    _show_survivors(report, passed[:top], by_id, out)
    _show_windows(report, passed[:top], out)
    _show_daylight(report, passed[:top], out)
    if len(passed) > top:
        out.say(f"and {counted(len(passed) - top, 'more survivor')}; {_where(report)}")
        out.say()
    _show_others(report, found.others, by_id, top, out)
    _show_reoptimised(report, out)
    _show_claim(report, len(passed), out)
    _show_planted(report, passed, out)
    _show_end(report, found.broken, again, page, out)


def timing_text(timing: Timing) -> str:
    """The one line on the clock: wall-clock, single candidates added up, and what the processes were worth."""
    text = (
        f"{timing.wall_seconds:.1f} s: cheap phases {timing.cheap_seconds:.1f} s, walk-forward "
        f"{timing.walkforward_seconds:.1f} s with {counted(timing.workers, 'worker')}, single candidates "
        f"{timing.sum_seconds:.1f} s"
    )
    return text if timing.speed_up is None else f"{text}, speed-up {timing.speed_up:.2f}"


def _show_funnel(report: ValidationReport, out: Output) -> None:
    rows = [
        (phase, f"{came:,}", f"{rejected:,}", f"{skipped:,}", f"{came - rejected - skipped:,}")
        for phase, came, rejected, skipped in report.funnel
    ]
    out.table(("phase", "in", "rejected", "skipped", "left"), rows, numbers=("in", "rejected", "skipped", "left"))
    out.say()


def _show_survivors(
    report: ValidationReport, passed: Sequence[Verdict], by_id: Mapping[str, Candidate], out: Output
) -> None:
    if not passed:
        out.say("no candidate passes", style="bold")
        out.say()
        return
    with_p = report.cutoff_ns is not None
    heads = ["PASS", "trades", "mean R", "OOS R", "eff.", *(["p", "adj. p"] if with_p else []), "PSR", "DSR", "MinTRL"]
    rows = []
    for each in passed:
        sharpe = report.sharpes.get(each.candidate_id, {})
        rows.append(
            [
                _short(each.candidate_id), _number(_of(each, "sample", "trades")),
                _r(_of(each, "expectancy", "mean_r")), _r(_of(each, "stability", "test_mean_r")),
                _two(_of(each, "stability", "efficiency")),
                *([p_text(each.p_value), p_text(each.adjusted)] if with_p else []),
                ratio_text(sharpe.get("probabilistic")), ratio_text(sharpe.get("deflated")),
                _number(sharpe.get("minimum_track_record")),
            ]
        )  # fmt: skip
    _fit(heads, rows, out.width)
    out.table(heads, rows, numbers=heads[1:])
    out.say()
    labelled = [(_short(each.candidate_id), _labels(by_id[each.candidate_id])) for each in passed]
    if any(text for _, text in labelled):
        _columns(labelled, out)
        out.say()
    _say(_legend(report, heads), out)
    out.say()


def _legend(report: ValidationReport, heads: Sequence[str]) -> str:
    """What the columns are. There are two published probabilistic ratios, which differ; this says which one it is."""
    one = next(iter(report.sharpes.values()), {})
    about = {
        "OOS R": "mean of all trades in counted test windows",
        "eff.": "that over the mean of their trains",
        "p": f"how likely such R by day after the cut-off is without an edge ({report.p_value})",
        "adj. p": f"adjusted for the family, the line is {report.level:g}",
        "PSR": f"probabilistic Sharpe ratio of R by day ({one.get('variant')})",
        "DSR": f"deflated for {counted(one.get('trials', 0), 'trial')}",
        "MinTRL": "days with trades until PSR is 0.95",
    }
    hidden = () if one else ("PSR", "DSR", "MinTRL")
    return "; ".join(f"{head}: {about[head]}" for head in heads if head in about and head not in hidden) + "."


def _fit(heads: list[str], rows: list[list[str]], width: int) -> None:
    """Leave out columns, the least important first, until the table is no wider; nothing is cut off."""
    for name in ("MinTRL", "mean R", "PSR", "trades", "DSR", "eff.", "OOS R"):
        wide = [max(len(head), *(len(row[place]) for row in rows)) for place, head in enumerate(heads)]
        if sum(wide) + 2 * (len(wide) - 1) <= width:
            return
        place = heads.index(name)
        for line in (heads, *rows):
            del line[place]


def _show_windows(report: ValidationReport, passed: Sequence[Verdict], out: Output) -> None:
    """Test windows in a grid as wide as the terminal."""
    shown = [(each.candidate_id, report.windows.get(each.candidate_id, ())) for each in passed]
    if not any(windows for _, windows in shown):
        return
    _say("test windows: first month, net R/trades; those in brackets are not counted", out, style="bold")
    cells = {name: [_window_cell(each) for each in windows] for name, windows in shown}
    wide = max(len(cell) for row in cells.values() for cell in row)
    first = max(len(_short(name)) for name in cells)
    per_line = max(1, (_width(out) - first) // (wide + 2))
    for name, row in cells.items():
        for start in range(0, max(1, len(row)), per_line):
            head = _short(name) if start == 0 else ""
            out.say(
                "  ".join([head.ljust(first), *(cell.ljust(wide) for cell in row[start : start + per_line])]).rstrip()
            )
    out.say()


def _window_cell(window: Mapping[str, Any]) -> str:
    total = window["test_r"]
    text = f"{str(window['test_from'])[:7]} {'n/a' if total is None else f'{total:+.1f}'}/{window['test_trades']}"
    return text if window["label"] == "valid" else f"({text} {window['label']})"


def _show_daylight(report: ValidationReport, passed: Sequence[Verdict], out: Output) -> None:
    rows = []
    for each in passed:
        parts = [
            f"{row['session']} {row['verdict']}: winter {_r(row['winter_r'])} ({row['winter_trades']:,}), "
            f"summer {_r(row['summer_r'])} ({row['summer_trades']:,})"
            for row in report.daylight.get(each.candidate_id, ())
            if row["winter_trades"] or row["summer_trades"]
        ]
        if parts:
            rows.append((_short(each.candidate_id), "; ".join(parts)))
    if rows:
        _say("daylight saving of the session's zone: mean R (trades)", out, style="bold")
        _columns(rows, out)
        out.say()


def _show_others(
    report: ValidationReport, groups: Mapping[tuple[str, str], Group], by_id: Mapping[str, Candidate], top: int,
    out: Output,
) -> None:  # fmt: skip
    """Some of each kind, so that no way of failing is hidden by one that is frequent."""
    order = {phase: place for place, (phase, *_) in enumerate(report.funnel)}
    ranked = sorted(groups.items(), key=lambda item: (order.get(item[0][1], len(order)), item[0]))
    shares = _shares([group.count for _, group in ranked], top)
    count = sum(group.count for _, group in ranked)
    shown = 0
    for ((status, phase), group), share in zip(ranked, shares, strict=True):
        if share:
            out.say(f"{status} at {phase}: {counted(group.count, 'candidate')}", style="bold")
            shown_here = group.first[:share]
            _columns([(f"  {_short(each.candidate_id)}", _why(each, phase, by_id)) for each in shown_here], out)
            shown += share
    if count > shown:
        out.say(f"and {count - shown:,} more; {_where(report)}")
    if count:
        out.say()


def _why(verdict: Verdict, phase: str, by_id: Mapping[str, Candidate]) -> str:
    """The reason, and of a run of a suite what it is: its id alone says nothing."""
    labels = _labels(by_id[verdict.candidate_id])
    reason = verdict.reason.removeprefix(f"{phase}: ")
    return f"{reason} ({labels})" if labels else reason


def _shares(sizes: Sequence[int], top: int) -> list[int]:
    """How many of each group are shown: one after the other in turn, until so many are."""
    shares = [0] * len(sizes)
    while sum(shares) < min(top, sum(sizes)):
        for place, size in enumerate(sizes):
            if shares[place] < size and sum(shares) < top:
                shares[place] += 1
    return shares


def _show_claim(report: ValidationReport, passed: int, out: Output) -> None:
    """What may be said of the survivors together; without a cut-off nothing."""
    for warning in report.warnings:
        _say(f"warning: {warning}", out, style="yellow")
    if report.pbo is not None:
        _say(overfitting_text(report.pbo), out)
    if report.reality_check is not None:
        _say(best_text(report.reality_check), out)
    if report.kind == "stability" or report.cutoff_ns is None or report.family is None:
        _say(STABILITY_TEXT, out, style="bold")
        return
    claim = claim_text(
        method=report.method, level=report.level, family=report.family, cutoff_ns=report.cutoff_ns, passed=passed
    )
    _say(claim, out, style="bold")
    if report.method_note:
        _say(f"{report.method_note}.", out)


def _show_planted(report: ValidationReport, survivors: Sequence[Verdict], out: Output) -> None:
    """Of a generator it is known which candidates have an edge."""
    if all(each.planted is None for each in report.candidates):
        return
    passed = {each.candidate_id for each in survivors}
    planted = {each.candidate_id for each in report.candidates if each.planted}
    found = sorted(passed & planted)
    missed = [
        f"{each.candidate_id} ({deciding(each) or each.status.value})"
        for each in report.verdicts
        if each.candidate_id in planted and each.candidate_id not in passed
    ]
    wrong = sorted(passed - planted)
    _say(f"Found {len(found)} of {len(planted)} planted{': ' if found else ''}{', '.join(found)}", out)
    if missed:
        _say(f"Missed: {', '.join(missed)}", out)
    _say(f"Passed without being planted: {', '.join(wrong) or 'none'}", out)


def _show_reoptimised(report: ValidationReport, out: Output) -> None:
    """What was chosen for each window, and what it came to."""
    found = report.reoptimised
    if found is None:
        return
    best = "highest" if found.highest else "lowest"
    _say(f"chosen on each train by the {best} {found.objective}", out, style="bold")
    rows = []
    for each in found.windows:
        test = dict(each.test)
        head = f"{format_instant(each.window.test_from_ns)[:10]}{' partial' if each.window.partial else ''}"
        labels = ", ".join(f"{name}={value}" for name, value in each.labels)
        traded = f"{_number(test.get('trades'))} trades, {_r(test.get('total_r'))} R, equity {each.equity_to:,.2f}"
        rows.append((head, f"{labels or each.name}: {traded}" if each.name else each.reason))
    if rows:
        _columns(rows, out)
    change = f"{found.balance:,.2f} to {found.final_equity:,.2f} {found.currency}"
    _say(f"stitched {change}, efficiency {_two(found.efficiency)}", out)
    if found.error:
        out.error(found.error)
    out.say()


def _show_end(report: ValidationReport, broken: Group, again: str, page: Path | None, out: Output) -> None:
    out.say()
    for each in broken.first:
        out.error(f"{each.candidate_id}: {each.reason}")
    if broken.count > _MOST_ERRORS:
        out.error(f"and {broken.count - _MOST_ERRORS:,} more; {_where(report)}")
    states = ", ".join(f"{count:,} {status}" for status, count in statuses(report.verdicts).items())
    out.say(f"{report.outcome}: {states}", style="bold green" if report.exit_code == 0 else "bold red")
    out.say(timing_text(report.timing))
    if report.folder is None:
        out.say("dry run: nothing was written")
    else:
        out.say(f"validation  {report.folder}")
    if report.database is not None:
        out.say(f"verdicts    {report.database}")
    if page is not None:
        out.say(f"report      {page}")
    if broken.count:
        out.say(f"again       {again}")


def _of(verdict: Verdict, phase: str, name: str) -> Any:
    """A figure of a phase; None where it is not there."""
    return next((dict(each.figures).get(name) for each in verdict.phases if each.phase == phase), None)


def _where(report: ValidationReport) -> str:
    """Where the rest is."""
    if report.database is None:
        return "--top shows more, --json has them all"
    return f"--top shows more, --json and {report.database} have them all"


def _labels(candidate: Candidate) -> str:
    """What it is for people; of a generator's candidates that says nothing."""
    if candidate.planted is not None:
        return ""
    return ", ".join(f"{name}={value}" for name, value in candidate.labels)


def _columns(rows: Sequence[tuple[str, str]], out: Output) -> None:
    """Names, and beside each a text that goes on below itself."""
    first = max(len(name) for name, _ in rows)
    for name, text in rows:
        lines = textwrap.wrap(text, max(20, _width(out) - first - 2), break_on_hyphens=False) or [""]
        for place, line in enumerate(lines):
            out.say(f"{(name if place == 0 else '').ljust(first)}  {line}".rstrip())


def _say(text: str, out: Output, style: str = "") -> None:
    for line in textwrap.wrap(text, _width(out), break_on_hyphens=False, break_long_words=False):
        out.say(line, style=style)


def _width(out: Output) -> int:
    return max(40, min(out.width, _WIDEST))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 2]}.."


def _r(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.2f}"


def _two(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:,.0f}"
