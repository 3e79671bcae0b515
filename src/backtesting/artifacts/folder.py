"""The folder of a run: written beside its place, published by one rename, under the lock of its run id.

Called by one thread of a process, by any number of processes at once. A kill at any moment leaves either no `runs/<id>`
or a whole one; what it leaves besides is a folder in `.tmp`, which the next write removes. Nothing here reads a
clock: how long a run took arrives as a value.
"""

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.backtesting.artifacts import tables
from src.backtesting.artifacts.trial_ledger import NOT_RECORDED, ledger_note, record_trial
from src.backtesting.artifacts.workshop import FREE, Workshop, ensure_writable
from src.backtesting.metrics import Metrics, compute_metrics
from src.backtesting.reconcile import Replay, check_money
from src.backtesting.report import write_report
from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import BarSeries
from src.core.errors import DataError, DeterminismError, InternalError, LockstepError

__all__ = ["ensure_writable", "manifest_of", "write_beside", "write_free_run", "write_run"]


def manifest_of(result: BacktestResult, run_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest: what the caller knows of the inputs, and what the result says of itself; no real time in it.

    Args:
        given: `configuration`, `inputs` (as hashed), `versions`, `seed`, `policy`, `data_sources`, `synthetic` (truth
            value) and whatever else belongs to the run, as plain values. What the result knows better replaces it.
    """
    error = result.error
    return {
        "synthetic": False,
        **given,
        "run_id": run_id,
        "digest": result.digest,
        "outcome": result.outcome.value,
        "error": None if error is None else {"type": type(error).__name__, "message": error.message},
        "failures": dict(result.failures),
        "refusals": dict(result.refusals),
        "fidelity": dict(result.fidelity),
        "profit": _profit(result),
        "window": {"start_ns": result.start_ns, "end_ns": result.end_ns},
        "currency": result.currency,
        "initial_balance": result.initial_balance,
        "bars": result.bars,
        "steps": result.steps,
        "turns": result.turns,
        "symbols": [dataclasses.asdict(summary) for summary in result.symbols],
    }


def _profit(result: BacktestResult) -> dict[str, Any]:
    """What the closed trades brought, and between which values it lies on all paths inside the bars."""
    worst, best = result.profit_interval
    net = math.fsum([trade.net for trade in result.trades])
    return {"net": net, "worst": worst, "best": best, "ambiguous_trades": len(result.ambiguous_trades)}


def write_run(
    result: BacktestResult,
    *,
    run_id: str,
    manifest: Mapping[str, Any],
    runs_dir: Path,
    price_series: Mapping[str, BarSeries] | None = None,
    report: bool = True,
    control: Sequence[Mapping[str, Any]] = (),
    timing: Mapping[str, Any] | None = None,
    renew_timing: bool = False,
    metrics: Metrics | None = None,
    log: str = "",
    hashes: dict[str, str] | None = None,
    replay: Replay | None = None,
) -> Path:
    """Store a run and return its folder.

    A COMPLETED run becomes `<run_id>`. Where that exists with the same digest, the stored run stays and its folder is
    returned. Every other outcome becomes `<run_id>.<outcome>-<n>`, with a number above all that are there.

    Args:
        manifest: see `manifest_of`.
        price_series: bars by symbol for the report; without them it shows no prices.
        control: what happened outside the digest (pause, pace, turn order), one JSON object each; replaces that of
            the same run stored before, unless it is empty.
        timing: real durations in addition to `seconds`, `bars_per_s` and `platform`; never hashed.
        renew_timing: whether the `timing.json` of a run that is stored already is replaced by this one.
        metrics: the result's figures, computed when not given; where money does not add up and they cannot be
            computed, `metrics.json` holds null and there is no report.
        log: the text of `run.log`.
        hashes: is given the SHA-256 of each file whose bytes are a function of the run, by name.
        replay: of the result's fills, where it is known already.

    Raises:
        DeterminismError: `<run_id>` holds another digest; the new run is kept as `<run_id>.determinism-<n>`.
        DataError: `<run_id>` cannot be read; the new run is kept as `<run_id>.duplicate-<n>`.
        InternalError: the money of a finished run does not add up; it is kept as `<run_id>.failed-<n>`.
        ConfigError: the folder cannot be written.
    """
    result, broken = _checked(result, replay)
    with Workshop(runs_dir, run_id) as shop:
        place = runs_dir / run_id
        mismatch: LockstepError | None = broken
        name = run_id
        if result.outcome is not Outcome.COMPLETED:
            name = shop.next_name(result.outcome.value.lower())
        elif place.exists():
            mismatch, suffix = _compare(place, run_id, result)
            if mismatch is None:
                if renew_timing:
                    _replace_json(place / "timing.json", _timing(result, timing or {}))
                _control_again(place, control, metrics or _figures(result), manifest_of(result, run_id, manifest))
                if hashes is not None:
                    hashes.update(_hashes_of(place))
                return place
            name = shop.next_name(suffix)
        stored = _Stored(manifest_of(result, run_id, manifest), price_series, report, control, timing, metrics, log)
        folder = shop.temporary()
        written = stored.write(result, folder, runs_dir)
        published = shop.publish(folder, name)
    if hashes is not None:
        hashes.update(written)
    if mismatch is not None:
        mismatch.details["folder"] = str(published)
        raise mismatch
    return published


def write_free_run(
    result: BacktestResult,
    *,
    manifest: Mapping[str, Any],
    runs_dir: Path,
    price_series: Mapping[str, BarSeries] | None = None,
    report: bool = True,
    control: Sequence[Mapping[str, Any]] = (),
    timing: Mapping[str, Any] | None = None,
    metrics: Metrics | None = None,
    log: str = "",
    hashes: dict[str, str] | None = None,
    replay: Replay | None = None,
) -> tuple[str, Path]:
    """Store a run that is not deterministic; returns what it is called, and its folder.

    It is called `free-<n>`, with a number above all that are there, and compared with nothing. A COMPLETED run becomes
    the folder of that name, every other outcome `free-<n>.<outcome>-1`. The arguments are those of `write_run`.

    Raises:
        InternalError: the money of a finished run does not add up; it is kept as `free-<n>.failed-1`.
        ConfigError: the folder cannot be written.
    """
    result, broken = _checked(result, replay)
    with Workshop(runs_dir, FREE) as shop:
        run_id = shop.next_free()
        completed = result.outcome is Outcome.COMPLETED
        stored = _Stored(manifest_of(result, run_id, manifest), price_series, report, control, timing, metrics, log)
        folder = shop.temporary()
        written = stored.write(result, folder, runs_dir)
        published = shop.publish(folder, run_id if completed else f"{run_id}.{result.outcome.value.lower()}-1")
    if hashes is not None:
        hashes.update(written)
    if broken is not None:
        broken.details["folder"] = str(published)
        raise broken
    return run_id, published


def write_beside(
    result: BacktestResult, *, run_id: str, manifest: Mapping[str, Any], folder: Path,
    price_series: Mapping[str, BarSeries] | None = None,
) -> None:  # fmt: skip
    """Write tables, manifest, metrics and report of a run into a folder that has its own files; each in one step.

    For a run whose folder is there already, because it was written while the run went on. The arguments are those of
    `write_run`.
    """
    full = manifest_of(result, run_id, manifest)
    figures = _figures(result)
    for name, table in _tables_of(result).items():
        beside = folder / f".{name}.tmp"
        tables.write_table(table, beside)
        beside.replace(folder / f"{name}.parquet")
    _replace_json(folder / "manifest.json", full)
    _replace_json(folder / "metrics.json", figures and figures.as_dict())
    if figures:
        beside = folder / ".report.tmp"
        write_report(beside, folder, price_series)
        beside.replace(folder / "report.html")


@dataclasses.dataclass(frozen=True, slots=True)
class _Stored:
    """What a folder is made of besides the result; see `write_run`."""

    manifest: Mapping[str, Any]
    price_series: Mapping[str, BarSeries] | None
    report: bool
    control: Sequence[Mapping[str, Any]]
    timing: Mapping[str, Any] | None
    metrics: Metrics | None
    log: str

    def write(self, result: BacktestResult, folder: Path, runs_dir: Path) -> dict[str, str]:
        """Write all files of a run and its line of the ledger; the SHA-256 of what is a function of it, by name."""
        figures = _figures(result) if self.metrics is None else self.metrics
        hashes = _write_tables(result, folder)
        for name, value in (("manifest.json", self.manifest), ("metrics.json", figures and figures.as_dict())):
            hashes[name] = hashlib.sha256(_write_json(folder / name, value)).hexdigest()
        _write_json(folder / "timing.json", _timing(result, self.timing or {}))
        control = (*self.control, *record_trial(runs_dir, self.manifest, figures))
        _write_text(folder / "control.jsonl", _json_lines(control))
        _write_text(folder / "run.log", self.log)
        if self.report and figures:
            write_report(folder / "report.html", folder, self.price_series)
        return hashes


def _checked(result: BacktestResult, replay: Replay | None) -> tuple[BacktestResult, InternalError | None]:
    """The result, FAILED when its money does not add up, and the error to raise once it is stored."""
    try:
        check_money(result, replay)
    except InternalError as error:
        if result.error is not None:
            return result, None  # the first failure is the one to report
        return dataclasses.replace(result, outcome=Outcome.FAILED, error=error), error
    return result, None


def _figures(result: BacktestResult) -> Metrics | None:
    try:
        return compute_metrics(result)
    except InternalError:
        return None  # fills that close more than was held: `check_money` has said so, and the rest is worth keeping


def _control_again(
    place: Path, control: Sequence[Mapping[str, Any]], figures: Metrics | None, manifest: Mapping[str, Any]
) -> None:  # fmt: skip
    """Put this run's control records in the place of those of the stored one, unless there are none.

    A run that is missing in the ledger is recorded now, or says so again.
    """
    kept = list(control)
    if ledger_note(place):
        if not kept:
            entries = map(json.loads, (place / "control.jsonl").read_text(encoding="utf-8").splitlines())
            kept = [entry for entry in entries if entry.get("action") != NOT_RECORDED]
        kept += record_trial(place.parent, manifest, figures, again=True)
    elif not kept:
        return
    _replace_text(place / "control.jsonl", _json_lines(kept))


def _compare(place: Path, run_id: str, result: BacktestResult) -> tuple[LockstepError | None, str]:
    """What is wrong between a stored run and a new one of the same id, and what to call the new one's folder."""
    try:
        stored = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"expected a finished run with its digest in {place}, found no readable manifest ({error!r}); "
            "move that folder away: the new run was kept beside it"
        )
        return DataError(message, run_id=run_id), "duplicate"
    if stored == result.digest:
        return None, ""
    message = (
        f"run {run_id} has the digest {stored} on disk and {result.digest} now: the same inputs gave another outcome; "
        f"{_first_difference(place, result)}"
    )
    return DeterminismError(message, run_id=run_id, stored=stored, found=result.digest), "determinism"


