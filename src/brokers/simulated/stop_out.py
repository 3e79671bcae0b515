"""Margin calls and stop-outs: what happens when equity no longer carries the positions. Pure.

The margin level is equity over the margin that the open positions need to stay open, in percent. It is tested with all
symbols at the opens of their bars, on the way to their adverse extremes, and at their closes. On the way all symbols
are taken to move together and evenly, because their order inside a bar is not known; a position whose stop lies on the
way is closed there and no longer counts. The worst position is closed where the level is reached, then the next, until
the level is restored.
"""

import math
from collections.abc import Callable, Container, Mapping, Sequence

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.full_ledger import FullLedger
from src.brokers.simulated.ledger import Moment
from src.core.book import Book
from src.core.journal import ACCOUNT_STREAM
from src.core.records import Fill, Side

__all__ = ["StopOut"]

#: Halvings of the way when nothing simpler finds where the level is reached.
_HALVINGS = 64


class _Way:
    """One position's way through a bar: its closing quote and the price that margin is taken for, at both ends.

    `kink` is the share of the way at which its stop is reached, where it is closed; infinite when it is not. What has
    `left` was closed by its target meanwhile: it counts on the way and cannot be closed again.
    """

    __slots__ = ("book", "desk", "kink", "left", "mark_from", "mark_to", "quote_from", "quote_to", "rate")

    def __init__(
        self, desk: Desk, book: Book, rate: float, quotes: tuple[float, float], marks: tuple[float, float], *,
        left: bool = False,
    ) -> None:  # fmt: skip
        self.left = left
        self.desk = desk
        self.book = book
        self.rate = rate
        self.quote_from, self.quote_to = quotes
        self.mark_from, self.mark_to = marks
        self.kink = float("inf")
        sign, stop = book.side.sign, book.stop
        if stop is not None and sign * (self.quote_to - stop) <= 0:
            fall = self.quote_from - self.quote_to
            self.kink = max(0.0, (self.quote_from - stop) / fall) if fall else 0.0

    def quote(self, share: float) -> float:
        return self.quote_from + share * (self.quote_to - self.quote_from)

    def mark(self, share: float) -> float:
        return self.mark_from + share * (self.mark_to - self.mark_from)

    def profit(self, share: float) -> float:
        stop = self.book.stop
        quote = stop if stop is not None and share > self.kink else self.quote(share)
        return self.book.volume * (quote - self.book.entry_price) * self.rate


