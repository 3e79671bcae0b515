"""Random streams: each derives from (run seed, component, symbol), so that adding one changes no other.

The only module that may make random numbers. A stream belongs to one thread.
"""

import hashlib
import random

import numpy as np

__all__ = ["forget_global_seeds", "numpy_stream", "stable_hash", "stream"]


def stable_hash(*parts: object) -> int:
    """A 64-bit number that depends on the parts' text alone, equal in every process and on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def stream(seed: int, component: str, symbol: str = "") -> random.Random:
    """A generator of its own for one component and symbol of a run."""
    return random.Random(stable_hash(seed, component, symbol))  # reproducible, not secret


def numpy_stream(seed: int, component: str, symbol: str = "") -> np.random.Generator:
    """The numpy counterpart of `stream`."""
    return np.random.default_rng(stable_hash(seed, component, symbol))


def forget_global_seeds() -> None:
    """Seed the streams that `random` and `numpy.random` share with everybody from the system, as in a new process.

    Nothing here draws from them; what somebody else has seeded shall not decide what a third one draws.
    """
    random.seed()
    np.random.seed()  # noqa: NPY002 - the stream is not ours
