"""The synthetic market as a source: every window of one endless seeded market.

Any thread; reads no clock. The market begins at a fixed instant, so that a window holds the same bars whenever it is
asked for, and whatever was asked for before. Each symbol trades as its kind does, in the sessions of its calendar.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from src.core.bars import BarSeries
from src.core.calendars import calendar_named
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_duration, format_instant, parse_instant
from src.data.instruments import defaults_for, guess_kind
from src.data.sources.held import HeldSource
from src.data.sources.port import SourceSymbol
from src.data.synthetic import SOURCE_PREFIX, SyntheticSpec, SyntheticSymbol, default_symbol, generate
from src.data.synthetic_symbols import class_of

__all__ = ["SyntheticSource", "synthetic_source", "with_instruments"]

_ORIGIN = "2024-01-01"
# The clock of this market: it has no present, so all of it has passed up to the last instant that can be written.
_END = "2261-12-31"

# What may be said of a symbol.
_SAID = ("kind", "calendar", "tick")


def synthetic_source(seed: str, *, options: Mapping[str, Any], venues: Mapping[str, str]) -> "SyntheticSource":
    """The source `synthetic:<seed>`, a market that begins on 2024-01-01; `synthetic:7@2020-01-01` begins elsewhere.

    Args:
        options: by symbol what it is like, as `{"EURUSD": {"kind": "fx", "calendar": "forex", "tick": 0.00001}}`. What
            is not said follows from the name: a pair of currencies is fx, anything else crypto, and the calendar is the
            usual one of its kind.

    Raises:
        ConfigError: the seed is no whole number, the beginning no date, an option is unknown; there are no other names.
    """
    if venues:
        raise ConfigError(f"synthetic: expected plain symbols, found {', '.join(venues)}=...")
    number, _, origin = seed.partition("@")
    if not number.isdigit():
        raise ConfigError(f"expected a seed after synthetic:, as in synthetic:7, found {seed!r}")
    symbols = {name: _symbol(name, said) for name, said in options.items()}
    return SyntheticSource(int(number), parse_instant(origin or _ORIGIN), symbols)


def with_instruments(
    text: str, options: Mapping[str, Any], instruments: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The options of a source; for a synthetic one with what instruments say and the options do not.

    Args:
        text: the source, as `source_named` takes it.
        instruments: by symbol the values of instruments under the names of a configuration.
    """
    found = dict(options)
    if text.partition(":")[0] != "synthetic":
        return found
    for name, instrument in instruments.items():
        told = {key: instrument[key] for key in _SAID if instrument.get(key)}
        if "kind" in told:
            told["kind"] = class_of(str(told["kind"]))
        said = found.get(name, {})
        if isinstance(said, Mapping):  # anything else is refused where the source is made
            found[name] = {**told, **said}
    return found


def _symbol(name: str, said: Any) -> SyntheticSymbol:
    # Any: settings come from files and command lines.
    if not isinstance(said, Mapping) or not set(said) <= set(_SAID):
        raise ConfigError(
            f"synthetic: expected {', '.join(_SAID)} of a symbol, as in EURUSD.calendar=forex, found {name}: {said!r}",
            found=name,
        )
    kind, calendar, tick = said.get("kind") or guess_kind(name) or "crypto", said.get("calendar"), said.get("tick", 0.0)
    if isinstance(tick, bool) or not isinstance(tick, int | float):
        raise ConfigError(f"synthetic: expected {name}.tick to be a number, found {tick!r}", found=tick)
    if calendar is not None:
        calendar_named(str(calendar))  # a wrong name is refused before anything is generated
    return default_symbol(name, kind=str(kind), calendar=None if calendar is None else str(calendar), tick=float(tick))


class SyntheticSource:
    """See `src.data.sources.port.BarSource`.

    Args:
        seed: of all random streams.
        origin_ns: where the market begins.
        symbols: what is known of symbols; the others are as their names tell.
    """

    def __init__(self, seed: int, origin_ns: int, symbols: Mapping[str, SyntheticSymbol] | None = None) -> None:
        origin = format_instant(origin_ns)
        self.name = f"{SOURCE_PREFIX}seed {seed} from {origin if origin_ns % DAY_NS else origin[:10]}"
        self.page_bars = 100_000
        self._seed = seed
        self._origin_ns = origin_ns
        self._symbols = dict(symbols or {})
        self._held: dict[str, tuple[int, HeldSource]] = {}

    def now_ns(self) -> int:
        """See `BarSource.now_ns`."""
        return parse_instant(_END)

    def symbol(self, name: str) -> SourceSymbol:
        """See `BarSource.symbol`; every name is a symbol of its own."""
        like = self._like(name)
        defaults = defaults_for(like.kind, name)
        if like.calendar != defaults["calendar"]:
            defaults["calendar"] = like.calendar
        if like.tick != default_symbol(name, kind=like.kind).tick:  # stated: a later sync goes on with it
            defaults["tick"] = like.tick
        return SourceSymbol(
            symbol=name, venue=name, kind=like.kind, price_side=like.price_side, defaults=defaults
        )  # fmt: skip

    def _like(self, name: str) -> SyntheticSymbol:
        if name not in self._symbols:
            self._symbols[name] = _symbol(name, {})
        return self._symbols[name]

    def refuse_timeframe(self, symbol: str, timeframe_ns: int) -> None:
        """See `BarSource`; bars of one minute only."""
        if timeframe_ns != MINUTE_NS:
            raise ConfigError(
                f"{self.name} has bars of 1m, found {format_duration(timeframe_ns)}; longer bars are built from them "
                f"when a run needs them",
                symbol=symbol, timeframe_ns=timeframe_ns,
            )  # fmt: skip

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """See `BarSource.bars`; bars of one minute only."""
        self.refuse_timeframe(symbol, timeframe_ns)
        end_ns = -(-end_ns // MINUTE_NS) * MINUTE_NS
        if end_ns <= self._origin_ns:
            return
        known_ns, held = self._held.get(symbol, (0, None))
        if held is None or known_ns < end_ns:
            spec = SyntheticSpec(
                seed=self._seed, start_ns=self._origin_ns, end_ns=end_ns, symbols=(self._like(symbol),)
            )
            if not len(calendar_named(spec.symbols[0].calendar).sessions(spec.start_ns, end_ns).open_ns):
                return  # closed since the market began
            held = HeldSource(self.name, list(generate(spec).values()))
            self._held[symbol] = (end_ns, held)
        yield from held.bars(symbol, timeframe_ns, start_ns, end_ns)

    def close(self) -> None:
        """See `BarSource.close`; the generated bars are forgotten."""
        self._held.clear()