class StopOut:
    """The rule of one account.

    Args:
        ledger: whose positions are closed.
        call_percent: below this level the venue warns, once until the level has recovered at a close.
        out_percent: at or below this level it closes positions.
    """

    def __init__(self, ledger: FullLedger, call_percent: float | None, out_percent: float | None) -> None:
        self._ledger = ledger
        self._call = call_percent
        self._out = out_percent
        self._called = False
        self._moving: dict[str, Desk] = {}
        self._down: dict[str, bool] = {}
        self._share = 0.0

    # -- at one price of each symbol ---------------------------------------------------------------

    def at_marks(
        self, instant_ns: int, when: Callable[[Desk], Moment], *, recover: bool, fresh: Container[str] | None = None
    ) -> set[str]:
        """Test with each symbol at its mark; closes at the quotes of that mark.

        Args:
            when: the moment of an execution at a desk.
            recover: whether a level that is well again ends a margin call.
            fresh: the symbols that have a price now; nothing is closed at a stale one. None for all.

        Returns:
            The symbols of which something was closed.
        """
        ledger, closed = self._ledger, set()
        equity, _ = ledger.valued()
        needed = ledger.needed
        self._warn(instant_ns, equity, needed, recover=recover)
        while self._out is not None and needed > 0 and equity <= needed * self._out / 100:
            worst = self._worst(fresh)
            if worst is None:
                break
            desk, book = worst
            quote = desk.quotes.bid(desk.mark) if book.volume > 0 else desk.quotes.ask(desk.mark)
            self._tell(instant_ns, "stop_out", equity, needed)
            ledger.exit_book(desk, book, "stop_out", quote, when(desk), slips=True)
            closed.add(desk.symbol)
            equity, _ = ledger.valued()
            needed = ledger.needed
        return closed

    def _worst(self, fresh: Container[str] | None) -> tuple[Desk, Book] | None:
        """The position with the largest loss at the marks; of equal ones the first by symbol and identity."""
        found = []
        for desk in self._ledger.holding():
            if fresh is not None and desk.symbol not in fresh:
                continue
            bid, ask, rate = desk.quotes.bid(desk.mark), desk.quotes.ask(desk.mark), self._ledger.rate(desk)
            for book in desk.books:
                profit = book.volume * ((bid if book.volume > 0 else ask) - book.entry_price) * rate
                found.append((profit, desk.symbol, book.position_id, desk, book))
        return min(found, key=lambda each: each[:3])[3:] if found else None

    # -- between open and adverse extreme ----------------------------------------------------------

    def begin(self, moving: Sequence[Desk]) -> None:
        """Let the way through the bars of these desks begin at their opens; the others stay at their marks."""
        self._moving = {desk.symbol: desk for desk in moving}
        self._down.clear()
        self._share = 0.0

    def on_the_way(
        self, instant_ns: int, began: Mapping[str, float] | None = None,
        left: Sequence[tuple[Desk, Fill, float | None]] = (),
    ) -> set[str]:  # fmt: skip
        """Test from the opens of the bars that end now, or from where an earlier test ended, to their adverse extremes.

        Such a breach is ambiguous: whether all symbols were there at the same time is not known. The other outcome is
        that the position is still there at the close.

        Args:
            began: the price of positions that were opened inside their bar, by identity.
            left: what was closed inside a bar, with its stop of then. A gain counts only after the adverse extreme, so
                until there such a position is as it was.

        Returns:
            The symbols of which something was closed.
        """
        closed: set[str] = set()
        gone = self._gone(left)
        while self._out is not None:
            ways = [*gone, *self._ways(began or {})]
            share = self._reached(ways, self._share)
            if share is None:
                break
            self._share = share
            standing = [way for way in ways if way.kink >= share and not way.left and way.desk.symbol in self._moving]
            if not standing:
                break  # what is left has no price now and waits for its next bar
            worst = min(
                standing,
                key=lambda way: (way.profit(self._share), way.desk.symbol, way.book.position_id),
            )
            self._tell(instant_ns, "stop_out", *self._at(ways, share))
            self._close(worst, worst.quote(share), instant_ns)
            closed.add(worst.desk.symbol)
        if self._call is not None and not self._called:
            equity, needed = self._at([*gone, *self._ways(began or {})], 1.0)
            self._warn(instant_ns, equity, needed, recover=False)
        return closed

    def _close(self, way: _Way, quote: float, instant_ns: int) -> None:
        desk, book = way.desk, way.book
        series, i = desk.series, desk.index
        moves = desk.symbol in self._moving
        when = Moment(instant_ns, series.open_ns_at[i] if moves else None)
        side = desk.bids if book.volume > 0 else desk.asks
        other = side.close(i) if moves else quote
        self._ledger.exit_book(desk, book, "stop_out", quote, when, slips=True, other=other)

    def _ways(self, began: Mapping[str, float]) -> list[_Way]:
        ways = []
        for desk in self._ledger.holding():
            rate, mark, quotes, i = self._ledger.rate(desk), desk.mark, desk.quotes, desk.index
            moves = desk.symbol in self._moving
            down = self._falls(desk)
            extreme = (desk.series.low_at[i] if down else desk.series.high_at[i]) if moves else mark
            for book in desk.books:
                long = book.volume > 0
                if moves:
                    side = desk.bids if long else desk.asks
                    start, end = side.open(i), side.low(i) if down else side.high(i)
                else:
                    start = end = quotes.bid(mark) if long else quotes.ask(mark)
                begins = mark
                if book.position_id in began:
                    start = quotes.across(began[book.position_id], ask=long)
                    # What was opened inside the bar is never worse before than where the bar goes.
                    start = max(start, end) if long else min(start, end)
                    begins = quotes.shown(start, ask=not long)  # margin follows the price that the quote follows
                ways.append(_Way(desk, book, rate, (start, end), (begins, extreme)))
        return ways

    def _gone(self, left: Sequence[tuple[Desk, Fill, float | None]]) -> list[_Way]:
        """The ways of what was closed at a better price than it had at the open of its bar."""
        ways = []
        for desk, fill, stop in left:
            long, i = fill.side is Side.SELL, desk.index
            side = desk.bids if long else desk.asks
            if desk.symbol not in self._moving or (fill.price - side.open(i)) * fill.side.sign >= 0:
                continue
            down = self._falls(desk)
            book = Book(fill.book, desk.symbol)
            book.position_id, book.stop = fill.position_id, stop
            book.side, book.volume = (Side.BUY, fill.volume) if long else (Side.SELL, -fill.volume)
            # Measured from what it was closed at, commission included, all of which is in the balance already.
            book.entry_price = fill.price - fill.commission / (book.volume * fill.rate)
            quotes = side.open(i), side.low(i) if down else side.high(i)
            marks = desk.series.open_at[i], desk.series.low_at[i] if down else desk.series.high_at[i]
            ways.append(_Way(desk, book, fill.rate, quotes, marks, left=True))
        return sorted(ways, key=lambda way: (way.desk.symbol, way.book.position_id))

    def _falls(self, desk: Desk) -> bool:
        """Whether the adverse extreme of a symbol is its low: where less is left of equity above the level.

        A hedging account may have more to fear from the margin of both sides than from the price. Whichever way a
        symbol began to go it goes on, also when what is left of it would fear the other one.
        """
        down = self._down.get(desk.symbol)
        if down is None:
            books, i = desk.books, desk.index
            down = sum([book.volume for book in books]) >= 0
            if self._ledger.hedging and i >= 0:
                sides = [(book.volume, desk.bids if book.volume > 0 else desk.asks) for book in books]
                low = sum([volume * side.low(i) for volume, side in sides])
                high = sum([volume * side.high(i) for volume, side in sides])
                level, volume = (self._out or self._call or 0.0) / 100, self._ledger.exposure(desk)
                model, series = self._ledger.model(desk), desk.series
                low -= level * model.maintenance(volume * series.low_at[i])
                high -= level * model.maintenance(volume * series.high_at[i])
                down = low < high or (low == high and down)
            self._down[desk.symbol] = down
        return down

    def _reached(self, ways: Sequence[_Way], begin: float) -> float | None:
        """The first share of the way at which positions have to be closed; None when that is nowhere.

        What is closed may leave less room than there was, where it stood against something else: so the room is looked
        at behind each closing as well, and not only where the way to the next one ends.
        """
        low = begin
        for high in sorted({1.0, *(way.kink for way in ways if begin < way.kink < 1.0)}):
            low = math.nextafter(low, 2.0)  # behind the stop that lies there
            if self._room(ways, low) <= 0:
                return low
            if self._room(ways, high) <= 0:
                return self._crossing(ways, low, high)
            low = high
        return None

    def _crossing(self, ways: Sequence[_Way], low: float, high: float) -> float:
        """Where the room ends between two shares, at the second of which there is none; no stop lies in between."""
        over, under = self._room(ways, low), self._room(ways, high)
        if over <= 0:
            return low
        # The room falls in a straight line but for a tier on the way.
        guess = low + (high - low) * over / (over - under) if over < float("inf") else high
        if abs(self._room(ways, guess)) <= 1e-9 * abs(over):
            return guess
        for _ in range(_HALVINGS):
            guess = (low + high) / 2
            if self._room(ways, guess) > 0:
                low = guess
            else:
                high = guess
        return high

    def _room(self, ways: Sequence[_Way], share: float) -> float:
        """Money between equity and the level at which positions are closed; infinite when nothing needs margin."""
        equity, needed = self._at(ways, share)
        return equity - needed * (self._out or 0.0) / 100 if needed > 0 else float("inf")

    def _at(self, ways: Sequence[_Way], share: float) -> tuple[float, float]:
        """Equity and the margin that is needed, at a share of the way."""
        ledger = self._ledger
        equity = ledger.balance + ledger.dust_profit()
        volumes: dict[str, float] = {}
        models: dict[str, _Way] = {}
        for way in ways:
            equity += way.profit(share)
            models[way.desk.symbol] = way
            if share <= way.kink:
                volume = abs(way.book.volume) if ledger.hedging else way.book.volume
                volumes[way.desk.symbol] = volumes.get(way.desk.symbol, 0.0) + volume
        needed = 0.0
        for symbol, volume in volumes.items():  # in the order of the symbols' names, as the ways are
            way = models[symbol]
            needed += ledger.model(way.desk).maintenance(abs(volume) * way.mark(share)) * way.rate
        return equity, needed

    # -- telling -----------------------------------------------------------------------------------

    def _warn(self, instant_ns: int, equity: float, needed: float, *, recover: bool) -> None:
        if self._call is None:
            return
        below = needed > 0 and equity < needed * self._call / 100
        if below and not self._called:
            self._called = True
            self._tell(instant_ns, "margin_call", equity, needed)
        elif recover and not below:
            self._called = False

    def _tell(self, instant_ns: int, what: str, equity: float, needed: float) -> None:
        level = equity / needed * 100 if needed else float("inf")
        self._ledger.note(instant_ns, ACCOUNT_STREAM, "margin", "broker", what, level, equity, needed)
