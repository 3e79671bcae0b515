"""Which levels of a bar have to do with each other, and which way they are walked. Pure.

One level in reach needs no thought about an order. Where more than one of the same strategy is in reach, all that it
has there is walked, see `walk`: over the high first, over the low first, and each with a turn after the first entry.
`worst` and `best` take the way that ends at the lowest or highest value, all that is held counted at the close; `path`
takes the one over the nearer extreme. What the choice decided is marked, see `doubt`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.doubt import Doubts
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.rules import FillRules
from src.brokers.simulated.triggers import SHOWN_BY
from src.brokers.simulated.walk import Performance, Rehearsal, Way
from src.brokers.simulated.working_order import WorkingOrder
from src.core.book import Book
from src.core.records import OrderType, Side, TriggerBy

__all__ = ["Together", "book_in_reach", "can_be_walked", "gather", "order_in_reach", "walk_together"]

_NOISE = 1e-9


class Together(NamedTuple):
    """Positions and resting orders that act on each other, each oldest first, and how many of them are in reach."""

    books: list[Book]
    orders: list[WorkingOrder]
    reached: list[Book | WorkingOrder]


def book_in_reach(desk: Desk, book: Book, i: int, open_ns: int, rules: FillRules) -> bool:
    """Whether bar `i` fills the stop or target of a position; a stop that follows the price is always in reach."""
    if book.trail is not None:
        return True
    stop, target = book.stop, book.target
    if book.volume > 0:
        low, high = desk.bids.low(i), desk.bids.high(i)
        reached = (stop is not None and low <= stop) or (target is not None and high > target)
        return reached or (high == target and rules.touched(f"{book.position_id}-target", open_ns))
    low, high = desk.asks.low(i), desk.asks.high(i)
    reached = (stop is not None and high >= stop) or (target is not None and low < target)
    return reached or (low == target and rules.touched(f"{book.position_id}-target", open_ns))


def order_in_reach(desk: Desk, order: WorkingOrder, i: int, open_ns: int, rules: FillRules) -> bool:
    """Whether bar `i` may fill a resting order or trigger it; a trigger that moves is always in reach."""
    request, price = order.request, order.price
    kind = request.type
    if kind is OrderType.TRAILING_STOP:
        return True
    buy = request.side is Side.BUY
    watches = request.trigger_by is not TriggerBy.QUOTE and not order.triggered
    side = desk.triggers[request.trigger_by] if watches else desk.asks if buy else desk.bids
    if kind is OrderType.LIMIT or order.triggered:
        limit = request.limit if order.triggered else price
        extreme = side.low(i) if buy else side.high(i)
        if limit is None:
            return False
        return (extreme < limit if buy else extreme > limit) or (
            extreme == limit and rules.touched(order.order_id, open_ns)
        )
    return price is not None and (side.high(i) >= price if buy else side.low(i) <= price)


def can_be_walked(desk: Desk, order: WorkingOrder) -> bool:
    """Whether it is known where on the way of the quote an order is reached."""
    by = order.request.trigger_by
    if by is TriggerBy.QUOTE or order.triggered:
        return True
    moves = order.request.type is OrderType.TRAILING_STOP
    return desk.series.price_side == SHOWN_BY[by] and not moves and not desk.costs.spread_column


def gather(
    books: Sequence[Book], orders: Sequence[WorkingOrder], reached: Sequence[Book | WorkingOrder], *, hedging: bool
) -> list[Together]:
    """Put together what acts on each other: all of a strategy, or on a hedging account a position and its orders.

    Returns:
        Those of which anything is in reach, in the order of their first part: positions first, then orders.
    """
    names: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := names.setdefault(name, name)) != name:
            name = above
        return name

    def key(each: Book | WorkingOrder) -> str:
        if isinstance(each, Book):
            return f"position {each.position_id}" if hedging else f"book {each.book}"
        if not hedging:
            return f"book {each.request.book}"
        name = f"position {each.request.position_id or each.order_id}"
        if each.request.group:
            names[root(name)] = root(f"group {each.request.book} {each.request.group}")
        return name

    everything: list[Book | WorkingOrder] = [*books, *orders]
    keys = [(key(each), each) for each in everything]
    found: dict[str, Together] = {}
    for name, each in keys:
        together = found.setdefault(root(name), Together([], [], []))
        if isinstance(each, Book):
            together.books.append(each)
        else:
            together.orders.append(each)
        if any(each is other for other in reached):
            together.reached.append(each)
    return [each for each in found.values() if each.reached]


def walk_together(ledger: Ledger, desk: Desk, what: Together, i: int, when: Moment, rules: FillRules) -> None:
    """Work several levels inside bar `i` in the order in which the price meets them."""
    before = {book.position_id: book.volume for book in what.books}
    chosen, ways, way = _choose(ledger, desk, what, i, when, rules)
    bid, ask = desk.bids.close(i), desk.asks.close(i)
    doubts = [Doubts(chosen, other, before, bid=bid, ask=ask) for other in ways]
    Performance(ledger, desk, what.books, what.orders, i, when, rules, *[each.others for each in doubts]).run(way)
    for position_id, price, volume in [missed for each in doubts for missed in each.missed]:
        for book in desk.books:
            if book.position_id == position_id:
                book.miss(price, volume)


def _choose(
    ledger: Ledger, desk: Desk, what: Together, i: int, when: Moment, rules: FillRules
) -> tuple[Rehearsal, list[Rehearsal], Way]:
    """The way that the assumption takes; then the one that ends farthest from it, and the farthest on its other side.

    Those two only as far as they are ways of their own; on the other side lies one only where a path is assumed.
    """
    runs: list[tuple[Way, Rehearsal]] = []
    first = _first_up(what)
    for turns in (False, True):
        for up in (first, not first):
            if turns and not any(move.opens for way, run in runs if way == Way(up, False) for move in run.moves):
                continue
            run = Rehearsal(ledger, desk, what.books, what.orders, i, when.from_ns, rules)
            run.run(Way(up, turns))
            runs.append((Way(up, turns), run))
    values = [run.value() for _, run in runs]
    noise = _NOISE * max(1.0, *(abs(move.signed * move.price) for _, run in runs for move in run.moves), 0.0)
    lowest, highest = min(values), max(values)
    if rules.intrabar == "path":
        up = _nearer_is_up(desk, what, i)
        at = next(place for place, (way, _) in enumerate(runs) if way == Way(up, False))
    elif rules.intrabar == "best":
        at = next(place for place, value in enumerate(values) if value >= highest - noise)
    else:
        at = next(place for place, value in enumerate(values) if value <= lowest + noise)
    way, chosen = runs[at]
    far = [abs(value - values[at]) if abs(value - values[at]) > noise else 0.0 for value in values]
    other = max(range(len(runs)), key=lambda place: (far[place], runs[place][1].moves != chosen.moves, -place))
    ways = [runs[other][1]] if runs[other][1].moves != chosen.moves else []
    beyond = [place for place in range(len(runs)) if (values[place] - values[at]) * (values[other] - values[at]) < 0]
    further = max(beyond, key=lambda place: far[place], default=at)
    if ways and far[further]:
        ways.append(runs[further][1])
    return chosen, ways, way


def _net(what: Together) -> float:
    return sum([book.volume for book in what.books])


def _first_up(what: Together) -> bool:
    """Which way comes first of two equal ones: the adverse one, or where nothing is held that of the first order."""
    net = _net(what)
    if net:
        return net < 0
    order = next(each for each in what.reached if isinstance(each, WorkingOrder))
    limit = order.request.type is OrderType.LIMIT or order.triggered
    return (order.request.side is Side.BUY) is not limit


def _nearer_is_up(desk: Desk, what: Together, i: int) -> bool:
    """Whether the high is nearer to the open; of equally near ones the adverse one comes first."""
    up = desk.bars.high_at[i] - desk.bars.open_at[i]
    down = desk.bars.open_at[i] - desk.bars.low_at[i]
    if up != down:
        return up < down
    net = _net(what)
    return net < 0 if net else what.orders[0].request.side is Side.SELL
