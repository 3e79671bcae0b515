"""Who may ask the local venue, when and how often: key, signature, timestamp, rate limits. Under the venue's lock."""

import hashlib
import hmac
from collections.abc import Callable

from src.core.sync import wall_ns
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue_wire import Json, Params, Refusal, milliseconds

__all__ = ["VenueGate"]

#: So far ahead of the venue's time a timestamp may be, milliseconds.
AHEAD_MS = 1000
RECV_WINDOW_MS = 5000


class _Window:
    """A count that begins anew with each window, of the venue's time or of real time, whichever ends first."""

    def __init__(self, length_ns: int, now_ns: Callable[[], int]) -> None:
        self._length_ns = length_ns
        self._now_ns = now_ns
        self._window = (-1, -1)
        self.count = 0

    def add(self, weight: int) -> int:
        """Count a call; the count with it."""
        window = self._now_ns() // self._length_ns, wall_ns() // self._length_ns
        if window != self._window:
            self._window, self.count = window, 0
        self.count += weight
        return self.count

    def left_s(self) -> int:
        """Real seconds, at least 1, until it begins anew at the latest."""
        return int((self._length_ns - wall_ns() % self._length_ns) // SECOND_NS) + 1


class VenueGate:
    """See the module's text.

    Args:
        key, secret: what the account's owner signs with.
        now_ns: the venue's present.
        pace: seconds of the venue for each real second; a timestamp may be older by so many times the receive window,
            since the way of a request takes real time.
        weight_limit, order_limit, burst_limit: request weight a minute, orders a minute and in ten seconds.
    """

    def __init__(
        self, key: str, secret: str, now_ns: Callable[[], int], pace: Callable[[], float], *, weight_limit: int = 2400,
        order_limit: int = 1200, burst_limit: int = 300,
    ) -> None:  # fmt: skip
        self._key, self._secret = key, secret
        self._now_ns, self._pace = now_ns, pace
        self._limits = weight_limit, order_limit, burst_limit
        self._weight = _Window(MINUTE_NS, now_ns)
        self._orders = _Window(MINUTE_NS, now_ns)
        self._burst = _Window(10 * SECOND_NS, now_ns)
        self._ignored = 0

    def told_limits(self) -> list[Json]:
        """What `exchangeInfo` says of them."""
        weight, orders, burst = self._limits
        return [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": orders},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": burst},
        ]

    def weigh(self, weight: int, *, orders: int) -> dict[str, str]:
        """Count a call; the headers that tell the counts.

        Raises:
            Refusal: 429 above a limit; 418 for who goes on all the same.
        """
        most, most_orders, most_burst = self._limits
        used = self._weight.add(weight)
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        if used > most:
            self._ignored += 1
            headers["Retry-After"] = str(self._weight.left_s())
            if self._ignored > 10:
                sentence = "Way too many requests; IP banned until the end of the minute."
                raise Refusal(-1003, sentence, 418, headers)
            sentence = f"Too many requests; current limit is {most} requests per minute."
            raise Refusal(-1003, sentence, 429, headers)
        self._ignored = 0
        if orders:
            placed, quickly = self._orders.add(orders), self._burst.add(orders)
            headers |= {"X-MBX-ORDER-COUNT-1M": str(placed), "X-MBX-ORDER-COUNT-10S": str(quickly)}
            if placed > most_orders or quickly > most_burst:
                limit = f"{most_orders} per minute and {most_burst} in 10 seconds"
                raise Refusal(-1015, f"Too many new orders; current limit is {limit}.", 429, headers)
        return headers

    def check(self, key: str, signed: str, params: Params) -> None:
        """Refuse what is not signed by the owner, or not of the present.

        Args:
            key: the header with the key.
            signed: the text of the parameters, as it was sent, with the signature at its end.
        """
        if not key:
            raise Refusal(-2014, "API-key format invalid.", 401)
        if not hmac.compare_digest(key, self._key):
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        text, mark, signature = signed.rpartition("signature=")
        if not mark:
            raise Refusal(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
        expected = hmac.new(self._secret.encode(), text.removesuffix("&").encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise Refusal(-1022, "Signature for this request is not valid.")
        sent_ms, now_ms = params.whole("timestamp"), milliseconds(self._now_ns())
        window_ms = params.whole("recvWindow", RECV_WINDOW_MS)
        if not 0 < window_ms <= 60_000:
            raise Refusal(-1131, "recvWindow must be less than 60000.")
        pace = max(1.0, self._pace())
        if sent_ms > now_ms + AHEAD_MS * pace:
            raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if sent_ms < now_ms - window_ms * pace:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
