"""`data sync`: bring the store up to date from a source.

Runs in the main thread, which waits for the source; the store is open for writing meanwhile, so nobody else writes.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import instruments_told
from src.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    SourceSettingsOption,
    output_of,
)
from src.cli.output import Output
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError
from src.core.sync import interrupts_raise
from src.core.timeframe import format_duration, format_instant, parse_instant, parse_timeframe
from src.core.words import counted
from src.data.sources import source_named
from src.data.sources.held import with_symbol
from src.data.sources.port import BarSource
from src.data.sources.synthetic import with_instruments
from src.data.store import HistoricalDataStore
from src.data.syncing import FUNDING, OnPage, SyncReport, sync_bars, sync_funding

__all__ = ["bars_on", "options_of", "sync_command", "tell_waits"]

_EXIT_INTERRUPTED = 130
_DEFAULT_TIMEFRAME = "1m"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is asked for: by options, and what these leave open by the configuration.

    Attributes:
        instruments: what the configuration says of the instruments, for a source that generates.
    """

    source: str
    symbols: tuple[str, ...]
    venues: dict[str, str]
    timeframes_ns: tuple[int, ...]
    start_ns: int
    end_ns: int | None
    store: Path
    options: dict[str, Any]
    instruments: dict[str, dict[str, Any]]


class _Interrupted(BaseException):
    """Ctrl-C while pages are coming; what came is stored."""


