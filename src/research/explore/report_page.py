"""What an exploration found as a page: results by schedule, how far they spread, and both orders of each race.

Pure; any thread.
"""

from collections.abc import Sequence

from src.core.words import counted
from src.pages import Column, Page, Tile, banner, section, tiles
from src.pages.pieces import note, pair, safe
from src.research.explore.differences import event_text
from src.research.explore.groups import Spread
from src.research.explore.report import Command, as_dict, finding_lines, headline
from src.research.explore.study import Exploration, Finding
from src.research.explore.timelines import Step, Timelines

__all__ = ["exploration_page"]

_SHOWN_LETTERS = 16

_MEANINGS = {
    "schedules": "How many orders of turns were tried; the first is the written one.",
    "results": "How many different results there were: runs with equal digests and ends are one result.",
    "profit": "Final equity less the start balance, least to greatest over all schedules.",
    "trades": "Closed trades, fewest to most over all schedules.",
    "drawdown": "The deepest fall from a high of the equity in percent of it, least to greatest over all schedules.",
    "runs": "Runs that only looked for what decides.",
}


def exploration_page(
    found: Exploration,
    name: str,
    command: Command,
    timelines: Sequence[Timelines | None],
    *,
    synthetic_seed: int | str | None = None,
) -> Page:
    """The page of an exploration.

    Args:
        name: of the configuration.
        timelines: of each finding that has a race, in order.
        synthetic_seed: of a generated market.
    """
    page = Page(f"{name}: schedules")
    if synthetic_seed is not None:
        page.add(banner("SYNTHETIC", f"The market was generated from seed {synthetic_seed}."))
    page.add(banner("AGREES" if found.agrees else "DIFFERS", headline(found), tone="good" if found.agrees else "bad"))
    page.add(_tiles(found))
    page.add(section("Profit by schedule", _profit_chart(page, found), "profit-section"))
    page.add(section("Results", _groups_table(page, found, command), "results-section"))
    rest = iter(timelines)
    for number, finding in enumerate(found.findings, start=1):
        race_times = next(rest, None) if finding.race is not None else None
        page.add(_finding_section(page, found, finding, number, command, race_times))
    page.add(section("Every schedule", _schedules_table(page, found, command), "schedules-section"))
    return page


def _tiles(found: Exploration) -> str:
    figures = [
        Tile(name="Schedules", text=f"{len(found.results):,}", meaning=_MEANINGS["schedules"], key="schedules"),
        Tile(name="Results", text=f"{len(found.groups):,}", tone="good" if found.agrees else "bad",
             meaning=_MEANINGS["results"], key="results"),
    ]  # fmt: skip
    spreads: list[tuple[str, str, Spread | None, str]] = [
        ("Profit", "profit", found.profit, ",.2f"),
        ("Trades", "trades", found.trades, ",.0f"),
        ("Max drawdown %", "drawdown", found.drawdown_percent, ".2f"),
    ]
    for title, key, spread, form in spreads:
        if spread is not None:
            middle = f"median {spread.median:{form}}"
            note_text = middle if spread.low == spread.high else f"to {spread.high:{form}}, {middle}"
            text = f"{spread.low:{form}}"
            figures.append(Tile(name=title, text=text, note=note_text, meaning=_MEANINGS[key], key=key))
    if found.runs:
        figures.append(Tile(name="Runs of the search", text=f"{found.runs:,}", meaning=_MEANINGS["runs"], key="runs"))
    return tiles(figures)


def _colour(group: int) -> str:
    return f"series-{group % 8}"


def _profit_chart(page: Page, found: Exploration) -> str:
    traces = []
    for place, group in enumerate(found.groups):
        points = [(number, found.results[number]) for number in group.numbers]
        shown = [(number, each) for number, each in points if each.profit is not None]
        if shown:
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "name": f"result {place + 1}",
                    "x": [number + 1 for number, _ in shown], "y": [each.profit for _, each in shown],
                    "text": [_schedule_text(found, number) for number, _ in shown],
                    "hovertemplate": "%{text}<br>profit %{y:,.2f}<extra>%{fullData.name}</extra>",
                    "marker": {"color": _colour(place), "size": 8, "symbol": "circle" if place == 0 else "diamond"},
                }
            )  # fmt: skip
    if not traces:
        return note("No run came to a figure.")
    layout = {"xaxis": {"title": {"text": "schedule"}}, "yaxis": {"title": {"text": "profit"}}}
    return page.chart(
        "profit", {"data": traces, "layout": layout}, note="Each point is a schedule; equal results have one colour."
    )


def _schedule_text(found: Exploration, number: int) -> str:
    variant = found.results[number].variant
    order = "" if variant.symbols is None else f", symbols {' '.join(variant.symbols)}"
    return safe(f"{variant.kind}: {variant.schedule}{order}")


