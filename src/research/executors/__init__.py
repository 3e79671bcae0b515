"""Where the calls of a suite are made: a port, and one file for each way."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from src.core.errors import ConfigError
from src.core.words import meant

__all__ = ["EXECUTORS", "executor_factory"]

#: The executors by the name that configurations call them, each as `module:factory`.
EXECUTORS = {
    "processes": "src.research.executors.processes:LocalProcesses",
    "dask": "src.research.executors.dask:DaskCluster",
}


def executor_factory(name: str) -> Callable[..., Any]:
    """What makes the executor of that name; what it takes stands there.

    Raises:
        ConfigError: there is no such executor, or its library is not installed.
    """
    if name not in EXECUTORS:
        hint = meant(name, EXECUTORS)
        raise ConfigError(f"expected an executor among {', '.join(EXECUTORS)}, found {name[:40]!r}{hint}")
    module, _, factory = EXECUTORS[name].partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), factory)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("src."):
            raise
        raise ConfigError(
            f"the executor {name} needs the library {error.name}, which is not installed; install the product with its "
            f"extra `cluster`, or use the executor processes"
        ) from None
    return found
