"""Probe: where the decorators around the ports report, and where displays and files read.

Each participant's thread writes its own track; `statistics` and `tracks` may be read by any thread at any time. A probe
reads the real clock and nothing else: it decides nothing, and no result depends on it. A run without a probe contains
none of this.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from src.backtesting.tracing.statistics import ParticipantTimes, ThreadStatistics
from src.backtesting.tracing.track import Kind, Room, Track
from src.core.sync import current_participant, monotonic_ns

__all__ = ["DEFAULT_SPANS", "Probe"]

#: The spans that a trace keeps unless told otherwise: about 200 MB of memory and as much on disk.
DEFAULT_SPANS = 1_000_000


class _NoSpan:
    """What a call outside of every participant enters: nothing is measured."""

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return


class _OpenSpan:
    """A span that ends with its `with` block."""

    __slots__ = ("_track",)

    def __init__(self, track: Track) -> None:
        self._track = track

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        self._track.end()


_NOTHING = _NoSpan()
_NO_DETAILS: Mapping[str, str] = {}


class Probe:
    """Collects the spans of one run and adds them up.

    Args:
        max_spans: the spans that are kept for a trace, 0 for sums alone. The first ones are kept; the sums count all.
        flag_overruns: whether a turn longer than its participant's poll is an overrun; meant for runs in real time.
        reading: real nanoseconds.

    Attributes:
        began_ns, ended_ns: readings at the start and the end of driving, None before.
        steps, step_ns: market steps and how long they took.
    """

    def __init__(
        self, *, max_spans: int = 0, flag_overruns: bool = False, reading: Callable[[], int] = monotonic_ns
    ) -> None:
        self.max_spans = max_spans
        self.began_ns: int | None = None
        self.ended_ns: int | None = None
        self.steps = 0
        self.step_ns = 0
        self.flag_overruns = flag_overruns
        self._reading = reading
        self._room = Room(max_spans)
        self._now_ns: Callable[[], int] = _at_zero
        self._tracks: dict[str, Track] = {}
        #: When the last turn or step ended, and in whose thread.
        self._last: tuple[int, Track | None] | None = None

    # -- what the decorators report ----------------------------------------------------------------

    def bind(self, now_ns: Callable[[], int]) -> None:
        """Say where the virtual instant is read: once for each turn, because it does not move inside one."""
        self._now_ns = now_ns

    def begin_run(self) -> None:
        """Driving begins."""
        self.began_ns = self._reading()

    def end_run(self) -> None:
        """Driving has ended."""
        self.ended_ns = self._reading()

    def add(self, participant: str, poll_ns: int | None = None) -> Track:
        """The track of a participant, made if need be; a helper thread has the poll of whoever starts it."""
        if poll_ns is None:
            parent = self._tracks.get(current_participant.get())
            poll_ns = 0 if parent is None else parent.poll_ns
        if participant not in self._tracks:  # who comes back goes on with the track that it had
            limit_ns = poll_ns if self.flag_overruns else 0
            self._tracks[participant] = Track(participant, len(self._tracks), limit_ns, self._room, self._reading)
        return self._tracks[participant]

    def track(self) -> Track | None:
        """The track of the calling participant, None when the caller is none."""
        return self._tracks.get(current_participant.get())

    def begin_turn(self, track: Track) -> None:
        """The first turn of a track."""
        self._count_hand_over(track, track.begin_turn(self._now_ns()))

    def end_turn(self, track: Track) -> None:
        """The last turn of a track; nothing when no turn is open."""
        if track.in_turn:
            now_ns, _ = track.end_turn()
            self._last = (now_ns, track)

    def waiting(self, track: Track, kind: Kind, name: str, wait: Callable[[], bool], what: str = "") -> bool:
        """End the turn, wait, begin the next turn; what `wait` returns. Spans inside the turn go on in the next one."""
        now_ns, suspended = track.end_turn()
        track.begin_wait(kind, name, now_ns, {"for": what} if what else _NO_DETAILS)
        self._last = (now_ns, track)
        try:
            return wait()
        finally:
            self._count_hand_over(track, track.begin_turn(self._now_ns(), suspended))

    def span(self, kind: Kind, name: str, details: Mapping[str, str] = _NO_DETAILS) -> "_NoSpan | _OpenSpan":
        """A span of the calling participant for a `with` block.

        What a strategy or the broker is called for between two turns is nobody's: the clock asks for somebody whether
        there is something to do, in the thread that happens to perform the step.
        """
        track = self._tracks.get(current_participant.get())
        if track is None or not (track.in_turn or kind is Kind.LOCK):
            return _NOTHING
        track.begin(kind, name, details)
        return _OpenSpan(track)

    def step(self, instant_ns: int, advance: Callable[[int], Sequence[str]]) -> Sequence[str]:
        """Measure a market step, on the track of the thread that performs it; what `advance` returns."""
        # A clock may also step in a thread that is no participant; that one gets a track then.
        track = self.track() or self.add(current_participant.get())
        began_ns = track.begin(Kind.STEP, "step", virtual_ns=instant_ns)
        try:
            return advance(instant_ns)
        finally:
            ended_ns = track.end()
            self.steps += 1
            self.step_ns += ended_ns - began_ns
            self._last = (ended_ns, track)

    def _count_hand_over(self, track: Track, now_ns: int) -> None:
        last = self._last
        if last is not None and last[1] is not track:
            track.handed_over(max(0, now_ns - last[0]))

    # -- what displays and files read --------------------------------------------------------------

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks in the order of registration."""
        return tuple(self._tracks.values())

    @property
    def dropped_spans(self) -> int:
        """Spans that ended after the buffer was full, 0 when none were wanted."""
        return self._room.dropped if self.max_spans else 0

    def statistics(self, *, percentiles: bool = True) -> ThreadStatistics:
        """The sums so far.

        Args:
            percentiles: whether median and p99 of the hand-overs are worked out; they look at each one again, which a
                display need not do several times a second.
        """
        tracks = self.tracks
        median_ns, p99_ns = _percentiles(tracks) if percentiles else (None, None)
        elapsed_ns = 0
        if self.began_ns is not None:
            elapsed_ns = (self._reading() if self.ended_ns is None else self.ended_ns) - self.began_ns
        return ThreadStatistics(
            elapsed_ns=elapsed_ns,
            steps=self.steps,
            step_ns=self.step_ns,
            hand_overs=sum(len(track.hand_overs) for track in tracks),
            hand_over_ns=sum(track.hand_over_ns for track in tracks),
            hand_over_median_ns=median_ns,
            hand_over_p99_ns=p99_ns,
            kept_spans=sum(len(track.spans) for track in tracks),
            dropped_spans=self.dropped_spans,
            participants=tuple(_times(track) for track in tracks),
        )


