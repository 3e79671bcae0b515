"""What an exception of ccxt means for whoever asked: nobody knows what was done, nothing was done, or it was refused.

The number that the exchange gives decides, because ccxt's classes differ between addresses of one exchange and some of
them stand for both a refusal and an answer that says nothing. Only where there is no number the class counts, and what
is neither is an answer that nobody has understood: the request may have been carried out. Pure, any thread.
"""

import re
from collections.abc import Callable
from typing import Any

from src.core.record import record

__all__ = ["CLOCK", "NOT_ALLOWED", "NOT_WORKING", "NO_CHANGE", "RATE_LIMIT", "Refusal", "judged", "number_refusal"]

RATE_LIMIT = "rate_limit"
CLOCK = "clock"
NOT_WORKING = "not_working"
NOT_ALLOWED = "not_allowed"
#: Asked to change an order into what it is already.
NO_CHANGE = "no_change"
REJECTED = "rejected"

#: Of Binance's numbers those after which nobody knows whether the request was carried out.
_UNKNOWN = frozenset({-1000, -1001, -1006, -1007})
#: Our code for each of its numbers; see the list of error codes of its USD-M futures.
_CODES: dict[int, str] = {
    -1003: RATE_LIMIT, -1008: RATE_LIMIT, -1015: RATE_LIMIT, -1021: CLOCK, -5028: CLOCK, -4188: CLOCK,
    -1002: NOT_ALLOWED, -1022: NOT_ALLOWED, -2008: NOT_ALLOWED, -2014: NOT_ALLOWED, -2015: NOT_ALLOWED,
    -4087: NOT_ALLOWED, -4088: NOT_ALLOWED, -4089: NOT_ALLOWED, -4090: NOT_ALLOWED, -4192: NOT_ALLOWED,
    -4400: NOT_ALLOWED, -4401: NOT_ALLOWED, -4402: NOT_ALLOWED,
    -1121: "unknown_symbol", -4141: "unknown_symbol", -2011: NOT_WORKING, -2013: NOT_WORKING, -2026: NOT_WORKING,
    -2018: "margin", -2019: "margin", -4050: "margin", -4051: "margin", -4118: "margin",
    -2027: "max_position", -2028: "margin", -2021: "stop_in_market", -2022: "nothing_to_reduce",
    -2024: "nothing_to_reduce", -4112: "nothing_to_reduce", -4116: "duplicate_id", -4111: "duplicate_id",
    -4003: "volume", -4004: "min_volume", -4005: "max_volume", -4023: "volume_step", -1111: "tick",
    -4001: "price", -4002: "price", -4013: "price", -4014: "tick", -4016: "price_limit", -4024: "price_limit",
    -4131: "price_limit", -4164: "min_notional", -4178: "min_notional", -5021: "time_in_force",
    -5022: "post_only", -5040: "time_in_force", -5027: NO_CHANGE, -4197: NO_CHANGE, -2025: "order_limit",
    -4045: "order_limit", -5026: "order_limit", -1013: REJECTED, -2010: REJECTED, -2020: REJECTED,
}  # fmt: skip
#: The words of what one number stands for, and what they are about: the filters of -1013, the reasons of -2010.
_FILTERS = (
    ("INSUFFICIENT BALANCE", "margin"), ("DUPLICATE ORDER", "duplicate_id"), ("TRIGGER IMMEDIATELY", "stop_in_market"),
    ("IMMEDIATELY MATCH", "post_only"),
    ("PRICE_FILTER", "tick"), ("MARKET_LOT_SIZE", "max_volume"), ("LOT_SIZE", "volume_step"),
    ("NOTIONAL", "min_notional"), ("PERCENT_PRICE", "price_limit"), ("MAX_NUM", "order_limit"),
)  # fmt: skip
#: By the names of ccxt's classes, the finer ones first.
_CLASSES = (
    ("InvalidNonce", CLOCK), ("DDoSProtection", RATE_LIMIT), ("RateLimitExceeded", RATE_LIMIT),
    ("InsufficientFunds", "margin"), ("OrderNotFound", NOT_WORKING), ("DuplicateOrderId", "duplicate_id"),
    ("OrderImmediatelyFillable", "post_only"), ("OrderNotFillable", "time_in_force"), ("BadSymbol", "unknown_symbol"),
    ("InvalidOrder", REJECTED), ("AuthenticationError", NOT_ALLOWED), ("BadRequest", REJECTED),
    ("NotSupported", "unsupported"),
)  # fmt: skip
_NUMBER = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_WORDS = re.compile(r'"msg"\s*:\s*"([^"]*)"')


@record
class Refusal:
    """The exchange has said no, and nothing was done.

    Attributes:
        code: one of the codes of `OrderResult`, or `clock` (the time of the request), `no_change`, `unsupported`.
        message: a sentence with the exchange's own words.
    """

    code: str
    message: str


def judged(errors: Any, error: BaseException, text: Callable[[str], str]) -> Refusal | None:
    """What an exception of ccxt says; None when it says nothing about whether the request was carried out.

    Args:
        errors: ccxt itself, which has the classes.
        text: makes a text fit to be shown.
    """
    told = str(error)
    found = _NUMBER.search(told)
    words = _WORDS.search(told)
    message = text(words.group(1) if words else told) or type(error).__name__
    if found and int(found.group(1)) < 0:
        return number_refusal(int(found.group(1)), message)
    for name, code in _CLASSES:
        if isinstance(error, getattr(errors, name)):
            code = next((each for word, each in _FILTERS if word in message.upper()), code)
            return Refusal(code=code, message=f"the venue refuses: {message}")
    return None


def number_refusal(number: int, message: str) -> Refusal | None:
    """The refusal that a number of the exchange means; None when nobody knows what was done."""
    if number in _UNKNOWN:
        return None
    code = _CODES.get(number, REJECTED)
    if code == REJECTED:
        code = next((code for word, code in _FILTERS if word in message.upper()), REJECTED)
    return Refusal(code=code, message=f"the venue refuses with {number}: {message}")
