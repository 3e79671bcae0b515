"""`record`: a frozen, slotted, keyword-only dataclass whose construction costs half; `maker`: a third of that again.

A frozen dataclass sets its fields through `object.__setattr__`, which looks each one up again; several are made for
every order, and this is most of their cost. Here the initialiser sets the slots through their descriptors, found once.
Everything else (equality, repr, replace, pickling, refusal of changes) is the standard dataclass.

A class that is called with keywords packs them into a dictionary and unpacks it again for its initialiser. A function
does not; so where records are made for each order, they are made by one.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, ParamSpec, TypeVar, dataclass_transform

__all__ = ["maker", "record"]

Class = TypeVar("Class")
Keywords = ParamSpec("Keywords")


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


def maker(cls: Callable[Keywords, Class]) -> Callable[Keywords, Class]:
    """A function that makes records of a class from the same keywords as the class itself.

    The object is born as an open twin with the same slots, gets its fields as plain attributes, and then its class.

    Raises:
        TypeError: not a class made by `record`, or one with bases of its own.
    """
    if not isinstance(cls, type) or cls.__bases__ != (object,) or not hasattr(cls, "__dataclass_fields__"):
        raise TypeError(f"expected a record without bases, found {cls!r}")
    own = fields(cls)
    twin = type(f"{cls.__name__}BeingMade", (), {"__slots__": cls.__slots__})  # type: ignore[attr-defined]  # a slotted dataclass
    names: dict[str, Any] = {"twin": twin, "own": cls, "new": object.__new__, "set_class": _SET_CLASS}
    parameters = []
    for field in own:
        parameters.append(field.name if field.default is MISSING else f"{field.name}=default_{field.name}")
        names[f"default_{field.name}"] = field.default
    lines = ["def make(*, " + ", ".join(parameters) + "):", "    self = new(twin)"]
    lines += [f"    self.{field.name} = {field.name}" for field in own]
    lines += ["    set_class(self, own)", "    return self"]
    exec("\n".join(lines), names)
    made: Callable[Keywords, Class] = names["make"]
    made.__name__ = f"make {cls.__name__}"
    return made


_SET_CLASS = vars(object)["__class__"].__set__
