"""`init DIR`: a configuration, a strategy and a test that run at once.

Runs in the main thread; writes three files into an empty or new folder, or nothing.
"""

from pathlib import Path
from typing import Annotated

import typer

from src.cli.options import DebugOption, JsonOption, QuietOption, output_of
from src.cli.output import Output
from src.cli.templates import FILES
from src.core.errors import ConfigError

__all__ = ["init_command", "write_project"]


def init_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Write a configuration, a strategy and a test that run at once."""
    out = output_of(context, as_json, quiet, debug)
    written = write_project(folder, out)
    out.result({"folder": str(folder), "files": written})
    return 0


def write_project(folder: Path, out: Output) -> list[str]:
    """Write the files of a new project; their names.

    Raises:
        ConfigError: the folder is not empty, is a file, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"expected an empty or a new folder, found the file {folder}")
    present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if present:
        shown = ", ".join(present[:5]) + (f" and {len(present) - 5} more" if len(present) > 5 else "")
        raise ConfigError(f"expected an empty or a new folder, found {shown} in {folder}; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"expected to write into {folder}, found: {error.strerror or error}") from None
    out.say(f"wrote {', '.join(FILES)} into {folder}; next:")
    out.say(f"  cd {folder}")
    out.say("  lockstep --mode backtest --config config.yaml")
    out.say("  pytest")
    return list(FILES)
