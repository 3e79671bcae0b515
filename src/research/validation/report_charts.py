"""The charts of a validation's page as plain figures: funnel, p-values and their line, overfitting, windows, equity.

Pure but for the stitched equity, which is read from its file; any thread. The arithmetic of each is a function of its
own, so that a test can compare it with what is stored.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from src.core.bars import FloatArray, IntArray
from src.pages import milliseconds
from src.research.suite.report_curves import thinned
from src.research.validation.report_data import Judged

__all__ = [
    "deflated_figure", "funnel_figure", "line_of", "logits_of", "overfitting_figure", "p_values_figure", "read_equity",
    "slope_figure", "stitched_figure", "windows_figure",
]  # fmt: skip

Figure = dict[str, Any]

_POINTS = 1_500
_BINS = 40
#: What a p-value of 0 is drawn as; a logarithm has no other place for it.
_LEAST = 1e-300


def funnel_figure(funnel: Sequence[tuple[str, int, int, int]]) -> Figure:
    """For each phase what is left, rejected and could not be asked."""
    phases = [phase for phase, *_ in funnel]
    parts = (
        ("left", "good@0.75", [came - rejected - skipped for _, came, rejected, skipped in funnel]),
        ("rejected", "bad@0.6", [rejected for _, _, rejected, _ in funnel]),
        ("skipped", "warn@0.75", [skipped for *_, skipped in funnel]),
    )
    data = [
        {"type": "bar", "orientation": "h", "y": phases, "x": values, "name": name, "marker": {"color": colour},
         "hovertemplate": "%{y}: %{x:,} " + name + "<extra></extra>"}
        for name, colour, values in parts
    ]  # fmt: skip
    few = max((came for _, came, *_ in funnel), default=0) <= 10  # there is no half of a candidate
    layout = {
        "barmode": "stack", "yaxis": {"autorange": "reversed", "type": "category"},
        "xaxis": {"title": {"text": "candidates"}, **({"dtick": 1} if few else {})},
        "legend": {"traceorder": "normal", "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }  # fmt: skip
    return {"data": data, "layout": layout}


def line_of(count: int, family: int, level: float, method: str) -> FloatArray:
    """What the k-th smallest p-value has to reach at most, for k from 1; shape (count,).

    `level * k / N`, and for Benjamini-Yekutieli divided by `1 + 1/2 + ... + 1/N` besides. All up to the last one that
    reaches it are discoveries.
    """
    harmonic = math.fsum(1 / number for number in range(1, family + 1)) if method == "by" else 1.0
    return level * np.arange(1, count + 1, dtype=np.float64) / (family * harmonic)


def p_values_figure(judged: Sequence[Judged], family: int, level: float, method: str) -> Figure | None:
    """The p-values below 1 in order against their line; None where there is none."""
    found = sorted((each for each in judged if each.p_value is not None and each.p_value < 1), key=_by_p)
    if not found:
        return None
    place = np.arange(1, len(found) + 1, dtype=np.float64)
    value = np.array([max(each.p_value or 0.0, _LEAST) for each in found])
    passed = np.array([each.status == "PASS" for each in found])
    data: list[Figure] = [
        {
            "type": "scatter", "mode": "lines", "x": place, "y": line_of(len(found), family, level, method),
            "name": f"line of {method.upper()} at {level:g}", "line": {"color": "accent", "width": 2},
            "hovertemplate": "rank %{x:,}: at most %{y:.3g}<extra></extra>",
        }
    ]  # fmt: skip
    for name, colour, mask in (("pass", "good", passed), ("rejected", "dim", ~passed)):
        if mask.any():
            data.append(
                {
                    "type": "scatter", "mode": "markers", "x": place[mask], "y": value[mask], "name": name,
                    "text": [each.candidate_id for each, kept in zip(found, mask, strict=True) if kept],
                    "marker": {"color": colour, "size": 7 if name == "pass" else 5},
                    "hovertemplate": "%{text}<br>rank %{x:,}, p %{y:.3g}<extra></extra>",
                }
            )  # fmt: skip
    return {
        "data": data,
        "layout": {"xaxis": {"type": "log", "title": {"text": "rank of the p-value, smallest first"}},
                   "yaxis": {"type": "log", "title": {"text": "p-value"}, "exponentformat": "power"}},
    }  # fmt: skip


def _by_p(each: Judged) -> tuple[float, int]:
    return each.p_value or 0.0, each.number


def deflated_figure(survivors: Sequence[Judged]) -> Figure | None:
    """The probabilistic and the deflated Sharpe ratio of each survivor; None where there is none."""
    shown = [each for each in survivors if each.sharpe]
    if not shown:
        return None
    names = [each.candidate_id for each in shown]
    data = [
        {
            "type": "scatter", "mode": "markers", "x": names, "y": [each.sharpe.get(figure) for each in shown],
            "name": name, "marker": {"color": colour, "size": 9, "symbol": symbol},
            "hovertemplate": "%{x}<br>" + name + " %{y:.4f}<extra></extra>",
        }
        for name, figure, colour, symbol in (
            ("probabilistic", "probabilistic", "dim", "circle-open"), ("deflated", "deflated", "accent", "circle"),
        )
    ]  # fmt: skip
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0.95, "y1": 0.95,
            "line": {"color": "warn", "width": 1.5, "dash": "dash"}}  # fmt: skip
    return {
        "data": data,
        "layout": {"xaxis": {"type": "category", "tickangle": -45 if len(names) > 6 else 0},
                   "yaxis": {"range": [-0.03, 1.05], "title": {"text": "probability"}}, "shapes": [line]},
    }  # fmt: skip


def logits_of(ways: Mapping[str, Sequence[int]], candidates: int) -> FloatArray:
    """`ln(w / (1 - w))` of each way, w the rank of the best of one half in the other through one more than there are
    candidates; shape (ways,)."""
    rank = np.asarray(ways["rank"], dtype=np.float64)
    # Rounded, so that a logarithm falls into the same bar on every processor.
    return np.asarray(np.round(np.log(rank / (2 * (candidates + 1) - rank)), 9), dtype=np.float64)


def overfitting_figure(ways: Mapping[str, Any], candidates: int) -> Figure:
    """How often each logit came: left of 0 the best of one half is not above the median of the other."""
    logits = logits_of(ways, candidates)
    low, high = min(float(logits.min()), -0.5), max(float(logits.max()), 0.5)
    width = (high - low) / _BINS
    # One edge lies at 0, which is what the figure is about; what lies there counts as overfitted.
    edges = np.arange(math.floor(low / width), math.ceil(high / width) + 1) * width
    place = np.clip(np.searchsorted(edges, logits, side="left") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    middle = (edges[:-1] + edges[1:]) / 2
    bars = {
        "type": "bar", "x": middle, "y": counts.astype(np.float64), "width": width * 0.94, "showlegend": False,
        "marker": {"color": ["bad@0.75" if at < 0 else "accent@0.75" for at in middle]},
        "hovertemplate": "logit about %{x:.2f}: %{y:,} ways<extra></extra>",
    }  # fmt: skip
    zero = {
        "type": "line",
        "yref": "paper",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "line": {"color": "text", "width": 1.5},
    }
    return {
        "data": [bars],
        "layout": {"xaxis": {"title": {"text": "logit of the rank in the other half"}},
                   "yaxis": {"title": {"text": "ways to halve the time"}}, "shapes": [zero], "bargap": 0},
    }  # fmt: skip


def slope_figure(ways: Mapping[str, Any], slope: float | None, measure: str) -> Figure:
    """The measure of the best in the half that chose it, and in the other."""
    inside = np.array([math.nan if each is None else each for each in ways["inside"]], dtype=np.float64)
    outside = np.array([math.nan if each is None else each for each in ways["outside"]], dtype=np.float64)
    data: list[Figure] = [
        {
            "type": "scatter", "mode": "markers", "x": inside, "y": outside, "name": "one way", "showlegend": False,
            "marker": {"color": "accent@0.4", "size": 5},
            "hovertemplate": "chosen with %{x:.3f}, then %{y:.3f}<extra></extra>",
        }
    ]  # fmt: skip
    if slope is not None and len(inside):
        ends = np.array([np.nanmin(inside), np.nanmax(inside)])
        height = float(np.nanmean(outside)) + slope * (ends - float(np.nanmean(inside)))
        data.append(
            {"type": "scatter", "mode": "lines", "x": ends, "y": height, "name": f"slope {slope:.2f}",
             "line": {"color": "series-1", "width": 2}, "hoverinfo": "skip"}
        )  # fmt: skip
    return {
        "data": data,
        "layout": {"xaxis": {"title": {"text": f"{measure} of the best where it was chosen"}},
                   "yaxis": {"title": {"text": f"{measure} in the other half"}}},
    }  # fmt: skip


def windows_figure(windows: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str]) -> Figure:
    """Net R in each test window of these candidates; those that are not counted stand in brackets."""
    starts: dict[int, set[str]] = {}
    for name in names:
        for each in windows.get(name, ()):
            starts.setdefault(each["number"], set()).add(str(each["test_from"])[:10])
    same = all(len(each) == 1 for each in starts.values())  # windows of trades begin where each candidate's own begin
    heads = {number: next(iter(found)) if same else f"window {number}" for number, found in sorted(starts.items())}
    z: list[list[float | None]] = []
    text: list[list[str]] = []
    hover: list[list[str]] = []
    for name in names:
        own = {each["number"]: each for each in windows.get(name, ())}
        cells = [own.get(number) for number in heads]
        z.append([None if each is None else each["test_r"] for each in cells])
        text.append(["" if each is None else _window_text(each) for each in cells])
        hover.append(["" if each is None else _window_hover(each) for each in cells])
    largest = max((abs(value) for row in z for value in row if value is not None), default=1.0) or 1.0
    trace: Figure = {
        "type": "heatmap", "x": list(heads.values()), "y": list(names), "z": z, "zmin": -largest, "zmax": largest,
        "customdata": hover, "hovertemplate": "%{y}<br>%{customdata}<extra></extra>", "hoverongaps": False,
        "colorscale": [[0, "bad@0.6"], [0.5, "card"], [1, "good@0.6"]], "xgap": 1, "ygap": 1,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "title": {"text": "net R", "side": "right"}},
    }  # fmt: skip
    trace["showscale"] = len(names) > 5  # beside fewer rows its own numbers would lie over each other
    if len(heads) * len(names) <= 400:
        trace |= {"text": text, "texttemplate": "%{text}", "textfont": {"color": "text"}}
    return {
        "data": [trace],
        "layout": {"xaxis": {"type": "category", "showgrid": False, "title": {"text": "test window from"}},
                   "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False}, "margin": {"t": 28}},
    }  # fmt: skip


def _window_text(each: Mapping[str, Any]) -> str:
    total = each["test_r"]
    told = "n/a" if total is None else f"{total:+.1f}"
    return told if each["label"] == "valid" else f"({told})"


def _window_hover(each: Mapping[str, Any]) -> str:
    span = f"{str(each['test_from'])[:10]} to {str(each['test_to'])[:10]}"
    total = "n/a" if each["test_r"] is None else f"{each['test_r']:+.2f}"
    return f"{span}: {total} R in {each['test_trades']:,} trades, {each['label']}"


def read_equity(path: Path) -> tuple[IntArray, FloatArray, IntArray]:
    """The stitched equity: instants, equity, and the window of each sample; shape (n,)."""
    with pq.ParquetFile(path) as file:
        table = file.read(columns=["instant_ns", "equity", "window"])
    instant, equity, window = (table.column(name).to_numpy() for name in ("instant_ns", "equity", "window"))
    return instant.astype(np.int64), equity.astype(np.float64), window.astype(np.int64)


def stitched_figure(
    instant_ns: IntArray, equity: FloatArray, window: IntArray, chosen: Sequence[Mapping[str, Any]], currency: str
) -> Figure:
    """The equity of all test windows one behind the other; a line at each seam."""
    data: list[Figure] = []
    points = max(50, _POINTS // max(1, len(chosen)))
    for place, each in enumerate(chosen):
        own = np.flatnonzero(window == each["number"])
        if not len(own):
            continue
        kept = own[thinned(instant_ns[own], points)]
        data.append(
            {
                "type": "scatter", "mode": "lines", "x": milliseconds(instant_ns[kept]), "y": equity[kept],
                "name": f"{each['number']}: {chosen_text(each)}", "showlegend": len(chosen) <= 12,
                "line": {"color": "series-0" if place % 2 == 0 else "series-1", "width": 1.6},
            }
        )  # fmt: skip
    seams = [
        {"type": "line", "yref": "paper", "x0": str(each["test_from"])[:19], "x1": str(each["test_from"])[:19], "y0": 0,
         "y1": 1, "line": {"color": "dim", "width": 1, "dash": "dot"}}
        for each in chosen
    ]  # fmt: skip
    return {
        "data": data,
        "layout": {"xaxis": {"type": "date"}, "yaxis": {"title": {"text": f"equity, {currency}"}}, "shapes": seams,
                   "legend": {"orientation": "h", "x": 0, "y": -0.12, "yanchor": "top"}},
    }  # fmt: skip


def chosen_text(each: Mapping[str, Any]) -> str:
    """What was chosen for a window."""
    labels = ", ".join(f"{name}={value}" for name, value in each["labels"].items())
    return labels or str(each["chosen"] or "nothing")
