"""The local venue's own clock: it stands, is set, or runs at any pace. Any thread.

It never waits: the venue looks at it when somebody asks something, and then lets happen what has become due.
"""

from src.core.errors import ConfigError
from src.core.sync import Lock, wall_ns

__all__ = ["VenueClock"]


class VenueClock:
    """Venue time.

    Args:
        start_ns: the instant at which it starts.
        speed: seconds of the venue for each real second, from now on; 0 lets it stand.
    """

    def __init__(self, start_ns: int, speed: float = 0.0) -> None:
        self._lock = Lock()
        self._origin_ns = start_ns
        self._started_ns = wall_ns()
        self._check(speed)
        self._speed = speed
        self._pace = speed or 1.0

    @property
    def speed(self) -> float:
        """Seconds of the venue for each real second now; 0 while it stands."""
        return self._speed

    def now_ns(self) -> int:
        """The venue's present."""
        with self._lock:
            return self._now()

    def hold(self) -> None:
        """Stand still at the present."""
        with self._lock:
            self._rebase(self._now())
            self._speed = 0.0

    def go_on(self, speed: float | None = None) -> None:
        """Run from the present on.

        Args:
            speed: another pace; by default that of before.
        """
        self._check(speed or 1.0)
        with self._lock:
            self._rebase(self._now())
            self._pace = speed or self._pace
            self._speed = self._pace

    def advance_to(self, instant_ns: int) -> None:
        """Set the present to a later instant; a clock that runs goes on from there.

        Raises:
            ConfigError: the instant has passed.
        """
        with self._lock:
            now = self._now()
            if instant_ns < now:
                raise ConfigError(f"the venue's time is {now} and cannot go back to {instant_ns}")
            self._rebase(instant_ns)

    def _now(self) -> int:
        return self._origin_ns + int((wall_ns() - self._started_ns) * self._speed)

    def _rebase(self, instant_ns: int) -> None:
        self._origin_ns, self._started_ns = instant_ns, wall_ns()

    @staticmethod
    def _check(speed: float) -> None:
        if not speed >= 0:
            raise ConfigError(f"expected a pace of the venue's clock of 0 or more, found {speed:g}")
