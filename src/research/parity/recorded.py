"""A run as it lies in its folder: the recording of a live or paper run, or the journal of a backtest.

Reads files and the store of market data; called by one thread.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.backtesting.artifacts.tables import read_journal
from src.backtesting.run import prepare
from src.brokers.simulated import Costs
from src.brokers.simulated.costs_section import costs_of
from src.core.bars import BarSeries
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError, DataError, LockstepError
from src.core.instrument import Instrument
from src.core.journal import JournalRecord
from src.core.trading_controller import MONITOR, worker_name
from src.live.config import LiveConfig
from src.live.recording import FILE, read_meta, read_story
from src.live.wire import from_plain
from src.research.parity.decisions import Decision, decisions_of
from src.research.parity.seen import Evidence, evidence_of_journal, evidence_of_recording, records_of_entries

__all__ = ["RecordedRun", "RunSide", "read_recorded", "read_side"]

#: After everything that happens.
NEVER_NS = (1 << 63) - 1
_JOURNAL = "journal.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSide:
    """One of two runs that are compared.

    Attributes:
        name: what it is called in a report.
        evidence: what it saw and was told.
        note: what is not known of it, a sentence; empty for nothing.
        first_ns, last_ns: it decided on bars that closed after the one, up to the other.
    """

    name: str
    decisions: Sequence[Decision]
    evidence: Evidence
    note: str = ""
    first_ns: int = 0
    last_ns: int = NEVER_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A recording that was read whole.

    Attributes:
        meta: what is known of the run as a whole.
        records: its journal.
        instruments: the rules that were in force, those of the venue.
        frames: the length of the base bars of each symbol, nanoseconds.
        sides: which price the bars of each symbol are made of.
    """

    folder: Path
    meta: Mapping[str, str]
    records: Sequence[JournalRecord]
    evidence: Evidence
    instruments: Mapping[str, Instrument]
    frames: Mapping[str, int] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)

    @property
    def decisions(self) -> list[Decision]:
        """What was decided, rounded by the instruments' rules."""
        return decisions_of(self.records, self.instruments)

    def side(self) -> RunSide:
        """The run as one of two."""
        last_ns = max((open_ns + length_ns for _, length_ns, open_ns in self.evidence.bars), default=NEVER_NS)
        return RunSide(
            name=self.folder.name, decisions=self.decisions, evidence=self.evidence,
            first_ns=self.evidence.began_ns, last_ns=last_ns,
        )  # fmt: skip

    def values(self) -> dict[str, Any]:
        """The configuration that the run was begun with, as plain values."""
        found: dict[str, Any] = json.loads(self.meta["configuration"])
        return found

    def config(self) -> LiveConfig:
        """The same as this version reads it.

        Raises:
            ConfigError: it cannot.
        """
        return ConfigDocument(self.values(), {}, f"the configuration of {self.folder.name}", self.folder).validate(
            LiveConfig
        )

    def costs(self) -> Costs:
        """The models of what trading costs.

        Raises:
            ConfigError: the configuration tells none.
            PreflightError: one of them has no number.
        """
        section = self.config().paper_costs
        if section is None:
            raise ConfigError(
                f"{self.folder.name}: expected paper.costs or backtest.costs in its configuration, found neither; "
                "without them no fill can be simulated"
            )
        return costs_of(section)


def read_recorded(folder: Path) -> RecordedRun:
    """The recording in a folder.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    path = folder / FILE
    meta = read_meta(path)
    records = records_of_entries(read_story(path, kinds=("outcome",)))
    keys = json.loads(meta.get("series", "[]"))
    frames: dict[str, int] = {}
    for symbol, length_ns, _ in keys:
        frames[symbol] = min(length_ns, frames.get(symbol, length_ns))
    rules = [from_plain(Instrument, each) for each in json.loads(meta.get("instruments", "[]"))]
    return RecordedRun(
        folder=folder, meta=meta, records=records, evidence=evidence_of_recording(read_story(path), records),
        instruments={each.symbol: each for each in rules}, frames=frames,
        sides={symbol: side for symbol, _, side in keys},
    )  # fmt: skip


def read_side(folder: Path, like: RecordedRun) -> RunSide:
    """Another run to hold a recorded one against: a recording, or a backtest of the same configuration.

    Args:
        like: by whose rules prices and volumes are rounded, and where whose configuration lay the data are sought.

    Raises:
        DataError: the folder holds neither.
    """
    if (folder / FILE).is_file():
        return read_recorded(folder).side()
    if not (folder / _JOURNAL).is_file():
        raise DataError(f"expected {FILE} or {_JOURNAL} in {folder}, found neither", path=str(folder))
    records = read_journal(folder / _JOURNAL)
    series, note = _series_of(folder, like)
    window = _manifest(folder).get("window", {})
    order = (MONITOR, *(worker_name(symbol) for symbol in like.frames))
    return RunSide(
        name=folder.name, decisions=decisions_of(records, like.instruments),
        evidence=evidence_of_journal(records, series, order), note=note, first_ns=window.get("start_ns", 0),
        last_ns=window.get("end_ns", NEVER_NS),
    )  # fmt: skip


def _series_of(folder: Path, like: RecordedRun) -> tuple[list[BarSeries], str]:
    """The bars of a backtest, as its configuration finds them; with a sentence when they are not found."""
    try:
        values = dict(_manifest(folder)["configuration"])
        place = Path(like.meta.get("folder", "."))
        market = prepare(ConfigDocument(values, {}, folder.name, place), stored=False).market
    except (OSError, KeyError, TypeError, LockstepError) as error:
        text = error.message if isinstance(error, LockstepError) else repr(error)
        return [], f"the bars of {folder.name} are not there, so that none can be compared: {text}"
    return [*market.base.values(), *market.derived.values()], ""


def _manifest(folder: Path) -> dict[str, Any]:
    """What a stored run says of itself.

    Raises:
        DataError: it says nothing that can be read.
    """
    try:
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"expected a manifest in {folder}, found none that can be read ({error})") from None
    return found
