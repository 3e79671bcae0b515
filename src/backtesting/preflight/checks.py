"""The checks of one symbol's bars, on the arrays that a run will use.

Pure; any thread. Each check looks at a column once or at the holes alone, so that all of them together cost a fraction
of reading the rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from src.backtesting.config import EVERY_SYMBOL, AcceptedGapSection, BacktestConfig, GapSection
from src.backtesting.preflight.holes import Holes, absent_between, enough_ns, find_holes
from src.backtesting.preflight.mending import Mender, hours_text, instant_text
from src.backtesting.preflight.report import ERROR, INFO, WARNING, Finding, SeriesReport
from src.core.bars import BarSeries, IntArray
from src.core.calendars import ALWAYS, FOREX, BoolArray, Calendar
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, format_duration, format_instant
from src.core.words import counted

__all__ = ["Allowance", "Demand", "Subject", "allowance_of", "examine_series", "examine_values"]

#: The longest hole, in open hours. The forex week has no holidays of its own: Christmas and New Year are holes of it.
LONGEST_NS = 12 * HOUR_NS
LONGEST_FOREX_NS = 36 * HOUR_NS
#: A thin market has no trade in most of its minutes.
ABSENT_SHARE = 0.9
#: A hole of so many bars is never too long.
_FREE_BARS = 3
#: So much of a window outside of the calendar's sessions is no longer a bar before the open: it is another calendar.
_OUTSIDE_SHARE = 0.05
_HOLES_SHOWN = 3
#: So many closings of the market tell whether its bars carry the stamp of their close.
_LEAST_CLOSINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be absent of a symbol's bars; durations count open hours."""

    longest_ns: int
    absent_share: float
    no_entry_ns: int
    accepted: tuple[AcceptedGapSection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A strategy that looks back on so many bars of a timeframe."""

    strategy: str
    timeframe_ns: int
    lookback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One symbol's bars with what they are judged by.

    Attributes:
        derived: higher timeframes by their length in ns.
        generated: the bars begin where the configuration says so; there is no source to ask for earlier ones.
        start_ns, end_ns: the window of the run.
    """

    base: BarSeries
    derived: Mapping[int, BarSeries]
    source: str
    generated: bool
    calendar: Calendar
    allowance: Allowance
    demands: Sequence[Demand]
    start_ns: int
    end_ns: int
    mender: Mender

    @property
    def stamps(self) -> IntArray:
        """The opens of the loaded bars."""
        return self.base.open_ns[: self.base.loaded]


def allowance_of(config: BacktestConfig, symbol: str, calendar: Calendar) -> Allowance:
    """The configured limits of a symbol, with the defaults for what is not stated."""
    data = config.backtest.data
    own = data.gaps.get(symbol, data.gaps.get(EVERY_SYMBOL, GapSection()))
    usual_ns = LONGEST_FOREX_NS if calendar.name == FOREX else LONGEST_NS
    return Allowance(
        longest_ns=usual_ns if own.longest_ns is None else own.longest_ns,
        absent_share=ABSENT_SHARE if own.absent_share is None else own.absent_share,
        no_entry_ns=data.no_entry_across_ns,
        accepted=tuple(one for one in data.accept_gaps if one.symbol == symbol),
    )


def examine_series(
    subject: Subject, everything_accepted: Sequence[AcceptedGapSection]
) -> tuple[SeriesReport, list[Finding]]:
    """Judge the bars of one symbol.

    Args:
        everything_accepted: of all symbols, because a command that accepts one more hole has to repeat them.

    Raises:
        ConfigError: the calendar does not know the time of the bars.
    """
    base, calendar, limit = subject.base, subject.calendar, subject.allowance
    stamps, length = subject.stamps, base.timeframe_ns
    holes = find_holes(stamps, length, calendar)
    # In whole bars, because a thin market has so many holes that each further column of numbers counts.
    longest, no_entry = max(limit.longest_ns // length, _FREE_BARS), max(limit.no_entry_ns // length, 1)
    accepted = _is_accepted(holes, limit.accepted)
    left = holes.bars if accepted is None else holes.bars[~accepted]
    long = np.flatnonzero(holes.bars > longest)
    if accepted is not None:
        long = long[~accepted[long]]
    mapping, mapped = _mapping(subject)
    warmup, warmed = _warmup(subject)
    report = SeriesReport(
        symbol=base.symbol, timeframe_ns=length, calendar=calendar.name, source=subject.source, bars=base.loaded,
        first_ns=int(stamps[0]), last_ns=int(stamps[-1]), expected=base.loaded + int(left.sum()),
        absent=int(left.sum()), longest_ns=int(left.max(initial=0)) * length,
        no_entry=int(np.count_nonzero(holes.bars > no_entry)),
        accepted=0 if accepted is None else int(np.count_nonzero(accepted)),
        refused=tuple((int(holes.start_ns[i]), int(holes.end_ns[i]), int(holes.bars[i]) * length) for i in long),
        warmup=warmup, mapping=mapping,
    )  # fmt: skip
    findings = [*examine_values(subject), *_stamps(subject)]
    findings += _long_holes(subject, report, everything_accepted)
    findings += _share(subject, report, holes)
    findings += [*_edges(subject), *_outside(subject), *warmed, *mapped]
    if length != MINUTE_NS:
        findings.append(_finding(
            subject, INFO, "coarse",
            f"there are no 1-minute bars, orders are matched on bars of {format_duration(length)}",
        ))  # fmt: skip
    return report, findings


def _finding(subject: Subject, severity: str, code: str, words: str, mend: str = "") -> Finding:
    symbol = subject.base.symbol
    return Finding(severity=severity, code=code, symbol=symbol, sentence=f"{symbol}: {words}", mend=mend)


# -- bars ---


def examine_values(subject: Subject) -> list[Finding]:
    """Judge the numbers of each bar alone, also of bars whose stamps make no series."""
    base = subject.base
    n = base.loaded
    o, h, l_, c, v = (getattr(base, name)[:n] for name in ("open", "high", "low", "close", "volume"))
    # Comparisons with what is no number are false, so that each of these holds for numbers only.
    inside = (h >= o) & (h >= c) & (l_ <= o) & (l_ <= c)
    if inside.all() and l_.min() > 0 and h.max() < np.inf and v.min() >= 0 and v.max() < np.inf:
        return []
    good = inside & (l_ > 0) & (h < np.inf) & (v >= 0) & (v < np.inf)
    bad = np.flatnonzero(~good)
    i = int(bad[0])
    words = (
        f"{counted(len(bad), 'bar')} cannot be right, the first one at {instant_text(int(base.open_ns[i]))}: expected "
        f"finite prices above zero, open and close between low and high, and a volume of 0 or more, found open "
        f"{float(o[i])!r}, high {float(h[i])!r}, low {float(l_[i])!r}, close {float(c[i])!r}, volume {float(v[i])!r}"
    )
    return [_finding(subject, ERROR, "wrong_bar", words, subject.mender.healing())]


def _stamps(subject: Subject) -> list[Finding]:
    stamps, length = subject.stamps, subject.base.timeframe_ns
    steps = stamps[1:] - stamps[:-1]
    uneven = steps[steps != length]
    if int(stamps[0]) % MINUTE_NS or (uneven // MINUTE_NS * MINUTE_NS != uneven).any():
        i = int(np.flatnonzero(stamps % MINUTE_NS)[0])
        words = (
            f"the bar stamped {format_instant(int(stamps[i]))} opens inside a minute; expected the stamp of a bar's "
            "open, on a whole minute: import the file again with the stamp that it really has"
        )
        return [_finding(subject, ERROR, "stamp", words, subject.mender.importing(subject.base.symbol))]
    if subject.calendar.name == ALWAYS or length >= DAY_NS:
        return []
    return _closing_stamps(subject)


def _closing_stamps(subject: Subject) -> list[Finding]:
    """Bars at the instants of closing and none at those of opening: their stamps are those of their closes."""
    stamps = subject.stamps
    sessions = subject.calendar.sessions(int(stamps[0]), int(stamps[-1]) + 1)
    apart = np.flatnonzero(sessions.close_ns[:-1] < sessions.open_ns[1:])
    closing, opening = sessions.close_ns[apart], sessions.open_ns[apart + 1]
    inside = (closing > stamps[0]) & (opening <= stamps[-1])
    closing, opening = closing[inside], opening[inside]
    if len(closing) < _LEAST_CLOSINGS:
        return []
    at_close, at_open = (int(np.count_nonzero(_has(stamps, instants))) for instants in (closing, opening))
    if at_close < 0.9 * len(closing) or at_open > 0.1 * len(opening):
        return []
    words = (
        f"at {at_close} of {len(closing)} closings of {subject.calendar.name} a bar has the stamp of the closing, "
        f"and at {counted(at_open, 'opening')} there is a bar; expected the stamp of a bar's open: import the "
        "file again with --stamp close"
    )
    mend = subject.mender.importing(subject.base.symbol)
    return [_finding(subject, ERROR, "stamp", words, mend and f"{mend} --stamp close")]


def _has(stamps: IntArray, instants: IntArray) -> BoolArray:
    place = np.minimum(np.searchsorted(stamps, instants), len(stamps) - 1)
    found: BoolArray = stamps[place] == instants
    return found


# -- holes ---


def _is_accepted(holes: Holes, accepted: Sequence[AcceptedGapSection]) -> BoolArray | None:
    """Which holes lie in an accepted span; None when no span is accepted."""
    if not accepted:
        return None
    found = np.zeros(len(holes.bars), np.bool_)
    for one in accepted:
        found |= (holes.start_ns >= one.from_ns) & (holes.end_ns <= one.to_ns)
    return found


def _long_holes(
    subject: Subject, report: SeriesReport, everything_accepted: Sequence[AcceptedGapSection]
) -> list[Finding]:
    if not report.refused:
        return []
    refused, length = report.refused, subject.base.timeframe_ns
    longest = sorted(refused, key=lambda hole: (-hole[2], hole[0]))[:_HOLES_SHOWN]
    listed = "; ".join(f"{instant_text(a)} to {instant_text(b)} ({hours_text(c)})" for a, b, c in longest)
    more = f", and {len(refused) - len(longest)} more" if len(refused) > len(longest) else ""
    limit_ns = max(subject.allowance.longest_ns, _FREE_BARS * length)
    words = (
        f"{counted(len(refused), 'hole')} longer than {hours_text(limit_ns)} of open hours by calendar "
        f"{report.calendar}: {listed}{more}; get the bars, or list the holes under backtest.data.accept_gaps with a "
        f"reason, or name the right instruments.{report.symbol}.calendar"
    )
    mender, spans = subject.mender, [(a, b) for a, b, _ in refused]
    answered = mender.count_answered(subject.base, report.source, spans)
    if answered:
        which = "this" if len(spans) == 1 else f"{answered} of these" if answered < len(spans) else "all of these"
        words += f"; {report.source} was asked for {which} and has no bars there"
    mend = mender.syncing(subject.base, report.source, spans)
    mend = mend or mender.accepting(everything_accepted, report.symbol, spans)
    return [_finding(subject, ERROR, "hole", words, mend)]


def _share(subject: Subject, report: SeriesReport, holes: Holes) -> list[Finding]:
    limit = subject.allowance.absent_share
    if report.absent_share <= limit:
        return []
    words = (
        f"{report.absent:,} of {counted(report.expected, 'bar')} {'is' if report.absent == 1 else 'are'} absent by "
        f"calendar {report.calendar}, {100 * report.absent_share:.1f} %; expected at most {100 * limit:g} %: get the "
        f"bars, or say that so many may be absent"
    )
    mender = subject.mender
    spans = list(zip(holes.start_ns.tolist(), holes.end_ns.tolist(), strict=True))
    mend = mender.syncing(subject.base, report.source, spans)
    share = min(1.0, -(-report.absent_share * 100 // 1) / 100)
    mend = mend or mender.setting({f"backtest.data.gaps.{report.symbol}.absent_share": f"{share:g}"})
    return [_finding(subject, ERROR, "absent", words, mend)]


# -- coverage ---


def _edges(subject: Subject) -> list[Finding]:
    """Bars that begin late or end early inside the window: the symbol is traded for a part of it only."""
    stamps, length, calendar = subject.stamps, subject.base.timeframe_ns, subject.calendar
    first_ns, end_ns = int(stamps[0]), int(stamps[-1]) + length
    grid_ns = first_ns - (first_ns - subject.start_ns) // length * length
    limit_ns = max(subject.allowance.longest_ns, _FREE_BARS * length)
    out = []
    for code, from_ns, until_ns, words in (
        ("begins_late", grid_ns, first_ns, f"the bars begin at {instant_text(first_ns)}"),
        ("ends_early", end_ns, subject.end_ns, f"the bars end at {instant_text(end_ns)}"),
    ):
        if until_ns <= from_ns:
            continue
        absent = absent_between(np.array([from_ns]), np.array([until_ns]), length, calendar)
        missing_ns = int(absent.bars.sum()) * length
        if missing_ns > limit_ns:
            mend = subject.mender.syncing(subject.base, subject.source, [(from_ns, until_ns)])
            words = (
                f"{words}, the window is {instant_text(subject.start_ns)} to {instant_text(subject.end_ns)}: "
                f"{hours_text(missing_ns)} of open hours are missing, in which it is not traded"
            )
            out.append(_finding(subject, WARNING, code, words, mend))
    return out


def _outside(subject: Subject) -> list[Finding]:
    """Many bars at times at which the market of the calendar is closed: it is not the calendar of these bars.

    A bar counts as inside when it overlaps a session. Counted by session and not by bar, of which there are far more.
    """
    calendar, length = subject.calendar, subject.base.timeframe_ns
    begin, end = (int(i) for i in np.searchsorted(subject.stamps, (subject.start_ns, subject.end_ns)))
    stamps = subject.stamps[begin:end]
    if calendar.name == ALWAYS or length >= DAY_NS or not len(stamps):
        return []
    sessions = calendar.sessions(int(stamps[0]), int(stamps[-1]) + length)
    last = np.searchsorted(stamps, sessions.close_ns)
    first = np.searchsorted(stamps, sessions.open_ns - length, side="right")
    first[1:] = np.maximum(first[1:], last[:-1])  # a bar across two sessions counts once
    outside = len(stamps) - int(np.maximum(last - first, 0).sum())
    if outside <= _OUTSIDE_SHARE * len(stamps):
        return []
    words = (
        f"{outside:,} of {counted(len(stamps), 'bar')} in the window, {100 * outside / len(stamps):.1f} %, lie outside "
        f"the sessions of calendar {calendar.name}; expected at most {100 * _OUTSIDE_SHARE:g} %: name the right "
        f"instruments.{subject.base.symbol}.calendar, 24/7 where the market never closes"
    )
    return [_finding(subject, WARNING, "outside", words)]


def _warmup(subject: Subject) -> tuple[dict[int, tuple[int, int]], list[Finding]]:
    """Bars before the window for each timeframe that somebody looks back on."""
    found: dict[int, tuple[int, int]] = {}
    findings = []
    for demand in sorted(subject.demands, key=lambda one: -one.lookback):
        length = demand.timeframe_ns
        if not demand.lookback or length in found:
            continue
        series = subject.base if length == subject.base.timeframe_ns else subject.derived[length]
        there = series.count_closed(subject.start_ns)
        found[length] = demand.lookback, min(there, demand.lookback)
        if there < demand.lookback:
            findings.append(_cold(subject, demand, series, there))
    return dict(sorted(found.items())), findings


def _cold(subject: Subject, demand: Demand, series: BarSeries, there: int) -> Finding:
    length, missing = demand.timeframe_ns, demand.lookback - there
    warm_ns = series.close_of(demand.lookback - 1) if series.loaded >= demand.lookback else None
    until = "in the whole window" if warm_ns is None else f"before {instant_text(warm_ns)}"
    words = (
        f"{demand.strategy} looks back on {counted(demand.lookback, 'bar')} of {format_duration(length)} and {there} "
        f"{'has' if there == 1 else 'have'} closed before {instant_text(subject.start_ns)}; {missing} "
        f"{'is' if missing == 1 else 'are'} missing ({hours_text(missing * length)}), its features are undefined "
        f"{until}"
    )
    if subject.generated:
        begins_ns = subject.start_ns - enough_ns(2 * demand.lookback * length, subject.calendar.name)
        begins = {"backtest.data.begins": instant_text(begins_ns // DAY_NS * DAY_NS)}
        return _finding(subject, WARNING, "warmup", words, subject.mender.setting(begins))
    earlier_ns = subject.start_ns - enough_ns(2 * missing * length, subject.calendar.name)
    mend = subject.mender.syncing(subject.base, subject.source, [(earlier_ns, subject.start_ns)])
    if not mend and warm_ns is not None and warm_ns < subject.end_ns:
        mend = subject.mender.setting({"backtest.start": instant_text(warm_ns)})
    return _finding(subject, WARNING, "warmup", words, mend)


def _mapping(subject: Subject) -> tuple[dict[int, tuple[int, int]], list[Finding]]:
    """Which base bars each bar of a higher timeframe is made of; every base bar belongs to exactly one."""
    base, stamps = subject.base, subject.stamps
    found: dict[int, tuple[int, int]] = {}
    findings = []
    for length, series in sorted(subject.derived.items()):
        n = series.loaded
        if not n:
            found[length] = 0, 0
            continue
        opens, closes = series.open_ns[:n], series.closes(0, n)
        first, end = np.searchsorted(stamps, opens), np.searchsorted(stamps, closes)
        wanted = (closes - opens) // base.timeframe_ns
        found[length] = n, int(np.count_nonzero(end - first >= wanted))
        lost = int(first[0]) + int((first[1:] - end[:-1]).sum())
        if lost:
            findings.append(_finding(
                subject, WARNING, "unmapped",
                f"{counted(lost, 'bar')} of {format_duration(base.timeframe_ns)} "
                f"{'belongs' if lost == 1 else 'belong'} to no bar of {format_duration(length)}, being outside the "
                f"sessions of calendar {subject.calendar.name}",
            ))  # fmt: skip
    return found, findings
