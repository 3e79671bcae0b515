"""What shall go wrong between the bot and its venue, as data: the plan of faults and who is hit by which.

A plan decides by counts of calls, by instants of the clock it is given, and by draws that belong to one order each, so
the same run meets the same faults. Counting takes a lock of its own; nothing else is done inside it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum

from src.brokers.simulated.rules import BlowOut
from src.core.broker import IN_FLIGHT_NS
from src.core.errors import ConfigError
from src.core.record import record
from src.core.rng import stream
from src.core.sync import Lock
from src.core.timeframe import format_duration

__all__ = ["CALLS", "ORDERS", "SPANS", "Call", "Fault", "FaultKind", "FaultPlan"]


class FaultKind(StrEnum):
    """What goes wrong; see docs/faults.md for an example of each and for what the bot does."""

    REJECT = "reject"
    TIMEOUT_ACCEPTED = "timeout_accepted"
    TIMEOUT_LOST = "timeout_lost"
    DUPLICATE_ACK = "duplicate_ack"
    STALE_REPLY = "stale_reply"
    STOP_WITHOUT_ID = "stop_without_id"
    REJECTED_WITH_FILL = "rejected_with_fill"
    PARTLY_SILENT = "partly_silent"
    DISCONNECT = "disconnect"
    RATE_LIMIT = "rate_limit"
    PRICE_FREEZE = "price_freeze"
    FEED_HOLE = "feed_hole"
    SPREAD = "spread"


#: Faults that hit one call of the bot.
CALLS = frozenset(
    (
        FaultKind.REJECT, FaultKind.TIMEOUT_ACCEPTED, FaultKind.TIMEOUT_LOST, FaultKind.DUPLICATE_ACK,
        FaultKind.STALE_REPLY, FaultKind.STOP_WITHOUT_ID, FaultKind.REJECTED_WITH_FILL, FaultKind.PARTLY_SILENT,
    )
)  # fmt: skip
#: Those of them that only an order can meet.
ORDERS = frozenset((FaultKind.REJECTED_WITH_FILL, FaultKind.PARTLY_SILENT))
#: Faults that last from one instant to another.
SPANS = frozenset(FaultKind) - CALLS


@record
class Fault:
    """One thing that goes wrong.

    Attributes:
        call: which call to the venue is hit, counted from 1: every place, close, cancel, modify and protect counts.
        order: which order is hit, counted from 1: every place and close counts.
        chance_percent: or how many of 100 orders are hit, as the seed draws for each.
        symbol: only calls, or prices, of this symbol; all with an empty one. A count is then of this symbol alone, and
            a call about something that nobody knows is of none.
        from_ns, to_ns: when it lasts; for a call, when it may happen.
        share: how much of the volume fills before the rest is rejected or falls silent.
        after_ns: how long a request whose answer is lost is under way before the venue accepts it; at most the
            in-flight limit, which a venue keeps to.
        calls, per_ns: how many calls a rate limit lets through in each span of time.
        factor: how many times wider the spread is.
    """

    kind: FaultKind
    call: int | None = None
    order: int | None = None
    chance_percent: float | None = None
    symbol: str = ""
    from_ns: int | None = None
    to_ns: int | None = None
    share: float = 0.5
    after_ns: int = 0
    calls: int = 0
    per_ns: int = 0
    factor: float = 1.0

    def problem(self) -> str:
        """What is wrong with the description, in a sentence; empty when nothing is."""
        kind = self.kind
        ways = [self.call, self.order, self.chance_percent]
        if kind in CALLS:
            if sum(each is not None for each in ways) != 1:
                return f"{kind} hits a call: expected one of call, order and chance_percent"
            if kind in ORDERS and not 0 < self.share < 1:
                return f"{kind}: expected share between 0 and 1, found {self.share:g}"
        elif any(each is not None for each in ways):
            return f"{kind} lasts for a while: expected from and to, found a call, an order or a chance"
        elif self.from_ns is None or self.to_ns is None:
            return f"{kind} lasts for a while: expected from and to"
        if kind is FaultKind.DISCONNECT and self.symbol:
            return f"disconnect cuts off the whole venue: expected no symbol, found {self.symbol}"
        if self.after_ns and kind is not FaultKind.TIMEOUT_ACCEPTED:
            return f"{kind}: after is for timeout_accepted alone"
        if self.after_ns > IN_FLIGHT_NS:
            limit, found = format_duration(IN_FLIGHT_NS), format_duration(self.after_ns)
            return f"{kind}: expected after of at most {limit}, the venue's in-flight limit, found {found}"
        if self.from_ns is not None and self.to_ns is not None and self.to_ns <= self.from_ns:
            return f"{kind}: to must lie after from"
        if kind is FaultKind.RATE_LIMIT and (self.calls < 1 or self.per_ns < 1):
            return "rate_limit: expected calls of at least 1 and per, such as calls: 5 and per: 1m"
        if kind is FaultKind.SPREAD and self.factor <= 1:
            return f"spread: expected factor above 1, found {self.factor:g}"
        return ""

    def lasts_at(self, instant_ns: int, symbol: str = "") -> bool:
        """Whether it may act on the symbol at an instant: from `from_ns` on, before `to_ns`."""
        if self.symbol and symbol and self.symbol != symbol:
            return False
        after = self.from_ns is None or instant_ns >= self.from_ns
        return after and (self.to_ns is None or instant_ns < self.to_ns)


@record
class Call:
    """One call of the bot to the venue: its name (`place`, `close` ...), and the id of what it is about."""

    name: str
    symbol: str
    identity: str

    @property
    def is_order(self) -> bool:
        """True when it sends an order."""
        return self.name in ("place", "close")


class FaultPlan:
    """The faults of one run, and how often they have acted.

    Args:
        faults: in the order in which they are asked; the first that fits hits.
        seed: the run's.

    Raises:
        ConfigError: a fault is described wrongly; all problems in one text.

    Attributes:
        calls: how many calls to the venue there have been.
        acted: what went wrong so far, in order: the fault and the call.
    """

    def __init__(self, faults: Sequence[Fault], seed: int = 7) -> None:
        problems = [f"faults.{i}: {text}" for i, fault in enumerate(faults) if (text := fault.problem())]
        if problems:
            raise ConfigError("\n".join(problems))
        self.faults = tuple(faults)
        self._seed = seed
        self._hits = [(i, fault) for i, fault in enumerate(self.faults) if fault.kind in CALLS]
        self._limits = [(i, fault) for i, fault in enumerate(self.faults) if fault.kind is FaultKind.RATE_LIMIT]
        self._away = [fault for fault in self.faults if fault.kind is FaultKind.DISCONNECT]
        self._counts: Counter[tuple[str, str]] = Counter()
        self._windows: Counter[tuple[int, int]] = Counter()
        self._lock = Lock()
        self.calls = 0
        self.acted: list[tuple[Fault, Call]] = []

    @property
    def blow_outs(self) -> tuple[BlowOut, ...]:
        """When the venue's spread is wider than it should be."""
        return tuple(
            BlowOut(symbol=each.symbol, from_ns=each.from_ns or 0, to_ns=each.to_ns or 0, factor=each.factor)
            for each in self.faults
            if each.kind is FaultKind.SPREAD
        )

    def away(self, instant_ns: int) -> Fault | None:
        """The disconnection that lasts at an instant."""
        return next((fault for fault in self._away if fault.lasts_at(instant_ns)), None)

    def hit(self, call: Call, instant_ns: int, able: Callable[[Fault], bool]) -> Fault | None:
        """Count a call and find what happens to it.

        Args:
            able: whether a fault can happen to this call; one that cannot passes it by.
        """
        with self._lock:
            self.calls += 1
            for symbol in ("", call.symbol) if call.symbol else ("",):
                self._counts["call", symbol] += 1
                self._counts["order", symbol] += call.is_order
            found = self._found(call, instant_ns, able)
            if found is not None:
                self.acted.append((found, call))
            return found

    def _found(self, call: Call, instant_ns: int, able: Callable[[Fault], bool]) -> Fault | None:
        away = self.away(instant_ns)
        if away is not None:
            return away
        for i, fault in self._limits:
            if _concerns(fault, call, instant_ns):
                window = (i, instant_ns // fault.per_ns)
                self._windows[window] += 1
                if self._windows[window] > fault.calls:
                    return fault
        for i, fault in self._hits:
            if _concerns(fault, call, instant_ns) and self._hits_now(i, fault, call) and able(fault):
                return fault
        return None

    def _hits_now(self, i: int, fault: Fault, call: Call) -> bool:
        if fault.call is not None:
            return self._counts["call", fault.symbol] == fault.call
        if not call.is_order:
            return False
        if fault.order is not None:
            return self._counts["order", fault.symbol] == fault.order
        # A draw of the order's own: it does not depend on who placed what before.
        draw = stream(self._seed, f"fault {i} {fault.kind} {call.identity}", call.symbol).random()
        return draw * 100 < (fault.chance_percent or 0.0)


def _concerns(fault: Fault, call: Call, instant_ns: int) -> bool:
    """Whether a fault may happen to a call; one that is about nothing known is of no symbol."""
    return (call.symbol != "" or fault.symbol == "") and fault.lasts_at(instant_ns, call.symbol)
