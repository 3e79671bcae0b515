"""What of a live run a person hears of: fills, refusals, orders of unknown fate, limits, positions without a stop.

Called in turns; hands values on to alerts and health, which wait for nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from src.brokers.ccxt_order import NAKED
from src.core.broker import Broker
from src.core.journal import JournalRecord
from src.core.records import OrderEvent, OrderState, Position
from src.core.unanswered import UNANSWERED
from src.live.alerts import Alerts, Kind, Level
from src.live.edge_limits import CODES
from src.live.health import Health
from src.live.wire import from_plain

__all__ = ["Telling"]

#: Fills that nobody has wanted: a position that was flattened because its stop was not confirmed, what the venue has
#: closed by force, and what was closed by somebody else.
_LEVELS: dict[str, Level] = {NAKED: Level.CRITICAL, "liquidation": Level.CRITICAL, "foreign": Level.WARNING}

#: What is held back before the limits at the edge are asked, too.
_AT_ONCE = ("stale_price",)


class Telling:
    """See the module's text.

    Args:
        needs_stops: whether a position without a resting stop is worth an alert at once.
    """

    def __init__(self, alerts: Alerts, health: Health, *, needs_stops: bool) -> None:
        self._alerts = alerts
        self._health = health
        self._needs_stops = needs_stops
        self._bare: set[str] = set()

    def seen(self, change: Mapping[str, Any], broker: Broker) -> None:
        """Something became visible."""
        for events in change.get("events", {}).values():
            for plain in events:
                self._event(from_plain(OrderEvent, plain))
        if "positions" in change and self._needs_stops:
            self._protection(broker.snapshot().positions)

    def _event(self, event: OrderEvent) -> None:
        order, fill = event.order, event.fill
        if fill is not None:
            text = f"{fill.kind}: {fill.side} {fill.volume:g} {fill.symbol} at {fill.price:g} ({fill.book})"
            if event.trade is not None:
                text += f"; the trade brought {event.trade.net:.2f}"
            self._alerts.tell(_LEVELS.get(fill.kind, Level.INFO), Kind.FILL, text, fill.fill_id)
        elif order.state is OrderState.REJECTED:
            text = f"the order {order.order_id} in {order.request.symbol} was rejected: {order.message or order.code}"
            self._alerts.tell(Level.WARNING, Kind.REFUSED_ORDER, text, order.order_id)

    def _protection(self, positions: Sequence[Position]) -> None:
        bare = {each.symbol for each in positions if each.stop is None}
        for symbol in sorted(bare - self._bare):
            self._health.unprotected(symbol, f"the position in {symbol} has no stop that rests at the venue")
        for symbol in sorted(self._bare - bare):
            self._health.protected(symbol)
        self._bare = bare

    def settled(self, records: Sequence[JournalRecord], *, quiet: bool) -> None:
        """Outcomes of the bot.

        Args:
            quiet: they were told when they happened; only what is still so counts.
        """
        for each in records:
            if quiet and each.kind != "recovery":
                continue
            if each.kind == "recovery":
                book, identity, action, outcome = each.values
                if outcome == OrderState.UNKNOWN:
                    self._health.order_unknown(identity, f"nobody knows whether the order {identity} ({book}) exists")
                else:
                    self._health.order_known(identity)
                    if action in ("flatten", "close") and not quiet:
                        text = f"{each.stream}: {action} of {book}, {outcome}"
                        self._alerts.tell(Level.WARNING, Kind.UNPROTECTED_POSITION, text, identity)
            elif each.kind == "limit":
                limit, equity, action = each.values
                text = f"{limit} at an equity of {equity:.2f}: {action}"
                self._alerts.tell(Level.CRITICAL, Kind.LIMIT_HIT, text, limit)
            elif each.kind == "refusal":
                book, identity, code = each.values
                if code == UNANSWERED:  # it may be there: who reads that it was refused gives another one by hand
                    text = f"nobody answered to the order {identity} of {book} in {each.stream}; it is looked up"
                    self._alerts.tell(Level.WARNING, Kind.UNKNOWN_ORDER, text, identity)
                    continue
                if code in CODES and code not in _AT_ONCE:
                    continue  # they have told it themselves, with the reason
                text = f"the order {identity} of {book} in {each.stream} was refused: {code}"
                if code in _AT_ONCE:
                    text = f"the order {identity} of {book} in {each.stream} was held back by the bot: {code}"
                self._alerts.tell(Level.WARNING, Kind.REFUSED_ORDER, text, f"{each.stream}:{code}")
            elif each.kind == "participant" and each.values[0] == "failed":
                self._alerts.tell(Level.CRITICAL, Kind.DEAD_THREAD, f"{each.participant} failed: {each.values[2]}")
