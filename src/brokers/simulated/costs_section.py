"""The `costs` section of a mode: what trading costs, and how late, how much and how reliably the venue fills."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from src.brokers.simulated.commission import Commission
from src.brokers.simulated.rules import Costs
from src.brokers.simulated.slippage import Slippage
from src.core.config import DurationNs, Section
from src.core.errors import PreflightError

__all__ = ["CostsSection", "costs_of"]

NotNegative = Annotated[float, Field(ge=0)]
NotNegativePercent = Annotated[float, Field(ge=0, lt=100)]
Share = Annotated[float, Field(gt=0, le=1)]

_HOURS = re.compile(r"^(\d{1,2})-(\d{1,2})$")
_DAY_HOURS = 24


class CostsSection(Section):
    """Trading costs. Each of spread, commission and slippage has to be written, a 0 as well.

    Points are price units for each unit of volume; `latency` is the time from a decision until an order counts, and
    `latency_jitter` up to how much more it takes, drawn for each order.

    The spread is `spread_percent`, `spread_points`, `spread_by_hour` (points by hours UTC such as `{"0-6": 0.0002,
    "6-24": 0.0001}`, the second hour not included, every hour of the day once) or `spread: column`, the bid and ask
    bars of the store as they are. `slippage_volume_share` is the slippage in percent of an order as large as the volume
    of a bar, beside the other slippage; a smaller order slips its share of it. `volume_share` is the share of a bar's
    volume that all orders together may fill on it, `reject_percent` how many orders in a hundred the venue rejects
    after it has acknowledged them.

    The commission is `commission_percent` of the notional, or `maker_percent` for what waited in the book and
    `taker_percent` for the rest, or `commission_per_unit`; `commission_per_trade` is added once for an order that is
    executed, which pays at least `commission_minimum`. All but the percents are money of the account.
    """

    spread: Literal["column"] | None = None
    spread_percent: NotNegativePercent | None = None
    spread_points: NotNegative | None = None
    spread_by_hour: dict[str, NotNegative] | None = None
    commission_percent: NotNegativePercent | None = None
    commission_per_unit: NotNegative | None = None
    commission_per_trade: NotNegative | None = None
    commission_minimum: NotNegative = 0.0
    maker_percent: NotNegativePercent | None = None
    taker_percent: NotNegativePercent | None = None
    slippage_percent: NotNegativePercent | None = None
    slippage_points: NotNegative | None = None
    slippage_volume_share: NotNegativePercent = 0.0
    latency_ns: DurationNs = Field(default=0, alias="latency", ge=0)
    latency_jitter_ns: DurationNs = Field(default=0, alias="latency_jitter", ge=0)
    volume_share: Share | None = None
    reject_percent: NotNegativePercent = 0.0

    @field_validator("spread_by_hour")
    @classmethod
    def _every_hour_once(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None:
            points_by_hour(value)
        return value

    @model_validator(mode="after")
    def _not_two(self) -> "CostsSection":
        for one, other in (
            ("spread_percent", "spread_points"),
            ("commission_percent", "commission_per_unit"),
            ("slippage_percent", "slippage_points"),
            ("spread_percent", "spread_by_hour"),
            ("spread_points", "spread_by_hour"),
            ("spread_percent", "spread"),
            ("spread_points", "spread"),
            ("spread_by_hour", "spread"),
            ("commission_percent", "taker_percent"),
            ("commission_per_unit", "taker_percent"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"expected one of {one} and {other}, found both")
        if (self.maker_percent is None) != (self.taker_percent is None):
            raise ValueError("expected maker_percent and taker_percent together, found one of them; write both")
        return self

    def commission(self) -> Commission:
        """The model; a part that is not written is 0."""
        percent = self.commission_percent if self.taker_percent is None else self.taker_percent
        return Commission(
            percent or 0.0, self.commission_per_unit or 0.0, self.commission_per_trade or 0.0, self.commission_minimum,
            self.maker_percent,
        )  # fmt: skip

    def hourly_points(self) -> tuple[float, ...] | None:
        """The spread in points for each hour of the day in UTC, 24 numbers; None when it does not follow the hour."""
        return None if self.spread_by_hour is None else points_by_hour(self.spread_by_hour)


def points_by_hour(spans: dict[str, Any]) -> tuple[float, ...]:
    """One number for each hour of the day.

    Args:
        spans: numbers by hours such as `6-24` or, over midnight, `22-2`; the second hour is not included.

    Raises:
        ValueError: a span cannot be read, or an hour has no number or two.
    """
    found: dict[int, float] = {}
    for span, points in spans.items():
        match = _HOURS.match(span)
        begin, end = (int(match[1]), int(match[2])) if match else (0, 0)
        if match is None or begin >= _DAY_HOURS or end > _DAY_HOURS or begin == end:
            raise ValueError(f"expected hours such as '6-24' or '22-2', found {span!r}")
        for step in range((end - begin) % _DAY_HOURS or _DAY_HOURS):
            hour = (begin + step) % _DAY_HOURS
            if hour in found:
                raise ValueError(f"the hour {hour} has two spreads; {span!r} is one of them")
            found[hour] = float(points)
    absent = [str(hour) for hour in range(_DAY_HOURS) if hour not in found]
    if absent:
        raise ValueError(f"these hours have no spread: {', '.join(absent)}; write one for each, a 0 as well")
    return tuple([found[hour] for hour in range(_DAY_HOURS)])


def costs_of(section: CostsSection) -> Costs:
    """The cost models of a configuration.

    Raises:
        PreflightError: a cost has no number; `problems` names them all.
    """
    pairs = (
        ("spread", "spread_percent", "spread_points"),
        ("commission", "commission_percent", "commission_per_unit"),
        ("slippage", "slippage_percent", "slippage_points"),
    )
    absent = [each for each in pairs if getattr(section, each[1]) is None and getattr(section, each[2]) is None]
    if section.taker_percent is not None or section.commission_per_trade is not None:
        absent = [each for each in absent if each[0] != "commission"]
    hourly = section.hourly_points()
    if hourly is not None or section.spread is not None:
        absent = [each for each in absent if each[0] != "spread"]
    if absent:
        missing = [
            f"backtest.costs has no {name}: write {one} or {other} (0 where there is none)"
            for name, one, other in absent
        ]
        settings = {f"backtest.costs.{one}": "0" for _, one, _ in absent}
        raise PreflightError("\n".join(missing), problems=missing, code="costs", settings=settings)
    return Costs(
        commission=section.commission(),
        slippage=Slippage(
            section.slippage_percent or 0.0, section.slippage_points or 0.0, section.slippage_volume_share
        ),  # fmt: skip
        spread_percent=section.spread_percent or 0.0,
        spread_points=section.spread_points or 0.0,
        latency_ns=section.latency_ns,
        spread_by_hour=hourly,
        spread_column=section.spread is not None,
        latency_jitter_ns=section.latency_jitter_ns,
        volume_share=section.volume_share,
        reject_percent=section.reject_percent,
    )
