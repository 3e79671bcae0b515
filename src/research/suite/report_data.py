"""What the folder of a suite holds, as plain values for its page: runs, labels, figures, what failed and how to see it.

Read from what the suite has left, `index.json`, `records.jsonl` and `suite.json`, and from the trial ledger beside the
runs. Nothing is written and no clock is read. Called by one thread.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.backtesting.artifacts.trial_ledger import (
    LEDGER,
    Trial,
    configuration_hash,
    daily_sharpe,
    read_trials,
    series_read,
)
from src.backtesting.result import Outcome
from src.core.errors import DataError
from src.core.program import program
from src.core.record import record
from src.core.texts import writable
from src.data.synthetic import SOURCE_PREFIX
from src.research.deflated_sharpe import TrialBook, deflated_sharpe
from src.research.suite.ranking import highest_first
from src.research.suite.results_file import METRIC_COLUMNS

__all__ = ["ENDED", "JUDGED", "WINDOW", "ListedRun", "StoredSuite", "read_suite"]

#: What a run has to be for its figures to count.
ENDED = (Outcome.COMPLETED.value, Outcome.DEGRADED.value)
#: What is computed when somebody looks, because it changes with every further trial.
JUDGED = ("trials", "deflated_sharpe")

#: The window of a run, which the results database has beside the figures.
WINDOW = ("start_ns", "end_ns")

_BY = "sharpe"


@record
class ListedRun:
    """One run that the manifest lists.

    Attributes:
        position: its place in the manifest.
        labels: what it was asked for; plain values, lists as one text.
        run_id: None of a run that was not stored.
        folder: the name of its folder inside the folder for runs; empty of a run that did not complete.
        figures: those of `metrics.json` that are one number or one text, and `JUDGED`; empty of a run that did not get
            to its end.
        again: the words that make this run alone; empty of one that completed.
    """

    position: int
    name: str
    status: str
    error: str
    labels: dict[str, Any]
    run_id: str | None
    folder: str
    figures: dict[str, Any]
    again: tuple[str, ...]


@record
class StoredSuite:
    """A suite that has come to its end.

    Attributes:
        runs_dir: where the folders of its runs are.
        by: the figure that ranks; `descending` whether its highest value comes first.
        runs: from the best to the worst, those without the figure last; between equal ones the place decides.
        varying: the labels that are not the same in all runs, in the order of the manifest.
        synthetic: whether any run read a generated market.
        about: what `suite.json` says.
        ledger: whether there is a trial ledger; without one the trials are those of this suite alone.
    """

    folder: Path
    runs_dir: Path
    suite_id: str
    name: str
    outcome: str
    by: str
    descending: bool
    runs: tuple[ListedRun, ...]
    varying: tuple[str, ...]
    synthetic: bool
    about: dict[str, Any]
    ledger: bool

    @property
    def ended(self) -> tuple[ListedRun, ...]:
        """The runs with figures, best first."""
        return tuple(each for each in self.runs if each.figures)

    @property
    def broken(self) -> tuple[ListedRun, ...]:
        """The runs that did not complete, in the order of the manifest."""
        return tuple(
            sorted((one for one in self.runs if one.status != Outcome.COMPLETED.value), key=lambda one: one.position)
        )

    @property
    def different(self) -> tuple[ListedRun, ...]:
        """The same as `ended`, each run once however often it is listed."""
        first: dict[str | None, ListedRun] = {}
        for each in self.ended:
            first.setdefault(each.run_id, each)
        return tuple(first.values())


def read_suite(folder: Path) -> StoredSuite:
    """Everything that the page of a suite tells.

    Args:
        folder: of the suite, `suites/<name>-<hash>` in the folder for runs.

    Raises:
        DataError: it is no folder of a suite, the suite has not come to its end, or a file in it is damaged.
    """
    about, index = _json(folder / "suite.json"), _json(folder / "index.json")
    runs_dir = folder.resolve().parent.parent
    try:
        entries = index["runs"]
        keys = {str(entry["key"]) for entry in entries if entry["status"] in ENDED}
        figures = dict(_figures(folder / "records.jsonl", keys))
        search = (about.get("manifest") or {}).get("search") or {}
        by = str(search.get("of") or _BY)
        trials = {each.run_id: each for each in read_trials(runs_dir / LEDGER)}
        own = {entry["run_id"]: _trial(entry, figures, trials, runs_dir) for entry in entries if entry["run_id"]}
        judged = _judged([each for each in own.values() if each is not None], trials.values())
        runs = [_listed(entry, figures, judged) for entry in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / "index.json", error) from None
    descending = highest_first(by)
    return StoredSuite(
        folder=folder, runs_dir=runs_dir, suite_id=str(index["suite_id"]), name=str(index["name"]),
        outcome=str(index["outcome"]), by=by, descending=descending, runs=ranked(runs, by, descending=descending),
        varying=_varying(runs),
        synthetic=any(
            source.startswith(SOURCE_PREFIX) for each in own.values() if each is not None for _, source in each.series
        ),
        about=about, ledger=(runs_dir / LEDGER).is_file(),
    )  # fmt: skip


def ranked(runs: Sequence[ListedRun], by: str, *, descending: bool) -> tuple[ListedRun, ...]:
    """The runs from the best to the worst; those without the figure last."""

    def key(run: ListedRun) -> tuple[bool, float, int]:
        value = run.figures.get(by)
        if not isinstance(value, int | float):
            return True, 0.0, run.position
        return False, -value if descending else value, run.position

    return tuple(sorted(runs, key=key))


def _figures(path: Path, keys: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The metrics of the answers to these tasks; of several answers to one the last counts, as in the book."""
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):  # it was being written when the program ended
                    return
                answer = json.loads(line).get("answer")
                if answer is not None and answer["key"] in keys:
                    metrics = answer["metrics"]
                    yield answer["key"], {name: metrics.get(name) for name in (*WINDOW, *METRIC_COLUMNS)}
    except OSError as error:
        raise _damaged(path, error) from None


