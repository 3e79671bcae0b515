"""Instrument defaults by class: what `--kind fx|crypto|equity` stands for.

Pure; any thread. The values are starting points that are printed and stored with an import; a configuration may say
otherwise.
"""

from typing import Any

import numpy as np

from src.core.bars import FloatArray
from src.core.errors import ConfigError
from src.core.instrument import QUOTE_CURRENCIES
from src.core.words import meant

__all__ = ["KINDS", "decimals_of", "defaults_for", "guess_kind"]

KINDS = ("fx", "crypto", "equity")

# Currencies and metals that pairs are quoted in; a symbol of two of them, such as EURUSD, is one of fx.
_FIAT = ("USD", "EUR", "GBP", "JPY", "CHF", "AUD", "NZD", "CAD", "SEK", "NOK", "DKK", "PLN", "HUF", "CZK", "TRY", "ZAR",
         "MXN", "SGD", "HKD", "CNH")  # fmt: skip
_METALS = ("XAU", "XAG", "XPT", "XPD")

_FX_TICKS = {"JPY": 0.001, "HUF": 0.001}
_METAL_TICKS = {"XAU": 0.01, "XAG": 0.001, "XPT": 0.01, "XPD": 0.01}


def defaults_for(kind: str, symbol: str, *, decimals: int | None = None) -> dict[str, Any]:
    """Instrument defaults under the names of an instrument's configuration.

    Args:
        kind: fx, crypto or equity.
        symbol: from it the quote currency is read where it is legible; `/`, `-`, `_` and `.` are skipped.
        decimals: how many decimal places the prices have; it gives the tick where the class has no usual one.

    Returns:
        kind (`fx`, `spot`, `equity`), tick, volume_step in base units, min_volume, calendar, and currency if legible.

    Raises:
        ConfigError: no such kind.
    """
    name = _letters(symbol)
    observed = 0.0 if decimals is None else float(f"1e-{decimals}")
    if kind == "fx":
        base, quote = name[:3], name[3:6]
        currency = quote if len(name) >= 6 and quote in _FIAT else None
        tick = _METAL_TICKS.get(base) or _FX_TICKS.get(quote, 0.00001)
        # A thousandth of the usual lot of 100 ounces, or of 100,000 units, where brokers stop dividing.
        step = 1.0 if base in _METALS else 1000.0
        found = {"kind": "fx", "tick": tick, "volume_step": step, "min_volume": step, "calendar": "forex"}
    elif kind == "crypto":
        currency = next((one for one in QUOTE_CURRENCIES if name.endswith(one) and len(name) > len(one)), None)
        found = {"kind": "spot", "tick": observed, "volume_step": 0.0001, "min_volume": 0.0001, "calendar": "24/7"}
    elif kind == "equity":
        currency = "USD"
        tick = 0.01 if decimals is None else min(0.01, observed)
        found = {"kind": "equity", "tick": tick, "volume_step": 1.0, "min_volume": 1.0, "calendar": "XNYS"}
    else:
        raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, found {kind!r}{meant(kind, KINDS)}", found=kind)
    if currency is not None:
        found["currency"] = currency
    return found


def decimals_of(*columns: FloatArray) -> int | None:
    """How many decimal places the prices in the columns have, None when more than eight."""
    for decimals in range(9):
        if all(np.array_equal(np.round(column, decimals), column) for column in columns):
            return decimals
    return None


def guess_kind(symbol: str) -> str | None:
    """What a symbol looks like, as a suggestion only: EURUSD is fx, BTCUSDT crypto; None when nobody can tell."""
    name = _letters(symbol)
    if len(name) == 6 and name[3:] in _FIAT and name[:3] in (*_FIAT, *_METALS):
        return "fx"
    if any(name.endswith(one) and len(name) > len(one) for one in QUOTE_CURRENCIES):
        return "crypto"
    return None


def _letters(symbol: str) -> str:
    return "".join(letter for letter in symbol.partition(":")[0].upper() if letter.isalnum())
