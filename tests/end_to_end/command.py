"""Running the program as its users do: `main.py` in a process of its own, in a folder of the test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAIN = Path(__file__).resolve().parents[2] / "main.py"
ROOT = MAIN.parent
#: The command that runs a project's configuration as a backtest.
BACKTEST = ("--mode", "backtest", "--config", "config.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> dict[str, Any]:
        """The one JSON object on stdout; fails when anything else stands there."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


#: A command that is run somewhere else than in a process of its own.
Told = Callable[..., Ended]


def run(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
    """`python main.py WORDS` with nobody at the terminal."""
    done = subprocess.run(
        [sys.executable, str(MAIN), *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=500,  # a hanging run, not a slow machine
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def backtest(project: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> Ended:
    """`--mode backtest` of the project's configuration."""
    return run(*BACKTEST, *words, cwd=project, env=env)


def run_names(project: Path) -> list[str]:
    """The runs in the project's folder for them; locks and the trial ledger are none."""
    return sorted(path.name for path in (project / "runs").glob("*/") if not path.name.startswith("."))
