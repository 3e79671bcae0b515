"""A small exchange that answers over real HTTP as Binance's futures do: markets, time, bars, funding rates.

It runs in a thread of the test process and goes wrong as it is told: each entry of `faults` is what happens to one
request for bars, in their order.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MINUTE_MS = 60_000
_UNITS = {"m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": 1440 * MINUTE_MS, "w": 7 * 1440 * MINUTE_MS}
_FUNDING_MS = 8 * 60 * MINUTE_MS


def row_of(open_ms: int, length_ms: int) -> list[Any]:
    """The bar that opens there, as the exchange writes it: prices as text, and twelve fields."""
    k = open_ms // length_ms
    open_, close = 100 + k % 50, 101 + k % 50
    return [open_ms, f"{open_}.0", f"{close + 1}.5", f"{open_ - 2}.25", f"{close}.0", f"{k % 7 + 1}.5",
            open_ms + length_ms - 1, "0", 1, "0", "0", "0"]  # fmt: skip


@dataclass
class Exchange:
    """What the exchange has and how it behaves.

        Attributes:
            now_ms: its clock; the bar that holds it is forming, and is handed out like the others.
            listed_ms: no bar opens before.
            holes: windows of milliseconds in which it has no bars.
            cap: it never answers with more bars than that, whatever was asked for.
            latest_only: so many of its latest bars are all it ever answers with, whatever was asked for.
        faults: what happens to the next requests for bars: `429`, `418`, `500`, `silence`, `drop`, `junk`, `empty`,
    X
            retry_after: the seconds that a 429 asks for.
            replaced: rows that it hands out instead of its own, by the open in milliseconds.
            asked: the query of every request for bars, in order.
            silent: set once a request is left without an answer.
    """

    now_ms: int
    listed_ms: int = 0
    holes: Sequence[tuple[int, int]] = ()
    cap: int = 1500
    latest_only: int | None = None
    faults: list[str] = field(default_factory=list)
    retry_after: str | None = None
    replaced: dict[int, list[Any]] = field(default_factory=dict)
    symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT")
    asked: list[dict[str, str]] = field(default_factory=list)
    answered: int = 0
    forming_sent: int = 0
    silent: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """What points ccxt's own client here, without waiting between requests."""
        return {"urls": {"api": {"fapiPublic": f"{self.url}/fapi/v1"}}, "rateLimit": 1, "timeout": 60_000}

    def bars(self, query: dict[str, str]) -> list[list[Any]]:
        """The rows of one answer."""
        length_ms = int(query["interval"][:-1]) * _UNITS[query["interval"][-1]]
        start_ms = max(int(query.get("startTime", 0)), self.listed_ms)
        end_ms = min(int(query.get("endTime", self.now_ms)), self.now_ms)
        limit = min(int(query.get("limit", 500)), self.cap)
        rows: list[list[Any]] = []
        open_ms = -(-start_ms // length_ms) * length_ms
        if self.latest_only is not None:
            limit, end_ms = self.latest_only, self.now_ms
            open_ms = (self.now_ms // length_ms - limit + 1) * length_ms
        while open_ms <= end_ms and len(rows) < limit:
            if not any(first <= open_ms < last for first, last in self.holes):
                rows.append(self.replaced.get(open_ms) or row_of(open_ms, length_ms))
                self.forming_sent += open_ms + length_ms > self.now_ms
            open_ms += length_ms
        return rows

    def funding(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """The funding rates of one answer."""
        start_ms, end_ms = int(query["startTime"]), min(int(query.get("endTime", self.now_ms)), self.now_ms)
        stamps = range(-(-start_ms // _FUNDING_MS) * _FUNDING_MS, end_ms + 1, _FUNDING_MS)
        found = [
            {"symbol": query["symbol"], "fundingTime": at, "fundingRate": f"0.000{at // _FUNDING_MS % 9}"}
            for at in stamps
        ]
        return found[: int(query.get("limit", 100))]

    def info(self) -> dict[str, Any]:
        """The markets."""
        return {"timezone": "UTC", "serverTime": self.now_ms, "rateLimits": [], "exchangeFilters": [],
                "symbols": [_market(name) for name in self.symbols]}  # fmt: skip


def _market(name: str) -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000000", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    ]
    return {"symbol": name, "pair": name, "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": name[:-4],
            "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
            "onboardDate": 0, "deliveryDate": 4133404800000, "filters": filters, "orderTypes": ["LIMIT", "MARKET"],
            "timeInForce": ["GTC"]}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    exchange: Exchange

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        what = parts.path.rpartition("/")[2]
        exchange = self.exchange
        if what == "time":
            self._send(200, {"serverTime": exchange.now_ms})
        elif what == "exchangeInfo":
            self._send(200, exchange.info())
        elif what == "fundingRate":
            self._send(200, exchange.funding(query))
        elif what in ("klines", "markPriceKlines"):
            exchange.asked.append(query)
            fault = exchange.faults.pop(0) if exchange.faults else "none"
            self._fail(fault) if fault != "none" else self._answer(query)
        else:
            self._send(404, {"code": -5000, "msg": f"Path {self.path} is invalid"})

    def _answer(self, query: dict[str, str]) -> None:
        self.exchange.answered += 1
        if query["symbol"] not in self.exchange.symbols:
            self._send(400, {"code": -1121, "msg": "Invalid symbol."})
        else:
            self._send(200, self.exchange.bars(query))

    def _fail(self, fault: str) -> None:
        if fault in ("429", "418"):
            wait = {} if self.exchange.retry_after is None else {"Retry-After": self.exchange.retry_after}
            self._send(int(fault), {"code": -1003, "msg": "Too many requests."}, wait)
        elif fault == "500":
            self._send(503, {"msg": "Service Unavailable"})
        elif fault == "silence":  # until the test is over: the client gives up first
            self.exchange.silent.set()
            self.exchange.released.wait()
        elif fault == "drop":
            self.connection.close()
        elif fault == "empty":
            self._send(200, b"")
        elif fault == "junk":
            self._send(200, b"<html>maintenance</html>")
        else:
            self._send(200, {"rows": "elsewhere"})

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for key, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's output is its own."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that gave up or was killed is what some tests are about."""


@contextmanager
def serving(exchange: Exchange) -> Iterator[Exchange]:
    """The exchange, reachable at its `url` meanwhile."""
    server = _Server(("localhost", 0), type("Handler", (_Handler,), {"exchange": exchange}))
    exchange.url = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="exchange")
    thread.start()
    try:
        yield exchange
    finally:
        exchange.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
