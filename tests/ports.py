"""Ports that nobody has, for servers whose port has to be known before they begin."""

import os
import socket
from contextlib import suppress

__all__ = ["free_port"]

#: Below those that the system gives out by itself, so that no connection of anybody else takes one in between.
_FIRST, _COUNT = 20_000, 12_000
_given: list[int] = []


def free_port() -> int:
    """A port that nobody has and that this process has not been given before; other processes begin elsewhere."""
    for step in range(_COUNT):
        port = _FIRST + (os.getpid() * 37 + step) % _COUNT
        if port in _given:
            continue
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            _given.append(port)
            return port
    raise RuntimeError("no port is free")
