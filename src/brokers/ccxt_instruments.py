"""The rules of an instrument as the exchange has them, and where they differ from the configuration's.

The exchange's count: whoever rounds by other ones sends orders that are refused. Pure, any thread.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from src.brokers.ccxt_records import units_of
from src.core.errors import ConfigError
from src.core.instrument import Instrument

__all__ = ["differences", "rules_of"]

#: What the exchange overrides, and how it is called in a sentence.
_RULES = (
    ("kind", "kind"), ("quote_currency", "quote currency"), ("tick", "tick"), ("volume_step", "volume step"),
    ("min_volume", "least volume"), ("max_volume", "largest volume"), ("min_notional", "least value"),
)  # fmt: skip


def rules_of(file: Instrument, market: Mapping[str, Any], *, in_steps: bool) -> Instrument:
    """The configuration's instrument with the rules of the exchange's market in place of its own.

    Args:
        market: ccxt's market structure; volumes in contracts become volumes in units of the base currency.
        in_steps: whether the market's precisions are ticks and steps, and not numbers of digits.

    Raises:
        ConfigError: it is neither a spot market nor a linear perpetual, or it tells no tick or step.
    """
    if market.get("swap") and market.get("linear"):
        kind = "perpetual"
    elif market.get("spot"):
        kind = "spot"
    else:
        raise ConfigError(
            f"expected {file.symbol} to be a spot market or a linear perpetual, found {market.get('type')}",
            symbol=file.symbol,
        )
    size = float(market.get("contractSize") or 1.0) if kind == "perpetual" else 1.0
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    tick, step = (_step(precision.get(name), in_steps) for name in ("price", "amount"))
    if tick is None or step is None:
        raise ConfigError(f"expected a tick and a volume step of {file.symbol} from the exchange, found none")
    amount, at_market = limits.get("amount") or {}, limits.get("market") or {}
    largest = [float(each["max"]) for each in (amount, at_market) if each.get("max")]
    return replace(
        file, kind=kind, quote_currency=str(market["quote"]), base_currency=str(market["base"]), tick=tick,
        volume_step=units_of(step, size), min_volume=units_of(float(amount.get("min") or 0.0), size),
        max_volume=units_of(min(largest), size) if largest else math.inf,
        min_notional=float((limits.get("cost") or {}).get("min") or 0.0), venue=str(market["symbol"]),
    )  # fmt: skip


def differences(file: Instrument, venue: Instrument) -> tuple[str, ...]:
    """A sentence for each rule in which the configuration says something else than the exchange.

    What the configuration leaves open is no difference.
    """
    default = Instrument(symbol=file.symbol, kind=file.kind, quote_currency=file.quote_currency)
    found = []
    for name, words in _RULES:
        ours, theirs = getattr(file, name), getattr(venue, name)
        left_open = name not in ("kind", "quote_currency") and ours == getattr(default, name)
        if ours != theirs and not left_open:
            found.append(
                f"{file.symbol}: the {words} is {_told(theirs)} at the exchange and {_told(ours)} in the "
                f"configuration; the exchange's counts"
            )
    return tuple(found)


def _step(value: Any, in_steps: bool) -> float | None:
    if value is None:
        return None
    step = float(value) if in_steps else 10.0 ** -int(value)
    return step if math.isfinite(step) and step > 0 else None


def _told(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
