"""What this bot has of the coins of a spot account: what its own executions add up to.

The exchange knows no positions. Coins that were there before, or that others bring, are other people's. What is bought
shrinks by a fee that is taken in coin, so that volumes are no multiples of the step. What is left of a position when it
is sold, and is too little to be sold, stays behind and is nobody's from then on: it counts as sold, and what it was
worth as a cost of that, so that what a trade made is what came of it in money, and is so after a restart as well. Pure:
whoever owns it holds a lock.
"""

from dataclasses import replace

from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import STOP, TARGET, VenueOrder, protection_of
from src.brokers.ccxt_records import Execution, Report
from src.core.book import Book
from src.core.records import OrderType, Side

__all__ = ["SpotLedger"]

#: Coins are counted in so many digits.
_DIGITS = 10
_NOISE = 1e-9


class SpotLedger(CcxtLedger):
    """See `CcxtLedger`."""

    def clean(self, symbol: str, volume: float) -> float:
        """See `CcxtLedger.clean`; coins have no step."""
        return round(volume, _DIGITS) + 0.0

    def acknowledge(self, order: VenueOrder, report: Report) -> None:
        """See `CcxtLedger.acknowledge`; what is sold may be less than was asked for."""
        super().acknowledge(order, report)
        if order.request.side is Side.SELL and 0 < report.volume < order.request.volume:
            order.request = replace(order.request, volume=report.volume)

    def sellable(self, book: Book) -> float:
        """What of a position the exchange would take: whole steps."""
        return self.rules[book.symbol].round_volume(max(book.volume, 0.0))

    def tied_up(self, book: Book) -> float:
        """What orders to sell that may still fill take of a position, besides its stop and target."""
        return self.clean(book.symbol, sum(each.request.volume - each.filled for each in self.sales(book)))

    def sales(self, book: Book) -> list[VenueOrder]:
        """The orders to sell of a position that may still fill, besides its stop and target."""
        return [
            each for each in self.live(book.symbol)
            if each.request.side is Side.SELL and each.role not in (STOP, TARGET)
            and (each.request.position_id or book.position_id) == book.position_id
            and each.request.book == book.book
        ]  # fmt: skip

    def levels(self, book: Book) -> tuple[float | None, float | None]:
        """See `CcxtLedger.levels`: where nothing rests, what was cancelled last, because its successor never came."""
        levels = self.resting_levels(book)
        if levels != (None, None):
            return levels
        guards = [
            each for each in self.orders.values()
            if each.position_id == book.position_id and each.role in (STOP, TARGET) and each.acknowledged
        ]  # fmt: skip
        last = max((each.number for each in guards), default=0)
        told = {each.role: each.request.price for each in guards if each.number == last}
        return told.get(STOP), told.get(TARGET)

    def finish(self, symbol: str) -> bool:
        """See `CcxtLedger.finish`; what an order to sell that ended early has left may be too little to be sold."""
        ended = [each for each in self.live(symbol) if each.ending is not None and each.request.side is Side.SELL]
        found = super().finish(symbol)
        for order in ended:
            if not order.is_live and order.filled:
                self._leave_rest(order)
        return found

    def _leave_rest(self, order: VenueOrder) -> None:
        book, symbol, rules = self._book_of(order), order.request.symbol, self.rules[order.request.symbol]
        left, price = book.volume, order.value / order.filled
        worth_it = self._is_sellable(symbol, left) and rules.round_volume(left) * price >= rules.min_notional
        if not left or worth_it or any(each.request.book == book.book for each in self.live(symbol)):
            return
        request = replace(
            order.request, client_id=f"left{order.request.client_id}", volume=left, type=OrderType.MARKET, price=None,
            limit=None, reduce_only=True, position_id=book.position_id, exit_kind=self._exit_kind(order, book),
        )  # fmt: skip
        rest = self.register(request, order.updated_ns)
        execution = Execution(
            trade_id=request.client_id, venue_id="", symbol=symbol, side=Side.SELL, volume=left, price=price,
            at_ns=order.updated_ns, fee=0.0, fee_currency="",
        )  # fmt: skip
        self._count(rest, left, execution, last=True)
        self.foreign[symbol] = self.clean(symbol, self.foreign[symbol] + left)
        fill = self._fill(rest, execution, left, left * price, book.position_id, request.exit_kind, "")
        _, trade = book.reduce(fill)
        book.volume = self.clean(symbol, book.volume)
        self._tell(rest, fill, trade)

    def _count_foreign(self, execution: Execution, fee: float, stranger: str) -> None:
        super()._count_foreign(execution, fee, stranger)
        symbol = execution.symbol
        self.foreign[symbol] = self.clean(symbol, self.foreign[symbol] - execution.fee_volume)

    def _count_own(self, order: VenueOrder, execution: Execution, fee: float) -> None:
        book = self._book_of(order)
        self._count(order, execution.volume, execution, last=True)
        if execution.side is Side.BUY:
            self._buy(order, book, execution, fee)
        else:
            self._sell(order, book, execution, fee)

    def _buy(self, order: VenueOrder, book: Book, execution: Execution, fee: float) -> None:
        symbol, kept = execution.symbol, execution.fee_volume
        arrived = self.clean(symbol, execution.volume - kept)
        position_id = book.position_id or order.request.client_id
        fill = self._fill(order, execution, arrived, fee, position_id, "entry", "")
        fill = replace(fill, fee_volume=kept)
        stop, target = protection_of(order.request, order.value / order.filled, self.rules[symbol])
        book.open(fill, stop=stop, target=target, stop_cost=order.request.stop_cost)
        book.stop_kind = self.stop_kinds.get(position_id, book.stop_kind)
        self.grown_ns[position_id] = execution.at_ns
        book.volume = self.clean(symbol, book.volume)
        self._tell(order, fill, None)

    def _sell(self, order: VenueOrder, book: Book, execution: Execution, fee: float) -> None:
        symbol, held = execution.symbol, book.volume
        sold = min(execution.volume, held)
        beyond = self.clean(symbol, execution.volume - sold)
        if beyond:  # somebody has sold the bot's coins before, and these were others'
            self.foreign[symbol] = self.clean(symbol, self.foreign[symbol] - beyond)
        if not held:
            self._tell(order, None, None)
            return
        left = self.clean(symbol, held - sold)
        done = order.filled >= order.request.volume * (1 - _NOISE)
        stays = bool(left) and done and not self._is_sellable(symbol, left)
        if stays:
            self.foreign[symbol] = self.clean(symbol, self.foreign[symbol] + left)
            fee += left * execution.price
        volume = held if stays or not left else sold
        fill = self._fill(order, execution, volume, fee, book.position_id, self._exit_kind(order, book), "")
        _, trade = book.reduce(fill)
        book.volume = self.clean(symbol, book.volume)
        self._tell(order, fill, trade)

    def _is_sellable(self, symbol: str, volume: float) -> bool:
        rules = self.rules[symbol]
        return rules.round_volume(volume) > 0 and rules.round_volume(volume) >= rules.min_volume
