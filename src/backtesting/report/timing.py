"""The section of a report with the real time that a run took; it differs between equal runs. Pure; any thread."""

from collections.abc import Mapping
from typing import Any

from src.backtesting.report.stored import StoredRun
from src.core.timeframe import format_instant
from src.pages import Column, Page, Tile, note, safe, section, tiles

__all__ = ["timing_section"]

_SHARES = {
    "bot": ("Bot", "Inside turns, in the bot's own code: the orchestrator, the monitor, the risk manager."),
    "strategy": ("Strategies", "Inside the methods of strategies."),
    "broker": ("Broker", "Inside calls of the broker, by whomever."),
    "hand_over": ("Between turns", "From the end of one participant's turn, or of a step, to another's next turn."),
    "step": ("Market steps", "The simulated market between two turns: matching, marking, bars that become visible."),
}
_PARTS = {
    "bot": ("Bot", "accent"), "strategy": ("Strategies", "good"), "broker": ("Broker", "series-1"),
    "lock": ("Locks", "bad"), "step": ("Market steps", "series-3"),
}  # fmt: skip


def timing_section(page: Page, run: StoredRun) -> str:
    """How long the run took, its threads where they were measured, and when they ran where a trace was kept."""
    timing = run.timing
    if not timing:
        return ""
    shown = [
        Tile(name="Real time", text=f"{timing['seconds']:.2f} s" if timing.get("seconds") else "n/a", key="seconds"),
        Tile(name="Bars a second", text=f"{timing['bars_per_s']:,.0f}" if timing.get("bars_per_s") else "n/a"),
        Tile(name="Runtime", text=str(timing.get("runtime", "n/a")), note=str(timing.get("machine", ""))),
    ]
    threads = timing.get("threads")
    if not threads:
        turns = timing.get("turns") or {}
        rows = [[name, count] for name, count in sorted(turns.items())]
        columns = [Column(name="Thread"), Column(name="Turns", kind="number", digits=0)]
        table = page.table("threads", columns, rows, filters=False) if rows else ""
        words = "The threads were not measured; --stats or --trace of the run measures them."
        return section("Thread timing", tiles(shown) + table + note(words), "timing-section", short="Timing")
    shown += _share_tiles(threads)
    trace = threads.get("trace")
    pictures = (
        _pictures(page, trace) if trace else note("--trace of the run shows here when each thread was busy, too.")
    )
    words = "Real time of this machine; it differs from run to run and is no part of the digest. Measuring takes time."
    html = tiles(shown) + _table(page, threads["participants"]) + pictures + note(words)
    return section("Thread timing", html, "timing-section", short="Timing")


def _share_tiles(threads: Mapping[str, Any]) -> list[Tile]:
    handed = threads["hand_over"]
    found = [
        Tile(name=_SHARES[name][0], text=f"{share * 100:.1f} %", note="of the run", meaning=_SHARES[name][1], key=name)
        for name, share in threads["shares"].items()
        if name in _SHARES
    ]
    found.append(
        Tile(name="Hand-over", text=f"{handed['median_us'] or 0:,.1f} us", note=f"p99 {handed['p99_us'] or 0:,.0f} us",
             meaning="From the end of one participant's turn to the begin of the next one's: the median.")
    )  # fmt: skip
    if threads.get("overruns"):
        found.append(
            Tile(name="Overruns", text=f"{threads['overruns']:,}", tone="warn", key="overruns",
                 meaning="Turns that took longer than their participant's poll; live that would have been late.")
        )  # fmt: skip
    return found


