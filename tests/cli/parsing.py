"""Reading a command line as the program does, without doing what it says."""

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from src.cli.app import app

__all__ = ["parse", "verbs"]

_PROGRAM = typer.main.get_command(app)


def parse(words: Sequence[str]) -> None:
    """Read words as verbs, options and arguments; raises the parser's own error where they cannot be read."""
    command: Any = _PROGRAM
    name, rest, parent = "main.py", list(words), None
    while True:
        context = command.make_context(name, rest, parent=parent)
        left = [*getattr(context, "_protected_args", ()), *context.args]
        if not getattr(command, "commands", None) or not left:
            return
        name, below, rest = command.resolve_command(context, left)
        command, parent = below, context


def verbs(command: Any = _PROGRAM, name: str = "") -> Iterator[tuple[str, Any]]:
    """The program, its verbs and those of its groups, each as it is typed."""
    yield name, command
    for word in list(getattr(command, "commands", {})):
        yield from verbs(command.get_command(None, word), f"{name} {word}".strip())
