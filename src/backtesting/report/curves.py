"""The charts of a run's report as figures of plain values. Pure; any thread.

Curves are thinned for display, keeping the lows and highs of each stretch; figures are not.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from src.backtesting import summary
from src.backtesting.report.figures import Excursions, Exposure
from src.backtesting.report.stored import StoredRun
from src.core.bars import FloatArray, IntArray
from src.pages import milliseconds

__all__ = [
    "CURVE_POINTS", "costs_figure", "distribution_figure", "drawdown_of", "equity_figure", "excursion_figure",
    "exposure_figure", "thinned",
]  # fmt: skip

CURVE_POINTS = 4_000

_MOST_DOTS = 5_000


def thinned(values: FloatArray, limit: int) -> IntArray:
    """Indices of at most `limit` values that draw like all: first, last, low and high of each stretch.

    Args:
        values: shape (n,).

    Returns:
        Increasing indices, shape (m,), m <= max(limit, 4).
    """
    count = len(values)
    limit = max(limit, 4)
    if count <= limit:
        return np.arange(count)
    stretches = (limit - 2) // 2
    size = -(-count // stretches)
    padded = np.full(size * -(-count // size), values[-1])
    padded[:count] = values
    rows = padded.reshape(-1, size)
    starts = np.arange(len(rows)) * size
    picked = np.concatenate(([0, count - 1], starts + rows.argmin(axis=1), starts + rows.argmax(axis=1)))
    return np.unique(np.minimum(picked, count - 1))


def drawdown_of(equity: FloatArray) -> FloatArray:
    """The fall from the highest equity before, in percent of it, never positive; shape (n,)."""
    peak = np.maximum.accumulate(equity)
    return np.where(peak > 0, (equity - peak) / np.where(peak > 0, peak, 1.0) * 100, 0.0)


def equity_figure(run: StoredRun) -> dict[str, Any] | None:
    """Equity and drawdown over time; None without samples."""
    equity = run.equity
    if not len(equity):
        return None
    fall = drawdown_of(equity)
    at = np.union1d(thinned(equity, CURVE_POINTS // 2), thinned(fall, CURVE_POINTS // 2))
    when = milliseconds(run.equity_ns[at])
    start = float(run.metrics["initial_balance"])
    return {
        "data": [
            {"x": when, "y": equity[at], "type": "scatter", "mode": "lines", "name": "Equity",
             "line": {"color": "accent", "width": 1.6}, "hovertemplate": "%{y:,.2f}"},
            {"x": when, "y": fall[at], "type": "scatter", "mode": "lines", "name": "Drawdown", "yaxis": "y2",
             "fill": "tozeroy", "fillcolor": "bad@0.18", "line": {"color": "bad", "width": 1},
             "hovertemplate": "%{y:.2f} %"},
        ],
        "layout": {
            "showlegend": False, "hovermode": "x unified",
            "xaxis": {"type": "date", "anchor": "y2", "range": [run.start_ns / 1e6, run.end_ns / 1e6]},
            "yaxis": {"domain": [0.33, 1], "title": {"text": run.currency}, "tickformat": ",~f"},
            "yaxis2": {"domain": [0, 0.27], "title": {"text": "Drawdown %"}, "rangemode": "tozero"},
            "shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": start, "y1": start,
                        "line": {"color": "dim", "width": 1, "dash": "dot"}}],
        },
    }  # fmt: skip


def costs_figure(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The steps from gross to net of the closed trades."""
    steps = [("Spread", -metrics["spread_cost"]), ("Slippage", -metrics["slippage_cost"])]
    steps += [("Commission", -metrics["commission"])]
    if metrics["financing"]:
        steps += [("Swap and funding", -metrics["financing"])]
    values = [metrics["gross"], *(value for _, value in steps), metrics["net"]]
    return {
        "data": [
            {"type": "waterfall", "x": ["Gross", *(name for name, _ in steps), "Net"], "y": values,
             "measure": ["absolute", *("relative" for _ in steps), "total"],
             "text": [summary.money_text(value, signed=True) for value in values], "textposition": "outside",
             "cliponaxis": False, "hoverinfo": "x+text", "connector": {"line": {"color": "line"}},
             "increasing": {"marker": {"color": "good"}}, "decreasing": {"marker": {"color": "bad"}},
             "totals": {"marker": {"color": "accent"}}}
        ],
        "layout": {"showlegend": False, "margin": {"l": 56, "r": 14, "t": 26, "b": 34},
                   "yaxis": {"title": {"text": str(metrics["currency"])}, "tickformat": ",~f"}},
    }  # fmt: skip


