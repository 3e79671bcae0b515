"""`results`: the stored runs of suites, ranked, chosen by a condition, or as the numbers of a heat map.

Runs in the main thread; nothing is run and nothing is written.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from src.backtesting.artifacts.trial_ledger import LEDGER
from src.backtesting.summary import money_text, percent_text, ratio_text
from src.cli.options import DebugOption, JsonOption, QuietOption, default_config, output_of
from src.cli.output import Output
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError
from src.core.words import counted
from src.data.synthetic import SOURCE_PREFIX
from src.research.suite.heatmap import HeatMap, heat_map
from src.research.suite.ranking import RankedRun, Ranking, read_results
from src.research.suite.results import RESULTS

__all__ = ["results_command", "show_ranking"]

_COLUMNS = ("trades", "net", "return_percent", "max_drawdown_percent", "sharpe", "deflated_sharpe", "trials")
_HEADS = {"return_percent": "return", "max_drawdown_percent": "max drawdown", "deflated_sharpe": "deflated"}
_MONEY = frozenset({"net", "gross", "final_equity", "final_balance", "initial_balance", "expectancy", "max_drawdown"})
_ABOUT = ("suite", "suite_id", "position", "name", "status")
_DEFLATED = (
    "deflated: the probability that a run is better than the best of so many trials would be by chance; trials counts "
    "every configuration ever tried on these data"
)


def results_command(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Whose results: a configuration or a manifest; configs/default.yaml if absent."),
    ] = None,
    results: Annotated[Path | None, typer.Option("--results", metavar="FILE", help="The database itself.")] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", metavar="NAME", help="Only this suite: its name, or how its id begins.")
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="COLUMN", help="The figure that decides.")] = "sharpe",
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help='Only runs for which it holds: "trades > 50".')
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many runs.")] = 20,
    heatmap: Annotated[
        str | None, typer.Option("--heatmap", metavar="X,Y", help="A figure over two labels, as fast,slow.")
    ] = None,
    of: Annotated[str | None, typer.Option("--of", metavar="COLUMN", help="The figure of the heat map.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Rank the runs of suites: which were the best, and is that more than the luck of many trials?"""
    out = output_of(context, as_json, quiet, debug)
    path, ledger = _places(config, results)
    if heatmap is None:
        if of is not None:
            raise ConfigError("--of names the figure of a heat map; it needs --heatmap X,Y")
        ranking = read_results(path, where=where, by=by, top=top, suite=suite, ledger=ledger)
        _show(ranking, ledger, out)
        out.result(_as_dict(ranking, path, ledger))
        return 0
    names = [name.strip() for name in heatmap.split(",")]
    if len(names) != 2 or not all(names):
        raise ConfigError(f"--heatmap: expected two labels such as fast,slow, found {heatmap!r}")
    found = heat_map(path, names[0], names[1], of or "sharpe", where=where, suite=suite, ledger=ledger)
    _show_heat_map(found, out)
    out.result(
        {"x_name": found.x_name, "y_name": found.y_name, "of": found.of, "x": list(found.x), "y": list(found.y),
         "values": [list(row) for row in found.values], "results": str(path)}
    )  # fmt: skip
    return 0


