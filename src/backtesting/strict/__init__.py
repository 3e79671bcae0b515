"""Strict mode: user code that reads the real clock, really sleeps or makes real locks is named, with file and line.

`StrictWatch` notices calls while they happen, `real_locks` reads the files; `strict_report` puts both together.
"""

from collections.abc import Iterable
from pathlib import Path

from src.backtesting.strict.findings import NOT_SEEN, StrictFinding, StrictReport
from src.backtesting.strict.scan import RealLock, real_locks, refuse_real_locks
from src.backtesting.strict.watch import StrictRuntime, StrictWatch

__all__ = [
    "NOT_SEEN",
    "RealLock",
    "StrictFinding",
    "StrictReport",
    "StrictRuntime",
    "StrictWatch",
    "real_locks",
    "refuse_real_locks",
    "strict_report",
]


def strict_report(watch: StrictWatch, files: Iterable[Path] = ()) -> StrictReport:
    """What the watch saw, and the real locks that the files name and nobody was seen to use.

    Args:
        files: the user's files; those of a run that was refused were never watched.

    Raises:
        ConfigError: a file cannot be read any more.
    """
    seen = watch.findings()
    places = {(finding.file, finding.line) for finding in seen if finding.kind in ("lock", "thread")}
    read = [
        StrictFinding(
            participant="",
            kind="thread" if one.name.endswith(("Thread", "Timer", "start_new_thread", "Executor")) else "lock",
            call=f"{one.name}()",
            file=str(one.file),
            line=one.line,
        )
        for one in real_locks(files)
        if (str(one.file), one.line) not in places
    ]
    return StrictReport(findings=tuple(sorted([*seen, *read], key=lambda one: (one.file, one.line, one.participant))))
