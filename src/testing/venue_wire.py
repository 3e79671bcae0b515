"""What the local venue and its clients say to each other: answers, refusals, numbers as texts, parameters. Pure.

The numbers of the refusals and their sentences are those of the exchange whose dialect the venue speaks.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from src.core.records import OrderResult

__all__ = ["Json", "Params", "Refusal", "Reply", "decimals", "milliseconds", "number_text", "refusal_of"]

Json = Any
MILLISECOND_NS = 1_000_000


class Refusal(Exception):  # never leaves the venue: the server turns it into an answer
    """A request that the venue refuses: its code, its sentence, and the status of the answer."""

    def __init__(self, code: int, sentence: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, sentence, status, headers)  # what it is made of again when it is unpickled
        self.code = code
        self.sentence = sentence
        self.status = status
        self.headers = dict(headers or {})

    def reply(self) -> "Reply":
        """The answer that says it."""
        return Reply(status=self.status, body={"code": self.code, "msg": self.sentence}, headers=self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        way: `send`; `silent`, nothing is sent while the client waits; or `reset`, the connection is torn down.
        delay_s: real seconds before anything of that.
    """

    status: int = 200
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    way: str = "send"
    delay_s: float = 0.0


_REFUSALS: dict[str, tuple[int, str]] = {
    "unknown_symbol": (-1121, "Invalid symbol."),
    "duplicate_id": (-4116, "ClientOrderId is duplicated."),
    "margin": (-2019, "Margin is insufficient."),
    "no_rate": (-2019, "Margin is insufficient."),
    "volume": (-4003, "Quantity less than or equal to zero."),
    "volume_step": (-4023, "Qty not increased by step size."),
    "min_volume": (-4004, "Quantity less than min quantity."),
    "max_volume": (-4005, "Quantity greater than max quantity."),
    "tick": (-4014, "Price not increased by tick size."),
    "price": (-4001, "Price less than 0."),
    "stop_in_market": (-2021, "Order would immediately trigger."),
    "post_only": (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    "no_price": (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit"),
    "no_data": (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit"),
    "not_working": (-2011, "Unknown order sent."),
    "filled_part": (-2011, "Unknown order sent."),
    "too_close": (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit"),
    "closed": (-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading."),
    "distance": (-2007, "Invalid callBack rate."),
}


def refusal_of(result: OrderResult, least_notional: float = 0.0) -> Refusal:
    """What the exchange says where the simulated venue refuses an order."""
    if result.code == "min_notional":
        least = number_text(least_notional)
        return Refusal(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")
    code, sentence = _REFUSALS.get(result.code, (-2010, f"Order was rejected: {result.code}."))
    return Refusal(code, sentence)


def milliseconds(instant_ns: int) -> int:
    """Milliseconds since the epoch, rounded down."""
    return instant_ns // MILLISECOND_NS


def number_text(value: float) -> str:
    """A number as the exchange writes it, without an exponent; every digit that the float has."""
    if not math.isfinite(value):
        return "0"
    text = format(Decimal(repr(value + 0.0)), "f")  # a negative zero is a zero
    return text[:-2] if text.endswith(".0") else text


def decimals(step: float) -> int:
    """How many places behind the point a multiple of `step` has; 8 without a step."""
    if step <= 0:
        return 8
    exponent = Decimal(repr(step)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 8


_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")


class Params:
    """The parameters of a request; whatever is missing or no number is refused as the exchange does it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def text(self, name: str, default: str | None = None) -> str:
        """A text; refused when it is missing and there is no default."""
        value = self.values.get(name, "")
        if value:
            return value
        if default is None:
            raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return default

    def has(self, name: str) -> bool:
        """Whether it was sent and is not empty."""
        return bool(self.values.get(name))

    def flag(self, name: str) -> bool:
        """A truth; False when it is missing."""
        return self.values.get(name, "").lower() == "true"

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        text = self.text(name, None if default is None else str(default))
        try:
            return int(text)
        except ValueError:
            raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.") from None

    def number(self, name: str, places: int) -> float:
        """A number with at most so many places behind the point."""
        text = self.text(name)
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise Refusal(-1100, f"Illegal characters found in parameter '{name}'.") from None
        exponent = value.normalize().as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            raise Refusal(-1111, "Precision is over the maximum defined for this asset.")
        return float(value)

    def client_id(self, name: str) -> str:
        """A client's id of an order, empty when it was not sent."""
        text = self.values.get(name, "")
        if text and _CLIENT_ID.match(text) is None:
            if len(text) > 36:
                raise Refusal(-4015, "Client order id length should not be more than 36 chars")
            raise Refusal(-1100, f"Illegal characters found in parameter '{name}'.")
        return text