def _table(page: Page, participants: Mapping[str, Any]) -> str:
    rows = [
        [name, one["turns"], one["busy_s"], one["waiting_s"], one["lock_wait_s"], one["longest_turn_s"] * 1e3,
         one["longest_turn_at"], *(one["shares"][key] * 100 for key in ("strategy", "broker", "bot", "hand_over"))]
        for name, one in sorted(participants.items())
    ]  # fmt: skip
    columns = [
        Column(name="Thread"), Column(name="Turns", kind="number", digits=0),
        Column(name="Busy s", kind="number", digits=3, meaning="Inside its turns."),
        Column(name="Waiting s", kind="number", digits=3, meaning="For its turn, or for what it waits for itself."),
        Column(name="Lock wait s", kind="number", digits=3), Column(name="Longest turn ms", kind="number", digits=3),
        Column(name="At", meaning="The market's instant of its longest turn."),
        *(Column(name=name, kind="percent", digits=1, meaning="Of the run's real time.")
          for name in ("Strategy", "Broker", "Bot", "Hand-over")),
    ]  # fmt: skip
    return page.table("threads", columns, rows, filters=len(rows) > 20)


def _pictures(page: Page, trace: Mapping[str, Any]) -> str:
    """When each thread was busy, what the time went into, and the longest turns with what was around them."""
    names, count = list(trace["threads"]), len(next(iter(trace["busy"].values())))
    length = trace["elapsed_s"] / count if trace["elapsed_s"] > 0 else 1.0
    middles = [round((place + 0.5) * length, 6) for place in range(count)]
    busy = [[min(100.0, seconds / length * 100) for seconds in trace["busy"][name]] for name in names]
    heat = {
        "data": [
            {"type": "heatmap", "x": middles, "y": [safe(name) for name in names], "z": busy, "zmin": 0,
             "colorscale": [[0, "card"], [1, "accent"]], "colorbar": {"thickness": 10, "outlinewidth": 0},
             "hovertemplate": "%{y}, %{x:.3f} s<br>busy %{z:.1f} %<extra></extra>"}
        ],
        "layout": {"xaxis": {"title": {"text": "real seconds after the start"}},
                   "yaxis": {"type": "category", "autorange": "reversed", "automargin": True}, "margin": {"t": 28}},
    }  # fmt: skip
    parts = {
        "data": [
            {"type": "bar", "name": name, "x": middles, "y": [part / length * 100 for part in trace["parts"][key]],
             "marker": {"color": colour}, "hovertemplate": "%{y:.1f} %"}
            for key, (name, colour) in _PARTS.items()
            if any(trace["parts"].get(key, ()))
        ],
        "layout": {"barmode": "stack", "bargap": 0, "hovermode": "x unified",
                   "xaxis": {"title": {"text": "real seconds after the start"}},
                   "yaxis": {"title": {"text": "% of the time"}}},
    }  # fmt: skip
    cut = "" if trace["complete"] else (
        f" The trace is of the first {trace['elapsed_s']:.2f} s: its room was full then. The table counts all."
    )  # fmt: skip
    return (
        "<h3>Who was busy when</h3>"
        + page.chart("thread-busy", heat, height_px=90 + 24 * max(2, min(len(names), 40)),
                     note=f"The share of each {length * 1e3:,.1f} ms that a thread spent inside its turns.{cut}")
        + "<h3>What the time went into</h3>"
        + page.chart("thread-parts", parts, height_px=240,
                     note="All threads together; what is missing to 100 % was spent between the turns.")
        + _longest(page, trace, names)
    )  # fmt: skip


def _longest(page: Page, trace: Mapping[str, Any], names: list[str]) -> str:
    if not trace["turns"]:
        return ""
    page.script("threads.js")
    page.value("turns", {"threads": names, "turns": trace["turns"]})
    options = "".join(
        f'<option value="{place}">{place + 1}: {safe(one["thread"])}, {one["seconds"] * 1e3:,.3f} ms, at '
        f"{safe(format_instant(one['virtual_ns']))} ({one['begin_s']:.3f} s after the start)</option>"
        for place, one in enumerate(trace["turns"])
    )
    return (
        '<h3>The longest turns</h3><div class="tools"><select id="turn-choice" aria-label="Turn">'
        f'{options}</select></div><div id="turn" class="chart" style="height:240px"></div>'
        + note("What every thread did during that turn and a little before and after it; what it called lies inside.")
    )
