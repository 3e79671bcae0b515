"""`record`: a frozen, slotted, keyword-only dataclass whose construction costs half.

A frozen dataclass sets its fields through `object.__setattr__`, which looks each one up again; several are made for
every order, and this is most of their cost. Here the initialiser sets the slots through their descriptors, found once.
Everything else (equality, repr, replace, pickling, refusal of changes) is the standard dataclass.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, dataclass_transform

__all__ = ["record"]

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[Class]) -> type[Class]:
    """Make `cls` a record; defaults have to be immutable values, factories are not supported.

    Raises:
        TypeError: a field has a default factory.
    """
    made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
    names: dict[str, Any] = {}
    parameters, body = [], []
    for field in fields(made):  # type: ignore[arg-type]  # a dataclass, which the checker cannot see
        if field.default_factory is not MISSING:
            raise TypeError(f"{cls.__name__}.{field.name}: a record takes no default factory")
        names[f"set_{field.name}"] = made.__dict__[field.name].__set__
        parameters.append(field.name)
        if field.default is not MISSING:
            names[f"default_{field.name}"] = field.default
            parameters[-1] += f"=default_{field.name}"
        body.append(f"    set_{field.name}(self, {field.name})")
    exec("def __init__(self, *, " + ", ".join(parameters) + "):\n" + "\n".join(body), names)
    initialiser = names["__init__"]
    initialiser.__qualname__ = f"{made.__qualname__}.__init__"
    initialiser.__annotations__ = dict(made.__init__.__annotations__)
    made.__init__ = initialiser  # type: ignore[method-assign]  # the point of this module
    return made
