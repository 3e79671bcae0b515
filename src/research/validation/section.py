"""The sections of a validation's configuration. Pure; any thread."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, field_validator, model_validator

from src.core.config import DurationNs, InstantNs, Section, ZoneName
from src.core.timeframe import MINUTE_NS
from src.research.suite.section import NAME, DaskSection

__all__ = [
    "CandidatesSection", "CombinatorialSection", "CostStressSection", "DaylightSection", "DormantSection",
    "DrawdownSection", "ExpectancySection", "GeneratedSection", "MultipleTestingSection", "PeriodSection",
    "PhasesSection", "ReoptimiseSection", "SampleSection", "SharpeSection", "ValidationSection",
    "WalkforwardSection", "YearsSection",
]  # fmt: skip

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _no_bare_year(value: Any) -> Any:
    """A year alone would be taken for nanoseconds since 1970."""
    if isinstance(value, int):
        raise ValueError(f"expected a date such as 2024-01-31, found the number {value}")
    return value


_DURATION: TypeAdapter[int] = TypeAdapter(DurationNs)
Date = Annotated[InstantNs, BeforeValidator(_no_bare_year)]


class GeneratedSection(Section):
    """Trades of a generator, labelled SYNTHETIC; `planted` of the candidates have a true edge."""

    candidates: Count = 400
    planted: Annotated[int, Field(ge=0)] = 10
    years: Count = 8
    trades_per_year: Count = 50
    edge: Annotated[float, Field(gt=0)] = 0.35
    shape: Literal["normal", "positive", "negative"] = "normal"
    seed: int = 7

    @model_validator(mode="after")
    def _fewer_planted(self) -> "GeneratedSection":
        if self.planted > self.candidates:
            raise ValueError(f"expected planted at most candidates, {self.candidates}, found {self.planted}")
        return self


class CandidatesSection(Section):
    """Where the candidates come from: a suite's results, a table of trades, or a generator.

    `path` is the table, or the database of results, relative to the configuration. Of a suite `suite` (its name, or how
    its id begins) and `where` (an SQL condition on its runs) choose. `trials` is how many were tried and not kept; of
    suites the trial ledger knows that.
    """

    source: Literal["generated", "table", "results"]
    path: str | None = None
    suite: str | None = None
    where: str | None = None
    trials: Annotated[int, Field(ge=0)] = 0
    generated: GeneratedSection = GeneratedSection()

    @model_validator(mode="after")
    def _what_the_source_takes(self) -> "CandidatesSection":
        if self.source == "table" and not self.path:
            raise ValueError("source: table needs path, a CSV or Parquet file of trades")
        if self.source == "generated" and self.path:
            raise ValueError("source: generated reads no file; leave path out, or write source: table")
        if self.source != "results" and (self.suite or self.where):
            raise ValueError("suite and where choose among the results of suites; write source: results")
        if self.source == "results" and self.trials:
            raise ValueError("the trials of a suite are known from the trial ledger; trials belongs to source: table")
        return self


class PeriodSection(Section):
    """The time that the candidates were looked at; without it from the first entry to the last exit of them all."""

    start_ns: Date = Field(alias="start")
    end_ns: Date = Field(alias="end")

    @model_validator(mode="after")
    def _forward(self) -> "PeriodSection":
        if self.end_ns <= self.start_ns:
            raise ValueError("end must lie after start")
        return self


class SampleSection(Section):
    """Too few trades say nothing."""

    reject_below: Annotated[int, Field(ge=2)] = 30
    warn_below: Annotated[int, Field(ge=2)] = 100


class ExpectancySection(Section):
    """The mean net R of all trades has to lie above this."""

    above: float = 0.0


class DormantSection(Section):
    """A year is dormant, and waived, when its mean daily ATR lies below this and it has at most so many trades."""

    atr_below: Annotated[float, Field(gt=0)]
    trades_at_most: Annotated[int, Field(ge=0)] = 5


class YearsSection(Section):
    """So many of the full years have to be positive, and each needs so many trades."""

    positive_share: Share = 0.6
    minimum_trades: Annotated[int, Field(ge=0)] = 1
    dormant: DormantSection | None = None


class CostStressSection(Section):
    """The mean net R has to stay above 0 with the costs multiplied by this."""

    factor: Annotated[float, Field(gt=1)] = 1.5


class SharpeSection(Section):
    """The annual Sharpe ratio of the daily net R has to reach this; without it the phase is off."""

    minimum: float | None = None


class DrawdownSection(Section):
    """The largest fall of the summed net R may be so many R; without it the phase is off."""

    maximum_r: Annotated[float, Field(gt=0)] | None = None


class PhasesSection(Section):
    """The cheap phases, in this order."""

    sample: SampleSection = SampleSection()
    expectancy: ExpectancySection = ExpectancySection()
    years: YearsSection = YearsSection()
    cost_stress: CostStressSection = CostStressSection()
    sharpe: SharpeSection = SharpeSection()
    drawdown: DrawdownSection = DrawdownSection()


class CombinatorialSection(Section):
    """Combinatorial purged splits: each candidate's trades in so many groups, of which so many at a time are tested."""

    groups: Annotated[int, Field(ge=2, le=16)] = 6
    tested: Count = 2

    @model_validator(mode="after")
    def _fewer_tested(self) -> "CombinatorialSection":
        if self.tested >= self.groups:
            raise ValueError(f"expected tested below groups, {self.groups}, found {self.tested}")
        return self


