"""The arithmetic of the synthetic market: random walks with clustered volatility, cut into one-minute bars.

Pure functions of their arguments, any thread. Time is counted in minutes from the start of the window; draws come in
blocks of one day, so a longer window begins with exactly the bars of a shorter one.

Every processor gives the same bits, by construction: the only float operations are addition, subtraction,
multiplication, division and square root, which IEEE 754 defines to the last bit, one at a time and in a fixed order.
`np.exp`, `np.log`, powers, `np.sum` and numpy's normal variates are left out on purpose: their last bit depends on the
vector units of the machine or on its mathematical library; `exp` below replaces the one that is needed. Prices leave
here as whole numbers of ticks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.rng import numpy_stream
from src.data.synthetic_hours import DAY_MINUTES, BoolArray, Hours, day_season

__all__ = ["DAY_MINUTES", "CommonPath", "Tape", "Walk", "common_path", "exp", "outages", "symbol_tape"]

# A minute is walked in so many steps: extremes come from them, and trades that miss the last one are asynchronous.
_STEPS = 4

# Logarithm of volatility: sums of autoregressive components (standard deviation, memory in minutes), whose different
# memories make the slow decay of the autocorrelation of absolute returns. Shared by all symbols, and each symbol's own.
_COMMON_VOLATILITY = ((0.44, 10.0), (0.34, 180.0), (0.24, 4000.0))
_OWN_VOLATILITY = ((0.30, 5.0), (0.16, 90.0), (0.10, 2500.0))

# Scheduled announcements: minutes of the UTC day, the chance of one at each, and what it adds to the logarithm of
# volatility.
_EVENT_MINUTES = (12 * 60 + 30, 14 * 60, 18 * 60)
_EVENT_CHANCE = 0.2
_EVENT_BURST = 0.7
_EVENT_MEMORY = 25.0

# Where inside its minute the last and the first trade lie (in steps): cumulated chances of 0, 1, 2 steps off the edge.
_CLOSE_EARLY = (0.62, 0.88)
_OPEN_LATE = (0.90, 0.98)

_TREND_MEMORY = 720.0  # minutes
_OUTAGE_MINUTES = (120, 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What one symbol's price does; the fields mean what they mean in `SyntheticSymbol`."""

    symbol: str
    start_price: float
    tick: float
    volatility: float  # of one minute, as a fraction
    common_share: float
    unchanged_share: float
    absent_share: float
    bounce: float  # as a fraction
    volume: float
    volume_step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonPath:
    """What all symbols share.

    Attributes:
        shocks: shape (minutes, steps), the common factor in units of one step's standard deviation.
        jumps: shape (minutes,), in units of one minute's usual standard deviation, nearly always 0.
        log_volatility: shape (minutes,), mean 0 but for the bursts after announcements.
        season: shape (minutes,), the intraday factor of volatility.
        drift: shape (minutes,), expected log return of a minute of a symbol that follows the factor wholly.
        dark: shape (minutes,), true where no venue trades.
    """

    shocks: FloatArray
    jumps: FloatArray
    log_volatility: FloatArray
    season: FloatArray
    drift: FloatArray
    dark: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """One symbol's bars as whole numbers; all of shape (bars,). `minute` counts from the start of the window."""

    minute: IntArray
    open_ticks: IntArray
    high_ticks: IntArray
    low_ticks: IntArray
    close_ticks: IntArray
    volume_steps: IntArray


def exp(x: FloatArray) -> FloatArray:
    """The exponential function, accurate to about 1e-15 and equal in every bit on every machine; |x| below 700."""
    halvings = np.rint(x * 1.4426950408889634)
    rest = x - halvings * 0.693147180369123816490
    rest -= halvings * 1.90821492927058770002e-10
    value = np.full_like(rest, 1.0 / math.factorial(13))
    for power in range(12, -1, -1):
        value *= rest
        value += 1.0 / math.factorial(power)
    return np.ldexp(value, halvings.astype(np.int32))


