"""Sources of bars, one file each, found by name.

Adding one is a file and a line of `SOURCES`. Pure but for the import of what is named; any thread.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from src.core.errors import ConfigError
from src.core.words import meant
from src.data.sources.port import BarSource

__all__ = ["SOURCES", "source_named"]

#: The word before the colon, and the function that makes the source of what stands after it.
SOURCES = {
    "ccxt": "src.data.sources.ccxt:ccxt_source",
    "csv": "src.data.sources.csv:csv_source",
    "parquet": "src.data.sources.parquet:parquet_source",
    "synthetic": "src.data.sources.synthetic:synthetic_source",
}


def source_named(
    text: str, *, options: Mapping[str, Any] | None = None, venues: Mapping[str, str] | None = None
) -> BarSource:
    """The source of `ccxt:binanceusdm`, `csv:prices.csv`, `parquet:prices.parquet` or `synthetic:7`.

    Args:
        text: a name of the table and, after a colon, what the source is made of.
        options: settings of the source itself, as its factory describes them.
        venues: the source's names of symbols, where they differ from the ones under which bars are stored.

    Raises:
        ConfigError: no such source, or it cannot be made of that.
    """
    name, _, rest = text.partition(":")
    if name not in SOURCES:
        raise ConfigError(
            f"expected a source such as ccxt:binanceusdm, csv:FILE, parquet:FILE or synthetic:SEED, "
            f"found {text!r}{meant(name, SOURCES)}",
            found=text,
        )
    module, _, factory = SOURCES[name].partition(":")
    source: BarSource = getattr(import_module(module), factory)(rest, options=options or {}, venues=venues or {})
    return source
