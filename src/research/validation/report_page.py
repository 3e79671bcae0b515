"""The page of a validation: what may be claimed, the verdict of every candidate with its reason, and what it rests on.

Built from what the validation has left, so that the validation itself and `report FOLDER` make the same page. It claims
nothing that the validation does not claim, in the same sentences. It holds no clock, no speed and no number of workers.
Called by one thread.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from src.core.timeframe import parse_instant
from src.core.words import counted
from src.pages import Column, Page, Tile, banner, details, note, pair, safe, section, tiles, write_page
from src.research.validation import report_charts as charts
from src.research.validation.report_data import Judged, StoredValidation, read_stored
from src.research.validation.report_tables import (
    chosen_table,
    daylight_table,
    survivors_table,
    verdicts_table,
    windows_table,
)
from src.research.validation.report_words import (
    STABILITY_TEXT,
    SYNTHETIC_TEXT,
    best_text,
    claim_text,
    method_note,
    overfitting_text,
    p_text,
    ratio_text,
)

__all__ = ["REPORT", "validation_page", "validation_page_of", "write_validation_report"]

#: The page's name inside the folder of a validation.
REPORT = "report.html"
#: More survivors than this are in the tables, and not in the charts.
_MOST_DRAWN = 40
_MOST_NAMED = 12
#: Reasons are sentences: in a column as narrow as its neighbours they would make each row as high as a page.
_STYLE = (
    "<style>#verdict-rows td.wide { min-width: 340px; } "
    ":is(#chosen-rows, #survivor-rows, #planted-rows) td.wide { min-width: 240px; }</style>"
)


def write_validation_report(folder: Path) -> Path:
    """Write the page of a validation into its folder; where it is.

    Raises:
        DataError: see `read_stored`.
        OSError: it cannot be written.
    """
    path = folder / REPORT
    write_page(path, validation_page(folder))
    return path


def validation_page(folder: Path) -> Page:
    """The page of the validation in a folder.

    Raises:
        DataError: see `read_stored`.
    """
    return validation_page_of(read_stored(folder))


def validation_page_of(found: StoredValidation) -> Page:
    """The page of a validation that was read."""
    page = Page(f"Validation {found.about['name']}", heading=_heading(found))
    page.add(_STYLE)
    if found.about["candidates"]["synthetic"]:
        page.add(banner("SYNTHETIC", f"{SYNTHETIC_TEXT[0].upper()}{SYNTHETIC_TEXT[1:]}."))
    if found.family is None:
        page.add(banner("STABILITY", STABILITY_TEXT))
    if found.counts["ERROR"]:
        sentence = f"{counted(found.counts['ERROR'], 'candidate')} broke and has no verdict; --resume judges it again."
        page.add(banner("ERROR", sentence, tone="bad"))
    page.add(tiles(_tiles(found)))
    for part in (
        _claim,
        _reoptimised,
        _funnel,
        _survivors,
        _verdicts,
        _p_values,
        _deflated,
        _overfitting,
        _reality,
        _about,
    ):
        page.add(part(page, found))
    return page


def _heading(found: StoredValidation) -> str:
    about = found.about
    tone = "bad" if found.counts["ERROR"] else "dim"
    return (
        f'<h1>Validation {safe(about["name"])} <span class="badge {tone}">{safe(about["kind"])}</span></h1>'
        f'<p>{safe(about["candidates"]["label"])}</p><p class="id">{safe(about["validation_id"])}</p>'
    )


def _tiles(found: StoredValidation) -> list[Tile]:
    counts = found.counts
    told = [
        Tile(name="Candidates", key="candidates", text=f"{len(found.judged):,}",
             note=_family_note(found), meaning="Lists of closed trades that were judged."),
        Tile(name="PASS", key="PASS", text=f"{counts['PASS']:,}", tone="good" if counts["PASS"] else "",
             note="every phase passed",
             meaning="How many of those that pass may be luck is said with a cut-off alone, of all together; nothing "
                     "is said of the future."),
        Tile(name="REJECT", key="REJECT", text=f"{counts['REJECT']:,}", note="by the first phase",
             meaning="At least one phase rejects it, with the numbers."),
        Tile(name="SKIP", key="SKIP", text=f"{counts['SKIP']:,}", note="not all was asked",
             meaning="No phase rejects it, but one could not be asked."),
    ]  # fmt: skip
    if counts["ERROR"]:
        told.append(Tile(name="ERROR", key="ERROR", text=f"{counts['ERROR']:,}", tone="bad", note="no verdict"))
    cutoff = found.about["section"]["discovery_cutoff"]
    told.append(
        Tile(name="Cut-off", key="cutoff", text=str(cutoff)[:10] if cutoff else "none",
             tone="" if cutoff else "warn", note="later trades decide" if cutoff else "stability only",
             meaning="Where looking at the data for a choice ended, as somebody declared.")
    )  # fmt: skip
    pbo, check = found.together.overfitting, found.together.reality_check
    if pbo is not None:
        told.append(
            Tile(name="Overfitting", key="pbo", text=ratio_text(pbo["probability"]),
                 note=f"CSCV, {pbo['combinations']:,} ways", meaning=overfitting_text(pbo))
        )  # fmt: skip
    if check is not None:
        told.append(Tile(name="Best better than none", key="reality", text=f"p {p_text(check['value'])}",
                         note=str(check["variant"]), meaning=best_text(check)))  # fmt: skip
    planted, missed, wrong = planted_of(found.judged)
    if planted is not None:
        told.append(
            Tile(name="Planted found", key="planted", text=f"{len(planted) - len(missed)} of {len(planted)}",
                 note=f"{counted(len(wrong), 'other')} passed",
                 meaning="Of generated candidates it is known which have an edge.")
        )  # fmt: skip
    return told


def _family_note(found: StoredValidation) -> str:
    return "" if found.family is None else f"family of {counted(found.family.size, 'trial')}"


def planted_of(judged: Sequence[Judged]) -> tuple[list[Judged] | None, list[Judged], list[Judged]]:
    """The candidates with an edge, those of them that do not pass, and those without one that do.

    The first is None where nobody can know.
    """
    if all(each.planted is None for each in judged):
        return None, [], []
    planted = [each for each in judged if each.planted]
    missed = [each for each in planted if each.status != "PASS"]
    return planted, missed, [each for each in judged if each.status == "PASS" and not each.planted]


def _claim(page: Page, found: StoredValidation) -> str:
    testing = found.about["section"]["multiple_testing"]
    if found.family is None:
        parts = [f"<p><b>{safe(STABILITY_TEXT)}</b></p>"]
    else:
        claim = claim_text(
            method=testing["method"], level=testing["level"], family=found.family,
            cutoff_ns=parse_instant(found.about["section"]["discovery_cutoff"]), passed=found.counts["PASS"],
        )  # fmt: skip
        parts = [f"<p><b>{safe(claim)}</b></p>",
                 note(f"{method_note(testing['method'], found.together.notes)}.")]  # fmt: skip
    parts += [f'<p class="warn">warning: {safe(each)}</p>' for each in found.together.warnings]
    if not found.together.stored:
        parts.append(note("What was found out of all candidates together is not in the folder; the same walkforward "
                          "again writes it."))  # fmt: skip
    parts.append(_planted(page, found))
    return section("What may be claimed", "".join(parts), "claim")


def _planted(page: Page, found: StoredValidation) -> str:
    """Of a generator it is known which candidates have an edge."""
    planted, missed, wrong = planted_of(found.judged)
    if planted is None:
        return ""
    rows = [
        (each.candidate_id, "yes" if each.planted else "no", each.status, each.phase, each.reason)
        for each in (*wrong, *missed, *(one for one in planted if one.status == "PASS"))
    ]
    columns = [Column(name="candidate"), Column(name="planted"), Column(name="status"), Column(name="phase"),
               Column(name="reason", wide=True)]  # fmt: skip
    told = (
        f"Found {len(planted) - len(missed):,} of {len(planted):,} planted; missed: {_some(missed)}; passed without "
        f"being planted: {_some(wrong)}."
    )
    return f"<p>{safe(told)}</p>" + details("All that were planted", page.table("planted-rows", columns, rows, page=25))


def _some(judged: Sequence[Judged]) -> str:
    """Names, as long as they are few."""
    if len(judged) > _MOST_NAMED:
        return f"{len(judged):,}"
    return ", ".join(f"{each.candidate_id} ({each.phase})" if each.phase else each.candidate_id for each in judged) or (
        "none"
    )


def _reoptimised(page: Page, found: StoredValidation) -> str:
    if not found.chosen:
        return ""
    about = found.together.reoptimised or {}
    currency = str(about.get("currency", ""))
    first, last = found.chosen[0]["equity_from"], found.chosen[-1]["equity_to"]
    efficiency = about.get("efficiency")
    figures = tiles(
        [
            Tile(name="Equity", key="equity", text=f"{last:,.2f}", note=f"from {first:,.2f} {currency}".strip(),
                 tone="good" if last > first else "bad" if last < first else "",
                 meaning="What the last test window ended with; each begins with what the one before ended with."),
            Tile(name="Windows", key="windows", text=f"{len(found.chosen)}",
                 note=f"{sum(bool(each['chosen']) for each in found.chosen)} traded"),
            Tile(name="Efficiency", key="efficiency", text="n/a" if efficiency is None else f"{efficiency:.2f}",
                 note="tests over trains",
                 meaning="Mean R of a trade on the tests over that on the trains, as a ratio of sums over whole "
                         "windows; n/a where the trains have no mean above 0."),
            Tile(name="Chosen by", key="objective", text=str(about.get("objective", "n/a")),
                 note="" if not about else "the highest" if about.get("highest") else "the lowest",
                 meaning="The figure that decides on each train."),
        ]
    )  # fmt: skip
    chart = ""
    if found.equity is not None:
        curve = charts.read_equity(found.equity)
        chart = page.chart(
            "stitched", charts.stitched_figure(*curve, found.chosen, currency), height_px=420,
            note="The test windows one behind the other, a dotted line where each begins. Nothing is made up at a "
                 "seam: each window begins flat, and with exactly the equity that the last one ended with. Of each "
                 "window the first sample and the last ones of equal spans of time are drawn.",
        )  # fmt: skip
    return section(
        "Choosing again on each train",
        figures + chart + "<h3>What was chosen</h3>" + chosen_table(page, found),
        "reoptimised",
    )


def _funnel(page: Page, found: StoredValidation) -> str:
    rows = [
        (name, came, rejected, skipped, came - rejected - skipped) for name, came, rejected, skipped in found.funnel
    ]
    columns = [
        Column(name="phase"), Column(name="in", kind="number", meaning="Candidates that came to it."),
        Column(name="rejected", kind="number", meaning="By this phase first."),
        Column(name="skipped", kind="number", meaning="It could not be asked."), Column(name="left", kind="number"),
    ]  # fmt: skip
    broke = found.counts["ERROR"]
    table = page.table("funnel", columns, rows, filters=False) + note(
        f"{counted(broke, 'candidate')} broke and came to no phase." if broke else ""
    )
    height = 110 + 32 * len(rows)
    chart = page.chart("funnel-chart", charts.funnel_figure(found.funnel), height_px=height) if rows else ""
    return section("Funnel", pair(f"<div>{table}</div>", f"<div>{chart}</div>"), "phases")


def _survivors(page: Page, found: StoredValidation) -> str:
    survivors = found.survivors
    shown = survivors or (found.judged if found.chosen else ())
    if not survivors:
        head = "<p><b>No candidate passes.</b></p>"
    else:
        head = survivors_table(page, found)
    names = [each.candidate_id for each in shown if found.windows.get(each.candidate_id)][:_MOST_DRAWN]
    parts = [head]
    if names:
        more = f" The first {_MOST_DRAWN} of {len(shown):,}." if len(shown) > _MOST_DRAWN else ""
        parts.append("<h3>Test windows</h3>")
        parts.append(
            page.chart(
                "windows", charts.windows_figure(found.windows, names), height_px=max(170, 110 + 24 * len(names)),
                note=f"Net R of the trades entered in each test window; those in brackets are not counted.{more}",
            )
        )  # fmt: skip
        parts.append(
            details("All windows as a table", windows_table(page, found, [each.candidate_id for each in shown]))
        )
    if any(found.together.daylight.get(each.candidate_id) for each in shown):
        parts.append(details("Daylight saving of the session's zone", daylight_table(page, found)))
    return section("Survivors" if survivors or not found.chosen else "Windows", "".join(parts), "survivors")


def _verdicts(page: Page, found: StoredValidation) -> str:
    return section(
        "Verdicts", verdicts_table(page, found), "verdicts",
        meaning="Every candidate, survivors first. The filter takes words, and comparisons such as p<0.05.",
    )  # fmt: skip


def _p_values(page: Page, found: StoredValidation) -> str:
    testing = found.about["section"]["multiple_testing"]
    if found.family is None:
        return section("P-values", f"<p>{safe('None was computed: there is no discovery_cutoff.')}</p>", "p-values")
    size, level, method = found.family.size, testing["level"], testing["method"]
    figure = charts.p_values_figure(found.judged, size, level, method)
    with_p = sum(each.p_value is not None and each.p_value < 1 for each in found.judged)
    words = (
        f"One-sided for a mean net R above 0 after the cut-off ({testing['p_value']}). The family has "
        f"{counted(size, 'trial')}; {size - with_p:,} of them failed a phase or are not among these "
        "candidates, and count with p = 1. All up to the last one on or below the line are discoveries."
    )
    if figure is None:
        return section("P-values", f"<p>No candidate has a p-value below 1.</p>{note(words)}", "p-values")
    return section(
        "P-values and their line", page.chart("p-values-chart", figure, height_px=400, note=words), "p-values"
    )


def _deflated(page: Page, found: StoredValidation) -> str:
    survivors = found.survivors
    figure = charts.deflated_figure(survivors[:_MOST_DRAWN])
    if figure is None:
        return ""
    one = next(each.sharpe for each in survivors if each.sharpe)
    more = f" The first {_MOST_DRAWN} of {len(survivors):,} survivors." if len(survivors) > _MOST_DRAWN else ""
    words = (
        f"Of R by day. Probabilistic: that the true Sharpe ratio is above 0 (variant {one['variant']}); deflated: that "
        f"it is above what the best of {counted(one['trials'], 'trial')} would show by chance. The line is 0.95. "
        f"Neither decides a verdict.{more}"
    )
    return section(
        "Deflated Sharpe ratio", page.chart("deflated", figure, height_px=360, note=words), "deflated-sharpe"
    )


def _overfitting(page: Page, found: StoredValidation) -> str:
    pbo = found.together.overfitting
    if pbo is None:
        return ""
    ways = pbo.get("ways") or {}
    text = f"<p>{safe(overfitting_text(pbo))}</p>"
    if not ways.get("rank"):
        return section("Probability of backtest overfitting", text, "overfitting")
    left = page.chart(
        "overfitting-chart", charts.overfitting_figure(ways, pbo["candidates"]), height_px=320,
        note="The rank of the best of one half in the other, as a logit: 0 is the median, what lies there or left of "
             f"it is counted. Mean {pbo['logit_mean']:.2f}, median {pbo['logit_median']:.2f}.",
    )  # fmt: skip
    slope = "n/a" if pbo["slope"] is None else f"{pbo['slope']:.2f}"
    right = page.chart(
        "slope", charts.slope_figure(ways, pbo["slope"], pbo["measure"]), height_px=320,
        note=f"Each point is one way to halve the time. Slope {slope} by least squares: below 0, the better it looks, "
             "the worse it gets.",
    )  # fmt: skip
    return section("Probability of backtest overfitting", text + pair(f"<div>{left}</div>", f"<div>{right}</div>"),
                   "overfitting")  # fmt: skip


def _reality(page: Page, found: StoredValidation) -> str:
    check = found.together.reality_check
    if check is None:
        return ""
    rows = [(name, check[key], meaning) for name, key, meaning in _REALITY]
    columns = [Column(name="figure"), Column(name="value", kind="number"), Column(name="what", wide=True)]
    html = f"<p>{safe(best_text(check))}</p>{page.table('reality-figures', columns, rows, filters=False)}"
    return section("Reality check", html, "reality-check")


_REALITY = (
    ("p", "value", "of the hypothesis that no candidate has a mean above 0"),
    ("lower bound", "lower", "that Hansen gives beside it"),
    ("upper bound", "upper", "that Hansen gives beside it"),
    ("floor", "floor", "the least that so many resamples can show"),
    ("candidates", "candidates", "that were compared; those whose values are all equal are left out"),
    ("weeks", "periods", "of each candidate, after the cut-off"),
    ("block length", "block_length", "mean length of the blocks that are drawn, in weeks"),
)


def _about(page: Page, found: StoredValidation) -> str:
    family = found.about["family"]
    told = {"validation_id": found.about["validation_id"], "candidates": found.about["candidates"], "family": family,
            "section": found.about["section"]}  # fmt: skip
    text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)
    return section("Configuration", details("What was asked, with every threshold", f"<pre>{safe(text)}</pre>"),
                   "configuration")  # fmt: skip
