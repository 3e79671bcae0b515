"""The line between the bot's side and the venue: all that arrives there is done to the naive ledger as well.

So the naive ledger knows what really happened, whatever the bot's side was told of it.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from src.brokers.simulated import SimulatedBroker
from src.core.records import OrderRequest, OrderResult, Side, TimeInForce
from src.core.timeframe import MINUTE_NS
from tests.brokers.naive_linked import LinkedLedger
from tests.brokers.naive_records import Paper, Trail

__all__ = ["Wire", "exact", "paper_of"]


class Wire:
    """A venue that notes what arrives; everything else is the venue's own.

    Args:
        now: the present in minutes.
        inside: whether a bar of a symbol is under way.

    Attributes:
        arrived: what has arrived since somebody looked: the call, and whom or what it is about.
        codes: what the venue said to each.
        placed: the ids of all orders that were accepted, again each time.
    """

    def __init__(
        self, venue: SimulatedBroker, naive: LinkedLedger, now: Callable[[], Fraction], start_ns: int,
        inside: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._venue, self._naive, self._now, self._start_ns, self._inside = venue, naive, now, start_ns, inside
        self.arrived: list[tuple[str, str]] = []
        self.codes: list[str] = []
        self.placed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`."""
        paper = paper_of(request, self._now(), self._naive.latency, self._start_ns)
        expected = self._naive.place(paper)
        what = f"{request.client_id} {float(paper.volume)} {'bare' if bare(request) else 'guarded'}"
        result = self._note("place", what, expected, self._venue.place(request))
        self.placed += [request.client_id] if result.accepted else []
        return result

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, **more: Any) -> OrderResult:
        """See `Broker.close`."""
        stock = next((each for each in self._naive.stocks() if each.name == position_id), None)
        expected = "no_position"
        if stock is not None:
            now, held = self._now(), abs(stock.volume)
            size = held if volume is None else min(held, Fraction(volume))
            sign = -1 if stock.volume > 0 else 1
            expected = self._naive.place(
                Paper(client_id, stock.symbol, "market", sign, size, None, None, None, True, False, position_id, now,
                      now + self._naive.latency, exit_kind=more.get("kind", "exit"))
            )  # fmt: skip
        result = self._venue.close(position_id, client_id=client_id, volume=volume, **more)
        self.placed += [client_id] if result.accepted else []
        return self._note("close", f"{client_id} {volume}", expected, result)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        paper = self._naive.find(order_id)
        inside = paper is not None and self._inside(paper.symbol)
        expected = self._naive.cancel(order_id, self._now(), inside)
        return self._note("cancel", order_id, expected, self._venue.cancel(order_id))

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`."""
        paper = self._naive.find(order_id)
        expected = "not_working"
        if paper is not None:
            to = (paper.level or Fraction(0)) if price is None else Fraction(price)
            size = paper.volume if volume is None else Fraction(volume)
            expected = self._naive.modify(order_id, to, size, self._now(), self._inside(paper.symbol))
        result = self._venue.modify(order_id, price=price, limit=limit, volume=volume)
        return self._note("modify", order_id, expected, result)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`."""
        stock = next((each for each in self._naive.stocks() if each.name == position_id), None)
        inside = stock is not None and self._inside(stock.symbol)
        expected = self._naive.protect(position_id, exact(stop), exact(target), self._now(), inside)
        result = self._venue.protect(position_id, stop=stop, target=target, kind=kind)
        return self._note("protect", position_id, expected, result)

    def forget(self) -> None:
        """Somebody has looked at what has arrived."""
        self.arrived.clear()
        self.codes.clear()

    def _note(self, name: str, what: str, expected: str, result: OrderResult) -> OrderResult:
        assert result.code == expected, (name, what, result)
        self.arrived.append((name, what))
        self.codes.append(result.code)
        return result


def exact(value: float | None) -> Fraction | None:
    """The same number as a fraction."""
    return None if value is None else Fraction(value)


def bare(request: OrderRequest) -> bool:
    """Whether an order brings no stop."""
    return request.stop is None and request.stop_trail_distance is None and request.stop_trail_percent is None


def paper_of(request: OrderRequest, now: Fraction, latency: Fraction, start_ns: int) -> Paper:
    """A request in the words of the naive ledger."""
    expires = None if request.expires_ns is None else Fraction(request.expires_ns - start_ns, MINUTE_NS)
    return Paper(
        name=request.client_id, symbol=request.symbol, kind=str(request.type),
        sign=1 if request.side is Side.BUY else -1, volume=Fraction(request.volume), price=exact(request.price),
        stop=exact(request.stop), target=exact(request.target), reduce=request.reduce_only, reverse=request.reverse,
        position=request.position_id, placed=now, counts_from=now + latency, limit=exact(request.limit),
        trail=trail_of(request.trail_distance, request.trail_percent),
        follow=trail_of(request.stop_trail_distance, request.stop_trail_percent), group=request.group,
        parent=request.parent, expires=expires,
        immediate=str(request.time_in_force) if request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) else "",
    )  # fmt: skip


def trail_of(distance: float | None, percent: float | None) -> Trail | None:
    """How far something follows the price."""
    if distance is None and percent is None:
        return None
    return Trail(Fraction(distance or 0), Fraction(percent or 0) / 100)
