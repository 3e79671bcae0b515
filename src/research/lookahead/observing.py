"""One strategy on one symbol, run by itself over a given market: its features and decisions.

The run is composed as every backtest is. The file of the strategy is executed anew for each, so that nothing passes
from one run to the next. What a bot prints goes to stderr. Called by one thread in each process.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from types import new_class

from src.backtesting.run import PreparedRun, compose
from src.backtesting.schedules import policy_named
from src.backtesting.strict import refuse_real_locks
from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError, LockstepError
from src.core.features import Feature, FeatureView
from src.core.journal import FIELDS, JournalRecord
from src.core.record import record
from src.core.strategy import Strategy
from src.core.trading_controller import MONITOR
from src.data.market import MarketData, market_from_series
from src.research.lookahead.hiding import HidingBroker, hidden, noting_risk
from src.research.trial import Trial, prepared_for

__all__ = ["Column", "Failure", "Observation", "Stage", "as_asked"]

_ACTION, _ID, _VOLUME = (FIELDS["decision"].index(name) for name in ("action", "id", "volume"))


@record
class Column:
    """A feature of the strategy with all its values.

    Attributes:
        name: the strategy's attribute and the feature's key.
        series: the bars that it is made of, values[i] belongs to bar i.
    """

    name: str
    feature: Feature
    series: BarSeries
    values: FloatArray


@record
class Failure:
    """What ended the strategy, and when; the start of its run where it could not even be made."""

    instant_ns: int
    sentence: str


@record
class Observation:
    """What a run showed.

    Attributes:
        decisions: the strategy's own intents and refusals, in order; what the position monitor does is not its. An
            entry has the volume that the strategy stated, where it stated one, whatever became of it.
        records: the whole journal.
        columns: the features by name.
        failure: None when it ran to its end.
        stated: the ids of the entries whose volume the strategy stated itself, those that were refused too.
    """

    decisions: tuple[JournalRecord, ...]
    records: tuple[JournalRecord, ...]
    columns: dict[str, Column]
    failure: Failure | None
    stated: frozenset[str] = frozenset()


class Stage:
    """Where a strategy is run alone on a symbol of its configuration.

    Args:
        trial: the configuration.
        instance: the strategy's name.
        symbol: what it trades.
        timeframes_ns: the timeframes that it subscribes, its own first.
    """

    def __init__(self, trial: Trial, instance: str, symbol: str, timeframes_ns: Sequence[int]) -> None:
        self._trial = trial
        self._instance = instance
        self.symbol = symbol
        self._timeframes = tuple(timeframes_ns)
        prepared = prepared_for(trial)
        self.start_ns, self.end_ns = prepared.start_ns, prepared.end_ns
        self.balance = prepared.config.account.balance
        self._runtime = _fastest_runtime(prepared)
        whole = prepared.market.base[symbol]
        self.base = whole
        self.market = self._market_of(prepared, whole)
        #: The bars of each subscribed timeframe, the strategy's own first.
        self.series = [self.market.series(symbol, each) for each in timeframes_ns]

    def _market_of(self, prepared: PreparedRun, base: BarSeries) -> MarketData:
        calendars = {self.symbol: prepared.config.instruments[self.symbol].calendar}
        return market_from_series({self.symbol: base}, {self.symbol: self._timeframes}, calendars=calendars)

    def observe(
        self, base: BarSeries, start_ns: int | None = None, end_ns: int | None = None, balance: float | None = None,
        *, hiding: bool = False,
    ) -> Observation:  # fmt: skip
        """Run over the bars `base`, which are nobody else's, in a window; what is None is as configured.

        Args:
            hiding: let the strategy have only arrays that are filled in as bars close.

        Raises:
            LockstepError: the run could not even begin for a reason that is not the strategy's.
        """
        with redirect_stdout(sys.stderr):
            prepared = prepared_for(self._trial)
            begin = prepared.start_ns if start_ns is None else start_ns
            made: list[Strategy] = []
            market = self._market_of(prepared, base)
            alone = replace(
                self._alone(prepared, balance, made),
                market=hidden(market) if hiding else market, start_ns=begin,
                end_ns=prepared.end_ns if end_ns is None else end_ns,
            )  # fmt: skip
            controller = compose(alone, venue=HidingBroker)
            volumes: dict[str, float] = {}
            trading = controller.trading_controller
            trading.risk = noting_risk(trading.risk, volumes)
            try:
                result = controller.run()
            except ConfigError as error:  # the strategy refuses to be made or asks for what it may not
                return self._observation((), made, Failure(instant_ns=begin, sentence=error.message))
        failure = None
        sentence = result.failures.get(self.symbol) or ("" if result.error is None else result.error.message)
        if sentence:
            failure = Failure(instant_ns=_failed_ns(result.records, result.error, begin), sentence=sentence)
        observed = self._observation(tuple(result.records), made, failure)
        decisions = tuple(as_asked(each, volumes) for each in observed.decisions)
        return replace(observed, decisions=decisions, stated=frozenset(volumes))

    def _alone(self, prepared: PreparedRun, balance: float | None, made: list[Strategy]) -> PreparedRun:
        config = prepared.config
        strategy = next(each for each in config.strategies if each.instance == self._instance)
        account = config.account if balance is None else config.account.model_copy(update={"balance": balance})
        alone = config.model_copy(
            update={
                "symbols": (self.symbol,),
                "strategies": (strategy.model_copy(update={"symbols": (self.symbol,)}),),
                "account": account,
                "backtest": config.backtest.model_copy(update={"control": (), "runtime": self._runtime}),
            }
        )
        return replace(
            prepared,
            config=alone,
            classes={self._instance: _remembering(prepared.classes[self._instance], made)},
            # Whether it looks ahead does not depend on a rate of exchange, whose pair is not there.
            instruments={self.symbol: replace(prepared.instruments[self.symbol], quote_currency=account.currency)},
            policy=policy_named("fifo", config.backtest.seed),
        )

    def _observation(
        self, records: tuple[JournalRecord, ...], made: Sequence[Strategy], failure: Failure | None
    ) -> Observation:
        decisions = tuple(
            each
            for each in records
            if each.kind == "decision" and each.values[0] == self._instance and each.participant != MONITOR
        )
        return Observation(decisions=decisions, records=records, columns=_columns(made), failure=failure)


def as_asked(decision: JournalRecord, volumes: Mapping[str, float]) -> JournalRecord:
    """An entry with the volume that was asked for, by its id; other decisions as they are.

    The journal has what was granted: the stated volume by the instrument's steps, and 0 for what was refused.
    """
    values = decision.values
    asked = volumes.get(values[_ID]) if values[_ACTION] == "enter" else None
    if asked is None:
        return decision
    return decision._replace(values=(*values[:_VOLUME], asked, *values[_VOLUME + 1 :]))


def _fastest_runtime(prepared: PreparedRun) -> str:
    """Both give one result; fibers cannot carry a strategy that takes a real lock."""
    try:
        refuse_real_locks(prepared.user_files)
    except ConfigError:
        return "threads"
    return "fibers"


def _remembering(cls: type[Strategy], made: list[Strategy]) -> type[Strategy]:
    """The class, which keeps each instance that is asked for its features."""

    def features(self: Strategy) -> dict[str, Feature]:
        made.append(self)
        return cls.features(self)

    body = {"features": features, "__module__": cls.__module__, "__doc__": cls.__doc__}
    remembering: type[Strategy] = new_class(cls.__name__, (cls,), exec_body=lambda names: names.update(body))
    return remembering


def _columns(made: Sequence[Strategy]) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for strategy in made:
        for name, view in vars(strategy).items():
            if isinstance(view, FeatureView):
                column = view.column
                text = f"{name} = {column.feature.key}"
                values = column.values[: column.computed]
                found[text] = Column(name=text, feature=column.feature, series=column.series, values=values)
    return found


def _failed_ns(records: Sequence[JournalRecord], error: LockstepError | None, begin_ns: int) -> int:
    found = [each.instant_ns for each in records if each.kind == "participant" and dict(each.fields)["error"]]
    if found:
        return found[0]
    at = None if error is None else error.details.get("instant_ns")
    return at if isinstance(at, int) else begin_ns
