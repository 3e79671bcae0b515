"""The family of hypotheses that a validation is one of: everything that was tried on the same data, kept or not.

It is fixed when a validation is first started, and lies beside it from then on, so that trials that come later change
no verdict. Called by one thread; reads no clock.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.errors import DataError
from src.core.record import record
from src.core.words import counted

__all__ = ["DataSet", "Family", "family_of", "keep_family", "stored_family", "trials_on"]

_KIND = "family"


@record
class DataSet:
    """What a candidate was tried on.

    Attributes:
        series: symbols, each with its source.
        start_ns, end_ns: the window.
    """

    series: tuple[tuple[str, str], ...]
    start_ns: int
    end_ns: int


@record
class Family:
    """All hypotheses that stood a chance.

    Attributes:
        members: what tells the known ones apart, in order: configuration hashes of the trial ledger, or the ids of the
            candidates of a table.
        untold: how many more were tried and not kept.
        stored: whether it was fixed by an earlier start of the same validation.
    """

    members: tuple[str, ...]
    untold: int = 0
    stored: bool = False

    @property
    def size(self) -> int:
        """How many hypotheses there are."""
        return len(self.members) + self.untold

    @property
    def hash(self) -> str:
        """SHA-256, 64 hexadecimal characters, of the members and of how many are untold."""
        text = json.dumps([list(self.members), self.untold], separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @property
    def told(self) -> str:
        """For people: `413 trials, of which 13 were not kept, family 0123456789ab`."""
        untold = f", of which {self.untold:,} were not kept" if self.untold else ""
        return f"{counted(self.size, 'trial')}{untold}, family {self.hash[:12]}"


def family_of(candidates: Iterable[str], trials: Iterable[str] = (), untold: int = 0) -> Family:
    """The family of these candidates and trials, each once, whatever order they come in."""
    return Family(members=tuple(sorted({*candidates, *trials})), untold=untold)


def trials_on(data: Sequence[DataSet], ledger: Iterable[Trial]) -> set[str]:
    """The configuration hashes of the trials that read one of these series at least, in a window that overlaps."""
    wanted = [(frozenset(each.series), each.start_ns, each.end_ns) for each in dict.fromkeys(data)]
    known: dict[tuple[Any, int, int], bool] = {}
    found: set[str] = set()
    for trial in ledger:
        key = (trial.series, trial.start_ns, trial.end_ns)
        if key not in known:  # many trials share few windows and sets of symbols
            known[key] = any(
                trial.start_ns < end_ns and start_ns < trial.end_ns and not series.isdisjoint(trial.series)
                for series, start_ns, end_ns in wanted
            )
        if known[key]:
            found.add(trial.configuration_hash)
    return found


def stored_family(path: Path) -> Family | None:
    """The family that an earlier start has fixed; None where there was none.

    Raises:
        DataError: the file is damaged, or somebody has changed it.
    """
    try:
        entry = json.loads(path.read_text(encoding="ascii"))
        members = tuple(str(each) for each in entry["members"])
        family = Family(members=members, untold=int(entry["untold"]), stored=True)
        if entry["kind"] == _KIND and entry["hash"] == family.hash and int(entry["size"]) == family.size:
            return family
        problem = "its hash is not that of its members"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = repr(error)
    raise DataError(
        f"expected the family that this validation was started with at {path}, found it damaged ({problem}); without "
        "it no verdict can be repeated: bring the file back, or give the validation another name",
        path=str(path),
    )


def keep_family(path: Path, family: Family) -> None:
    """Fix a family: written beside its place, brought to the disk, and renamed.

    Raises:
        DataError: the disk refused it.
    """
    entry = {
        "kind": _KIND, "hash": family.hash, "size": family.size, "untold": family.untold,
        "members": list(family.members),
    }  # fmt: skip
    partial = path.with_name(f"{path.name}.partial")  # one name, so that whoever was killed leaves no second file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="ascii", newline="\n") as file:
            file.write(json.dumps(entry, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise DataError(
            f"the family of this validation cannot be written to {path}: {error.strerror or error}; name a folder you "
            "may write to",
            path=str(path),
        ) from None
