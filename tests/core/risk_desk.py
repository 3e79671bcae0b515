"""A risk manager before a venue: asks, places, and tells the manager what became of it."""

from collections.abc import Mapping
from typing import Any

from src.core.config import RiskConfig
from src.core.records import Side
from src.core.risk_manager import EntryIntent, RiskManager, Verdict
from src.core.session_rules import SessionFilter
from tests.brokers.simulated.venue import Venue

FLAT = [100.0, 100.0, 100.0, 100.0]


def flat(price: float) -> list[float]:
    """A bar that stands at one price."""
    return [price, price, price, price]


class Desk:
    """A risk manager before a venue: asks, places, and tells the manager what became of it."""

    def __init__(self, venue: Venue, sessions: Mapping[str, SessionFilter] | None = None, **limits: Any) -> None:
        limits.setdefault("size", {"volume": 1})
        self.venue = venue
        hedging = venue.config.positions == "hedging"
        config = RiskConfig(**limits)
        self.risk = RiskManager(config, venue.broker, venue.clock, hedging=hedging, sessions=sessions)  # type: ignore[arg-type]  # asked for the time only
        self._number = 0

    def intent(self, side: str = "buy", symbol: str = "AAA", **more: Any) -> EntryIntent:
        """An entry with an identity of its own."""
        self._number += 1
        values = {"client_id": f"c{self._number}", "book": "sma", **more}
        return EntryIntent(side=Side(side), symbol=symbol, **values)

    def enter(self, side: str = "buy", symbol: str = "AAA", **more: Any) -> str:
        """Reserve and place; the code of a refusal, or nothing."""
        intent = self.intent(side, symbol, **more)
        verdict = self.risk.reserve(intent)
        if not verdict.accepted:
            return verdict.code
        request = self.venue.request(
            side, "limit" if intent.price else "market", verdict.volume, symbol=symbol, client_id=intent.client_id,
            book=intent.book, price=intent.price, stop=intent.stop, stop_distance=intent.stop_distance,
            reverse=intent.reverse, stop_cost=verdict.stop_cost,
        )  # fmt: skip
        result = self.venue.broker.place(request)
        if result.accepted:
            self.risk.sent(intent.client_id)
        else:
            self.risk.release(intent.client_id)
        return result.code

    def ask(self, side: str = "buy", symbol: str = "AAA", **more: Any) -> Verdict:
        """The verdict on an entry; its reservation is given back."""
        intent = self.intent(side, symbol, **more)
        verdict = self.risk.reserve(intent)
        self.risk.release(intent.client_id)
        return verdict


def three_symbols(**more: Any) -> Venue:
    """A market of three symbols that stand at 100 for ten minutes."""
    return Venue({symbol: [FLAT] * 12 for symbol in ("AAA", "BBB", "CCC")}, **more)