def _first_difference(place: Path, result: BacktestResult) -> str:
    try:
        before = tables.journal_rows(tables.read_journal(place / "journal.parquet"))
    except DataError:
        return "the stored journal cannot be read"
    now = tables.journal_rows(result.records)
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return f"the first differing journal record is number {number}: stored {_shown(old)}, now {_shown(new)}"
    if len(before) == len(now):
        return "all journal records are equal, so the digests were made in different ways"
    number = min(len(before), len(now))
    if number < len(now):
        return f"the first differing journal record is number {number}: stored none, now {_shown(now[number])}"
    return f"the first differing journal record is number {number}: stored {_shown(before[number])}, now none"


def _shown(row: tuple[int, str, str, str, str]) -> str:
    instant_ns, stream, kind, participant, fields = row
    return f"[{instant_ns} {stream} {kind} by {participant or 'nobody'}: {fields}]"


def _write_tables(result: BacktestResult, folder: Path) -> dict[str, str]:
    """The SHA-256 of each file by its name."""
    made = _tables_of(result)
    files = {name: f"{name}.parquet" for name in tables.TABLES}
    return {file: tables.write_table(made[name], folder / file) for name, file in files.items()}


def _tables_of(result: BacktestResult) -> dict[str, Any]:
    return {
        "journal": tables.journal_table(result.records),
        "orders": tables.orders_table(result.orders),
        "fills": tables.fills_table(result.fills),
        "trades": tables.trades_table(result.trades),
        "equity": tables.equity_table(result.equity_ns, result.equity),
    }


def _hashes_of(place: Path) -> dict[str, str]:
    """The hashes of the files of a stored run as they lie there."""
    names = [*(f"{name}.parquet" for name in tables.TABLES), "manifest.json", "metrics.json"]
    there = [path for path in (place / name for name in names) if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there}


def _timing(result: BacktestResult, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seconds": result.seconds,
        "bars_per_s": result.bars / result.seconds if result.seconds > 0 else None,
        "platform": platform.platform(),
        **given,
    }


def _replace_json(path: Path, value: Any) -> None:
    _replace_text(path, _json_text(value))


def _replace_text(path: Path, text: str) -> None:
    """Write a file of a published folder anew, in one step; under the lock of its run."""
    beside = path.with_name(f".{path.name}.tmp")
    _write_text(beside, text)
    beside.replace(path)


def _write_json(path: Path, value: Any) -> bytes:
    return _write_text(path, _json_text(value))


def _json_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _json_lines(entries: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(entry, sort_keys=True, ensure_ascii=False) + "\n" for entry in entries)


def _write_text(path: Path, text: str) -> bytes:
    # What a strategy raised may hold anything, half of a surrogate pair too.
    content = text.encode("utf-8", errors="backslashreplace")
    path.write_bytes(content)
    return content
