"""What the command `lookahead` does around the comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from src.cli import lookahead_command
from src.cli.app import main
from src.core.errors import DataError
from src.data.store import HistoricalDataStore
from src.research.lookahead import Found
from tests.backtesting.preflight.projects import minutes, project


def test_nobody_writes_to_the_store_while_it_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A writer is refused until the last run is over."""
    config = project(tmp_path, minutes(-2, 6))
    refusals: list[str] = []

    def compared(pairs: Sequence[Any], *rest: object) -> Found:
        with pytest.raises(DataError, match="already open") as refused:
            HistoricalDataStore(tmp_path / "bars.duckdb")
        refusals.append(refused.value.message)
        return Found(pairs=())

    monkeypatch.setattr(lookahead_command, "lookahead", compared)
    code = main(["lookahead", "--config", str(config), "--json"])

    assert (code, len(refusals)) == (0, 1), capsys.readouterr().err
    HistoricalDataStore(tmp_path / "bars.duckdb").close()
