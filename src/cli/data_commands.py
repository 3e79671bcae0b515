"""The verbs `data ...`: what is in the store of market data, how it gets there, and how it is kept.

Runs in the main thread; a store is open only while a command needs it.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from src.cli.ask import plan_import, show_report
from src.cli.data_care import delete_command, export_command, fingerprint_command, heal_command, import_folder
from src.cli.data_views import check_command, list_command
from src.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    KindOption,
    PriceOption,
    QuietOption,
    SourceOption,
    StampOption,
    StoreOption,
    SymbolOption,
    TimeframeOption,
    ZoneOption,
    answers_of,
    output_of,
)
from src.cli.sync_command import sync_command
from src.core.errors import ConfigError
from src.data.importing import run_import
from src.data.store import HistoricalDataStore

__all__ = ["data_app"]

data_app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help="Import market data, list it, check it, mend it."
)
data_app.command("list")(list_command)
data_app.command("check")(check_command)
data_app.command("heal")(heal_command)
data_app.command("export")(export_command)
data_app.command("delete")(delete_command)
data_app.command("fingerprint")(fingerprint_command)
data_app.command("sync")(sync_command)


@data_app.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file of bars or ticks (CSV, Parquet), or a mirror.")
    ] = None,
    symbol: SymbolOption = None,
    kind: KindOption = None,
    timeframe: TimeframeOption = None,
    zone: ZoneOption = None,
    stamp: StampOption = None,
    price: PriceOption = None,
    source: SourceOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put back what a series lost or changed since it was mirrored.")
    ] = False,
    from_recording: Annotated[
        str | None, typer.Option("--from-recording", metavar="RUN", help="Store the bars that a live or paper run saw.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Store the bars, quotes or trades of a file, what a mirror has, or the bars of a recorded run.

    What the file does not say is asked in a terminal, otherwise refused with the full command to paste. Of a mirror
    --symbol, --timeframe and --price choose the series; with --replace its bars take the place of stored ones. A
    recording says everything itself; its source is `recording` unless --source says another one.
    """
    out = output_of(context, as_json, quiet, debug)
    if from_recording is not None:
        if file is not None or replace:
            raise ConfigError("--from-recording brings the bars of a run; expected neither FILE nor --replace with it")
        _refuse_answers(
            from_recording, symbol=symbol, kind=kind, timeframe=timeframe, zone=zone, stamp=stamp, price=price
        )
        from src.cli.recording_import import import_recording  # with all that a live bot needs, which no file does

        return import_recording(from_recording, store, source, out)
    if file is None:
        raise ConfigError("expected FILE, a file of bars or ticks or a mirror, or --from-recording RUN")
    if file.is_dir():
        _refuse_answers(f"the mirror {file}", kind=kind, zone=zone, stamp=stamp, source=source)
        return import_folder(file, store, out, (symbol, timeframe, price), replace=replace)
    if replace:
        raise ConfigError(
            f"--replace: expected the folder of a mirror, found {file}; the bars of a file never replace stored ones, "
            f"leave it out"
        )
    named = None if store == DEFAULT_STORE else store
    plan = plan_import(file, answers_of(symbol, kind, timeframe, zone, stamp, price, source), out, named)
    plan.refuse_questions()  # before the store is opened, so that a refusal leaves no file behind
    with HistoricalDataStore(store) as opened:
        report = run_import(plan, opened)
    show_report(report, store, out)
    out.result({**dataclasses.asdict(report), "store": str(store)})
    return 0


def _refuse_answers(what: str, **answers: str | None) -> None:
    for name, value in answers.items():
        if value is not None:
            raise ConfigError(f"--{name}: {what} says that of each series itself; leave it out")
