"""Importing a file of quotes or trades: what is asked, and how it is stored, row for row.

Runs in the thread of the caller; reads no clock.
"""

from dataclasses import fields
from pathlib import Path

from src.data.import_plan import ImportAnswers, ImportPlan, ImportReport, Question, default_source, guess_symbol
from src.data.instruments import KINDS, decimals_of, defaults_for, guess_kind
from src.data.stamps import to_utc
from src.data.store import HistoricalDataStore
from src.data.tape_files import RawTicks, refuse_disorder
from src.data.tapes import QuoteTape, TradeTape

__all__ = ["import_ticks", "inspect_ticks"]

_OF_BARS = ("timeframe", "stamp", "price")


def inspect_ticks(path: Path, ticks: RawTicks, answers: ImportAnswers) -> ImportPlan:
    """What is understood of a file of ticks and what must be asked: the symbol, its kind, the zone of the stamps.

    Raises:
        DataError: a row lies before the one in front of it, or has a local time that does not exist.
    """
    guessed = guess_symbol(path)
    kind = answers.kind or guess_kind(answers.symbol or guessed or "")
    zone = "America/New_York" if ticks.layout == "histdata" else "UTC"
    known = {
        "symbol": answers.symbol, "kind": answers.kind, "zone": "UTC" if ticks.stamps.is_utc else answers.zone,
    }  # fmt: skip
    asked = {
        "symbol": Question(key="symbol", sentence="the name under which the ticks are stored", default=guessed),
        "kind": Question(
            key="kind", sentence="the class of instrument: fx, crypto or equity", choices=KINDS, default=kind
        ),
        "zone": Question(key="zone", sentence="the zone of the stamps, which carry no offset", default=zone),
    }
    settled = {"source": answers.source or default_source(ticks.layout, path)}
    settled |= {key: value for key, value in known.items() if value is not None}
    questions = tuple(question for key, question in asked.items() if key not in settled)
    notes = [*ticks.notes]
    for field in fields(answers):
        if field.name in _OF_BARS and getattr(answers, field.name) is not None:
            notes.append(f"--{field.name} is not needed: these are {ticks.kind}, not bars")
    return ImportPlan(
        path=path, layout=ticks.layout, answers=answers, settled=settled, questions=questions, notes=tuple(notes),
        preview=(), rows=len(ticks.stamps.ns), series=None, tape=None if questions else _tape(ticks, settled),
        holds=ticks.kind,
    )  # fmt: skip


def import_ticks(plan: ImportPlan, tape: QuoteTape | TradeTape, store: HistoricalDataStore) -> ImportReport:
    """Store the tape and a line of the import log, together or not at all.

    Instrument defaults are written only where there are none: those of bars, or of an exchange, know more.

    Raises:
        DataError: the events do not fit what is stored.
    """
    symbol, kind, source = tape.symbol, plan.settled["kind"], plan.settled["source"]
    prices = (tape.bid, tape.ask) if isinstance(tape, QuoteTape) else (tape.price,)
    with store.transaction():
        if isinstance(tape, QuoteTape):
            written = store.write_quotes(tape, source=source)
        else:
            written = store.write_trades(tape, source=source)
        instrument = store.read_instrument(symbol)
        if instrument is None:
            instrument = defaults_for(kind, symbol, decimals=decimals_of(*prices))
            store.write_instrument(symbol, kind, instrument)
        store.log_import(
            symbol, 0,
            {"file": plan.path.name, "layout": plan.holds, "rows": len(tape), "written": written, **plan.settled},
        )  # fmt: skip
    return ImportReport(
        symbol=symbol, timeframe_ns=0, price_side="", source=source, kind=kind, rows=len(tape), written=written,
        first_ns=int(tape.ts_ns[0]), last_ns=int(tape.ts_ns[-1]), instrument=instrument, notes=plan.notes,
        holds=plan.holds,
    )  # fmt: skip


def _tape(ticks: RawTicks, settled: dict[str, str]) -> QuoteTape | TradeTape:
    ts_ns = ticks.stamps.ns
    if not ticks.stamps.is_utc:
        ts_ns = to_utc(ts_ns, settled["zone"], ticks.place)
    refuse_disorder(ts_ns, ticks.place)
    made: type[QuoteTape] | type[TradeTape] = QuoteTape if ticks.kind == "quotes" else TradeTape
    return made(symbol=settled["symbol"], ts_ns=ts_ns, **ticks.columns)
