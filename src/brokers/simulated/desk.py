"""One symbol's desk: its bars and quote rule, the open books and the working orders. Pure state, no lock, no clock."""

from collections import deque

from src.brokers.simulated.rules import Costs
from src.brokers.simulated.spread import quote_rule
from src.core.bars import BarSeries
from src.core.book import Book
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.records import Order, OrderEvent, OrderRequest, OrderState, OrderType, Side, make_order

__all__ = ["Desk", "DesksBySymbol", "PendingProtection", "WorkingOrder"]

#: A low that no bar has.
NEVER = float("-inf")
ROOM = 1e-9


class WorkingOrder:
    """An order that lives at the venue."""

    __slots__ = ("average_price", "cancel_ns", "code", "effective_ns", "ends_ns", "filled_volume", "hole_ns",
                 "message", "only_closes", "order_id", "placed_ns", "price", "request", "state", "updated_ns",
                 "volume")  # fmt: skip

    def __init__(self, request: OrderRequest, placed_ns: int, effective_ns: int) -> None:
        self.order_id = request.client_id
        self.request = request
        self.price = request.price
        self.volume = request.volume
        self.state = OrderState.WORKING
        self.placed_ns = placed_ns
        self.effective_ns = effective_ns
        self.updated_ns = placed_ns
        self.filled_volume = 0.0
        self.average_price: float | None = None
        self.cancel_ns: int | None = None
        #: When it ends by itself in a step of its own; None when it does not, or a bar's close ends it.
        self.ends_ns: int | None = None
        #: When it has waited for a bar for too long to open anything, None when a bar comes in time; such an order
        #: ends then, or fills with what it closes alone.
        self.hole_ns: int | None = None
        self.only_closes = False
        self.code = ""
        self.message = ""

    def ending(self, instant_ns: int) -> tuple[OrderState, str, str] | None:
        """How the order ends by itself at or before an instant: state, code and sentence."""
        if self.cancel_ns is not None and self.cancel_ns <= instant_ns:
            return OrderState.CANCELLED, "cancelled", "as asked"
        expires_ns = self.request.expires_ns
        if expires_ns is not None and expires_ns <= instant_ns:
            return OrderState.EXPIRED, "expired", "the order's time was over"
        if self.hole_ns is not None and self.hole_ns <= instant_ns and not self.only_closes:
            return OrderState.CANCELLED, "hole", "no price came for so long that nothing is opened any more"
        return None

    def snapshot(self) -> Order:
        """The order as it is now."""
        return make_order(
            order_id=self.order_id, request=self.request, state=self.state, placed_ns=self.placed_ns,
            effective_ns=self.effective_ns, updated_ns=self.updated_ns, filled_volume=self.filled_volume,
            average_price=self.average_price, code=self.code, message=self.message,
        )  # fmt: skip


class PendingProtection:
    """A change of a stop or target that is under way to the venue."""

    __slots__ = ("book", "effective_ns", "kind", "position_id", "stop", "target")

    def __init__(
        self, book: Book, position_id: str, effective_ns: int, stop: float | None, target: float | None, kind: str
    ) -> None:
        self.book = book
        self.position_id = position_id
        self.effective_ns = effective_ns
        self.stop = stop
        self.target = target
        self.kind = kind


