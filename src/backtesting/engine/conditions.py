"""Conditions at which a run is to pause: small expressions over the clock, prices, the account, positions and events.

An expression is parsed and checked once, when it is given: only what the tables below name can be read and only the
functions below can be called, so it can change nothing and reach nothing else. It is asked between steps, by whoever
performs them, and reads what stands there then; it never waits.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from src.backtesting.engine.condition_values import KINDS, World, names_of
from src.core.errors import ConfigError
from src.core.journal import FIELDS
from src.core.timeframe import parse_duration, parse_instant
from src.core.words import meant

__all__ = ["Condition", "World", "check_condition", "compile_condition"]

#: What can be read of each kind of value, and of which kind that is.
READABLE: Mapping[str, Mapping[str, str]] = {
    "instant": {
        "hour": "number", "minute": "number", "second": "number", "weekday": "number", "date": "text", "time": "text",
    },
    "symbol": dict.fromkeys(("open", "high", "low", "close", "volume", "bid", "ask", "bars"), "number"),
    "account": dict.fromkeys(("balance", "equity", "margin_used", "margin_free"), "number"),
    "position": {
        **dict.fromkeys(("volume", "entry_price", "stop", "target", "risk", "profit"), "number"),
        **dict.fromkeys(("is_flat", "is_long", "is_short"), "truth"),
        "opened": "instant",
    },
    "event": {
        **dict.fromkeys(("event", "kind", "symbol", "book", "side", "code", "participant"), "text"),
        **dict.fromkeys(("volume", "price", "net"), "number"),
    },
}  # fmt: skip

_ROOTS = {
    "now": "instant", "clock": "instant", "account": "account", "position": "positions",
    "events": "events", "orders": "events", "fills": "events", "trades": "events",
}  # fmt: skip
_FUNCTIONS = ("abs", "all", "any", "event", "len", "max", "min", "position", "round", "sum", "symbol")
_TESTABLE = ("truth", "number", "events")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A checked expression over one run.

    Attributes:
        expression: as it was given.
    """

    expression: str
    code: CodeType
    world: World
    names: Mapping[str, Any]

    def holds(self) -> bool:
        """Whether it holds now; events are those since `world.look`.

        Raises:
            ArithmeticError: the expression divides by 0 or the like.
        """
        present = {**self.names, **self.world.present()}
        return bool(eval(self.code, {"__builtins__": {}, **present}))  # only what `_Checker` let through


def compile_condition(expression: str, world: World) -> Condition:
    """Check an expression.

    Names: `now` or `clock` (compares with texts such as "2024-01-31 12:00"; `.hour`, `.weekday` ...), each symbol by
    its name or `symbol("NAME")` (`.close`, `.bid` ...), `account` (`.equity` ...), `position.NAME`,
    `position("NAME")` or `position("NAME", "strategy")` (`.volume`, `.stop` ...), and what happened since the last
    step: `events`, `orders`, `fills`, `trades`, `event("fill", kind="stop", symbol="NAME")`. A number that does not
    exist, such as the stop of a position without one, is not a number: no comparison with it holds but `!=`.

    Raises:
        ConfigError: it is no such expression; the message names the place and the nearest name that there is.
    """
    tree = _checked(expression, world.symbols)
    code = compile(ast.fix_missing_locations(tree), "<break condition>", "eval")
    return Condition(expression=expression, code=code, world=world, names=names_of(world))


def check_condition(expression: str, symbols: Sequence[str]) -> None:
    """Check an expression before there is a run; see `compile_condition`.

    Raises:
        ConfigError: it is no condition over a run of these symbols.
    """
    _checked(expression, symbols)


def _checked(expression: str, symbols: Sequence[str]) -> ast.Expression:
    if not isinstance(expression, str):
        raise ConfigError(f"expected a break condition such as account.equity < 9000, found {expression!r}")
    if len(expression) > _LONGEST:
        raise ConfigError(f"expected a break condition of at most {_LONGEST} characters, found {len(expression)}")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        assigns = re.search(r"(?<![=<>!])=(?!=)", expression) is not None
        hint = "; write == to compare" if assigns else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(
            f"the break condition {expression!r} cannot be read ({reason}){hint}; expected something like "
            "account.equity < 9000",
            expression=expression,
        ) from None
    checker = _Checker(expression, symbols)
    try:
        found = checker.check(tree.body)
    except RecursionError:
        raise ConfigError(f"the break condition {expression[:40]!r}... is nested too deeply; write less") from None
    if found not in _TESTABLE:
        checker.refuse(tree.body, f"is {_article(found)}, not a condition: compare it with something")
    tree.body = checker.visit(tree.body)
    return tree


