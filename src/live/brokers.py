"""Brokers for real money by name: a new one is one file and one line in `BROKERS`.

Pure but for the import of what is named; any thread.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from src.core.errors import ConfigError
from src.core.words import meant

if TYPE_CHECKING:
    from src.live.feed import LiveSource

__all__ = ["BROKERS", "broker_named"]

#: What `live.broker` may be, and the function that makes it. It is called with the configuration, its `live` section,
#: what the bot needs of a venue, the present, the instant from which on bars are read, and the environment, as
#: `src.live.sources.ccxt_source`.
BROKERS = {
    "ccxt": "src.live.sources:ccxt_source",
}


def broker_named(name: str) -> "Callable[..., LiveSource]":
    """What makes the broker of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in BROKERS:
        raise ConfigError(f"expected a broker among {', '.join(BROKERS)}, found {name!r}{meant(name, BROKERS)}")
    module, _, factory = BROKERS[name].partition(":")
    found: Callable[..., LiveSource] = getattr(import_module(module), factory)
    return found
