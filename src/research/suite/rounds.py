"""Where the runs of a suite come from: all at once, or in rounds, each chosen after what the earlier ones came to.

Called by one thread. Which runs a search makes is a function of the manifest and of the results of its runs, told in
the order of the manifest's positions; neither the number of workers nor what was killed and resumed enters.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any, Protocol

from src.backtesting.result import Outcome
from src.core.errors import InternalError
from src.research.suite.expand import STRATEGIES, SYMBOLS, Dimension
from src.research.suite.manifest import SEARCHED, Manifest
from src.research.suite.plan import Plan, plan_of
from src.research.suite.ports import RunAnswer
from src.research.suite.proposals import Proposals
from src.research.suite.ranking import highest_first
from src.research.suite.values import Number

__all__ = ["AllAtOnce", "Rounds", "SearchRounds", "rounds_of", "seen_before"]

#: What a run has to be for its figures to count.
_ENDED = (Outcome.COMPLETED.value, Outcome.DEGRADED.value)
_WINDOWS = "windows"
#: Of the combinations of strategies, symbols and windows so many are looked at before a search begins.
_MOST_COMBINATIONS = 1_000


class Rounds(Protocol):
    """The runs of a suite, round by round.

    Attributes:
        manifest: with the runs of all rounds until now.
        plan: of the round that is to be made next, with the keys of all runs until now; before the first one the plan
            of the data.
    """

    manifest: Manifest
    plan: Plan

    @property
    def runs(self) -> int:
        """How many runs the manifest asks for."""
        ...

    @property
    def distinct(self) -> int | None:
        """How many of them are different; None where nobody knows yet."""
        ...

    @property
    def left(self) -> int:
        """How many runs are not chosen yet."""
        ...

    @property
    def rounds(self) -> int:
        """How many rounds there are, if none is lost."""
        ...

    def next(self, answer: Callable[[str], RunAnswer | None]) -> bool:
        """Choose the runs of the next round; False where there is none.

        Args:
            answer: to a run by its key; None where it has none.

        Raises:
            ConfigError, PreflightError: see `plan_of`.
        """
        ...

    def identity(self) -> Any:
        """Plain values that say which runs there are and will be."""
        ...


class AllAtOnce:
    """The runs of a manifest that lists all of them; see `Rounds`."""

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        self.manifest, self.plan = manifest, plan
        self.left = 0
        self._begun = False

    @property
    def runs(self) -> int:
        """See `Rounds`."""
        return len(self.plan.keys)

    @property
    def distinct(self) -> int | None:
        """See `Rounds`."""
        return len(set(self.plan.keys))

    @property
    def rounds(self) -> int:
        """See `Rounds`."""
        return 1

    def next(self, answer: Callable[[str], RunAnswer | None]) -> bool:
        """See `Rounds`."""
        begun, self._begun = self._begun, True
        return not begun

    def identity(self) -> Any:
        """See `Rounds`."""
        return _named(self.manifest, self.plan)


class SearchRounds:
    """The runs by hand with the first round of a search, then its other rounds; see `Rounds`.

    A run that has no answer although it was tried ends the search: what would be chosen without it is no function of
    the manifest.

    Args:
        seen: what `seen_before` gives of the manifest, and its plan.
    """

    def __init__(self, manifest: Manifest, seen: Manifest, plan: Plan) -> None:
        search, space = manifest.section.search, manifest.product
        if space is None or search.samples is None:
            raise InternalError("a search without a product or without samples, which its section refuses")
        self.manifest, self.plan = manifest, plan
        self._search, self._dimensions = search, space.dimensions
        self._samples = search.samples
        self._proposals = Proposals(
            space.dimensions, search.seed_or_default, maximise=highest_first(search.figure)
        )  # fmt: skip
        self._seen = _named(seen, plan)
        self._found: list[tuple[Number, ...]] = []
        self._asked = 0

    @property
    def runs(self) -> int:
        """See `Rounds`."""
        return len(self.manifest.section.runs) + self._samples

    @property
    def distinct(self) -> int | None:
        """See `Rounds`."""
        return None

    @property
    def left(self) -> int:
        """See `Rounds`."""
        return self._samples - len(self._found)

    @property
    def rounds(self) -> int:
        """See `Rounds`."""
        return -(-self._samples // self._search.round_size)

    def next(self, answer: Callable[[str], RunAnswer | None]) -> bool:
        """See `Rounds`."""
        known: Sequence[str] = ()
        if self._asked:
            known = self.plan.keys
            answers = [each for key in known[-self._asked :] if (each := answer(key)) is not None]
            if len(answers) < self._asked:
                return False
            self._proposals.tell([self._figure(each) for each in answers])
        if not self.left:
            return False
        self._asked = min(self._search.round_size, self.left)
        self._found += self._proposals.ask(self._asked)
        self.manifest = self.manifest.chosen(tuple(self._found))
        self.plan = plan_of(self.manifest, known=known, after=self.plan)
        return True

    def identity(self) -> Any:
        """The search, what there is to be chosen, and each of the runs that were looked at before; see `Rounds`."""
        search = self._search
        return {
            "search": [
                search.method, search.samples, search.seed_or_default, search.figure, search.round_size,
                self._proposals.version,
            ],
            "space": [_described(each) for each in self._dimensions],
            "seen": self._seen,
        }  # fmt: skip

    def _figure(self, answer: RunAnswer) -> float | None:
        value = answer.metrics.get(self._search.figure) if answer.outcome in _ENDED else None
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def rounds_of(manifest: Manifest) -> Rounds:
    """The rounds of a suite, all runs that are known settled and put to their data.

    Raises:
        ConfigError: a run cannot be made as it is described, or a library is missing.
        PreflightError: costs of a run have no number.
    """
    seen = seen_before(manifest)
    plan = plan_of(seen)
    return SearchRounds(manifest, seen, plan) if seen is not manifest else AllAtOnce(manifest, plan)


def seen_before(manifest: Manifest) -> Manifest:
    """The manifest with the runs whose data are looked at before anything is run.

    These are all runs, where they are known. Where a search chooses them it is the runs by hand and some that it might
    choose: strategies, symbols and windows in each combination, with all other keys at their lowest and at their
    highest number, and each value of a key without numbers once.
    """
    if manifest.section.search.method != SEARCHED or manifest.product is None:
        return manifest
    specs = list(manifest.by_hand)
    for choices in dict.fromkeys(_corners(manifest.product.dimensions)):
        spec = manifest.product.spec(len(specs), choices)
        specs.append(replace(spec, name="one that may be chosen"))
    return replace(manifest, specs=tuple(specs))


def _corners(dimensions: Sequence[Dimension]) -> Iterator[tuple[Number, ...]]:
    ends = [each.choices.ends() for each in dimensions]
    decides = [each.kind in (STRATEGIES, SYMBOLS, _WINDOWS) for each in dimensions]
    for end in (0, -1):
        axes = [each if decisive else (each[end],) for each, decisive in zip(ends, decides, strict=True)]
        yield from islice(product(*axes), _MOST_COMBINATIONS)
    first = tuple([each[0] for each in ends])
    for i, choices in enumerate(ends):
        for choice in choices:
            yield (*first[:i], choice, *first[i + 1 :])


def _named(manifest: Manifest, plan: Plan) -> list[list[str]]:
    return [[spec.name, key] for spec, key in zip(manifest.specs, plan.keys, strict=True)]


def _described(dimension: Dimension) -> list[Any]:
    """A key of the product in plain values; what whole sections say is in the runs that were looked at."""
    choices = dimension.choices
    values = [choices.low, choices.high] if choices.values is None else repr(choices.values)
    return [dimension.name, values, choices.ordered, choices.log]