def distribution_figure(values: FloatArray, title: str, *, mean: float | None = None) -> dict[str, Any] | None:
    """How often a value came, in bars of one width; losses and gains in colours of their own. None without values."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.002, 0.998))
    width = _round_width((high - low) / min(60, max(10, math.sqrt(len(known)) * 1.5)))
    first, last = math.floor(max(known.min(), low - width) / width), math.ceil(min(known.max(), high + width) / width)
    edges = np.arange(first, max(last, first + 1) + 1) * width
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0]
    middles = (edges[:-1] + edges[1:]) / 2
    left, right = (["≤ "] + [""] * (len(counts) - 1)), ([""] * (len(counts) - 1) + [" and more"])
    texts = [
        f"{a}{edges[i]:.4g} to {edges[i + 1]:.4g}{b}: {counts[i]:,}"
        for i, (a, b) in enumerate(zip(left, right, strict=True))
    ]
    return {
        "data": [
            {"type": "bar", "x": middles, "y": counts, "width": np.full(len(counts), width * 0.92),
             "text": texts, "textposition": "none", "hovertemplate": "%{text}<extra></extra>",
             "marker": {"color": ["bad" if middle < 0 else "good" for middle in middles.tolist()]}}
        ],
        "layout": {
            "bargap": 0.05, "showlegend": False, "xaxis": {"title": {"text": title}},
            "yaxis": {"title": {"text": "trades"}},
            "shapes": [] if mean is None else [
                {"type": "line", "x0": mean, "x1": mean, "yref": "paper", "y0": 0, "y1": 1,
                 "line": {"color": "accent", "width": 1.5, "dash": "dash"}}
            ],
        },
    }  # fmt: skip


def _round_width(width: float) -> float:
    """The next wider one of 1, 2 or 5 times a power of ten."""
    if not width > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= width * 0.999)


def excursion_figure(run: StoredRun, found: Excursions, *, in_r: bool) -> dict[str, Any] | None:
    """Each trade by how far it went against and for it; in R, or in percent of the entry price."""
    against, with_it = (found.against_r, found.with_it_r) if in_r else (found.against_percent, found.with_it_percent)
    known = np.flatnonzero(~np.isnan(against) & ~np.isnan(with_it))
    if not len(known):
        return None
    if len(known) > _MOST_DOTS:
        known = known[np.linspace(0, len(known) - 1, _MOST_DOTS).round().astype(np.int64)]
    net, unit = run.trades["net"], "R" if in_r else "%"
    traces = []
    for name, colour, at in (("Won", "good", known[net[known] > 0]), ("Lost", "bad", known[net[known] <= 0])):
        texts = [f"trade {i + 1}: net {summary.money_text(float(net[i]), signed=True)}" for i in at]
        traces.append(
            {"type": "scattergl" if len(known) > 20_000 else "scatter", "mode": "markers", "name": name,
             "x": against[at], "y": with_it[at], "text": texts,
             "hovertemplate": f"%{{text}}<br>against %{{x:.2f}} {unit}, for %{{y:.2f}} {unit}<extra></extra>",
             "marker": {"color": f"{colour}@0.55", "size": 5}}
        )  # fmt: skip
    # A few trades far out would press all others into a corner; they can still be zoomed out to.
    far = [float(np.quantile(values[known], 0.995)) * 1.08 + 1e-9 for values in (against, with_it)]
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": f"against it, {unit} (MAE)"}, "range": [-far[0] * 0.02, far[0]]},
            "yaxis": {"title": {"text": f"for it, {unit} (MFE)"}, "range": [-far[1] * 0.02, far[1]]},
        },
    }  # fmt: skip


def exposure_figure(run: StoredRun, found: Exposure) -> dict[str, Any] | None:
    """Notional over equity, and the margin in percent of it; None without a fill."""
    if not len(found.instant_ns):
        return None
    equity = np.where(found.equity > 0, found.equity, np.nan)
    gross, net, margin = found.gross / equity * 100, found.net / equity * 100, found.margin / equity * 100
    keep = np.union1d(thinned(np.nan_to_num(gross), CURVE_POINTS // 2), thinned(np.nan_to_num(net), CURVE_POINTS // 2))
    # What is held after the last fill is held to the end; one fill alone would be a point that no line shows.
    when = milliseconds(np.append(found.instant_ns[keep], max(run.lived_until_ns, int(found.instant_ns[-1]))))

    def line(name: str, values: FloatArray, colour: str, **more: Any) -> dict[str, Any]:
        return {
            "x": when, "y": np.append(values[keep], values[-1]), "type": "scatter", "mode": "lines", "name": name,
            "line": {"color": colour, "width": 1.2, "shape": "hv"}, "hovertemplate": "%{y:,.1f} %", **more,
        }  # fmt: skip

    return {
        "data": [
            line("Gross", gross, "accent", fill="tozeroy", fillcolor="accent@0.12"),
            line("Net", net, "series-1@0.75", visible="legendonly"),
            line("Margin", margin, "dim"),
        ],
        "layout": {"hovermode": "x unified", "yaxis": {"title": {"text": "% of equity"}},
                   "xaxis": {"type": "date", "range": [run.start_ns / 1e6, run.end_ns / 1e6]}},
    }  # fmt: skip
