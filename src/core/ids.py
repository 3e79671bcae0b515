"""Identities that are functions of what they name; never counters of a process, never random."""

import hashlib
from functools import lru_cache
from typing import Any

__all__ = ["client_id"]


def client_id(account: str, book: str, symbol: str, instant_ns: int, number: int) -> str:
    """The id of the `number`-th intent of a book's decision at an instant: 32 characters of [a-z0-9], a letter first.

    The same decision has the same id after a restart, so a venue can recognise an order that was sent before.
    """
    digest = _begun(account, book, symbol).copy()
    digest.update(b"%d\x1f%d" % (instant_ns, number))
    text: str = digest.hexdigest()
    return "k" + text[:31]


@lru_cache(maxsize=4096)
def _begun(account: str, book: str, symbol: str) -> Any:
    """The hash of what is the same in all ids of a book; only ever copied."""
    return hashlib.blake2b("\x1f".join((account, book, symbol, "")).encode(), digest_size=16)
