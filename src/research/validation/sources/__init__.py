"""Where the candidates of a validation come from: a port, and one file for each source."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from src.backtesting.artifacts.trial_ledger import LEDGER
from src.core.errors import ConfigError
from src.research.suite.results_file import RESULTS
from src.research.validation.section import CandidatesSection, ValidationSection
from src.research.validation.sources.port import CandidateSource

__all__ = ["SOURCES", "source_for"]

#: The sources by the name that configurations call them, each as `module:class`.
SOURCES = {
    "generated": "src.research.validation.sources.generated:GeneratedSource",
    "table": "src.research.validation.sources.table:TableSource",
    "results": "src.research.validation.sources.results:ResultsSource",
}


def source_for(section: ValidationSection, folder: Path) -> CandidateSource:
    """The source that a configuration names; nothing is read yet.

    Args:
        folder: of the configuration, which its paths are relative to.

    Raises:
        ConfigError: the configuration names no candidates.
    """
    chosen = section.candidates
    if chosen is None:
        raise ConfigError("expected candidates: in the configuration of a validation, found reoptimise: alone")
    module, _, name = SOURCES[chosen.source].partition(":")
    made: CandidateSource = getattr(import_module(module), name)(**_ARGUMENTS[chosen.source](chosen, section, folder))
    return made


def _generated(chosen: CandidatesSection, section: ValidationSection, folder: Path) -> dict[str, Any]:
    return {"section": chosen.generated}


def _table(chosen: CandidatesSection, section: ValidationSection, folder: Path) -> dict[str, Any]:
    return {"path": _absolute(folder / (chosen.path or ""))}


def _results(chosen: CandidatesSection, section: ValidationSection, folder: Path) -> dict[str, Any]:
    runs = _absolute(folder / section.runs)
    path = runs / RESULTS if chosen.path is None else _absolute(folder / chosen.path)
    return {"path": path, "suite": chosen.suite, "where": chosen.where, "ledger": runs / LEDGER}


_ARGUMENTS: dict[str, Callable[[CandidatesSection, ValidationSection, Path], dict[str, Any]]] = {
    "generated": _generated, "table": _table, "results": _results,
}  # fmt: skip


def _absolute(path: Path) -> Path:
    # Links stay as they are written: somebody knows the file by that name.
    return Path(os.path.abspath(path))