def _trial(
    entry: Mapping[str, Any], figures: Mapping[str, dict[str, Any]], known: Mapping[str, Trial], runs_dir: Path
) -> Trial | None:
    """The run as a trial, by its own figures; None of one that has none."""
    run_id, own = str(entry["run_id"]), figures.get(str(entry["key"]))
    if own is None:
        return None
    told = known.get(run_id)
    if told is None:  # the ledger was lost, or could not be written
        manifest = _json(runs_dir / str(entry["folder"] or run_id) / "manifest.json")
        chosen, series = configuration_hash(manifest["inputs"]), series_read(manifest)
    else:
        chosen, series = told.configuration_hash, told.series
    return Trial(
        run_id=run_id, configuration_hash=chosen, series=series, start_ns=own["start_ns"], end_ns=own["end_ns"],
        sharpe=daily_sharpe(own["sharpe"], own["days_per_year"] or 0.0), days=own["days"] or 0, skew=own["skew"],
        kurtosis=own["kurtosis"],
    )  # fmt: skip


def _judged(own: Sequence[Trial], known: Iterable[Trial]) -> dict[str, dict[str, Any]]:
    """How often somebody has tried on the data of each run, and what its Sharpe ratio is worth therefore."""
    book = TrialBook([*own, *known])
    found: dict[str, dict[str, Any]] = {}
    for each in own:
        attempts = book.of(each.series, each.start_ns, each.end_ns)
        worth = deflated_sharpe(
            each.sharpe, each.days, each.skew, each.kurtosis, attempts.count, attempts.sharpe_variance
        )
        found[each.run_id] = dict(zip(JUDGED, (attempts.count, worth), strict=True))
    return found


def _listed(
    entry: Mapping[str, Any], figures: Mapping[str, dict[str, Any]], judged: Mapping[str, dict[str, Any]]
) -> ListedRun:
    run_id, status = entry["run_id"], str(entry["status"])
    own = figures.get(str(entry["key"])) if status in ENDED else None
    return ListedRun(
        position=int(entry["position"]), name=writable(str(entry["name"])), status=status,
        error=writable(str(entry["error"] or "")), run_id=run_id, folder=str(entry["folder"] or ""),
        labels={name: _told(value) for name, value in entry["labels"].items()},
        figures={} if own is None else {**own, **judged.get(str(run_id), dict.fromkeys(JUDGED))},
        again=tuple(str(word) for word in entry.get("again") or ()),
    )  # fmt: skip


def _told(value: Any) -> Any:
    """A label as a table shows it: numbers and truth values as they are, everything else as one text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return writable("+".join(value))
    return json.dumps(value, sort_keys=True)


def _varying(runs: Sequence[ListedRun]) -> tuple[str, ...]:
    names = dict.fromkeys(name for each in runs for name in each.labels)
    return tuple(
        name for name in names if len({json.dumps(each.labels.get(name)) for each in runs}) > 1
    )  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"expected what a suite has left at {path}, found no such file; `{program()} suite MANIFEST --resume` ends "
            "a suite that was cut short, and a folder of suites/ names one",
            path=str(path),
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    if not isinstance(found, dict):
        raise _damaged(path, TypeError("it holds no object"))
    return found


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"expected what a suite has left at {path}, found it damaged ({error!r}); `{program()} suite MANIFEST "
        "--resume` writes it again",
        path=str(path),
    )
