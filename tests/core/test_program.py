"""The commands that are shown can be pasted where they are shown."""

from pathlib import Path

import pytest

from src.core.program import program

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("argv0", "inside", "shown"),
    [
        ("main.py", True, "python main.py"),
        ("/somewhere/bin/lockstep", True, "lockstep"),
        ("/somewhere/bin/lockstep", False, "lockstep"),
        ("../clone/main.py", False, "lockstep"),
    ],
)
def test_commands_name_a_main_that_is_there(
    argv0: str, inside: bool, shown: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`python main.py` only where it is Lockstep's, and not for who started it as `lockstep`."""
    (tmp_path / "main.py").touch()
    monkeypatch.chdir(ROOT if inside else tmp_path)
    monkeypatch.setattr("sys.argv", [argv0])

    assert program() == shown
