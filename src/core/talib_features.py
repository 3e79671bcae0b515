"""Any function of TA-Lib as a feature: computed on the declared window alone, at every bar, in every mode.

TA-Lib begins a recursion at the first bar that it is given, so its values over a long history depend on where that
history begins; on a window of fixed length they do not. Each window is one call of TA-Lib, a few microseconds a bar;
the package's own indicators are many times faster. Any thread.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError
from src.core.window_feature import COLUMNS, Feature, WindowFeature, check_column, check_lookback, column_of
from src.core.words import meant

__all__ = ["talib_feature"]


def talib_feature(
    name: str, *, lookback: int, line: str = "", columns: tuple[str, ...] = (), **params: float
) -> Feature:
    """A function of TA-Lib on each window of `lookback` bars, for instance `talib_feature("RSI", lookback=100)`.

    Args:
        name: the function's name in TA-Lib, such as `ADX`.
        lookback: bars of the window, the current one included; at least what the function needs for one value, and
            more where it smooths: `lookahead` says whether a longer one would change what the strategy does.
        line: which of several outputs, by its name in TA-Lib, such as `upperband`; the first by default.
        columns: which columns of the bars are its inputs; TA-Lib's own choice by default.
        params: the function's parameters under their names in TA-Lib, such as `timeperiod=14`.

    Raises:
        ConfigError: TA-Lib is not installed, has no such function, line or parameter, takes something besides bars, or
            needs a longer look-back.
    """
    talib, abstract = _import("talib"), _import("talib.abstract")
    where = f"talib_feature({name!r})"
    known = talib.get_functions()
    if name not in known:
        raise ConfigError(f"{where}: TA-Lib has no such function{meant(name, known)}", found=name)
    described = abstract.Function(name)
    inputs = _inputs(where, described.info["input_names"], columns)
    values = _parameters(where, described, params)
    lines = list(described.output_names)
    chosen = line or lines[0]
    if chosen not in lines:
        raise ConfigError(f"{where} has the lines {', '.join(lines)}, found {line!r}", found=line)
    check_lookback(where, lookback, described.lookback + 1)
    which = lines.index(chosen) if len(lines) > 1 else None
    function = partial(getattr(talib, name), **values)
    words = [*inputs, *(f"{key}={value!r}" for key, value in sorted(values.items())), f"line={chosen}"]
    key = f"talib.{name}({','.join(words)},lookback={lookback})"
    return WindowFeature(key, lookback, partial(_compute, function, inputs, which, lookback), shared=True)


def _compute(
    function: Callable[..., Any], inputs: tuple[str, ...], which: int | None, lookback: int, series: BarSeries,
    first: int, last: int,
) -> FloatArray:  # fmt: skip
    columns = [column_of(series, name) for name in inputs]
    out = np.empty(last - first - lookback + 1)
    for i in range(len(out)):
        begin = first + i
        found = function(*[column[begin : begin + lookback] for column in columns])
        out[i] = (found if which is None else found[which])[-1]
    return out


def _inputs(where: str, described: Any, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the function's arguments."""
    own: list[str] = []
    for names in described.values():
        own += [names] if isinstance(names, str) else names
    if not columns:
        foreign = [name for name in own if name not in COLUMNS]
        if foreign:
            raise ConfigError(
                f"{where} takes {foreign[0]}, which no bar has; give columns=(...), {len(own)} of {', '.join(COLUMNS)}"
            )
        return tuple(own)
    for column in columns:
        check_column(where, column)
    if len(columns) != len(own):
        raise ConfigError(f"{where} takes {len(own)} columns, by default {', '.join(own)}; found {len(columns)}")
    return tuple(columns)


def _parameters(where: str, described: Any, params: dict[str, float]) -> dict[str, Any]:
    """All parameters of the function with their values, and set in `described`, which then knows its look-back."""
    known = dict(described.parameters)
    for name, value in params.items():
        if name not in known:
            there = f"{', '.join(known) or 'none'}{meant(name, known)}"
            raise ConfigError(f"{where} has no parameter {name!r}; it has: {there}", found=name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{where}: expected a number for {name}, found {value!r}", found=value)
        known[name] = value
    try:
        described.parameters = known
        refused = "outside its range" if described.lookback < 0 else ""
    except Exception as error:  # plain ones for some numbers, a look-back of -1 for others
        refused = str(error)
    if refused:
        raise ConfigError(f"{where}: TA-Lib refuses {known}: {refused}")
    return known


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"talib_feature needs TA-Lib, which is not installed: pip install 'lockstep[talib]' ({error})"
        ) from error
