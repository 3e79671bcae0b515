"""A clone in which blocks of the pages are run word for word, by a shell that finds the program as a user's would."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.documentation.pages import Block
from tests.end_to_end.command import ROOT, Ended

__all__ = ["Clone", "clone_in", "script_of"]

_PARTS = ("main.py", "pyproject.toml", "src", "configs", "examples", "docs")
#: What an installation puts on the path; `pytest` runs beside other tests.
_COMMANDS = {
    "python": 'exec "{python}" "$@"',
    "lockstep": 'exec "{python}" "{clone}/main.py" "$@"',
    "pytest": 'exec "{python}" -m pytest -p no:cacheprovider "$@"',
}


@dataclass(frozen=True, slots=True)
class Clone:
    """The folder, and what a shell in it has on its path."""

    folder: Path
    commands: Path

    def run(self, script: str, *, timeout_s: float = 280.0) -> Ended:
        """Run a script until its end, or to its first command that fails.

        Args:
            timeout_s: what only a script that hangs takes, on a slow machine too.
        """
        path = f"{self.commands}{os.pathsep}{os.environ['PATH']}"
        # Whoever pastes the block does not sit inside a test run that has options of its own.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=self.folder, stdin=subprocess.DEVNULL,
            env={**kept, "PATH": path, "PYTHONPATH": str(self.folder), "PYTHONIOENCODING": "utf-8"},
            capture_output=True, encoding="utf-8", timeout=timeout_s, check=False,
        )  # fmt: skip
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def clone_in(folder: Path) -> Clone:
    """A copy of what the program is made of, in which the delivered default configuration has one day."""
    clone = folder / "clone"
    clone.mkdir(parents=True)
    for part in _PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, clone / part)
    default = clone / "configs" / "default.yaml"
    text = default.read_text(encoding="utf-8")
    shorter = re.sub(r"(?m)^  end: \S+", "  end: 2024-01-02", text)
    assert shorter != text
    default.write_text(shorter, encoding="utf-8")
    commands = folder / "bin"
    commands.mkdir()
    for name, line in _COMMANDS.items():
        command = commands / name
        command.write_text("#!/bin/sh\n" + line.format(python=sys.executable, clone=clone) + "\n", encoding="utf-8")
        command.chmod(0o755)
    return Clone(clone, commands)


def script_of(block: Block, without: Mapping[str, str]) -> str:
    """The block as it stands, but for the commands that contain a key of `without`."""
    lines = []
    for line in block.text.splitlines():
        kept = [part for part in line.split(" && ") if not any(key in part for key in without)]
        lines.append(" && ".join(kept))
    return "\n".join(lines)
