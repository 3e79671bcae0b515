"""One symbol's desk: its bars and quote rule, the open books and the working orders. Pure state, no lock, no clock."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from src.brokers.simulated.moment import Moment
from src.brokers.simulated.rules import Costs
from src.brokers.simulated.spread import PriceSide, QuoteRules, SidePrices, quote_rule
from src.brokers.simulated.working_order import WorkingOrder
from src.core.bars import BarSeries, IntArray
from src.core.book import Book
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.records import OrderEvent, OrderRequest, Position, TriggerBy, make_position
from src.core.words import meant

__all__ = ["Desk", "DesksBySymbol", "PendingProtection", "WorkingOrder", "summed"]

#: A low that no bar has.
NEVER = float("-inf")
ROOM = 1e-9
#: Kinds of stops that follow the price, and so never move against the position.
FOLLOWERS = ("trailing", "break_even")


class Pending(Protocol):
    """Something that is under way to the venue."""

    effective_ns: int

    def arrive(self, when: Moment) -> None:
        """Take effect; `when` is what an order carries that ends by it."""
        ...


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

    def arrive(self, when: Moment) -> None:
        """Take effect, when the position is still there."""
        book, stop = self.book, self.stop
        if book.position_id == self.position_id and book.volume:
            # A follower only tightens: its older change may arrive after a tighter stop that came by another way.
            if self.kind in FOLLOWERS and stop is not None and book.stop is not None:
                stop = stop if book.side.sign * (stop - book.stop) > 0 else None
            book.protect(stop=stop, target=self.target, kind=self.kind)


class Desk:
    """Everything the simulated venue knows about one symbol.

    Args:
        instrument: its rules.
        series: its base bars; the last visible one is the present.
        costs: the cost models.
        rank: its place in the configuration, the order in which desks are worked.
    """

    __slots__ = (
        "asks", "bars", "bids", "books", "ceiling", "close_at", "costs", "ended", "events", "first", "floor", "guarded",
        "high_at", "history", "index", "instrument", "low_at", "mark", "market_orders", "pending", "quotes", "rank",
        "realised", "resting", "series", "symbol", "triggers", "worked",
    )  # fmt: skip

    #: Whether the spread is not the same for all bars, so that `rules_of` has to be asked.
    varies = False
    #: Whether the present price came by itself, so that it is that of every instant since.
    quoted = False

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
        self.pending: list[Pending] = []
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
        #: What is being matched: the base bars, or shorter ones while a bar is worked through them.
        self.bars = series
        self.low_at, self.high_at, self.close_at = series.low_at, series.high_at, series.close_at
        self.index = self.first = series.length - 1
        self.mark = self.series.close_at[self.index] if self.index >= 0 else float("nan")
        quotes = self.quotes
        self.bids: PriceSide = SidePrices(series, quotes.bid_factor, -quotes.bid_offset)
        self.asks: PriceSide = SidePrices(series, quotes.ask_factor, quotes.ask_offset)
        self.triggers = self._trigger_prices()

    def _trigger_prices(self) -> dict[TriggerBy, PriceSide]:
        """The prices besides the quote that stops may be triggered by, as far as they are known."""
        found: dict[TriggerBy, PriceSide] = {}
        sides = self.costs.sides.get(self.symbol) if self.costs.sides else None
        for by, side in ((TriggerBy.LAST, "trade"), (TriggerBy.MARK, "mark")):
            own = self.series if self.series.price_side == side else None
            series = own if own is not None or sides is None else getattr(sides, by.value)
            if series is not None:
                found[by] = SidePrices(series)
        return found

    def knows(self, by: TriggerBy) -> bool:
        """Whether there are prices of this kind besides the quote."""
        return by in self.triggers

    def watched(self, order: WorkingOrder, opened: int) -> float:
        """The price that the order's trigger follows when a quote comes, the open of the bar `opened`; NaN for none."""
        return self.triggers[order.request.trigger_by].open(opened) if opened >= 0 else float("nan")

    def watched_now(self, by: TriggerBy) -> float:
        """The last price of this kind, NaN where there is none."""
        prices, index, series = self.triggers.get(by), self.index, self.series
        if prices is None:
            return float("nan")
        opened = index + 1
        if self.worked and opened < series.loaded and series.open_ns_at[opened] <= self.worked[-1][0]:
            return prices.open(opened)  # a market order waited for this open, so it is the price now
        return prices.close(index) if index >= 0 else float("nan")

    def open_bar(self, i: int, now_ns: int) -> None:
        """A market order waits for the open of bar `i`: it is the price now, and nothing else of the bar is known."""
        self.mark = self.series.open_at[i]
        self.worked.append((now_ns, self.mark))

    def priced_ns(self) -> int:
        """When the present price was the price: at the close of the last bar, or at an open that was worked since."""
        opened_ns = self.worked[-1][0] if self.worked else 0
        return max(opened_ns, self.series.close_of(self.index)) if self.index >= 0 else opened_ns

    def rules_of(self, bars: IntArray, opened: IntArray) -> QuoteRules:
        """How quotes followed from the price at instants of the past.

        Args:
            bars: the bar that had closed last, by its index, -1 for none; shape (n,).
            opened: the bar whose open was the price, -1 where the last close was.
        """
        quotes = self.quotes
        return QuoteRules(quotes.bid_factor, quotes.bid_offset, quotes.ask_factor, quotes.ask_offset)

    def next_open_ns(self, effective_ns: int) -> int | None:
        """The first bar to come that opens at or after `effective_ns`, None when there is none."""
        i = self.first_from(effective_ns)
        return self.series.open_ns_at[i] if i < self.series.loaded else None

    def first_from(self, instant_ns: int) -> int:
        """The index of the first bar to come that opens at or after an instant; the number of bars if none does."""
        series, following = self.series, self.index + 1
        if following >= series.loaded or series.open_ns_at[following] >= instant_ns:
            return following  # as nearly always
        return bisect_left(series.open_ns_at, instant_ns, following, series.loaded)

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

    def is_tested(self, order: WorkingOrder, now_ns: int) -> bool:
        """Whether a bar is under way that a resting order counts on; which of its prices are older is not known."""
        series, following = self.series, self.index + 1
        if not self.inside_bar(now_ns) or order not in self.resting:
            return False
        known = following < series.loaded
        opened_ns = series.open_ns_at[following] if known else series.open_ns_at[self.index] + series.timeframe_ns
        return order.effective_ns <= opened_ns

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
                if book.trail is not None:
                    floor = -NEVER  # any bar may move the stop
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
            if book.trail is not None:
                return True
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


class DesksBySymbol(dict[str, Desk]):
    """The desks of a venue; an unknown symbol is an error of the configuration, said in a sentence."""

    def __missing__(self, symbol: str) -> Desk:
        raise ConfigError(f"expected one of the symbols {', '.join(self)}, found {symbol!r}{meant(symbol, self)}")


def summed(positions: Sequence[Position]) -> Position:
    """Several positions of a book as one; everything but the volume is that of the oldest."""
    oldest = positions[0]
    return make_position(
        position_id=oldest.position_id, book=oldest.book, symbol=oldest.symbol,
        volume=sum(position.volume for position in positions), entry_price=oldest.entry_price,
        opened_ns=oldest.opened_ns, stop=oldest.stop, target=oldest.target, stop_kind=oldest.stop_kind,
        initial_stop=oldest.initial_stop, initial_risk=oldest.initial_risk, initial_volume=oldest.initial_volume,
        stop_cost=oldest.stop_cost, rate=oldest.rate,
    )  # fmt: skip
