"""The bot's own configuration: everything that is equal in every mode.

Frozen pydantic models, unknown keys refused, ranges in the types. The sections that choose adapters are models of the
packages that compose the bot. Durations and instants are text in YAML and integer nanoseconds here.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from src.core.calendars import ALWAYS, calendar_named
from src.core.errors import ConfigError
from src.core.instrument import QUOTE_CURRENCIES, Instrument, MarginTier, SwapRule
from src.core.journal import ACCOUNT_STREAM
from src.core.timeframe import DAY_NS, format_duration, format_instant, parse_duration, parse_instant, parse_timeframe
from src.core.words import meant

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

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "none"]

Positive = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
Leverage = Annotated[float, Field(ge=1, le=1000)]


def exactly_one(section: Section, *names: str) -> None:
    """Raise ValueError unless exactly one of the fields is set, naming the ones that are."""
    given = [name for name in names if getattr(section, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise ValueError(f"expected exactly one of {', '.join(names)}, found {found}")


class AccountConfig(Section):
    """The account; `balance` is what one that no venue keeps starts with.

    The margin level is equity over the margin that open positions need, in percent. Below `margin_call_percent` the
    venue warns, at or below `stop_out_percent` it closes positions; without them it does neither. With
    `negative_balance: zero` it gives back what a flat account owes. With `books: virtual` several strategies trade one
    symbol of a netting account. A conversion rate may be `conversion_max_age` old.
    """

    name: str = "main"
    type: Literal["margin", "spot"] = "margin"
    currency: str = Field(min_length=2, max_length=10)
    balance: Positive
    positions: Literal["netting", "hedging"] = "netting"
    leverage: Leverage = 1.0
    outside_session: Literal["queue", "refuse"] = "queue"
    books: Literal["own", "virtual"] = "own"
    margin_call_percent: Positive | None = None
    stop_out_percent: Positive | None = None
    negative_balance: Literal["keep", "zero"] = "keep"
    conversion_max_age_ns: DurationNs = Field(default=3 * DAY_NS, alias="conversion_max_age", gt=0)

    @model_validator(mode="after")
    def _levels_agree(self) -> "AccountConfig":
        call, out = self.margin_call_percent, self.stop_out_percent
        if self.type == "spot" and (call is not None or out is not None):
            raise ValueError("a spot account borrows nothing and has no margin level; leave the two percents out")
        if call is not None and out is not None and call < out:
            raise ValueError(f"the margin call at {call:g} percent must not come after the stop-out at {out:g} percent")
        if self.books == "virtual" and self.positions == "hedging":
            raise ValueError("a hedging account keeps every position apart; write books: own or positions: netting")
        return self

    @model_validator(mode="after")
    def _spot_has_no_leverage(self) -> "AccountConfig":
        if self.type == "spot" and self.leverage != 1:
            raise ValueError(f"a spot account has leverage 1, found {self.leverage:g}; write type: margin to borrow")
        if self.type == "spot" and self.positions == "hedging":
            raise ValueError("a spot account holds coins and cannot hedge; write positions: netting")
        return self


class MarginTierConfig(Section):
    """From which notional on which leverage and, where the venue states one, which maintenance margin in percent."""

    from_: Annotated[float, Field(ge=0)] = Field(alias="from")
    leverage: Leverage
    maintenance_percent: Percent | None = None


class InstrumentConfig(Section):
    """The rules of one symbol; `currency` is the one its profit arises in.

    By default it is read from the names; that of a share, whose name tells none, is the account's. `leverage`, or
    `margin_tiers` that begin at 0, stand in for the account's leverage. A position needs `maintenance_percent` of its
    notional, or else its whole margin, to stay open. Swaps are price units credited for each unit of volume and night,
    at `swap_at` of `swap_zone`, three times on `swap_triple`; negative ones are paid.
    """

    venue: str = ""
    kind: Literal["spot", "perpetual", "fx", "equity"] = "spot"
    currency: str | None = None
    tick: Annotated[float, Field(ge=0)] = 0.0
    volume_step: Annotated[float, Field(ge=0)] = 0.0
    min_volume: Annotated[float, Field(ge=0)] = 0.0
    max_volume: Positive | None = None
    min_notional: Annotated[float, Field(ge=0)] = 0.0
    stop_distance: Annotated[float, Field(ge=0)] = 0.0
    calendar: CalendarName = ALWAYS
    base: str | None = None
    leverage: Leverage | None = None
    margin_tiers: tuple[MarginTierConfig, ...] = ()
    maintenance_percent: Percent | None = None
    swap_long: float = 0.0
    swap_short: float = 0.0
    swap_triple: Weekday = "wednesday"
    swap_at: TimeOfDay = "17:00"
    swap_zone: ZoneName = "America/New_York"
    funding: Literal["stored", "none"] = "none"
    fees_in: Literal["quote", "base"] = "quote"

    @model_validator(mode="after")
    def _possible(self) -> "InstrumentConfig":
        begins = [tier.from_ for tier in self.margin_tiers]
        if begins and (begins[0] != 0 or any(a >= b for a, b in pairwise(begins))):
            raise ValueError(f"margin_tiers begin at 0 and rise, found from {', '.join(f'{b:g}' for b in begins)}")
        least = max(self.min_volume, self.volume_step)
        if self.max_volume is not None and self.max_volume < least:
            raise ValueError(f"max_volume {self.max_volume:g} is below the least volume {least:g}: nothing could trade")
        if begins and self.leverage is not None:
            raise ValueError("expected one of leverage and margin_tiers, found both")
        if self.funding == "stored" and self.kind != "perpetual":
            raise ValueError(f"funding is paid for perpetuals, found kind: {self.kind}; write funding: none")
        if self.fees_in == "base" and self.kind != "spot":
            raise ValueError(f"fees are taken in coin on spot, found kind: {self.kind}; write fees_in: quote")
        return self

    def build(self, symbol: str, account_currency: str) -> Instrument:
        """The instrument of `symbol`; without a stated or legible currency the symbol's last letters decide."""
        quote = self.quote_of(symbol, account_currency) or symbol[-3:]
        return Instrument(
            symbol=symbol, kind=self.kind, quote_currency=quote, tick=self.tick, volume_step=self.volume_step,
            min_volume=self.min_volume, max_volume=self.max_volume or float("inf"), min_notional=self.min_notional,
            calendar=self.calendar, venue=self.venue or symbol, stop_distance=self.stop_distance,
            base_currency=self._base_of(symbol, quote), margin_tiers=self.tiers(), swap=self._swap(),
            funding=self.funding == "stored", fees_in_base=self.fees_in == "base",
        )  # fmt: skip

    def _base_of(self, symbol: str, quote: str) -> str:
        """What one unit of the symbol is; empty where no name tells it."""
        if self.base is not None:
            return self.base
        if "/" in self.venue:
            return self.venue.split("/")[0]
        return symbol.removesuffix(quote) if symbol.endswith(quote) else ""

    def tiers(self) -> tuple[MarginTier, ...]:
        """The tiers of its margin, as they are written or one for all notionals; none for the account's leverage."""
        least = self.maintenance_percent
        if self.margin_tiers:
            return tuple(
                MarginTier(tier.from_, tier.leverage, tier.maintenance_percent or least) for tier in self.margin_tiers
            )
        if self.leverage is None and least is None:
            return ()
        return (MarginTier(0.0, self.leverage, least),)

    def _swap(self) -> SwapRule | None:
        if self.swap_long == 0.0 and self.swap_short == 0.0:
            return None
        return SwapRule(self.swap_long, self.swap_short, self.swap_triple, self.swap_at, self.swap_zone)

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
    """What the position monitor does with open positions.

    Break-even and trailing look at the closes of bars or, with `on: poll`, at each price that a poll finds.
    """

    on: Literal["bar_close", "poll"] = "bar_close"
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
            f"{meant(symbol, self.instruments)}"
            for symbol in self.symbols
            if symbol not in self.instruments
        ]
        names = [strategy.instance for strategy in self.strategies]
        for i, strategy in enumerate(self.strategies):
            problems += [
                f"strategies.{i}.symbols: {symbol} is not one of symbols ({', '.join(self.symbols)})"
                f"{meant(symbol, self.symbols)}"
                for symbol in strategy.symbols or ()
                if symbol not in self.symbols
            ]
            if names.count(names[i]) > 1:
                problems.append(f"strategies.{i}: the name {names[i]!r} is taken; give each instance a name of its own")
        problems += [*self._shared_books(), *self._rules_of_another_account()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _rules_of_another_account(self) -> list[str]:
        spot, out = self.account.type == "spot", []
        for symbol, one in self.instruments.items():
            if spot and (one.leverage not in (None, 1.0) or one.margin_tiers):
                out.append(f"instruments.{symbol}: a spot account borrows nothing; leave leverage and margin_tiers out")
            if not spot and one.fees_in == "base":
                out.append(f"instruments.{symbol}.fees_in: fees are taken in coin on a spot account; write quote")
            out += [f"instruments.{symbol}.maintenance_percent: {text}" for text in self._maintenance_problems(one)]
        return out

    def _maintenance_problems(self, one: InstrumentConfig) -> list[str]:
        """What is wrong with what the positions of an instrument need to stay open, in sentences."""
        account, out = self.account, []
        stated = [(tier, tier.maintenance_percent) for tier in one.tiers() if tier.maintenance_percent is not None]
        if stated and account.margin_call_percent is None and account.stop_out_percent is None:
            out.append("it means nothing without a level; write account.stop_out_percent, such as 100, or leave it out")
        for tier, percent in stated:
            initial = 100.0 / (tier.leverage or account.leverage)
            if percent > initial * (1 + 1e-9):
                out.append(f"staying open cannot need more than opening, {initial:g} percent, found {percent:g}")
        return out

    def _shared_books(self) -> list[str]:
        if self.account.positions == "hedging" or self.account.books == "virtual":
            return []
        out = []
        for symbol in self.symbols:
            users = [s.instance for s in self.strategies if symbol in (s.symbols or self.symbols)]
            if len(users) > 1:
                out.append(
                    f"strategies: {' and '.join(users)} trade {symbol} on one netting account; give them symbols of "
                    "their own, or write account.books: virtual, or account.positions: hedging"
                )
        return out
