"""Which runs of a suite read the same data, and whether those data are what these runs need.

Runs of one class may look back differently far and decide differently on what they see; symbols, timeframes, window and
store are the same. Called by one thread, before any run begins.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.backtesting.account_data import conversion_symbols
from src.backtesting.config import BacktestConfig
from src.backtesting.generated import bar_opener
from src.backtesting.newcomers import DataNeeds, StoreSupply, changes_inside
from src.backtesting.preflight import Examiner, Finding, PreflightReport, SeriesReport, instant_text
from src.backtesting.preflight.holes import enough_ns
from src.backtesting.settled import Settled
from src.core.config_file import ConfigDocument
from src.core.errors import PreflightError
from src.core.record import record
from src.core.symbols import ADD
from src.data.synthetic import SyntheticSpec

__all__ = ["DataClass", "Place", "UnionSeries", "hash_of", "reads_of"]

_SIGNATURE_LENGTH = 16

#: So much more is asked of a source than the runs look back at: bars of the longest timeframe, and a share.
_BUFFER_BARS = 10
_BUFFER_SHARE = 20  # a twentieth


@record
class Place:
    """Where the bars of a run lie.

    Attributes:
        path: the file of the store; None where the market is generated in memory.
        market: what is generated; None for stored bars.
        market_hash: what sets the market apart from others; empty for stored bars.
        ticks: whether the file of a generated market gets quotes and trades.
    """

    path: Path | None
    market: SyntheticSpec | None
    market_hash: str
    ticks: bool


@record
class UnionSeries:
    """What all runs together need of one symbol of one store.

    Attributes:
        timeframes_ns: the timeframes of its strategies, shortest first; none for a pair that only converts profits.
        from_ns, to_ns: from the earliest warm-up with its buffer to the last end of a window.
        runs: how many different runs read it.
    """

    symbol: str
    store: Path | None
    timeframes_ns: tuple[int, ...]
    from_ns: int
    to_ns: int
    runs: int


def reads_of(settled: Settled, place: Place) -> tuple[str, dict[str, tuple[int, ...]]]:
    """The signature of the data that a run reads, and the timeframes that it needs of each symbol."""
    config, needs = settled.config, settled.needs
    section = config.backtest
    timeframes = _timeframes(config, needs)
    joining = [(change.instant_ns, change.action, change.symbol) for change in config.changes]
    data = section.data.model_dump(mode="json", by_alias=True, exclude={"store", "sync", "sync_options", "seed"})
    what = {
        "place": str(place.path or ""),
        "market": place.market_hash,
        "data": data,
        "timeframes": [[symbol, list(lengths)] for symbol, lengths in timeframes.items()],
        "joining": joining,
        "rules": [[one.calendar, one.kind, one.funding] for one in (config.instruments[name] for name in timeframes)],
        "window": [section.start_ns, section.end_ns],
        "granularity": section.granularity,
        "finer": section.finer,
        "trigger_prices": list(section.trigger_prices),
        "spread_column": section.costs.spread is not None,
        # These two refuse bars without a volume.
        "volume": [section.costs.volume_share is not None, section.costs.slippage_volume_share > 0],
    }
    return hash_of(what)[:_SIGNATURE_LENGTH], timeframes


def hash_of(value: Mapping[str, Any]) -> str:
    """SHA-256, 64 hexadecimal characters, of plain values; of as many runs as there are, so nothing is looked at twice.

    The text is that of `canonical_json`, whose checks a dumped configuration has no need of.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _timeframes(config: BacktestConfig, needs: DataNeeds) -> dict[str, tuple[int, ...]]:
    """The timeframes of each symbol: those that are traded, that join, and that convert."""
    joining = [change.symbol for change in config.changes if change.action == ADD]
    found: dict[str, set[int]] = {symbol: set() for symbol in (*config.symbols, *joining, *conversion_symbols(config))}
    for strategy, wanted in zip(config.strategies, needs.timeframes, strict=True):
        for symbol in strategy.symbols or (*config.symbols, *joining):
            found[symbol].update(wanted)
    return {symbol: tuple(sorted(lengths)) for symbol, lengths in found.items()}


class _Shape:
    """Runs of one class whose strategies have the same names, symbols and timeframes, so that they are judged at once.

    Attributes:
        position: of the one of them that looks back farthest.
        demands: for each strategy the most bars of each timeframe that any run looks back at.
    """

    def __init__(self, position: int, needs: DataNeeds) -> None:
        self.position = position
        self.warmup_ns = needs.warmup_ns
        self.timeframes = needs.timeframes
        self.demands = [dict(each) for each in needs.demands]

    def add(self, position: int, needs: DataNeeds) -> None:
        if needs.warmup_ns > self.warmup_ns:
            self.position, self.warmup_ns = position, needs.warmup_ns
        for own, more in zip(self.demands, needs.demands, strict=True):
            _raise_to(own, more)


