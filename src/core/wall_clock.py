"""WallClock: the clock that really waits.

Participants run on OS threads and take turns: one decides at a time, as under every other clock, so that there is no
interleaving here that another clock cannot have. A waiting participant asks its wake predicate every `poll_ns`.
"""

from collections.abc import Callable

from src.core.clock import Participant
from src.core.errors import ConfigError, Stopping
from src.core.sync import Event, Lock, current_participant, start_thread, wall_ns

__all__ = ["WallClock"]


class WallClock:
    """See `src.core.clock.Clock`.

    Args:
        speed: seconds of this clock for each real second; 60 lets an hour pass in a minute.
        origin_ns: the instant at which the clock starts, the present by default.
    """

    def __init__(self, speed: float = 1.0, origin_ns: int | None = None) -> None:
        if speed <= 0:
            raise ConfigError(f"expected a positive speed of the clock, found {speed:g}")
        self._speed = speed
        self._started_ns = wall_ns()
        self._origin_ns = self._started_ns if origin_ns is None else origin_ns
        self._turn = Lock()
        self._stopping = Event()
        self._seats: dict[str, tuple[Participant, Callable[[], None]]] = {}
        self._left: set[str] = set()
        self._failure = Lock()
        self._error: BaseException | None = None
        self.stopped_because: str | None = None

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self._origin_ns + int((wall_ns() - self._started_ns) * self._speed)

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        """See `Clock.spawn`."""
        if participant.name in self._seats:
            raise ConfigError(f"the participant {participant.name} is registered already")
        self._seats[participant.name] = (participant, run)

    def drive(self) -> None:
        """See `Clock.drive`."""
        # Started one after the other in key order, each after the one before has had its first turn: the turn lock is
        # taken here for the thread that is to run.
        ordered = sorted(self._seats.values(), key=lambda seat: (seat[0].phase, seat[0].rank, seat[0].name))
        threads = []
        for participant, run in ordered:
            self._turn.acquire()
            threads.append(start_thread(participant.name, self._body(participant.name, run)))
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def wait_for_next_step(self, participant: str) -> bool:
        """See `Clock.wait_for_next_step`."""
        seat, _ = self._seats[participant]
        poll_s = seat.poll_ns / 1e9 / self._speed
        self._turn.release()
        held = False
        try:
            while not self._stopping.is_set():
                if self._asks(seat):
                    self._turn.acquire()
                    held = True
                    if self._stopping.is_set():
                        break
                    # Asked again with the turn held: another participant may have done the work meanwhile.
                    if self._asks(seat):
                        return True
                    held = False
                    self._turn.release()
                self._stopping.wait(poll_s)
        finally:
            # Whatever happened, also in a predicate: the caller goes on with the turn and gives it back when it leaves.
            if not held:
                self._turn.acquire()
        return False

    def _asks(self, seat: Participant) -> bool:
        due = seat.wake.next_due_ns() if seat.timed else None
        return (due is not None and due <= self.now_ns()) or seat.wake()

    def sleep(self, duration_ns: int) -> None:
        """See `Clock.sleep`; the turn is given away meanwhile."""
        self._turn.release()
        stopped = self._stopping.wait(duration_ns / 1e9 / self._speed)
        self._turn.acquire()
        if stopped:
            raise Stopping

    def leave(self, participant: str) -> None:
        """See `Clock.leave`."""
        if participant not in self._left:
            self._left.add(participant)
            self._turn.release()

    def stop(self, reason: str) -> None:
        """See `Clock.stop`."""
        if self.stopped_because is None:
            self.stopped_because = reason
        self._stopping.set()

    def fail(self, error: BaseException) -> None:
        """See `Clock.fail`."""
        with self._failure:
            if self._error is None:
                self._error = error
        self._stopping.set()

    def _body(self, name: str, run: Callable[[], None]) -> Callable[[], None]:
        def body() -> None:
            current_participant.set(name)
            try:
                run()
            except Stopping:
                pass
            except BaseException as error:  # kept and raised again by `drive`
                self.fail(error)
            finally:
                self.leave(name)

        return body
