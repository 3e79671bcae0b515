"""Two runs compared as a page: their decisions on one time axis, each difference with its cause, and what fills cost.

Pure; any thread.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from src.core.timeframe import SECOND_NS, format_instant
from src.core.words import counted
from src.pages import Column, Page, Tile, banner, section, tiles
from src.pages.pieces import note, safe
from src.research.parity.causes import CAUSES, Explained
from src.research.parity.decisions import Decision
from src.research.parity.fill_errors import FillReport
from src.research.parity.report import ParityReport, decision_text
from src.research.parity.store_bars import StoreComparison, difference_text

__all__ = ["parity_page"]

_COLOURS = {cause: f"series-{place + 1}" for place, cause in enumerate(CAUSES)}
_CAUSE_MEANINGS = {
    "data": "A bar or a quote that the two did not see alike, or that came late or again with other numbers.",
    "timing": "The same was decided at another bar.",
    "acknowledgement": "A reply that came late or never, or an order that was in doubt.",
    "fill": "Another price, volume or time of an execution.",
    "state": "Another position, slot, margin or balance before.",
    "schedule": "The same inputs, another order of turns.",
    "unknown": "Nothing that was written down differs: another code or configuration, or something besides the ports.",
}


def parity_page(
    name: str,
    reports: Sequence[ParityReport],
    *,
    fills: FillReport | None = None,
    no_fills: str = "",
    stored: StoreComparison | None = None,
) -> Page:
    """The page of a comparison.

    Args:
        name: of the run.
        reports: against its replay, and against another run where there is one.
        no_fills: why fills were not simulated, where they were not.
        stored: its bars against those of the store.
    """
    page = Page(f"{name}: parity")
    for number, report in enumerate(reports, start=1):
        _add_report(page, report, f"p{number}")
    if stored is not None:
        page.add(section("Bars against the store", _bars(page, stored), "store-section"))
    if fills is not None:
        page.add(section("Fills against simulated ones", _fills(page, fills), "fills-section"))
    elif no_fills:
        page.add(section("Fills against simulated ones", note(f"Not simulated: {no_fills}"), "fills-section"))
    return page


def _add_report(page: Page, report: ParityReport, key: str) -> None:
    between = f"{report.reference} and {report.other}"
    if report.is_same:
        count = counted(report.comparison.reference_count, "decision")
        page.add(banner("SAME", f"{report.other} decided as {report.reference}: {count}.", tone="good"))
    else:
        count = counted(len(report.explained), "decision")
        more = f" {report.diverged}" if report.diverged else ""
        page.add(banner("DIFFERENT", f"{report.other} differs from {report.reference} in {count}.{more}", tone="bad"))
    for each in report.notes:
        page.add(note(each))
    page.add(_tiles(report, key))
    page.add(section(f"Decisions of {between}", _axis(page, report, key), f"{key}-decisions"))
    if report.explained:
        page.add(section(f"Differences of {between}", _differences(page, report, key), f"{key}-differences"))


def _tiles(report: ParityReport, key: str) -> str:
    found = report.comparison
    figures = [
        Tile(name=f"Decisions of {report.reference}", text=f"{found.reference_count:,}", key=f"{key}-reference",
             meaning="What strategies, the monitor and the operator decided, with the risk manager's verdict."),
        Tile(name=f"Decisions of {report.other}", text=f"{found.other_count:,}", key=f"{key}-other"),
        Tile(name="Equal", text=f"{len(found.pairs):,}", key=f"{key}-equal",
             meaning="The same action, side, volume, prices and verdict by the same participant at the same bar."),
    ]  # fmt: skip
    delays = found.delays_ns
    if delays:
        worst = max(delays, key=abs)
        figures.append(
            Tile(name="Later by", text=f"{median(delays) / SECOND_NS:.3g} s", key=f"{key}-delay",
                 note=f"at most {worst / SECOND_NS:.3g} s",
                 meaning=f"How much later {report.other} decided the same: the middle one, and the worst.")
        )  # fmt: skip
    for cause, count in report.causes.items():
        figures.append(
            Tile(name=f"Cause: {cause}", text=f"{count:,}", tone="bad", key=f"{key}-{cause}",
                 meaning=_CAUSE_MEANINGS[cause])
        )  # fmt: skip
    return tiles(figures)


_Marks = dict[str, list[Any]]


def _axis(page: Page, report: ParityReport, key: str) -> str:
    """One lane for each stream and side, a mark for each decision, a line between two that belong together."""
    found = report.comparison
    streams = {each.stream for pair in found.pairs for each in pair}
    streams |= {each.difference.decision.stream for each in report.explained}
    if not streams:
        return note("Neither has decided anything.")
    sides = (report.reference, report.other)
    # What is drawn first lies at the bottom, so the lanes are listed from the last to the first.
    lanes = [_lane(stream, side) for stream in sorted(streams, reverse=True) for side in reversed(sides)]
    equal = _marked([(one, sides[0], "") for one, _ in found.pairs] + [(two, sides[1], "") for _, two in found.pairs])
    traces = [_trace("equal", equal, "dim", "circle", 7)] if equal["x"] else []
    for cause in report.causes:
        own = [each for each in report.explained if each.cause == cause]
        joined = [each.difference for each in own if each.difference.reference and each.difference.other]
        if joined:
            traces.append(_joins(cause, [(each.reference, each.other) for each in joined], sides))
        marks = _marked(list(_of_differences(own, sides)))
        traces.append(_trace(cause, marks, _COLOURS[cause], "diamond", 11))
    layout = {
        "xaxis": {"type": "date", "title": {"text": "UTC"}},
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": lanes},
    }
    figure = {"data": traces, "layout": layout}
    text = "Each mark is a decision at its own instant; coloured ones differ, with the colour of their cause."
    return page.chart(f"{key}-axis", figure, height_px=120 + 30 * len(lanes), note=text)


def _of_differences(
    explained: Iterable[Explained], sides: tuple[str, str]
) -> Iterable[tuple[Decision, str, str]]:  # fmt: skip
    for each in explained:
        for decision, side in zip((each.difference.reference, each.difference.other), sides, strict=True):
            if decision is not None:
                yield decision, side, f"{each.difference.kind}: {each.cause}, {each.text}"


def _lane(stream: tuple[str, str], side: str) -> str:
    return safe(f"{stream[0]} {stream[1]}, {side}".replace(" ,", ","))


def _marked(marks: Iterable[tuple[Decision, str, str]]) -> _Marks:
    found: _Marks = {"x": [], "y": [], "text": []}
    for decision, side, why in marks:
        found["x"].append(decision.instant_ns / 1e6)
        found["y"].append(_lane(decision.stream, side))
        said = f"{safe(decision_text(decision))}<br>{format_instant(decision.instant_ns)}"
        found["text"].append(f"{said}<br>{safe(why)}" if why else said)
    return found


def _trace(name: str, marks: _Marks, colour: str, symbol: str, size: int) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, **marks, "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": size},
    }  # fmt: skip


def _joins(
    cause: str, pairs: Sequence[tuple[Decision | None, Decision | None]], sides: tuple[str, str]
) -> dict[str, Any]:  # fmt: skip
    xs: list[float | None] = []
    ys: list[str | None] = []
    for pair in pairs:
        for decision, side in zip(pair, sides, strict=True):
            if decision is not None:
                xs.append(decision.instant_ns / 1e6)
                ys.append(_lane(decision.stream, side))
        xs.append(None)
        ys.append(None)
    return {
        "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip", "showlegend": False,
        "line": {"color": _COLOURS[cause], "width": 1.5},
    }  # fmt: skip


def _differences(page: Page, report: ParityReport, key: str) -> str:
    columns = [
        Column(name="#", kind="number"), Column(name="Bar", kind="instant"), Column(name="Symbol"),
        Column(name="Book"), Column(name="What"), Column(name=report.reference, wide=True),
        Column(name=report.other, wide=True), Column(name="Cause"), Column(name="Since", kind="instant"),
        Column(name="Why", wide=True),
    ]  # fmt: skip
    rows = []
    for number, each in enumerate(report.explained, start=1):
        difference = each.difference
        what = f"{difference.kind}: {', '.join(difference.fields)}" if difference.fields else difference.kind
        rows.append(
            (number, difference.bar_ns, difference.decision.symbol, difference.decision.book, what,
             decision_text(difference.reference), decision_text(difference.other), each.cause, each.instant_ns,
             each.text)
        )  # fmt: skip
    return page.table(f"{key}-table", columns, rows)


def _bars(page: Page, stored: StoreComparison) -> str:
    said = counted(stored.compared, "bar") + " compared, " + counted(len(stored.differences), "difference")
    parts = [note(text) for text in (*stored.notes, said)]
    if stored.differences:
        rows = [(each.symbol, each.open_ns, each.what, difference_text(each)) for each in stored.differences]
        columns = [Column(name="Symbol"), Column(name="Bar", kind="instant"), Column(name="What"),
                   Column(name="In words", wide=True)]  # fmt: skip
        parts.append(page.table("store-table", columns, rows))
    return "".join(parts)


def _fills(page: Page, fills: FillReport) -> str:
    paired = fills.paired
    parts = [
        note(
            f"{counted(len(fills.fills), 'execution')}, {len(paired):,} of them with a simulated one beside it; the "
            f"simulated position was brought to the recorded one {counted(fills.resyncs, 'time')}. What is positive "
            "made the recorded one worse."
        )
    ]
    if paired:
        figure = {
            "data": [{"type": "histogram", "x": [each.basis_points for each in paired], "nbinsx": 41,
                      "marker": {"color": "accent"}, "hovertemplate": "%{x}: %{y}<extra></extra>"}],
            "layout": {"xaxis": {"title": {"text": "basis points worse than simulated"}},
                       "yaxis": {"title": {"text": "executions"}}, "bargap": 0.05},
        }  # fmt: skip
        parts.append(page.chart("fill-errors", figure, height_px=240))
    columns = [
        Column(name="Symbol"), Column(name="Book"), Column(name="Trade", kind="number"),
        Column(name="Executions", kind="number"), Column(name="Unpaired", kind="number"),
        Column(name="Ticks", kind="number", meaning="Added up over the executions of the trade."),
        Column(name="Basis points", kind="number"), Column(name="Later", kind="duration"),
        Column(name="Fee", kind="number", meaning="How much more it cost in commission."),
    ]  # fmt: skip
    rows = [
        (each.symbol, each.book, each.trade, each.fills, each.unpaired, each.ticks, each.basis_points, each.time_ns,
         each.fee)
        for each in fills.trades
    ]  # fmt: skip
    parts.append(page.table("fills-table", columns, rows))
    return "".join(parts)
