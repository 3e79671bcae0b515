"""The `paper`, `live` and `notify` sections of a configuration, and the whole file as a bot in real time reads it.

The file is the one that the backtest runs; what belongs to the backtest alone is passed over here. Frozen models, which
any thread may read.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from src.brokers.simulated.costs_section import CostsSection
from src.core.config import BotConfig, DurationNs, Section
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.records import TriggerBy
from src.core.timeframe import SECOND_NS
from src.core.words import meant
from src.live.brokers import BROKERS
from src.live.notify_section import NotifySection

__all__ = [
    "LIVE",
    "PAPER",
    "LimitsSection",
    "LiveConfig",
    "LiveSection",
    "NotifySection",
    "PaperSection",
    "check_confirmation",
    "read_live_config",
]

PAPER, LIVE = "paper", "live"

Positive = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
Label = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]

_LONGEST_LABEL = 32


def _address(value: str | None) -> str | None:
    if value is not None and not re.match(r"^https?://[^\s/@?#]+/?$", value):
        raise ValueError(f"expected an address such as http://127.0.0.1:8080, found {value!r}")
    return value


class LimitsSection(Section):
    """What no order may exceed on its way out, whoever decided it. Money is the account's; a missing limit is none.

    `max_order_notional` is of one order that opens something, `max_total_notional` of all that is open, works as an
    entry or is being sent. `orders_per_minute` counts every order that is sent and refuses those that open something.
    `symbols` are those that may be entered. Prices of entries, and what a market order would pay, may lie
    `price_collar_percent` from the middle of the quote.
    """

    max_order_notional: Positive | None = None
    max_total_notional: Positive | None = None
    orders_per_minute: Annotated[int, Field(ge=1)] | None = None
    symbols: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    price_collar_percent: Percent | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The limits that are not stated."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is None)


class LiveSection(Section):
    """Where and how the bot trades at a venue.

    `account` is the label that names this bot's durable state, and that has to be repeated where real money is meant;
    by default it is made of the bot's name. `url` stands for the exchange's own address, for a venue to test against,
    and only there may the clock have another `speed`. A bar is waited for `settle` after its end; an entry needs a
    quote no older than `max_age`; a position without a resting stop is flattened after `protect_within`. `warm_up` is
    how many bars are read before the first decision, by default what the strategies look back. `state` is the folder of
    the durable state, relative to the configuration file.
    """

    broker: str = "ccxt"
    exchange: str = Field(min_length=1)
    environment: Literal["demo", "testnet", "real"]
    account: Label = "bot"
    url: str | None = None
    speed: Positive = 1.0
    turns: Literal["exclusive"] = "exclusive"
    poll_ns: DurationNs = Field(default=SECOND_NS, alias="poll", gt=0)
    settle_ns: DurationNs = Field(default=3 * SECOND_NS, alias="settle", ge=0)
    max_age_ns: DurationNs = Field(default=5 * SECOND_NS, alias="max_age", gt=0)
    protect_within_ns: DurationNs = Field(default=5 * SECOND_NS, alias="protect_within", gt=0)
    warm_up: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    bot_side_stops: bool = False
    on_stop: Literal["keep", "flatten"] = "keep"
    on_start: Literal["refuse", "adopt"] = "refuse"
    max_clock_skew_ns: DurationNs = Field(default=SECOND_NS, alias="max_clock_skew", gt=0)
    state: str = Field(default="live", min_length=1)
    fee_percent: Annotated[float, Field(ge=0, lt=100)] = 0.05
    trigger_by: TriggerBy = TriggerBy.LAST
    limits: LimitsSection = LimitsSection()

    @field_validator("broker")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in BROKERS:
            raise ValueError(f"expected a broker among {', '.join(BROKERS)}, found {value!r}{meant(value, BROKERS)}")
        return value

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return _address(value)

    @model_validator(mode="after")
    def _real_money(self) -> "LiveSection":
        if self.environment != "real":
            return self
        if self.url is not None:
            raise ValueError("environment: real trades at the exchange itself; leave url out, or write another one")
        if self.limits.missing:
            names = ", ".join(f"limits.{name}" for name in self.limits.missing)
            raise ValueError(f"environment: real needs every limit; missing: {names}")
        return self

    @model_validator(mode="after")
    def _pace(self) -> "LiveSection":
        _check_speed(self.speed, self.url)
        return self

    @property
    def is_real(self) -> bool:
        """Whether money can be lost."""
        return self.environment == "real"

    @property
    def needs_stops(self) -> bool:
        """Whether each entry has to bring a stop that rests at the venue."""
        return self.is_real and not self.bot_side_stops


class PaperSection(Section):
    """Trading with the market as it is and with money that is not there; no keys are needed.

    `exchange` is by default that of `live`, `costs` those of `backtest`, `balance` the one of `account`. The spread is
    that of the market. `url` and `speed` are as in `live`.
    """

    exchange: str | None = Field(default=None, min_length=1)
    costs: CostsSection | None = None
    balance: Positive | None = None
    url: str | None = None
    speed: Positive = 1.0
    poll_ns: DurationNs = Field(default=SECOND_NS, alias="poll", gt=0)
    settle_ns: DurationNs = Field(default=3 * SECOND_NS, alias="settle", ge=0)

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return _address(value)

    @model_validator(mode="after")
    def _pace(self) -> "PaperSection":
        _check_speed(self.speed, self.url)
        return self


class BacktestPart(Section):
    """What the other modes take from the `backtest` section; the rest of it is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    costs: CostsSection | None = None
    runs: str = "runs"


