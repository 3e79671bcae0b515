"""`export RUN`: a stored run as CSV, or as a tear sheet, for spreadsheets and other programs.

Runs in the main thread.
"""

from pathlib import Path
from typing import Annotated

import typer

from src.backtesting.export import CSV_TABLES, TEARSHEET, write_csv, write_tearsheet
from src.cli.options import DebugOption, JsonOption, QuietOption, output_of
from src.cli.run_folder import RunArgument, RunsOption, found_run
from src.core.errors import ConfigError

__all__ = ["export_command"]

_USUAL = ("trades", "equity")


def export_command(
    context: typer.Context,
    run: RunArgument,
    config: RunsOption = None,
    csv: Annotated[bool, typer.Option("--csv", help="trades.csv and equity.csv; so without any option.")] = False,
    tables: Annotated[
        str | None,
        typer.Option("--tables", metavar="NAMES", help=f"These as CSV, or all: {', '.join(CSV_TABLES)}."),
    ] = None,
    tearsheet: Annotated[
        bool, typer.Option("--tearsheet", help="tearsheet.html of quantstats; needs the extra tearsheet.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to; the run's own folder if absent.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Write a stored run as CSV, or as a tear sheet, for other programs. Its tables lie in its folder as Parquet."""
    from src.backtesting.stored_run import Run  # pandas, for which no help has to wait

    out = output_of(context, as_json, quiet, debug)
    found = Run(found_run(run, config).resolve())
    names = _named(tables) if tables is not None else _USUAL if csv or not tearsheet else ()
    folder = found.folder if to is None else to
    written = write_csv(found, folder, names)
    if tearsheet:
        written.append(write_tearsheet(found, folder / TEARSHEET))
    for path in written:
        out.say(str(path))
    if found.synthetic:
        out.notice("SYNTHETIC market: a result on it says nothing about a strategy")
    out.result({"run_id": found.run_id, "folder": str(found.folder), "files": [str(path) for path in written]})
    return 0


def _named(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--tables: expected names among {', '.join(CSV_TABLES)}, or all, found {text!r}")
    return CSV_TABLES if "all" in names else names
