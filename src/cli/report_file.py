"""Where a page is to be written: looked at before the work that fills it. Main thread."""

import os
from pathlib import Path

from src.core.errors import ConfigError

__all__ = ["check_report"]


def check_report(path: Path) -> None:
    """Hold that a page can be written to `path`.

    Raises:
        ConfigError: it is a folder, or lies in none that can be written.
    """
    folder = path.parent
    if path.is_dir():
        raise ConfigError(f"expected the name of a file for --report, found the folder {path}; give {path}/report.html")
    if not folder.is_dir():
        raise ConfigError(f"expected a folder for --report {path}, found none at {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"expected a folder that can be written for --report {path}, found {folder} locked")
