"""The commands that are shown can be pasted where they are shown."""

from pathlib import Path

import pytest

from src.core.program import program

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("argv0", "shown"),
    [
        ("main.py", "python main.py"),
        ("docs/../main.py", "python docs/../main.py"),
        (str(ROOT / "main.py"), f"python {(ROOT / 'main.py').as_posix()}"),
        ("docs/main.py", "lockstep"),
        ("/somewhere/bin/lockstep", "lockstep"),
        ("/somewhere/else.py", "lockstep"),
    ],
)
def test_commands_start_the_program_as_it_was_started(argv0: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` and the path as it was typed for Lockstep's own `main.py`, the installed name for all else."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", [argv0])

    assert program() == shown


def test_a_main_of_somebody_elses_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's own `main.py` that imports Lockstep is no program of Lockstep's."""
    (tmp_path / "main.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["main.py"])

    assert program() == "lockstep"
