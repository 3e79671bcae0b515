"""`report`: the page of what is stored, made again, and opened: a run, two runs side by side, a suite, a validation.

Runs in the main thread. Nothing is run; the page is written into the folder that it is about.
"""

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from src.backtesting.report import build_comparison, build_run_report
from src.backtesting.report.stored import read_json
from src.cli.options import DebugOption, JsonOption, QuietOption, default_config, output_of
from src.cli.output import stdout_kept
from src.cli.run_folder import RunsOption, found_run
from src.core.errors import ConfigError, DataError
from src.core.program import command
from src.live.recording import FILE
from src.pages import Page, write_page
from src.research.replay.stored import store_tables
from src.research.replay.turns import recorded_threads
from src.research.run_prices import prices_of
from src.research.suite.report_page import write_suite_report
from src.research.validation.report_page import write_validation_report

__all__ = ["report_command"]

_REPORT = "report.html"
_MANIFEST = "manifest.json"


def report_command(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A folder of a run, a suite or a validation, or a run's name among the runs."
        ),
    ],
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="RUN2", help="Another run, to be shown beside the first.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    config: RunsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Make the page of a stored run again, with the real time it took; or two runs side by side."""
    out = output_of(context, as_json, quiet, debug)
    folder = found_run(run, config)
    with stdout_kept() if out.as_json else nullcontext():
        if compare is not None:
            kind, path = "comparison", _compare(folder, found_run(compare, config))
        else:
            kind, path = _make(folder, config)
    out.say(f"{kind} {folder.name}: {path}")
    out.result({"kind": kind, "folder": str(folder), "report": str(path), "bytes": path.stat().st_size})
    if open_page:
        webbrowser.open(path.resolve().as_uri())
    return 0


def _make(folder: Path, config: Path | None) -> tuple[str, Path]:
    """Make the page that belongs into a folder: what it is about, and where it is.

    Raises:
        DataError: the folder holds nothing that has a page, or a file in it is damaged.
    """
    if (folder / "suite.json").is_file():
        return "suite", write_suite_report(folder)
    if (folder / "validation.json").is_file():
        return "validation", write_validation_report(folder)
    return "run", _run_report(folder, config)


def _run_report(folder: Path, config: Path | None) -> Path:
    _complete(folder)
    manifest = read_json(folder / _MANIFEST)
    own = [] if config is None else [config.resolve().parent]
    places = [*own, Path.cwd(), Path.cwd() / "configs", default_config().parent, folder.resolve().parent.parent]
    found = prices_of(folder, manifest, places)
    with _readable(folder):
        threads = recorded_threads(folder)
        page = build_run_report(folder, prices=found.prices, timing=True, remark=found.remark, threads=threads)
    return _written(folder / _REPORT, page)


def _compare(first: Path, second: Path) -> Path:
    for folder in (first, second):
        _complete(folder)
    with _readable(first):
        page = build_comparison(first, second)
    return _written(first / f"compare-{second.resolve().name}.html", page)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn what is missing in a run's files into a sentence.

    Raises:
        DataError: a figure that this version shows is not there.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"them without {error}" if isinstance(error, KeyError) else f"others: {error}"
        raise DataError(
            f"expected the files of a run as this version writes them in {folder}, found {what}; run it again",
            path=str(folder),
        ) from None


def _written(path: Path, page: Page) -> Path:
    """Write a page; where it is.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        write_page(path, page)
    except OSError as error:
        raise ConfigError(
            f"expected a folder that can be written, found that {path} cannot: {error}", path=str(path)
        ) from None
    return path


def _complete(folder: Path) -> None:
    """See that the folder is that of a run that has its tables; those of a recording are made from it.

    Raises:
        DataError: it is not.
    """
    if (folder / _MANIFEST).is_file() and (folder / "trades.parquet").is_file():
        return
    if (folder / FILE).is_file():
        store_tables(folder)
        return
    if (folder / _MANIFEST).is_file():
        raise DataError(
            f"expected the tables of a run in {folder}, found no trades.parquet; run it again", path=str(folder)
        )
    raise DataError(
        f"expected the folder of a run, a suite or a validation, found neither {_MANIFEST} nor suite.json nor "
        f"validation.json in {folder}; `{command('report', 'RUN')}` takes a run's name too",
        path=str(folder),
    )
