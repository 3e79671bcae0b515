"""A stop that follows the price at a distance, of a position or of a resting order. Pure.

Within a bar the level of before is tested against the adverse extreme first; then the level follows the favourable
extreme; then the close is tested against the new level, which is certain because the close is last. So no stop moves
by prices of a bar and is then tested against earlier ones of the same bar.
"""

from dataclasses import dataclass

from src.core.book import Book
from src.core.instrument import Instrument
from src.core.records import OrderRequest

__all__ = ["Trail", "follow", "trail_of_order", "trail_of_position"]


@dataclass(frozen=True, slots=True)
class Trail:
    """How far a stop follows: `distance` in price units, or `percent` of the price that it follows."""

    distance: float | None = None
    percent: float | None = None

    def level(self, quote: float, sign: float, instrument: Instrument) -> float:
        """The stop of what profits from rising (sign 1) or falling (-1) prices when the quote stands there."""
        away = self.distance if self.distance is not None else quote * (self.percent or 0.0) / 100.0
        return instrument.round_price(quote - sign * away)


def trail_of_position(request: OrderRequest) -> Trail | None:
    """How the stop of the position that the request opens follows the price; None when it does not."""
    if request.stop_trail_distance is None and request.stop_trail_percent is None:
        return None
    return Trail(request.stop_trail_distance, request.stop_trail_percent)


def trail_of_order(request: OrderRequest) -> Trail:
    """How the trigger of a trailing stop order follows the price."""
    return Trail(request.trail_distance, request.trail_percent)


def follow(book: Book, instrument: Instrument, quote: float) -> bool:
    """Move a position's stop after a quote that would close it; it never moves against the position.

    Returns:
        Whether it moved.
    """
    trail = book.trail
    if trail is None:
        return False
    sign = 1.0 if book.volume > 0 else -1.0
    level = trail.level(quote, sign, instrument)
    if book.stop is not None and sign * (level - book.stop) <= 0:
        return False
    book.protect(stop=level, target=None, kind="trailing")
    return True
