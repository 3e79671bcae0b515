"""What differed between what two runs saw and were told, each as a fact with its cause and its instant.

A fact about one run alone is one that can explain a difference where the other run saw the same because it was fed with
it: a reply that never came, a bar that came too late. Pure; any thread.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from statistics import median

from src.core.record import record
from src.core.timeframe import SECOND_NS, format_duration, format_instant
from src.research.parity.compare import MISSING, Comparison, Difference
from src.research.parity.decisions import Decision, Stream
from src.research.parity.seen import BarKey, Evidence, SeenBar, SeenCall, SeenFill

__all__ = ["ACKNOWLEDGEMENT", "DATA", "FILL", "SCHEDULE", "STATE", "TIMING", "Fact", "Positions", "facts_between",
           "length_text"]  # fmt: skip

DATA, TIMING, ACKNOWLEDGEMENT, FILL, STATE, SCHEDULE = (
    "data", "timing", "acknowledgement", "fill", "state", "schedule",
)  # fmt: skip

_PRICES = ("open", "high", "low", "close", "volume")
_ASKED = frozenset({"place", "close", "cancel", "modify", "protect"})
#: A reply is late when it took longer than so many usual ones, and longer than what is late anyway.
_USUAL = 4
_ENOUGH = 5
_SAME_VOLUME = 1e-9
#: Notes that tell of bars.
_BAR_NOTES = ("late_bar", "revised_bar")


@record
class Fact:
    """Something that one run saw, was told, or got in another way than the other one.

    Attributes:
        cause: data, acknowledgement or fill.
        instant_ns: from when on it may have changed a decision.
        symbol: whose decisions; book: of which book, empty for all of the symbol's.
        text: a sentence part.
        of: the decision whose request it is about, which it cannot have changed itself; None for none.
        is_own: it is about one run alone.
        is_slight: the price or the time of an execution, by which two runs mostly differ; it changes stops, targets and
            sizes, and what follows from the entry's price, and hardly anything else.
    """

    cause: str
    instant_ns: int
    symbol: str
    text: str
    book: str = ""
    of: Decision | None = None
    is_own: bool = False
    is_slight: bool = False


def facts_between(
    comparison: Comparison, reference: Evidence, other: Evidence, late_ns: int = SECOND_NS
) -> list[Fact]:  # fmt: skip
    """The facts by time.

    Args:
        comparison: of the decisions of both runs.
        late_ns: what comes so much later than in the other run is late, and several times as late as decisions mostly
            are.
    """
    delays = [abs(each) for each in comparison.delays_ns]
    late_ns = max(late_ns, _USUAL * int(median(delays))) if delays else late_ns
    found = [*_bar_facts(reference, other, late_ns), *_quote_facts(reference, other)]
    found += _reply_facts(comparison, reference, other, late_ns)
    found += _fill_facts(comparison, reference, other, late_ns)
    found += _note_facts(reference, other)
    return sorted(found, key=lambda fact: (fact.instant_ns, fact.is_own, fact.symbol, fact.cause))


def length_text(duration_ns: int) -> str:
    """A duration, a negative one too, without what nobody reads: `1.5s`, `2m`."""
    sign, size_ns = ("-" if duration_ns < 0 else ""), abs(duration_ns)
    if size_ns < 10 * SECOND_NS:
        return f"{sign}{size_ns / SECOND_NS:.3g}s"
    return sign + format_duration(size_ns // SECOND_NS * SECOND_NS)


# ------------------------------------------------------------------------------------------------------------ prices


def _bar_facts(reference: Evidence, other: Evidence, late_ns: int) -> Iterable[Fact]:
    spans = _shared_spans(reference, other)
    for key in sorted(reference.bars.keys() | other.bars.keys()):
        symbol, length_ns, open_ns = key
        span = spans.get((symbol, length_ns))
        if span is None or not span[0] <= open_ns <= span[1]:
            continue  # one of them begins or ends elsewhere, or has no such bars
        left, right = reference.bars.get(key), other.bars.get(key)
        text = _bar_text(left, right, late_ns)
        if text:
            what = f"the {format_duration(length_ns)} bar of {format_instant(open_ns)} {text}"
            yield Fact(cause=DATA, instant_ns=open_ns + length_ns, symbol=symbol, text=what)


def _shared_spans(reference: Evidence, other: Evidence) -> dict[tuple[str, int], tuple[int, int]]:
    left, right = _spans(reference.bars), _spans(other.bars)
    return {key: (max(left[key][0], right[key][0]), min(left[key][1], right[key][1])) for key in left.keys() & right}


def _spans(bars: Iterable[BarKey]) -> dict[tuple[str, int], tuple[int, int]]:
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for symbol, length_ns, open_ns in bars:
        first, last = found.get((symbol, length_ns), (open_ns, open_ns))
        found[symbol, length_ns] = min(first, open_ns), max(last, open_ns)
    return found


def _bar_text(left: SeenBar | None, right: SeenBar | None, late_ns: int) -> str:
    if left is None or right is None:
        return f"was seen by the {'other run' if left is None else 'reference'} alone"
    changed = [
        f"{name} {one!r} and {two!r}"
        for name, one, two in zip(_PRICES, left.values, right.values, strict=True)
        if one != two
    ]
    if changed:
        return f"had {', '.join(changed)}"
    late = right.seen_ns - left.seen_ns
    if abs(late) <= late_ns:
        return ""
    return f"came {length_text(abs(late))} {'later' if late > 0 else 'earlier'}"


def _quote_facts(reference: Evidence, other: Evidence) -> Iterable[Fact]:
    """Quotes of one stamp that are not the same; those of two runs mostly have stamps of their own."""
    known = {(each.symbol, each.instant_ns): each for each in reference.quotes}
    for each in other.quotes:
        left = known.get((each.symbol, each.instant_ns))
        if left is not None and (left.bid, left.ask) != (each.bid, each.ask):
            at_ns = min(left.seen_ns, each.seen_ns)
            text = f"the quote had {left.bid!r}/{left.ask!r} and {each.bid!r}/{each.ask!r}"
            yield Fact(cause=DATA, instant_ns=at_ns, symbol=each.symbol, text=text)


def _note_facts(reference: Evidence, other: Evidence) -> Iterable[Fact]:
    """Bars that came late or again with other numbers; what one run noted and the other one did as well is none."""
    seen = [
        {(each.what, each.symbol, each.instant_ns): each for each in side.notes if each.what in _BAR_NOTES}
        for side in (reference, other)
    ]
    for key, note in {**seen[0], **seen[1]}.items():
        word = "came late" if note.what == "late_bar" else "came again with other numbers"
        opened = note.values.get("open_ns")
        which = f"the bar of {format_instant(opened)}" if isinstance(opened, int) else "a bar"
        fact = Fact(cause=DATA, instant_ns=note.instant_ns, symbol=note.symbol, text=f"{which} {word}")
        both = key in seen[0] and key in seen[1]
        yield fact if not both else _own(fact)


def _own(fact: Fact) -> Fact:
    return Fact(
        cause=fact.cause, instant_ns=fact.instant_ns, symbol=fact.symbol, text=fact.text, book=fact.book, of=fact.of,
        is_own=True,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- replies


def _reply_facts(comparison: Comparison, reference: Evidence, other: Evidence, late_ns: int) -> Iterable[Fact]:
    left, right = _Replies(reference, late_ns), _Replies(other, late_ns)
    for one, two in _shared(comparison):
        a, b = left.about(one), right.about(two)
        if a == b == "":
            continue
        at_ns = max(one.instant_ns, two.instant_ns)
        text = f"{_request_text(one)}: {a or b}"
        # The same on both sides explains nothing between them, unless one of them was fed with the other.
        is_own = bool(a) and bool(b)
        yield Fact(
            cause=ACKNOWLEDGEMENT, instant_ns=at_ns, symbol=one.symbol, book=one.book, text=text, of=one, is_own=is_own
        )
    for difference in comparison.differences:
        if difference.reference is None or difference.other is None:
            decision = difference.decision
            said = (left if difference.kind == MISSING else right).about(decision)
            if said:
                text = f"{_request_text(decision)}: {said}"
                yield Fact(
                    cause=ACKNOWLEDGEMENT, instant_ns=decision.instant_ns, symbol=decision.symbol, book=decision.book,
                    text=text, of=decision,
                )  # fmt: skip


def _shared(comparison: Comparison) -> Iterable[tuple[Decision, Decision]]:
    """The decisions that both runs have, those that differ in a value too."""
    yield from comparison.pairs
    for each in comparison.differences:
        if each.reference is not None and each.other is not None:
            yield each.reference, each.other


def _request_text(decision: Decision) -> str:
    return f"the {decision.action} of {format_instant(decision.instant_ns)}"


class _Replies:
    """What became of the requests of one run."""

    def __init__(self, evidence: Evidence, late_ns: int) -> None:
        self._calls: dict[str, list[SeenCall]] = {}
        delays = []
        for call in evidence.calls:
            if call.method in _ASKED:
                self._calls.setdefault(call.identity, []).append(call)
                delays.append(call.delay_ns)
        # Of a few replies nobody can say which of them are usual.
        self._late_ns = max(late_ns, _USUAL * int(median(delays))) if len(delays) >= _ENOUGH else late_ns
        self._doubts = {identity for _, identity in evidence.unanswered}

    def about(self, decision: Decision) -> str:
        """What was wrong with the reply to the request of a decision; empty when nothing was."""
        if not decision.identity or decision.verdict != "accepted":
            return ""
        calls = self._calls.get(decision.identity, ())
        call = next((each for each in calls if each.sent_ns >= decision.instant_ns), None)
        if call is not None and call.is_lost:
            return "the reply was lost"
        if call is not None and call.delay_ns > self._late_ns:
            return f"the reply took {length_text(call.delay_ns)}"
        return "the order was in doubt" if decision.identity in self._doubts else ""


# ------------------------------------------------------------------------------------------------------------- fills


class Positions:
    """What the books of one run held at each instant, by its fills."""

    def __init__(self, fills: Sequence[SeenFill]) -> None:
        self._steps: dict[Stream, tuple[list[int], list[float]]] = {}
        for each in fills:
            instants, volumes = self._steps.setdefault((each.symbol, each.book), ([], []))
            instants.append(each.instant_ns)
            volume = (volumes[-1] if volumes else 0.0) + each.signed
            volumes.append(0.0 if abs(volume) <= _SAME_VOLUME * each.volume else volume)

    @property
    def streams(self) -> set[Stream]:
        """Whoever held anything."""
        return set(self._steps)

    def before(self, stream: Stream, instant_ns: int) -> float:
        """The signed volume that was held just before an instant."""
        instants, volumes = self._steps.get(stream, ((), ()))
        place = bisect_left(instants, instant_ns)
        return volumes[place - 1] if place else 0.0

    def changed_ns(self, stream: Stream, instant_ns: int) -> int | None:
        """When it had last changed before an instant."""
        instants, _ = self._steps.get(stream, ((), ()))
        place = bisect_left(instants, instant_ns)
        return instants[place - 1] if place else None


def _fill_facts(comparison: Comparison, reference: Evidence, other: Evidence, late_ns: int) -> Iterable[Fact]:
    unshared = _unshared_orders(comparison.differences)
    streams: dict[Stream, tuple[list[SeenFill], list[SeenFill]]] = {}
    for side, evidence in enumerate((reference, other)):
        for each in evidence.fills:
            streams.setdefault((each.symbol, each.book), ([], []))[side].append(each)
    for stream, (left, right) in sorted(streams.items()):
        yield from _stream_facts(stream, left, right, unshared, late_ns)


def _unshared_orders(differences: Sequence[Difference]) -> set[str]:
    """Orders that one run alone has decided; that the other has no fill of them is no fact of its own."""
    return {each.decision.identity for each in differences if each.reference is None or each.other is None}


def _stream_facts(
    stream: Stream, left: list[SeenFill], right: list[SeenFill], unshared: set[str], late_ns: int
) -> Iterable[Fact]:
    i = j = 0
    held_left = held_right = 0.0
    while i < len(left) or j < len(right):
        one = left[i] if i < len(left) else None
        two = right[j] if j < len(right) else None
        if one is not None and two is not None and _belong(one, two):
            text = _fill_text(one, two, late_ns)
            if text:
                at_ns, is_slight = max(one.instant_ns, two.instant_ns), one.volume == two.volume
                yield Fact(
                    cause=FILL, instant_ns=at_ns, symbol=stream[0], book=stream[1], text=text, is_slight=is_slight
                )
            held_left, held_right = held_left + one.signed, held_right + two.signed
            i, j = i + 1, j + 1
            continue
        first = one if two is None or (one is not None and one.instant_ns <= two.instant_ns) else two
        assert first is not None, "the loop ends when both have come to their end"
        same_before = abs(held_left - held_right) <= _SAME_VOLUME * first.volume
        if same_before and not any(first.identity.startswith(order) for order in unshared if order):
            where = "reference" if first is one else "other run"
            text = f"a {first.kind} of {first.volume:g} at {first.price!r} was filled in the {where} alone"
            yield Fact(cause=FILL, instant_ns=first.instant_ns, symbol=stream[0], book=stream[1], text=text)
        if first is one:
            held_left, i = held_left + first.signed, i + 1
        else:
            held_right, j = held_right + first.signed, j + 1


#: Fills farther apart than this are not of the same order.
_TOGETHER_NS = 600 * SECOND_NS


def _belong(one: SeenFill, two: SeenFill) -> bool:
    return one.side == two.side and one.kind == two.kind and abs(one.instant_ns - two.instant_ns) <= _TOGETHER_NS


def _fill_text(one: SeenFill, two: SeenFill, late_ns: int) -> str:
    changed, late = [], two.instant_ns - one.instant_ns
    if one.price != two.price:
        changed.append(f"price {one.price!r} and {two.price!r}")
    if one.volume != two.volume:
        changed.append(f"volume {one.volume!r} and {two.volume!r}")
    parts = [f"had {', '.join(changed)}"] if changed else []
    if abs(late) > late_ns:
        parts.append(f"came {length_text(abs(late))} {'later' if late > 0 else 'earlier'}")
    return f"the {one.kind} {' and '.join(parts)}" if parts else ""
