"""Candidates from a database of results: the different runs of suites that got to their end.

The database is open for reading alone, for one question at a time, and closed before anything is handed out. Called by
one thread.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from src.backtesting.artifacts.trial_ledger import LEDGER, Trial, read_trials
from src.backtesting.result import Outcome
from src.core.errors import ConfigError
from src.core.record import record
from src.data.synthetic import SOURCE_PREFIX
from src.research.suite.results_file import METRIC_COLUMNS, listed, open_results
from src.research.suite.selection import select_runs
from src.research.validation.family import DataSet
from src.research.validation.ports import Candidate, CandidateTrades, Period

__all__ = ["WITHOUT_R", "ResultsSource"]

#: The label of a candidate some of whose trades had no initial stop, and how many.
WITHOUT_R = "without_r"

_TRADES_AT_ONCE = 50_000
_COSTS = ("commission", "spread_cost", "slippage_cost")
_READ = ("entry_ns", "exit_ns", "side", "net", "risk", *_COSTS, "financing")

Pairs = tuple[tuple[str, Any], ...]


@record
class _Run:
    """A run that was chosen."""

    candidate: Candidate
    digest: str
    trades: int
    data: DataSet


class ResultsSource:
    """See the module. The profit of a trade counts in units of its initial risk.

    A trade without an initial stop has no such unit. A run with such trades comes without any, so that it is rejected
    for want of a sample: the others alone would be a choice. Its label `without_r` says of how many it is true.
    Positions that were open at the end are no trades. What a trade cost is commission, spread and slippage, and
    financing where that was paid; where it was received it is profit.

    Args:
        path: the database.
        suite: the name of a suite, or how its id begins; all by default.
        where: a condition in SQL on the runs, see `select_runs`; all by default.
        ledger: the trial ledger, in case a condition asks for how often somebody has tried.
    """

    def __init__(
        self, path: Path, *, suite: str | None = None, where: str | None = None, ledger: Path | None = None
    ) -> None:
        self._path = path
        self._suite = suite
        self._where = where
        self._ledger = ledger
        self._known: tuple[_Run, ...] = ()

    @property
    def label(self) -> str:
        """The suite and the database."""
        suite = f"the suite {self._suite}" if self._suite else "all suites"
        condition = f" where {self._where}" if self._where else ""
        return f"the runs of {suite} in {self._path.name}{condition}"

    @property
    def synthetic(self) -> bool:
        """Whether any series that any of the runs read was generated."""
        sources = {source for data in dict.fromkeys(self.series()) for _, source in data.series}
        return any(source.startswith(SOURCE_PREFIX) for source in sources)

    @property
    def period(self) -> Period:
        """From where the first of the runs begins to where the last one ends, traded or not."""
        windows = self.series()
        return Period(start_ns=min(each.start_ns for each in windows), end_ns=max(each.end_ns for each in windows))

    def identity(self) -> str:
        """See `CandidateSource`: of the runs' ids and of what each came to."""
        told = [[run.candidate.candidate_id, run.digest] for run in self._runs()]
        return hashlib.sha256(json.dumps(["runs, 1", told]).encode("ascii")).hexdigest()

    def candidates(self) -> tuple[Candidate, ...]:
        """See `CandidateSource`: the id is that of the run.

        Raises:
            ConfigError: no such suite, a condition that is none, or no run that got to its end.
            DataError: the database or the ledger cannot be read.
        """
        return tuple(run.candidate for run in self._runs())

    def tried(self) -> Iterator[Trial]:
        """See `CandidateSource`: every run of the database, and the ledger beside it where that is another one."""
        with open_results(self._path) as connection:
            found = connection.execute(
                "SELECT run_id, configuration_hash, series, start_ns, end_ns FROM runs JOIN metrics USING (run_id) "
                "ORDER BY run_id"
            ).fetchall()
        for run_id, trial, series, start_ns, end_ns in found:
            read = tuple((str(symbol), str(source)) for symbol, source in json.loads(series))
            yield Trial(
                run_id=run_id, configuration_hash=trial, series=read, start_ns=start_ns, end_ns=end_ns, sharpe=None,
                days=0, skew=None, kurtosis=None,
            )  # fmt: skip
        beside = self._path.with_name(LEDGER)
        if beside != self._ledger:
            yield from read_trials(beside)

    def series(self) -> tuple[DataSet, ...]:
        """See `CandidateSource`."""
        return tuple(run.data for run in self._runs())

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """See `CandidateSource`."""
        for block in self._blocks():
            rows = self._rows(block)
            begin = 0
            for run in block:
                yield run.candidate, _trades(rows, slice(begin, begin + run.trades))
                begin += run.trades

    def _blocks(self) -> Iterator[list[_Run]]:
        """The runs that are read together."""
        block: list[_Run] = []
        held = 0
        for run in self._runs():
            block.append(run)
            held += run.trades
            if held >= _TRADES_AT_ONCE:
                yield block
                block, held = [], 0
        if block:
            yield block

    def _rows(self, block: Sequence[_Run]) -> dict[str, "np.ndarray[Any, np.dtype[Any]]"]:
        """The trades of some runs one below the other, each column an array; an absent risk is NaN."""
        ids = [run.candidate.candidate_id for run in block if run.trades]
        places = pa.array(range(len(ids)), type=pa.int64())
        wanted = pa.table({"run_id": pa.array(ids, type=pa.string()), "place": places})
        with open_results(self._path) as connection:
            connection.register("wanted", wanted)
            rows = connection.sql(
                f"SELECT {listed(_READ)} FROM trades JOIN wanted USING (run_id) "
                "ORDER BY place, entry_ns, exit_ns, number"
            ).to_arrow_table()
        return {name: rows.column(name).to_numpy() for name in _READ}

    def _runs(self) -> tuple[_Run, ...]:
        """The runs in the order of their ids, read once."""
        if not self._known:
            chosen = self._chosen()
            if not chosen:
                raise ConfigError(
                    f"expected runs that got to their end among {self.label}, found none; run the suite first, or "
                    "mend candidates.suite and candidates.where"
                )
            self._known = self._described(chosen)
        return self._known

    def _chosen(self) -> dict[str, tuple[tuple[str, int], Pairs]]:
        """Where each run is listed, and its given figures, in the order of the ids."""
        with select_runs(self._path, where=self._where, suite=self._suite, ledger=self._ledger) as selection:
            columns = ("run_id", "status", "suite_id", "position", *METRIC_COLUMNS)
            rows = selection.fetch(columns, "run_id, suite_id, position")
        found: dict[str, tuple[tuple[str, int], Pairs]] = {}
        for run_id, status, suite_id, position, *values in rows:
            # Of a run under several names the first counts.
            if run_id is None or status != Outcome.COMPLETED.value or run_id in found:
                continue
            figures = tuple((name, _finite(value)) for name, value in zip(METRIC_COLUMNS, values, strict=True))
            found[run_id] = ((suite_id, position), figures)
        return found

    def _described(self, chosen: dict[str, tuple[tuple[str, int], Pairs]]) -> tuple[_Run, ...]:
        with open_results(self._path) as connection:
            # As they were stored: the columns of a selection are of a kind that holds those of other suites too.
            listing = connection.execute("SELECT suite_id, position, labels FROM suite_runs").fetchall()
            connection.register("chosen", pa.table({"run_id": pa.array(list(chosen), type=pa.string())}))
            about = connection.execute(
                "SELECT run_id, configuration_hash, digest, series, start_ns, end_ns FROM runs JOIN chosen "
                "USING (run_id) ORDER BY run_id"
            ).fetchall()
            counts = connection.execute(
                "SELECT run_id, count(*), count(*) FILTER (WHERE NOT coalesce(risk > 0 AND isfinite(net / risk), "
                "false)) FROM trades JOIN chosen USING (run_id) GROUP BY run_id"
            ).fetchall()
        texts = {(suite_id, position): text for suite_id, position, text in listing}
        held = {run_id: (count, without) for run_id, count, without in counts}
        runs = []
        for number, (run_id, trial, digest, series, start_ns, end_ns) in enumerate(about):
            place, given = chosen[run_id]
            told = json.loads(texts[place])
            labels = tuple((name, _plain(value)) for name, value in told.items() if value is not None)
            count, without = held.get(run_id, (0, 0))
            candidate = Candidate(
                number=number, candidate_id=run_id, labels=(*labels, (WITHOUT_R, without)) if without else labels,
                given=given, trial=trial,
            )  # fmt: skip
            read = tuple((str(symbol), str(source)) for symbol, source in json.loads(series))
            data = DataSet(series=read, start_ns=start_ns, end_ns=end_ns)
            runs.append(_Run(candidate=candidate, digest=digest, trades=0 if without else count, data=data))
        return tuple(runs)


def _trades(rows: dict[str, "np.ndarray[Any, np.dtype[Any]]"], part: slice) -> CandidateTrades:
    risk = rows["risk"][part]
    costs = rows["commission"][part] + rows["spread_cost"][part] + rows["slippage_cost"][part]
    return CandidateTrades(
        entry_ns=rows["entry_ns"][part],
        exit_ns=rows["exit_ns"][part],
        r_net=rows["net"][part] / risk,
        cost_r=(costs + np.maximum(rows["financing"][part], 0.0)) / risk,
        side=np.where(rows["side"][part] == "buy", 1, -1),
    )


def _plain(value: Any) -> Any:
    """A label as one value: of symbols `BTCUSDT+ETHUSDT`."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "+".join(value)
    return json.dumps(value, sort_keys=True) if isinstance(value, (list, dict)) else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
