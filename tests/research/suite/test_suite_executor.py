"""What a suite asks of its machine: enough memory for its workers, or a sentence."""

import pytest

from src.core.errors import ConfigError
from src.research.suite.executor import executor_for
from src.research.suite.section import SuiteSection


def section(**more: object) -> SuiteSection:
    return SuiteSection.model_validate({"base": "base.yaml", "runs": [{"name": "a"}], **more})


def test_memory_that_is_not_enough_for_the_workers_is_refused_before_they_begin() -> None:
    """A process holds some before it has read a bar, so that every run would be lost."""
    with pytest.raises(ConfigError, match="at least 100MB for each of 5 workers, found 400MB for all; write 500MB"):
        executor_for("processes", section(memory="400MB"), 5, reads_stores=True)

    with executor_for("processes", section(memory="400MB"), 4, reads_stores=True) as made:
        assert made.workers == 4


def test_an_executor_that_nobody_knows_is_refused() -> None:
    """The sentence names those that there are."""
    with pytest.raises(ConfigError, match="among processes, dask, found 'ray'"):
        executor_for("ray", section(), 1, reads_stores=False)
