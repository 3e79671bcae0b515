"""The runs of a product: every combination of its keys in order, or those that a seed draws.

Combinations are numbers until somebody asks for one, so that a product of a million runs takes no more memory than a
list of numbers. Pure; any thread.
"""

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from src.core.errors import ConfigError
from src.core.record import record
from src.core.rng import stream
from src.core.strategy import Param
from src.core.words import counted
from src.research.suite.ports import RunSpec
from src.research.suite.section import SearchSection
from src.research.suite.values import MOST_VALUES, Choices, Number

__all__ = ["Combinations", "Dimension", "Member", "Product", "Specs", "Structure", "given_name"]

#: The kinds of dimensions; each is a key of a product.
STRATEGIES, PARAMS, SYMBOLS = "strategies", "params", "symbols"

#: After so many draws for each wanted combination, and some more, those that are left are looked for in order.
_DRAWS_EACH = 20
_DRAWS_MORE = 1_000


@record
class Dimension:
    """One key of a product.

    Attributes:
        kind: which key of the section it is from.
        key: the rest of its name: of a parameter, or of a key of the configuration; empty where there is no rest.
        label: what tables call it.
        where: its place in the manifest, such as `suite.yaml:14`.
        choices: its values.
        settings: for each listed value the keys of the configuration that it sets; empty for parameters and structure.
        texts: for each listed value what tables call it; empty where that is the value itself.
    """

    kind: str
    key: str
    label: str
    where: str
    choices: Choices
    settings: tuple[tuple[tuple[str, Any], ...], ...] = ()
    texts: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The name of its stream of random numbers."""
        return f"{self.kind}.{self.key}" if self.key else self.kind


@record
class Member:
    """One strategy of a run: its place, its name and its parameters."""

    index: int
    instance: str
    params: Mapping[str, Param]


@record
class Structure:
    """Which strategies trade which symbols.

    Attributes:
        settings: the keys of the configuration that say it.
        members: the strategies that are left with a symbol.
    """

    settings: tuple[tuple[str, Any], ...]
    members: tuple[Member, ...]

    def owners(self, key: str) -> tuple[int, ...]:
        """The places of the strategies that have a parameter, by its name or by `instance.name`."""
        instance, dot, name = key.rpartition(".")
        return tuple([
            each.index for each in self.members if name in each.params and (not dot or each.instance == instance)
        ])  # fmt: skip


class Combinations(Sequence[tuple[Number, ...]]):
    """The combinations of a grid, in order, the last dimension varying fastest.

    Args:
        counts: how many values each dimension has.
        numbers: which combinations, by their number in that order; all of them by default.
    """

    def __init__(self, counts: Sequence[int], numbers: Sequence[int] | None = None) -> None:
        self._counts = tuple(counts)
        self._numbers: Sequence[int] = range(math.prod(counts)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> tuple[Number, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> "Combinations": ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Combinations(self._counts, self._numbers[index])
        left, found = self._numbers[index], list[Number]()
        for count in reversed(self._counts):
            left, choice = divmod(left, count)
            found.append(choice)
        return tuple(reversed(found))


class Product:
    """The keys of a product and what each combination of them sets.

    Args:
        dimensions: in the order of the manifest.
        structures: by the choices of strategies and of symbols; 0 where the product has no such key.
    """

    def __init__(self, dimensions: Sequence[Dimension], structures: Mapping[tuple[int, int], Structure]) -> None:
        self.dimensions = tuple(dimensions)
        self._structures = dict(structures)
        kinds = [each.kind for each in dimensions]
        self._strategies = kinds.index(STRATEGIES) if STRATEGIES in kinds else None
        self._symbols = kinds.index(SYMBOLS) if SYMBOLS in kinds else None
        params = [(i, each.key) for i, each in enumerate(dimensions) if each.kind == PARAMS]
        #: For each structure the places of the strategies that have each parameter.
        self._owners = {
            at: {i: one.owners(key) for i, key in params} for at, one in self._structures.items()
        }  # fmt: skip

    def found(self, search: SearchSection, seed: int) -> tuple[Sequence[tuple[Number, ...]], str]:
        """The combinations that are to be run, and a sentence where they are fewer than was asked for.

        A parameter that none of a combination's strategies has is no part of it, so that it counts once.

        Raises:
            ConfigError: too many.
        """
        counts = [each.choices.count for each in self.dimensions]
        known = [each for each in counts if each is not None]
        total = math.prod(known) if len(known) == len(counts) else None
        wanted = search.samples
        if wanted is None or (total is not None and total <= wanted):
            if total is None or total > MOST_VALUES:
                raise ConfigError(f"product: expected at most {counted(MOST_VALUES, 'combination')}, found {total:,}; "
                                  "write fewer values, or search: {method: random, samples: 1000}")  # fmt: skip
            everything = self._grid(known)
            if wanted is None or len(everything) == wanted:
                return everything, ""
            return everything, _fewer(wanted, len(everything))
        drawn = self._drawn(wanted, seed)
        if len(drawn) < wanted and total is not None and total <= MOST_VALUES:
            seen = set(drawn)
            drawn += [each for each in self._grid(known) if each not in seen][: wanted - len(drawn)]
        return drawn, "" if len(drawn) == wanted else _fewer(wanted, len(drawn))

    def spec(self, position: int, choices: Sequence[Number]) -> RunSpec:
        """The run of one combination."""
        at = self._structure_at(choices)
        structure, owners = self._structures[at], self._owners[at]
        settings, labels = list(structure.settings), list[tuple[str, Any]]()
        for i, (dimension, choice) in enumerate(zip(self.dimensions, choices, strict=True)):
            value = dimension.choices.value(choice)
            if dimension.kind == PARAMS:
                name = dimension.key.rpartition(".")[2]
                settings += [(f"strategies.{place}.params.{name}", value) for place in owners[i]]
                if not owners[i]:
                    continue
            elif dimension.settings:
                settings += dimension.settings[int(choice)]
            elif dimension.kind not in (STRATEGIES, SYMBOLS):
                settings.append((dimension.key, value))
            labels.append((dimension.label, dimension.texts[int(choice)] if dimension.texts else value))
        return RunSpec(
            position=position, name=given_name(position), settings=tuple(settings), labels=tuple(labels)
        )  # fmt: skip

    def where(self, key: str) -> str:
        """The place in the manifest that a key of the configuration is set from."""
        parts = key.split(".")
        for each in self.dimensions:
            if parts[0] == "strategies" and len(parts) == 4:  # strategies.0.params.fast
                found = key == each.key or (each.kind == PARAMS and each.key.rpartition(".")[2] == parts[-1])
            elif each.settings:
                found = any(key == name for name, _ in each.settings[0])
            else:
                found = key == each.key or (each.kind in (STRATEGIES, SYMBOLS) and parts[0] == each.kind)
            if found:
                return each.where
        return next((each.where for each in self.dimensions if each.kind == SYMBOLS), "")

    def _structure_at(self, choices: Sequence[Number]) -> tuple[int, int]:
        strategies = 0 if self._strategies is None else int(choices[self._strategies])
        return strategies, 0 if self._symbols is None else int(choices[self._symbols])

    def _ownerless(self, choices: Sequence[Number]) -> list[int]:
        """The dimensions that say nothing of a combination."""
        return [i for i, owners in self._owners[self._structure_at(choices)].items() if not owners]

    def _grid(self, counts: Sequence[int]) -> Combinations:
        everything = Combinations(counts)
        if all(all(one.values()) for one in self._owners.values()):
            return everything
        kept = array("q", [
            number for number, choices in enumerate(everything)
            if not any(choices[i] for i in self._ownerless(choices))
        ])  # fmt: skip
        return Combinations(counts, kept)

    def _drawn(self, wanted: int, seed: int) -> list[tuple[Number, ...]]:
        streams = [stream(seed, "suite", each.name) for each in self.dimensions]
        found: dict[tuple[Number, ...], None] = {}
        for _ in range(_DRAWS_EACH * wanted + _DRAWS_MORE):
            # Each key draws once for each attempt, also where the draw says nothing: no key moves another's numbers.
            choices = [
                each.choices.drawn(one.random()) for each, one in zip(self.dimensions, streams, strict=True)
            ]  # fmt: skip
            for i in self._ownerless(choices):
                choices[i] = 0
            found[tuple(choices)] = None
            if len(found) == wanted:
                break
        return list(found)


class Specs(Sequence[RunSpec]):
    """All runs of a manifest: those by hand, then the product's; each is made when it is asked for."""

    def __init__(
        self, by_hand: Sequence[RunSpec], product: Product | None, found: Sequence[tuple[Number, ...]]
    ) -> None:  # fmt: skip
        self._by_hand = tuple(by_hand)
        self._product = product
        self._found = found

    def __len__(self) -> int:
        return len(self._by_hand) + len(self._found)

    @overload
    def __getitem__(self, index: int) -> RunSpec: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RunSpec, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple([self[i] for i in range(*index.indices(len(self)))])
        position = range(len(self))[index]
        by_hand = len(self._by_hand)
        if position < by_hand or self._product is None:
            return self._by_hand[position]
        return self._product.spec(position, self._found[position - by_hand])

    def __iter__(self) -> Iterator[RunSpec]:
        return (self[i] for i in range(len(self)))


def given_name(position: int) -> str:
    """What a run is called that has no name: `run-0007`."""
    return f"run-{position:04d}"


def _fewer(wanted: int, found: int) -> str:
    there = f"there {'is' if found == 1 else 'are'} {counted(found, 'combination')}"
    return f"{counted(wanted, 'sample')} were asked for and {there}: all of them run"
