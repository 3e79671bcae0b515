"""The page of a suite: every run ranked, a heat map over its parameters, the best ones beside each other, what failed.

Built from what the suite has left in its folder, so that the suite itself and `report FOLDER` make the same page. It
holds no clock, no speed and no number of workers. Called by one thread.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.core.program import command, program
from src.core.words import counted
from src.pages import Column, Page, Tile, banner, details, milliseconds, pair, safe, section, tiles, write_page
from src.research.suite.ranking import highest_first, searchable
from src.research.suite.report_columns import COLUMNS, LEADING, column_of, shown, words_of
from src.research.suite.report_curves import Curve, correlation, curves_of
from src.research.suite.report_data import JUDGED, WINDOW, ListedRun, StoredSuite, read_suite
from src.research.suite.results_file import METRIC_COLUMNS

__all__ = ["REPORT", "suite_page", "suite_page_of", "write_suite_report"]

#: The page's name inside the folder of a suite.
REPORT = "report.html"

_CURVES, _POINTS = 10, 700
#: A page with more rows than this would take long to open; the results database has all.
_MOST_ROWS = 20_000
#: What stands in a suite's manifest and decides no result.
_DECIDES_NOTHING = ("workers", "deadline", "memory", "sample", "executor", "dask", "results", "sync")
_STYLE = "<style>#failures td.wide { min-width: 240px; }</style>"
_STATUS = {"COMPLETED": "good", "DEGRADED": "warn", "FAILED": "bad", "LOST": "bad"}


def write_suite_report(folder: Path) -> Path:
    """Write the page of a suite into its folder; where it is.

    Raises:
        DataError: see `read_suite`.
        OSError: it cannot be written.
    """
    path = folder / REPORT
    write_page(path, suite_page(folder))
    return path


def suite_page(folder: Path) -> Page:
    """The page of the suite in a folder.

    Raises:
        DataError: see `read_suite`.
    """
    return suite_page_of(read_suite(folder))


def suite_page_of(suite: StoredSuite) -> Page:
    """The page of a suite that was read."""
    page = Page(f"Suite {suite.name}", heading=_heading(suite))
    page.add(_STYLE)
    if suite.synthetic:
        page.add(
            banner("SYNTHETIC", "A generated market: a good result here says nothing about a strategy or a market.")
        )
    page.add(tiles(_tiles(suite)))
    if suite.broken:
        page.add(_failures(page, suite))
    page.add(_ranking(page, suite))
    page.add(_heat(page, suite))
    curves = curves_of(suite.runs_dir, suite.different, most=_CURVES, points=_POINTS)
    page.add(_equity(page, suite, curves))
    page.add(_alike(page, curves))
    page.add(_about(suite))
    return page


def _heading(suite: StoredSuite) -> str:
    tone = "good" if suite.outcome == "COMPLETED" else "bad"
    return (
        f'<h1>Suite {safe(suite.name)} <span class="badge {tone}">{safe(suite.outcome)}</span></h1>'
        f"<p>{counted(len(suite.runs), 'run')}, ranked by {safe(words_of(suite.by))}, "
        f'{"highest" if suite.descending else "lowest"} first</p><p class="id">{safe(suite.suite_id)}</p>'
    )


def _tiles(suite: StoredSuite) -> list[Tile]:
    ended, different = suite.ended, suite.different
    counts: dict[str, int] = {}
    for each in suite.runs:
        counts[each.status] = counts.get(each.status, 0) + 1
    states = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    best = ended[0] if ended and ended[0].figures.get(suite.by) is not None else None
    profits = [each.figures["net"] for each in different if each.figures.get("net") is not None]
    worth = [each.figures["deflated_sharpe"] for each in different if each.figures["deflated_sharpe"] is not None]
    trials = [each.figures["trials"] for each in different if each.figures["trials"] is not None]
    found = [
        Tile(
            name="Runs", key="runs", text=f"{len(suite.runs):,}", note=states,
            meaning="How many runs the manifest lists, and how they ended.",
        )
    ]  # fmt: skip
    if best is not None:
        found.append(
            Tile(
                name=f"Best {_inside(suite.by)}", key="best", text=shown(suite.by, best.figures[suite.by]),
                note=_named(best, suite),
                meaning=f"{_named(best, suite)}. {COLUMNS[suite.by].meaning} The best of many looks good by chance "
                        "alone.",
            )
        )  # fmt: skip
        values = [each.figures[suite.by] for each in different if each.figures[suite.by] is not None]
        found.append(
            Tile(
                name=f"Median {_inside(suite.by)}", key="median", text=shown(suite.by, float(np.median(values))),
                note=f"of {counted(len(values), 'different run')}",
                meaning="Half of the different runs are above it, half below.",
            )
        )  # fmt: skip
    if profits:
        above = sum(each > 0 for each in profits)
        found.append(
            Tile(
                name="With a profit", key="profitable", text=f"{above:,} of {len(profits):,}",
                note=f"{100 * above / len(profits):.1f} % of the different runs",
                meaning="Different runs whose closed trades brought more than they cost.",
            )
        )  # fmt: skip
    if worth:
        found.append(
            Tile(
                name="Best deflated Sharpe", key="deflated", text=f"{max(worth):.3f}",
                tone="good" if max(worth) > 0.95 else "", note=f"among {counted(max(trials), 'trial')}",
                meaning=_DEFLATED,
            )
        )  # fmt: skip
    return found


_DEFLATED = (
    "The probability that a run is better than the best of so many trials would be by chance. 0.5 is what luck would "
    "have found as well; above 0.95 it is more than luck at the usual level. Trials are all configurations that were "
    "ever tried on these data, as the trial ledger had them when this page was made."
)


def _inside(name: str) -> str:
    """A figure's name inside a heading: small, unless it is somebody's name."""
    words = words_of(name)
    return words if words in ("Sharpe", "Sortino", "Calmar") else words[:1].lower() + words[1:]


def _named(run: ListedRun, suite: StoredSuite) -> str:
    labels = ", ".join(f"{name}={run.labels[name]}" for name in suite.varying if run.labels.get(name) is not None)
    return f"{run.name} ({labels})" if labels else run.name


def _ranking(page: Page, suite: StoredSuite) -> str:
    rows = suite.runs[:_MOST_ROWS]
    figures = [name for name in _figures(suite) if any(each.figures.get(name) is not None for each in rows)]
    columns = [
        Column(
            name="Rank",
            key="rank",
            kind="number",
            meaning="From the best to the worst; those without the figure come last.",
        ),
        Column(name="Run", key="run", kind="html", meaning="Links lead to the page of the run, where one was made."),
        Column(name="Status", key="status"),
        *(_label_column(suite, name) for name in suite.varying),
        *(column_of(name) for name in figures),
        Column(name="Run id", key="run id", meaning="The name of its folder inside the folder for runs."),
    ]
    linked = {each.folder for each in rows if each.folder and (suite.runs_dir / each.folder / REPORT).is_file()}
    values = [
        (
            rank, _link(each, linked), each.status, *(each.labels.get(name) for name in suite.varying),
            *(each.figures.get(name) for name in figures), each.run_id,
        )
        for rank, each in enumerate(rows, start=1)
    ]  # fmt: skip
    page.value("suite", _map_of(suite, figures))
    cut = f" The first {_MOST_ROWS:,} of {len(suite.runs):,}; the results database has all." if len(rows) < len(
        suite.runs
    ) else ""  # fmt: skip
    alone = "" if suite.ledger else " There is no trial ledger, so trials counts the runs of this suite alone."
    how = (
        f"Sorted by a click on a heading. <code>{safe(program())} report RUN</code> makes the page of a run, and this "
        f"page links it when it is made again.{safe(cut)}{safe(alone)}"
    )
    return section("Ranking", page.table("ranking", columns, values) + f'<p class="note">{how}</p>', "runs")


def _figures(suite: StoredSuite) -> list[str]:
    """The figures in the order of the table: what most people look for first."""
    known = (*LEADING, suite.by, *JUDGED, *WINDOW, *METRIC_COLUMNS)
    return [name for name in dict.fromkeys(known) if name != "currency"]


def _label_column(suite: StoredSuite, name: str) -> Column:
    values = [each.labels.get(name) for each in suite.runs]
    numbers = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    return Column(name=name, kind="number" if numbers else "text", meaning="What the run was asked for.")


def _link(run: ListedRun, linked: set[str]) -> str:
    name = safe(run.name)
    return f'<a href="../../{safe(run.folder)}/{REPORT}">{name}</a>' if run.folder in linked else name


def _map_of(suite: StoredSuite, figures: Sequence[str]) -> dict[str, Any]:
    """Which columns of the ranking the heat map may be over, and of what."""
    first = 3  # behind rank, run and status
    labels = [{"name": name, "at": first + place} for place, name in enumerate(suite.varying)]
    numbers = set(searchable()) | set(JUDGED)
    of = [
        {"name": name, "words": words_of(name), "at": first + len(labels) + place, "low": not highest_first(name)}
        for place, name in enumerate(figures)
        if name in numbers
    ]
    return {"labels": labels, "of": of, "by": suite.by, "run": first + len(labels) + len(figures), "name": 1}


def _heat(page: Page, suite: StoredSuite) -> str:
    if not suite.varying or not suite.ended:
        return ""
    page.script("suite.js")
    return section(
        "Heat map",
        '<div class="tools" id="heat-tools"></div><div id="heat" class="chart" style="height:420px"></div>'
        '<p class="note" id="heat-note"></p>',
        "heat-map",
        meaning=(
            "A figure over two of the parameters that differ. A cell that several different runs share shows their "
            "mean; choose values of the other parameters to see single runs."
        ),
    )


def _equity(page: Page, suite: StoredSuite, curves: Sequence[Curve]) -> str:
    if not curves:
        return ""
    data = [
        {
            "x": milliseconds(each.instant_ns), "y": each.equity, "name": _named(each.run, suite), "mode": "lines",
            "line": {"width": 2 if place == 0 else 1.3, "color": f"series-{place % 8}",
                     "dash": "solid" if place < 8 else "dot"},
        }
        for place, each in enumerate(curves)
    ]  # fmt: skip
    currencies = sorted({str(each.run.figures.get("currency")) for each in curves})
    layout = {
        "xaxis": {"type": "date"}, "yaxis": {"title": {"text": f"equity, {' or '.join(currencies)}"}},
        "hovermode": "x unified" if len(curves) < 6 else "closest",
        "legend": {"orientation": "h", "x": 0, "y": -0.12, "yanchor": "top"},
    }  # fmt: skip
    note = (
        f"The best {len(curves)} of {counted(len(suite.different), 'different run')} by {words_of(suite.by)}. Of each "
        f"the first sample and the last one in each of {_POINTS} equal spans of time; a click on a name hides its "
        "curve."
    )
    chart = page.chart("equity", {"data": data, "layout": layout}, height_px=460, note=note)
    return section("Equity of the best", chart, "equity-of-the-best")


def _alike(page: Page, curves: Sequence[Curve]) -> str:
    if len(curves) < 2:
        return ""
    found = correlation(curves)
    names = [each.run.name for each in curves]
    # A run that is listed twice by other names stands here once, and two runs may have one name in two manifests only.
    figure = {
        "data": [
            {
                "type": "heatmap", "x": names, "y": names, "z": found, "zmin": -1, "zmax": 1,
                "text": [["n/a" if value is None else f"{value:.2f}" for value in row] for row in found],
                "texttemplate": "%{text}", "textfont": {"color": "text"},
                "hovertemplate": "%{y} and %{x}: %{z:.4f}<extra></extra>",
                "colorscale": [[0, "series-1@0.6"], [0.5, "card"], [1, "series-0@0.6"]], "xgap": 1, "ygap": 1,
                "colorbar": {"thickness": 10, "outlinewidth": 0},
            }
        ],
        "layout": {"xaxis": {"type": "category", "showgrid": False},
                   "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False}, "margin": {"t": 28}},
    }  # fmt: skip
    pairs = [value for place, row in enumerate(found) for value in row[:place] if value is not None]
    mean = f"Their mean over the {counted(len(pairs), 'pair')} is {sum(pairs) / len(pairs):.2f}. " if pairs else ""
    note = (
        f"{mean}Pearson's correlation of the daily returns that the Sharpe ratios are of, over the days that both "
        "have; days are those of each run's account, and days without a change count as 0. Runs that move together are "
        "one idea and not several."
    )
    return section("Correlation of the best", page.chart("correlation", figure, height_px=420, note=note), "alike")


def _failures(page: Page, suite: StoredSuite) -> str:
    rows = [
        (each.name, f'<b class="{_STATUS.get(each.status, "bad")}">{safe(each.status)}</b>', _labels(each, suite),
         each.error, f"<code>{safe(command(*each.again))}</code>" if each.again else "")
        for each in suite.broken[:_MOST_ROWS]
    ]  # fmt: skip
    columns = [
        Column(name="Run", key="run"), Column(name="Status", key="status", kind="html"),
        Column(name="With", key="with", wide=True), Column(name="Why", key="why", wide=True),
        Column(name="Reproduce", key="reproduce", kind="html", wide=True,
               meaning="Makes this run alone, as the same run."),
    ]  # fmt: skip
    lost = any(each.status == "LOST" for each in suite.broken)
    note = (
        "A run that failed is a result of its bot: it has no figures here, because what was cut short is not compared."
        + (" A lost one is no result: the suite's own command with --resume tries it again." if lost else "")
    )
    html = page.table("failures", columns, rows, page=25) + f'<p class="note">{safe(note)}</p>'
    return section(f"Failures ({len(suite.broken):,})", html, "failed")


def _labels(run: ListedRun, suite: StoredSuite) -> str:
    return ", ".join(f"{name}={run.labels[name]}" for name in suite.varying if run.labels.get(name) is not None)


def _about(suite: StoredSuite) -> str:
    manifest = {
        name: value for name, value in (suite.about.get("manifest") or {}).items()
        if name not in _DECIDES_NOTHING and value is not None
    }  # fmt: skip
    told = {
        "suite_id": suite.suite_id, "manifest": manifest, "code": suite.about.get("code"),
        "versions": suite.about.get("versions"),
        "fingerprints": sorted((suite.about.get("fingerprints") or {}).values()),
    }  # fmt: skip
    text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)
    return pair(section("Manifest", details("What was asked for, of which data and code", f"<pre>{safe(text)}</pre>"),
                        "manifest"))  # fmt: skip
