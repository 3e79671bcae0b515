"""What may be traded and in which steps: tick, volume step, limits, currencies.

Pure values and pure rounding; any thread.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

__all__ = ["QUOTE_CURRENCIES", "Instrument", "MarginTier", "SwapRule"]

#: Currencies that end a symbol's name, longer ones first, so that BTCUSDT is read as USDT.
QUOTE_CURRENCIES = ("FDUSD", "TUSD", "BUSD", "USDT", "USDC", "USD", "EUR", "GBP", "JPY", "BTC", "ETH", "BNB")

_EXACT_STEPS = 1e15


@dataclass(frozen=True, slots=True)
class MarginTier:
    """What the part of a notional from `from_notional` to the next tier needs.

    Attributes:
        leverage: its margin is that part over it; None for the account's leverage.
        maintenance_percent: of that part, to stay open; None for its whole margin.
    """

    from_notional: float
    leverage: float | None = None
    maintenance_percent: float | None = None


@dataclass(frozen=True, slots=True)
class SwapRule:
    """What is credited each night for a unit of volume, in price units; negative when it is paid.

    Attributes:
        triple: the weekday whose night counts three times, Saturday and Sunday then not at all; `none` where each of
            the seven nights counts once.
        at, zone: when the night begins.
    """

    long: float
    short: float
    triple: str = "wednesday"
    at: str = "17:00"
    zone: str = "America/New_York"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """The rules of one symbol.

    Attributes:
        kind: `spot`, `perpetual`, `fx` or `equity`.
        quote_currency: the currency in which its profit arises.
        tick: smallest price step, 0 when prices are not rounded.
        volume_step: smallest step of volume in base units, 0 when any volume may be traded.
        min_notional: least value of an order in the quote currency.
        calendar: name of the trading calendar, `24/7` or `forex`.
        venue: the symbol's name at the venue.
        stop_distance: least distance, in price units, of resting orders, stops and targets from the price that would
            fill them now; 0 when there is none.
        base_currency: what one unit of it is, empty when unknown.
        margin_tiers: in place of the account's leverage; empty for that.
        swap: None without.
        funding: whether stored funding rates are paid.
        fees_in_base: whether buying pays its fee in what is bought.
    """

    symbol: str
    kind: str
    quote_currency: str
    tick: float = 0.0
    volume_step: float = 0.0
    min_volume: float = 0.0
    max_volume: float = math.inf
    min_notional: float = 0.0
    calendar: str = "24/7"
    venue: str = ""
    stop_distance: float = 0.0
    base_currency: str = ""
    margin_tiers: tuple[MarginTier, ...] = ()
    swap: SwapRule | None = None
    funding: bool = False
    fees_in_base: bool = False

    def round_volume(self, volume: float) -> float:
        """`volume` rounded down to the step, exactly: 0.3 with a step of 0.1 stays 0.3."""
        if self.volume_step <= 0:
            return volume
        return _to_step(volume, self.volume_step, ROUND_FLOOR)

    def round_price(self, price: float) -> float:
        """`price` rounded to the nearest tick."""
        if self.tick <= 0:
            return price
        return _to_step(price, self.tick, ROUND_HALF_EVEN)


def _to_step(value: float, step: float, rounding: str) -> float:
    if not math.isfinite(value):
        return value  # refused by the risk manager with a sentence
    # Through decimals: binary floats would turn 0.3 / 0.1 into 2.9999999999999996 and lose a step. The quotient is
    # first rounded to 9 places so that a value which is a multiple but for float noise keeps its multiple.
    if not abs(value) < step * _EXACT_STEPS:  # so large, infinite or no number at all: a float shows no steps there
        return value
    exact_step = Decimal(repr(step))
    steps = (Decimal(repr(value)) / exact_step).quantize(Decimal("1e-9"), rounding=ROUND_HALF_EVEN)
    return float(steps.to_integral_value(rounding=rounding) * exact_step)
