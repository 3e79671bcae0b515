"""The synthetic market as a source: every window of one endless seeded market.

Any thread; reads no clock. The market begins at a fixed instant, so that a window holds the same bars whenever it is
asked for, and whatever was asked for before.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS, format_duration, parse_instant
from src.data.instruments import defaults_for
from src.data.sources.held import HeldSource
from src.data.sources.port import SourceSymbol
from src.data.synthetic import SOURCE_PREFIX, SyntheticSpec, default_symbol, generate

__all__ = ["SyntheticSource", "synthetic_source"]

_ORIGIN = "2024-01-01"
# The clock of this market: it has no present, so all of it has passed up to the last instant that can be written.
_END = "2261-12-31"


def synthetic_source(seed: str, *, options: Mapping[str, Any], venues: Mapping[str, str]) -> "SyntheticSource":
    """The source `synthetic:<seed>`, a market that begins on 2024-01-01; `synthetic:7@2020-01-01` begins elsewhere.

    Raises:
        ConfigError: the seed is no whole number, or the beginning no date; there are no options and no other names.
    """
    if options or venues:
        raise ConfigError(f"synthetic: expected no options and plain symbols, found {', '.join([*options, *venues])}")
    number, _, origin = seed.partition("@")
    if not number.isdigit():
        raise ConfigError(f"expected a seed after synthetic:, as in synthetic:7, found {seed!r}")
    return SyntheticSource(int(number), parse_instant(origin or _ORIGIN))


class SyntheticSource:
    """See `src.data.sources.port.BarSource`.

    Args:
        seed: of all random streams.
        origin_ns: where the market begins.
    """

    def __init__(self, seed: int, origin_ns: int) -> None:
        self.name = f"{SOURCE_PREFIX}seed {seed} from {origin_ns}"
        self.page_bars = 100_000
        self._seed = seed
        self._origin_ns = origin_ns
        self._held: dict[str, tuple[int, HeldSource]] = {}

    def now_ns(self) -> int:
        """See `BarSource.now_ns`."""
        return parse_instant(_END)

    def symbol(self, name: str) -> SourceSymbol:
        """See `BarSource.symbol`; every name is a symbol of its own."""
        return SourceSymbol(symbol=name, venue=name, defaults=defaults_for("crypto", name))

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """See `BarSource.bars`; bars of one minute only."""
        if timeframe_ns != MINUTE_NS:
            raise ConfigError(
                f"{self.name} has bars of 1m, found {format_duration(timeframe_ns)}; longer bars are built from them "
                f"when a run needs them"
            )
        end_ns = -(-end_ns // MINUTE_NS) * MINUTE_NS
        if end_ns <= self._origin_ns:
            return
        known_ns, held = self._held.get(symbol, (0, None))
        if held is None or known_ns < end_ns:
            spec = SyntheticSpec(
                seed=self._seed, start_ns=self._origin_ns, end_ns=end_ns, symbols=(default_symbol(symbol),)
            )
            held = HeldSource(self.name, list(generate(spec).values()))
            self._held[symbol] = (end_ns, held)
        yield from held.bars(symbol, timeframe_ns, start_ns, end_ns)

    def close(self) -> None:
        """See `BarSource.close`; the generated bars are forgotten."""
        self._held.clear()
