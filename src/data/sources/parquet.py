"""A Parquet file of bars as a source.

Reads the whole file when it is made, in the thread of the caller.
"""

from collections.abc import Mapping
from typing import Any

from src.data.sources.held import HeldSource, file_source

__all__ = ["parquet_source"]


def parquet_source(path: str, *, options: Mapping[str, Any], venues: Mapping[str, str]) -> HeldSource:
    """The source `parquet:<file>`; `options` are the answers of `data import`, such as `{"price": "bid"}`.

    Raises:
        ConfigError: the file leaves something open; the sentence lists what.
        DataError: the file is absent or has a row that cannot be right.
    """
    return file_source("parquet", path, options, venues)
