"""The one candidate that a re-optimising walk-forward comes to: the trades of its tests. Pure; any thread."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from src.backtesting.artifacts.trial_ledger import LEDGER, Trial, read_trials
from src.core.words import counted
from src.research.validation.family import DataSet
from src.research.validation.figures import total_r
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.reoptimise import Reoptimised, WindowChoice

__all__ = ["ReoptimisedSource", "window_rows"]


class ReoptimisedSource:
    """See `CandidateSource`. The period begins with the first test, because nothing could be traded before.

    Trades without an initial risk have no R. Where there are any the candidate has no trades at all, so that it cannot
    pass on the others.
    """

    def __init__(self, found: Reoptimised) -> None:
        self._found = found

    @property
    def label(self) -> str:
        """See `CandidateSource.label`."""
        tried = max((each.tried for each in self._found.windows), default=0)
        return f"{counted(tried, 'choice')} on each of {counted(len(self._found.windows), 'window')}"

    @property
    def synthetic(self) -> bool:
        """See `CandidateSource.synthetic`."""
        return self._found.synthetic

    @property
    def period(self) -> Period:
        """See `CandidateSource.period`."""
        return self._found.period

    def identity(self) -> str:
        """See `CandidateSource.identity`."""
        return self._found.identity

    def candidates(self) -> tuple[Candidate, ...]:
        """See `CandidateSource.candidates`."""
        given = (("without_r", self._found.without_r),) if self._found.without_r else ()
        return (Candidate(number=0, candidate_id=self._found.candidate_id, given=given),)

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """See `CandidateSource.trades`."""
        trades = self._found.trades
        if self._found.without_r:
            trades = trades.chosen(np.zeros(len(trades), dtype=np.bool_))
        yield self.candidates()[0], trades

    def tried(self) -> Iterator[Trial]:
        """See `CandidateSource.tried`: the ledger of its runs, which need not lie where the verdicts do."""
        return read_trials(self._found.runs_dir / LEDGER)

    def series(self) -> tuple[DataSet, ...]:
        """See `CandidateSource.series`."""
        return self._found.data


def window_rows(found: Reoptimised, minimum_trades: int) -> tuple[dict[str, Any], ...]:
    """The windows as `stability` tells its own: a plain dict each, of which train and test are those of the choice."""
    return tuple(_row(found.trades, each, minimum_trades) for each in found.windows)


def _row(trades: CandidateTrades, choice: WindowChoice, minimum_trades: int) -> dict[str, Any]:
    window, told, train = choice.window, choice.as_dict(), dict(choice.train)
    begin, end = np.searchsorted(trades.entry_ns, [window.test_from_ns, window.test_to_ns]).tolist()
    test_r = total_r(trades.r_net[begin:end].tolist())
    label = "partial" if window.partial else "few" if end - begin < minimum_trades else "valid"
    return {
        "number": window.number, "train_from": told["train_from"], "train_to": told["train_to"],
        "test_from": told["test_from"], "test_to": told["test_to"], "train_trades": train.get("r_counted") or 0,
        "purged": 0, "embargoed": 0, "train_r": train.get("total_r") or 0.0, "test_trades": end - begin,
        "test_r": test_r, "label": label, "positive": test_r is not None and test_r > 0,
    }  # fmt: skip
