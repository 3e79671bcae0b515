"""The bot's own configuration: everything that is equal in every mode.

Frozen pydantic models, unknown keys refused, ranges in the types. The sections that choose adapters are models of the
packages that compose the bot. Durations and instants are text in YAML and integer nanoseconds here.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from src.core.calendars import ALWAYS, calendar_named
from src.core.errors import ConfigError
from src.core.instrument import QUOTE_CURRENCIES, Instrument
from src.core.journal import ACCOUNT_STREAM
from src.core.timeframe import format_duration, format_instant, parse_duration, parse_instant, parse_timeframe

__all__ = [
    "AccountConfig",
    "BotConfig",
    "BreakEvenConfig",
    "CalendarName",
    "DurationNs",
    "InstantNs",
    "InstrumentConfig",
    "ManageConfig",
    "PollConfig",
    "RiskConfig",
    "Section",
    "SessionCloseConfig",
    "SessionConfig",
    "SizeConfig",
    "StrategyConfig",
    "TimeframeNs",
    "TrailingConfig",
    "exactly_one",
]


class Section(BaseModel):
    """Base of all configuration models: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


def _text(parse: Callable[[Any], int]) -> BeforeValidator:
    def convert(value: Any) -> int:
        try:
            return parse(value)
        except ConfigError as error:
            raise ValueError(error.message) from None

    return BeforeValidator(convert)


DurationNs = Annotated[int, _text(parse_duration), PlainSerializer(format_duration)]
TimeframeNs = Annotated[int, _text(parse_timeframe), PlainSerializer(format_duration)]
InstantNs = Annotated[int, _text(parse_instant), PlainSerializer(format_instant)]


def _calendar(name: str) -> str:
    try:
        calendar_named(name)
    except ConfigError as error:
        raise ValueError(error.message) from None
    return name


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as America
        raise ValueError(f"expected a zone such as America/New_York, found {name!r}") from None
    return name


CalendarName = Annotated[str, AfterValidator(_calendar)]
ZoneName = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]

Positive = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(gt=0, le=100)]