def _times(track: Track) -> ParticipantTimes:
    own_ns = track.own_ns
    return ParticipantTimes(
        name=track.name,
        turns=track.turns,
        busy_ns=track.busy_ns,
        waiting_ns=own_ns[Kind.BARRIER] + own_ns[Kind.WAIT],
        step_ns=own_ns[Kind.STEP],
        bot_ns=own_ns[Kind.TURN],
        strategy_ns=own_ns[Kind.STRATEGY],
        broker_ns=own_ns[Kind.BROKER],
        lock_wait_ns=own_ns[Kind.LOCK],
        hand_overs=len(track.hand_overs),
        hand_over_ns=track.hand_over_ns,
        longest_turn_ns=track.longest_ns,
        longest_turn_at_ns=track.longest_at_ns,
        overruns=track.overrun_count,
    )


def _percentiles(tracks: tuple[Track, ...]) -> tuple[int | None, int | None]:
    # Copies: an array whose memory is shared could not grow under the thread that writes it.
    parts = [np.frombuffer(track.hand_overs[:], dtype=np.int64) for track in tracks if len(track.hand_overs)]
    if not parts:
        return None, None
    values = np.concatenate(parts)
    # An observed value, not one between two.
    median, p99 = np.quantile(values, (0.5, 0.99), method="inverted_cdf")
    return int(median), int(p99)


def _at_zero() -> int:
    return 0
