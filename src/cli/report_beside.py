"""The page that a command leaves beside what it has stored. Main thread.

What was computed is stored by then: a page that cannot be made costs nobody a result, and `report FOLDER` makes it
again.
"""

from collections.abc import Callable
from pathlib import Path

from src.cli.output import Output
from src.core.errors import LockstepError
from src.core.program import command
from src.research.processes import Lost, in_processes

__all__ = ["page_beside"]

#: A page of more rows is made by a process of its own: it holds all of them at once, and what a suite or a validation
#: takes must not grow with the number of its runs or candidates.
_MOST_HERE = 2_000


def page_beside(folder: Path, write: Callable[[Path], Path], out: Output, *, rows: int) -> Path | None:
    """Write the page of a folder; where it is, or None and a warning where it could not be made.

    Args:
        write: importable by name.
        rows: how many runs or candidates the page is about.
    """
    try:
        made = write(folder) if rows <= _MOST_HERE else in_processes(write, [folder], workers=1)[0]
        if not isinstance(made, Lost):
            return made
        why: object = made.reason
    except LockstepError as error:
        why = error.message
    except OSError as error:
        why = error.strerror or error
    out.warn(f"the page was not written: {why}; `{command('report', str(folder))}` makes it again")
    return None
