"""The walk-forward of a validation by itself, with one worker in turn with several; used by `validation.py`.

A whole validation of 13,000 candidates takes half a minute, its walk-forward two seconds, and what else a machine does
in half a minute is more than what the second worker gains. Here the same workers judge the same candidates out of the
same file of trades into a book on the disk, through the same call, again and again.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from src.research.validation.crew import Judges, judges_for
from src.research.validation.judge import judge_chunk, parameters_text
from src.research.validation.judged_book import JudgedBook
from src.research.validation.setup import ValidationSetup
from src.research.validation.sources import source_for
from src.research.validation.trade_file import write_trade_file

#: Processes have begun long before the cheap phases end; here nothing else tells that they have.
BEGIN_S = 4.0


def judged_rounds(
    setup: ValidationSetup, folder: Path, candidates: Sequence[tuple[int, str]], rounds: int, workers: int,
    told: Callable[[int, float, float], object],
) -> list[tuple[float, float]]:  # fmt: skip
    """Judge candidates, and do it again.

    Args:
        setup: the validation.
        folder: an empty one of its own; removed afterwards.
        candidates: number and id of those that have survived the cheap phases.
        workers: how many are compared with one.
        told: of each round the number and both times.

    Returns:
        of each round the seconds with one worker and with several.
    """
    folder.mkdir(parents=True)
    try:
        trades = folder / "trades.duckdb"
        source = source_for(setup.section, setup.folder)
        write_trade_file(trades, source)
        assert source.period is not None, "generated candidates have one"
        parameters = parameters_text(setup.section, source.period)
        found: list[tuple[float, float]] = []
        for number in range(1, rounds + 1):
            seconds = []
            # Who is first in a round changes from one to the next.
            for count in sorted((1, workers), reverse=number % 2 == 0):
                with begun(setup, count) as judges, JudgedBook(folder / f"{number}-{count}.jsonl", {}) as book:
                    judged = judges.judge(
                        judge_chunk, candidates, str(trades), parameters, book.append, lambda done, failed: None
                    )
                    assert len(book.known) == len(candidates), "a candidate was not judged"
                seconds.append((count, judged.seconds))
            one, many = (each for _, each in sorted(seconds))
            told(number, one, many)
            found.append((one, many))
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def begun(setup: ValidationSetup, workers: int) -> Iterator[Judges]:
    """Workers that have begun, and have judged nothing yet."""
    with judges_for(setup.section, workers, None) as judges:
        judges.begin()
        time.sleep(BEGIN_S)
        yield judges
