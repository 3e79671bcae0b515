"""What a validation has left, as plain values for its page: verdicts, windows of survivors, figures of all together.

Read from the folder of the validation and from the database of verdicts beside it. Nothing is written and no clock is
read. Called by one thread; of thousands of candidates no more is kept than the page shows.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from src.core.errors import DataError
from src.core.program import program
from src.core.record import record
from src.research.validation.family import Family, stored_family
from src.research.validation.outcome import STATISTICS
from src.research.validation.ports import Status
from src.research.validation.reoptimise_files import EQUITY_FILE, WINDOWS_FILE
from src.research.validation.reoptimised import FAMILY
from src.research.validation.setup import DATABASE
from src.research.validation.verdict_store import read_verdicts

__all__ = ["Judged", "StoredValidation", "Together", "read_stored"]

#: What stands beside the phases in the figures of a verdict.
_NO_PHASE = frozenset({"p_value", "sharpe_ratios", "planted"})


@record
class Judged:
    """One candidate with its verdict.

    Attributes:
        phase: the one that decided; empty of a PASS.
        reason: without the name of the phase.
        p_value: as it entered the family, 1 of one that failed a phase; None without a cut-off.
        trades, mean_r, total_r: inside the period.
        test_trades, test_mean_r, efficiency, valid, positive: of its counted test windows.
        sharpe: of a survivor, see `survivors.sharpes_of`; empty of others.
        planted: None where nobody can know.
    """

    candidate_id: str
    number: int
    status: str
    phase: str
    reason: str
    p_value: float | None
    adjusted: float | None
    labels: dict[str, Any]
    given: dict[str, Any]
    trades: int | None
    mean_r: float | None
    total_r: float | None
    test_trades: int | None
    test_mean_r: float | None
    efficiency: float | None
    valid: int | None
    positive: int | None
    sharpe: dict[str, Any]
    planted: bool | None


@record
class Together:
    """What was found out of all candidates together; None where it is not defined, or nobody asked.

    Attributes:
        stored: whether the file was there; a validation of an older version has none.
        overfitting: see `overfitting.Overfitting`; `ways` of it see `overfitting.Ways`.
        daylight: by candidate.
        reoptimised: see `reoptimised.about_reoptimised`.
    """

    stored: bool
    notes: dict[str, int]
    warnings: tuple[str, ...]
    overfitting: dict[str, Any] | None
    reality_check: dict[str, Any] | None
    daylight: dict[str, list[dict[str, Any]]]
    reoptimised: dict[str, Any] | None


@record
class StoredValidation:
    """A validation that has come to its end.

    Attributes:
        about: what `validation.json` says.
        family: None without a cut-off.
        judged: survivors first, the lowest p first, then all others in their order.
        funnel: for each phase in order how many candidates came to it, were rejected by it, and could not be asked.
        windows: all test windows of the survivors, by candidate.
        chosen: for each window of one that chose its parameters again what was chosen; empty of others.
        equity: the file of its stitched equity; None of others.
    """

    folder: Path
    about: dict[str, Any]
    family: Family | None
    judged: tuple[Judged, ...]
    funnel: tuple[tuple[str, int, int, int], ...]
    windows: dict[str, list[dict[str, Any]]]
    together: Together
    chosen: tuple[dict[str, Any], ...]
    equity: Path | None

    @property
    def survivors(self) -> tuple[Judged, ...]:
        """Those that pass, the lowest p first."""
        return tuple(each for each in self.judged if each.status == Status.PASS.value)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each status."""
        found = Counter(each.status for each in self.judged)
        return {status.value: found[status.value] for status in Status}


