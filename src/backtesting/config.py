"""The `backtest` section of a configuration, and the whole file as a backtest reads it."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from src.backtesting.engine.latency import EVERY_WORKER
from src.backtesting.engine.pacing import TimeMode
from src.backtesting.engine.symbols import SymbolChange
from src.backtesting.fault_section import FaultSection
from src.backtesting.schedules import policy_named
from src.backtesting.schedules.free import Free
from src.brokers.faults import FaultKind
from src.brokers.simulated.costs_section import CostsSection
from src.brokers.simulated.limit_fills import LIMIT_FILLS
from src.core.config import BotConfig, DurationNs, InstantNs, Section, exactly_one
from src.core.errors import ConfigError
from src.core.symbols import ADD, REMOVE, Roster
from src.core.timeframe import HOUR_NS, format_instant
from src.core.trading_controller import MONITOR, worker_name
from src.core.words import meant

__all__ = [
    "EVERY_SYMBOL",
    "AcceptedGapSection",
    "BacktestConfig",
    "BacktestSection",
    "ControlSection",
    "CostsSection",
    "DataSection",
    "GapSection",
    "HoleSection",
    "LatencySection",
]

#: The key of `gaps` that stands for the symbols without an entry of their own.
EVERY_SYMBOL = "*"

# The keys of a synthetic market alone, and the word that keeps it from having a file.
_SYNTHETIC = ("begins_ns", "trend_bp_per_hour", "outage_every_days", "absent_share", "holes", "ticks")
_NO_STORE = "none"

_FIRST_NS = 10**17  # the year 1973

NotNegative = Annotated[float, Field(ge=0)]
NotNegativePercent = Annotated[float, Field(ge=0, lt=100)]


def _not_a_year(value: Any) -> Any:
    # `start: 2024` is a number in YAML; as nanoseconds it would lie in the first second of 1970.
    if isinstance(value, int) and value < _FIRST_NS:
        raise ValueError(f"expected a date such as 2024-01-31, found the number {value}")
    return value


class GapSection(Section):
    """How much of a symbol's bars may be absent where its calendar has them; what is not stated is the default.

    Both are counted in the calendar's open hours. A hole of up to three bars of the series is never too long, because
    a series of days has a holiday now and then.
    """

    absent_share: Annotated[float, Field(ge=0, le=1)] | None = None
    longest_ns: DurationNs | None = Field(default=None, alias="longest", gt=0)


class AcceptedGapSection(Section):
    """A span in which a symbol may have no bars, and why that is right; it is part of the run's identity."""

    symbol: str
    from_ns: InstantNs = Field(alias="from")
    to_ns: InstantNs = Field(alias="to")
    reason: Annotated[str, Field(max_length=500)]

    @field_validator("from_ns", "to_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        return _not_a_year(value)

    @field_validator("reason")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if sum(letter.isalpha() for letter in value) < 3:
            raise ValueError(f"expected a reason in words, such as 'maintenance of the venue', found {value!r}")
        return value

    @model_validator(mode="after")
    def _forward(self) -> "AcceptedGapSection":
        if self.to_ns <= self.from_ns:
            raise ValueError("to must lie after from")
        return self


class HoleSection(Section):
    """Bars that a synthetic market leaves out on purpose: of one symbol, or of all."""

    from_ns: InstantNs = Field(alias="from")
    to_ns: InstantNs = Field(alias="to")
    symbol: str | None = None

    @field_validator("from_ns", "to_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        return _not_a_year(value)

    @model_validator(mode="after")
    def _forward(self) -> "HoleSection":
        if self.to_ns <= self.from_ns:
            raise ValueError("to must lie after from")
        return self


class DataSection(Section):
    """Where the bars come from, and what may be absent of them; paths are relative to the configuration file.

    `seed` belongs to the synthetic market and is not the run's seed. `gaps` is by symbol, `*` for those without an
    entry of their own; it changes no result. A market order that would open something is cancelled when no bar comes
    for longer than `no_entry_across` of open hours. `sync` names the source, such as ccxt:binanceusdm, that is asked
    for absent bars when somebody wants that, with its own `sync_options`.

    The last six describe the synthetic market: where it begins (with the run's window by default, so that there is no
    warm-up), a planted edge (`trend_bp_per_hour`, 0 plants none), one outage in so many days (0 for none), the share of
    minutes without a trade, holes, and whether its file gets quotes and trades.
    It is generated in memory, and nothing is opened or written, with `store: none`.
    """

    source: Literal["synthetic", "store"] = "store"
    store: str | None = None
    seed: int = 7
    gaps: dict[str, GapSection] = Field(default_factory=dict)
    accept_gaps: tuple[AcceptedGapSection, ...] = ()
    no_entry_across_ns: DurationNs = Field(default=HOUR_NS, alias="no_entry_across", gt=0)
    sync: str | None = None
    sync_options: dict[str, Any] = Field(default_factory=dict)
    begins_ns: InstantNs | None = Field(default=None, alias="begins")
    trend_bp_per_hour: Annotated[float, Field(ge=0, le=1000)] = 0.0
    outage_every_days: Annotated[int, Field(ge=0, le=36_500)] = 60
    absent_share: Annotated[float, Field(ge=0, le=0.9)] | None = None
    holes: tuple[HoleSection, ...] = ()
    ticks: bool = False

    @field_validator("begins_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        return _not_a_year(value)

    @model_validator(mode="after")
    def _synthetic_alone(self) -> "DataSection":
        if self.source != "synthetic":
            fields = type(self).model_fields
            given = [name for name in _SYNTHETIC if getattr(self, name) != fields[name].default]
            if given:
                name = fields[given[0]].alias or given[0]
                raise ValueError(f"{name} describes the synthetic market; write source: synthetic or leave it out")
            if self.store == _NO_STORE:
                raise ValueError("store: none is for the synthetic market; write source: synthetic or name a file")
        elif self.in_memory and self.ticks:
            raise ValueError("ticks are written to the store of the synthetic market; name a file instead of none")
        return self

    @property
    def in_memory(self) -> bool:
        """Whether the bars are generated in memory and no store is opened."""
        return self.source == "synthetic" and self.store == _NO_STORE

    @property
    def path(self) -> str:
        """The store's file, with the default of the source."""
        return self.store or ("data/synthetic.duckdb" if self.source == "synthetic" else "data/market.duckdb")


class LatencySection(Section):
    """How late a participant acts: `delay`, and up to `jitter` more, which the seed decides at each instant."""

    delay_ns: DurationNs = Field(default=0, alias="delay", ge=0)
    jitter_ns: DurationNs = Field(default=0, alias="jitter", ge=0)


class ControlSection(Section):
    """A symbol that joins or leaves while the run goes on, after everything else that happens at an instant."""

    at_ns: InstantNs = Field(alias="at")
    add: str | None = None
    remove: str | None = None

    @field_validator("at_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        return _not_a_year(value)

    @model_validator(mode="after")
    def _one(self) -> "ControlSection":
        exactly_one(self, "add", "remove")
        return self

    @property
    def change(self) -> SymbolChange:
        """What it says."""
        action, symbol = (REMOVE, self.remove) if self.add is None else (ADD, self.add)
        return SymbolChange(instant_ns=self.at_ns, action=action, symbol=symbol or "")


class BacktestSection(Section):
    """How the backtest runs. `runtime`, `time_mode`, `pace`, `strict`, `stall_timeout` and `runs` change no result.

    `intrabar` is what is assumed of a bar that holds both exits of a position, `limit_fill` whether a limit fills that
    was touched and not traded through; with `seeded` it does with `touch_probability` (0.5), drawn for each order and
    bar. With `finer` a bar on which something may fill is worked through the shorter bars that the store has of it.
    `trigger_prices` names the stored prices that stops may be triggered by besides the quote.

    `granularity` is what the steps are: the closes of `bar`s, or each quote and trade that the store has, with workers
    and monitor that act on each (`tick`) or at their polls (`second`).

    `schedule` is the name of a policy, which then takes `seed`, or the replay string that a run printed. `free` is no
    order at all: for watching, with a pace and threads only.
    """

    start_ns: InstantNs | None = Field(default=None, alias="start")
    end_ns: InstantNs | None = Field(default=None, alias="end")
    time_mode: TimeMode = TimeMode.MAX_SPEED
    pace: Annotated[str, Field(pattern=r"^\d+(\.\d+)?x$")] | None = None
    runtime: Literal["threads", "fibers"] = "threads"
    schedule: str = "fifo"
    seed: int = 7
    granularity: Literal["bar", "second", "tick"] = "bar"
    intrabar: Literal["worst", "best", "path"] = "worst"
    limit_fill: str = "through"
    touch_probability: Annotated[float, Field(ge=0, le=1)] | None = None
    finer: bool = True
    trigger_prices: tuple[Literal["last", "mark"], ...] = ()
    at_end: Literal["close", "keep"] = "close"
    data: DataSection = DataSection()
    costs: CostsSection = CostsSection()
    latency: dict[str, LatencySection] = Field(default_factory=dict)
    control: tuple[ControlSection, ...] = ()
    faults: tuple[FaultSection, ...] = ()
    strict: bool = False
    stall_timeout_ns: DurationNs = Field(default=60_000_000_000, alias="stall_timeout", gt=0)
    runs: str = "runs"

    @field_validator("limit_fill")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        if value not in LIMIT_FILLS:
            raise ValueError(f"expected one of {', '.join(LIMIT_FILLS)}, found {value!r}{meant(value, LIMIT_FILLS)}")
        return value

    @field_validator("schedule")
    @classmethod
    def _is_schedule(cls, value: str) -> str:
        try:
            policy_named(value, 0)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return value

    @field_validator("start_ns", "end_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        return _not_a_year(value)

    @model_validator(mode="after")
    def _window(self) -> "BacktestSection":
        if self.start_ns is not None and self.end_ns is not None and self.end_ns <= self.start_ns:
            found = f"found start {format_instant(self.start_ns)} and end {format_instant(self.end_ns)}"
            raise ValueError(f"end must lie after start; {found}")
        if isinstance(policy_named(self.schedule, 0), Free):
            self._check_free()
        if self.costs.spread is not None and any(each.add is not None for each in self.control):
            raise ValueError("costs.spread: column is not for symbols that join on the way; write another spread")
        if self.granularity != "bar":
            self._check_prices()
        if self.touch_probability is not None and self.limit_fill in ("through", "touch"):
            raise ValueError(f"touch_probability is of limit_fill: seeded; found limit_fill: {self.limit_fill}")
        if self.data.source == "synthetic" and (self.start_ns is None or self.end_ns is None):
            raise ValueError("a synthetic market needs start and end")
        begins_ns = self.data.begins_ns
        if begins_ns is not None and self.start_ns is not None and begins_ns > self.start_ns:
            raise ValueError(
                "data.begins must not lie after start, because the window would have no bars there; found "
                f"begins {format_instant(begins_ns)} and start {format_instant(self.start_ns)}"
            )
        return self

    @property
    def chance_of_touch(self) -> float:
        """How likely a touched limit fills with `limit_fill: seeded`."""
        return 0.5 if self.touch_probability is None else self.touch_probability

    def _check_prices(self) -> None:
        said = f"granularity: {self.granularity}"
        for key in ("volume_share", "slippage_volume_share"):
            if getattr(self.costs, key):
                raise ValueError(f"costs.{key} counts the volume of bars, and with {said} no bar fills anything")
        if self.trigger_prices:
            raise ValueError(f"trigger_prices are those of bars, and with {said} no bar triggers anything")
        if self.costs.spread is not None:
            raise ValueError(
                f"costs.spread: column is that of bars; with {said} the quotes have their own: write another"
            )
        if any(each.kind is FaultKind.SPREAD for each in self.faults):
            raise ValueError(f"the fault spread widens that of bars, and with {said} the quotes have their own")
        if any(each.add is not None for each in self.control):
            raise ValueError(f"with {said} no symbol can join on the way; name it under symbols")

    def _check_free(self) -> None:
        if self.time_mode is TimeMode.MAX_SPEED and self.pace is None:
            raise ValueError(
                "schedule: free is for watching threads in real time; set time_mode to REALTIME or FAST, or a pace "
                "such as 60x"
            )
        if self.runtime != "threads":
            raise ValueError(f"schedule: free needs threads, which really run at once, found runtime: {self.runtime}")


class BacktestConfig(BotConfig):
    """A whole configuration file as a backtest reads it; the sections of other modes are left to them."""

    backtest: BacktestSection
    paper: dict[str, Any] | None = None
    live: dict[str, Any] | None = None
    notify: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _known_participants(self) -> "BacktestConfig":
        joining = [each.add for each in self.backtest.control if each.add is not None]
        known = [MONITOR, EVERY_WORKER, *map(worker_name, (*self.symbols, *joining))]
        for name in self.backtest.latency:
            if name not in known:
                said = f"backtest.latency: expected a participant among {', '.join(known)}, found {name!r}"
                raise ValueError(f"{said}{meant(name, known)}")
        return self

    @model_validator(mode="after")
    def _known_gaps(self) -> "BacktestConfig":
        data, known = self.backtest.data, list(self.instruments)
        named = [(f"backtest.data.gaps.{symbol}", symbol) for symbol in data.gaps if symbol != EVERY_SYMBOL]
        named += [(f"backtest.data.accept_gaps.{i}.symbol", one.symbol) for i, one in enumerate(data.accept_gaps)]
        named += [(f"backtest.data.holes.{i}.symbol", one.symbol) for i, one in enumerate(data.holes) if one.symbol]
        faults = self.backtest.faults
        named += [(f"backtest.faults.{i}.symbol", one.symbol) for i, one in enumerate(faults) if one.symbol]
        problems = []
        for place, symbol in named:
            if symbol not in known:
                said = f"{place}: expected one of the instruments {', '.join(known)}, found {symbol!r}"
                problems.append(f"{said}{meant(symbol, known)}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _possible_changes(self) -> "BacktestConfig":
        section = self.backtest
        problems: list[str] = []
        roster = Roster(self)
        order = sorted(range(len(section.control)), key=lambda i: section.control[i].at_ns)  # stable
        for i in order:
            change, key = section.control[i].change, f"backtest.control.{i}"
            early = section.start_ns is not None and change.instant_ns < section.start_ns
            late = section.end_ns is not None and change.instant_ns >= section.end_ns
            if early or late:
                bound_ns = section.start_ns if early else section.end_ns
                problems.append(
                    f"{key}.at: expected an instant {'from the start' if early else 'before the end'}, "
                    f"{format_instant(bound_ns or 0)}, found {format_instant(change.instant_ns)}"
                )
            try:
                roster.change(change.action, change.symbol)
            except ConfigError as error:
                problems.append(f"{key}.{change.action}: {error.message}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def changes(self) -> tuple[SymbolChange, ...]:
        """The symbols that join or leave, in the order in which they do."""
        return tuple(sorted([each.change for each in self.backtest.control], key=lambda change: change.instant_ns))

    def identity(self) -> dict[str, Any]:
        """The resolved configuration without what changes no result, as plain JSON values."""
        values = self.model_dump(mode="json", by_alias=True, exclude={"paper", "live", "notify"})
        for key in ("runtime", "time_mode", "pace", "strict", "stall_timeout", "runs", "start", "end"):
            values["backtest"].pop(key, None)
        values["backtest"].pop("schedule", None)  # one policy has several spellings; the identity has it by itself
        values["backtest"].pop("control", None)  # likewise, together with what was done from outside
        if not self.backtest.faults:
            values["backtest"].pop("faults", None)
        for key in ("store", "ticks", "begins"):  # where a market begins is told by its bars, which count themselves
            values["backtest"]["data"].pop(key, None)
        for key in ("gaps", "sync", "sync_options"):  # they refuse a run or let it be; accepted gaps stay
            values["backtest"]["data"].pop(key, None)
        if self.backtest.granularity != "second":
            values.pop("poll", None)
        return values
