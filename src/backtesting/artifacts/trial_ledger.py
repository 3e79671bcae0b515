"""The trial ledger: one line for every run that somebody may judge, so that it stays known how often one has tried.

The best of many attempts looks good by chance alone; what that is worth can only be told by who knows the number of
attempts. A line is appended before the folder of its run is published, by one write and one fsync, by any number of
processes at once; a line that was cut off is skipped when the ledger is read. Nothing here reads a clock. What is known
of a trial is a function of the run; the order of the lines is not, and nothing may depend on it.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from src.backtesting.identity import canonical_json
from src.backtesting.metrics import Metrics
from src.backtesting.result import Outcome
from src.core.errors import DataError
from src.core.record import record
from src.data.synthetic import SOURCE_PREFIX

__all__ = [
    "LEDGER", "NOT_RECORDED", "Trial", "configuration_hash", "daily_sharpe", "ledger_note", "read_trials",
    "record_trial", "series_read",
]  # fmt: skip

#: The ledger's name inside a folder for runs.
LEDGER = "trials.jsonl"
#: What the control record of a run is called whose trial could not be recorded.
NOT_RECORDED = "trial_not_recorded"

# Of a run's inputs, what does not make it another attempt: the same idea on mended data is still the same idea.
_NO_OTHER_TRIAL = ("code", "data_fingerprint", "versions")

_ENDED = (Outcome.COMPLETED.value, Outcome.DEGRADED.value)


@record
class Trial:
    """One attempt, as the ledger has it.

    Attributes:
        configuration_hash: of all that was chosen: configuration, seed, schedule, window, strategy files, symbols
            that joined or left. Neither Lockstep's own source, nor versions, nor the data count.
        series: the symbols that were read, each with its source.
        start_ns, end_ns: the window.
        sharpe: of the daily returns, not annualised; None where undefined, or where the run was cut short.
        days: how many daily returns there are.
        skew, kurtosis: of the daily returns.
    """

    run_id: str
    configuration_hash: str
    series: tuple[tuple[str, str], ...]
    start_ns: int
    end_ns: int
    sharpe: float | None
    days: int
    skew: float | None
    kurtosis: float | None


def configuration_hash(inputs: Mapping[str, Any]) -> str:
    """SHA-256, 64 hexadecimal characters, of a run's inputs without code, versions and data; see `identity_inputs`."""
    chosen = {name: value for name, value in inputs.items() if name not in _NO_OTHER_TRIAL}
    return hashlib.sha256(canonical_json(chosen).encode("ascii")).hexdigest()


def series_read(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The symbols that a run read, in the order of their names, each with its source.

    A synthetic market goes by its seed alone: one that lasts longer begins with the same bars.
    """
    sources = ((str(symbol), str(source)) for symbol, source in manifest.get("data_sources", {}).items())
    return tuple(sorted((symbol, _without_hash(source)) for symbol, source in sources))


def _without_hash(source: str) -> str:
    return " ".join(source.split()[:3]) if source.startswith(SOURCE_PREFIX) else source


def daily_sharpe(sharpe: float | None, days_per_year: float) -> float | None:
    """The Sharpe ratio of the daily returns themselves."""
    return None if sharpe is None or days_per_year <= 0 else sharpe / math.sqrt(days_per_year)


def record_trial(
    runs_dir: Path, manifest: Mapping[str, Any], metrics: Metrics | None, *, again: bool = False
) -> tuple[dict[str, Any], ...]:
    """Append a run that is about to be published to the ledger of its folder for runs.

    A trial is every run that got to its end and has figures, a free one too: somebody may have looked at them. So may
    they at one that failed or was stopped after it had traded; it counts, without figures, because what was cut short
    is compared with nothing. A run that is stored already has its line, and one whose manifest has no `inputs` could
    not be told from others. A ledger that cannot be written costs nobody a run.

    Args:
        manifest: as it is stored, see `manifest_of`.
        again: the run is stored already and has no line.

    Returns:
        Control records for the run: one with a sentence where it should have been recorded and could not, else none.
    """
    inputs = manifest.get("inputs")
    if metrics is None or not isinstance(inputs, Mapping):
        return ()
    ended = manifest["outcome"] in _ENDED
    if not ended and not metrics.fills:
        return ()
    if not again and (runs_dir / manifest["run_id"]).exists():
        return ()
    path = runs_dir / LEDGER
    try:
        _append(path, _line(inputs, manifest, metrics, ended=ended))
    except OSError as error:
        sentence = (
            f"this run is missing in the trial ledger {path}, which could not be written "
            f"({error.strerror or error}): from now on the number of trials there is too low; make the file writable "
            "and run it again"
        )
        return ({"instant_ns": metrics.start_ns, "action": NOT_RECORDED, "sentence": sentence},)
    return ()


def ledger_note(folder: Path) -> str:
    """The sentence in the folder of a run that was not recorded; empty where all is well."""
    try:
        lines = (folder / "control.jsonl").read_text(encoding="utf-8").splitlines()
        found = [entry for entry in map(json.loads, lines) if entry.get("action") == NOT_RECORDED]
    except (OSError, ValueError, AttributeError):
        return ""
    return str(found[0].get("sentence", "")) if found else ""


def read_trials(path: Path) -> Iterator[Trial]:
    """The trials of a ledger, in the order of its lines; none where there is no ledger.

    A line that was cut off, or is none of a trial, is skipped.

    Raises:
        DataError: the file is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                trial = _parsed(line)
                if trial is not None:
                    yield trial
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(
            f"expected a trial ledger that can be read at {path}, found: {error.strerror or error}; without it nobody "
            "knows how many trials there were",
            path=str(path),
        ) from None


def _line(inputs: Mapping[str, Any], manifest: Mapping[str, Any], metrics: Metrics, *, ended: bool) -> bytes:
    shape = (daily_sharpe(metrics.sharpe, metrics.days_per_year), metrics.skew, metrics.kurtosis)
    sharpe, skew, kurtosis = (_finite(value) if ended else None for value in shape)
    entry = {
        "run_id": manifest["run_id"],
        "configuration_hash": configuration_hash(inputs),
        "user_files": inputs.get("user_files", {}),
        "data_fingerprint": inputs.get("data_fingerprint"),
        "series": series_read(manifest),
        "start_ns": metrics.start_ns,
        "end_ns": metrics.end_ns,
        "sharpe": sharpe,
        "days": metrics.days,
        "skew": skew,
        "kurtosis": kurtosis,
    }
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _append(path: Path, line: bytes) -> None:
    # One write at the end of the file, wherever that is by then: lines of several processes do not mix. It is on the
    # disk before the run's folder gets its name, because a run that is stored is never recorded again.
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        if size:
            os.lseek(handle, size - 1, os.SEEK_SET)
            # A line that was cut off stays alone in its line; one that somebody is just writing gets a blank one after.
            if os.read(handle, 1) != b"\n":
                line = b"\n" + line
        written = os.write(handle, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes could be written")
        os.fsync(handle)
    finally:
        os.close(handle)


def _parsed(line: bytes) -> Trial | None:
    try:
        entry = json.loads(line)
        return Trial(
            run_id=str(entry["run_id"]),
            configuration_hash=str(entry["configuration_hash"]),
            series=tuple((str(symbol), str(source)) for symbol, source in entry["series"]),
            start_ns=int(entry["start_ns"]),
            end_ns=int(entry["end_ns"]),
            sharpe=_number(entry["sharpe"]),
            days=int(entry["days"]),
            skew=_number(entry["skew"]),
            kurtosis=_number(entry["kurtosis"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
