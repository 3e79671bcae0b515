"""`run_backtest`: a backtest from Python, for notebooks and scripts, on the one path that the command line takes too.

Called by one thread; the bot's own threads live only inside. What is wrong is said by the errors that the command line
prints, and by an exception here.
"""

import copy
import datetime as dt
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.backtesting.given import given_strategy, named_strategy, source_of
from src.backtesting.progress_bar import progress_bar
from src.backtesting.result import Outcome
from src.backtesting.run import PreparedRun, execute, prepare
from src.backtesting.stored_run import Run
from src.core.config_file import ConfigDocument, parse_config, read_config
from src.core.errors import ConfigError
from src.core.strategy import Strategy
from src.strategies import LoadedStrategy

__all__ = ["AnyStrategy", "run_backtest"]

#: A strategy of the table or of a file by its name, a class, or an entry of the configuration whose `use` is either.
AnyStrategy = str | type[Strategy] | Mapping[str, Any]

_IN_MEMORY = "the configuration"


def run_backtest(
    config: str | Path | Mapping[str, Any],
    *,
    set: Sequence[str] | Mapping[str, Any] = (),
    symbols: Sequence[str] | None = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    strategies: AnyStrategy | Sequence[AnyStrategy] | None = None,
    preflight: bool = True,
    progress: bool | str = "auto",
    report: bool = False,
) -> Run:
    """Run a backtest, store it, and return it.

    Args:
        config: a YAML file, or its content as a mapping of plain values; relative paths in a mapping are relative to
            the working directory.
        set: overrides, as words `risk.max_open_positions=3` or as a mapping of keys to plain values.
        symbols: trade these; all of the configuration by default.
        start, end: the window, instead of the configuration's; a text such as `2024-01-31`, a date, or an instant.
        strategies: these, instead of the configuration's; a class may be defined right where this is called.
        preflight: whether the data are judged first.
        progress: whether a bar is drawn; `auto` draws one in notebooks and on terminals.
        report: whether the folder gets a `report.html`, as it does from the command line.

    Raises:
        ConfigError: the configuration or a strategy is wrong.
        DataError: the store is not what it must be.
        PreflightError: the data lack what the run needs.
        DeterminismError: the same run is stored with another result.
        LockstepError: the run failed; `folder` is where what was simulated until then is stored.
        KeyboardInterrupt: it was interrupted; the message says where what was simulated until then is stored.

    Warns:
        UserWarning: a symbol was stopped on the way, so that the figures cover it only until then.
    """
    bar = progress_bar(_shown(progress))
    document = _document(config, set)
    settings, given = _settings(document, symbols, start, end, strategies)
    document = document.changed(settings, lambda key: f"run_backtest({key.rpartition('.')[2]}=...)")
    prepared = prepare(document, preflight=preflight, given=given)
    finished = execute(_with_sources(prepared, given), watch=bar, report=report)
    result, folder = finished.result, finished.folder
    if result.error is not None:
        result.error.details["folder"] = str(folder)
        raise result.error
    if result.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt(f"the run was interrupted; what was simulated until then is stored in {folder}")
    for symbol, why in result.failures.items():
        warnings.warn(f"{symbol} was stopped: {why}", UserWarning, stacklevel=2)
    return Run(folder)


def _shown(progress: bool | str) -> bool | None:
    """Whether a bar is drawn; None where that depends on who looks."""
    if progress == "auto":
        return None
    if isinstance(progress, bool):
        return progress
    raise ConfigError(f"run_backtest(progress=...): expected 'auto', True or False, found {progress!r}")


def _document(config: str | Path | Mapping[str, Any], given: Sequence[str] | Mapping[str, Any]) -> ConfigDocument:
    if not isinstance(config, (str, Path, Mapping)):
        raise ConfigError(f"run_backtest: expected a YAML file or a mapping of its keys, found {config!r}")
    words = [] if isinstance(given, Mapping) else [given] if isinstance(given, str) else list(given or ())
    if not all(isinstance(word, str) for word in words):
        raise ConfigError(
            f"run_backtest(set=...): expected words such as 'risk.max_open_positions=3', or a mapping, found {given!r}"
        )
    if isinstance(config, Mapping):
        document = ConfigDocument(_plain(config), {}, _IN_MEMORY, Path.cwd())
        settings = [_setting(word) for word in words]
    else:
        document, settings = read_config(Path(config), words), []
    if isinstance(given, Mapping):
        settings = [(key, _plain(value)) for key, value in given.items()]
    return document.changed(settings, lambda key: f"set {key}")


def _setting(word: str) -> tuple[str, Any]:
    """The key and the value of a word such as `risk.max_open_positions=3`."""
    key, separator, text = word.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"expected set=['key=value'], found {word!r}")
    return key.strip(), parse_config(f"value: {text}", f"set {key.strip()}", Path.cwd()).values["value"]


def _settings(
    document: ConfigDocument, symbols: Sequence[str] | None, start: str | dt.date | None, end: str | dt.date | None,
    strategies: AnyStrategy | Sequence[AnyStrategy] | None,
) -> tuple[list[tuple[str, Any]], dict[str, LoadedStrategy]]:  # fmt: skip
    """What the arguments set, by the key of the configuration, and the classes that nobody has to load."""
    settings: list[tuple[str, Any]] = []
    given: dict[str, LoadedStrategy] = {}
    if symbols is not None:
        settings.append(("symbols", [symbols] if isinstance(symbols, str) else [str(symbol) for symbol in symbols]))
    for key, instant in (("backtest.start", start), ("backtest.end", end)):
        if instant is not None:
            settings.append((key, _plain(instant)))
    if strategies is not None:
        several: Any = strategies
        if isinstance(strategies, (str, type, Mapping)) or not isinstance(strategies, Iterable):
            several = [strategies]
        settings.append(("strategies", [_entry(each, document.folder, given) for each in several]))
    return settings, given


def _entry(strategy: AnyStrategy, folder: Path, given: dict[str, LoadedStrategy]) -> dict[str, Any]:
    """One strategy as the configuration has it; a class of memory alone is added to `given`."""
    if not isinstance(strategy, (str, type, Mapping)):
        raise ConfigError(
            "run_backtest(strategies=...): expected names, classes or entries as a configuration has them, found "
            f"{strategy!r}"
        )
    entry = dict(strategy) if isinstance(strategy, Mapping) else {"use": strategy}
    use = entry.get("use")
    if isinstance(use, type):
        name = named_strategy(use, folder)
        if name is None:
            name, loaded = given_strategy(use)
            if name in given and given[name].cls is not use:
                raise ConfigError(f"two of the strategies are different classes called {use.__name__}; rename one")
            given[name] = loaded
        entry["use"] = name
    return {str(key): _plain(value) for key, value in entry.items()}


def _with_sources(prepared: PreparedRun, given: Mapping[str, LoadedStrategy]) -> PreparedRun:
    """The run whose manifest keeps the text of what was written in cells, so that it can be read again."""
    texts = {use: text for use, one in given.items() if (text := source_of(one.cls)) is not None}
    return replace(prepared, manifest={**prepared.manifest, "strategy_sources": texts}) if texts else prepared


def _plain(value: Any) -> Any:
    """A value as a configuration file would have it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if value is pd.NaT:
        return "NaT"  # refused as what it is; nothing would stand for an open end
    if isinstance(value, dt.datetime):
        # Without a zone it is UTC, as everywhere in a configuration.
        utc = value if value.tzinfo is None else value.astimezone(dt.UTC)
        return f"{utc.replace(tzinfo=None).isoformat()}Z"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return value.item() if isinstance(value, np.generic) else copy.deepcopy(value)
