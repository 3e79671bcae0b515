"""The records of an import: what the user answered, what is asked, what would be stored, what was stored.

Pure; any thread.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.program import program
from src.data.tapes import QuoteTape, TradeTape

__all__ = ["ImportAnswers", "ImportPlan", "ImportReport", "PreviewRow", "Question", "default_source",
           "guess_symbol"]  # fmt: skip


_PLAIN_LAYOUTS = ("csv", "parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAnswers:
    """What a file cannot say itself; None is not answered. The order is the order of questions and of the command.

    Attributes:
        symbol: the name under which the bars are stored; of a file with several symbols, the one to take.
        kind: fx, crypto or equity.
        timeframe: such as `1m`; by default the commonest step of the file.
        zone: IANA name or offset of stamps that carry none.
        stamp: whether stamps are the `open` or the `close` of their bars.
        price: bid, ask, mid or trade.
        source: name of the origin; by default that of `default_source`. A series never mixes two.
    """

    symbol: str | None = None
    kind: str | None = None
    timeframe: str | None = None
    zone: str | None = None
    stamp: str | None = None
    price: str | None = None
    source: str | None = None

    def having(self, more: Mapping[str, str]) -> "ImportAnswers":
        """These answers and `more`, by the keys of the questions."""
        return replace(self, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something the user must say.

    Attributes:
        key: the field of `ImportAnswers`, and the name of the option.
        sentence: what is asked and why.
        choices: the possible answers; empty when any text will do.
        default: a suggestion, never taken unasked.
    """

    key: str
    sentence: str
    choices: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    """A row as understood; with open questions, as their suggestions would have it."""

    line: int
    open_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What would be stored.

    Attributes:
        layout: the recognised layout of the file.
        answers: the given ones.
        settled: the answers in force, given or read from the file; without those still asked for.
        questions: what is open; a plan with questions cannot be run.
        notes: sentences about what was left out or assumed.
        preview: the first rows as understood.
        rows: rows of the file that belong to the symbol.
        series: the bars; None while questions are open, and for a file of ticks.
        sides: bars of further price sides that the file holds beside them.
        tape: the quotes or trades of a file of ticks; None while questions are open, and for a file of bars.
        holds: what the rows are: bars, quotes or trades.
        store: the file to import into, where the command must name it; None for the usual one.
    """

    path: Path
    layout: str
    answers: ImportAnswers
    settled: dict[str, str]
    questions: tuple[Question, ...]
    notes: tuple[str, ...]
    preview: tuple[PreviewRow, ...]
    rows: int
    series: BarSeries | None
    sides: tuple[BarSeries, ...] = ()
    tape: QuoteTape | TradeTape | None = None
    holds: str = "bars"
    store: Path | None = None

    @property
    def command(self) -> str:
        """The whole command, with suggestions where questions are open, and `?` where nothing suggests an answer."""
        words = [shlex.quote(str(self.path))]
        words += [f"--{key} {shlex.quote(value)}" for key, value in self._given_or_suggested().items()]
        if self.store is not None:
            words.append(f"--store {shlex.quote(str(self.store))}")
        return f"{program()} data import {' '.join(words)}"

    def _given_or_suggested(self) -> dict[str, str]:
        suggested = {question.key: question.default or "?" for question in self.questions}
        found = {field.name: getattr(self.answers, field.name) or suggested.get(field.name) for field in
                 fields(self.answers)}  # fmt: skip
        return {key: value for key, value in found.items() if value is not None}

    def refuse_questions(self, source: str | None = None) -> None:
        """Refuse a plan that cannot be run.

        Args:
            source: such as `csv:prices.csv`, where the file is one to sync or heal from and not to import.

        Raises:
            ConfigError: questions are open; all of them are listed with the words that answer them.
        """
        if not self.questions:
            return
        keys = [one.key for one in self.questions]
        lead = "--" if source is None else ""
        asked = "\n  ".join(f"{lead}{question.key}: {question.sentence}" for question in self.questions)
        if source is None:
            raise ConfigError(
                f"{self.path} does not say everything; please add\n  {asked}\n"
                f"The whole command, to be checked before it is pasted:\n  {self.command}",
                path=str(self.path), command=self.command, questions=keys,
            )  # fmt: skip
        options = " ".join(
            f"--source-option {shlex.quote(f'{key}={value}')}" for key, value in self._given_or_suggested().items()
        )
        raise ConfigError(
            f"{source} does not say everything; please say\n  {asked}\n"
            f"Add to the command, once checked (`sync_options` in a configuration):\n  {options}",
            path=str(self.path), options=options, questions=keys,
        )  # fmt: skip

    def require_complete(self, source: str | None = None) -> BarSeries:
        """The bars.

        Args:
            source: as in `refuse_questions`.

        Raises:
            ConfigError: questions are open, or the file holds ticks.
        """
        self.refuse_questions(source)
        if self.series is None:
            raise ConfigError(
                f"{self.path} holds {self.holds}; expected bars. Store them with `{program()} data import`",
                path=str(self.path),
            )
        return self.series


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What was stored.

    Attributes:
        timeframe_ns: 0 for ticks.
        price_side: empty for ticks.
        rows: bars or events in the file.
        written: those that are new in the store; the others were there already.
        first_ns, last_ns: open of the first and the last bar, stamp of the first and the last event.
        instrument: the instrument defaults of the symbol.
        holds: what was stored: bars, quotes or trades.
        sides: the price sides of further bars that were stored, each a series of its own.
    """

    symbol: str
    timeframe_ns: int
    price_side: str
    source: str
    kind: str
    rows: int
    written: int
    first_ns: int
    last_ns: int
    instrument: dict[str, Any]
    notes: tuple[str, ...]
    holds: str = "bars"
    sides: tuple[str, ...] = ()


def default_source(layout: str, path: Path) -> str:
    """What the origin of a file is called unless somebody says.

    A layout that belongs to one vendor tells the origin. Of a plain CSV or Parquet file only its name can: its words
    without those that hold a digit, so that `bars_2024-01.csv` and `bars_2024-02.csv` are of one origin; if there are
    none, the words of its folder's name.
    """
    if layout not in _PLAIN_LAYOUTS:
        return layout
    names = (path.stem, path.resolve().parent.name)
    found = ("_".join(re.findall(r"(?<![^\W_])[^\W\d_]+(?![^\W_])", name)) for name in names)
    return next((one for one in found if one), layout)


def guess_symbol(path: Path) -> str | None:
    """The longest run of five or more capitals in the file's name, or its first word: a suggestion only."""
    runs = re.findall(r"[A-Z]{5,12}", path.stem.replace("ASCII", " "))
    if runs:
        return str(max(runs, key=len))
    words = re.findall(r"[A-Za-z]{1,12}", path.stem)
    return words[0].upper() if words else None
