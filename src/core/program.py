"""How this program is called from where it was started, for the commands that messages and results tell to paste.

Pure but for a look at the current folder; any thread.
"""

import sys
from pathlib import Path

__all__ = ["program"]

_MAIN = Path(__file__).resolve().parents[2] / "main.py"


def program() -> str:
    """`python main.py` in the folder of Lockstep's own `main.py`, `lockstep` where it was started so or elsewhere."""
    if Path(sys.argv[0]).stem == "lockstep":
        return "lockstep"
    here = Path("main.py")
    return "python main.py" if here.is_file() and here.resolve() == _MAIN else "lockstep"
