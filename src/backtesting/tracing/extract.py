"""What a report keeps of a trace: who was busy when, what time went into, and the surroundings of the longest turns.

A trace has a span for each call and is too long for a page; this is as much whatever the run's length. Used after a run
by the thread that ran it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from src.backtesting.tracing.probe import Probe
from src.backtesting.tracing.track import Kind, Span, Track
from src.core.bars import FloatArray, IntArray

__all__ = ["LONGEST_TURNS", "MOST_SPANS", "STRETCHES", "trace_extract"]

#: Equal parts of the run's real time, for each of which busy time is added up.
STRETCHES = 120
#: The turns whose surroundings are kept, and how many spans of each.
LONGEST_TURNS = 12
MOST_SPANS = 240

_LEAST_MARGIN_NS = 20_000
#: What a turn's or a step's time is shown as.
_PARTS = {
    Kind.TURN: "bot", Kind.STRATEGY: "strategy", Kind.BROKER: "broker", Kind.LOCK: "lock", Kind.STEP: "step",
}  # fmt: skip

#: Begin, end, and whether the time counts or is taken off again, because it belongs to what lies inside.
_Interval = tuple[int, int, int]


def trace_extract(probe: Probe) -> dict[str, Any] | None:
    """Plain values for JSON; None where no spans were kept.

    Returns:
        `elapsed_s`, the real time that the spans reach to; `complete`, whether all spans were kept; `threads`, the
        participants in order; `busy`, for each of them the seconds inside its turns in each of `STRETCHES` equal
        stretches of that time; `parts`, the same by what the time went into, over all participants, so that the parts
        together are all turns and steps; `turns`, the longest turns, the longest first: `thread`, `begin_s`, `seconds`,
        `virtual_ns`, and `spans` around it, each as number of the thread in `threads`, kind, name, and begin and end in
        microseconds after the turn's begin.
    """
    tracks = [track for track in probe.tracks if track.spans]
    if probe.began_ns is None or not tracks:
        return None
    zero_ns = probe.began_ns
    last_ns = max(span.end_ns for track in tracks for span in track.spans)
    edges = np.linspace(zero_ns, max(last_ns, zero_ns + STRETCHES), STRETCHES + 1)
    busy = {
        track.name: _in_stretches([(one.begin_ns, one.end_ns, 1) for one in _turns(track)], edges) for track in tracks
    }
    parts: dict[Kind, list[_Interval]] = {kind: [] for kind in _PARTS}
    for track in tracks:
        _add_own(track, parts)
    return {
        "elapsed_s": (last_ns - zero_ns) / 1e9,
        "complete": not probe.dropped_spans,
        "threads": [track.name for track in tracks],
        "busy": busy,
        "parts": {_PARTS[kind]: _in_stretches(found, edges) for kind, found in parts.items()},
        "turns": _longest(tracks, zero_ns),
    }


def _turns(track: Track) -> list[Span]:
    return [one for one in track.spans if one.kind is Kind.TURN]


def _add_own(track: Track, parts: dict[Kind, list[_Interval]]) -> None:
    """Add each span to its kind and take it off that of the span around it, as the sums of the track do."""
    around: list[Span] = []
    for span in sorted(reversed(track.spans), key=lambda one: (one.begin_ns, -one.end_ns)):
        while around and around[-1].end_ns <= span.begin_ns:
            around.pop()
        outside = not around or around[0].kind is not Kind.TURN
        if span.kind not in _PARTS or (span.kind is Kind.LOCK and outside):
            continue  # a lock that is waited for between two turns is time of the step that it lies in
        parts[span.kind].append((span.begin_ns, span.end_ns, 1))
        if around:
            parts[around[-1].kind].append((span.begin_ns, span.end_ns, -1))
        around.append(span)


def _in_stretches(intervals: Sequence[_Interval], edges: FloatArray) -> list[float]:
    """The seconds of the intervals in each stretch between two edges, shape (len(edges) - 1,)."""
    if not intervals:
        return [0.0] * (len(edges) - 1)
    begin, end, sign = (np.array(column, dtype=np.int64) for column in zip(*intervals, strict=True))
    at = np.concatenate((begin, end))
    slope = np.concatenate((sign, -sign))
    order = np.argsort(at, kind="stable")
    at, slope = at[order], slope[order]
    # How much time has passed at each of these instants, as many times over as intervals are open.
    passed = np.concatenate(([0], np.cumsum(np.cumsum(slope)[:-1] * np.diff(at))))
    sums: FloatArray = np.diff(np.interp(edges, at, passed)) / 1e9
    return [round(float(value), 9) for value in np.maximum(sums, 0.0)]


def _longest(tracks: Sequence[Track], zero_ns: int) -> list[dict[str, Any]]:
    turns = [(one.end_ns - one.begin_ns, number, one) for number, track in enumerate(tracks) for one in _turns(track)]
    turns.sort(key=lambda each: (-each[0], each[2].begin_ns))
    limits = [_limits(track.spans) for track in tracks]
    return [
        {
            "thread": tracks[number].name, "begin_s": (turn.begin_ns - zero_ns) / 1e9, "seconds": duration / 1e9,
            "virtual_ns": turn.virtual_ns, "spans": _around(turn, tracks, limits),
        }
        for duration, number, turn in turns[:LONGEST_TURNS]
    ]  # fmt: skip


def _limits(spans: Sequence[Span]) -> tuple[IntArray, IntArray]:
    return (
        np.array([one.begin_ns for one in spans], dtype=np.int64),
        np.array([one.end_ns for one in spans], dtype=np.int64),
    )


def _around(
    turn: Span, tracks: Sequence[Track], limits: Iterable[tuple[IntArray, IntArray]]
) -> list[tuple[int, str, str, float, float]]:  # fmt: skip
    """What all threads did during a turn and a little before and after it; of very many spans the longest."""
    margin_ns = max((turn.end_ns - turn.begin_ns) // 2, _LEAST_MARGIN_NS)
    first_ns, last_ns = turn.begin_ns - margin_ns, turn.end_ns + margin_ns
    found = []
    for number, (track, (begin, end)) in enumerate(zip(tracks, limits, strict=True)):
        for place in np.flatnonzero((begin < last_ns) & (end > first_ns)).tolist():
            one = track.spans[place]
            found.append((number, one, max(one.begin_ns, first_ns), min(one.end_ns, last_ns)))
    found.sort(key=lambda each: each[2] - each[3])
    shown = sorted(found[:MOST_SPANS], key=lambda each: (each[0], each[2], -each[3]))
    return [
        (number, one.kind.name.lower(), one.name, _us(begin_ns - turn.begin_ns), _us(end_ns - turn.begin_ns))
        for number, one, begin_ns, end_ns in shown
    ]


def _us(duration_ns: int) -> float:
    return round(duration_ns / 1e3, 1)
