"""Importing a file of bars or ticks: look at it, ask what it does not say, then store it in one transaction.

`inspect_file` reads and judges the whole file and writes nothing; `run_import` stores what was understood, or
nothing. Both run in the thread of the caller; neither reads a clock.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.errors import ConfigError, DataError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, format_duration, format_instant, parse_timeframe
from src.core.words import meant
from src.data.formats import PRICES, RawTable, read_table
from src.data.import_plan import (
    ImportAnswers,
    ImportPlan,
    ImportReport,
    PreviewRow,
    Question,
    default_source,
    guess_symbol,
)
from src.data.instruments import KINDS, decimals_of, defaults_for, guess_kind
from src.data.resample import freeze
from src.data.stamps import find_zone, to_utc
from src.data.store import HistoricalDataStore
from src.data.tape_files import read_ticks
from src.data.tape_importing import import_ticks, inspect_ticks

__all__ = ["ImportAnswers", "ImportPlan", "ImportReport", "PreviewRow", "Question", "inspect_file", "inspect_table",
           "run_import"]  # fmt: skip

_Number = TypeVar("_Number", bound=np.generic)

_PREVIEW_ROWS = 5
_FAR = 24  # so many bars apart are no neighbours with a hole between, even in a file of two rows
_ENOUGH_STEPS = 10
_IGNORED = "ignored: "
_CHOICES = {"kind": KINDS, "stamp": ("open", "close"), "price": ("bid", "ask", "mid", "trade")}
_KIND_PRICES = {"fx": "bid", "crypto": "trade", "equity": "trade"}
_LAYOUT_KINDS = {"histdata": "fx", "metatrader": "fx", "ccxt": "crypto", "binance": "crypto", "yahoo": "equity"}
# What vendors are known to use. Suggestions only: published clocks are often wrong. HistData writes of standard time
# and follows New York's daylight saving; most MetaTrader servers follow Eastern European time, with its own.
_LAYOUT_ZONES = {"histdata": "America/New_York", "metatrader": "Europe/Helsinki", "yahoo": "America/New_York"}


def inspect_file(path: Path, answers: ImportAnswers) -> ImportPlan:
    """Read a file and say what is understood and what must be asked.

    Raises:
        ConfigError: an answer is not one of its choices.
        DataError: the file is absent, empty, or has a row that cannot be right; the line is named.
    """
    _refuse_odd_answers(answers)
    ticks = read_ticks(path)
    if ticks is not None:
        return inspect_ticks(path, ticks, answers)
    table = read_table(path)
    sides: dict[str, dict[str, FloatArray]] = {}
    if table.layout == "parquet":
        from src.data.sides import read_sides  # imports pyarrow, which a CSV does not need

        sides = read_sides(path)
    return inspect_table(path, table, answers, sides)


def inspect_table(
    path: Path, table: RawTable, answers: ImportAnswers, sides: Mapping[str, dict[str, FloatArray]] | None = None
) -> ImportPlan:
    """The same for rows that are in memory.

    Args:
        path: where they come from, for messages and for guesses.
        sides: columns of further price sides, as `read_sides` gives them.

    Raises:
        ConfigError: an answer is not one of its choices.
        DataError: a row cannot be right; its number is named.
    """
    _refuse_odd_answers(answers)
    further = dict(sides or {})
    notes = [note for note in (_without_sides(note, further) for note in table.notes) if note]
    symbols = tuple(sorted(set(table.symbols or ())))
    rows = _rows_of(table, symbols, answers.symbol)
    if answers.price in further:
        # The file has columns for the very side that was asked for; the plain ones are of another.
        table = replace(table, columns=further[answers.price])
        rows = None if rows is None else _quoted(table, rows)
        notes.append(f"the bars are those of the columns {answers.price}_open to {answers.price}_close")
        further = {}
    if table.stamps.is_utc and answers.zone is not None:
        notes.append(f"the zone {answers.zone} is not needed: the stamps are instants already")
    if rows is not None:
        _refuse_bad_bars(table, rows)
    settled, questions = _settle(path, table, symbols, rows, answers)
    wanted = settled | {question.key: question.default for question in questions if question.default is not None}
    beside = {side: replace(table, columns=columns) for side, columns in further.items() if side != wanted.get("price")}
    notes += [f"{side}_open to {side}_close are bars of the {side} price, stored beside the others" for side in beside]
    preview: tuple[PreviewRow, ...] = ()
    series, more = None, []
    if rows is not None:
        if "zone" in settled:
            instants = _instants(table, rows, settled["zone"])
            _refuse_bad_order(table, rows, instants)
            _refuse_far_timeframe(table, rows, answers.timeframe)
            preview = _preview(table, rows, instants, wanted)
            if not questions:
                series = _build(table, rows, instants, settled)
                more = [_build_side(one, rows, {**settled, "price": side}) for side, one in beside.items()]
        else:
            _refuse_far_timeframe(table, rows, answers.timeframe)
            # It is the suggested zone in which the first local times may not exist: then there is no preview.
            with suppress(DataError):
                preview = _preview(table, rows, _instants(table, rows[:_PREVIEW_ROWS], wanted["zone"]), wanted)
    return ImportPlan(
        path=path, layout=table.layout, answers=answers, settled=settled, questions=tuple(questions),
        notes=tuple(notes), preview=preview, rows=0 if rows is None else len(rows), series=series, sides=tuple(more),
    )  # fmt: skip


def run_import(plan: ImportPlan, store: HistoricalDataStore) -> ImportReport:
    """Store the bars or ticks, the instrument defaults and a line of the import log, together or not at all.

    Raises:
        ConfigError: the plan has open questions.
        DataError: the rows do not fit what is stored.
    """
    plan.refuse_questions()
    if plan.tape is not None:
        return import_ticks(plan, plan.tape, store)
    series = plan.require_complete()
    kind, source = plan.settled["kind"], plan.settled["source"]
    instrument = defaults_for(kind, series.symbol, decimals=decimals_of(series.open, series.close))
    with store.transaction():
        written = store.write_bars(series, source=source, kind=kind)
        for side in plan.sides:
            store.write_bars(side, source=source, kind=kind)
        store.write_instrument(series.symbol, kind, instrument)
        store.log_import(
            series.symbol, series.timeframe_ns,
            {"file": plan.path.name, "layout": plan.layout, "rows": series.loaded, "written": written, **plan.settled},
        )  # fmt: skip
    return ImportReport(
        symbol=series.symbol, timeframe_ns=series.timeframe_ns, price_side=series.price_side, source=source, kind=kind,
        rows=series.loaded, written=written, first_ns=int(series.open_ns[0]), last_ns=int(series.open_ns[-1]),
        instrument=instrument, notes=plan.notes, sides=tuple(side.price_side for side in plan.sides),
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- what is asked


def _refuse_odd_answers(answers: ImportAnswers) -> None:
    for key, choices in _CHOICES.items():
        given = getattr(answers, key)
        if given is not None and given not in choices:
            said = f"expected one of {', '.join(choices)}, found {given!r}{meant(given, choices)}"
            raise ConfigError(f"--{key}: {said}", key=key, found=given)
    if answers.timeframe is not None:
        parse_timeframe(answers.timeframe)
    if answers.zone is not None:
        find_zone(answers.zone)
    for key in ("symbol", "source"):
        given = getattr(answers, key)
        if given is not None and not given.strip():
            raise ConfigError(f"--{key}: expected a name, found {given!r}", key=key, found=given)


def _rows_of(table: RawTable, symbols: tuple[str, ...], wanted: str | None) -> IntArray | None:
    """The rows of the symbol, or None when the file has several and none was chosen."""
    if not symbols:
        return np.arange(len(table.stamps.ns))
    if wanted is None:
        if len(symbols) > 1:
            return None
        wanted = symbols[0]
    if wanted not in symbols:
        raise DataError(
            f"{table.place.path}: expected rows of {wanted}, found {', '.join(symbols)}", path=table.place.path
        )
    return np.flatnonzero(np.array(table.symbols) == wanted)


def _of(rows: IntArray, column: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """The column's values of these rows, which are in order; of all rows it is the column itself, not a copy."""
    return column if len(rows) == len(column) else column[rows]


