"""The port through which candidates and their trades come to a validation, wherever they are from.

A source is used by one thread. It holds no file or connection open but inside the iteration of `trades`, and it keeps
the trades of a few candidates in memory at most.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from src.backtesting.artifacts.trial_ledger import Trial
from src.research.validation.family import DataSet
from src.research.validation.ports import Candidate, CandidateTrades, Period

__all__ = ["CandidateSource"]


class CandidateSource(Protocol):
    """Candidates with their closed trades.

    What it comes to is a function of the trades alone: not of their order, of the name of a file, or of a day.
    """

    @property
    def label(self) -> str:
        """What the candidates are, for people."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether a generator made them, so that nothing about any market follows."""
        ...

    @property
    def period(self) -> Period | None:
        """The time that they were looked at; None where nothing but their trades tells."""
        ...

    def identity(self) -> str:
        """SHA-256, 64 hexadecimal characters, of what the candidates and their trades are.

        Raises:
            ConfigError, DataError: see `candidates`.
        """
        ...

    def candidates(self) -> Sequence[Candidate]:
        """All of them, at least one, ordered by id as texts are, numbered from 0 in that order.

        Raises:
            ConfigError: nothing is chosen.
            DataError: they cannot be read, or are not what they must be; the first problem is told.
        """
        ...

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """All candidates with their trades, in the order of `candidates`, as often as wanted.

        Raises:
            ConfigError, DataError: see `candidates`.
        """
        ...

    def tried(self) -> Iterator[Trial]:
        """What was ever tried as far as this source knows, chosen or not, besides the ledger of the folder for runs.

        Raises:
            ConfigError, DataError: see `candidates`.
        """
        ...

    def series(self) -> tuple[DataSet, ...]:
        """What each candidate was tried on, in the order of `candidates`; empty where no trial ledger knows of them.

        Raises:
            ConfigError, DataError: see `candidates`.
        """
        ...
