"""What a report is made of: a run's folder, read. One thread; nothing is written.

Tables are held by column: numbers as arrays, with NaN for what is absent, texts as lists. Instants are nanoseconds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.backtesting.metrics import lived_until
from src.backtesting.result import Outcome
from src.core.bars import FloatArray, IntArray
from src.core.errors import DataError

__all__ = ["Columns", "Protection", "RefusedIntent", "StoredRun", "read_columns", "read_json", "read_run"]

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """A stop and a target that a position had from an instant on; None for none."""

    instant_ns: int
    stop: float | None
    target: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedIntent:
    """One intent that was not carried out, and the code of what refused it."""

    instant_ns: int
    symbol: str
    book: str
    action: str
    side: str
    volume: float | None
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as its folder tells it.

    Attributes:
        metrics: the figures of `metrics.json`.
        trades, fills: by column, as in the files of that name.
        equity_ns, equity: shape (n,).
        protections: of each position, in order of time.
        refused: every refused intent, in order of time.
        limits: when a limit was hit, which, at which equity, and what followed.
        timing: `timing.json`; None without.
    """

    folder: Path
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]
    trades: Columns
    fills: Columns
    equity_ns: IntArray
    equity: FloatArray
    protections: Mapping[str, Sequence[Protection]]
    refused: Sequence[RefusedIntent]
    limits: Sequence[tuple[int, str, float, str]]
    timing: Mapping[str, Any] | None

    @property
    def trade_count(self) -> int:
        """How many trades were closed."""
        return len(self.trades["net"])

    @property
    def currency(self) -> str:
        """The account's currency."""
        return str(self.metrics["currency"])

    @property
    def start_ns(self) -> int:
        """The begin of the window."""
        return int(self.metrics["start_ns"])

    @property
    def end_ns(self) -> int:
        """The end of the window."""
        return int(self.metrics["end_ns"])

    @property
    def lived_until_ns(self) -> int:
        """The end of what was simulated: the window's end, or the last sample of a run that was cut short."""
        return lived_until(Outcome(self.metrics["outcome"]), self.end_ns, self.equity_ns)


def read_run(folder: Path) -> StoredRun:
    """Read a run's folder.

    Raises:
        DataError: a file is missing or not what it must be, or the run has no figures.
    """
    manifest, metrics = read_json(folder / "manifest.json"), read_json(folder / "metrics.json")
    if not isinstance(manifest, dict) or not isinstance(metrics, dict):
        raise DataError(
            f"{folder.name} has no figures, because its money did not add up; there is nothing to report",
            path=str(folder),
        )
    tables = {name: read_columns(folder / f"{name}.parquet") for name in ("trades", "fills", "equity")}
    journal = _journal(folder / "journal.parquet")
    protections = _protections(journal) or _decided_protections(journal, tables["trades"])
    return StoredRun(
        folder=folder, manifest=manifest, metrics=metrics, trades=tables["trades"], fills=tables["fills"],
        equity_ns=tables["equity"]["instant_ns"], equity=tables["equity"]["equity"],
        protections=protections, refused=_refused(journal), limits=_limits(journal),
        timing=_timing(folder / "timing.json"),
    )  # fmt: skip


def _timing(path: Path) -> Mapping[str, Any] | None:
    """What is known of real time. A damaged file costs nobody the report: nothing else of the run depends on it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_columns(path: Path) -> dict[str, Any]:
    """The columns of a Parquet file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        # Opened as a single file: a folder named like `key=value` on the way would otherwise become a column.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"expected a table of a run at {path}, found: {error}", path=str(path)) from None
    return {name: _values(table.column(name)) for name in table.column_names}


def _values(column: Any) -> Any:
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    if pa.types.is_boolean(column.type):
        return np.array(column.to_pylist(), dtype=np.bool_)
    if pa.types.is_integer(column.type) and not column.null_count:
        return np.asarray(column.to_numpy(), dtype=np.int64)
    return column.to_pylist()


def read_json(path: Path) -> Any:
    """The plain values of a file of a run.

    Raises:
        DataError: it is missing, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"expected {path.name} of a run in {path.parent}, found none", path=str(path)) from None
    except OSError as error:
        found = error.strerror or error
        raise DataError(f"expected {path.name} of a run in {path.parent}, found: {found}", path=str(path)) from None
    except ValueError as error:
        raise DataError(
            f"expected {path.name} of a run in {path.parent}, found a damaged one: {error}", path=str(path)
        ) from None


_Line = tuple[int, str, str, dict[str, Any]]


def _journal(path: Path) -> list[_Line]:
    """The records that a report shows one by one: instant, stream, kind, values by name."""
    table = read_columns(path)
    wanted = {"protect", "decision", "refusal", "limit"}
    return [
        (int(instant), stream, kind, json.loads(fields))
        for instant, stream, kind, fields in zip(
            table["instant_ns"], table["stream"], table["kind"], table["fields"], strict=True
        )
        if kind in wanted
    ]


def _protections(journal: Sequence[_Line]) -> dict[str, list[Protection]]:
    found: dict[str, list[Protection]] = {}
    for instant, _, kind, values in journal:
        if kind == "protect":
            one = Protection(instant_ns=instant, stop=_float(values["stop"]), target=_float(values["target"]))
            found.setdefault(str(values["position"]), []).append(one)
    return found


def _decided_protections(journal: Sequence[_Line], trades: Columns) -> dict[str, list[Protection]]:
    """Of a live run, whose venue keeps the stops: the first stop of each trade, and what was decided about it later."""
    places = zip(trades["trade_id"], trades["entry_ns"], trades["initial_stop"], strict=True)
    found = {
        str(identity): [Protection(instant_ns=int(entry), stop=_float(float(stop)), target=None)]
        for identity, entry, stop in places
    }
    for instant, _, kind, values in journal:
        if kind == "decision" and values["action"] == "protect" and values["verdict"] == "accepted":
            moves = found.setdefault(str(values["id"]), [])
            stop, target = _float(values["stop"]), _float(values["target"])
            if moves:  # what is not named stays as it was
                stop, target = (moves[-1].stop if stop is None else stop), target or moves[-1].target
            moves.append(Protection(instant_ns=instant, stop=stop, target=target))
    return found


def _refused(journal: Sequence[_Line]) -> list[RefusedIntent]:
    found = []
    for instant, stream, kind, values in journal:
        if kind == "refusal":
            code, more = str(values["code"]), {}
        elif kind == "decision" and values["verdict"] != "accepted":
            code, more = str(values["verdict"]), values
        else:
            continue
        one = RefusedIntent(
            instant_ns=instant, symbol=stream, book=str(values["book"]), code=code,
            action=str(more.get("action") or ""), side=str(more.get("side") or ""), volume=_float(more.get("volume")),
            reason=str(more.get("reason") or ""),
        )  # fmt: skip
        found.append(one)
    return found


def _limits(journal: Sequence[_Line]) -> list[tuple[int, str, float, str]]:
    return [
        (instant, str(values["limit"]), float(_float(values["equity"]) or 0.0), str(values["action"]))
        for instant, _, kind, values in journal
        if kind == "limit"
    ]


def _float(value: Any) -> float | None:
    if isinstance(value, dict):  # JSON has no infinities; the journal writes such a one as {"float": "inf"}
        value = float(value["float"])
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
