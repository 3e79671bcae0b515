"""A seeded market of one-minute bars that looks like a real one and means nothing: for first runs, load and controls.

Any thread may call `generate` and the rest; nothing is shared. `market_store` may be called by many processes at once.
Instants are nanoseconds UTC; a bar is stamped with its open. The same specification gives the same bits on every
machine; a longer window with the same start begins with the same bars; adding a symbol changes no other.

There is no edge in it unless `trend_bp_per_hour` plants one. Whatever is computed from it is to be labelled SYNTHETIC
with its seed: a good result on it says nothing about a strategy.
"""

import dataclasses
import hashlib
from dataclasses import dataclass, replace

import numpy as np

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.core.words import meant
from src.data.synthetic_hours import DAY_MINUTES, BoolArray, symbol_hours
from src.data.synthetic_path import Walk, common_path, outages, symbol_tape
from src.data.synthetic_symbols import SyntheticSymbol, default_symbol, within

__all__ = [
    "SOURCE_PREFIX",
    "SyntheticHole",
    "SyntheticSpec",
    "SyntheticSymbol",
    "default_symbol",
    "generate",
    "multiples",
    "source_text",
    "spec_hash",
]

# Raised whenever the same specification gives other bars than before; it is part of the hash of a specification.
_GENERATOR = 1

# What specifications had no word for at first. Left at its default such a value is not hashed, because the bars are
# those that were made before it could be said.
_LATER = ("holes", "kind", "calendar", "closed_volatility", "spread_bp")

# The source of every stored synthetic series begins so.
SOURCE_PREFIX = "SYNTHETIC "


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticHole:
    """Minutes that are left out of a synthetic market on purpose: an outage, or bars that never arrived.

    Attributes:
        start_ns, end_ns: every bar that opens in `[start_ns, end_ns)` is missing.
        symbol: whose bars; those of all symbols for None.
    """

    start_ns: int
    end_ns: int
    symbol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSpec:
    """A whole synthetic market.

    Attributes:
        seed: of all random streams.
        start_ns: first instant, a whole minute, UTC; the first bar opens there where the symbol's calendar is open.
        end_ns: first instant after the last minute, a whole minute, UTC.
        symbols: at least one, with different names.
        jump_sigmas: standard deviation of the jumps at scheduled announcements, in minutes' standard deviations.
        outage_every_days: every so many days there is one outage of two to three hours for all symbols; 0 for never.
        trend_bp_per_hour: standard deviation of a slowly changing drift, in basis points an hour: a planted edge for
            those who follow trends; 0 plants none.
        holes: bars that are left out; the others stay as they are without them.

    Raises:
        ConfigError: a number is outside its range, two symbols share a name, or a hole is none.
    """

    seed: int
    start_ns: int
    end_ns: int
    symbols: tuple[SyntheticSymbol, ...]
    jump_sigmas: float = 5.0
    outage_every_days: int = 60
    trend_bp_per_hour: float = 0.0
    holes: tuple[SyntheticHole, ...] = ()

    def __post_init__(self) -> None:
        for name in ("start_ns", "end_ns"):
            instant_ns = getattr(self, name)
            if instant_ns % MINUTE_NS:
                raise ConfigError(
                    f"expected a synthetic market to start and end on whole minutes, found {name} "
                    f"{format_instant(instant_ns)}; drop the seconds",
                    found=instant_ns,
                )
        if self.end_ns <= self.start_ns:
            raise ConfigError(
                f"expected a synthetic market to end after it starts, found {format_instant(self.start_ns)} to "
                f"{format_instant(self.end_ns)}; move the end",
                found=self.end_ns,
            )
        names = [symbol.symbol for symbol in self.symbols]
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                f"expected the symbols of a synthetic market to be one or more different names, found {names}",
                found=names,
            )
        within("the synthetic market", "jump_sigmas", self.jump_sigmas, 0.0, 100.0)
        within("the synthetic market", "outage_every_days", self.outage_every_days, 0, 36_500)
        within("the synthetic market", "trend_bp_per_hour", self.trend_bp_per_hour, 0.0, 1000.0)
        for hole in self.holes:
            self._check_hole(hole, names)

    def _check_hole(self, hole: SyntheticHole, names: list[str]) -> None:
        if hole.end_ns <= hole.start_ns:
            raise ConfigError(
                f"expected a hole of a synthetic market to end after it starts, found {format_instant(hole.start_ns)} "
                f"to {format_instant(hole.end_ns)}; move its end",
                found=hole.end_ns,
            )
        if hole.symbol is not None and hole.symbol not in names:
            raise ConfigError(
                f"expected the symbol of a hole among {', '.join(names)}, found {hole.symbol!r}"
                f"{meant(hole.symbol, names) or '; name one of them, or none for a hole of all'}",
                found=hole.symbol,
            )


