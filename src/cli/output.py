"""Where everything that people and programs read is printed.

People read stdout, programs read stdout when they asked for JSON; then people are talked to on stderr. Errors always go
to stderr. Used by the main thread.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from src.core.errors import LockstepError

__all__ = ["EXIT_INTERRUPTED", "Output", "error_json", "stdout_kept"]

EXIT_INTERRUPTED = 130

_FILE_WIDTH = 200  # a file or a pipe has no width of its own, and a table cut at 80 columns cannot be read


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Meanwhile everything that is written to stdout goes to stderr, by whatever thread and also past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        kept = os.dup(1)
    except OSError:  # a process without a stdout
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        # What was written to the stream itself, and not by `print`, may still stand in its buffer.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


class Output:
    """The two streams of one command.

    Args:
        as_json: stdout carries one JSON object and nothing else.
        quiet: people are told about errors only.
        debug: errors come with their traceback.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.debug = debug
        # Text is printed as it is: no markup, so that a message with [brackets] stays whole.
        self.errors = _console(stderr=True)
        self._people = self.errors if as_json else _console(stderr=False)

    @property
    def can_ask(self) -> bool:
        """Somebody sits at a terminal: questions reach them and answers come back."""
        return sys.stdin.isatty() and self.errors.is_terminal

    @property
    def width(self) -> int:
        """How many characters fit into a line for people."""
        return self._people.width

    @property
    def has_blocks(self) -> bool:
        """Whether the stream for people can hold block characters."""
        try:
            "░▒▓█".encode(self._people.encoding)
        except (LookupError, UnicodeError):
            return False
        return True

    def say(self, text: str = "", style: str = "") -> None:
        """One line for people; never wrapped, so that paths and commands can be copied."""
        if not self.quiet:
            self._people.print(Text(text, style=style), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line on stderr that `quiet` does not silence."""
        self.errors.print(Text(text, style="yellow"), soft_wrap=True)

    def notice(self, text: str) -> None:
        """A line for people on stderr, beside a result; silenced by `quiet`."""
        if not self.quiet:
            self.errors.print(Text(text), soft_wrap=True)

    def error(self, text: str, cause: BaseException | None = None) -> None:
        """What went wrong, in a sentence; with its traceback when that was asked for."""
        self.errors.print(Text(f"error: {text}", style="bold red"), soft_wrap=True)
        if cause is not None and self.debug:
            self.errors.print(Text("".join(traceback.format_exception(cause))), soft_wrap=True)

    def pairs(self, rows: Sequence[tuple[str, str]], title: str = "") -> None:
        """A table of two columns without lines."""
        if self.quiet:
            return
        table = Table(title=title or None, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(no_wrap=True)
        table.add_column()
        for label, value in rows:
            style = "bold yellow" if label.isupper() else ""  # what must not be overlooked
            table.add_row(Text(label, style=style), Text(value, style=style))
        self._people.print(table)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
        """A table with a header; the columns in `numbers` are set to the right."""
        if self.quiet:
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._people.print(table)

    def result(self, value: Mapping[str, Any]) -> None:
        """The command's one JSON object; nothing unless JSON was asked for."""
        self.result_text((json.dumps(value, allow_nan=False, ensure_ascii=False),) if self.as_json else ())

    def result_text(self, parts: Iterable[str]) -> None:
        """The same of an object that is too long to be made at once, as its JSON text in parts."""
        if self.as_json:
            sys.stdout.writelines(parts)
            sys.stdout.write("\n")
            sys.stdout.flush()


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    return console


def error_json(error: BaseException, message: str, exit_code: int) -> dict[str, Any]:
    """What `--json` prints instead of a result."""
    details = error.details if isinstance(error, LockstepError) else {}
    plain = {key: value for key, value in details.items() if isinstance(value, (str, int, float, list))}
    return {"error": {**plain, "type": type(error).__name__, "message": message}, "exit_code": exit_code}