def exactly_one(section: Section, *names: str) -> None:
    """Raise ValueError unless exactly one of the fields is set, naming the ones that are."""
    given = [name for name in names if getattr(section, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise ValueError(f"expected exactly one of {', '.join(names)}, found {found}")


class AccountConfig(Section):
    """The account; `balance` is what one that no venue keeps starts with."""

    name: str = "main"
    type: Literal["margin", "spot"] = "margin"
    currency: str = Field(min_length=2, max_length=10)
    balance: Positive
    positions: Literal["netting", "hedging"] = "netting"
    leverage: Annotated[float, Field(ge=1, le=1000)] = 1.0

    @model_validator(mode="after")
    def _spot_has_no_leverage(self) -> "AccountConfig":
        if self.type == "spot" and self.leverage != 1:
            raise ValueError(f"a spot account has leverage 1, found {self.leverage:g}; write type: margin to borrow")
        if self.type == "spot" and self.positions == "hedging":
            raise ValueError("a spot account holds coins and cannot hedge; write positions: netting")
        return self


class InstrumentConfig(Section):
    """The rules of one symbol; `currency` is the one its profit arises in.

    By default it is read from the names; that of a share, whose name tells none, is the account's.
    """

    venue: str = ""
    kind: Literal["spot", "perpetual", "fx", "equity"] = "spot"
    currency: str | None = None
    tick: Annotated[float, Field(ge=0)] = 0.0
    volume_step: Annotated[float, Field(ge=0)] = 0.0
    min_volume: Annotated[float, Field(ge=0)] = 0.0
    max_volume: Positive | None = None
    min_notional: Annotated[float, Field(ge=0)] = 0.0
    calendar: CalendarName = ALWAYS

    def build(self, symbol: str, account_currency: str) -> Instrument:
        """The instrument of `symbol`; without a stated or legible currency the symbol's last letters decide."""
        quote = self.quote_of(symbol, account_currency) or symbol[-3:]
        return Instrument(
            symbol=symbol, kind=self.kind, quote_currency=quote, tick=self.tick, volume_step=self.volume_step,
            min_volume=self.min_volume, max_volume=self.max_volume or float("inf"), min_notional=self.min_notional,
            calendar=self.calendar, venue=self.venue or symbol,
        )  # fmt: skip

    def quote_of(self, symbol: str, account_currency: str) -> str | None:
        """The currency that the profit of `symbol` arises in; None where neither the file nor a name tells it."""
        if self.currency is not None:
            return self.currency
        if "/" in self.venue:
            return self.venue.split("/")[1].split(":")[-1]
        if self.kind == "equity":
            return account_currency
        known = (account_currency, *QUOTE_CURRENCIES)
        found = next((one for one in known if symbol.endswith(one) and symbol != one), None)
        # A pair of currencies is six letters: EURCHF ends with a currency, whatever the list above has.
        return symbol[-3:] if found is None and self.kind == "fx" and _is_pair(symbol) else found


def _is_pair(symbol: str) -> bool:
    return len(symbol) == 6 and symbol.isalpha() and symbol.isupper()


class SessionConfig(Section):
    """When a strategy may enter: while a calendar is open and, where they are given, between two times of the day.

    The calendar is by default the one of each symbol's instrument. The times are local to `zone`; `from` belongs to the
    window and `to` does not, and a window whose end comes before its start runs past midnight.
    """

    calendar: CalendarName | None = None
    from_: TimeOfDay | None = Field(default=None, alias="from")
    to: TimeOfDay | None = None
    zone: ZoneName = "UTC"

    @model_validator(mode="after")
    def _window(self) -> "SessionConfig":
        if (self.from_ is None) != (self.to is None):
            raise ValueError("expected from and to together, found one of them; write both, or neither")
        if self.from_ is not None and self.from_ == self.to:
            raise ValueError(f"from and to are both {self.to}, which is an empty window; write two times, or neither")
        return self


class StrategyConfig(Section):
    """One strategy instance: name of the table or `file.py:Class`, timeframe, parameters, symbols and session."""

    use: str = Field(min_length=1)
    name: str | None = None
    timeframe_ns: TimeframeNs | None = Field(default=None, alias="timeframe")
    params: dict[str, bool | int | float | str] = Field(default_factory=dict)
    symbols: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    session: SessionConfig | None = None

    @property
    def instance(self) -> str:
        """The name of the instance's books."""
        return self.name or self.use.rsplit(":", 1)[-1]


class SizeConfig(Section):
    """How large an entry is: base units, a share of equity, or a share of equity lost at the stop."""

    volume: Positive | None = None
    equity_percent: Positive | None = None
    risk_percent: Percent | None = None

    @model_validator(mode="after")
    def _one(self) -> "SizeConfig":
        exactly_one(self, "volume", "equity_percent", "risk_percent")
        return self


class DayConfig(Section):
    """When the account's day starts."""

    zone: str = "UTC"
    at: TimeOfDay = "00:00"


class RiskConfig(Section):
    """Limits that no entry may exceed; each missing one is no limit, but the size is required.

    When the daily loss limit is reached no more entries are taken until the next day and those that still work are
    cancelled. With `on_daily_loss: block` positions stay; with `flatten` they are closed, as is whatever fills later.
    After a losing trade a book pauses for `cool_down_after_loss`, and may not turn a losing position around.
    """

    size: SizeConfig
    max_open_positions: Annotated[int, Field(ge=1)] | None = None
    max_open_risk_percent: Percent | None = None
    max_spread_percent: Percent | None = None
    daily_loss_limit_percent: Percent | None = None
    on_daily_loss: Literal["block", "flatten"] = "block"
    cool_down_after_loss_ns: DurationNs = Field(default=0, alias="cool_down_after_loss")
    day: DayConfig = DayConfig()


class BreakEvenConfig(Section):
    """Move the stop to the entry, plus `offset_r`, once the profit has reached `at_r`."""

    at_r: Positive
    offset_r: Annotated[float, Field(ge=0)] = 0.0


class TrailingConfig(Section):
    """Keep the stop one distance behind the close once the profit has reached `start_r`."""

    start_r: Annotated[float, Field(ge=0)] = 0.0
    distance_atr: Positive | None = None
    distance_percent: Percent | None = None
    distance_r: Positive | None = None
    atr: Annotated[int, Field(ge=1)] = 14

    @model_validator(mode="after")
    def _one(self) -> "TrailingConfig":
        exactly_one(self, "distance_atr", "distance_percent", "distance_r")
        return self


class TimeExitConfig(Section):
    """Close a position that has been open for `after`."""

    after_ns: DurationNs = Field(alias="after", gt=0)


class SessionCloseConfig(Section):
    """Close positions so long before their market closes: at the end of the session, on Friday in the forex week."""

    before_ns: DurationNs = Field(alias="before", gt=0)


class ManageConfig(Section):
    """What the position monitor does with open positions."""

    on: Literal["bar_close"] = "bar_close"
    break_even: BreakEvenConfig | None = None
    trailing: TrailingConfig | None = None
    time_exit: TimeExitConfig | None = None
    session_close: SessionCloseConfig | None = None


class PollConfig(Section):
    """How often a clock that really waits asks whether there is something to do."""

    worker_ns: DurationNs = Field(default=1_000_000_000, alias="worker", gt=0)
    position_monitor_ns: DurationNs = Field(default=5_000_000_000, alias="position_monitor", gt=0)


class BotConfig(Section):
    """The bot's sections of a configuration file."""

    name: str = Field(default="bot", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    account: AccountConfig
    instruments: dict[str, InstrumentConfig]
    symbols: tuple[str, ...] = Field(min_length=1)
    strategies: tuple[StrategyConfig, ...] = Field(min_length=1)
    risk: RiskConfig
    manage: ManageConfig = ManageConfig()
    poll: PollConfig = PollConfig()
    on_error: Literal["stop_all", "stop_symbol"] = "stop_all"

    @model_validator(mode="after")
    def _names_agree(self) -> "BotConfig":
        problems: list[str] = []
        if len(set(self.symbols)) != len(self.symbols):
            problems.append("symbols: each symbol may stand there once")
        if ACCOUNT_STREAM in self.symbols:
            problems.append(f"symbols: {ACCOUNT_STREAM!r} is taken by the account's records; name it otherwise")
        problems += [
            f"symbols: {symbol} has no entry under instruments (there: {', '.join(self.instruments) or 'none'})"
            for symbol in self.symbols
            if symbol not in self.instruments
        ]
        names = [strategy.instance for strategy in self.strategies]
        for i, strategy in enumerate(self.strategies):
            problems += [
                f"strategies.{i}.symbols: {symbol} is not one of symbols ({', '.join(self.symbols)})"
                for symbol in strategy.symbols or ()
                if symbol not in self.symbols
            ]
            if names.count(names[i]) > 1:
                problems.append(f"strategies.{i}: the name {names[i]!r} is taken; give each instance a name of its own")
        problems += self._shared_books()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _shared_books(self) -> list[str]:
        if self.account.positions == "hedging":
            return []
        out = []
        for symbol in self.symbols:
            users = [s.instance for s in self.strategies if symbol in (s.symbols or self.symbols)]
            if len(users) > 1:
                out.append(
                    f"strategies: {' and '.join(users)} trade {symbol} on one netting account; give them symbols of "
                    "their own or write account.positions: hedging"
                )
        return out
