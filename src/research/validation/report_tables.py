"""The tables of a validation's page: every verdict, survivors, windows, what was chosen again on each train.

Pure; any thread.
"""

from collections.abc import Sequence
from typing import Any

from src.pages import Column, Page, safe
from src.research.validation.report_charts import chosen_text
from src.research.validation.report_data import Judged, StoredValidation

__all__ = ["chosen_table", "daylight_table", "survivors_table", "verdicts_table", "windows_table"]

#: So many labels, and so many given figures, have columns; of candidates with more the first ones.
_MOST_LABELS = 12


def _r(name: str, meaning: str = "") -> Column:
    """A column of R."""
    return Column(name=name, kind="number", digits=3, tone=True, meaning=meaning)


_P = Column(name="p", kind="number", meaning="How likely such R by day after the cut-off is without an edge; 1 where a "
            "phase failed.")  # fmt: skip
_ADJUSTED = Column(name="adjusted p", kind="number", meaning="Adjusted for the whole family.")
_PSR = Column(name="PSR", kind="number", digits=3, meaning="Probabilistic Sharpe ratio of R by day, of survivors.")
_DSR = Column(
    name="DSR", kind="number", digits=3, meaning="Deflated for as many trials as the family has, of survivors."
)
_MTRL = Column(name="MinTRL", kind="number", digits=0, meaning="Days with trades until PSR is 0.95, of survivors.")
_TRADES = Column(name="trades", kind="number", meaning="Entered inside the period.")
_MEAN = _r("mean R", "Mean net R of these trades.")
_OOS = _r("OOS R", "Mean net R of all trades in counted test windows.")
_EFFICIENCY = Column(name="efficiency", kind="number", digits=2, meaning="OOS R over the mean R of their trains.")
_WINDOWS = Column(name="windows", kind="number", meaning="Valid test windows.")
_POSITIVE = Column(name="positive", kind="number", meaning="Valid test windows with a net R above 0.")


def verdicts_table(page: Page, found: StoredValidation) -> str:
    """Every candidate, survivors first."""
    judged, with_p = found.judged, found.family is not None
    planted = any(each.planted is not None for each in judged)
    labels, given = _names(judged, "labels"), _names(judged, "given")
    columns = [
        Column(name="candidate"), Column(name="status"),
        Column(name="phase", meaning="The one that decided."), Column(name="reason", wide=True),
        _TRADES, _MEAN, _WINDOWS, _POSITIVE, _OOS, _EFFICIENCY, *([_P, _ADJUSTED] if with_p else []), _PSR, _DSR,
        *([Column(name="planted", meaning="Whether the generator gave it an edge.")] if planted else []),
        *(Column(name=name, kind=_kind(judged, "labels", name), meaning="What it is.") for name in labels),
        *(
            Column(name=f"given: {name}", kind=_kind(judged, "given", name),
                   meaning="Computed elsewhere, kept as it is, and used for no verdict.")
            for name in given
        ),
    ]  # fmt: skip
    rows = [
        (
            each.candidate_id, each.status, each.phase, each.reason, each.trades, each.mean_r, each.valid,
            each.positive, each.test_mean_r, each.efficiency,
            *((each.p_value, each.adjusted) if with_p else ()),
            each.sharpe.get("probabilistic"), each.sharpe.get("deflated"),
            *((_yes(each.planted),) if planted else ()),
            *(_told(each.labels.get(name)) for name in labels), *(_told(each.given.get(name)) for name in given),
        )
        for each in judged
    ]  # fmt: skip
    return page.table("verdict-rows", columns, rows)


def survivors_table(page: Page, found: StoredValidation) -> str:
    """Those that pass, the lowest p first."""
    with_p, survivors = found.family is not None, found.survivors
    columns = [
        Column(name="candidate"), _TRADES, _MEAN, _WINDOWS, _POSITIVE, _OOS, _EFFICIENCY,
        *([_P, _ADJUSTED] if with_p else []), _PSR, _DSR, _MTRL,
        Column(name="days", kind="number", meaning="On which trades were entered; what PSR and DSR are of."),
        Column(name="Sharpe a day", kind="number", digits=3, meaning="Of net R by day, not annualised."),
        Column(name="luck's", kind="number", digits=3, meaning="What the best of so many trials would show by chance."),
        Column(name="what it is", wide=True),
    ]  # fmt: skip
    rows = [
        (
            each.candidate_id, each.trades, each.mean_r, each.valid, each.positive, each.test_mean_r, each.efficiency,
            *((each.p_value, each.adjusted) if with_p else ()),
            *(
                each.sharpe.get(name)
                for name in ("probabilistic", "deflated", "minimum_track_record", "days", "sharpe_daily",
                             "luck_sharpe_daily")
            ),
            ", ".join(f"{name}={value}" for name, value in each.labels.items()),
        )
        for each in survivors
    ]  # fmt: skip
    return page.table("survivor-rows", columns, rows, filters=len(rows) > 10)


