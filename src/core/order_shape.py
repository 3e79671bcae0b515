"""What the rarer words of an order make of it: its type, what it risks, what it reduces.

Used inside turns, by the order desk.
"""

from dataclasses import dataclass, replace

from src.core.broker import Broker
from src.core.order_terms import OrderTerms
from src.core.records import OrderRequest, OrderType, Side
from src.core.risk_manager import EntryIntent, Verdict, make_entry_intent

__all__ = ["ShapedOrder", "changed_intent", "shape_order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedOrder:
    """An intent with its terms worked in.

    Attributes:
        type: the order's type.
        intent: what the risk manager judges.
        verdict: the answer when nobody has to be asked: a contradiction, or something that only reduces.
        position_id: the position that is reduced, None when none is named.
    """

    type: OrderType
    intent: EntryIntent
    terms: OrderTerms
    verdict: Verdict | None = None
    position_id: str | None = None

    def completed(self, request: OrderRequest) -> OrderRequest:
        """The request with its terms."""
        terms = self.terms
        return replace(
            request, type=self.type, limit=terms.trigger_limit, trail_distance=terms.trail_distance,
            trail_percent=terms.trail_percent, time_in_force=terms.time_in_force, post_only=terms.post_only,
            reduce_only=terms.reduce_only, reverse=request.reverse and not terms.reduce_only,
            trigger_by=terms.trigger_by, group=terms.group, parent=terms.parent, position_id=self.position_id,
            stop_trail_distance=terms.stop_trail_distance, stop_trail_percent=terms.stop_trail_percent,
        )  # fmt: skip


def shape_order(
    broker: Broker, intent: EntryIntent, order_type: OrderType, terms: OrderTerms, *, aims: bool
) -> ShapedOrder:  # fmt: skip
    """Work the terms into an intent: the order's type, and the worst price and the stop that the risk manager judges.

    Args:
        aims: whether the order asks for a target.
    """
    if terms.code:
        return ShapedOrder(type=order_type, intent=intent, terms=terms, verdict=_refuse(terms.code, terms.message))
    trails = terms.trail_distance is not None or terms.trail_percent is not None
    if trails and (intent.price is not None or terms.trigger_limit is not None):
        refusal = _refuse("trail", "a trailing stop follows the price; give it no limit and no trigger")
        return ShapedOrder(type=order_type, intent=intent, terms=terms, verdict=refusal)
    if terms.trigger_limit is not None:
        if order_type is not OrderType.STOP or intent.price is None:
            refusal = _refuse("no_trigger", "a stop-limit order needs its trigger besides trigger_limit")
            return ShapedOrder(type=order_type, intent=intent, terms=terms, verdict=refusal)
        limit = broker.instrument(intent.symbol).round_price(terms.trigger_limit)
        terms = replace(terms, trigger_limit=limit)
        order_type = OrderType.STOP_LIMIT
        worse = max if intent.side is Side.BUY else min
        intent = replace(intent, price=worse(limit, intent.price))
    if trails:
        order_type = OrderType.TRAILING_STOP
        intent = replace(intent, price=_trigger(broker, intent, terms))
    if terms.reduce_only:
        trails_stop = terms.stop_trail_distance is not None or terms.stop_trail_percent is not None
        if aims or trails_stop or intent.stop is not None or intent.stop_distance is not None:
            refusal = _refuse("reduce_only", "an order that only reduces opens nothing that a stop or target guards")
            return ShapedOrder(type=order_type, intent=intent, terms=terms, verdict=refusal)
        return _reduction(broker, intent, order_type, terms)
    if intent.stop is None and intent.stop_distance is None:
        intent = replace(intent, stop_distance=_stop_gap(broker, intent, terms))
    return ShapedOrder(type=order_type, intent=intent, terms=terms)


def changed_intent(
    broker: Broker, request: OrderRequest, price: float | None, limit: float | None, volume: float | None
) -> EntryIntent:  # fmt: skip
    """What a working entry wants once its price, limit or volume is changed; None leaves one as it is.

    A trigger that follows the price is taken as it would be if the order were placed now.
    """
    price = request.price if price is None else price
    limit = request.limit if limit is None else limit
    if limit is not None and price is not None:  # a stop-limit order may have been triggered already: the worse of both
        price = max(price, limit) if request.side is Side.BUY else min(price, limit)
    intent = make_entry_intent(
        client_id=request.client_id, book=request.book, symbol=request.symbol, side=request.side,
        volume=request.volume if volume is None else volume, price=price,
        stop=request.stop, stop_distance=request.stop_distance, reverse=request.reverse,
    )  # fmt: skip
    if request.type is OrderType.TRAILING_STOP:
        intent = replace(intent, price=_trigger(broker, intent, request))
    if intent.stop is None and intent.stop_distance is None:
        intent = replace(intent, stop_distance=_stop_gap(broker, intent, request))
    return intent


def _trigger(broker: Broker, intent: EntryIntent, terms: OrderTerms | OrderRequest) -> float | None:
    """Where a trailing stop order would be triggered now; None without a price."""
    quote = broker.quote(intent.symbol)
    if quote is None:
        return None
    price = quote.ask if intent.side is Side.BUY else quote.bid
    gap = terms.trail_distance if terms.trail_distance is not None else price * (terms.trail_percent or 0.0) / 100
    return price + intent.side.sign * gap


def _stop_gap(broker: Broker, intent: EntryIntent, terms: OrderTerms | OrderRequest) -> float | None:
    """How far from the entry a stop begins that follows the price; None when none does."""
    if terms.stop_trail_distance is not None or terms.stop_trail_percent is None:
        return terms.stop_trail_distance
    quote = broker.quote(intent.symbol)
    if quote is None:
        return None
    price = intent.price or (quote.ask if intent.side is Side.BUY else quote.bid)
    return price * terms.stop_trail_percent / 100


def _reduction(broker: Broker, intent: EntryIntent, order_type: OrderType, terms: OrderTerms) -> ShapedOrder:
    """An order that only reduces: how much, and of which position. The risk manager is not asked."""
    position_id, volume = None, 0.0
    if not terms.parent:
        for position in broker.positions(intent.symbol):
            if position.book == intent.book and position.volume * intent.side.sign < 0:
                position_id, volume = position.position_id, abs(position.volume)
                break
    else:
        orders = broker.snapshot().orders
        volume = next((order.request.volume for order in orders if order.order_id == terms.parent), 0.0)
    if intent.volume is not None:
        volume = broker.instrument(intent.symbol).round_volume(intent.volume)
    if not volume and intent.volume is not None:
        message = f"the volume {intent.volume:g} of {intent.symbol} comes to {volume:g}, below what may be traded"
        verdict = _refuse("too_small", message)
    elif not volume:
        verdict = _refuse("nothing_to_reduce", f"{intent.book} holds nothing of {intent.symbol} that this would reduce")
    else:
        verdict = Verdict(volume=volume)
    return ShapedOrder(type=order_type, intent=intent, terms=terms, verdict=verdict, position_id=position_id)


def _refuse(code: str, message: str) -> Verdict:
    return Verdict(code=code, message=message)