class _Checker(ast.NodeTransformer):
    """Finds out of what kind each part is and refuses whatever has none; then rewrites `position.NAME` into a call.

    Texts that are compared with instants and durations become nanoseconds here, so that a date which is none is
    refused at once.
    """

    def __init__(self, expression: str, symbols: Sequence[str]) -> None:
        self._expression = expression
        self._symbols = tuple(symbols)
        self._loop: list[str] = []
        self._kinds: dict[ast.expr, str] = {}

    # -- kinds -------------------------------------------------------------------------------------

    def check(self, node: ast.expr) -> str:
        """The kind of a part: number, truth, text, instant, duration, or one of the tables' kinds."""
        kind = self._kinds.get(node)
        if kind is None:
            kind = self._kinds[node] = self._kind(node)
        return kind

    def _kind(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=bool()):
                return "truth"
            case ast.Constant(value=int() | float()):
                return "number"
            case ast.Constant(value=str()):
                return "text"
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.Attribute(value=value, attr=name):
                return self._attribute(node, value, name)
            case ast.BoolOp(values=values):
                for value in values:
                    self._testable(value)
                return "truth"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._testable(operand)
                return "truth"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._number(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(node, left, op, right)
            case ast.Compare():
                return self._compare(node)
            case ast.Call():
                return self._call(node)
            case ast.GeneratorExp(elt=element, generators=[one]):
                return self._generator(element, one)
        return self.refuse(node, "is nothing that a break condition may hold")

    def refuse(self, node: ast.expr, what: str) -> str:
        """Raise the error about a part of the expression."""
        part = ast.get_source_segment(self._expression.strip(), node) or "?"
        raise ConfigError(f"the break condition {self._expression!r}: {part!r} {what}", expression=self._expression)

    def _name(self, node: ast.expr, name: str) -> str:
        if name in self._loop:
            return "event"
        if name in _ROOTS:
            return _ROOTS[name]
        if name in self._symbols:
            return "symbol"
        known = [*_ROOTS, *self._symbols, *_FUNCTIONS]
        return self.refuse(node, f"is unknown{meant(name, known)}; there are {', '.join(known)}")

    def _attribute(self, node: ast.expr, value: ast.expr, name: str) -> str:
        kind = self.check(value)
        if kind == "positions":
            return "position" if self._is_symbol(node, name) else ""
        table = READABLE.get(kind)
        if table is None:
            return self.refuse(node, f"reads {name} of {_article(kind)}, which has nothing to read")
        if name not in table:
            known = ", ".join(table)
            return self.refuse(node, f"is unknown{meant(name, table)}; {_article(kind)} has {known}")
        return table[name]

    def _is_symbol(self, node: ast.expr, name: str) -> bool:
        if name not in self._symbols:
            known = ", ".join(self._symbols)
            self.refuse(node, f"is no symbol of this run{meant(name, self._symbols)}; there are {known}")
        return True

    def _testable(self, node: ast.expr) -> None:
        kind = self.check(node)
        if kind not in _TESTABLE:
            self.refuse(node, f"is {_article(kind)}, not a condition: compare it with something")

    def _number(self, node: ast.expr) -> str:
        kind = self.check(node)
        if kind not in ("number", "truth"):
            self.refuse(node, f"is {_article(kind)} where a number was expected")
        return "number"

    def _arithmetic(self, node: ast.expr, left: ast.expr, op: ast.operator, right: ast.expr) -> str:
        if not isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Mod | ast.FloorDiv):
            return self.refuse(node, "calculates with something else than + - * / // %")
        if isinstance(op, ast.Sub) and self.check(left) == self.check(right) == "instant":
            return "duration"
        self._number(left)
        return self._number(right)

    def _compare(self, node: ast.Compare) -> str:
        parts = [node.left, *node.comparators]
        for left, op, right in zip(parts, node.ops, node.comparators, strict=False):
            if isinstance(op, ast.In | ast.NotIn):
                self._member(left, right)
            elif isinstance(op, ast.Is | ast.IsNot):
                self.refuse(node, "compares with `is`; write == or !=")
            else:
                self._comparable(node, left, right)
        return "truth"

    def _member(self, left: ast.expr, right: ast.expr) -> None:
        kind = self.check(left)
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or kind not in ("text", "number"):
            self.refuse(right, 'is nothing to look in; write something like kind in ("stop", "target")')
            return
        for element in right.elts:
            if self.check(element) != kind:
                self.refuse(element, f"is {_article(self.check(element))} where {_article(kind)} was expected")

    def _comparable(self, node: ast.expr, left: ast.expr, right: ast.expr) -> None:
        kinds = {"number" if kind == "truth" else kind for kind in (self.check(left), self.check(right))}
        if kinds in ({"number"}, {"text"}, {"instant"}, {"duration"}):
            return
        for kind, read in (("instant", parse_instant), ("duration", parse_duration)):
            if kinds == {kind, "text"}:
                for side in (left, right):
                    if isinstance(side, ast.Constant) and isinstance(side.value, str):
                        side.value = self._read(side, read, side.value)
                        return
        self.refuse(node, f"compares {' with '.join(sorted(map(_article, kinds)))}")

    def _read(self, node: ast.expr, read: Callable[[str], int], text: str) -> int:
        try:
            return read(text)
        except ConfigError as error:
            self.refuse(node, f"cannot be compared with time: {error.message}")
            raise

    # -- calls -------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> str:
        if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            known = ", ".join(_FUNCTIONS)
            return self.refuse(node, f"calls something else{meant(name, _FUNCTIONS)}; there are {known}")
        name = node.func.id
        if name == "event":
            return self._event_call(node)
        if node.keywords:
            self.refuse(node, f"names arguments; {name} takes none by name")
        if name in ("symbol", "position"):
            return self._named_call(node, name)
        if name in ("any", "all", "sum", "len"):
            return self._over_many(node, name)
        if not node.args:
            self.refuse(node, "has no argument")
        for argument in node.args:
            self._number(argument)
        if len(node.args) > {"abs": 1, "round": 2}.get(name, math.inf) or (
            name in ("min", "max") and len(node.args) < 2
        ):
            self.refuse(node, "has the wrong number of arguments")
        return "number"

    def _over_many(self, node: ast.Call, name: str) -> str:
        if len(node.args) != 1:
            self.refuse(node, f"has {len(node.args)} arguments; {name} takes one")
        kind = self.check(node.args[0])
        if name == "len":
            if kind != "events":
                self.refuse(node, "counts something else than events, orders, fills or trades")
            return "number"
        if not kind.startswith("many "):
            self.refuse(node, f"needs something like {name}(e.volume > 1 for e in fills)")
        if name == "sum" and kind not in ("many number", "many truth"):
            self.refuse(node, "adds up what are no numbers")
        return "number" if name == "sum" else "truth"

    def _named_call(self, node: ast.Call, name: str) -> str:
        texts = self._texts(node, node.args)
        if not 1 <= len(texts) <= (2 if name == "position" else 1):
            self.refuse(node, f'has the wrong number of arguments; write {name}("{self._symbols[0]}")')
        self._is_symbol(node, texts[0])
        return name

    def _event_call(self, node: ast.Call) -> str:
        fields = READABLE["event"]
        events = self._texts(node, node.args)
        for text in events:
            if text not in FIELDS:
                self.refuse(node, f"names the event {text!r}{meant(text, FIELDS)}; there are {', '.join(FIELDS)}")
        if len(node.args) > 1:
            self.refuse(node, "names more than one event")
        for keyword in node.keywords:
            name = keyword.arg or "**"
            if name not in fields:
                known = ", ".join(fields)
                self.refuse(node, f"asks for {name}{meant(name, fields)}; an event has {known}")
            kind = self.check(keyword.value)
            if kind != fields[name]:
                self.refuse(keyword.value, f"is {_article(kind)}, expected {_article(fields[name])}")
            if name == "kind" and isinstance(keyword.value, ast.Constant) and node.args:
                self._kind_of(keyword.value, events[0])
        return "truth"

    def _kind_of(self, node: ast.Constant, event: str) -> None:
        known = KINDS.get(event)
        if known is not None and node.value not in known:
            near = meant(str(node.value), known)
            self.refuse(node, f"is no kind of {event}{near}; there are {', '.join(known)}")

    def _texts(self, node: ast.expr, arguments: Sequence[ast.expr]) -> list[str]:
        texts = [each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if len(texts) != len(arguments):
            self.refuse(node, "expects texts in quotes as its arguments")
        return texts

    def _generator(self, element: ast.expr, one: ast.comprehension) -> str:
        if one.is_async or not isinstance(one.target, ast.Name) or self.check(one.iter) != "events":
            self.refuse(one.iter, "cannot be gone through; write something like any(e.volume > 1 for e in fills)")
            return ""
        if one.target.id in (*_ROOTS, *_FUNCTIONS, *self._symbols):
            self.refuse(one.target, "stands for something else already; take another letter")
        self._loop.append(one.target.id)
        for each in one.ifs:
            self._testable(each)
        kind = self.check(element)
        self._loop.pop()
        if kind not in ("number", "truth", "text"):
            self.refuse(element, f"is {_article(kind)} where a number or a condition was expected")
        return f"many {kind}"

    # -- rewriting ---------------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """`position.NAME` becomes `position("NAME")`."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "position":
            return ast.Call(func=node.value, args=[ast.Constant(value=node.attr)], keywords=[])
        return node


def _article(kind: str) -> str:
    plain = {
        "events": "a list of events", "positions": "all positions", "truth": "a yes or no", "account": "the account",
    }  # fmt: skip
    if kind.startswith("many "):
        return "a series of values"
    return plain.get(kind, f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}")