def _settle(
    path: Path, table: RawTable, symbols: tuple[str, ...], rows: IntArray | None, answers: ImportAnswers
) -> tuple[dict[str, str], list[Question]]:
    """What is known, by given answer or from the file, and a question for each thing that is not."""
    settled: dict[str, str] = {"source": answers.source or default_source(table.layout, path)}
    questions: list[Question] = []

    def settle(key: str, known: str | None, sentence: str, choices: tuple[str, ...], default: str | None) -> None:
        if known is not None:
            settled[key] = known
        else:
            questions.append(Question(key=key, sentence=sentence, choices=choices, default=default))

    guessed = symbols[0] if symbols else guess_symbol(path)
    symbol = answers.symbol or (symbols[0] if len(symbols) == 1 else None)
    settle(
        "symbol", symbol,
        "the file has several symbols: which one" if symbols else "the name under which the bars are stored",
        symbols, guessed,
    )  # fmt: skip
    kind = answers.kind or guess_kind(symbol or guessed or "") or _LAYOUT_KINDS.get(table.layout)
    settle("kind", answers.kind, "the class of instrument: fx, crypto or equity", KINDS, kind)
    if rows is not None:  # before the symbol is known there are no rows to look at, and nothing to ask
        settle(
            "timeframe", answers.timeframe or _infer_timeframe(table, rows),
            "the length of a bar, which one row alone does not tell", (), "1m",
        )  # fmt: skip
    zone = "UTC" if table.stamps.is_utc else answers.zone
    settle(
        "zone", zone, "the zone of the stamps, which carry no offset (with daylight saving: a name such as "
        "America/New_York; check it against a known event)", (), _suggested_zone(path, table.layout),
    )  # fmt: skip
    stamped_at = answers.stamp or table.stamped_at
    settle("stamp", stamped_at, "whether a stamp is the open or the close of its bar", _CHOICES["stamp"], "open")
    settle(
        "price", answers.price, "which price the bars are made of: bid, ask, mid or trade", _CHOICES["price"],
        _KIND_PRICES.get(kind or ""),
    )  # fmt: skip
    return settled, questions


