"""How the trades of sessions that are fixed to the clock of a zone do in its winter and in its summer.

A session that begins at 9:30 in New York begins an hour earlier for the rest of the world in summer; what works in one
half of the year only may hang on that. It decides nothing. Pure; any thread.
"""

import datetime as dt
from bisect import bisect_right
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from src.core.bars import IntArray
from src.core.timeframe import SECOND_NS
from src.research.validation.figures import mean_r
from src.research.validation.ports import CandidateTrades
from src.research.validation.section import DaylightSection

__all__ = ["daylight_split", "in_summer"]

_DAY = 86_400
_DOMINATES = 2
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def daylight_split(trades: CandidateTrades, section: DaylightSection) -> tuple[dict[str, Any], ...]:
    """One plain dict for each session that has a zone, ordered by name.

    A trade is of summer if the clock of the session's zone was put forward when it was entered (see `in_summer`).
    The verdicts, of which the first that fits is given:

    - LOW-N: fewer than `minimum_trades` altogether, or in one of the halves where the zone has two.
    - NO-DST: in the years of these trades nobody changed the clock; all of them are of winter.
    - NEGATIVE: neither half has a mean above 0.
    - WINTER-ONLY, SUMMER-ONLY: only this half has a mean above 0.
    - WINTER-DOM, SUMMER-DOM: both have, and the mean of this half is more than twice that of the other.
    - STABLE: both have, and neither dominates.

    Returns:
        session, zone, winter_trades, winter_r, summer_trades, summer_r (means in R, None of no trades), verdict.
    """
    found = []
    for name, zone in sorted(section.zones.items()):
        own = np.zeros(len(trades), dtype=np.bool_) if trades.session is None else trades.session == name
        entry, r = trades.entry_ns[own], trades.r_net[own]
        summer = in_summer(entry, zone)
        winter_r, summer_r = mean_r(r[~summer].tolist()), mean_r(r[summer].tolist())
        halves = [len(r)] if not _changes(entry, zone) else [len(r) - int(summer.sum()), int(summer.sum())]
        found.append(
            {
                "session": name,
                "zone": zone,
                "winter_trades": len(r) - int(summer.sum()),
                "winter_r": winter_r,
                "summer_trades": int(summer.sum()),
                "summer_r": summer_r,
                "verdict": _verdict(halves, winter_r, summer_r, section.minimum_trades),
            }
        )
    return tuple(found)


def in_summer(instants_ns: IntArray, zone: str) -> Mask:
    """Which instants lie in the zone's summer time; shape (n,).

    Summer is when the zone's clock is ahead of its standard time. Ireland's law has it the other way round (its
    standard is summer, its clock goes back in winter), and is read as everybody lives it. An hour that the clock shows
    twice is told apart: its first pass is summer, its second winter.
    """
    summer = np.zeros(len(instants_ns), dtype=np.bool_)
    years, of_year = np.unique(instants_ns.astype("datetime64[ns]").astype("datetime64[Y]"), return_inverse=True)
    for place, year in enumerate((years.astype(np.int64) + 1970).tolist()):
        edges, states = _year(zone, year)
        own = of_year == place
        # The first state begins with the year, so every instant has one.
        summer[own] = np.array(states)[np.searchsorted(edges, instants_ns[own], side="right") - 1]
    return summer


def _changes(instants_ns: IntArray, zone: str) -> bool:
    """Whether the zone has summer and winter in the years of these instants; True where there are none."""
    years = np.unique(instants_ns.astype("datetime64[ns]").astype("datetime64[Y]").astype(np.int64) + 1970)
    return not len(years) or any(len(_year(zone, each)[0]) > 1 for each in years.tolist())


@lru_cache(maxsize=4096)
def _year(zone: str, year: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Since when in a calendar year (UTC) it is summer or is not: instants in ns, and what begins there.

    The zone is asked for every day, and where two days differ the second of the change is searched for.
    """
    clock = ZoneInfo(zone)
    begin = int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp())
    end = int(dt.datetime(year + 1, 1, 1, tzinfo=dt.UTC).timestamp())

    def shift(second: int) -> int:
        """By how many seconds the clock is put forward; negative where the law puts it back."""
        ahead = (_EPOCH + dt.timedelta(seconds=second)).astimezone(clock).dst()
        return int(ahead.total_seconds()) if ahead else 0

    edges, shifts = [begin], [shift(begin)]
    for day in range(begin, end, _DAY):
        low, high = day, min(day + _DAY, end - 1)
        now = shift(high)
        if now != shifts[-1]:
            edges.append(bisect_right(range(low, high), 0, key=lambda second: shift(second) == now) + low)
            shifts.append(now)
    backwards = min(shifts) < 0
    states = [each == 0 if backwards else each > 0 for each in shifts]
    return tuple(each * SECOND_NS for each in edges), tuple(states)


def _verdict(halves: list[int], winter: float | None, summer: float | None, minimum: int) -> str:
    if min(halves) < minimum:
        return "LOW-N"
    if len(halves) == 1:
        return "NO-DST"
    if winter is None or summer is None or (winter <= 0 and summer <= 0):
        return "NEGATIVE"
    if summer <= 0 or winter <= 0:
        return "WINTER-ONLY" if summer <= 0 else "SUMMER-ONLY"
    if winter > _DOMINATES * summer:
        return "WINTER-DOM"
    return "SUMMER-DOM" if summer > _DOMINATES * winter else "STABLE"
