"""The section of a live run's report about its threads: when each had its turns, and how long the venue let it wait.

Pure; any thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from src.backtesting.report.stored import StoredRun
from src.core.bars import IntArray
from src.pages import Column, Page, note, safe, section

__all__ = ["RecordedThread", "live_threads_section"]

_STRETCHES = 120


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedThread:
    """What a recording tells of one participant; instants and durations are the bot's.

    Attributes:
        turns_ns: when it went on, shape (turns,).
        replies_ns: how long the venue took for each answered call, shape (calls,).
        unanswered: calls without an answer.
    """

    turns_ns: IntArray
    replies_ns: IntArray
    unanswered: int


def live_threads_section(page: Page, run: StoredRun, threads: Mapping[str, RecordedThread]) -> str:
    """A lane for each thread with its turns over the run, and a table of what the venue made it wait."""
    if not threads:
        return ""
    rows = [
        [name, len(one.turns_ns), len(one.replies_ns), one.unanswered, _seconds(one.replies_ns, 0.5),
         _seconds(one.replies_ns, 0.99), _seconds(one.replies_ns, 1.0)]
        for name, one in sorted(threads.items())
    ]  # fmt: skip
    columns = [
        Column(name="Thread"),
        Column(name="Turns", kind="number", digits=0, meaning="How often it went on."),
        Column(name="Answered", kind="number", digits=0, meaning="Calls of the venue that came back."),
        Column(name="Unanswered", kind="number", digits=0, meaning="Calls of which the recording has no answer."),
        *(Column(name=name, kind="number", digits=3, meaning="From a call to its answer.")
          for name in ("Median s", "p99 s", "Longest s")),
    ]  # fmt: skip
    words = (
        "From the recording, in the bot's time; at a venue of this machine that runs faster than the clock, so do "
        "these seconds."
    )
    html = _lanes(page, run, threads) + page.table("live-threads", columns, rows, filters=len(rows) > 20) + note(words)
    return section("Thread timing", html, "timing-section", short="Timing")


def _lanes(page: Page, run: StoredRun, threads: Mapping[str, RecordedThread]) -> str:
    known = [one.turns_ns for one in threads.values() if len(one.turns_ns)]
    if not known:
        return ""
    # Edges in whole nanoseconds: as floats, instants since 1970 are 256 ns apart.
    first = min(run.start_ns, *(int(one.min()) for one in known))
    last = max(run.end_ns, *(int(one.max()) + 1 for one in known))
    size = max(1, -(-(last - first) // _STRETCHES))
    counts = {name: np.bincount((one.turns_ns - first) // size, minlength=_STRETCHES) for name, one in threads.items()}
    middles = np.asarray((first + (np.arange(_STRETCHES) + 0.5) * size) / 1e6, dtype=np.float64)
    names = sorted(threads)
    figure = {
        "data": [
            {"type": "heatmap", "x": middles, "y": [safe(name) for name in names], "zmin": 0,
             "z": [counts[name].tolist() for name in names], "colorscale": [[0, "card"], [1, "accent"]],
             "colorbar": {"thickness": 10, "outlinewidth": 0},
             "hovertemplate": "%{y}, %{x}<br>%{z} turns<extra></extra>"}
        ],
        "layout": {"xaxis": {"type": "date"}, "margin": {"t": 28},
                   "yaxis": {"type": "category", "autorange": "reversed", "automargin": True}},
    }  # fmt: skip
    return page.chart(
        "live-turns", figure, height_px=90 + 24 * max(2, min(len(names), 40)),
        note=f"Turns of each thread in each {size / 1e9:,.1f} s of the run.",
    )  # fmt: skip


def _seconds(durations_ns: IntArray, share: float) -> float | None:
    if not len(durations_ns):
        return None
    return float(np.quantile(durations_ns, share, method="inverted_cdf")) / 1e9
