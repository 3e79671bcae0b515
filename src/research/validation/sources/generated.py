"""Candidates that a generator makes: to try a validation out, and to measure it. Always labelled SYNTHETIC.

Pure and repeatable: every candidate has a random stream of its own and shares one with its neighbours, as strategies
with neighbouring parameters share most of their trades, so how many candidates there are changes the trades of none.
Values are rounded to a millionth, far above what the mathematics of two processors differ by. Time is that of the
trades, from `PERIOD_START_NS` on; no clock is read. Memory holds the trades of one candidate and what it shares with
its neighbours.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.bars import FloatArray, IntArray
from src.core.record import record
from src.core.rng import numpy_stream, stable_hash
from src.core.timeframe import DAY_NS, MINUTE_NS, parse_instant
from src.research.validation.family import DataSet
from src.research.validation.packed import packed_candidates
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.section import GeneratedSection

__all__ = [
    "NEIGHBOURS", "PERIOD_START_NS", "SESSION_ZONES", "GeneratedSource", "generate", "generated_period",
    "planted_numbers",
]  # fmt: skip

#: The first instant of every generated period, 2016-01-01.
PERIOD_START_NS = parse_instant("2016-01-01")
#: So many candidates in a row share a market, a session and part of their trades.
NEIGHBOURS = 8
#: The sessions of the trades: their reference zone.
SESSION_ZONES = {"LONDON": "Europe/London", "NEW_YORK": "America/New_York", "TOKYO": "Asia/Tokyo"}
#: When each session trades: first minute of its local day, and for how many minutes.
_HOURS = {"LONDON": (8 * 60, 240), "NEW_YORK": (9 * 60 + 30, 210), "TOKYO": (9 * 60, 180)}
#: Changes with every change of what is generated.
_VERSION = 1

_PER_DAY = 1.6  # trades of a day that has any, in the mean
_SAME_DAY = 0.6  # share of trades that end as their day does
_OWN = 0.25  # share of days whose trades end otherwise for a candidate than for its neighbours
_TAKEN = 0.75  # share of the opportunities of its market that a candidate takes
_SPACING_MINUTES = 7

BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


@record
class _Market:
    """What neighbours share: opportunities ordered by entry; each shape (n,). `day` counts days with any from 0."""

    session: str
    day: IntArray
    entry_ns: IntArray
    exit_ns: IntArray
    r: FloatArray
    cost_r: FloatArray
    atr: FloatArray
    side: IntArray


def generated_period(section: GeneratedSection) -> Period:
    """The time that the candidates of a section are looked at: whole calendar years."""
    first = dt.date(1970, 1, 1) + dt.timedelta(days=PERIOD_START_NS // DAY_NS)
    return Period(start_ns=PERIOD_START_NS, end_ns=parse_instant(dt.date(first.year + section.years, 1, 1)))


def planted_numbers(section: GeneratedSection) -> frozenset[int]:
    """Which candidates have a true edge: those whose number hashes lowest, so they lie anywhere.

    One candidate more takes the edge from one of them at most.
    """
    ranked = sorted(range(section.candidates), key=lambda number: stable_hash(section.seed, "planted", number))
    return frozenset(ranked[: section.planted])


def generate(section: GeneratedSection) -> Iterator[tuple[Candidate, CandidateTrades]]:
    """All candidates with their trades, ordered by id.

    The mean net R of a planted candidate is `section.edge`, of every other exactly 0 after costs: the border of the
    null hypothesis, where false discoveries are easiest. The draws of `normal` have a standard deviation of 1.2 R;
    those of `positive` are about +3 R or -1 R, of `negative` about +1 R or -3 R, give or take 0.15 R each. Trades of a
    day partly share its outcome, neighbours partly share their trades. Of those that are not planted one in eight has
    too few trades for anything, and one in eight starts late; of the markets one in four has years that are dormant:
    hardly a trade, and an ATR of about 0.2 where it is about 1 otherwise. `section.trades_per_year` is about the mean
    of those without such a habit; more than 280 do not fit into the sessions.
    """
    market: _Market | None = None
    for candidate in _candidates(section):
        if candidate.number % NEIGHBOURS == 0 or market is None:
            market = _market(section, candidate.number // NEIGHBOURS)
        yield candidate, _trades(section, candidate.number, market, has_edge=bool(candidate.planted))


def _candidates(section: GeneratedSection) -> Iterator[Candidate]:
    """The candidates in order, without their trades."""
    planted = planted_numbers(section)
    for number in range(section.candidates):
        place = (("market", number // NEIGHBOURS + 1), ("neighbour", number % NEIGHBOURS + 1))
        name = f"synthetic-{number + 1:05d}"
        yield Candidate(number=number, candidate_id=name, labels=place, trial=name, planted=number in planted)


def _trades(section: GeneratedSection, number: int, market: _Market, *, has_edge: bool) -> CandidateTrades:
    """What one candidate made of the opportunities of its market."""
    rng = numpy_stream(section.seed, "validation candidate", str(number))
    count = len(market.r)
    habit, start = rng.random(), rng.random()
    days = int(market.day[-1]) + 1 if count else 0
    chance, own = rng.random(count), rng.random(days) < _OWN
    r = np.where(own[market.day], _clustered(rng, section.shape, market.day, days), market.r)
    taken: BoolArray = chance < _TAKEN
    if not has_edge and habit < 0.125:
        taken = chance < _TAKEN * 0.06
    elif not has_edge and habit < 0.25:
        period = generated_period(section)
        late_ns = period.start_ns + int((period.end_ns - period.start_ns) * (0.3 + 0.5 * start))
        taken &= market.entry_ns >= late_ns
    edge = section.edge if has_edge else 0.0
    chosen = int(np.count_nonzero(taken))
    return CandidateTrades(
        entry_ns=market.entry_ns[taken], exit_ns=market.exit_ns[taken], r_net=np.round(r[taken] + edge, 6),
        cost_r=market.cost_r[taken], atr=market.atr[taken], session=np.full(chosen, market.session),
        side=market.side[taken],
    )  # fmt: skip


def _market(section: GeneratedSection, number: int) -> _Market:
    """The opportunities of one market over all years."""
    rng = numpy_stream(section.seed, "validation market", str(number))
    names = tuple(SESSION_ZONES)
    session = names[int(rng.integers(len(names)))]
    swing, sleepy, pace = rng.random() < 0.3, rng.random() < 0.25, 0.8 + 0.4 * rng.random()
    dates, offsets_ns = _weekdays(session, section.years)
    year = (dates.astype("datetime64[Y]") - dates[0].astype("datetime64[Y]")).astype(np.int64)
    regime = 0.6 + rng.random(section.years)  # of the ATR, by year
    dormant = rng.random(section.years) < (0.25 if sleepy else 0.0)
    # Days that have an opportunity, and how many each has.
    share = min(0.9, section.trades_per_year * pace / _TAKEN / _PER_DAY / 261)
    hot = rng.random(len(dates)) < np.where(dormant[year], share * 0.04, share)
    many = np.minimum(rng.geometric(1 / _PER_DAY, len(dates)), 6)
    day = np.repeat(np.flatnonzero(hot), many[hot])
    count = len(day)
    place = np.arange(count) - np.searchsorted(day, day)
    first, minutes = _HOURS[session]
    room = minutes - 6 * _SPACING_MINUTES
    minute = first + (rng.random(len(dates)) * room).astype(np.int64)[day] + place * _SPACING_MINUTES
    midnight_ns = dates.astype(np.int64)[day] * DAY_NS
    entry_ns = midnight_ns + minute * MINUTE_NS - offsets_ns[day]
    held = rng.random(count)
    held_minutes = (5 + held**2 * (5 * 1440 if swing else 235)).astype(np.int64)
    exit_ns = _after_weekend(entry_ns + held_minutes * MINUTE_NS)
    r = _clustered(rng, section.shape, day, len(dates))
    cost_r = np.round(0.05 * np.exp(0.4 * rng.standard_normal(count)), 6)
    level = regime * np.where(dormant, 0.2, 1.0)
    atr = np.round(level[year[day]] * (0.9 + 0.2 * rng.random(len(dates))[day]), 6)
    side = np.where(rng.random(count) < 0.5, 1, -1).astype(np.int64)
    whole = exit_ns < generated_period(section).end_ns
    return _Market(
        session=session, day=np.unique(day[whole], return_inverse=True)[1].astype(np.int64), entry_ns=entry_ns[whole],
        exit_ns=exit_ns[whole], r=r[whole], cost_r=cost_r[whole], atr=atr[whole], side=side[whole],
    )  # fmt: skip


def _draws(rng: np.random.Generator, shape: str, count: int) -> FloatArray:
    """So many outcomes in R, whose mean is exactly 0."""
    if shape == "normal":
        return 1.2 * rng.standard_normal(count)
    won = rng.random(count) < (0.25 if shape == "positive" else 0.75)
    noise = 0.3 * rng.random(count) - 0.15
    return (np.where(won, 3.0, -1.0) if shape == "positive" else np.where(won, 1.0, -3.0)) + noise


def _clustered(rng: np.random.Generator, shape: str, day: IntArray, days: int) -> FloatArray:
    """One outcome for each place of `day`, which numbers days below `days`; those of a day are partly the same."""
    alike = rng.random(len(day)) < _SAME_DAY
    return np.where(alike, _draws(rng, shape, days)[day], _draws(rng, shape, len(day)))


def _after_weekend(instant_ns: IntArray) -> IntArray:
    """Instants on a Saturday or Sunday (UTC) moved to the same time of Monday."""
    weekday = (instant_ns // DAY_NS + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    moved: IntArray = instant_ns + np.where(weekday >= 5, 7 - weekday, 0) * DAY_NS
    return moved


@lru_cache(maxsize=16)
def _weekdays(session: str, years: int) -> "tuple[np.ndarray[Any, np.dtype[np.datetime64]], IntArray]":
    """The weekdays of the period, and by how much the clock of a session is ahead of UTC at noon of each."""
    zone = ZoneInfo(SESSION_ZONES[session])
    period = generated_period(GeneratedSection(years=years))
    dates = np.arange(period.start_ns // DAY_NS, period.end_ns // DAY_NS).astype("datetime64[D]")
    dates = dates[np.is_busday(dates)]
    offsets = [
        zone.utcoffset(dt.datetime.combine(day, dt.time(12))) or dt.timedelta() for day in dates.astype(object)
    ]  # fmt: skip
    return dates, np.array([int(each.total_seconds()) * 1_000_000_000 for each in offsets], dtype=np.int64)


class GeneratedSource:
    """Candidates of a generator, as a source of a validation. Stateless: every reading starts anew; any thread."""

    synthetic = True

    def __init__(self, section: GeneratedSection) -> None:
        self._section = section

    @property
    def label(self) -> str:
        """What the candidates are, for people."""
        section = self._section
        return f"{section.candidates} candidates of a generator, {section.planted} of them with an edge"

    @property
    def period(self) -> Period:
        """The whole calendar years that the candidates are made for."""
        return generated_period(self._section)

    def identity(self) -> str:
        """Equal for two sources exactly if they generate the same candidates."""
        told = {"generator": _VERSION, **self._section.model_dump(mode="json")}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def tried(self) -> Iterator[Trial]:
        """See `CandidateSource.tried`: nothing."""
        return iter(())

    def series(self) -> tuple[DataSet, ...]:
        """See `CandidateSource.series`: no trial ledger knows of what a generator has made."""
        return ()

    def candidates(self) -> Sequence[Candidate]:
        """All candidates, ordered by id, without their trades."""
        return packed_candidates(_candidates(self._section))

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """All candidates with their trades, in the same order, one at a time."""
        return generate(self._section)