class Desk:
    """Everything the simulated venue knows about one symbol.

    Args:
        instrument: its rules.
        series: its base bars; the last visible one is the present.
        costs: the cost models.
        rank: its place in the configuration, the order in which desks are worked.
    """

    __slots__ = (
        "books", "ceiling", "close_at", "costs", "ended", "events", "first", "floor", "guarded", "high_at", "history",
        "index", "instrument", "low_at", "mark", "market_orders", "pending", "quotes", "rank", "realised", "resting",
        "series", "symbol", "worked",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, series: BarSeries, costs: Costs, rank: int) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.series = series
        self.costs = costs
        self.rank = rank
        self.quotes = quote_rule(series.price_side, percent=costs.spread_percent, points=costs.spread_points)
        self.rewind()
        self.books: list[Book] = []
        self.resting: list[WorkingOrder] = []
        self.market_orders: list[WorkingOrder] = []
        self.pending: list[PendingProtection] = []
        self.events: deque[OrderEvent] = deque()
        self.realised = 0.0
        #: A bar that stays between the two can fill nothing here; `guarded` says whether one of them is within reach.
        self.floor, self.ceiling = NEVER, -NEVER
        self.guarded = False
        #: The open books as (volume, entry price) after each fill, and the opens that market orders were worked at.
        self.history: list[tuple[int, tuple[tuple[float, float], ...]]] = []
        self.worked: list[tuple[int, float]] = []
        self.ended = False

    def rewind(self) -> None:
        """Make the last visible bar the present; positions are marked at `mark`, the last close or a worked open."""
        series = self.series
        self.low_at, self.high_at, self.close_at = series.low_at, series.high_at, series.close_at
        self.index = self.first = series.length - 1
        self.mark = self.series.close_at[self.index] if self.index >= 0 else float("nan")

    def next_open_ns(self, effective_ns: int) -> int | None:
        """The first bar to come that opens at or after `effective_ns`, None when there is none."""
        i = self.first_from(effective_ns)
        return self.series.open_ns_at[i] if i < self.series.loaded else None

    def first_from(self, instant_ns: int) -> int:
        """The index of the first bar to come that opens at or after an instant; the number of bars if none does."""
        series = self.series
        for i in range(self.index + 1, series.loaded):
            if series.open_ns_at[i] >= instant_ns:
                return i
        return series.loaded

    def ends_within_bar(self, instant_ns: int) -> bool:
        """Whether an instant lies inside a bar to come, or at its close, which then ends what ends there."""
        before = self.first_from(instant_ns) - 1
        return before > self.index and instant_ns <= self.series.open_ns_at[before] + self.series.timeframe_ns

    def inside_bar(self, now_ns: int) -> bool:
        """Whether a bar that is still to close opened before `now_ns`; what is changed now must not act on it."""
        series, following = self.series, self.index + 1
        if following < series.loaded:
            return series.open_ns_at[following] < now_ns
        return following > 0 and series.open_ns_at[self.index] + series.timeframe_ns < now_ns

    def orders(self) -> list[WorkingOrder]:
        """All orders that live, oldest first within market and resting orders; a new list."""
        return self.market_orders + self.resting

    def review(self) -> None:
        """Find out again which bars may fill something; after each change of orders, books or protection."""
        floor, ceiling = NEVER, -NEVER
        if self.resting or self.pending:
            floor = -NEVER  # every bar has to be asked
        else:
            for book in self.books:
                long = book.volume > 0
                if book.stop is not None:
                    if long:
                        floor = max(floor, book.stop)
                    else:
                        ceiling = min(ceiling, book.stop)
                if book.target is not None:
                    if long:
                        ceiling = min(ceiling, book.target)
                    else:
                        floor = max(floor, book.target)
        # The levels are quotes and a bar shows prices: take both sides of the spread, and more room than rounding.
        shown = self.quotes.shown
        if -NEVER > floor > NEVER:
            floor = max(shown(floor, ask=True), shown(floor, ask=False))
            floor += abs(floor) * ROOM
        if -NEVER > ceiling > NEVER:
            ceiling = min(shown(ceiling, ask=True), shown(ceiling, ask=False))
            ceiling -= abs(ceiling) * ROOM
        self.floor, self.ceiling = floor, ceiling
        self.guarded = floor > NEVER or ceiling < -NEVER

    def touched(self, i: int) -> bool:
        """Whether bar `i` can fill anything: the quick question that keeps most bars cheap."""
        if self.resting or self.pending:
            return True
        series, quotes = self.series, self.quotes
        for book in self.books:
            stop, target = book.stop, book.target
            if book.volume > 0:
                if stop is not None and series.low_at[i] * quotes.bid_factor - quotes.bid_offset <= stop:
                    return True
                if target is not None and series.high_at[i] * quotes.bid_factor - quotes.bid_offset >= target:
                    return True
            else:
                if stop is not None and series.high_at[i] * quotes.ask_factor + quotes.ask_offset >= stop:
                    return True
                if target is not None and series.low_at[i] * quotes.ask_factor + quotes.ask_offset <= target:
                    return True
        return False

    def book_for(self, request: OrderRequest, *, hedging: bool) -> Book:
        """The book that a request acts on; an empty one when an entry opens a position or there is nothing to reduce.

        A request that names its position never reaches a later one of the same strategy.
        """
        if request.position_id is not None:
            for book in self.books:
                if book.position_id == request.position_id:
                    return book
            if request.reduce_only:
                return Book(request.book, self.symbol)
        if not hedging:
            for book in self.books:
                if book.book == request.book:
                    return book
        return Book(request.book, self.symbol)

    def excess(self, volume: float, held: float) -> float:
        """What of `volume` goes beyond `held`, both unsigned; 0 when they differ by float noise of their sums alone."""
        over = volume - held
        return over if over > max(1e-9 * self.instrument.volume_step, 1e-12 * held) else 0.0

    def held_by(self, book: str) -> float:
        """The signed volume that the strategy `book` holds here."""
        held = 0.0
        for each in self.books:
            if each.book == book:
                held += each.volume
        return held

    def entry_trigger(self, order: WorkingOrder, *, at_open: bool, i: int, touch: bool) -> float | None:
        """The quote at which a resting order fills on bar `i`, None when it does not.

        At the open: the opening quote when it is at or beyond the order's price. Inside: the order's price when the
        bar reaches it; a limit must be traded through unless `touch`.
        """
        price = order.price
        if price is None:
            return None
        series, quotes = self.series, self.quotes
        buy = order.request.side is Side.BUY
        quote = quotes.ask if buy else quotes.bid
        stop = order.request.type is OrderType.STOP
        if at_open:
            opening = quote(series.open_at[i])
            beyond = opening > price if buy == stop else opening < price
            return opening if beyond or (opening == price and (stop or touch)) else None
        if stop:
            reached = quote(series.high_at[i]) >= price if buy else quote(series.low_at[i]) <= price
            return price if reached else None
        extreme = quote(series.low_at[i]) if buy else quote(series.high_at[i])
        reached = (extreme < price if buy else extreme > price) or (touch and extreme == price)
        return price if reached else None


class DesksBySymbol(dict[str, Desk]):
    """The desks of a venue; an unknown symbol is an error of the configuration, said in a sentence."""

    def __missing__(self, symbol: str) -> Desk:
        raise ConfigError(f"expected one of the symbols {', '.join(self)}, found {symbol!r}")
