"""The values of a key: as they are listed, evenly spaced between the ends, or drawn inside."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import ConfigError
from src.core.rng import stream
from src.core.strategy import BarStrategy, Param, param
from src.core.strategy_runner import strategy_params
from src.research.suite.section import ValuesSection
from src.research.suite.values import Choices, parameter_choices, plain_choices


class Tunable(BarStrategy):
    """Parameters of all kinds."""

    length: int = param(20, low=2, high=50)
    width: float = param(1.0, low=0.5, high=8.0)
    free: float = param(1.0)
    flag: bool = param(True)
    word: str = param("up")


class Other(BarStrategy):
    """The same names, declared otherwise."""

    length: int = param(20, low=2, high=80)
    width: int = param(1, low=1, high=8)


def declared(name: str, *classes: type[BarStrategy]) -> list[Param]:
    """A parameter as the classes declare it."""
    return [strategy_params(one)[name] for one in classes or (Tunable,)]


def values_of(name: str, section: dict[str, object], *classes: type[BarStrategy], listed: bool = True) -> Choices:
    """The values of a parameter, described as in a manifest."""
    return parameter_choices(ValuesSection.model_validate(section), declared(name, *classes), "params", listed=listed)


@pytest.mark.parametrize(
    ("name", "section", "expected"),
    [
        ("length", {"from": 10, "to": 50, "steps": 5}, (10, 20, 30, 40, 50)),
        ("length", {"from": 10, "to": 14, "steps": 9}, (10, 11, 12, 13, 14)),
        ("length", {"from": 10, "to": 25, "step": 10}, (10, 20)),
        ("length", {"steps": 3}, (2, 26, 50)),
        ("length", {"from": 3, "to": 48, "steps": 5, "log": True}, (3, 6, 12, 24, 48)),
        ("width", {"from": 0.5, "to": 0.8, "step": 0.1}, (0.5, 0.6, 0.7, 0.8)),
        ("width", {"from": 1, "steps": 3}, (1.0, 4.5, 8.0)),
        ("width", {"steps": 5, "log": True}, (0.5, 1.0, 2.0, 4.0, 8.0)),
        ("width", {"values": (1, 2.5)}, (1.0, 2.5)),
        ("flag", {}, (False, True)),
        ("word", {"values": ("up", "down")}, ("up", "down")),
    ],
)
def test_values_are_spaced_evenly_and_typed_as_the_class_has_them(
    name: str, section: dict[str, object], expected: tuple[object, ...]
) -> None:
    """Both ends are among them, an end that is left out is the class's, and no value stands there twice."""
    found = values_of(name, section).values

    assert found == expected
    assert found is not None
    assert [type(one) for one in found] == [type(one) for one in expected]


@pytest.mark.parametrize(
    ("name", "section", "sentence"),
    [
        ("length", {"from": 1, "steps": 3}, "params.length: expected at least 2, found 1"),
        ("length", {"to": 51, "steps": 3}, "params.length: expected at most 50, found 51"),
        ("length", {"from": 2.5, "steps": 3}, "params.length: expected whole numbers, found 2.5"),
        ("length", {"values": (10, 2.5)}, "params.length: expected int, found 2.5"),
        ("free", {"steps": 3}, "expected from, because the strategy declares the parameter without low"),
        ("free", {"from": 0, "to": 1, "steps": 2_000_000}, "at most 1,000,000 values, found 2,000,000"),
        ("flag", {"steps": 2}, "a range is of numbers, and this is a bool"),
        ("word", {}, "a range is of numbers, and this is a str"),
        ("width", {"from": 2, "to": 4}, "a grid goes through each value"),
    ],
)
def test_values_that_cannot_be_are_refused(name: str, section: dict[str, object], sentence: str) -> None:
    """The sentence names the parameter and what to write."""
    with pytest.raises(ConfigError) as caught:
        values_of(name, section)

    assert sentence in caught.value.message


def test_strategies_that_do_not_agree_leave_no_end_open() -> None:
    """An end of one class is not silently taken for another's."""
    assert values_of("length", {"to": 40, "steps": 3}, Tunable, Other).values == (2, 21, 40)
    with pytest.raises(ConfigError, match="declare it with different ends; write to"):
        values_of("length", {"steps": 3}, Tunable, Other)
    with pytest.raises(ConfigError, match="declare it as float and int"):
        values_of("width", {"steps": 3}, Tunable, Other)


def test_other_keys_are_whole_where_their_ends_are() -> None:
    """No class says what they are, so the ends do."""
    whole = plain_choices(ValuesSection.model_validate({"from": 1, "to": 5, "steps": 3}), "set.x", listed=True)
    split = plain_choices(ValuesSection.model_validate({"from": 1, "to": 2.0, "steps": 3}), "set.x", listed=True)

    assert (whole.values, split.values) == ((1, 3, 5), (1.0, 1.5, 2.0))


@settings(max_examples=50, deadline=None)
@given(low=st.integers(2, 40), width=st.integers(1, 10), log=st.booleans(), seed=st.integers(0, 2**32))
def test_draws_stay_inside_the_range(low: int, width: int, log: bool, seed: int) -> None:
    """Whole numbers for whole parameters, and each draw is one of the values."""
    high = min(low + width, 50)
    found = values_of("length", {"from": low, "to": high, "log": log}, listed=False)
    wide = values_of("width", {"log": log}, listed=False)
    random = stream(seed, "test")

    numbers = [found.value(found.drawn(random.random())) for _ in range(20)]
    floats = [wide.value(wide.drawn(random.random())) for _ in range(20)]

    assert all(isinstance(one, int) and low <= one <= high for one in numbers)
    assert all(isinstance(one, float) and 0.5 <= one <= 8.0 for one in floats)


def test_a_logarithmic_draw_prefers_no_doubling() -> None:
    """Between 1 and 2 lies as much as between 4 and 8."""
    wide = values_of("width", {"from": 1, "log": True}, listed=False)
    random = stream(7, "test")

    drawn = [wide.value(wide.drawn(random.random())) for _ in range(3_000)]

    counts = [sum(edge <= one < 2 * edge for one in drawn) for edge in (1, 2, 4)]
    assert all(900 < count < 1_100 for count in counts)