def common_path(seed: int, first_minute: int, days: int, *, jump_sigmas: float, trend: float) -> CommonPath:
    """Everything the symbols share over whole days.

    Args:
        seed: of the market.
        first_minute: minute of the UTC day at which the window starts.
        days: how many blocks of 1,440 minutes.
        jump_sigmas: standard deviation of an announcement's jump, in usual minutes' standard deviations.
        trend: standard deviation of the drift of one minute; 0 for a market without an edge.
    """
    minutes = days * DAY_MINUTES
    clock = (first_minute + np.arange(minutes)) % DAY_MINUTES
    shocks = _normals(numpy_stream(seed, "synthetic.factor"), days, DAY_MINUTES * _STEPS).reshape(minutes, _STEPS)
    jumps, bursts = _events(numpy_stream(seed, "synthetic.events"), clock, days, jump_sigmas)
    log_volatility = _log_volatility(numpy_stream(seed, "synthetic.factor.volatility"), days, _COMMON_VOLATILITY)
    log_volatility += bursts
    drift = np.zeros(minutes)
    if trend > 0.0:
        drift += trend * _log_volatility(numpy_stream(seed, "synthetic.trend"), days, ((1.0, _TREND_MEMORY),))
    return CommonPath(
        shocks=shocks,
        jumps=jumps,
        log_volatility=log_volatility,
        season=day_season()[clock],
        drift=drift,
        dark=np.zeros(minutes, dtype=np.bool_),
    )