def _groups_table(page: Page, found: Exploration, command: Command) -> str:
    columns = [
        Column(name="Result", kind="number"),
        Column(name="Schedules", kind="number", meaning="How many schedules gave this result."),
        Column(name="Trades", kind="number"),
        Column(name="Profit", kind="money", tone=True),
        Column(name="Max drawdown", kind="percent"),
        Column(name="Outcome"),
        Column(name="Digest", meaning="Over every decision, order, fill and trade; equal digests are equal runs."),
        Column(name="Again", wide=True, meaning="The command that runs it once more."),
    ]
    rows = [
        (place, len(group.numbers), group.first.trades, group.first.profit, group.first.drawdown_percent,
         group.first.outcome, group.first.digest[:_SHOWN_LETTERS], command(group.first.variant))
        for place, group in enumerate(found.groups, start=1)
    ]  # fmt: skip
    return page.table("groups", columns, rows, filters=len(rows) > 10)


def _schedules_table(page: Page, found: Exploration, command: Command) -> str:
    columns = [
        Column(name="Schedule", kind="number"),
        Column(name="Kind", meaning="fifo is the written order; seeded and preemptive ones are drawn; order: symbols."),
        Column(name="Result", kind="number"),
        Column(name="Trades", kind="number"),
        Column(name="Profit", kind="money", tone=True),
        Column(name="Max drawdown", kind="percent"),
        Column(name="Digest"),
        Column(name="Again", wide=True),
    ]
    rows = [
        (number + 1, each.variant.kind, found.group_of(number) + 1, each.trades, each.profit, each.drawdown_percent,
         each.digest[:_SHOWN_LETTERS], command(each.variant))
        for number, each in enumerate(found.results)
    ]  # fmt: skip
    return page.table("schedules", columns, rows)


def _finding_section(
    page: Page, found: Exploration, finding: Finding, number: int, command: Command, times: Timelines | None
) -> str:
    lines = finding_lines(found, finding, command)
    race = finding.race
    if race is None:
        return section(f"Not explained {number}", note(" ".join(lines)), f"race-{number}")
    parts = [f"<p>{safe(lines[0])}</p><p>{safe(lines[1].strip())}</p>"]
    if race.difference is not None:
        events = race.difference.reference, race.difference.other
        heads = "first event, as written", "first event, swapped"
        cells = [
            f'<div><h3>{head}</h3><pre style="white-space: pre-wrap">{safe(event_text(event))}</pre></div>'
            for head, event in zip(heads, events, strict=True)
        ]
        parts.append(pair(*cells))
    if times is not None:
        parts.append(_timeline_chart(page, times, number))
        parts.append(pair(*_timeline_tables(page, times, number)))
    plain = next(each for each in as_dict(found, command, 0)["races"] if each["digest"] == race.digest)
    commands = f"as written:\n{plain['reproduce_reference']}\n\nswapped:\n{plain['reproduce']}"
    parts.append(f"<h3>Both again</h3><pre>{safe(commands)}</pre>")
    return section(f"Race {number}", "".join(parts), f"race-{number}")


def _timeline_chart(page: Page, times: Timelines, number: int) -> str:
    """Both orders on lanes: a lane for each participant and order, the calls from left to right."""
    sides = (("as written", times.written), ("swapped", times.swapped))
    names = list(dict.fromkeys(step.participant for _, steps in sides for step in steps))
    lanes = [f"{safe(name)}, {side}" for side, _ in reversed(sides) for name in reversed(names)]
    traces = []
    for side, steps in sides:
        for place, name in enumerate(names):
            own = [(at, step) for at, step in enumerate(steps, start=1) if step.participant == name]
            if not own:
                continue
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "showlegend": False,
                    "x": [at for at, _ in own], "y": [f"{safe(name)}, {side}"] * len(own),
                    "text": [f"{safe(step.asked)}<br><b>{safe(step.told)}</b>" for _, step in own],
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": {
                        "color": ["bad" if step.differs else _colour(place) for _, step in own],
                        "size": [13 if step.differs else 9 for _, step in own], "symbol": "square",
                    },
                }
            )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "call, in the order of answers"}, "dtick": 5 if len(times.written) > 12 else 1},
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": lanes},
    }
    more = f" {counted(times.left_out, 'later call')} left out." if times.left_out else ""
    text = f"What each asked and was told; red where the other order has it otherwise.{more}"
    return page.chart(f"lanes-{number}", {"data": traces, "layout": layout}, height_px=90 + 26 * len(lanes), note=text)


def _timeline_tables(page: Page, times: Timelines, number: int) -> list[str]:
    columns = [Column(name="#", kind="number"), Column(name="Who"), Column(name="Asked", wide=True),
               Column(name="Told", wide=True), Column(name="Differs")]  # fmt: skip
    found = []
    for key, title, steps in (("written", "As written", times.written), ("swapped", "Swapped", times.swapped)):
        rows = [_row(at, step) for at, step in enumerate(steps, start=1)]
        table = page.table(f"calls-{number}-{key}", columns, rows, filters=False)
        found.append(f"<div><h3>{title}</h3>{table}</div>")
    return found


def _row(at: int, step: Step) -> tuple[object, ...]:
    return at, step.participant, step.asked, step.told, "differs" if step.differs else ""
