"""Reference pages of the site that are made from the program: every command, and every key of a configuration.

Pure but for imports; one thread.
"""

import inspect
import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from src.backtesting.config import BacktestConfig
from src.cli.app import app
from src.cli.examples import EXAMPLES
from src.core.timeframe import format_duration
from src.live.config import LiveConfig

__all__ = ["commands", "configuration"]

#: Which numbers of a file are written as instants; other ones with `_ns` are durations.
_INSTANTS = ("at_ns", "begins_ns", "start_ns", "end_ns", "from_ns", "to_ns")
_SECTIONS = ("paper", "live", "notify")
_SHARED = ("--json", "--quiet", "--debug", "--help")


def commands() -> str:
    """A section for the program and for each verb, in Markdown."""
    return "\n\n".join(_command(name, command) for name, command in _verbs(typer.main.get_command(app), ""))


def _verbs(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word in sorted(getattr(command, "commands", {})):
        yield from _verbs(command.get_command(None, word), f"{name} {word}".strip())


def _command(name: str, command: Any) -> str:
    lines = [f"## {name or 'Without a verb: one run'}", ""]
    lines += [_escaped(inspect.cleandoc(command.help or "")), ""]
    rows = [row for parameter in command.params if (row := _row(parameter)) is not None]
    if rows:
        lines += ["| option | value | |", "|---|---|---|", *rows, ""]
    shown = [f"python main.py {words}" for words in EXAMPLES.get(name, ())]
    return "\n".join([*lines, "```", *shown, "```"])


def _row(parameter: Any) -> str | None:
    names = [*parameter.opts, *parameter.secondary_opts]
    if any(each in _SHARED for each in names) or getattr(parameter, "hidden", False):
        return None
    is_argument = parameter.param_type_name == "argument"
    shown = (parameter.metavar or parameter.name) if is_argument else ", ".join(f"`{each}`" for each in names)
    word = (parameter.metavar or str(parameter.name).upper()).replace("|", " or ")
    value = "" if is_argument or getattr(parameter, "is_flag", False) else f"`{word}`"
    return f"| {_cell(shown)} | {_cell(value)} | {_cell(_escaped(getattr(parameter, 'help', None) or ''))} |"


def configuration() -> str:
    """A section for each part of a configuration file, in Markdown."""
    parts: dict[str, type[BaseModel]] = {}
    _collect(BacktestConfig, "", parts, ("paper", "live", "notify"))
    _collect(LiveConfig, "", parts, ("backtest",))
    return "\n\n".join(_part(path, model) for path, model in sorted(parts.items(), key=lambda each: _place(each[0])))


_ORDER = ("", "account", "instruments", "strategies", "risk", "manage", "poll", "backtest", "paper", "live", "notify")


def _place(path: str) -> tuple[int, str]:
    first = re.split(r"[.\[]", path)[0]
    return (_ORDER.index(first) if first in _ORDER else len(_ORDER), path)


def _collect(model: type[BaseModel], path: str, parts: dict[str, type[BaseModel]], without: tuple[str, ...]) -> None:
    if path in parts and path:
        return
    parts.setdefault(path, model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        for below, is_many in () if key in without and not path else _models(field.annotation):
            end = {"dict": ".NAME", "list": "[]"}.get(is_many, "")
            _collect(below, f"{path}.{key}{end}".strip("."), parts, ())


def _models(annotation: Any, many: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    origin = get_origin(annotation)
    if origin in (dict, list, tuple):
        many = "dict" if origin is dict else "list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, many
    for argument in get_args(annotation):
        yield from _models(argument, many)


def _part(path: str, model: type[BaseModel]) -> str:
    said = inspect.cleandoc(model.__doc__ or "").split("\n\nAttributes:")[0]
    lines = [f"## `{path}`" if path else "## The file as a whole", "", _escaped(said), ""]
    lines += ["| key | value | by default |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        key = field.alias or name
        lines.append(f"| `{key}` | {_cell(_value(name, key, field.annotation))} | {_default(field)} |")
    return "\n".join(lines)


def _value(name: str, key: str, annotation: Any) -> str:
    if name in _SECTIONS and any(get_origin(each) is dict for each in (annotation, *get_args(annotation))):
        return "a section, below"
    if name in _INSTANTS:
        return "an instant, such as 2024-01-31 12:00"
    if name.endswith("_ns") and key != name:
        return "a duration, such as 90s, 5m or 1d"
    return "a timeframe, such as 15m" if name.startswith("timeframe") else _kind(annotation)


def _default(field: Any) -> str:
    if field.is_required():
        return "**required**"
    if field.default_factory is not None:
        return "empty"
    value = field.default
    if value is None or value == "" or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{_plain(value)}`" if value not in ((), {}) else "empty"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 1_000_000:  # a duration, as it is written in a file
        return format_duration(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in arguments if each is not type(None)))
    if origin in (list, tuple):
        return f"a list: {_kind(next(each for each in arguments if each is not ...))}"
    if origin is dict:
        return f"by name: {_kind(arguments[1])}"
    if origin is not None and arguments:
        return _kind(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section, below"
    members = getattr(annotation, "__members__", None)
    if members:
        return ", ".join(f"`{each.value}`" for each in members.values())
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    return names.get(annotation, "a value")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")
