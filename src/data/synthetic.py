"""A seeded market of one-minute bars that looks like crypto and means nothing: for first runs, load and controls.

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
from src.core.rng import stable_hash
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.data.synthetic_path import DAY_MINUTES, Walk, common_path, outages, symbol_tape

__all__ = [
    "SOURCE_PREFIX",
    "SyntheticSpec",
    "SyntheticSymbol",
    "default_symbol",
    "generate",
    "source_text",
    "spec_hash",
]

# Raised whenever the same specification gives other bars than before; it is part of the hash of a specification.
_GENERATOR = 1

# The source of every stored synthetic series begins so.
SOURCE_PREFIX = "SYNTHETIC "


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSymbol:
    """One symbol of a synthetic market.

    Attributes:
        symbol: its name; its random streams hang on it and on the seed.
        start_price: at the start of the window.
        tick: prices are whole multiples of it.
        volatility_bp: usual standard deviation of a one-minute log return, in basis points.
        common_share: share of its variance that is the common factor's, 0 to 1.
        unchanged_share: about the share of minutes that trade at the last price alone; rounding to ticks adds to it.
        absent_share: about the share of minutes without a trade, hence without a bar.
        bounce_bp: standard deviation of the first trade of a minute around the walk, in basis points.
        volume: about the mean volume of a minute, in units of the symbol.
        volume_step: volumes are whole multiples of it.

    Raises:
        ConfigError: a number is outside its range.
    """

    symbol: str
    start_price: float
    tick: float
    volatility_bp: float
    common_share: float = 0.82
    unchanged_share: float = 0.05
    absent_share: float = 0.003
    bounce_bp: float = 1.0
    volume: float = 10.0
    volume_step: float = 0.001

    def __post_init__(self) -> None:
        what = f"synthetic symbol {self.symbol!r}"
        _within(what, "volatility_bp", self.volatility_bp, 0.01, 1000.0)
        _within(what, "common_share", self.common_share, 0.0, 1.0)
        _within(what, "unchanged_share", self.unchanged_share, 0.0, 0.9)
        _within(what, "absent_share", self.absent_share, 0.0, 0.9)
        _within(what, "bounce_bp", self.bounce_bp, 0.0, 100.0)
        for name in ("tick", "volume_step"):
            _within(what, name, getattr(self, name), 1e-12, 1e12)
        _within(what, "start_price", self.start_price, self.tick, self.tick * 1e12)
        _within(what, "volume", self.volume, self.volume_step, self.volume_step * 1e12)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSpec:
    """A whole synthetic market.

    Attributes:
        seed: of all random streams.
        start_ns: first instant, a whole minute, UTC; the first bar opens there.
        end_ns: first instant after the last minute, a whole minute, UTC.
        symbols: at least one, with different names.
        jump_sigmas: standard deviation of the jumps at scheduled announcements, in minutes' standard deviations.
        outage_every_days: every so many days there is one outage of two to three hours for all symbols; 0 for never.
        trend_bp_per_hour: standard deviation of a slowly changing drift, in basis points an hour: a planted edge for
            those who follow trends; 0 plants none.

    Raises:
        ConfigError: a number is outside its range, or two symbols share a name.
    """

    seed: int
    start_ns: int
    end_ns: int
    symbols: tuple[SyntheticSymbol, ...]
    jump_sigmas: float = 5.0
    outage_every_days: int = 60
    trend_bp_per_hour: float = 0.0

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
        _within("the synthetic market", "jump_sigmas", self.jump_sigmas, 0.0, 100.0)
        _within("the synthetic market", "outage_every_days", self.outage_every_days, 0, 36_500)
        _within("the synthetic market", "trend_bp_per_hour", self.trend_bp_per_hour, 0.0, 1000.0)


def _within(what: str, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"expected {name} of {what} between {low:g} and {high:g}, found {value!r}; correct it", found=value
        )


_PRESETS = {
    "BTCUSDT": SyntheticSymbol(
        symbol="BTCUSDT", start_price=42_000.0, tick=0.1, volatility_bp=13.5, common_share=0.88, unchanged_share=0.075,
        absent_share=0.002, bounce_bp=0.8, volume=12.0, volume_step=0.001,
    ),
    "ETHUSDT": SyntheticSymbol(
        symbol="ETHUSDT", start_price=2_300.0, tick=0.01, volatility_bp=14.5, common_share=0.86, unchanged_share=0.065,
        absent_share=0.003, bounce_bp=1.2, volume=160.0, volume_step=0.001,
    ),
    "XRPUSDT": SyntheticSymbol(
        symbol="XRPUSDT", start_price=0.62, tick=0.00001, volatility_bp=15.2, common_share=0.78, unchanged_share=0.055,
        absent_share=0.005, bounce_bp=1.5, volume=90_000.0, volume_step=0.1,
    ),
}  # fmt: skip


def default_symbol(name: str) -> SyntheticSymbol:
    """A plausible symbol for a name: a preset for the best known, otherwise derived from the text of the name."""
    preset = _PRESETS.get(name)
    if preset is not None:
        return preset
    draw = stable_hash("synthetic symbol", name)
    decade, draw = draw % 5, draw // 5
    leading, draw = 1.5 + 0.5 * (draw % 16), draw // 16
    volatility_bp, draw = 14.0 + 0.25 * (draw % 17), draw // 17
    common_share, draw = 0.78 + 0.01 * (draw % 9), draw // 9
    # Text to float, so that 0.0001 is the number that the text means; 10 ** -4 depends on the machine's library.
    unit = float(f"1e{decade - 1}")
    return SyntheticSymbol(
        symbol=name,
        start_price=leading * unit,
        tick=float(f"1e{decade - 5}"),
        volatility_bp=volatility_bp,
        common_share=common_share,
        unchanged_share=0.05,
        absent_share=0.003 + 0.001 * (draw % 4),
        bounce_bp=1.5,
        volume=float(f"1e{6 - decade}"),
        volume_step=float(f"1e{1 - decade}"),
    )


def generate(spec: SyntheticSpec) -> dict[str, BarSeries]:
    """The bars of every symbol of `spec`, in its order.

    Returns:
        One-minute series of price side `trade`, keyed by symbol; every bar is visible. Prices are the floats nearest
        to whole multiples of the tick. Absent minutes are not there.
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
        tape = symbol_tape(spec.seed, _walk(symbol), common, minutes)
        columns = (tape.open_ticks, tape.high_ticks, tape.low_ticks, tape.close_ticks)
        open_, high, low, close = (_multiples(column, symbol.tick) for column in columns)
        volume = _multiples(tape.volume_steps, symbol.volume_step)
        open_ns = spec.start_ns + tape.minute * MINUTE_NS
        series[symbol.symbol] = BarSeries(symbol.symbol, MINUTE_NS, open_ns, open_, high, low, close, volume)
    return series


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


def _multiples(counts: IntArray, unit: float) -> FloatArray:
    """`counts * unit` as the nearest floats to the decimal numbers: 3 * 0.1 is 0.3, not 0.30000000000000004."""
    parts = float(np.rint(1.0 / unit))
    if parts >= 1.0 and 1.0 / parts == unit:
        return np.asarray(counts / parts, dtype=np.float64)
    return counts * np.float64(unit)
