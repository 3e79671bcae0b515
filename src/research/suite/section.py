"""The sections of a suite's manifest: what it is run with, and what its runs are the product of.

Pure; any thread. What needs the base configuration or the classes of strategies is checked where the manifest is read.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from src.backtesting.config import CostsSection
from src.backtesting.schedules import policy_named
from src.backtesting.schedules.free import Free
from src.core.config import DurationNs, InstantNs, Section, StrategyConfig
from src.core.errors import ConfigError
from src.core.timeframe import HOUR_NS

__all__ = [
    "NAME", "DaskSection", "ProductSection", "RunSection", "SearchSection", "SuiteSection", "ValuesSection",
    "WindowSection",
]  # fmt: skip

#: What a suite and a run may be called: their names become names of folders.
NAME = r"^[A-Za-z0-9_.-]{1,64}$"

#: Names that runs without one get.
_GIVEN_NAME = re.compile(r"run-\d+")

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)\s*$", re.IGNORECASE)
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_LEAST_BYTES = 10**8

#: What draws where a manifest names no seed.
_SEED = 7
#: How many combinations a search chooses at once where the manifest does not say it.
_BATCH = 8

_FIRST_NS = 10**17  # the year 1973


def _bytes(value: Any) -> int:
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected an amount of memory such as 8GB or 512MB, found {value!r}")
    found = round(float(match[1]) * _UNITS[match[2].lower()])
    if found < _LEAST_BYTES:
        raise ValueError(f"expected at least 100MB, found {value!r}")
    return found


def _listed(value: Any) -> Any:
    """A list of values as a section that holds them; everything else as it is."""
    if isinstance(value, (list, tuple)):
        return {"values": list(value)}
    if isinstance(value, (str, int, float, bool)) or value is None:
        raise ValueError(f"expected a list such as [10, 20] or a range such as {{from: 10, to: 50, steps: 5}}, found "
                         f"{value!r}")  # fmt: skip
    return value


def _strategies(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _symbols(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"expected a list of symbols such as [BTCUSDT, ETHUSDT], found the word {value!r}")
    return value


class ValuesSection(Section):
    """The values of one key: a list, or a range with its ends and `steps` values, both ends included, or a `step`.

    In a random search a range needs neither of the two: values are drawn inside it, with `log: true` so that each
    doubling is as likely as any other.
    """

    values: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    from_: int | float | None = Field(default=None, alias="from")
    to: int | float | None = None
    steps: Annotated[int, Field(ge=2)] | None = None
    step: Annotated[int | float, Field(gt=0)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "ValuesSection":
        ends = (self.from_, self.to, self.steps, self.step)
        if self.values is not None and (self.log or any(each is not None for each in ends)):
            raise ValueError("expected a list of values or a range, found both; write one of them")
        if self.steps is not None and self.step is not None:
            raise ValueError("expected one of steps and step, found both")
        if self.step is not None and self.log:
            raise ValueError("a step is a distance, which log: true has not; write steps, or leave log out")
        if self.from_ is not None and self.to is not None and self.from_ >= self.to:
            raise ValueError(f"from must lie below to, found {self.from_} and {self.to}; write a list for one value")
        if self.log and self.from_ is not None and self.from_ <= 0:
            raise ValueError(f"log: true needs from above 0, found {self.from_}")
        return self


class WindowSection(Section):
    """One window of the runs."""

    start_ns: InstantNs = Field(alias="start")
    end_ns: InstantNs = Field(alias="end")

    @field_validator("start_ns", "end_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        if isinstance(value, int) and value < _FIRST_NS:
            raise ValueError(f"expected a date such as 2024-01-31, found the number {value}")
        return value

    @model_validator(mode="after")
    def _forward(self) -> "WindowSection":
        if self.end_ns <= self.start_ns:
            raise ValueError("end must lie after start")
        return self


class ProductSection(Section):
    """Every combination of these is a run; the key that stands first varies slowest.

    `strategies` are whole sections of that name, `params` values by the name of a parameter or, for one strategy alone,
    by `instance.parameter`, and `set` values of any other key of the configuration.
    """

    strategies: Annotated[
        tuple[Annotated[tuple[StrategyConfig, ...], Field(min_length=1), BeforeValidator(_strategies)], ...],
        Field(min_length=1),
    ] | None = None  # fmt: skip
    params: dict[str, Annotated[ValuesSection, BeforeValidator(_listed)]] = Field(default_factory=dict)
    symbols: Annotated[
        tuple[Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_symbols)], ...], Field(min_length=1)
    ] | None = None  # fmt: skip
    windows: Annotated[tuple[WindowSection, ...], Field(min_length=1)] | None = None
    costs: Annotated[tuple[CostsSection, ...], Field(min_length=1)] | None = None
    schedules: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    set: dict[str, Annotated[ValuesSection, BeforeValidator(_listed)]] = Field(default_factory=dict)

    @field_validator("schedules")
    @classmethod
    def _have_identity(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            try:
                policy = policy_named(name, 0)
            except ConfigError as error:
                raise ValueError(error.message) from None
            if isinstance(policy, Free):
                raise ValueError("a run under schedule: free has no identity and cannot be compared; leave it out")
        return value

    @field_validator("symbols")
    @classmethod
    def _each_once(cls, value: tuple[tuple[str, ...], ...] | None) -> tuple[tuple[str, ...], ...] | None:
        for symbols in value or ():
            if len(set(symbols)) != len(symbols):
                raise ValueError(f"each symbol may stand in a set once, found [{', '.join(symbols)}]")
        return value


class SearchSection(Section):
    """How the product is gone through: all of it, so many distinct combinations that a seed draws, or so many that are
    chosen in rounds of `batch`, each after what all earlier rounds came to in the figure `of`.
    """

    method: Literal["grid", "random", "optuna"] = "grid"
    samples: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: int | None = None
    of: Annotated[str, Field(min_length=1)] | None = None
    batch: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @property
    def figure(self) -> str:
        """What is searched for."""
        return self.of or "sharpe"

    @property
    def seed_or_default(self) -> int:
        """What draws."""
        return _SEED if self.seed is None else self.seed

    @property
    def round_size(self) -> int:
        """How many combinations are chosen at once."""
        return self.batch or _BATCH

    @model_validator(mode="after")
    def _of_its_method(self) -> "SearchSection":
        owners = {"samples": "random", "seed": "random", "of": "optuna", "batch": "optuna"}
        own = {"grid": (), "random": ("samples", "seed"), "optuna": tuple(owners)}[self.method]
        for word, method in owners.items():
            if word not in own and getattr(self, word) is not None:
                raise ValueError(f"{word} is of method: {method}; write that, or leave {word} out")
        if own and self.samples is None:
            raise ValueError(
                f"method: {self.method} needs samples, the number of combinations to draw; write samples: 50"
            )
        return self


class RunSection(Section):
    """One run by hand: its name, and what it has besides the base configuration."""

    name: Annotated[str, Field(pattern=NAME)]
    set: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _of_its_own(cls, value: str) -> str:
        if _GIVEN_NAME.fullmatch(value):
            raise ValueError(f"run-0, run-1 and so on are the names of runs that have none, found {value!r}")
        return value


class DaskSection(Section):
    """A cluster, and the folder of the Parquet mirror that each of its machines sees under the same path."""

    address: str = ""
    mirror: str = ""


class SuiteSection(Section):
    """A whole manifest. Paths are relative to it; those in the base configuration are relative to that.

    `deadline` is the real time that one run may take, `memory` what all workers together may use, `sample` how many
    runs are made one after the other first, to know what the others gain by being made side by side.
    """

    name: Annotated[str, Field(pattern=NAME)] = "suite"
    base: Annotated[str, Field(min_length=1)]
    results: str | None = None
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    deadline_ns: DurationNs = Field(default=HOUR_NS, alias="deadline", gt=0)
    memory_bytes: Annotated[int, BeforeValidator(_bytes)] | None = Field(default=None, alias="memory")
    sample: Annotated[int, Field(ge=0)] = 4
    executor: Literal["processes", "dask"] = "processes"
    sync: bool = False
    dask: DaskSection = DaskSection()
    product: ProductSection | None = None
    search: SearchSection = SearchSection()
    runs: tuple[RunSection, ...] = ()

    @model_validator(mode="after")
    def _something_to_run(self) -> "SuiteSection":
        problems: list[str] = []
        product = self.product
        empty = product is not None and not (
            product.strategies or product.params or product.symbols or product.windows or product.costs
            or product.schedules or product.set
        )  # fmt: skip
        if empty:
            problems.append("product: expected at least one key with values, found none; write one, or leave it out")
        if product is None and not self.runs:
            problems.append("expected product, runs or both, found neither; write what is to be run")
        if product is None and self.search.method != "grid":
            problems.append("search: there is no product to be searched; write one, or leave search out")
        names = [each.name for each in self.runs]
        problems += [
            f"runs.{i}.name: the name {name!r} is taken; give each run a name of its own"
            for i, name in enumerate(names)
            if name in names[:i]
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self
