"""Why two runs decided differently: each difference sorted by the first cause in time that explains it.

The causes are `data` (a bar or quote that they did not see alike, late and revised bars too), `timing` (the same
decision at another bar), `acknowledgement` (a reply that came late or never), `fill` (another price, volume or time of
an execution), `state` (another position, other slots, margin or balance before), `schedule` (the same inputs, another
order of turns). Where nothing that was written down differs the cause is `unknown`: then the code, the configuration or
something that the bot reads besides its ports was another one. Pure; any thread.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from src.core.record import record
from src.core.timeframe import MINUTE_NS, SECOND_NS, format_instant
from src.core.trading_controller import MONITOR
from src.research.parity.compare import MOVED, REORDERED, Comparison, Difference
from src.research.parity.decisions import Stream
from src.research.parity.facts import (
    DATA,
    SCHEDULE,
    STATE,
    TIMING,
    Fact,
    Positions,
    facts_between,
    length_text,
)
from src.research.parity.seen import Evidence

__all__ = ["CAUSES", "UNKNOWN", "Explained", "explain"]

UNKNOWN = "unknown"
CAUSES = ("data", "timing", "acknowledgement", "fill", "state", "schedule", UNKNOWN)

#: What the state of other books can change: what the risk manager says, and how much may be bought.
_BY_RISK = frozenset({"verdict", "volume"})
#: What another entry price changes.
_BY_PRICE = frozenset({"price", "stop", "target", "volume"})
_SAME_BALANCE = 1e-9


@record
class Explained:
    """A difference with its cause.

    Attributes:
        cause: one of `CAUSES`.
        instant_ns: when the cause came about.
        text: what it was, a sentence part.
    """

    difference: Difference
    cause: str
    instant_ns: int
    text: str


def explain(
    comparison: Comparison, reference: Evidence, other: Evidence, late_ns: int = SECOND_NS
) -> tuple[Explained, ...]:
    """The cause of each difference, in the order of the differences.

    Args:
        comparison: of the decisions of both runs.
        late_ns: what comes so much later than in the other run is late. A reply is late, besides, only when it took
            several times as long as most.
    """
    if not comparison.differences:
        return ()
    facts = facts_between(comparison, reference, other, late_ns)
    judge = _Judge(comparison, facts, reference, other)
    return tuple([judge.explained(each) for each in comparison.differences])


class _Judge:
    def __init__(self, comparison: Comparison, facts: Sequence[Fact], reference: Evidence, other: Evidence) -> None:
        self._facts = facts
        self._agreed: dict[Stream, list[tuple[int, int]]] = {}
        for one, two in comparison.pairs:
            instants = sorted((one.instant_ns, two.instant_ns))
            self._agreed.setdefault(one.stream, []).append((instants[0], instants[1]))
        self._seen = tuple(_seen(side) for side in (reference, other))
        self._sides = reference, other
        self._positions = Positions(reference.fills), Positions(other.fills)
        self._streams = sorted(self._positions[0].streams | self._positions[1].streams)

    def explained(self, difference: Difference) -> Explained:
        """See `explain`."""
        if difference.kind == REORDERED:
            return self._named(difference, SCHEDULE, difference.bar_ns, "decided in another order within one bar")
        since_ns = self._agreed_before(difference)
        candidates: list[tuple[int, int, str, str]] = []
        for fact in self._own_facts(difference, since_ns):
            candidates.append((fact.instant_ns, 0, fact.cause, fact.text))
        candidates += [(at_ns, 1, STATE, text) for at_ns, text in self._states(difference)]
        candidates += [(at_ns, 2, SCHEDULE, text) for at_ns, text in self._orders(difference)]
        if candidates:
            at_ns, _, cause, text = min(candidates, key=_first_cause)
            return self._named(difference, cause, at_ns, text)
        if difference.kind == MOVED and difference.reference is not None and difference.other is not None:
            later = difference.other.instant_ns - difference.reference.instant_ns
            word = "later" if later > 0 else "earlier"
            text = f"the same was decided {length_text(abs(later))} {word}"
            return self._named(difference, TIMING, difference.instant_ns, text)
        farther = next(iter(self._farther(difference, since_ns)), None)
        if farther is not None:
            return self._named(difference, farther.cause, farther.instant_ns, farther.text)
        return self._named(difference, UNKNOWN, difference.instant_ns, "nothing that was written down differs before")

    @staticmethod
    def _named(difference: Difference, cause: str, instant_ns: int, text: str) -> Explained:
        return Explained(difference=difference, cause=cause, instant_ns=instant_ns, text=text)

    def _agreed_before(self, difference: Difference) -> tuple[int, int]:
        """When the stream last decided the same, before the difference, first in one run and then in both."""
        instants = self._agreed.get(difference.decision.stream, ())
        return max((each for each in instants if each[0] <= _first_ns(difference)), default=(-1, -1))

    # -- candidates ------------------------------------------------------------------------------------

    def _own_facts(self, difference: Difference, since_ns: tuple[int, int]) -> Iterable[Fact]:
        """What differed for this stream since it last decided the same.

        What a bar showed was known to a decision at its close; what a request led to was not known to the one that
        made it.
        """
        # What follows from the price of an entry: values of a decision, and what watches the position.
        by_price = bool(_BY_PRICE & set(difference.fields)) or difference.decision.participant == MONITOR
        for fact in self._about(difference):
            is_new = fact.instant_ns > since_ns[1] if fact.cause == DATA else fact.instant_ns >= since_ns[0]
            if is_new and not fact.is_own and (by_price or not fact.is_slight):
                yield fact

    def _farther(self, difference: Difference, since_ns: tuple[int, int]) -> Iterable[Fact]:
        """What else may be the cause, best first: what both runs were told alike, then what lies farther back."""
        about = list(self._about(difference))
        yield from [fact for fact in about if fact.is_own and fact.instant_ns >= since_ns[0]]
        yield from reversed([fact for fact in about if not fact.is_own])

    def _about(self, difference: Difference) -> Iterable[Fact]:
        decision = difference.decision
        until_ns = difference.instant_ns
        for fact in self._facts:
            if fact.instant_ns > until_ns:
                return
            mine = fact.of is not None and fact.of in (difference.reference, difference.other)
            if fact.symbol == decision.symbol and fact.book in ("", decision.book) and not mine:
                yield fact

    def _states(self, difference: Difference) -> Iterable[tuple[int, str]]:
        stream = difference.decision.stream
        at_ns = self._instants(difference)
        held = [positions.before(stream, at) for positions, at in zip(self._positions, at_ns, strict=True)]
        if not _same(*held):
            yield self._since(stream, at_ns), f"the position before was {held[0]:g} and {held[1]:g}"
        if not _BY_RISK & set(difference.fields):
            return
        for each in self._streams:
            others = [positions.before(each, at) for positions, at in zip(self._positions, at_ns, strict=True)]
            if each != stream and not _same(*others):
                text = f"{each[0]} held {others[0]:g} and {others[1]:g}"
                yield self._since(each, at_ns), text
        left, right = (_balance(side, at) for side, at in zip(self._sides, at_ns, strict=True))
        if left is not None and right is not None and not _same(left[1], right[1]):
            yield max(left[0], right[0]), f"the balance before was {left[1]:.2f} and {right[1]:.2f}"

    def _since(self, stream: Stream, at_ns: tuple[int, int]) -> int:
        changed = [positions.changed_ns(stream, at) for positions, at in zip(self._positions, at_ns, strict=True)]
        return max((each for each in changed if each is not None), default=0)

    def _orders(self, difference: Difference) -> Iterable[tuple[int, str]]:
        """Another order of the participants that went on between the bar and the decision."""
        bar_ns, symbol = difference.bar_ns, difference.decision.symbol
        turns = [
            _first_turns(side, seen.get((symbol, bar_ns), bar_ns), difference.instant_ns)
            for side, seen in zip(self._sides, self._seen, strict=True)
        ]
        left, right = turns
        if not left and not right:
            return
        if not left or not right:  # a backtest, whose participants of one instant go in configured order
            told, order = (right, self._sides[0].order) if not left else (left, self._sides[1].order)
            usual = [name for name in order if name in told]
            told = [name for name in told if name in usual]
            left, right = (usual, told) if not turns[0] else (told, usual)
        both = set(left) & set(right)
        left, right = [name for name in left if name in both], [name for name in right if name in both]
        if left != right:
            text = f"the turns at {format_instant(bar_ns)} were {', '.join(left)} and {', '.join(right)}"
            yield bar_ns, text

    @staticmethod
    def _instants(difference: Difference) -> tuple[int, int]:
        """When each run decided, or would have."""
        one, two = difference.reference, difference.other
        first = difference.decision.instant_ns
        return first if one is None else one.instant_ns, first if two is None else two.instant_ns


def _seen(side: Evidence) -> dict[tuple[str, int], int]:
    """When the bars of a symbol that end at an instant became visible."""
    found: dict[tuple[str, int], int] = {}
    for (symbol, length_ns, open_ns), bar in side.bars.items():
        key = symbol, open_ns + length_ns
        found[key] = min(bar.seen_ns, found.get(key, bar.seen_ns))
    return found


def _first_cause(candidate: tuple[int, int, str, str]) -> tuple[int, int, int]:
    """What came in an earlier minute comes first; inside one, what explains a state before the state itself.

    A backtest has within the minute no times of its own: its order has filled before a live one is sent.
    """
    at_ns, rank, _, _ = candidate
    return at_ns // MINUTE_NS, rank, at_ns


def _first_ns(difference: Difference) -> int:
    return min(each.instant_ns for each in (difference.reference, difference.other) if each is not None)


def _same(one: float, two: float) -> bool:
    return abs(one - two) <= _SAME_BALANCE * max(abs(one), abs(two), 1e-12)


def _balance(side: Evidence, instant_ns: int) -> tuple[int, float] | None:
    known = None
    for each in side.balances:
        if each[0] >= instant_ns:
            break
        known = each
    return known


def _first_turns(side: Evidence, first_ns: int, last_ns: int) -> list[str]:
    """The participants that went on in a span, in the order of their first turns there."""
    turns = side.turns  # by time, as a recording has them
    first = bisect_left(turns, first_ns, key=attrgetter("instant_ns"))
    last = bisect_right(turns, last_ns, key=attrgetter("instant_ns"))
    return list(dict.fromkeys(turn.participant for turn in turns[first:last]))
