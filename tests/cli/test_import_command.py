"""`data import` as a user calls it where nobody can be asked."""

import shlex
from pathlib import Path

import pytest

from src.cli.app import main

TEXT = "timestamp,open,high,low,close,volume\n1704153600000,1,2,1,2,5\n1704153660000,1,2,1,2,5\n"


def test_the_command_of_a_refusal_imports_into_the_same_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasted as it stands it does what the first one was meant to do."""
    file, store = tmp_path / "EURUSD.csv", tmp_path / "my store.duckdb"
    file.write_text(TEXT, encoding="utf-8")
    refused = main(["data", "import", str(file), "--store", str(store)])
    command = shlex.split(capsys.readouterr().err.splitlines()[-1])
    pasted = main(command[command.index("data") :])

    assert (refused, pasted) == (2, 0)
    assert command[-2:] == ["--store", str(store)]
    assert store.exists()


def test_the_usual_store_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command without --store stays one."""
    monkeypatch.chdir(tmp_path)
    Path("EURUSD.csv").write_text(TEXT, encoding="utf-8")
    code = main(["data", "import", "EURUSD.csv"])

    assert code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("--price bid")
