"""A kind of instrument stands for defaults that a configuration can use as they are."""

import pytest

from src.core.config import InstrumentConfig
from src.core.errors import ConfigError
from src.data.instruments import KINDS, defaults_for, guess_kind


@pytest.mark.parametrize(
    ("kind", "symbol", "expected"),
    [
        ("fx", "EURUSD", ("fx", "forex", "USD", 0.00001, 1000.0)),
        ("fx", "usd/jpy", ("fx", "forex", "JPY", 0.001, 1000.0)),
        ("fx", "XAUUSD", ("fx", "forex", "USD", 0.01, 1.0)),
        ("crypto", "BTCUSDT", ("spot", "24/7", "USDT", 0.01, 0.0001)),
        ("crypto", "BTC/USDT:USDT", ("spot", "24/7", "USDT", 0.01, 0.0001)),
        ("crypto", "ETHBTC", ("spot", "24/7", "BTC", 0.01, 0.0001)),
        ("equity", "IBM", ("equity", "XNYS", "USD", 0.01, 1.0)),
    ],
)
def test_a_kind_gives_the_usual_rules(kind: str, symbol: str, expected: tuple[object, ...]) -> None:
    """Instrument kind, calendar, quote currency, tick and volume step."""
    found = defaults_for(kind, symbol, decimals=2)

    assert tuple(found[key] for key in ("kind", "calendar", "currency", "tick", "volume_step")) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_a_valid_configuration(kind: str) -> None:
    """The names and values are those of an instrument's configuration."""
    instrument = InstrumentConfig(**defaults_for(kind, "EURUSD")).build("EURUSD", "USD")

    assert instrument.quote_currency == "USD"


def test_an_illegible_quote_currency_is_left_out() -> None:
    """Nothing is guessed from a name that does not end in a known currency."""
    assert "currency" not in defaults_for("fx", "GER40")
    assert "currency" not in defaults_for("crypto", "BTC")


def test_an_unknown_kind_is_refused() -> None:
    """The sentence lists the kinds."""
    with pytest.raises(ConfigError, match="expected one of fx, crypto, equity, found 'bond'"):
        defaults_for("bond", "X")


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [("EURUSD", "fx"), ("XAU/USD", "fx"), ("BTCUSD", "crypto"), ("ETH-USDT", "crypto"), ("IBM", None)],
)
def test_a_symbol_suggests_its_kind(symbol: str, kind: str | None) -> None:
    """Pairs of currencies are fx, other pairs crypto, the rest nobody can tell."""
    assert guess_kind(symbol) == kind
