"""The whole bot over tiny worlds: numbers that a strategy gives, whatever their type, and numbers that are none."""

from typing import Any

import numpy as np
import pytest

from src.backtesting.result import Outcome
from src.core.bars import Bar
from src.core.config import BotConfig, InstrumentConfig
from src.core.strategy import BarStrategy
from src.testing import bar_series, bot_config, run_world


def ticked(config: BotConfig) -> BotConfig:
    """The configuration with prices on quarters and volumes on halves."""
    rules = {symbol: InstrumentConfig(currency="USD", tick=0.25, volume_step=0.5) for symbol in config.symbols}
    return config.model_copy(update={"instruments": rules})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["volume", "limit", "stop", "stop_distance"])
def test_an_order_with_a_number_that_is_none_is_refused_with_a_value(key: str, number: float) -> None:
    """A feature that is still undefined reaches the risk manager and not the market."""
    codes: list[str] = []

    order: dict[str, Any] = {key: number}

    class Trader(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            codes.append(self.buy(**order).code)

    config = ticked(bot_config(["AAA"], [Trader]))
    result = run_world([bar_series("AAA", [1.0, 2.0])], [Trader], config, runtime="fibers")

    assert codes == ["not_a_number"] * 2
    assert result.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_whole_numbers_and_numpy_scalars_give_the_orders_that_plain_floats_give(runtime: str) -> None:
    """How a strategy writes a number leaves no trace in the result, also where prices are rounded to a tick."""

    def trader(number: Any) -> type[BarStrategy]:
        class Trader(BarStrategy):
            def on_bar(self, bar: Bar) -> None:
                if len(self.bars) == 1:
                    self.buy(volume=number(2), stop=number(90), target_distance=number(50))
                elif len(self.bars) == 3:
                    self.move_stop(number(95))
                    self.close(volume=number(1))

        return Trader

    digests = []
    for number in (float, int, np.float64, np.int64, np.float32):
        config = ticked(bot_config(["AAA"], [trader(number)]))
        result = run_world(
            [bar_series("AAA", [100.0 + i for i in range(8)])], [trader(number)], config, runtime=runtime
        )
        assert (len(result.fills), result.error) == (3, None)
        digests.append(result.digest)

    assert len(set(digests)) == 1


@pytest.mark.parametrize("protection", [{"stop_distance": 5.0}, {"stop_distance": 9.0}, {"target_distance": 9.0}])
def test_the_digest_follows_what_a_distance_came_to_at_the_fill(protection: dict[str, float]) -> None:
    """Positions that are still open with another stop or target are another outcome."""

    def digest(**order: float) -> str:
        class Trader(BarStrategy):
            def on_bar(self, bar: Bar) -> None:
                if self.position.is_flat:
                    self.buy(**order)

        series = [bar_series("AAA", [100.0] * 4)]
        return run_world(series, [Trader], at_end="keep", runtime="fibers").digest

    assert digest(**protection) == digest(**protection)
    assert digest(**protection) != digest(stop_distance=7.0)


def test_a_failure_is_recorded_by_its_kind_and_not_by_its_text() -> None:
    """The text of an exception may hold an address; two runs that fail alike have one digest."""

    class Trader(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            raise ValueError(f"at {object()}")

    series = [bar_series("AAA", [100.0] * 4)]
    config = bot_config(["AAA"], [Trader], on_error="stop_symbol")
    digests = {run_world(series, [Trader], config, runtime="fibers").digest for _ in range(2)}

    assert len(digests) == 1