def _suggested_zone(path: Path, layout: str) -> str:
    # HistData sells the same minutes in the layout of MetaTrader as well; its names begin with DAT.
    return _LAYOUT_ZONES["histdata" if path.name.startswith("DAT_") else layout] if layout in _LAYOUT_ZONES else "UTC"


def _commonest_step(steps: IntArray) -> int:
    lengths, counts = np.unique(steps, return_counts=True)
    return int(lengths[np.argmax(counts)])


def _steps(table: RawTable, rows: IntArray) -> IntArray:
    steps = np.diff(_of(rows, table.stamps.ns))
    return steps[steps > 0]


def _refuse_far_timeframe(table: RawTable, rows: IntArray, given: str | None) -> None:
    """Refuse a timeframe that the rows contradict: they mostly lie inside one bar, or far apart.

    Thin markets and short files have holes. So a longer distance counts only when no two neighbours are a bar apart,
    and there are rows enough to tell, or the distance is beyond any hole.
    """
    steps = _steps(table, rows)
    if given is None or not len(steps):
        return
    length_ns, commonest = parse_timeframe(given), _commonest_step(steps)
    if length_ns % DAY_NS == 0:
        is_far = commonest < length_ns - HOUR_NS  # a day of a zone with daylight saving is an hour short once a year
    else:
        is_far = commonest < length_ns
    if not is_far and int(steps.min()) > length_ns:
        is_far = commonest >= _FAR * length_ns or (
            len(steps) >= _ENOUGH_STEPS and 2 * int(np.count_nonzero(steps == commonest)) > len(steps)
        )
    if is_far:
        found = format_duration(commonest)
        raise ConfigError(
            f"--timeframe {given}: expected the distance of the rows of {table.place.path}, which is mostly {found}; "
            f"leave --timeframe out, or say what the file holds",
            key="timeframe", given=given, found=found,
        )  # fmt: skip


def _infer_timeframe(table: RawTable, rows: IntArray) -> str | None:
    steps = _steps(table, rows)
    if not len(steps):
        return None
    commonest = _commonest_step(steps)
    if commonest % MINUTE_NS:
        raise DataError(
            f"{table.place.path}: expected bars of whole minutes, found a step of {format_duration(commonest)} between "
            f"most rows; make bars of a minute or more first",
            path=table.place.path,
        )
    return format_duration(commonest)


# ------------------------------------------------------------------------------------------------ what is understood


def _refuse_bad_bars(table: RawTable, rows: IntArray) -> None:
    """Name the first row that cannot be a bar."""
    columns = {name: _of(rows, column) for name, column in table.columns.items()}
    worst: tuple[int, str] | None = None

    def judge(bad: npt.NDArray[np.bool_], sentence: str) -> None:
        nonlocal worst
        found = np.flatnonzero(bad)
        if len(found) and (worst is None or found[0] < worst[0]):
            i = int(found[0])
            worst = (i, sentence.format(**{name: float(column[i]) for name, column in columns.items()}))

    for name in PRICES:
        judge(~np.isfinite(columns[name]), f"expected a number as {name}, found {{{name}}}")
        judge(columns[name] <= 0, f"expected a price above zero as {name}, found {{{name}}}")
    judge(~(columns["volume"] >= 0) | np.isinf(columns["volume"]), "expected a volume of 0 or more, found {volume}")
    judge(columns["high"] < columns["low"], "expected high at or above low, found high {high} and low {low}")
    body_high = np.maximum(columns["open"], columns["close"])
    body_low = np.minimum(columns["open"], columns["close"])
    judge(
        (body_high > columns["high"]) | (body_low < columns["low"]),
        "expected open and close between low and high, found open {open}, high {high}, low {low}, close {close}",
    )
    if worst is not None:
        index = int(rows[worst[0]])
        raise DataError(
            f"{table.place.of(index)}: {worst[1]}", path=table.place.path, line=int(table.place.numbers[index])
        )


