"""One participant's share of a trace: the spans of its thread and what they add up to.

A track is written by the thread of its participant alone and read by anybody, so it needs no lock. Spans nest: what a
span contains is taken off its own time, so that the sums of all kinds add up to the whole. Real time comes in as
readings; what is virtual is only carried along.
"""

from array import array
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

__all__ = ["Kind", "Overrun", "Room", "Span", "Track"]

#: The most overruns that a track remembers one by one; it counts all.
MAX_OVERRUNS = 10_000


class Kind(IntEnum):
    """What a span is time of; the first four lie inside a turn, `STEP` and the waits between two turns."""

    TURN = 0
    STRATEGY = 1
    BROKER = 2
    LOCK = 3
    STEP = 4
    BARRIER = 5
    WAIT = 6


class Span(NamedTuple):
    """A finished span; real nanoseconds of the process's monotonic clock, `virtual_ns` UTC at its begin."""

    kind: Kind
    name: str
    begin_ns: int
    end_ns: int
    virtual_ns: int
    details: Mapping[str, str]


class Overrun(NamedTuple):
    """A turn that took longer than its participant's poll."""

    end_ns: int
    duration_ns: int
    virtual_ns: int


class Room:
    """How many more spans may be kept, of all tracks together."""

    __slots__ = ("dropped", "left")

    def __init__(self, spans: int) -> None:
        self.left = spans
        self.dropped = 0


class _Open:
    """A span that has begun."""

    __slots__ = ("begin_ns", "details", "inner_ns", "kind", "name", "virtual_ns")

    def __init__(self, kind: Kind, name: str, begin_ns: int, virtual_ns: int, details: Mapping[str, str]) -> None:
        self.kind = kind
        self.name = name
        self.begin_ns = begin_ns
        self.virtual_ns = virtual_ns
        self.details = details
        self.inner_ns = 0


_NO_DETAILS: Mapping[str, str] = {}


class Track:
    """The spans and sums of one participant.

    Args:
        name: the participant's.
        order: where its track stands among the others.
        poll_ns: a longer turn is an overrun, 0 for no such limit.
        room: the spans that may still be kept.
        reading: real nanoseconds.

    Attributes:
        spans: what was kept, in the order of ending.
        own_ns: time of each `Kind` without what lies inside its spans.
        turns, busy_ns: finished turns and how long they took.
        longest_ns, longest_at_ns: the longest turn and its virtual instant.
        hand_overs: real nanoseconds of each hand-over to this participant.
    """

    def __init__(self, name: str, order: int, poll_ns: int, room: Room, reading: Callable[[], int]) -> None:
        self.name = name
        self.order = order
        self.poll_ns = poll_ns
        self.spans: list[Span] = []
        self.own_ns = [0] * len(Kind)
        self.turns = 0
        self.busy_ns = 0
        self.longest_ns = 0
        self.longest_at_ns: int | None = None
        self.hand_overs = array("q")
        self.hand_over_ns = 0
        self.overruns: list[Overrun] = []
        self.overrun_count = 0
        self._room = room
        self._reading = reading
        self._open: list[_Open] = []
        self._virtual_ns = 0

    @property
    def in_turn(self) -> bool:
        """Whether a turn is open."""
        return bool(self._open) and self._open[0].kind is Kind.TURN

    @property
    def turn_at_ns(self) -> int | None:
        """The virtual instant of its last turn, the open one included; None before the first."""
        return self._virtual_ns if self.turns or self.in_turn else None

    def begin(
        self, kind: Kind, name: str, details: Mapping[str, str] = _NO_DETAILS, virtual_ns: int | None = None
    ) -> int:
        """Open a span inside whatever is open, at the virtual instant of the turn or another; the reading."""
        now_ns = self._reading()
        at_ns = self._virtual_ns if virtual_ns is None else virtual_ns
        self._open.append(_Open(kind, name, now_ns, at_ns, details))
        return now_ns

    def end(self) -> int:
        """Close the innermost span; the reading at which it ended."""
        now_ns = self._reading()
        self._close(now_ns)
        return now_ns

    def begin_turn(self, virtual_ns: int, suspended: "list[_Open] | None" = None) -> int:
        """Close the wait, open a turn, and in it again what the wait had interrupted; the reading."""
        now_ns = self._reading()
        while self._open:
            self._close(now_ns)
        self._virtual_ns = virtual_ns
        self._open.append(_Open(Kind.TURN, "turn", now_ns, virtual_ns, _NO_DETAILS))
        for each in suspended or ():
            self._open.append(_Open(each.kind, each.name, now_ns, virtual_ns, each.details))
        return now_ns

    def end_turn(self) -> "tuple[int, list[_Open]]":
        """Close everything; the reading, and the spans inside the turn that were open."""
        now_ns = self._reading()
        suspended = [each for each in self._open if each.kind is not Kind.TURN]
        while self._open:
            self._close(now_ns)
        return now_ns, suspended

    def begin_wait(self, kind: Kind, name: str, now_ns: int, details: Mapping[str, str]) -> None:
        """Open a wait at the reading that ended the turn."""
        self._open.append(_Open(kind, name, now_ns, self._virtual_ns, details))

    def handed_over(self, duration_ns: int) -> None:
        """Count a hand-over to this participant."""
        self.hand_overs.append(duration_ns)
        self.hand_over_ns += duration_ns

    def _close(self, now_ns: int) -> None:
        span = self._open.pop()
        duration_ns = now_ns - span.begin_ns
        # A lock waited for between two turns is time of the step or the wait that it lies in.
        if span.kind is not Kind.LOCK or self.in_turn:
            self.own_ns[span.kind] += duration_ns - span.inner_ns
            if self._open:
                self._open[-1].inner_ns += duration_ns
        if span.kind is Kind.TURN:
            self._count_turn(span, now_ns, duration_ns)
        room = self._room
        if room.left > 0:
            room.left -= 1
            self.spans.append(Span(span.kind, span.name, span.begin_ns, now_ns, span.virtual_ns, span.details))
        else:
            room.dropped += 1

    def _count_turn(self, turn: _Open, now_ns: int, duration_ns: int) -> None:
        self.turns += 1
        self.busy_ns += duration_ns
        if duration_ns > self.longest_ns or self.longest_at_ns is None:
            self.longest_ns, self.longest_at_ns = duration_ns, turn.virtual_ns
        if 0 < self.poll_ns < duration_ns:
            self.overrun_count += 1
            if len(self.overruns) < MAX_OVERRUNS:
                self.overruns.append(Overrun(now_ns, duration_ns, turn.virtual_ns))
