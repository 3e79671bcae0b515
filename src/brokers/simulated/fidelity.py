"""Where a simulation is coarser than a venue, in sentences for whoever reads the results. Pure."""

from src.brokers.simulated.full_venue import FullVenue
from src.brokers.simulated.quotes import QuoteVenue
from src.brokers.simulated.venue import Venue
from src.core.timeframe import format_duration

__all__ = ["fidelity_of"]


def fidelity_of(venue: Venue) -> dict[str, str]:
    """A sentence by rule."""
    out: dict[str, str] = {}
    of_bars = not isinstance(venue, QuoteVenue)
    for desk in venue.desks:
        latency, jitter = desk.costs.latency_ns, desk.costs.latency_jitter_ns
        if of_bars and (latency or jitter) and not venue.latency_ns[desk.symbol]:
            words = "a delay that" if jitter else format_duration(latency)
            out["latency"] = f"{words} is shorter than the base bars and counted as 0"
        side = desk.costs.sides.get(desk.symbol)
        if side is not None and side.note:
            out[f"prices of {desk.symbol}"] = side.note
    if isinstance(venue, QuoteVenue) and (notes := venue.notes()):
        out["prices"] = "; ".join(notes)
    return out if not isinstance(venue, FullVenue) else {**out, **venue.fidelity()}
