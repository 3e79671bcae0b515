"""How this program was started, for the commands that messages and results tell to paste.

Pure but for a look at the current folder; any thread.
"""

import shlex
import sys
from pathlib import Path

__all__ = ["command", "program", "program_words"]

_MAIN = Path(__file__).resolve().parents[2] / "main.py"


def program() -> str:
    """`python main.py` with the path as it was typed, or `lockstep` where something else started it."""
    return shlex.join(program_words())


def command(*words: str) -> str:
    """The program as it was typed with these words behind it, each quoted so that a shell reads it as one."""
    return shlex.join([*program_words(), *words])


def program_words() -> list[str]:
    """The words of `program`."""
    typed = Path(sys.argv[0] if sys.argv else "")
    if typed.name != "main.py" or typed.resolve() != _MAIN:
        return ["lockstep"]
    return ["python", typed.as_posix()]
