"""Prints every exception class of the package `src` that does not survive pickling; one line each.

Run as a program in a process of its own, with the tree to look at as working directory: it imports every module of
that tree. An error that cannot be pickled hangs `multiprocessing.Pool` and breaks `ProcessPoolExecutor`, so each class
is made once with sample values for the parameters that it asks for, sent through pickle, and compared.
"""

import enum
import importlib
import inspect
import pickle
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_SAMPLES: dict[object, object] = {
    str: "sample",
    int: 7,
    float: 1.5,
    bool: True,
    bytes: b"sample",
    type(None): None,
    Any: "sample",
    object: "sample",
    inspect.Parameter.empty: "sample",
    Exception: ValueError("sample"),
    BaseException: ValueError("sample"),
}


def main() -> int:
    """Print the findings; return 1 when there are any."""
    sys.path.insert(0, "")
    findings = list(import_problems())
    for cls in exception_classes():
        problem = pickling_problem(cls)
        if problem:
            findings.append(f"{cls.__module__}.{cls.__qualname__}: {problem}")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def import_problems() -> Iterator[str]:
    """Import every module of `src`; yield those that cannot be imported for a reason of their own."""
    for path in sorted(Path("src").rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        if path.name == "__main__.py":
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            # A library of an extra that is not installed here is no fault of the module that uses it.
            if (error.name or "src").split(".")[0] == "src":
                yield f"{name}: cannot be imported: {error}"
        except Exception as error:  # whatever it is, it is the finding
            yield f"{name}: cannot be imported: {type(error).__name__}: {error}"


def exception_classes() -> list[type[BaseException]]:
    """Return every loaded exception class that was defined under `src`, by name."""
    found: dict[str, type[BaseException]] = {}
    todo: list[type[BaseException]] = [BaseException]
    while todo:
        cls = todo.pop()
        todo.extend(type.__subclasses__(cls))
        if cls.__module__ == "src" or cls.__module__.startswith("src."):
            found[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return [found[name] for name in sorted(found)]


def pickling_problem(cls: type[BaseException]) -> str | None:
    """Say what goes wrong when an instance of the class goes through pickle; None if nothing does."""
    if inspect.isabstract(cls):
        return None
    try:
        original = make(cls)
    except Exception as error:  # a constructor may raise anything
        return f"could not be made with sample values ({type(error).__name__}: {error}); use plain types"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        try:
            copy = pickle.loads(pickle.dumps(original, protocol))
        except Exception as error:  # unpickling runs the class's own code
            return f"does not survive pickling: {type(error).__name__}: {error}"
        if type(copy) is not type(original):
            return f"comes back from pickling as {type(copy).__name__}"
        if state(copy) != state(original):
            return f"changes on its way through pickling: {state(original)} became {state(copy)}"
    return None


def state(error: BaseException) -> tuple[str, str, str]:
    """Return what must stay equal: the sentence, the arguments and the attributes."""
    attributes = {name: getattr(error, name, None) for name in sorted(_attribute_names(error))}
    return (str(error), repr(error.args), repr(attributes))


def _attribute_names(error: BaseException) -> set[str]:
    names = set(vars(error))
    for cls in type(error).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    return names


def make(cls: type[BaseException]) -> BaseException:
    """Make an instance with a sample for every parameter, the optional ones too if that works."""
    positional, keywords = _arguments(cls, every=True)
    try:
        return cls(*positional, **keywords)
    except (TypeError, ValueError):
        positional, keywords = _arguments(cls, every=False)
        return cls(*positional, **keywords)


def _arguments(cls: type[BaseException], *, every: bool) -> tuple[list[object], dict[str, object]]:
    """Return sample arguments for a class; only those without a default unless `every` is asked for."""
    initialiser: Callable[..., object] = cls.__init__
    try:
        parameters = list(inspect.signature(initialiser).parameters.values())[1:]
        hints = typing.get_type_hints(initialiser)
    except (TypeError, ValueError, NameError):
        return ["sample"], {}
    positional: list[object] = []
    keywords: dict[str, object] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.append("sample")
            continue
        if parameter.default is not parameter.empty and not every:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            keywords.update({"sample_ns": 7, "samples": ("a", "b")} if every else {})
            continue
        value = sample(hints.get(parameter.name, parameter.empty))
        if parameter.kind is parameter.KEYWORD_ONLY:
            keywords[parameter.name] = value
        else:
            positional.append(value)
    return positional, keywords


def sample(annotation: Any) -> object:
    """Return a plain value that fits an annotation, as far as it can be guessed."""
    try:
        if annotation in _SAMPLES:
            return _SAMPLES[annotation]
    except TypeError:
        return "sample"
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return sample(next(part for part in inner if part is not type(None)))
    if origin is typing.Literal:
        return inner[0]
    if origin is typing.Annotated:
        return sample(inner[0])
    bare = origin or annotation
    if bare is tuple:
        return tuple(sample(part) for part in inner if part is not Ellipsis)
    if isinstance(bare, type):
        return _sample_of_class(bare, inner)
    return "sample"


def _sample_of_class(bare: type, inner: tuple[Any, ...]) -> object:
    if issubclass(bare, enum.Enum):
        return next(iter(bare))
    if issubclass(bare, dict) or "Mapping" in bare.__name__:
        return {sample(inner[0]): sample(inner[1])} if len(inner) == 2 else {}
    if issubclass(bare, (list, set, frozenset)):
        return bare([sample(inner[0])] if inner else [])
    if bare.__name__ in {"Sequence", "Iterable", "Collection"}:
        return (sample(inner[0]),) if inner else ()
    if hasattr(bare, "__dataclass_fields__"):
        hints = typing.get_type_hints(bare)
        return bare(**{name: sample(hints[name]) for name in bare.__dataclass_fields__})
    return "sample"


if __name__ == "__main__":
    raise SystemExit(main())
