"""The gate over exceptions: a class that does not come back from pickling as it went in is found by name."""

from pathlib import Path

import pytest

from tools import gates

_SOUND = """
class SoundError(Exception):
    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details

    def __reduce__(self):
        return _rebuild, (type(self), self.args[0], self.details)


def _rebuild(cls, message, details):
    return cls(message, **details)
"""

_KEYWORD_ONLY = """
class BadError(Exception):
    def __init__(self, *, symbol: str) -> None:
        super().__init__(f"bad {symbol}")
        self.symbol = symbol
"""

_LOSES_A_VALUE = """
class BadError(Exception):
    def __init__(self, message: str = "none", when_ns: int = 0) -> None:
        super().__init__(message)
        self.when_ns = when_ns

    def __reduce__(self):
        return BadError, (self.args[0],)
"""

_HOLDS_A_LOCK = """
import threading


class BadError(BaseException):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
"""


def _package(root: Path, source: str) -> None:
    (root / "src" / "core").mkdir(parents=True)
    (root / "src" / "__init__.py").write_text("", encoding="utf-8")
    (root / "src" / "core" / "errors.py").write_text(source, encoding="utf-8")


@pytest.mark.parametrize("source", [_KEYWORD_ONLY, _LOSES_A_VALUE, _HOLDS_A_LOCK])
def test_an_error_that_does_not_survive_pickling_is_refused(tmp_path: Path, source: str) -> None:
    """An exception that cannot be rebuilt, or comes back without a value, is named."""
    _package(tmp_path, _SOUND + source)

    (found,) = gates.errors_pickle(tmp_path)

    assert found.startswith("src.core.errors.BadError: ")


def test_an_error_that_survives_pickling_is_accepted(tmp_path: Path) -> None:
    """An exception that takes its values along through pickle passes."""
    _package(tmp_path, _SOUND)

    assert gates.errors_pickle(tmp_path) == []


def test_a_module_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    """A module that raises while it is imported is a finding, not a crash of the gate."""
    _package(tmp_path, "1 / 0\n")

    (found,) = gates.errors_pickle(tmp_path)

    assert found.startswith("src.core.errors: cannot be imported: ZeroDivisionError")


def test_a_library_of_an_extra_may_be_absent(tmp_path: Path) -> None:
    """A module that needs a library which is not installed here is left out."""
    _package(tmp_path, "import a_library_that_nobody_has\n")

    assert gates.errors_pickle(tmp_path) == []