def read_stored(folder: Path) -> StoredValidation:
    """Everything that the page of a validation tells.

    Args:
        folder: of the validation, `validations/<name>-<hash>` in the folder for runs.

    Raises:
        DataError: it is no folder of a validation, it has not come to its end, a file in it is damaged, or the database
            of verdicts does not know it.
    """
    folder = folder.resolve()
    path = folder / "validation.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        together = _together(folder / STATISTICS)
        funnel = _Funnel()
        rows = read_verdicts(folder.parent.parent / DATABASE, about["validation_id"])
        judged = [_judged(each) for each in funnel.seen(rows)]
        passed = {each.candidate_id for each in judged if each.status == Status.PASS.value}
        chosen = tuple(_lines(folder / WINDOWS_FILE))
        # One that chose its parameters again is what the page is about, whether it passes or not.
        shown = {each.candidate_id for each in judged} if chosen else passed
        windows = _windows(_lines(folder / "windows.jsonl"), shown)
        equity = folder / EQUITY_FILE
        return StoredValidation(
            folder=folder, about=about, family=stored_family(folder / FAMILY) if about["family"] else None,
            judged=tuple(sorted(judged, key=_place)), funnel=funnel.told(), windows=windows, together=together,
            chosen=chosen, equity=equity if chosen and equity.is_file() else None,
        )  # fmt: skip
    except FileNotFoundError:
        raise DataError(
            f"expected what a validation has left at {path}, found no such file; `{program()} walkforward FILE "
            "--resume` ends one that was cut short, and a folder of validations/ names one",
            path=str(path),
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"expected what a validation has left in {folder}, found it damaged ({error!r}); "
            f"`{program()} walkforward FILE --resume` writes it again",
            path=str(folder),
        ) from None


class _Funnel:
    """Counts phases while verdicts pass by; see `verdicts.funnel_of`."""

    def __init__(self) -> None:
        self._order: dict[str, None] = {}
        self._leave: Counter[tuple[str, str]] = Counter()
        self._count = 0

    def seen(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self._order.update(dict.fromkeys(name for name in row["figures"] if name not in _NO_PHASE))
            if row["status"] != Status.ERROR.value:
                self._count += 1
                self._leave[row["phase"], row["status"]] += 1
            yield row

    def told(self) -> tuple[tuple[str, int, int, int], ...]:
        left, found = self._count, []
        for phase in self._order:
            rejected, skipped = self._leave[phase, Status.REJECT.value], self._leave[phase, Status.SKIP.value]
            found.append((phase, left, rejected, skipped))
            left -= rejected + skipped
        return tuple(found)


def _judged(row: Mapping[str, Any]) -> Judged:
    figures = row["figures"]
    sample, expectancy, stability = (figures.get(name, {}) for name in ("sample", "expectancy", "stability"))
    return Judged(
        candidate_id=row["candidate_id"], number=row["number"], status=row["status"], phase=row["phase"],
        reason=row["reason"].removeprefix(f"{row['phase']}: "), p_value=row["p_value"], adjusted=row["adjusted"],
        labels=row["labels"], given=row["given"], trades=sample.get("trades"), mean_r=expectancy.get("mean_r"),
        total_r=expectancy.get("total_r"), test_trades=stability.get("test_trades"),
        test_mean_r=stability.get("test_mean_r"), efficiency=stability.get("efficiency"),
        valid=stability.get("valid"), positive=stability.get("positive"), sharpe=figures.get("sharpe_ratios", {}),
        planted=figures.get("planted", {}).get("planted"),
    )  # fmt: skip


def _place(each: Judged) -> tuple[int, float, int]:
    if each.status != Status.PASS.value:
        return 1, 0.0, each.number
    return 0, 2.0 if each.p_value is None else each.p_value, each.number


def _windows(rows: Iterable[dict[str, Any]], wanted: set[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["candidate"] in wanted:
            found.setdefault(row["candidate"], []).append(row)
    return found


def _together(path: Path) -> Together:
    told: dict[str, dict[str, Any]] = {}
    daylight: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(path):
        kind = line.pop("kind")
        if kind == "daylight":
            daylight[line["candidate"]] = line["sessions"]
        else:
            told[kind] = line
    notes = told.get("notes", {})
    return Together(
        stored=bool(told), notes=notes.get("notes", {}), warnings=tuple(notes.get("warnings", ())),
        overfitting=told.get("overfitting"), reality_check=told.get("reality_check"), daylight=daylight,
        reoptimised=told.get("reoptimised"),
    )  # fmt: skip


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of lines; none where there is no such file."""
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                yield json.loads(line)
