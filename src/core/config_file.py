"""Reading a YAML configuration: overrides, and every problem at once with its path and line.

Pure but for reading the one file; any thread.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from src.core.errors import ConfigError
from src.core.program import program
from src.core.words import closest, meant

__all__ = ["ConfigDocument", "parse_config", "read_config"]

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML whose plain words mean what they look like, as in YAML 1.2.

    Only `true` and `false` are truth values, so that `on:` is a key and `no` a word; `17:00` is a time of day and not a
    number to the base of 60; `1e5` is a number. Dates stay text: the model that reads them says which key holds an
    impossible one.
    """


_PLAIN = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": (r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
_OTHERWISE = (*_PLAIN, "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHERWISE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))

#: What the parser says, and what was done then, most likely.
_YAML_HINTS = (
    ("'\\t'", "indent with spaces and not with tabs"),
    ("expected <block end>", "indent this line as the others of its section, or close a quote or bracket above it"),
    ("mapping values are not allowed", "the key above it may lack its colon, or a text with a colon its quotes"),
    ("could not find expected ':'", "write key: value, with a colon and a space"),
)


class ConfigDocument:
    """A configuration as plain values, knowing the line of each.

    Attributes:
        values: the document with overrides applied; edit a copy, not this.
        folder: what relative paths in the configuration are relative to.
        name: the file's name for messages.
        overrides: the `key.sub=value` words that are in `values`.
    """

    def __init__(
        self, values: dict[str, Any], lines: dict[Location, int | str], name: str, folder: Path,
        overrides: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.values = values
        self.folder = folder
        self.name = name
        self.overrides = overrides
        self._lines = lines

    def validate(self, model: type[Model]) -> Model:
        """The document as `model`.

        Raises:
            ConfigError: with every problem, one line each; `problems` holds them as a list.
        """
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            items = error.errors()
            problems = [line for item in items if not _is_echo(item, items) for line in self._sentences(model, item)]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{self.name} has {count}:\n  " + "\n  ".join(problems), problems=problems) from None

    def where(self, location: Location) -> str:
        """`file.yaml:12` of the nearest enclosing key that the file holds; `--set key` of one that was overridden."""
        for end in range(len(location), 0, -1):
            line = self._lines.get(location[:end])
            if line is not None:
                return line if isinstance(line, str) else f"{self.name}:{line}"
        return self.name

    def changed(self, settings: Sequence[tuple[str, Any]], where: Callable[[str], str]) -> "ConfigDocument":
        """A document with further keys set, in their order; what they leave as it is belongs to both.

        Args:
            settings: keys as `strategies.0.params.fast`, and plain values.
            where: what messages call the place that a key was set from, such as `suite.yaml:12`.

        Raises:
            ConfigError: a key leads through a plain value, or to a place that a list has not.
        """
        values, lines = self.values, dict(self._lines)
        for key, value in settings:
            at = _place(values, key, where(key))
            values = _replaced(values, at, value)
            for below in [each for each in lines if each[: len(at)] == at]:
                del lines[below]
            lines[at] = where(key)
        words = [f"{key}={json.dumps(value, default=str)}" for key, value in settings]
        return ConfigDocument(values, lines, self.name, self.folder, (*self.overrides, *words))

    def _problem(self, key: str, location: Location, text: str) -> str:
        where = self.where(location)
        if f"{where} ".endswith(f" {key} "):  # an override says its key already
            return f"{where}: {text}"
        # A check of a whole section may be about a key in it that the file says otherwise.
        below = [line for at, line in self._lines.items() if isinstance(line, str) and at[: len(location)] == location]
        within = f" (with {', '.join(below)})" if below and location else ""
        return f"{where}: {key}: {text}{within}" if key else f"{where}: {text}"

    def _sentences(self, model: type[BaseModel], item: Any) -> list[str]:
        if item["type"] != "value_error" or item["loc"]:
            return [self._sentence(model, item)]
        # A check of the whole document: one problem a line, each beginning with the key that it is about.
        problems = str(item["ctx"]["error"]).splitlines()
        parts = [problem.partition(": ") for problem in problems]
        return [
            self._problem(key, _location(key), text) if colon else f"{self.name}: {key}" for key, colon, text in parts
        ]

    def _sentence(self, model: type[BaseModel], item: Any) -> str:
        location = tuple(part for part in item["loc"] if not _is_tag(part))
        path = ".".join(str(part) for part in location)
        kind, found = item["type"], item.get("input")
        if kind == "extra_forbidden":
            known = _keys_at(model, location[:-1])
            text = f"unknown key {location[-1]!r}{_suggestion(str(location[-1]), known)}"
        elif kind == "missing":
            text = "is required and missing"
        elif kind == "value_error":
            text = str(item["ctx"]["error"])
        else:
            choices = re.findall(r"'([^']*)'", item["ctx"]["expected"]) if kind in ("literal_error", "enum") else ()
            text = f"{item['msg'][0].lower()}{item['msg'][1:]}, found {found!r}{meant(found, choices)}"
        return self._problem(path, location, text)


def read_config(path: Path, overrides: list[str] | None = None) -> ConfigDocument:
    """The configuration in `path` with `key.sub=value` overrides applied; values are YAML.

    Raises:
        ConfigError: no such file, not YAML, a key twice, an override without `=` or through a plain value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = _meant_file(path) or f"; `{program()} init DIR` writes one"
        raise ConfigError(
            f"expected a configuration file at {path}, found none that can be read ({error.strerror}){hint}"
        ) from None
    return parse_config(text, path.name, path.resolve().parent, overrides)


def _meant_file(path: Path) -> str:
    if path.is_dir():
        inside = [str(each) for each in sorted(path.glob("*.y*ml"))[:5]]
        return f"; did you mean {' or '.join(inside)}?" if inside else ""
    if not path.parent.is_dir():  # the shell already stands in the folder that was named
        return f"; did you mean {path.name}?" if Path(path.name).is_file() else ""
    near = {each.stem: each for each in sorted(path.parent.glob("*.y*ml"))}
    found = closest(path.stem, near)
    return "" if found is None else f"; did you mean {near[found]}?"


def _yaml_hint(problem: str) -> str:
    """What people do that makes the parser say so."""
    for sign, hint in _YAML_HINTS:
        if sign in problem:
            return f"; {hint}"
    return ""


def parse_config(text: str, name: str, folder: Path, overrides: list[str] | None = None) -> ConfigDocument:
    """The same for a configuration that is in memory; `name` is used in messages, `folder` for relative paths.

    Raises:
        ConfigError: see `read_config`.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", error))
        raise ConfigError(f"{name}{line}: not valid YAML: {problem}{_yaml_hint(problem)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected a mapping of keys, found {type(values).__name__}")
    in_file: dict[Location, int] = {}
    _collect_lines(node, (), in_file, name)
    lines: dict[Location, int | str] = dict(in_file)
    for override in overrides or []:
        at = _apply(values, override)
        # What the file says below has been replaced.
        lines = {each: line for each, line in lines.items() if each[: len(at)] != at}
        lines[at] = f"--set {'.'.join(map(str, at))}"
    return ConfigDocument(values, lines, name, folder, tuple(overrides or ()))


def _collect_lines(node: yaml.Node | None, at: Location, lines: dict[Location, int], name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, str(key.value))
            if here in lines:
                raise ConfigError(
                    f"{name}:{key.start_mark.line + 1}: the key {'.'.join(map(str, here))} stands there twice, "
                    f"first on line {lines[here]}; keep one"
                )
            lines[here] = key.start_mark.line + 1
            _collect_lines(value, here, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*at, i)] = value.start_mark.line + 1
            _collect_lines(value, (*at, i), lines, name)


def _place(values: dict[str, Any], key: str, where: str) -> Location:
    """Where a dotted key leads; `where` begins the sentence of a refusal."""
    target: Any = values
    at: Location = ()
    for i, part in enumerate(parts := key.strip().split(".")):
        index: str | int = part
        if isinstance(target, list):
            if not part.isdigit() or int(part) >= len(target):
                raise ConfigError(f"{where}: {key}: expected an index from 0 to {len(target) - 1}, found {part!r}")
            index = int(part)
        elif target is not None and not isinstance(target, dict):
            raise ConfigError(f"{where}: {key}: {'.'.join(parts[:i])} is a plain value and has no key {part!r}")
        at = (*at, index)
        target = target[int(part)] if isinstance(target, list) else (target or {}).get(part)
    return at


def _replaced(target: Any, at: Location, value: Any) -> Any:
    """A copy with another value at a place; only what lies on the way there is copied."""
    if not at:
        return value
    index, rest = at[0], at[1:]
    if isinstance(target, list):
        copied: Any = list(target)
        copied[index] = _replaced(target[int(index)], rest, value)
        return copied
    return {**(target or {}), index: _replaced((target or {}).get(index), rest, value)}


def _apply(values: dict[str, Any], override: str) -> Location:
    """Put an override into the values; where it has gone."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"expected --set key=value, found --set {override!r}")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from None
    target: Any = values
    parts = key.strip().split(".")
    at: Location = ()
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(target, list):
            if not part.isdigit() or int(part) >= len(target):
                raise ConfigError(f"--set {key}: expected an index from 0 to {len(target) - 1}, found {part!r}")
            index: Any = int(part)
        elif isinstance(target, dict):
            index = part
            if not last and (part not in target or target[part] is None):
                target[part] = {}
        else:
            raise ConfigError(f"--set {key}: {'.'.join(parts[:i])} is a plain value and has no key {part!r}")
        at = (*at, index)
        if last:
            target[index] = value
        else:
            target = target[index]
    return at


def _location(key: str) -> Location:
    return tuple(int(part) if part.isdigit() else part for part in key.split("."))


def _is_echo(item: Any, items: Any) -> bool:
    # A list whose only element is wrong is also reported as too short; the element's own problem says it better.
    return item["type"] == "too_short" and any(
        other["loc"][: len(item["loc"])] == item["loc"] and other is not item for other in items
    )


def _is_tag(part: str | int) -> bool:
    # pydantic adds the name of a union's member to the location; it is no key of the file.
    return isinstance(part, str) and part in ("bool", "int", "float", "str", "function-before[convert(), int]")


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    current: type[BaseModel] = model
    picks_element = False  # the next part is a place in a list or a free key of a mapping, not a field
    for part in location:
        if picks_element:
            picks_element = False
            continue
        field = next((f for name, f in current.model_fields.items() if part in (name, f.alias)), None)
        below = None if field is None else _find_model(field.annotation)
        if field is None or below is None:
            return []
        current = below
        picks_element = get_origin(field.annotation) in (dict, list, tuple)
    return [field.alias or name for name, field in current.model_fields.items()]


def _find_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _find_model(argument)
        if found is not None:
            return found
    return None


def _suggestion(word: str, known: list[str]) -> str:
    if not known:
        return ""
    return meant(word, known) or f"; known here: {', '.join(known)}"
