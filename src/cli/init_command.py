"""`init DIR`: a configuration, a strategy and a test that run at once.

Runs in the main thread; writes three files into an empty or new folder, or nothing.
"""

from pathlib import Path

from src.cli.output import Output
from src.cli.templates import FILES
from src.core.errors import ConfigError

__all__ = ["write_project"]


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