def generate(spec: SyntheticSpec) -> dict[str, BarSeries]:
    """The bars of every symbol of `spec`, in its order.

    Returns:
        One-minute series of the symbols' price sides, keyed by symbol; every bar is visible. Prices are the floats
        nearest to whole multiples of the tick. Absent minutes, holes and hours outside sessions are not there.

    Raises:
        ConfigError: a symbol's calendar is none, it never opens in the window, or the holes leave nothing of it.
    """
    minutes = (spec.end_ns - spec.start_ns) // MINUTE_NS
    days = -(-minutes // DAY_MINUTES)
    common = common_path(
        spec.seed,
        spec.start_ns % DAY_NS // MINUTE_NS,
        days,
        jump_sigmas=spec.jump_sigmas,
        trend=spec.trend_bp_per_hour / 600_000.0,
    )
    common = replace(common, dark=outages(spec.seed, days, spec.outage_every_days))
    series = {}
    for symbol in spec.symbols:
        hours = symbol_hours(symbol, spec.start_ns, spec.end_ns)
        hole = _hole(spec, symbol.symbol, days)
        tape = symbol_tape(spec.seed, _walk(symbol), common, minutes, hours=hours, hole=hole)
        if not len(tape.minute):
            raise ConfigError(
                f"expected the holes of the synthetic market to leave {symbol.symbol} some bars, found none left "
                f"between {format_instant(spec.start_ns)} and {format_instant(spec.end_ns)}; make the holes shorter",
                symbol=symbol.symbol,
            )
        columns = (tape.open_ticks, tape.high_ticks, tape.low_ticks, tape.close_ticks)
        open_, high, low, close = (multiples(column, symbol.tick) for column in columns)
        volume = multiples(tape.volume_steps, symbol.volume_step)
        open_ns = spec.start_ns + tape.minute * MINUTE_NS
        series[symbol.symbol] = BarSeries(
            symbol.symbol, MINUTE_NS, open_ns, open_, high, low, close, volume, price_side=symbol.price_side
        )
    return series


def _hole(spec: SyntheticSpec, symbol: str, days: int) -> BoolArray | None:
    """The minutes of the symbol's holes; None where there is none."""
    mine = [hole for hole in spec.holes if hole.symbol in (None, symbol)]
    if not mine:
        return None
    stamps = spec.start_ns + np.arange(days * DAY_MINUTES) * MINUTE_NS
    missing = np.zeros(len(stamps), dtype=np.bool_)
    for hole in mine:
        missing |= (stamps >= hole.start_ns) & (stamps < hole.end_ns)
    return missing


def spec_hash(spec: SyntheticSpec) -> str:
    """16 hexadecimal digits that change with every value of the specification and with the generator itself."""
    lines = [f"generator {_GENERATOR}", *_lines(spec)]
    for symbol in spec.symbols:
        lines += _lines(symbol)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def source_text(spec: SyntheticSpec) -> str:
    """What a store names as the source of the bars: `SYNTHETIC seed 7 1f0c...`."""
    return f"{SOURCE_PREFIX}seed {spec.seed} {spec_hash(spec)}"


def _lines(record: SyntheticSpec | SyntheticSymbol) -> list[str]:
    lines = []
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name in _LATER and value == field.default:
            continue
        # A configuration may write 42000 or 42000.0: the same number, hence the same text.
        text = float(value).hex() if field.type is float else str(value)
        if field.name != "symbols":
            lines.append(f"{field.name} {text}")
    return lines


def _walk(symbol: SyntheticSymbol) -> Walk:
    return Walk(
        symbol=symbol.symbol,
        start_price=symbol.start_price,
        tick=symbol.tick,
        volatility=symbol.volatility_bp / 10_000.0,
        common_share=symbol.common_share,
        unchanged_share=symbol.unchanged_share,
        absent_share=symbol.absent_share,
        bounce=symbol.bounce_bp / 10_000.0,
        volume=symbol.volume,
        volume_step=symbol.volume_step,
    )


def multiples(counts: IntArray, unit: float) -> FloatArray:
    """`counts * unit` as the nearest floats to the decimal numbers: 3 * 0.1 is 0.3, not 0.30000000000000004."""
    parts = float(np.rint(1.0 / unit))
    if parts >= 1.0 and 1.0 / parts == unit:
        return np.asarray(counts / parts, dtype=np.float64)
    return counts * np.float64(unit)