class LiveConfig(BotConfig):
    """A whole configuration file as a bot in real time reads it."""

    backtest: BacktestPart = BacktestPart()
    paper: PaperSection | None = None
    live: LiveSection | None = None
    notify: NotifySection = NotifySection()

    @field_validator("backtest", "notify", mode="before")
    @classmethod
    def _may_be_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("live", mode="before")
    @classmethod
    def _labelled(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.data.get("name")
        if isinstance(value, dict) and value.get("account") is None and isinstance(name, str):
            return {**value, "account": _label_of(name)}
        return value

    @model_validator(mode="after")
    def _limited_symbols_exist(self) -> "LiveConfig":
        problems = []
        for i, symbol in enumerate((self.live and self.live.limits.symbols) or ()):
            if symbol not in self.instruments:
                hint, known = meant(symbol, self.instruments), ", ".join(self.instruments)
                problems.append(f"live.limits.symbols.{i}: expected one of {known}, found {symbol!r}{hint}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def label(self) -> str:
        """The name of the durable state, and what confirms that real money is meant."""
        return _label_of(self.name) if self.live is None else self.live.account

    @property
    def paper_exchange(self) -> str | None:
        """Whose market paper trading looks at; None where the file names none."""
        own = None if self.paper is None else self.paper.exchange
        return own or (None if self.live is None else self.live.exchange)

    @property
    def paper_costs(self) -> CostsSection | None:
        """What trading costs on paper; None where the file tells no costs at all."""
        own = None if self.paper is None else self.paper.costs
        return own if own is not None else self.backtest.costs

    @property
    def paper_balance(self) -> float:
        """What an account on paper begins with."""
        own = None if self.paper is None else self.paper.balance
        return self.account.balance if own is None else own

    @property
    def max_age_ns(self) -> int:
        """How old the quote of an entry may be, in every mode."""
        default: int = LiveSection.model_fields["max_age_ns"].default
        return default if self.live is None else self.live.max_age_ns

    def limits_of(self, mode: str) -> LimitsSection:
        """What no order may exceed; paper holds the limits of live, so that it shows what they do."""
        if mode not in (PAPER, LIVE):
            raise ConfigError(f"expected the mode {PAPER} or {LIVE}, found {mode!r}")
        return LimitsSection() if self.live is None else self.live.limits

    def state_path(self, mode: str, folder: Path) -> Path:
        """The file of the durable state of a mode; paper and live never share one.

        Args:
            folder: of the configuration file.
        """
        state = LiveSection.model_fields["state"].default if self.live is None else self.live.state
        name = f"{self.label}.sqlite" if mode == LIVE else f"{self.label}.{mode}.sqlite"
        path: Path = (folder / state).resolve() / name
        return path

    def runs_dir(self, folder: Path) -> Path:
        """Where runs are kept, those of all modes."""
        return (folder / self.backtest.runs).resolve()

    def identity(self) -> dict[str, Any]:
        """What the bot decides by, as plain JSON values: a change of it matters while positions are open."""
        return self.model_dump(mode="json", by_alias=True, exclude={"backtest", "paper", "live", "notify"})


def read_live_config(document: ConfigDocument, mode: str) -> LiveConfig:
    """A document as the configuration of a mode, `paper` or `live`.

    Raises:
        ConfigError: with every problem; or the mode's section is not there, or leaves out what the mode needs.
    """
    config = document.validate(LiveConfig)
    if mode == LIVE:
        if config.live is None:
            raise ConfigError(
                f"{document.name}: expected a section live, found none; write for example "
                "live: {exchange: binanceusdm, environment: demo}"
            )
        return config
    if config.paper_exchange is None:
        raise ConfigError(
            f"{document.name}: expected paper.exchange, whose market is looked at, found none; write for example "
            "paper: {exchange: binanceusdm}"
        )
    if config.paper_costs is None:
        raise ConfigError(f"{document.name}: expected paper.costs or backtest.costs, found neither; write one of them")
    return config


def check_confirmation(section: LiveSection, confirm: str | None) -> None:
    """Hold that whoever starts a bot with real money has said so a second time.

    Args:
        confirm: what was given as `--confirm`.

    Raises:
        ConfigError: real money and another label or none; or a label that is not this bot's.
    """
    if confirm == section.account or (confirm is None and not section.is_real):
        return
    if confirm is None:
        raise ConfigError(
            "live.environment is real, where money is lost and won; repeat the label of live.account if that is "
            f"meant: --confirm {section.account}"
        )
    raise ConfigError(f"--confirm: expected {section.account}, the label in live.account, found {confirm!r}")


def _check_speed(speed: float, url: str | None) -> None:
    if speed != 1.0 and url is None:
        raise ValueError(f"the market runs at speed 1; speed {speed:g} is for a venue to test against: write its url")


def _label_of(name: str) -> str:
    """A label made of a bot's name."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower())[:_LONGEST_LABEL]
