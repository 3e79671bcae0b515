"""Which stored run a name means, on the command line and in Python. Reads the names of folders; any thread."""

from pathlib import Path

from src.core.errors import ConfigError
from src.core.words import meant

__all__ = ["find_run"]

#: One of them is in the folder of every run: of a backtest, of paper and live.
_MARKS = ("manifest.json", "recording.sqlite")
_FEWEST_LETTERS = 4


def find_run(text: str, runs_dir: Path, *, otherwise: str = "give another one, or --config FILE for its runs") -> Path:
    """The folder of a run, or any other that is there by that name: who reads it says what is wrong with it.

    Args:
        text: a folder, or the name of one in `runs_dir`.
        otherwise: what to do where no name is near.

    Raises:
        ConfigError: there is none; the sentence has the name that is nearest.
    """
    places = [folder for folder in (Path(text), runs_dir / text) if text.strip() and folder.is_dir()]
    if places:
        return next((each for each in places if any((each / mark).is_file() for mark in _MARKS)), places[0])
    there = sorted(each.name for each in runs_dir.glob("[!.]*/")) if runs_dir.is_dir() else []
    begun = [name for name in there if len(text) >= _FEWEST_LETTERS and name.startswith(text)]
    hint = f"; did you mean {begun[0]!r}?" if begun else meant(Path(text).name, there) or f"; {otherwise}"
    raise ConfigError(
        f"expected the folder of a run, or the name of one in {runs_dir.as_posix()}, found {text!r}{hint}", found=text
    )
