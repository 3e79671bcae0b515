"""What the tests of the verbs that look after a store share."""

import json
from typing import Any

import numpy as np
import pytest

from src.cli.app import main
from src.core.timeframe import MINUTE_NS

__all__ = ["MINUTES", "PRESENT_NS", "asked", "floats", "ints", "said"]

MINUTES = [3, 4, 5, 8, 9, 10, 11, 12]
PRESENT_NS = 13 * MINUTE_NS


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON object of `data WORDS`."""
    capsys.readouterr()
    code = main(["data", *words, "--json", "--quiet"])
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return code, value


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and text of `data WORDS`, stdout before stderr."""
    capsys.readouterr()
    code = main(["data", *words])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def ints(*values: int) -> Any:
    """A column of stamps."""
    return np.array(values, np.int64)


def floats(*values: float) -> Any:
    """A column of numbers."""
    return np.array(values, np.float64)
