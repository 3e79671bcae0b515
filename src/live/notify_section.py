"""The `notify` section of a configuration: who is told of what. Addresses stand in the environment, never here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from src.core.config import DurationNs, Section, TimeOfDay, ZoneName
from src.core.timeframe import HOUR_NS, MINUTE_NS

__all__ = ["LevelName", "NotifySection", "SummarySection", "TargetSection"]

LevelName = Literal["info", "warning", "critical"]

_NO_ADDRESS = (
    "expected {what}; an address is a secret and stands in the environment: write targets: "
    "[{{url_env: LOCKSTEP_NOTIFY_URL}}] and set that variable"
)


def _refuse_address(value: Any, what: str) -> Any:
    # Here, because pydantic's own message would quote what it has found, and that may be an address.
    if not isinstance(value, Mapping):
        raise ValueError(_NO_ADDRESS.format(what=what))
    return value


class TargetSection(Section):
    """One receiver: the environment variable with its address, and from which level on it is told.

    With `summary` it gets the daily summary whatever its level.
    """

    url_env: str
    level: LevelName = "warning"
    summary: bool = True

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return _refuse_address(value, "keys such as url_env and level")

    @field_validator("url_env", mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        text = str(value)
        if not (text.isascii() and text.replace("_", "a").isalnum() and text == text.upper() and not text[0].isdigit()):
            raise ValueError(_NO_ADDRESS.format(what="the name of an environment variable in capital letters"))
        return value


class SummarySection(Section):
    """When a day ends and its summary is told."""

    zone: ZoneName = "UTC"
    at: TimeOfDay = "00:00"


class NotifySection(Section):
    """Who is told of what.

    The same thing is told once in `repeat_after` of real time, then again with how often it has come. At most
    `most_waiting` messages wait for a target that does not answer; one that could not be delivered for `give_up_after`
    is given up. The daily summary is left out with `daily_summary: null`.
    """

    targets: tuple[TargetSection, ...] = ()
    repeat_after_ns: DurationNs = Field(default=5 * MINUTE_NS, alias="repeat_after", gt=0)
    most_waiting: Annotated[int, Field(ge=10, le=10_000)] = 200
    give_up_after_ns: DurationNs = Field(default=6 * HOUR_NS, alias="give_up_after", gt=0)
    daily_summary: SummarySection | None = SummarySection()

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return _refuse_address({} if value is None else value, "keys such as targets")

    @field_validator("targets", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(_NO_ADDRESS.format(what="a list of targets"))
        return value

    @model_validator(mode="after")
    def _each_once(self) -> "NotifySection":
        names = [target.url_env for target in self.targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected each target once, found {', '.join(twice)} more often")
        return self
