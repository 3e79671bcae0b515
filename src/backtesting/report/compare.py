"""Two stored runs side by side: the first decision in which they differ, both curves, and what else is different.

Called by one thread; reads both folders.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.backtesting import summary
from src.backtesting.report.curves import CURVE_POINTS, drawdown_of, thinned
from src.backtesting.report.headline import window_text
from src.backtesting.report.stored import StoredRun, read_columns, read_run
from src.core.timeframe import HOUR_NS, format_instant
from src.core.words import counted
from src.pages import Column, Page, Tile, banner, details, milliseconds, note, safe, section, tiles

__all__ = ["Parting", "build_comparison", "first_difference"]

_Journals = tuple[list[dict[str, Any]], list[dict[str, Any]]]

_INSTANTS = ("start_ns", "end_ns", "max_drawdown_start_ns", "max_drawdown_trough_ns")
_AROUND = 6  # records that are shown before and after the first difference
_SHORT = 200  # characters of a configured value that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """Where two journals part: the number of the record in each, and the records; None where one has ended."""

    first_number: int
    second_number: int
    first: Mapping[str, Any] | None
    second: Mapping[str, Any] | None


def first_difference(first: list[dict[str, Any]], second: list[dict[str, Any]], kind: str = "") -> Parting | None:
    """The first records in which two journals differ; None when they are equal.

    Args:
        first, second: records as plain values, in digest order.
        kind: only records of this kind are compared; all by default.
    """
    chosen = [
        [(number, one) for number, one in enumerate(records) if not kind or one["kind"] == kind]
        for records in (first, second)
    ]
    for (i, left), (j, right) in zip(*chosen, strict=False):
        if left != right:
            return Parting(first_number=i, second_number=j, first=left, second=right)
    shorter = min(map(len, chosen))
    left_over = [list(records[shorter:][:1]) for records in chosen]
    if not any(left_over):
        return None
    left, right = left_over
    return Parting(
        first_number=left[0][0] if left else len(first), second_number=right[0][0] if right else len(second),
        first=left[0][1] if left else None, second=right[0][1] if right else None,
    )  # fmt: skip


def build_comparison(first: Path, second: Path) -> Page:
    """The page that compares the runs in two folders.

    Raises:
        DataError: a folder holds no run with figures.
    """
    runs = (read_run(first), read_run(second))
    names = _names(runs)
    journals = (_records(runs[0].folder / "journal.parquet"), _records(runs[1].folder / "journal.parquet"))
    decision, anything = first_difference(*journals, "decision"), first_difference(*journals)
    page = Page(f"Lockstep: {names[0]} and {names[1]}", heading=_heading(runs, names))
    if any(run.manifest.get("synthetic") for run in runs):
        page.add(banner("SYNTHETIC", "At least one market was generated; this says nothing about any real market."))
    if anything is None:
        page.add(banner("EQUAL", "Both journals are the same, record by record.", tone="good"))
    if runs[0].currency != runs[1].currency:
        sentence = (
            f"Money of the first is in {runs[0].currency}, of the second in {runs[1].currency}; it is not converted."
        )
        page.add(banner("TWO CURRENCIES", sentence))
    page.add(tiles(_headline(runs, names)))
    page.add(_parting_section(decision, anything, journals, names))
    page.add(_curves_section(page, runs, names))
    page.add(_figures_section(page, runs, names))
    page.add(_inputs_section(page, runs, names))
    return page


def _names(runs: tuple[StoredRun, StoredRun]) -> tuple[str, str]:
    first, second = (run.folder.name for run in runs)
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


def _records(path: Path) -> list[dict[str, Any]]:
    columns = read_columns(path)
    rows = zip(*(columns[name] for name in ("instant_ns", "stream", "kind", "participant", "fields")), strict=True)
    return [
        {"instant_ns": int(instant), "stream": stream, "kind": kind, "participant": participant, "fields": fields}
        for instant, stream, kind, participant, fields in rows
    ]


def _heading(runs: tuple[StoredRun, StoredRun], names: tuple[str, str]) -> str:
    lines = [
        f'<p><b class="run-{i}">{safe(name)}</b> &middot; {safe(window_text(run))} &middot; seed '
        f"{safe(run.manifest.get('seed', 'none'))} &middot; schedule {safe(run.manifest.get('policy', 'none'))} "
        f'&middot; <span class="id">{safe(str(run.manifest.get("digest", ""))[:16])}</span></p>'
        for i, (run, name) in enumerate(zip(runs, names, strict=True))
    ]
    return f"<h1>Two runs compared</h1>{''.join(lines)}"


def _headline(runs: tuple[StoredRun, StoredRun], names: tuple[str, str]) -> list[Tile]:
    money, percent, ratio = summary.money_text, summary.percent_text, summary.ratio_text
    # How each is shown, and the difference of two.
    shown: tuple[tuple[str, str, Callable[[Any], str], Callable[[Any], str]], ...] = (
        ("net", "Net profit", lambda value: money(value, signed=True), lambda value: money(value, signed=True)),
        ("return_percent", "Return", lambda value: percent(value, signed=True), _points),
        ("max_drawdown_percent", "Max drawdown", percent, _points),
        ("sharpe", "Sharpe", ratio, lambda value: f"{value:+,.2f}"),
        ("trades", "Trades", lambda value: f"{value:,}", lambda value: f"{value:+,}"),
    )
    same_money = runs[0].currency == runs[1].currency
    found = []
    for key, name, text, change in shown:
        left, right = (run.metrics.get(key) for run in runs)
        if key == "net" and not same_money:
            words = f"{runs[0].currency}, then {runs[1].currency}"
        elif left is None or right is None:
            words = "the same" if left == right else "not in both"
        else:
            words = "the same" if left == right else f"changed by {change(right - left)}"
        found.append(
            Tile(key=key, name=name, text=f"{text(left)} → {text(right)}", note=words,
                 meaning=f"{names[0]}, then {names[1]}")
        )  # fmt: skip
    return found


def _points(value: float) -> str:
    """The difference of two shares, which is none itself."""
    return f"{value:+,.2f} points"


def _parting_section(
    decision: Parting | None, anything: Parting | None, journals: _Journals, names: tuple[str, str]
) -> str:
    if anything is None:
        words = note(f"No decision and no other record differs, over {counted(len(journals[0]), 'record')}.")
        return section("First difference", words, "difference-section")
    parts = []
    if decision is None:
        parts.append(note("All decisions are the same; the first record that differs is of another kind."))
    else:
        parts.append(f"<h3>The first decision that differs</h3>{_both(decision, names)}")
    if anything != decision:
        parts.append(f"<h3>The first record of any kind that differs</h3>{_both(anything, names)}")
    shown = decision or anything
    around = "".join(
        f'<section><h2>{safe(name)}</h2><div class="scroll">{_around(records, number)}</div></section>'
        for name, records, number in zip(names, journals, (shown.first_number, shown.second_number), strict=True)
    )
    parts.append(details("What happened around it", f'<div class="pair">{around}</div>', opened=True))
    return section("First difference", "".join(parts), "difference-section")


def _both(parting: Parting, names: tuple[str, str]) -> str:
    sides = [_fields(one) for one in (parting.first, parting.second)]
    rows = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(key) for side in sides]
        mark = ' class="warn"' if values[0] != values[1] else ""
        cells = "".join(f'<td class="t wide"><span{mark}>{safe(_plain(value))}</span></td>' for value in values)
        rows.append(f'<tr><td class="t"><b>{safe(key)}</b></td>{cells}</tr>')
    head = "".join(f'<th class="t">{safe(name)}</th>' for name in ("", *names))
    return (
        f'<div class="scroll"><table class="difference"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _fields(record: Mapping[str, Any] | None) -> dict[str, Any]:
    if record is None:
        return {"kind": "the journal has ended"}
    return {
        "kind": record["kind"], "at": format_instant(record["instant_ns"]), "symbol": record["stream"],
        "by": record["participant"], **json.loads(record["fields"]),
    }  # fmt: skip


def _plain(value: Any) -> str:
    return "–" if value is None or value == "" else str(value)


def _around(records: list[dict[str, Any]], number: int) -> str:
    lines = []
    for place in range(max(0, number - _AROUND), min(len(records), number + _AROUND + 1)):
        one = records[place]
        fields = ", ".join(f"{k} {v}" for k, v in json.loads(one["fields"]).items() if v not in (None, "", 0.0, False))
        mark = ' class="picked"' if place == number else ""
        cells = (place, format_instant(one["instant_ns"]), one["stream"], one["kind"])
        lines.append(
            f"<tr{mark}>{''.join(f'<td class=t>{safe(cell)}</td>' for cell in cells)}"
            f'<td class="t wide">{safe(fields)}</td></tr>'
        )
    return f"<table>{''.join(lines)}</table>" if lines else note("There are no records there.")


def _curves_section(page: Page, runs: tuple[StoredRun, StoredRun], names: tuple[str, str]) -> str:
    data: list[dict[str, Any]] = []
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        if not len(run.equity):
            continue
        grown = (run.equity / run.equity[0] - 1) * 100 if run.equity[0] > 0 else run.equity
        for values, axis, hover in ((grown, "y", "%{y:+.2f} %"), (drawdown_of(run.equity), "y2", "%{y:.2f} %")):
            at = thinned(values, CURVE_POINTS)
            data.append(
                {"type": "scatter", "mode": "lines", "name": name, "legendgroup": name, "showlegend": axis == "y",
                 "x": milliseconds(run.equity_ns[at]), "y": values[at], "yaxis": axis, "hovertemplate": hover,
                 "line": {"color": f"series-{i}", "width": 1.5, "dash": "solid" if i == 0 else "dot"}}
            )  # fmt: skip
    figure = {
        "data": data,
        "layout": {
            "hovermode": "x unified", "xaxis": {"type": "date", "anchor": "y2"},
            "yaxis": {"domain": [0.33, 1], "title": {"text": "Return %"}},
            "yaxis2": {"domain": [0, 0.27], "title": {"text": "Drawdown %"}, "rangemode": "tozero"},
        },
    }  # fmt: skip
    chart = page.chart("curves", figure, height_px=420, note="Equity of both, in percent of the first sample.")
    return section("Equity and drawdown", chart, "curves-section", short="Curves")


def _figures_section(page: Page, runs: tuple[StoredRun, StoredRun], names: tuple[str, str]) -> str:
    rows, instants = [], []
    for key, left in runs[0].metrics.items():
        right = runs[1].metrics.get(key)
        if any(isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right)):
            if key in _INSTANTS:
                later = None if left is None or right is None else right - left
                instants.append([key, left, right, later])
                continue
            if key.endswith("_ns"):
                left, right = (None if value is None else value / HOUR_NS for value in (left, right))
                key = f"{key.removesuffix('_ns')}, hours"
            change = None
            if isinstance(left, int | float) and isinstance(right, int | float):
                change = float(right) - float(left)
            share = change / abs(left) * 100 if change is not None and left else None
            rows.append([key, left, right, change, share])
    columns = [
        Column(name="Figure"),
        Column(name=names[0], kind="number"),
        Column(name=names[1], kind="number"),
        Column(name="Difference", kind="number", meaning="The second less the first."),
        Column(name="In percent", kind="percent", digits=2, meaning="Of the first."),
    ]
    table = page.table("figures", columns, rows)
    differing = sum(1 for row in (*rows, *instants) if row[1] != row[2])
    words = f"{counted(differing, 'figure')} of {len(rows) + len(instants)} differ."
    heads = [
        Column(name="When"), Column(name=names[0], kind="instant"), Column(name=names[1], kind="instant"),
        Column(name="Later by", kind="duration", meaning="The second after the first."),
    ]  # fmt: skip
    more = page.table("instants", heads, instants, filters=False)
    return section("Figures", f"{table}{note(words)}<h3>Instants</h3>{more}", "figures-section")


def _inputs_section(page: Page, runs: tuple[StoredRun, StoredRun], names: tuple[str, str]) -> str:
    keys = ("configuration", "inputs", "versions", "data_sources")
    flat = [dict(_flat({key: run.manifest.get(key) for key in keys})) for run in runs]
    rows = [
        [key, *(_plain(side.get(key, "absent"))[:_SHORT] for side in flat)]
        for key in sorted({*flat[0], *flat[1]})
        if flat[0].get(key, "absent") != flat[1].get(key, "absent")
    ]
    if not rows:
        return section("Inputs", note("Configuration, data and versions are the same."), "inputs-section")
    columns = [Column(name="Input"), Column(name=names[0], wide=True), Column(name=names[1], wide=True)]
    return section("Inputs that differ", page.table("inputs", columns, rows), "inputs-section", short="Inputs")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flat(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _flat(one, f"{name}.{place}")
    else:
        yield name, value
