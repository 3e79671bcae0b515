"""How fast virtual time may run: real delays between market steps, outside everything that decides.

Called by whoever performs the step; `wake_up` may be called from any thread. No mode changes a result.
"""

import math
from enum import StrEnum

from src.core.errors import ConfigError
from src.core.sync import Event
from src.core.words import meant

__all__ = ["Pacer", "TimeMode", "pace_named", "pacer_for"]


class TimeMode(StrEnum):
    """No delay, 0.1 s or 1 s of real time for each market step."""

    MAX_SPEED = "MAX_SPEED"
    FAST = "FAST"
    REALTIME = "REALTIME"


_STEP_SECONDS = {TimeMode.MAX_SPEED: 0.0, TimeMode.FAST: 0.1, TimeMode.REALTIME: 1.0}


class Pacer:
    """Waits before a market step.

    Args:
        step_s: real seconds for each step.
        market_factor: seconds of market time for each real second, 0 for none of it; used instead of `step_s`.
    """

    def __init__(self, step_s: float = 0.0, market_factor: float = 0.0) -> None:
        self._step_s = step_s
        self._factor = market_factor
        self._interrupt = Event()

    @property
    def name(self) -> str:
        """What `pace_named` reads back: a time mode, a factor such as `60x`, or seconds for each step."""
        if self._factor:
            whole = float(self._factor).is_integer()
            return f"{int(self._factor) if whole else self._factor!r}x"
        named = [mode.value for mode, seconds in _STEP_SECONDS.items() if seconds == self._step_s]
        return named[0] if named else f"{self._step_s:g} s a step"

    def delay_s(self, from_ns: int, to_ns: int, *, market: bool) -> float:
        """The real seconds that a step from one instant to the other is to take.

        With a pace of market time a step of timers takes its share of it; a delay for each step is one for each market
        step.
        """
        if self._factor:
            return (to_ns - from_ns) / 1e9 / self._factor
        return self._step_s if market else 0.0

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        """See `Gate.before_step`: let the step's real time pass."""
        seconds = self.delay_s(now_ns, at_ns, market=market)
        if seconds > 0:
            self._interrupt.wait(seconds)

    def wake_up(self) -> None:
        """End the present and all further waiting, because the run is to stop."""
        self._interrupt.set()


def pacer_for(mode: TimeMode, pace: str | None = None) -> Pacer | None:
    """The pacer of a time mode, or of a pace such as `60x` of market time; None when nothing is to be waited for.

    Raises:
        ConfigError: the pace is not a positive number followed by x.
    """
    if pace is not None:
        try:
            factor = float(pace.removesuffix("x"))
        except ValueError:
            factor = 0.0
        if not 0 < factor < math.inf or not pace.endswith("x"):  # no comparison holds for NaN
            raise ConfigError(f"expected a pace such as 60x, found {pace!r}")
        return Pacer(market_factor=factor)
    seconds = _STEP_SECONDS[mode]
    return Pacer(seconds) if seconds else None


def pace_named(pace: str | TimeMode | None) -> Pacer | None:
    """The pacer of a word: a time mode in any case, a pace such as `60x`, None or MAX_SPEED for no delay.

    Raises:
        ConfigError: it is none of these.
    """
    if pace is None:
        return None
    word = pace.strip()
    if word.upper() in TimeMode.__members__:
        return pacer_for(TimeMode[word.upper()])
    try:
        return pacer_for(TimeMode.MAX_SPEED, word)
    except ConfigError:
        hint = meant(word, TimeMode)
        raise ConfigError(
            f"expected a pace such as 60x, or one of {', '.join(TimeMode)}, found {pace!r}{hint}"
        ) from None
