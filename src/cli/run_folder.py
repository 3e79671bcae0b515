"""How a command is told which stored run is meant: by its folder, or by its name in the folder of runs.

Used by the main thread.
"""

from pathlib import Path
from typing import Annotated

import typer

from src.backtesting.find_run import find_run
from src.cli.options import default_config
from src.core.config_file import read_config

__all__ = ["RunArgument", "RunsOption", "found_run"]

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its name in the folder of runs.")]
RunsOption = Annotated[
    Path | None,
    typer.Option("--config", help="Whose folder of runs; that of configs/default.yaml, or runs, if absent."),
]


def found_run(text: str, config: Path | None) -> Path:
    """The folder of a run that was named on the command line.

    Args:
        config: whose folder of runs is looked in; None for the usual one.

    Raises:
        ConfigError: there is no such run, or the configuration cannot be read.
    """
    path = default_config() if config is None else config
    if config is None and not path.is_file():
        return find_run(text, Path("runs"))
    document = read_config(path)
    section = document.values.get("backtest")
    runs = section.get("runs", "runs") if isinstance(section, dict) else "runs"
    return find_run(text, (document.folder / str(runs)).resolve())
