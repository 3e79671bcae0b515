"""A validation as it was asked for: its configuration, and where things are. Reads one file; any thread."""

from pathlib import Path
from typing import Any

from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError
from src.core.record import record
from src.core.words import meant
from src.research.validation.pvalues import PVALUES
from src.research.validation.section import ValidationSection

__all__ = ["DATABASE", "ValidationSetup", "read_validation"]

#: What decides no verdict: how it is computed, and where from; what stands there is hashed by itself.
_DECIDES_NOTHING = frozenset({"workers", "deadline", "executor", "dask", "runs"})
#: The name of the database of verdicts inside the folder of runs.
DATABASE = "validation.duckdb"


@record
class ValidationSetup:
    """What `read_validation` has read."""

    document: ConfigDocument
    section: ValidationSection

    @property
    def folder(self) -> Path:
        """What the paths of the configuration are relative to."""
        return self.document.folder

    @property
    def runs_dir(self) -> Path:
        """Where suites and validations leave what they come to."""
        return (self.folder / self.section.runs).resolve()

    @property
    def database(self) -> Path:
        """The verdicts of all validations."""
        return self.runs_dir / DATABASE

    def decisive(self) -> dict[str, Any]:
        """The part of the configuration that verdicts are a function of, as plain values."""
        dumped: dict[str, Any] = self.section.model_dump(mode="json", by_alias=True)
        kept = {name: value for name, value in dumped.items() if name not in _DECIDES_NOTHING}
        candidates = kept.get("candidates")
        if candidates is not None:
            kept["candidates"] = {name: value for name, value in candidates.items() if name != "path"}
        return kept


def read_validation(path: Path, overrides: list[str], *, trials: int | None = None) -> ValidationSetup:
    """Read the configuration of a validation.

    Args:
        overrides: `key.sub=value`.
        trials: in place of `candidates.trials`.

    Raises:
        ConfigError: no such file, or something in it is wrong; a sentence with the line for each problem.
    """
    words = [*overrides, *([] if trials is None else [f"candidates.trials={trials}"])]
    document = read_config(path, words)
    for other, verb in (("base", "suite"), ("strategies", "--mode backtest --config")):
        if other in document.values and "candidates" not in document.values:
            raise ConfigError(
                f"{document.name} is for `{verb} {path.as_posix()}`, expected the configuration of a validation, with "
                "candidates: or reoptimise:, as configs/validate.yaml has"
            )
    section = document.validate(ValidationSection)
    wanted = section.multiple_testing.p_value
    if wanted not in PVALUES:
        raise ConfigError(
            f"{document.where(('multiple_testing', 'p_value'))}: multiple_testing.p_value: expected one of "
            f"{', '.join(PVALUES)}, found {wanted!r}{meant(wanted, PVALUES)}"
        )
    return ValidationSetup(document=document, section=section)