class WalkforwardSection(Section):
    """How the windows are cut, and what they have to show.

    `anchored`: train from the beginning of the period, which grows; `rolling`: train of one length; `trades`: both are
    so many trades instead of months. A window counts when it has `minimum_trades` in its test and is whole.
    `embargo` before a test: the longest holding time in its train, or a duration. With `combinatorial` the share of
    positive combinatorial tests is told beside them; it decides nothing.
    """

    windows: Literal["anchored", "rolling", "trades"] = "anchored"
    train_months: Count = 12
    test_months: Count = 6
    train_trades: Count = 100
    test_trades: Count = 30
    minimum_trades: Count = 15
    valid_windows: Count = 3
    positive_share: Share = 0.6
    expectancy_above: float = 0.0
    embargo: Literal["longest"] | DurationNs = "longest"
    combinatorial: CombinatorialSection | None = None

    @field_validator("embargo", mode="before")
    @classmethod
    def _embargo(cls, value: Any) -> Any:
        if value != "longest":
            try:
                _DURATION.validate_python(value)
            except ValidationError:
                raise ValueError(f"expected longest or a duration such as 2d, found {value!r}") from None
        return value


class ReoptimiseSection(Section):
    """Choose parameters on each train, and run the real engine on its test.

    `manifest` is a suite whose runs are the choices; its windows are replaced. `objective` is a figure of the runs, of
    which the best is chosen among those with `minimum_trades` in the train.
    """

    manifest: str
    objective: str = "sharpe"
    minimum_trades: Annotated[int, Field(ge=0)] = 15


class MultipleTestingSection(Section):
    """How many false discoveries are allowed among those that pass, and how a p-value is come by.

    `worst_r` is a loss that each sample is judged with as if it had happened once more, to every trade of a crowded
    day: no sample shows the losses that it was too short to meet. `resamples` and `seed` belong to p-values that are
    drawn.
    """

    method: Literal["by", "bh"] = "by"
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    p_value: str = "robust"
    worst_r: Annotated[float, Field(ge=0)] = 1.0
    resamples: Annotated[int, Field(ge=99)] = 9999
    seed: int = 7
    reality_check: Literal["spa", "white"] | None = None


class DaylightSection(Section):
    """Sessions fixed to the clock of a zone: how their trades do in its winter and in its summer. It decides nothing.

    `zones` names the reference zone of each session; sessions that are not named are left out.
    """

    zones: dict[str, ZoneName] = Field(default_factory=dict)
    minimum_trades: Count = 15


class ValidationSection(Section):
    """A validation; see the classes of its keys."""

    name: Annotated[str, Field(pattern=NAME)] = "validation"
    candidates: CandidatesSection | None = None
    reoptimise: ReoptimiseSection | None = None
    runs: str = "../runs"
    period: PeriodSection | None = None
    discovery_cutoff_ns: Date | None = Field(default=None, alias="discovery_cutoff")
    phases: PhasesSection = PhasesSection()
    walkforward: WalkforwardSection = WalkforwardSection()
    multiple_testing: MultipleTestingSection = MultipleTestingSection()
    daylight: DaylightSection = DaylightSection()
    workers: Count | None = None
    deadline_ns: DurationNs = Field(default=10 * MINUTE_NS, alias="deadline", gt=0)
    executor: Literal["processes", "dask"] = "processes"
    dask: DaskSection = DaskSection()

    @model_validator(mode="after")
    def _one_source(self) -> "ValidationSection":
        if (self.candidates is None) == (self.reoptimise is None):
            found = "none" if self.candidates is None else "both"
            raise ValueError(f"expected candidates: or reoptimise:, found {found}")
        period, cutoff_ns = self.period, self.discovery_cutoff_ns
        if period is not None and cutoff_ns is not None and cutoff_ns >= period.end_ns:
            raise ValueError("discovery_cutoff must lie before the end of the period")
        if self.multiple_testing.reality_check is not None and cutoff_ns is None:
            raise ValueError("multiple_testing.reality_check is of the weeks after the discovery_cutoff; declare one")
        return self
