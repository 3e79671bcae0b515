"""Coverage as a picture: for each series a line of cells over one axis of time, shaded by how much of them is covered.

Pure; any thread. Nothing is printed here.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from src.core.calendars import Calendar
from src.core.errors import ConfigError
from src.core.timeframe import format_instant

__all__ = ["BLOCKS", "LETTERS", "PictureRow", "coverage_cells", "coverage_picture", "joined_over_closures"]

Window = tuple[int, int]

#: Shades from nothing to all, for terminals that know block characters and for those that do not.
BLOCKS = " ░▒▓█"
LETTERS = " .-+#"

_LEAST_CELLS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """One series of a picture: its name, and the half-open intervals that it covers, in time order."""

    name: str
    intervals: tuple[Window, ...]


def joined_over_closures(
    intervals: Sequence[Window], timeframe_ns: int, calendar: Calendar, max_gap_bars: int
) -> list[Window]:
    """Intervals between which the market was open for at most `max_gap_bars` bars, made one.

    Args:
        intervals: half-open, in time order, not overlapping.
    """
    joined: list[Window] = []
    for start_ns, end_ns in intervals:
        if joined:
            between = np.arange(joined[-1][1], start_ns, timeframe_ns, dtype=np.int64)
            # Before and after what the calendar knows, every bar counts.
            with suppress(ConfigError):
                between = between[calendar.in_session(between)]
            if len(between) <= max_gap_bars:
                joined[-1] = (joined[-1][0], end_ns)
                continue
        joined.append((start_ns, end_ns))
    return joined


def coverage_cells(intervals: Sequence[Window], start_ns: int, end_ns: int, cells: int) -> list[float]:
    """The covered share of each of `cells` equal parts of `[start_ns, end_ns)`, from 0 to 1.

    Args:
        intervals: half-open, in time order, not overlapping.
    """
    shares = []
    at = 0
    for cell in range(cells):
        # In whole nanoseconds, so that neither the sum of the cells nor an edge depends on rounding.
        begin = start_ns + (end_ns - start_ns) * cell // cells
        end = start_ns + (end_ns - start_ns) * (cell + 1) // cells
        while at < len(intervals) and intervals[at][1] <= begin:
            at += 1
        covered, k = 0, at
        while k < len(intervals) and intervals[k][0] < end:
            covered += min(intervals[k][1], end) - max(intervals[k][0], begin)
            k += 1
        shares.append(covered / (end - begin) if end > begin else 0.0)
    return shares


def coverage_picture(rows: Sequence[PictureRow], width: int, shades: str = BLOCKS) -> list[str]:
    """Lines of at most `width` characters: one for each series, and the dates of both ends below.

    Any bit of coverage shows as the lightest shade at least, and only a whole cell as the darkest.

    Args:
        rows: the series, in the order in which they are shown.
        width: of the terminal.
        shades: from nothing to all.
    """
    covered = [interval for row in rows for interval in row.intervals]
    if not covered:
        return []
    start_ns, end_ns = min(one[0] for one in covered), max(one[1] for one in covered)
    widest = max(len(row.name) for row in rows)
    cells = max(width - widest - 4, _LEAST_CELLS)
    lines = []
    for row in rows:
        shares = coverage_cells(row.intervals, start_ns, end_ns, cells)
        lines.append(f"{row.name:<{widest}} |{''.join(_shade(share, shades) for share in shares)}|")
    first, last = format_instant(start_ns)[:10], format_instant(end_ns)[:10]
    lines.append(f"{'':<{widest}}  {first}{last:>{max(cells - len(first), len(last) + 1)}}")
    return lines


def _shade(share: float, shades: str) -> str:
    if share <= 0:
        return shades[0]
    if share >= 1:
        return shades[-1]
    between = len(shades) - 2
    return shades[1 + min(int(share * between), between - 1)]