def sync_command(
    context: typer.Context,
    source: Annotated[str | None, typer.Option("--source", help="Such as ccxt:binanceusdm.")] = None,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B", help="Or NAME=MARKET for another name there.")
    ] = None,
    timeframes: Annotated[str | None, typer.Option("--timeframes", metavar="1m,1h", help="1m by default.")] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="INSTANT", help="The first bar's open.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="INSTANT", help="Before it; now by default.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Takes symbols, window and store from a configuration.")
    ] = None,
    funding: Annotated[bool, typer.Option("--funding", help="The funding rates as well.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask also for what was answered before.")] = False,
    source_options: SourceSettingsOption = None,
    store: Annotated[Path | None, typer.Option("--store", help="The DuckDB file.")] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Draw the progress bar anyway, or never.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Store what a source has and the store has not: the ends, and the holes between.

    May be interrupted at any moment; the same command goes on from there. Exit code 1 when the source does not answer
    or a bar cannot be right and was left out.
    """
    out = output_of(context, as_json, quiet, debug)
    document = None if config is None else read_config(config)
    wanted = _wanted(document, source, symbols, timeframes, start, end, store, source_options or [])
    reports: list[SyncReport] = []
    with closing(_source_of(wanted)) as opened_source:
        tell_waits(opened_source, out)
        _refuse_unknown(opened_source, wanted, funding)  # before the store is opened: a refusal leaves no file behind
        try:
            with interrupts_raise(_Interrupted), HistoricalDataStore(wanted.store) as opened:
                for report in _sync_all(opened, opened_source, wanted, funding, again, bars_on(out, progress)):
                    reports.append(report)
                    _show(report, out)
        except _Interrupted:
            out.error("interrupted; what came before is stored, the same command goes on from there")
            out.result(_as_json(reports, wanted, interrupted=True))
            return _EXIT_INTERRUPTED
    out.result(_as_json(reports, wanted, interrupted=False))
    return 1 if any(report.refused for report in reports) else 0


def _source_of(wanted: _Wanted) -> BarSource:
    """The source, which knows the symbols by what the store and the configuration say of them."""
    stored = _stored_instruments(wanted)
    venues = {name: str(one["venue"]) for name, one in stored.items() if one.get("venue")}
    if not wanted.source.startswith("ccxt:"):  # others have no names of their own
        venues = {}
    options = with_instruments(wanted.source, wanted.options, {**stored, **wanted.instruments})
    options = with_symbol(wanted.source, options, wanted.symbols)
    return source_named(wanted.source, options=options, venues={**venues, **wanted.venues})


def _refuse_unknown(source: Any, wanted: _Wanted, funding: bool) -> None:
    """Refuse symbols, timeframes and rates that the source has not."""
    # Any: what a source knows besides bars is looked at and not declared.
    for symbol in wanted.symbols:
        source.symbol(symbol)
        if hasattr(source, "refuse_timeframe"):
            for timeframe_ns in wanted.timeframes_ns:
                source.refuse_timeframe(symbol, timeframe_ns)
    if funding and not hasattr(source, "funding"):
        raise ConfigError(f"--funding: {wanted.source} knows no funding rates; leave it out")


def tell_waits(source: Any, out: Output) -> None:
    """Let a source that waits for somebody say so on stderr."""
    # Any: whether a source waits is looked at and not declared.
    if hasattr(source, "on_retry"):
        source.on_retry = out.notice


def _sync_all(
    store: HistoricalDataStore, source: Any, wanted: _Wanted, funding: bool, again: bool,
    shown: Callable[[str], AbstractContextManager[OnPage | None]],
) -> Iterator[SyncReport]:  # fmt: skip
    # Any: whether a source knows funding rates is looked at and not declared.
    for symbol in wanted.symbols:
        for timeframe_ns in wanted.timeframes_ns:
            with shown(f"{symbol} {format_duration(timeframe_ns)}") as on_page:
                report = sync_bars(
                    store, source, symbol, timeframe_ns, wanted.start_ns, wanted.end_ns, again=again, on_page=on_page
                )  # fmt: skip
            yield report
        if funding:
            with shown(f"{symbol} funding") as on_page:
                report = sync_funding(
                    store, source, symbol, wanted.start_ns, wanted.end_ns, again=again, on_page=on_page
                )  # fmt: skip
            yield report


# ------------------------------------------------------------------------------------------------- what is wanted


def _wanted(
    document: ConfigDocument | None, source: str | None, symbols: str | None, timeframes: str | None,
    start: str | None, end: str | None, store: Path | None, source_options: list[str],
) -> _Wanted:  # fmt: skip
    names, venues = _names(symbols)
    options: dict[str, Any] = {}
    instruments: dict[str, dict[str, Any]] = {}
    start_ns = None if start is None else parse_instant(start)
    end_ns = None if end is None else parse_instant(end)
    if document is not None:
        found = document.validate(BacktestConfig)
        instruments = instruments_told(found)
        names = names or tuple(found.symbols)
        start_ns = found.backtest.start_ns if start_ns is None else start_ns
        end_ns = found.backtest.end_ns if end_ns is None else end_ns
        store = document.folder / found.backtest.data.path if store is None else store
        exchange = (found.live or {}).get("exchange")
        source = source or found.backtest.data.sync or (f"ccxt:{exchange}" if exchange else None)
        if source == found.backtest.data.sync:
            options = dict(found.backtest.data.sync_options)
        if source is not None and source.startswith("ccxt:"):  # others have no names of their own
            venues = {name: one.venue for name, one in found.instruments.items() if one.venue} | venues
    missing = [
        option
        for option, value in (("--source", source), ("--symbols", names), ("--start", start_ns))
        if value in (None, ())
    ]
    if source is None or start_ns is None or missing:
        raise ConfigError(
            f"data sync needs {', '.join(missing)}; for example --source ccxt:binanceusdm --symbols BTCUSDT "
            f"--start 2024-01-01, or a --config that says it",
            missing=missing,
        )
    lengths = [parse_timeframe(word) for word in _words(timeframes or _DEFAULT_TIMEFRAME, "--timeframes")]
    return _Wanted(
        source=source, symbols=names, venues={name: venues[name] for name in names if name in venues},
        timeframes_ns=tuple(dict.fromkeys(lengths)), start_ns=start_ns, end_ns=end_ns, store=store or DEFAULT_STORE,
        options={**options, **options_of(source_options)},
        instruments={name: instruments[name] for name in names if name in instruments},
    )  # fmt: skip


def _names(text: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    names, venues = [], {}
    for word in _words(text, "--symbols") if text is not None else ():
        name, sign, venue = word.partition("=")
        if not name or (sign and not venue):
            raise ConfigError(f"--symbols: expected NAME or NAME=MARKET, found {word!r}", found=word)
        names.append(name)
        if venue:
            venues[name] = venue
    return tuple(dict.fromkeys(names)), venues


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ConfigError(f"{option}: expected names with commas between, found {text!r}", found=text)
    return words


def options_of(words: list[str]) -> dict[str, Any]:
    """`urls.api.public=http://...` as nested mappings; values are YAML."""
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not all(key.split(".")):
            raise ConfigError(f"--source-option: expected KEY=VALUE, found {word!r}", found=word)
        *path, last = key.split(".")
        at = found
        for part in path:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise ConfigError(f"--source-option: {key} lies inside a plain value", found=word)
        try:
            at[last] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--source-option: expected a plain value as {key}, found {value!r}") from None
    return found


def _stored_instruments(wanted: _Wanted) -> dict[str, dict[str, Any]]:
    """What the store says of the symbols: among it the names that a source knew them by at the last sync."""
    if not wanted.store.is_file() or not wanted.source.startswith(("ccxt:", "synthetic:")):
        return {}
    with HistoricalDataStore(wanted.store, read_only=True) as store:
        return {name: store.read_instrument(name) or {} for name in wanted.symbols}


# ------------------------------------------------------------------------------------------------- what is shown


def bars_on(out: Output, forced: bool | None = None) -> Callable[[str], AbstractContextManager[OnPage | None]]:
    """A progress bar on stderr where somebody watches, or as it is forced.

    Returns:
        A context manager for each series that gives what `sync_bars` calls after a page.
    """
    console = out.errors
    drawn = forced is not False and not out.quiet and (bool(forced) or console.is_terminal)
    if drawn and not console.is_terminal:
        console = Console(stderr=True, force_terminal=True)

    @contextmanager
    def shown(name: str) -> Iterator[OnPage | None]:
        if not drawn:
            yield None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        # Drawn after each page and by nobody in between: there is no second thread to be left behind by an error.
        with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
            task = progress.add_task(name, total=None)

            def on_page(done_ns: int, total_ns: int) -> None:
                # Nothing to ask for is done at once.
                progress.update(task, completed=done_ns if total_ns else 1, total=total_ns or 1)
                progress.refresh()

            yield on_page

    return shown


def _show(report: SyncReport, out: Output) -> None:
    name = f"{report.symbol} {'funding' if report.timeframe_ns == FUNDING else format_duration(report.timeframe_ns)}"
    span = f"{format_instant(report.start_ns)} to {format_instant(report.end_ns)}"
    if not report.asked:
        out.say(f"{name}: {span} was there already")
    else:
        new = counted(report.written, "new rate" if report.timeframe_ns == FUNDING else "new bar")
        out.say(f"{name}: {new} in {counted(report.pages, 'page')}; {span} is complete as {report.source} has it")
    for sentence in report.refused:
        out.warn(f"left out: {sentence}")


def _as_json(reports: list[SyncReport], wanted: _Wanted, *, interrupted: bool) -> Mapping[str, Any]:
    return {
        "store": str(wanted.store), "source": wanted.source, "interrupted": interrupted,
        "series": [dataclasses.asdict(report) for report in reports],
    }  # fmt: skip
