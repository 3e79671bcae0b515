"""What a run reads of its data: how much its strategies need, and the bars of symbols that join it on the way.

Those that the configuration names are read before the run begins, the others when they join. `check` and `newcomer` may
be called from any thread, one at a time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from src.backtesting.account_data import has_rules_of_its_own, refuse_unconvertible
from src.backtesting.config import BacktestConfig
from src.backtesting.engine.symbols import Newcomer, SymbolChange
from src.backtesting.generated import BarOpener
from src.core.bars import BarSeries
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError, PreflightError
from src.core.instrument import Instrument
from src.core.strategy import Strategy
from src.core.strategy_runner import declared_lookbacks, strategy_timeframes
from src.core.symbols import ADD
from src.core.timeframe import format_instant
from src.data.market import load_market

__all__ = ["DataNeeds", "Judge", "StoreSupply", "changes_inside", "data_needs", "instrument_of"]

#: What is wrong with the bars of a symbol, as sentences: symbol, base bars, derived ones by their length in ns, source
#: of the bars, and the instant from which they are traded.
Judge = Callable[[str, BarSeries, Mapping[int, BarSeries], str, int], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNeeds:
    """What strategies need of their symbols' bars.

    Attributes:
        warmup_ns: how much earlier than the run the bars begin.
        lookbacks: bars before the run, by timeframe.
        timeframes: the timeframes of each strategy, in configured order.
        demands: the lookbacks of each strategy by itself, in configured order.
    """

    warmup_ns: int
    lookbacks: dict[int, int]
    timeframes: tuple[tuple[int, ...], ...]
    demands: tuple[dict[int, int], ...] = ()


def data_needs(config: BacktestConfig, classes: Mapping[str, type[Strategy]]) -> DataNeeds:
    """What the strategies of a configuration need.

    Raises:
        ConfigError: see `declared_lookbacks`.
    """
    trailing = config.manage.trailing
    managed = trailing.atr + 1 if trailing is not None and trailing.distance_atr is not None else 0
    warmup_ns = 0
    lookbacks: dict[int, int] = {}
    timeframes: list[tuple[int, ...]] = []
    demands: list[dict[int, int]] = []
    for strategy in config.strategies:
        cls = classes[strategy.instance]
        wanted = strategy_timeframes(cls, strategy)
        needed = declared_lookbacks(cls, strategy)
        needed[wanted[0]] = max(needed[wanted[0]], managed)
        for timeframe_ns, bars in needed.items():
            warmup_ns = max(warmup_ns, bars * timeframe_ns)
            lookbacks[timeframe_ns] = max(lookbacks.get(timeframe_ns, 0), bars)
        timeframes.append(tuple(wanted))
        demands.append(needed)
    return DataNeeds(
        warmup_ns=warmup_ns, lookbacks=lookbacks, timeframes=tuple(timeframes), demands=tuple(demands)
    )  # fmt: skip


def instrument_of(config: BacktestConfig, symbol: str) -> Instrument:
    """The rules of a symbol.

    Raises:
        ConfigError: nobody says in which currency its profit arises, or nothing converts that into the account's.
    """
    account = config.account.currency
    section = config.instruments[symbol]
    if section.quote_of(symbol, account) is None:
        raise ConfigError(
            f"{symbol}: expected a currency that its profit arises in, and its name tells none: write "
            f"instruments.{symbol}.currency; the account is in {account}",
            symbol=symbol,
        )
    instrument = section.build(symbol, account)
    refuse_unconvertible(config, instrument)
    return instrument


def changes_inside(document: ConfigDocument, config: BacktestConfig, start_ns: int, end_ns: int) -> None:
    """Refuse planned changes outside the window that the run turned out to have.

    Raises:
        ConfigError: the run would never reach one.
    """
    window = f"from {format_instant(start_ns)} to before {format_instant(end_ns)}"
    for i, each in enumerate(config.backtest.control):
        if not start_ns <= each.at_ns < end_ns:
            place = document.where(("backtest", "control", i, "at"))
            raise ConfigError(
                f"{place}: backtest.control.{i}.at: expected an instant {window}, found {format_instant(each.at_ns)}"
            )


class StoreSupply:
    """See `Supply`: bars of a store, read again for each symbol that joins.

    Args:
        opener: opens the bars that the run reads.
        end_ns: the end of the run's window.
        judge: what is wrong with the bars of a symbol that joins; nothing is asked without it.
    """

    def __init__(
        self, config: BacktestConfig, needs: DataNeeds, opener: BarOpener, end_ns: int, judge: Judge | None = None
    ) -> None:
        self._config = config
        self._needs = needs
        self._open = opener
        self._end_ns = end_ns
        self._judge = judge
        self._loaded: dict[tuple[str, int], Newcomer] = {}

    def load(self, changes: Iterable[SymbolChange]) -> "StoreSupply":
        """Read the bars of the symbols that will join, so that nothing of them is read later; returns itself.

        Raises:
            PreflightError: as of `newcomer`; all symbols' problems in one error, `problems` holds them as a list.
        """
        problems: list[str] = []
        for change in changes:
            if change.action == ADD:
                key = change.symbol, change.instant_ns
                try:
                    self._loaded[key] = self.newcomer(*key)
                except PreflightError as error:
                    problems.append(error.message)
        if problems:
            raise PreflightError("\n".join(problems), problems=problems, code="newcomer")
        return self

    @property
    def sources(self) -> dict[str, str]:
        """Where the bars come from of the symbols whose joining was known before the run."""
        return {symbol: found.source for (symbol, _), found in self._loaded.items()}

    def check(self, symbol: str, instant_ns: int) -> None:
        """See `Supply.check`."""
        if self._config.backtest.costs.spread is not None:
            raise ConfigError(f"{symbol} cannot join: backtest.costs.spread: column is not for symbols that join")
        instrument = instrument_of(self._config, symbol)
        planned = [change.symbol for change in self._config.changes]
        if symbol not in planned and has_rules_of_its_own(instrument, self._config.account.currency):
            raise ConfigError(
                f"{symbol} has margin, fees, swaps, funding or a currency of its own, for which a run is made ready "
                "before it begins; let it join by backtest.control instead",
                symbol=symbol,
            )
        with self._open() as store:
            try:
                found = store.series_of(symbol)
            except PreflightError as error:
                raise ConfigError(error.message, symbol=symbol) from None
            name = store.path.name
        last_ns = max(info.last_ns for info in found)
        if last_ns < instant_ns:
            raise ConfigError(
                f"{symbol} has no bars after {format_instant(instant_ns)}; {name} has them to "
                f"{format_instant(last_ns)}",
                symbol=symbol,
            )

    def newcomer(self, symbol: str, instant_ns: int) -> Newcomer:
        """See `Supply.newcomer`."""
        loaded = self._loaded.get((symbol, instant_ns))
        if loaded is not None:
            return loaded
        instrument = instrument_of(self._config, symbol)
        needs = self._needs
        wanted = {
            timeframe_ns
            for strategy, timeframes in zip(self._config.strategies, needs.timeframes, strict=True)
            if strategy.symbols is None
            for timeframe_ns in timeframes
        }
        with self._open() as store:
            market = load_market(
                store, [symbol], {symbol: wanted}, instant_ns, self._end_ns, needs.warmup_ns, needs.lookbacks,
                {symbol: self._config.instruments[symbol].calendar},
            )  # fmt: skip
        base = market.base[symbol]
        derived = {timeframe_ns: series for (_, timeframe_ns), series in market.derived.items()}
        wrong = self._judge(symbol, base, derived, market.sources[symbol], instant_ns) if self._judge else ()
        if wrong:
            raise PreflightError("\n".join(wrong), problems=list(wrong), symbol=symbol)
        return Newcomer(
            instrument=instrument,
            from_ns=instant_ns,
            base=base,
            derived=derived,
            fingerprint=market.fingerprint,
            source=market.sources[symbol],
        )