def outages(seed: int, days: int, every_days: int) -> BoolArray:
    """Minutes in which no venue trades: one outage of two to three hours in each `every_days` days, none for 0.

    Returns:
        shape (days * 1440,), true inside an outage.
    """
    dark = np.zeros(days * DAY_MINUTES, dtype=np.bool_)
    if every_days == 0:
        return dark
    blocks = -(-days // every_days)
    draws = numpy_stream(seed, "synthetic.outages").bit_generator.random_raw(2 * blocks).tolist()
    shortest, longest = _OUTAGE_MINUTES
    for block in range(blocks):
        # Never in the first hour: the first bar of a window is always there.
        room = every_days * DAY_MINUTES - longest - 60
        start = block * every_days * DAY_MINUTES + 60 + draws[2 * block] % room
        dark[start : start + shortest + draws[2 * block + 1] % (longest - shortest + 1)] = True
    return dark


def symbol_tape(
    seed: int,
    walk: Walk,
    common: CommonPath,
    minutes: int,
    *,
    hours: Hours | None = None,
    hole: BoolArray | None = None,
) -> Tape:
    """The bars of one symbol; its own streams hang on the seed and its name alone.

    Args:
        seed: of the market.
        walk: the symbol.
        common: over whole days, at least `minutes` long.
        minutes: length of the window.
        hours: when it trades; always, by default. While it is closed the walk goes on and nobody sees it.
        hole: shape (minutes of the whole days,), true where its bars are left out; prices elsewhere are as they were.
    """
    opening = 0
    if hours is not None:
        # No drift and only small news while nobody trades: a trend goes on where it stopped.
        drift = np.where(hours.is_open, common.drift, 0.0)
        jumps = np.where(hours.is_open, common.jumps, common.jumps * 0.5)
        common = replace(common, season=hours.season, drift=drift, jumps=jumps, dark=common.dark | ~hours.is_open)
        opening = int(np.argmax(hours.is_open))
    days = len(common.season) // DAY_MINUTES
    own = _log_volatility(numpy_stream(seed, "synthetic.volatility", walk.symbol), days, _OWN_VOLATILITY)
    log_volatility = common.log_volatility + own
    activity = common.season * exp(log_volatility)
    variance = _variance(_COMMON_VOLATILITY) + _variance(_OWN_VOLATILITY)
    path = _path(seed, walk, common, activity * (walk.volatility * _exp1(-variance)))

    # Quiet minutes are the ones in which nobody trades, or in which all trade at the last price.
    draws = _uniforms(numpy_stream(seed, "synthetic.trading", walk.symbol), days, 4)
    quiet = _exp1(-0.5 * variance) / activity
    absent = (draws[0] < walk.absent_share * quiet) | common.dark
    unchanged = draws[1] < walk.unchanged_share * quiet
    absent[opening] = unchanged[opening] = False

    first, last = _edges(draws[2], _OPEN_LATE), _STEPS - _edges(draws[3], _CLOSE_EARLY)
    open_, high, low, close = _quotes(path, first, last, ~(absent | unchanged))
    bounce = walk.bounce * _normals(numpy_stream(seed, "synthetic.bounce", walk.symbol), days, DAY_MINUTES)
    span = np.where(unchanged, 0.0, (high - low) / walk.volatility)
    ticks = [_ticks(walk, column) for column in (open_ + np.where(unchanged, 0.0, bounce), high, low, close)]
    top = np.maximum(np.maximum(ticks[1], ticks[0]), ticks[3])
    bottom = np.minimum(np.minimum(ticks[2], ticks[0]), ticks[3])
    volume = _volume(seed, walk, days, log_volatility - variance, common.season, span)

    seen = ~absent[:minutes]
    if hours is not None:
        seen &= hours.is_open[:minutes]  # where it never opens, `opening` is a closed minute
    if hole is not None:
        seen &= ~hole[:minutes]
    minute = np.flatnonzero(seen)
    return Tape(
        minute=minute,
        open_ticks=ticks[0][minute],
        high_ticks=top[minute],
        low_ticks=bottom[minute],
        close_ticks=ticks[3][minute],
        volume_steps=volume[minute],
    )


def _path(seed: int, walk: Walk, common: CommonPath, volatility: FloatArray) -> FloatArray:
    """The log price relative to the start, shape (minutes, steps + 1); column 0 is the end of the minute before."""
    minutes = len(volatility)
    days = minutes // DAY_MINUTES
    shocks = _normals(numpy_stream(seed, "synthetic.returns", walk.symbol), days, DAY_MINUTES * _STEPS)
    steps = shocks.reshape(minutes, _STEPS)
    steps *= math.sqrt(1.0 - walk.common_share)
    steps += math.sqrt(walk.common_share) * common.shocks
    steps *= (volatility / math.sqrt(_STEPS))[:, None]
    # Half the variance is taken off, so that the price and not its logarithm has no drift.
    drift = math.sqrt(walk.common_share) * common.drift - 0.5 * volatility * volatility
    steps += (drift / _STEPS)[:, None]
    steps[:, 0] += common.jumps * (walk.volatility * math.sqrt(walk.common_share))
    path = np.empty((minutes, _STEPS + 1))
    path[:, 1:] = np.cumsum(steps.reshape(-1)).reshape(minutes, _STEPS)
    path[0, 0] = 0.0
    path[1:, 0] = path[:-1, _STEPS]
    return path


def _quotes(
    path: FloatArray, first: IntArray, last: IntArray, traded: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Open, high, low, close between first and last trade; a minute without a new price repeats the close."""
    minutes = np.arange(len(path))
    steps = np.arange(_STEPS + 1)
    inside = (steps >= first[:, None]) & (steps <= last[:, None])
    # The latest minute with a trade, up to and including each one.
    source = np.maximum.accumulate(np.where(traded, minutes, 0))
    close = path[source, last[source]]
    high = np.where(inside, path, -np.inf).max(axis=1)
    low = np.where(inside, path, np.inf).min(axis=1)
    return (
        np.where(traded, path[minutes, first], close),
        np.where(traded, high, close),
        np.where(traded, low, close),
        close,
    )


def _ticks(walk: Walk, log_price: FloatArray) -> IntArray:
    """Prices as whole numbers of ticks: at least one, and few enough for a float to count them."""
    ticks = np.rint(exp(np.clip(log_price, -600.0, 600.0)) * (walk.start_price / walk.tick))
    return np.clip(ticks, 1.0, 4503599627370496.0).astype(np.int64)


def _volume(
    seed: int, walk: Walk, days: int, log_volatility: FloatArray, season: FloatArray, span: FloatArray
) -> IntArray:
    """Volume in steps: more in lively hours, when volatility is high, and when the minute moved far."""
    noise = _normals(numpy_stream(seed, "synthetic.volume", walk.symbol), days, DAY_MINUTES)
    size = exp(1.0 * log_volatility + 1.4 * noise) * season * (0.08 + span)
    return np.clip(np.rint(size * (0.29 * walk.volume / walk.volume_step)), 1.0, 4503599627370496.0).astype(np.int64)


def _events(rng: np.random.Generator, clock: IntArray, days: int, jump_sigmas: float) -> tuple[FloatArray, FloatArray]:
    """Jumps and what they add to the logarithm of volatility, both of shape (minutes,)."""
    slots = len(_EVENT_MINUTES)
    chances = _uniforms(rng, days, 1, per_day=2 * slots)[0].reshape(days, 2, slots)
    jumps = np.zeros(len(clock))
    for slot, minute in enumerate(_EVENT_MINUTES):
        # One day from the start of the window holds each minute of the clock exactly once.
        at = np.flatnonzero(clock == minute)
        # Uniform with the wanted standard deviation: an announcement is never a non-event, and never absurd.
        size = (2.0 * chances[:, 1, slot] - 1.0) * (jump_sigmas * math.sqrt(3.0))
        jumps[at] = np.where(chances[:, 0, slot] < _EVENT_CHANCE, size, 0.0)
    bursts = _autoregression((jumps != 0.0) * _EVENT_BURST, 1.0 - 1.0 / _EVENT_MEMORY, 0.0)
    return jumps, bursts


def _log_volatility(rng: np.random.Generator, days: int, components: Sequence[tuple[float, float]]) -> FloatArray:
    """A sum of stationary autoregressions of mean 0, shape (minutes,); each is (standard deviation, memory)."""
    starts = _normals(rng, 1, len(components)).reshape(-1).tolist()
    shocks = _normals(rng, days, DAY_MINUTES * len(components)).reshape(days, len(components), DAY_MINUTES)
    total = np.zeros(days * DAY_MINUTES)
    for i, (deviation, memory) in enumerate(components):
        keep = 1.0 - 1.0 / memory
        scaled = shocks[:, i, :].reshape(-1) * (deviation * math.sqrt(1.0 - keep * keep))
        total += _autoregression(scaled, keep, deviation * starts[i])
    return total


def _autoregression(shocks: FloatArray, keep: float, start: float) -> FloatArray:
    """The recursion x = keep * x + shock; a plain loop, whose roundings nobody can reorder."""
    values = accumulate(shocks.tolist(), lambda x, shock: keep * x + shock, initial=start)
    return np.fromiter(values, np.float64, len(shocks) + 1)[1:]


def _normals(rng: np.random.Generator, days: int, per_day: int) -> FloatArray:
    """Standard normal to six deviations, shape (days * per_day,): the sum of twelve uniform numbers of 16 bits.

    Three raw words give one number. The stream of raw words is fixed by numpy for good, that of its normals is not.
    """
    words = rng.bit_generator.random_raw(days * per_day * 3).reshape(3, -1, order="F")
    mask = np.uint64(0x0000FFFF0000FFFF)
    pairs = np.zeros(days * per_day, dtype=np.uint64)
    for row in words:
        pairs += row & mask
        pairs += (row >> np.uint64(16)) & mask
    total = (pairs & np.uint64(0xFFFFFFFF)) + (pairs >> np.uint64(32))
    return (total.astype(np.float64) - 6.0 * 65535.0) / 65536.0


def _uniforms(rng: np.random.Generator, days: int, rows: int, *, per_day: int = DAY_MINUTES) -> FloatArray:
    """Uniform on [0, 1), shape (rows, days * per_day); a day's draws of all rows lie together in the stream."""
    words = rng.bit_generator.random_raw(days * rows * per_day).reshape(days, rows, per_day)
    values = (words >> np.uint64(11)).astype(np.float64) * (1.0 / 9007199254740992.0)
    return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(rows, days * per_day)


def _edges(draws: FloatArray, chances: tuple[float, ...]) -> IntArray:
    """How many steps off the edge of the minute each draw lies."""
    return np.searchsorted(np.array(chances), draws, side="right").astype(np.int64)


def _variance(components: Sequence[tuple[float, float]]) -> float:
    return sum(deviation * deviation for deviation, _ in components)


def _exp1(x: float) -> float:
    return float(exp(np.array([x]))[0])
