"""The values that one key of a product goes through: listed, evenly spaced, or drawn inside a range.

Pure; any thread. The same range gives the same numbers on every machine: they are rounded to ten digits, which hides in
which of the last ones two processors disagree, and which can be typed again.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from src.core.errors import ConfigError
from src.core.record import record
from src.core.strategy import Param
from src.core.words import counted
from src.research.suite.section import ValuesSection

__all__ = ["MOST_VALUES", "Choices", "parameter_choices", "plain_choices", "rounded"]

#: One key has no more values than this, and one product no more combinations.
MOST_VALUES = 1_000_000

Number = int | float


@record
class Choices:
    """What may be chosen for one key.

    A choice is named by a number: the place of a listed value, or the value itself where they are not listed.

    Attributes:
        values: in order, each by its place; None where any number between `low` and `high` may be drawn.
        low, high: the ends of a range of floats.
        ordered: whether the values are of a range, so that those side by side are alike.
        log: whether numbers are drawn so that each doubling is as likely as any other.
    """

    values: Sequence[Any] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    ordered: bool = False

    @property
    def count(self) -> int | None:
        """How many there are; None where there is no number."""
        return None if self.values is None else len(self.values)

    def value(self, choice: Number) -> Any:
        """What a choice stands for."""
        return choice if self.values is None else self.values[int(choice)]

    def ends(self) -> tuple[Number, ...]:
        """The choices between which all others lie, lowest first; where values are no numbers, all of them."""
        if self.values is None:
            return self.low, self.high
        if any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in self.values):
            return tuple(range(len(self.values)))
        if self.ordered:
            return tuple(dict.fromkeys((0, len(self.values) - 1)))
        places = sorted(range(len(self.values)), key=self.values.__getitem__)
        return tuple(dict.fromkeys((places[0], places[-1])))

    def drawn(self, uniform: float) -> Number:
        """The choice at a place in `[0, 1)`: each listed value as likely as any other, numbers evenly."""
        if self.values is None:
            return rounded(_between(self.low, self.high, uniform, log=self.log))
        if self.log:  # whole numbers in a row
            low, high = int(self.values[0]), int(self.values[-1])
            found = math.floor(rounded(_between(low, high + 1, uniform, log=True)))
            return min(max(found, low), high) - low
        return int(uniform * len(self.values))


def parameter_choices(section: ValuesSection, params: Sequence[Param], where: str, *, listed: bool) -> Choices:
    """The values of a parameter of one or several strategies.

    Args:
        section: as written; an end that is left open is that of the class.
        params: as the classes declare it, at least one.
        where: what sentences begin with, up to the name of the parameter.
        listed: whether values have to be listed, because all of them are gone through.

    Raises:
        ConfigError: a value of another type or outside of a class's range; classes that do not agree where an end is
            left to them; a range that has no end, or too many values.
    """
    name = f"{where}.{params[0].name}"
    kinds = {type(each.default) for each in params}
    if section.values is not None:
        values = [[each.check(value, where) for each in params][0] for value in section.values]
        return Choices(values=tuple(values))
    if len(kinds) > 1:
        words = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ConfigError(f"{name}: strategies declare it as {words}; name one, as in instance.parameter, or write a "
                          "list")  # fmt: skip
    kind = kinds.pop()
    if kind not in (int, float):
        plain = kind is bool and section == ValuesSection()
        if not plain:
            raise ConfigError(f"{name}: a range is of numbers, and this is a {kind.__name__}; write a list of values")
        return Choices(values=(False, True))
    ends = [_end(section.from_, [each.low for each in params], "from", "low", name),
            _end(section.to, [each.high for each in params], "to", "high", name)]  # fmt: skip
    for end in ends:
        for each in params:
            each.check(end if kind is float else _whole(end, name), where)
    return _range(section, ends[0], ends[1], name, whole=kind is int, listed=listed)


def plain_choices(section: ValuesSection, where: str, *, listed: bool) -> Choices:
    """The values of any other key; a range has whole numbers where its ends and its step are whole.

    Raises:
        ConfigError: a range without an end, or with too many values.
    """
    if section.values is not None:
        return Choices(values=section.values)
    if section.from_ is None or section.to is None:
        raise ConfigError(f"{where}: a range of this key needs from and to, because nobody else says them; write both, "
                          "or a list of values")  # fmt: skip
    whole = all(isinstance(each, int) for each in (section.from_, section.to, section.step or 1))
    return _range(section, section.from_, section.to, where, whole=whole, listed=listed)


def _end(given: Number | None, declared: Sequence[Any], key: str, word: str, name: str) -> Number:
    if given is not None:
        return given
    found = {each for each in declared}
    if len(found) > 1:
        raise ConfigError(f"{name}: strategies declare it with different ends; write {key}")
    end: Number | None = found.pop()
    if end is None:
        raise ConfigError(f"{name}: expected {key}, because the strategy declares the parameter without {word}; "
                          "write it, or a list of values")  # fmt: skip
    return end


def _range(
    section: ValuesSection, low: Number, high: Number, name: str, *, whole: bool, listed: bool
) -> Choices:  # fmt: skip
    if low >= high:
        raise ConfigError(f"{name}: from must lie below to, found {low} and {high}; write a list for one value")
    if section.log and low <= 0:
        raise ConfigError(f"{name}: log: true needs from above 0, found {low}")
    if section.steps is not None or section.step is not None:
        return Choices(values=_spaced(section, low, high, name, whole=whole), ordered=True)
    if listed:
        raise ConfigError(f"{name}: a grid goes through each value, and {{from, to}} alone has none; write steps or "
                          "step, a list, or search: {method: random, samples: 50}")  # fmt: skip
    if whole:
        first, last = _whole(low, name), _whole(high, name)
        return Choices(values=range(first, last + 1), log=section.log, ordered=True)
    return Choices(low=float(low), high=float(high), log=section.log)


def _spaced(section: ValuesSection, low: Number, high: Number, name: str, *, whole: bool) -> tuple[Number, ...]:
    """The listed values of a range, in rising order and each once."""
    first, last = _exact(low), _exact(high)
    if section.step is not None:
        step = _exact(_whole(section.step, name) if whole else section.step)
        count = (last - first) // step + 1
    else:
        count = section.steps or 0
        step = (last - first) / (count - 1)
    if count > MOST_VALUES:
        raise ConfigError(f"{name}: expected at most {counted(MOST_VALUES, 'value')}, found {count:,}; write fewer")
    if section.log:
        points = [Fraction(rounded(_between(low, high, i / (count - 1), log=True))) for i in range(count)]
    else:
        points = [first + step * i for i in range(count)]
    if whole:
        _whole(low, name), _whole(high, name)
        return tuple(dict.fromkeys(round(each) for each in points))
    return tuple(dict.fromkeys(rounded(float(each)) for each in points))


def _between(low: Number, high: Number, share: float, *, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + (math.log(high) - math.log(low)) * share)
    return low + (high - low) * share


def rounded(value: float) -> float:
    """The number with ten digits."""
    return float(f"{value:.10g}")


def _exact(value: Number) -> Fraction:
    """The number as it is written, so that three steps of 0.1 are 0.3."""
    return Fraction(repr(value))


def _whole(value: Number, name: str) -> int:
    if value != int(value):
        raise ConfigError(f"{name}: expected whole numbers, found {value}")
    return int(value)