def windows_table(page: Page, found: StoredValidation, names: Sequence[str]) -> str:
    """Every test window of these candidates with its train."""
    columns = [
        Column(name="candidate"), Column(name="number", kind="number"), Column(name="train from"),
        Column(name="train to"), Column(name="test from"), Column(name="test to"),
        Column(name="train trades", kind="number"),
        Column(name="purged", kind="number", meaning="Still open when the test began, and dropped from the train."),
        Column(name="embargoed", kind="number", meaning="Entered shortly before the test, and dropped from the train."),
        _r("train R"), Column(name="test trades", kind="number"), _r("test R"),
        Column(name="label", meaning="`valid` ones are counted."), Column(name="positive"),
    ]  # fmt: skip
    rows = [
        (
            name, each["number"], _day(each["train_from"]), _day(each["train_to"]), _day(each["test_from"]),
            _day(each["test_to"]), each["train_trades"], each["purged"], each["embargoed"], each["train_r"],
            each["test_trades"], each["test_r"], each["label"], _yes(each["positive"]),
        )
        for name in names
        for each in found.windows.get(name, ())
    ]  # fmt: skip
    return page.table("window-rows", columns, rows)


def daylight_table(page: Page, found: StoredValidation) -> str:
    """Mean R in winter and summer of the sessions of each survivor."""
    columns = [
        Column(name="candidate"), Column(name="session"), Column(name="zone"), Column(name="split"),
        _r("winter R"), Column(name="winter trades", kind="number"),
        _r("summer R"), Column(name="summer trades", kind="number"),
    ]  # fmt: skip
    rows = [
        (name, each["session"], each["zone"], each["verdict"], each["winter_r"], each["winter_trades"],
         each["summer_r"], each["summer_trades"])
        for name, sessions in found.together.daylight.items()
        for each in sessions
        if each["winter_trades"] or each["summer_trades"]
    ]  # fmt: skip
    return page.table("daylight-rows", columns, rows, page=50)


def chosen_table(page: Page, found: StoredValidation) -> str:
    """What was chosen for each window, and what it came to."""
    columns = [
        Column(name="window", kind="number"), Column(name="test from"), Column(name="test to"), Column(name="label"),
        Column(name="chosen", kind="html", wide=True, meaning="Links lead to the page of a test, where there is one."),
        Column(name="objective", kind="number", digits=3, meaning="Of the chosen one on its train."),
        Column(name="tried", kind="number"),
        Column(name="eligible", kind="number", meaning="With enough trades on the train."),
        Column(name="train trades", kind="number"), _r("train R"),
        Column(name="test trades", kind="number"), _r("test R"),
        Column(name="test return", kind="percent", tone=True),
        Column(name="drawdown", kind="percent", meaning="The largest on the test."),
        Column(name="equity from", kind="money"), Column(name="equity to", kind="money"),
        Column(name="test run"),
    ]  # fmt: skip
    rows = [
        (
            each["number"], _day(each["test_from"]), _day(each["test_to"]), each["label"], _chosen(found, each),
            each["objective"], each["tried"], each["eligible"], each["train"].get("trades"),
            each["train"].get("total_r"), each["test"].get("trades"), each["test"].get("total_r"),
            each["test"].get("return_percent"), each["test"].get("max_drawdown_percent"), each["equity_from"],
            each["equity_to"], each["test_run_id"],
        )
        for each in found.chosen
    ]  # fmt: skip
    return page.table("chosen-rows", columns, rows, filters=len(rows) > 10)


def _chosen(found: StoredValidation, each: dict[str, Any]) -> str:
    if not each["chosen"]:
        return f'<span class="dim">nothing: {safe(each["reason"])}</span>'
    name, run = safe(chosen_text(each)), each["test_run_id"]
    there = run and (found.folder.parent.parent / run / "report.html").is_file()
    return f'<a href="../../{safe(run)}/report.html">{name}</a>' if there else name


def _names(judged: Sequence[Judged], what: str) -> list[str]:
    found: dict[str, None] = {}
    for each in judged:
        found.update(dict.fromkeys(getattr(each, what)))
    return list(found)[:_MOST_LABELS]


def _kind(judged: Sequence[Judged], what: str, name: str) -> Any:
    values = (getattr(each, what).get(name) for each in judged)
    numbers = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    return "number" if numbers else "text"


def _told(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _day(text: str) -> str:
    """An instant of a file as a day, or with its time where it is not midnight."""
    return text[:10] if text[11:19] == "00:00:00" else text[:19]