def _instants(table: RawTable, rows: IntArray, zone: str) -> IntArray:
    """The stamps of the rows as nanoseconds UTC, whatever they stand for."""
    ns = _of(rows, table.stamps.ns)
    if table.stamps.is_utc:
        return ns
    return to_utc(ns, zone, replace(table.place, numbers=table.place.numbers[rows]))


def _refuse_bad_order(table: RawTable, rows: IntArray, instants: IntArray, timeframe_ns: int = 0) -> None:
    """Name the first row whose stamp is not after the one before, or is inside the bar before."""
    steps = np.diff(instants)
    # Days and weeks of a zone with daylight saving are an hour short once a year.
    least = timeframe_ns - HOUR_NS if timeframe_ns and timeframe_ns % DAY_NS == 0 else timeframe_ns
    bad = np.flatnonzero(steps < max(least, 1))
    if not len(bad):
        return
    i = int(bad[0])
    before, after = format_instant(int(instants[i])), format_instant(int(instants[i + 1]))
    if steps[i] == 0:
        found = f"expected each stamp once, found {after} again"
    elif steps[i] < 0:
        found = f"expected rows in time order, found {after} after {before}; sort the file by time"
    else:
        length = format_duration(timeframe_ns)
        found = f"expected bars of {length}, found one at {after} only {format_duration(int(steps[i]))} after {before}"
    index = int(rows[i + 1])
    raise DataError(f"{table.place.of(index)}: {found}", path=table.place.path, line=int(table.place.numbers[index]))


def _open_ns(instants: IntArray, wanted: Mapping[str, str]) -> IntArray:
    return instants - (parse_timeframe(wanted["timeframe"]) if wanted["stamp"] == "close" else 0)


def _preview(table: RawTable, rows: IntArray, instants: IntArray, wanted: Mapping[str, str]) -> tuple[PreviewRow, ...]:
    first = rows[:_PREVIEW_ROWS]
    stamps = _open_ns(instants[:_PREVIEW_ROWS], wanted).tolist()
    values = {name: column[first].tolist() for name, column in table.columns.items()}
    return tuple(
        PreviewRow(
            line=int(table.place.numbers[row]), open_ns=stamps[i], open=values["open"][i], high=values["high"][i],
            low=values["low"][i], close=values["close"][i], volume=values["volume"][i],
        )
        for i, row in enumerate(first.tolist())
    )  # fmt: skip


def _build(table: RawTable, rows: IntArray, instants: IntArray, settled: Mapping[str, str]) -> BarSeries:
    timeframe_ns = parse_timeframe(settled["timeframe"])
    _refuse_bad_order(table, rows, instants, timeframe_ns)
    columns: list[FloatArray] = [np.ascontiguousarray(_of(rows, table.columns[name])) for name in (*PRICES, "volume")]
    stamps, *values = freeze(np.ascontiguousarray(_open_ns(instants, settled)), *columns)
    return BarSeries(settled["symbol"], timeframe_ns, stamps, *values, price_side=settled["price"])


def _build_side(table: RawTable, rows: IntArray, settled: Mapping[str, str]) -> BarSeries:
    quoted = _quoted(table, rows)
    _refuse_bad_bars(table, quoted)
    return _build(table, quoted, _instants(table, quoted, settled["zone"]), settled)


def _quoted(table: RawTable, rows: IntArray) -> IntArray:
    """The rows in which a side has any price at all; where it has some only, they are judged by name."""
    some = np.zeros(len(rows), np.bool_)
    for name in PRICES:
        some |= ~np.isnan(table.columns[name][rows])
    return rows[some]


def _without_sides(note: str, sides: Mapping[str, object]) -> str:
    """The sentence about ignored columns, without those of further sides, which are not."""
    if not note.startswith(_IGNORED):
        return note
    names = [name for name in note.removeprefix(_IGNORED).split(", ") if not name.lower().startswith(tuple(sides))]
    return f"{_IGNORED}{', '.join(names)}" if names else ""
