"""Parameters of a strategy: declared once, checked when set, and visible as plain values."""

from typing import Any

import pytest

from src.backtesting.result import BacktestResult
from src.core.bars import Bar
from src.core.config import StrategyConfig
from src.core.errors import ConfigError
from src.core.features import Feature, sma
from src.core.strategy import BarStrategy, Strategy, param
from src.core.strategy_runner import declared_lookbacks, strategy_params, strategy_timeframes
from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.testing import bar_series, bot_config, run_world

SEEN: list[tuple[Any, ...]] = []


class Base(BarStrategy):
    """Declares what others inherit."""

    length: int = param(20, low=5, high=50)
    factor: float = param(1.5, low=0.0)


class Tuned(Base):
    """Overrides one parameter and adds two."""

    length: int = param(10, low=2, high=30)
    loud: bool = param(False)
    word: str = param("calm")

    def on_start(self) -> None:
        SEEN.append((self.length, self.factor, self.loud, self.word, type(self.factor)))


def run(**params: Any) -> BacktestResult:
    """A run of the tuned strategy with parameters."""
    config = bot_config(["AAA"], [Tuned], strategies=[{"use": "Tuned", "params": params}])
    return run_world([bar_series("AAA", [1.0, 2.0])], [Tuned], config, runtime="fibers")


def test_parameters_have_defaults_and_take_configured_values() -> None:
    """An int is accepted for a float; the class itself keeps its defaults."""
    SEEN.clear()
    run()
    run(length=7, factor=2, loud=True, word="loud")

    assert [(10, 1.5, False, "calm", float), (7, 2.0, True, "loud", float)] == SEEN
    assert (Tuned.length, Base.length) == (10, 20)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"lenght": 7}, "strategies.0.params: Tuned has no parameter 'lenght'; it has: length, factor, loud, word"),
        ({"length": 1}, "strategies.0.params.length: expected at least 2, found 1"),
        ({"length": 31}, "strategies.0.params.length: expected at most 30, found 31"),
        ({"length": 7.0}, "strategies.0.params.length: expected int, found 7.0"),
        ({"length": True}, "strategies.0.params.length: expected int, found True"),
        ({"loud": 1}, "strategies.0.params.loud: expected bool, found 1"),
        ({"word": 1}, "strategies.0.params.word: expected str, found 1"),
    ],
)
def test_a_wrong_parameter_is_a_configuration_error_with_its_place(params: dict[str, Any], sentence: str) -> None:
    """Unknown names, other types and values out of range are the user's to mend, before anything runs."""
    with pytest.raises(ConfigError, match=sentence):
        run(**params)


def test_declared_parameters_include_those_of_the_bases_and_the_overriding_one_wins() -> None:
    """Sweeps read names and ranges from here."""
    found = strategy_params(Tuned)

    assert {name: (p.default, p.low, p.high) for name, p in found.items()} == {
        "length": (10, 2, 30), "factor": (1.5, 0.0, None), "loud": (False, None, None), "word": ("calm", None, None),
    }  # fmt: skip


def test_timeframes_are_the_configured_or_the_classs_own_first() -> None:
    """A timeframe that is named twice is subscribed once."""

    class Many(BarStrategy):
        timeframe = "5m"
        timeframes = ("1h", "5m")

    own, given = StrategyConfig(use="x"), StrategyConfig.model_validate({"use": "x", "timeframe": "1h"})

    assert strategy_timeframes(Many, own) == [5 * MINUTE_NS, HOUR_NS]
    assert strategy_timeframes(Many, given) == [HOUR_NS, 5 * MINUTE_NS]
    assert strategy_timeframes(Strategy, own) == [MINUTE_NS]


def test_a_strategy_that_is_asked_at_each_price_has_one_timeframe() -> None:
    """Further ones belong to strategies of bars; on a plain one the attribute means nothing and wakes nobody."""

    class Plain(Strategy):
        timeframes = ("5m",)

    result = run_world([bar_series("AAA", [100.0] * 12)], [Plain], timeframes=["5m"], runtime="fibers")

    assert strategy_timeframes(Plain, StrategyConfig(use="x")) == [MINUTE_NS]
    assert (result.outcome.value, result.error) == ("COMPLETED", None)


@pytest.mark.parametrize(("volume", "closed"), [(1.0, [1.0]), (3.0, [2.0, 1.0]), (9.0, [2.0, 2.0]), (None, [2.0, 2.0])])
def test_a_partial_close_on_a_hedging_account_takes_the_oldest_positions_first(
    volume: float | None, closed: list[float]
) -> None:
    """Up to the volume in total, not of each."""

    class Hedges(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) in (1, 2):
                self.buy(volume=2.0)
            elif len(self.bars) == 4:
                self.close(volume=volume)

    config = bot_config(["AAA"], [Hedges], positions="hedging")
    result = run_world([bar_series("AAA", [100.0] * 8)], [Hedges], config, runtime="fibers")

    exits = [fill for fill in result.fills if fill.kind == "exit"]
    assert [fill.volume for fill in exits] == closed
    assert exits[0].position_id == result.fills[0].position_id


def test_a_users_constructor_needs_no_super_and_sees_what_the_framework_sets() -> None:
    """Symbol, name, parameters and an empty state are there before it runs."""
    SEEN.clear()

    class Own(Base):
        def __init__(self) -> None:
            SEEN.append((self.symbol, self.name, self.length, self.state, len(self.bars)))

    run_world([bar_series("AAA", [1.0, 2.0])], [Own], runtime="fibers")

    assert SEEN == [("AAA", "Own", 20, {}, 0)]


def test_each_symbol_has_an_instance_of_its_own() -> None:
    """What one symbol's strategy remembers, another one's does not see."""
    counts: dict[str, int] = {}

    class Counts(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.state["bars"] = self.state.get("bars", 0) + 1
            counts[self.symbol] = self.state["bars"]

    run_world([bar_series("AAA", [1.0, 2.0]), bar_series("BBB", [1.0, 2.0, 3.0])], [Counts])

    assert counts == {"AAA": 2, "BBB": 3}


def test_an_unsubscribed_timeframe_is_refused_with_what_to_do() -> None:
    """Both when a strategy asks for its bars and when the run has none of them."""

    class Asks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.bars_of("1h")

    class Subscribes(BarStrategy):
        timeframe = "1h"

    for cls, sentence in ((Asks, "Asks has no bars of 1h"), (Subscribes, "AAA has no bars of")):
        with pytest.raises(ConfigError, match=sentence):
            run_world([bar_series("AAA", [1.0, 2.0])], [cls], runtime="fibers")


def test_the_lookback_is_known_also_when_features_read_what_the_constructor_has_set() -> None:
    """Warm-up is loaded before the strategy is made for its run; a constructor of the user's own is no obstacle."""

    class Own(BarStrategy):
        def __init__(self) -> None:
            self.length = 40

        def features(self) -> dict[str, Feature]:
            return {"f": sma(self.length)}

    assert declared_lookbacks(Own, StrategyConfig(use="own")) == {MINUTE_NS: 40}