class DataClass:
    """The runs that read the same data.

    Attributes:
        signature: of the data.
        first: the first of the runs in the manifest.
        place: where they lie.
        timeframes_ns: by symbol, traded ones first; none for a pair that only converts profits.
        calendars: their names by symbol.
        start_ns, end_ns: the window; None where an end is open and nobody has looked at the data yet.
        positions: of the different runs in the manifest, each where it stands first.
        report: what `judge` found; None before.
        reach_ns: open of the earliest bar that any of the runs reads; None before, and without any.
        bars: base bars that are read, the most that any of the runs does; 0 before.
    """

    def __init__(
        self, signature: str, first: int, place: Place, timeframes_ns: Mapping[str, tuple[int, ...]],
        config: BacktestConfig,
    ) -> None:  # fmt: skip
        self.signature = signature
        self.first = first
        self.place = place
        self.timeframes_ns = dict(timeframes_ns)
        self.calendars = {symbol: config.instruments[symbol].calendar for symbol in timeframes_ns}
        self.start_ns, self.end_ns = config.backtest.start_ns, config.backtest.end_ns
        self.positions: list[int] = []
        self.report: PreflightReport | None = None
        self.reach_ns: int | None = None
        self.bars = 0
        self._warmup_ns = 0
        self._lookbacks: dict[int, int] = {}
        self._shapes: dict[object, _Shape] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols that are read."""
        return tuple(self.timeframes_ns)

    @property
    def runs(self) -> int:
        """How many different runs there are."""
        return len(self.positions)

    @property
    def window(self) -> str:
        """The window for people."""
        start, end = ("open" if each is None else instant_text(each) for each in (self.start_ns, self.end_ns))
        return f"{start} to {end}"

    def add(self, position: int, settled: Settled) -> None:
        """Count what one more run looks back at."""
        needs = settled.needs
        self._warmup_ns = max(self._warmup_ns, needs.warmup_ns)
        _raise_to(self._lookbacks, needs.lookbacks)
        key = (
            tuple([(one.instance, one.symbols) for one in settled.config.strategies]), needs.timeframes,
        )  # fmt: skip
        shape = self._shapes.get(key)
        if shape is None:
            self._shapes[key] = _Shape(position, needs)
        else:
            shape.add(position, needs)

    def from_ns(self, symbol: str) -> int:
        """From where on a source is asked for the bars of a symbol.

        That is the start of the window less the warm-up, one bar that may be under way, and a buffer: ten bars of the
        longest timeframe, or 5 % of the warm-up with that bar, whichever is longer. All of it is in open hours of the
        symbol's calendar, and stretched as far as any night, weekend and holiday may take.
        """
        longest_ns = max((length for lengths in self.timeframes_ns.values() for length in lengths), default=0)
        before_ns = self._warmup_ns + longest_ns
        buffer_ns = max(_BUFFER_BARS * longest_ns, -(-before_ns // _BUFFER_SHARE))
        return max(0, (self.start_ns or 0) - enough_ns(before_ns + buffer_ns, self.calendars[symbol]))

    def shapes(self) -> list[int]:
        """Runs that have to be settled to judge this class, by their position."""
        return [each.position for each in self._shapes.values()]

    def knows(self, other: "DataClass") -> bool:
        """Whether what was found here is true of the runs of another class: they read the same data, and look back no
        farther than those for which these data were judged.
        """
        return (
            self.report is not None
            and self.signature == other.signature
            and self._warmup_ns >= other._warmup_ns
            and _reaches(self._lookbacks, other._lookbacks)
            and all(
                key in self._shapes and all(map(_reaches, self._shapes[key].demands, shape.demands))
                for key, shape in other._shapes.items()
            )
        )

    def take(self, other: "DataClass") -> None:
        """Take what another class was judged to be, which `knows` this one."""
        self.report, self.reach_ns, self.bars = other.report, other.reach_ns, other.bars
        self.start_ns, self.end_ns = other.start_ns, other.end_ns

    def judge(self, runs: Sequence[tuple[ConfigDocument, Settled]], *, synced: bool) -> None:
        """Judge the data once for all runs, as far back as any of them looks.

        Args:
            runs: those of `shapes`, in that order.
            synced: whether the configured source has just been asked.

        Raises:
            ConfigError: a calendar does not know the time of the bars, or a symbol joins outside of the window.
            DataError: the store is not what it must be. What is wrong with the data themselves is in `report`.
        """
        findings, series = list[Finding](), tuple[SeriesReport, ...]()
        for shape, (document, settled) in zip(self._shapes.values(), runs, strict=True):
            needs = DataNeeds(
                warmup_ns=self._warmup_ns, lookbacks=dict(self._lookbacks), timeframes=shape.timeframes,
                demands=tuple(shape.demands),
            )  # fmt: skip
            report = self._judged(document, settled.config, needs, synced=synced)
            findings += [each for each in report.findings if each not in findings]
            series = series or report.series
        self.report = PreflightReport().joined(findings, series)

    def _judged(
        self, document: ConfigDocument, config: BacktestConfig, needs: DataNeeds, *, synced: bool
    ) -> PreflightReport:
        examiner = Examiner(config, document, needs, judging=True, synced=synced)
        try:
            examined = examiner.examine()
        except PreflightError as error:
            return PreflightReport.of(error)
        self.start_ns, self.end_ns = examined.start_ns, examined.end_ns
        changes_inside(document, config, examined.start_ns, examined.end_ns)
        base = list(examined.market.base.values())
        opener, judge = bar_opener(config, document.folder), examiner.judge(examined.end_ns)
        supply = StoreSupply(config, needs, opener, examined.end_ns, judge)
        try:
            supply.load(config.changes)
        except PreflightError as error:
            return PreflightReport.of(examiner.refusal(examined.report, error))
        base += [supply.newcomer(one.symbol, one.instant_ns).base for one in config.changes if one.action == ADD]
        self.reach_ns = min([int(each.open_ns[0]) for each in base if each.loaded], default=None)
        self.bars = sum(each.loaded for each in base)
        return examined.report


def _reaches(most: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    return all(key in most and most[key] >= value for key, value in wanted.items())


def _raise_to(most: dict[int, int], more: Mapping[int, int]) -> None:
    for key, value in more.items():
        most[key] = max(most.get(key, 0), value)
