"""Which combinations a search tries next, given what the earlier ones came to: the library optuna behind one class.

The library is imported when somebody searches. Used by one thread. The same seed, and the same answers in the same
order, give the same proposals: nothing is kept on disk, no clock and no number of workers enters.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from src.core.errors import ConfigError
from src.research.suite.expand import Dimension
from src.research.suite.values import Choices, Number, rounded

__all__ = ["Proposals"]

_SEEDS = 2**32


class Proposals:
    """Asks the tree-structured Parzen estimator of optuna, round by round.

    Listed values are categories of which none is nearer to another; the values of a range are numbers in order.

    Args:
        dimensions: what there is to be chosen.
        seed: what the first proposals, and everything that is drawn later, begin with.
        maximise: whether the more of the figure is better.

    Raises:
        ConfigError: the library is not installed.
    """

    def __init__(self, dimensions: Sequence[Dimension], seed: int, *, maximise: bool) -> None:
        self._optuna = optuna_library()
        self._dimensions = tuple(dimensions)
        self._names = [f"{place}:{each.name}" for place, each in enumerate(dimensions)]
        self._asked: list[Any] = []
        optuna = self._optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            # Older versions call these two options experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed % _SEEDS, multivariate=True, constant_liar=True)
            self._study = optuna.create_study(
                storage=optuna.storages.InMemoryStorage(), sampler=sampler,
                direction="maximize" if maximise else "minimize",
            )  # fmt: skip
        self._space = {
            name: self._distribution(each.choices) for name, each in zip(self._names, dimensions, strict=True)
        }

    @property
    def version(self) -> str:
        """Of the library: another one may choose otherwise."""
        return str(self._optuna.__version__)

    def ask(self, count: int) -> list[tuple[Number, ...]]:
        """The next round: so many combinations, a choice for each dimension. Some may have been proposed before."""
        self._asked = [self._study.ask(self._space) for _ in range(count)]
        return [
            tuple([
                _choice(each.choices, trial.params[name])
                for name, each in zip(self._names, self._dimensions, strict=True)
            ])
            for trial in self._asked
        ]  # fmt: skip

    def tell(self, figures: Sequence[float | None]) -> None:
        """What the combinations of the last round came to, in their order; None where one has no figure."""
        failed = self._optuna.trial.TrialState.FAIL
        for trial, figure in zip(self._asked, figures, strict=True):
            if figure is None:
                self._study.tell(trial, state=failed)
            else:
                self._study.tell(trial, figure)
        self._asked = []

    def _distribution(self, choices: Choices) -> Any:
        of = self._optuna.distributions
        if choices.values is None:
            return of.FloatDistribution(choices.low, choices.high, log=choices.log)
        if not choices.ordered:
            return of.CategoricalDistribution(tuple(range(len(choices.values))))
        if choices.log:  # whole numbers in a row
            return of.IntDistribution(int(choices.values[0]), int(choices.values[-1]), log=True)
        return of.IntDistribution(0, len(choices.values) - 1)


def optuna_library() -> Any:
    """The module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"search.method: optuna needs the library {error.name}, which is not installed; install the product with "
            "its extra `search`, or write method: random"
        ) from None
    return optuna


def _choice(choices: Choices, value: Number) -> Number:
    """The choice that a number of the library stands for; see `Choices`."""
    if choices.values is None:
        return min(max(rounded(value), choices.low), choices.high)
    return value - int(choices.values[0]) if choices.ordered and choices.log else value
