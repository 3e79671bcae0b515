"""What a configuration decides before any bar is read: its strategies, schedule and instruments, each checked.

Called by one thread, before a run begins. No data are looked at, so that a wrong setting is refused before anything is
fetched or read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from src.backtesting.account_data import conversion_symbols
from src.backtesting.config import BacktestConfig
from src.backtesting.identity import user_files
from src.backtesting.newcomers import DataNeeds, changes_inside, data_needs, instrument_of
from src.backtesting.schedules import SchedulePolicy, policy_named
from src.backtesting.strict import refuse_real_locks
from src.backtesting.strict.findings import INSTEAD
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.strategy import Strategy
from src.core.symbols import ADD
from src.strategies import LoadedStrategy, load_strategy

__all__ = ["Settled", "settle", "settled_with"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A configuration that is right as far as it can be known without its data.

    Attributes:
        loaded: the strategies by the name of their instance.
        own_files: the strategies' files and the modules beside them that they import.
        instruments: of the symbols and of the pairs that convert their profits.
    """

    config: BacktestConfig
    policy: SchedulePolicy
    loaded: dict[str, LoadedStrategy]
    own_files: tuple[Path, ...]
    instruments: dict[str, Instrument]
    needs: DataNeeds

    @property
    def classes(self) -> dict[str, type[Strategy]]:
        """The class of each strategy by the name of its instance."""
        return {name: one.cls for name, one in self.loaded.items()}


def settle(document: ConfigDocument, given: Mapping[str, LoadedStrategy] | None = None) -> Settled:
    """Validate a configuration and load its strategies.

    Args:
        given: strategies that need not be loaded, by the word of the configuration that names them.

    Raises:
        ConfigError: the configuration or a strategy file is wrong.
    """
    config = document.validate(BacktestConfig)
    known = given or {}
    loaded = {
        each.instance: known[each.use] if each.use in known else load_strategy(each.use, document.folder)
        for each in config.strategies
    }
    own_files = _user_files(loaded.values())
    if config.backtest.runtime == "fibers":
        refuse_real_locks(own_files)
        _refuse_named_locks(loaded.values())
    return settled_with(document, config, loaded, own_files)


def settled_with(
    document: ConfigDocument, config: BacktestConfig, loaded: Mapping[str, LoadedStrategy], own_files: tuple[Path, ...]
) -> Settled:
    """The same for a configuration that has been validated and whose strategies have been loaded.

    Args:
        loaded: by the name of the instance.
        own_files: see `Settled`.

    Raises:
        ConfigError: the configuration is wrong.
    """
    section = config.backtest
    policy = policy_named(section.schedule, section.seed)
    instruments = {symbol: instrument_of(config, symbol) for symbol in (*config.symbols, *conversion_symbols(config))}
    for change in config.changes:
        if change.action == ADD:
            instrument_of(config, change.symbol)
    if section.start_ns is not None and section.end_ns is not None:
        changes_inside(document, config, section.start_ns, section.end_ns)
    needs = data_needs(config, {name: one.cls for name, one in loaded.items()})
    return Settled(
        config=config, policy=policy, loaded=dict(loaded), own_files=own_files, instruments=instruments, needs=needs
    )  # fmt: skip


def _refuse_named_locks(loaded: Iterable[LoadedStrategy]) -> None:
    """As `refuse_real_locks`, of the classes that were defined in memory."""
    lines = [f"  {one.cls.__name__}: {name}; write {INSTEAD[name]}" for one in loaded for name in one.real_locks]
    if lines:
        places = "\n".join(lines)
        raise ConfigError(
            "runtime: fibers runs all participants in one thread, where a real lock, queue or thread blocks everybody; "
            f"write runtime: threads, or use the clock's own:\n{places}",
            places=lines,
        )


def _user_files(loaded: Iterable[LoadedStrategy]) -> tuple[Path, ...]:
    """The files of the user's own that the strategies were made of, each once, in the order of their names."""
    return tuple(sorted({file for one in loaded if one.path is not None for file in user_files(one.path).values()}))
