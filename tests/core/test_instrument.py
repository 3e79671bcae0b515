"""Rounding to steps and ticks."""

import math

import pytest

from src.core.instrument import Instrument


def instrument(**more: float) -> Instrument:
    """An instrument with steps as given."""
    return Instrument(symbol="AAA", kind="spot", quote_currency="USD", **more)  # type: ignore[arg-type]  # as named


@pytest.mark.parametrize(
    ("volume", "step", "expected"),
    [(0.3, 0.1, 0.3), (0.35, 0.1, 0.3), (0.1 + 0.2, 0.1, 0.3), (0.7, 0.001, 0.7), (1.9999, 0.5, 1.5), (0.05, 0.1, 0.0),
     (7.0, 3.0, 6.0), (0.123456789, 1e-8, 0.12345678), (0.3, 0.0, 0.3)],
)  # fmt: skip
def test_volumes_are_rounded_down_to_the_step_exactly(volume: float, step: float, expected: float) -> None:
    """A multiple of the step keeps its step; float noise neither takes one away nor adds one."""
    assert instrument(volume_step=step).round_volume(volume) == expected


@pytest.mark.parametrize(
    ("price", "tick", "expected"),
    [(100.04, 0.1, 100.0), (100.06, 0.1, 100.1), (1.23456, 1e-5, 1.23456), (99.99, 0.25, 100.0), (0.1 + 0.2, 0.1, 0.3)],
)  # fmt: skip
def test_prices_are_rounded_to_the_nearest_tick_exactly(price: float, tick: float, expected: float) -> None:
    """The result is the float that one would write down."""
    assert instrument(tick=tick).round_price(price) == expected


@pytest.mark.parametrize("value", [1e300, math.inf, -math.inf])
def test_what_is_too_large_for_steps_passes_through(value: float) -> None:
    """Whoever judges it next says so; rounding does not fail."""
    assert instrument(volume_step=0.001, tick=0.001).round_volume(value) == value
    assert instrument(volume_step=0.001, tick=0.001).round_price(value) == value


def test_what_is_no_number_stays_none() -> None:
    """NaN is refused by whoever gets it; it is not rounded away."""
    assert math.isnan(instrument(tick=0.1).round_price(math.nan))


def test_rounding_twice_changes_nothing() -> None:
    """A rounded value is on its step."""
    rules = instrument(volume_step=0.001, tick=0.05)
    for i in range(2_000):
        volume, price = rules.round_volume(i * 0.0137), rules.round_price(90 + i * 0.0137)
        assert (rules.round_volume(volume), rules.round_price(price)) == (volume, price)
