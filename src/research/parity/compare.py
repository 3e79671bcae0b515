"""Two lists of decisions side by side: what is the same, and each difference once. Pure; any thread.

Decisions are compared stream by stream, in order and by the bar at which they were made. After a difference both sides
are brought in line again, so that one decision that is missing is one difference and not all that follow.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from src.core.record import record
from src.core.timeframe import MINUTE_NS
from src.research.parity.decisions import COMPARED, Decision, Stream, streams_of

__all__ = ["EXTRA", "FIELD", "MISSING", "MOVED", "REORDERED", "Comparison", "Difference", "compare_decisions"]

MISSING, EXTRA, FIELD, MOVED, REORDERED = "missing", "extra", "field", "moved", "reordered"

#: How many bars apart the same decision, and one that is much alike, is still sought.
_SAME_WITHIN, _ALIKE_WITHIN = 10, 3


@record
class Difference:
    """One decision that the two runs do not share.

    Attributes:
        kind: `missing` in the other run, `extra` there, other in a `field`, `moved` to another instant, or `reordered`
            among the decisions of its bar.
        reference, other: the decision in each run; None where that one has none.
        fields: the names of the values that differ; `instant` for the instant.
        bar_ns: the bar at which it was decided, the earlier one of two: the instant of its close.
    """

    kind: str
    reference: Decision | None
    other: Decision | None
    fields: tuple[str, ...]
    bar_ns: int

    @property
    def decision(self) -> Decision:
        """The decision as the reference has it, where it has it."""
        found = self.reference or self.other
        assert found is not None, "a difference is between two, of which one is there"
        return found

    @property
    def instant_ns(self) -> int:
        """When both had decided, where both did."""
        return max(each.instant_ns for each in (self.reference, self.other) if each is not None)


@record
class Comparison:
    """The outcome: pairs of equal decisions, and the differences by time.

    Attributes:
        pairs: (reference, other), at their own instants.
        reference_count, other_count: how many decisions each run has.
    """

    pairs: tuple[tuple[Decision, Decision], ...]
    differences: tuple[Difference, ...]
    reference_count: int
    other_count: int

    @property
    def delays_ns(self) -> tuple[int, ...]:
        """How much later than the reference the other run decided the same, sorted."""
        return tuple(sorted(other.instant_ns - reference.instant_ns for reference, other in self.pairs))


def compare_decisions(
    reference: Sequence[Decision], other: Sequence[Decision], *, frames: Mapping[str, int] | None = None,
    late_ns: int | None = None,
) -> Comparison:  # fmt: skip
    """Compare two runs.

    Args:
        frames: the length of the base bars of each symbol, nanoseconds; a minute for the others. Two instants of one
            bar are the same bar.
        late_ns: how far apart in time the same decision of one bar may be; None for however far.
    """
    lengths = frames or {}
    left, right = streams_of(reference), streams_of(other)
    pairs: list[tuple[Decision, Decision]] = []
    differences: list[Difference] = []
    for stream in sorted(left.keys() | right.keys()):
        frame_ns = lengths.get(stream[0], MINUTE_NS)
        found = _Alignment(stream, left.get(stream, []), right.get(stream, []), frame_ns).differences(pairs, late_ns)
        differences += found
    differences.sort(key=lambda each: (each.bar_ns, each.decision.instant_ns, each.decision.stream))
    return Comparison(
        pairs=tuple(sorted(pairs, key=lambda pair: (pair[0].instant_ns, pair[0].stream))),
        differences=tuple(differences), reference_count=len(reference), other_count=len(other),
    )  # fmt: skip


class _Alignment:
    """The decisions of one stream, matched step by step."""

    def __init__(self, stream: Stream, left: list[Decision], right: list[Decision], frame_ns: int) -> None:
        self._left, self._right = left, right
        self._frame_ns = frame_ns
        self._left_bars = [each.instant_ns - each.instant_ns % frame_ns for each in left]
        self._right_bars = [each.instant_ns - each.instant_ns % frame_ns for each in right]
        self._left_contents = [each.content for each in left]
        self._right_contents = [each.content for each in right]

    def differences(self, pairs: list[tuple[Decision, Decision]], late_ns: int | None) -> list[Difference]:
        """The differences of the stream; its pairs are added to `pairs`."""
        found: list[Difference] = []
        free_left, free_right = set(range(len(self._left))), set(range(len(self._right)))
        for i, j in self._equal():
            free_left.discard(i)
            free_right.discard(j)
            if late_ns is not None and abs(self._left[i].instant_ns - self._right[j].instant_ns) > late_ns:
                found.append(self._between(i, j, MOVED))
            else:
                pairs.append((self._left[i], self._right[j]))
        for matches in (self._reordered, self._other_value, self._other_action, self._elsewhere, self._alike):
            for i, j in self._matched(sorted(free_left), sorted(free_right), matches):
                free_left.discard(i)
                free_right.discard(j)
                found.append(self._between(i, j))
        found += [self._alone(MISSING, self._left[i], None, self._left_bars[i]) for i in sorted(free_left)]
        found += [self._alone(EXTRA, None, self._right[j], self._right_bars[j]) for j in sorted(free_right)]
        return found

    def _equal(self) -> Iterable[tuple[int, int]]:
        """The longest runs of the same decisions at the same bars, in order."""
        left = list(zip(self._left_bars, self._left_contents, strict=True))
        right = list(zip(self._right_bars, self._right_contents, strict=True))
        # Equal beginnings and ends are nearly everything, and finding them costs nothing.
        first = 0
        while first < min(len(left), len(right)) and left[first] == right[first]:
            yield first, first
            first += 1
        last = 0
        while last < min(len(left), len(right)) - first and left[-1 - last] == right[-1 - last]:
            last += 1
            yield len(left) - last, len(right) - last
        matcher = SequenceMatcher(
            None, left[first : len(left) - last], right[first : len(right) - last], autojunk=False
        )
        for block in matcher.get_matching_blocks():
            for step in range(block.size):
                yield first + block.a + step, first + block.b + step

    # -- the rules by which two decisions belong together though they differ, best first -------------

    def _reordered(self, i: int, j: int) -> int | None:
        same = self._left_bars[i] == self._right_bars[j] and self._left_contents[i] == self._right_contents[j]
        return 0 if same else None

    def _other_value(self, i: int, j: int) -> int | None:
        same = self._left_bars[i] == self._right_bars[j] and self._key(self._left[i]) == self._key(self._right[j])
        return 0 if same else None

    def _other_action(self, i: int, j: int) -> int | None:
        left, right = self._left[i], self._right[j]
        same = self._left_bars[i] == self._right_bars[j] and left.participant == right.participant
        return 0 if same and left.action == right.action else None

    def _elsewhere(self, i: int, j: int) -> int | None:
        return self._distance(i, j, _SAME_WITHIN) if self._left_contents[i] == self._right_contents[j] else None

    def _alike(self, i: int, j: int) -> int | None:
        same = self._key(self._left[i]) == self._key(self._right[j])
        return self._distance(i, j, _ALIKE_WITHIN) if same else None

    def _distance(self, i: int, j: int, most: int) -> int | None:
        apart = abs(self._left_bars[i] - self._right_bars[j]) // self._frame_ns
        return apart if apart <= most else None

    @staticmethod
    def _key(decision: Decision) -> tuple[Any, ...]:
        return decision.participant, decision.action, decision.side

    def _matched(
        self, left: list[int], right: list[int], distance: Callable[[int, int], int | None]
    ) -> list[tuple[int, int]]:
        """Pairs of what a rule lets belong together: nearest first, then in order; each once."""
        near = []
        bars = [self._right_bars[j] for j in right]  # in order, as a journal is
        reach_ns = _SAME_WITHIN * self._frame_ns
        for i in left:
            bar_ns = self._left_bars[i]
            for j in right[bisect_left(bars, bar_ns - reach_ns) : bisect_right(bars, bar_ns + reach_ns)]:
                apart = distance(i, j)
                if apart is not None:
                    near.append((apart, i, j))
        taken_left: set[int] = set()
        taken_right: set[int] = set()
        found = []
        for _, i, j in sorted(near):
            if i not in taken_left and j not in taken_right:
                taken_left.add(i)
                taken_right.add(j)
                found.append((i, j))
        return sorted(found)

    def _between(self, i: int, j: int, kind: str = "") -> Difference:
        left, right = self._left[i], self._right[j]
        fields = [
            name
            for name, one, two in zip(COMPARED, self._left_contents[i], self._right_contents[j], strict=True)
            if one != two
        ]
        bar_ns = min(self._left_bars[i], self._right_bars[j])
        if self._left_bars[i] != self._right_bars[j] or kind == MOVED:
            return Difference(kind=MOVED, reference=left, other=right, fields=("instant", *fields), bar_ns=bar_ns)
        kind = FIELD if fields else REORDERED
        return Difference(kind=kind, reference=left, other=right, fields=tuple(fields), bar_ns=bar_ns)

    @staticmethod
    def _alone(kind: str, reference: Decision | None, other: Decision | None, bar_ns: int) -> Difference:
        return Difference(kind=kind, reference=reference, other=other, fields=(), bar_ns=bar_ns)
