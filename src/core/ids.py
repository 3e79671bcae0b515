"""Identities that are functions of what they name; never counters of a process, never random."""

import hashlib

__all__ = ["client_id"]


def client_id(account: str, book: str, symbol: str, instant_ns: int, number: int) -> str:
    """The id of the `number`-th intent of a book's decision at an instant: 32 characters of [a-z0-9], a letter first.

    The same decision has the same id after a restart, so a venue can recognise an order that was sent before.
    """
    text = "\x1f".join((account, book, symbol, str(instant_ns), str(number)))
    return "k" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()[:31]