def show_ranking(
    path: Path, out: Output, *, by: str = "sharpe", suite: str | None = None, top: int | None = None,
    ledger: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Print the best runs of a database; the same as plain values.

    Args:
        by, suite, top: see `read_results`.
        ledger: the trial ledger; the one beside the database by default.

    Raises:
        ConfigError: no such suite.
        DataError: the database or the ledger cannot be read.
    """
    ledger = ledger or path.with_name(LEDGER)
    ranking = read_results(path, by=by, top=top, suite=suite, ledger=ledger)
    _show(ranking, ledger, out)
    return [_run_dict(run) for run in ranking.rows]


def _places(config: Path | None, results: Path | None) -> tuple[Path, Path]:
    """Where the database is, and where the ledger of its runs."""
    if results is not None and config is None:
        return results, results.with_name(LEDGER)
    path = default_config() if config is None else config
    if config is None and not path.is_file():
        raise ConfigError(
            "expected --config FILE or --results FILE, because this installation has no configs/default.yaml"
        )
    document = read_config(path)
    named = results
    if "base" in document.values:
        own = document.values.get("results")
        if named is None and isinstance(own, str):
            named = Path(os.path.abspath(document.folder / own))
        document = read_config(document.folder / str(document.values["base"]))
    runs = _runs_folder(document)
    return named or runs / RESULTS, runs / LEDGER


def _runs_folder(document: ConfigDocument) -> Path:
    section = document.values.get("backtest")
    runs = section.get("runs", "runs") if isinstance(section, dict) else "runs"
    return (document.folder / str(runs)).resolve()


def _show(ranking: Ranking, ledger: Path, out: Output) -> None:
    if not ranking.rows:
        out.say("no runs" if ranking.total == 0 else "")
        return
    deciding = [] if ranking.by in (*_COLUMNS, *_ABOUT, *_columns_of(ranking.labels)) else [ranking.by]
    suites = {run.suite_id for run in ranking.rows}
    failed = any(run.status != "COMPLETED" for run in ranking.rows)
    heads = [
        "rank", "name", *(["suite"] if len(suites) > 1 else []), *ranking.labels, *(["status"] if failed else []),
        *(_HEADS.get(each, each) for each in (*_COLUMNS, *deciding)),
    ]  # fmt: skip
    rows = []
    for run in ranking.rows:
        suite = [run.suite] if len(suites) > 1 else []
        labels = [_plain(run.labels.get(label)) for label in ranking.labels]
        status = [run.status] if failed else []
        figures = [_figure(column, run.figures.get(column)) for column in _COLUMNS]
        figures += [_figure(column, run.value) for column in deciding]
        rows.append([str(run.rank), run.name, *suite, *labels, *status, *figures])
    texts = {"name", "suite", "status"} | {
        label for label in ranking.labels if any(isinstance(run.labels.get(label), str) for run in ranking.rows)
    }
    out.table(heads, rows, numbers=[head for head in heads if head not in texts])
    order = "highest" if ranking.descending else "lowest"
    shown = f"{len(ranking.rows):,} of " if len(ranking.rows) < ranking.total else ""
    out.say(f"{shown}{counted(ranking.total, 'run')} by {ranking.by}, {order} first")
    if all(run.value is None for run in ranking.rows):
        why = ": it needs two days, and such that differ" if ranking.by == "sharpe" else ""
        out.say(f"no run has a {ranking.by}{why}; name another column with --by, such as net")
    out.say(_DEFLATED)
    if not ledger.is_file():
        out.warn(f"there is no trial ledger {ledger}: trials counts the runs of this database alone")
    if any(source.startswith(SOURCE_PREFIX) for run in ranking.rows for _, source in run.series):
        out.warn("SYNTHETIC market: a good result here says nothing about a strategy")


def _columns_of(labels: Iterable[str]) -> set[str]:
    """The columns that these labels may stand in."""
    return {column for label in labels for column in (label, f"label_{label}")}


def _figure(column: str, value: Any) -> str:
    if column.endswith("_percent"):
        return percent_text(value)
    if value is None:
        return "n/a"
    if column in _MONEY:
        return money_text(value)
    if column == "deflated_sharpe":
        return f"{value:.3f}"
    if isinstance(value, float):
        return ratio_text(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _show_heat_map(found: HeatMap, out: Output) -> None:
    if not found.x or not found.y:
        out.say("no runs")
        return
    corner = f"{found.y_name} \\ {found.x_name}"
    heads = [corner, *map(_plain, found.x)]
    rows = [
        [_plain(y), *(_figure(found.of, value) for value in values)]
        for y, values in zip(found.y, found.values, strict=True)
    ]
    out.table(heads, rows, numbers=heads)
    out.say(f"{found.of} over {found.x_name} (across) and {found.y_name} (down)")


def _as_dict(ranking: Ranking, path: Path, ledger: Path) -> dict[str, Any]:
    return {
        "results": str(path), "ledger": str(ledger) if ledger.is_file() else None, "by": ranking.by,
        "order": "descending" if ranking.descending else "ascending", "total": ranking.total,
        "labels": list(ranking.labels), "rows": [_run_dict(run) for run in ranking.rows],
    }  # fmt: skip


def _run_dict(run: RankedRun) -> dict[str, Any]:
    return {
        "rank": run.rank, "suite": run.suite, "suite_id": run.suite_id, "position": run.position, "name": run.name,
        "run_id": run.run_id, "status": run.status, "error": run.error or None, "labels": run.labels, **run.figures,
    }  # fmt: skip
