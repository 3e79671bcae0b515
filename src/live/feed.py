"""Feed: one thread that asks the venue for everybody, and shows what is new in a turn of its own.

It waits for the network without a turn; while somebody keeps the turn for long, another thread asks in its place
(`look_after`), so that nothing stays unprotected. In its turn it lets become visible what has arrived, writes it down,
settles the journal, and asks everybody who waits whether there is something to do, so that workers whose bars have
closed at one instant go on in configured order.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from src.brokers.ccxt_feed import OddBar
from src.core.broker import Broker
from src.core.clock import Participant
from src.core.errors import BrokerContractError, BrokerUnavailable, Stopping
from src.core.journal import Journal
from src.core.records import OrderRequest
from src.core.sync import Lock
from src.live.clock import LiveClock
from src.live.tape import Tape
from src.live.world import Change, World

__all__ = ["FEED", "Feed", "FeedListener", "LiveSource", "OddBars", "Periodic"]

FEED = "feed"

#: After so many polls in which the feed had no turn the venue is asked without one.
_PATIENCE_POLLS = 3


class OddBars(Protocol):
    """Bars that came too late to be shown, and those that were told otherwise after they had been shown.

    Whoever takes one removes it.
    """

    late: deque[OddBar]
    revised: deque[OddBar]


class LiveSource(Broker, Protocol):
    """A broker that somebody has to bring up to date."""

    @property
    def feed(self) -> OddBars:
        """The prices, with what came too late."""
        ...

    @property
    def skew_ns(self) -> int | None:
        """How far the venue's clock is ahead of the bot's, as measured last; None where nobody measures."""
        ...

    @property
    def differing(self) -> tuple[str, ...]:
        """Sentences about rules that the configuration has otherwise than the venue."""
        ...

    def start(
        self, known: Iterable[OrderRequest] = (), since_ns: int | None = None, sent_ns: Mapping[str, int] | None = None
    ) -> None:
        """See the broker's own; once, before everything else."""
        ...

    def refresh(self) -> None:
        """Ask the venue for everything; by one thread.

        Raises:
            BrokerUnavailable: no answer; what was shown before stays.
        """
        ...


class FeedListener(Protocol):
    """Told how it goes."""

    def feed_ok(self, instant_ns: int) -> None:
        """The venue answered; what it said is visible since this instant."""
        ...

    def feed_failed(self, error: BaseException) -> None:
        """It did not."""
        ...


class Periodic:
    """A wake predicate that is true every so often, see `src.core.clock.Wake`.

    Args:
        every_ns: the time between two beginnings.
        now_ns: the present.
    """

    def __init__(self, every_ns: int, now_ns: Callable[[], int]) -> None:
        self._every_ns = every_ns
        self._now_ns = now_ns
        self._due_ns = 0

    def begin(self) -> None:
        """It has begun now."""
        self._due_ns = self._now_ns() + self._every_ns

    def __call__(self) -> bool:
        """See `Wake`."""
        return self._now_ns() >= self._due_ns

    def next_due_ns(self) -> int:
        """See `Wake`."""
        return self._due_ns


class Feed:
    """See the module's text.

    Args:
        source: who is asked.
        poll_ns: how often, by the bot's clock.
        listener: told how it goes.
        let_see: lets a change become visible.
        seen: called in the feed's turn after something became visible.
        arrives: called with each change and the instant before it becomes visible; may change it.
        resumed: what the source shows already becomes visible before anybody goes on.
    """

    def __init__(
        self, source: LiveSource, world: World, clock: LiveClock, tape: Tape, journal: Journal, poll_ns: int,
        listener: FeedListener, *, let_see: Callable[[Change, int], None], seen: Callable[[Change], None],
        arrives: Callable[[Change, int], None] = lambda change, now_ns: None, resumed: bool = False,
    ) -> None:  # fmt: skip
        self._source = source
        self._world = world
        self._clock = clock
        self._tape = tape
        self._journal = journal
        self._listener = listener
        self._let_see = let_see
        self._seen = seen
        self._arrives = arrives
        self._resumed = resumed
        self._wake = Periodic(poll_ns, clock.now_ns)
        self._poll_ns = poll_ns
        #: Held while the venue is asked, and while what it said is taken over.
        self._asking = Lock()
        #: When it was asked last, by the bot's clock as it moves; None before the feed runs.
        self._asked_ns: int | None = None

    def start(self) -> None:
        """Register it; once, before the clock runs."""
        me = Participant(name=FEED, phase=0, rank=0, wake=self._wake, timed=True, poll_ns=self._poll_ns)
        self._clock.spawn_aside(me, self._run)

    def _run(self) -> None:
        clock = self._clock
        try:
            if self._resumed:
                self.publish()
            while clock.wait_for_next_step(FEED):
                self._wake.begin()
                try:
                    clock.outside(self._refresh)
                except (BrokerUnavailable, BrokerContractError) as error:
                    # What became of orders is told all the same; without prices nobody decides anything.
                    self.publish(prices=False)
                    self._listener.feed_failed(error)
                    continue
                self.publish()
                self._listener.feed_ok(clock.now_ns())
        except Stopping:
            pass
        except BaseException as error:  # without it the bot is blind, so this ends the run
            clock.fail_outside(error)
        finally:
            clock.leave(FEED)

    def _refresh(self) -> None:
        with self._asking:
            self._asked_ns = self._clock.present_ns()
            self._source.refresh()

    def look_after(self) -> None:
        """Ask the venue while the feed waits for its turn, so that what has filled gets its stop all the same.

        Called again and again by a thread that needs no turn; does nothing while the feed gets along. What it finds
        becomes visible with the feed's next turn.
        """
        asked_ns, now_ns = self._asked_ns, self._clock.present_ns()
        if asked_ns is None or now_ns - asked_ns < _PATIENCE_POLLS * self._poll_ns or self._clock.is_void:
            return
        if self._asking.acquire(blocking=False):
            try:
                self._asked_ns = now_ns
                self._source.refresh()
            except Exception as error:  # nobody's turn: the feed's own next question will meet it again
                self._listener.feed_failed(error)
            finally:
                self._asking.release()

    def publish(self, *, prices: bool = True) -> None:
        """Let everything that the source shows become visible; in a turn.

        Args:
            prices: whether quotes and bars do too.
        """
        now_ns = self._clock.now_ns()
        if self._clock.is_void:
            return
        for what, values in _notes_of(self._source):
            self._tape.note(now_ns, what, **values)
        with self._asking:
            change = self._world.collect(self._source, prices=prices)
        self._arrives(change, now_ns)
        if change:
            self._tape.world(now_ns, change)
            self._let_see(change, now_ns)
            self._journal.settle(now_ns)
            self._seen(change)
        self._tape.commit()
        self._clock.ask_all()


def _notes_of(source: LiveSource) -> list[tuple[str, dict[str, Any]]]:
    """Bars that came too late to be shown, and those that were told otherwise afterwards."""
    found = []
    for what, odd in (("late_bar", source.feed.late), ("revised_bar", source.feed.revised)):
        while odd:
            bar = odd.popleft()
            values = {"symbol": bar.symbol, "timeframe_ns": bar.timeframe_ns, "open_ns": bar.open_ns}
            found.append((what, {**values, "values": list(bar.values)}))
    return found
