"""The door of the local venue: an HTTP server on this machine, a thread for each connection.

It reads requests and writes answers; what they mean is the venue's business. A connection is kept open, as a real venue
keeps it.
"""

import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from src.core.sync import Event, Lock, start_thread
from src.testing.venue_wire import Reply

__all__ = ["Asked", "VenueServer"]

#: A client that is never answered waits at most so long, real seconds.
_SILENCE_S = 60.0
#: How often the server looks whether it shall end, real seconds.
_POLL_S = 0.05


class Asked(Protocol):
    """Whoever answers: method, path, the parameters as they were sent, and the headers."""

    def __call__(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Reply: ...


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "venue"
    wbufsize = 65536  # headers and body in one piece: in two, the second one would wait for an acknowledgement
    disable_nagle_algorithm = True
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        try:
            super().finish()
        except OSError:  # torn down, or the client has gone
            return

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the venue keeps its own log."""

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode() if length else ""
        sent = "&".join(part for part in (query, body) if part)
        reply = self.server.asked(self.command, path, sent, dict(self.headers.items()))
        if reply.delay_s:
            self.server.ended.wait(reply.delay_s)
        if reply.way == "send":
            self._send(reply)
            return
        self.close_connection = True
        if reply.way == "silent":
            self.connection.settimeout(_SILENCE_S)
            with suppress(OSError):
                self.connection.recv(1)  # until the client, or the server, has had enough of it
        else:
            # With nothing to linger for, closing tears the connection down instead of ending it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, reply: Reply) -> None:
        data = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  # the names that the library calls


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, asked: Asked) -> None:
        self.asked = asked
        self.ended = Event()
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def opened(self, connection: socket.socket) -> None:
        """Keep a connection in mind, so that none is left when the server ends."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget one that ends by itself."""
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """End all connections."""
        with self._lock:
            left = list(self._open)
        for connection in left:
            with suppress(OSError):  # ended meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that a client has left is nothing to speak of."""


class VenueServer:
    """A server that runs from construction until `close`.

    Args:
        asked: who answers; called by several threads at once.
        port: 0 for any that is free.
    """

    def __init__(self, asked: Asked, port: int = 0) -> None:
        self._server = _Server(port, asked)
        self.port: int = self._server.server_address[1]
        self._thread = start_thread("venue", partial(self._server.serve_forever, _POLL_S))

    def close(self) -> None:
        """End all connections and the server."""
        self._server.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
