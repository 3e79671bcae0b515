"""What the ccxt broker answers at once, from what was read last; any thread. It is the half of it that asks nobody."""

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager

from src.brokers.ccxt_feed import CcxtFeed
from src.brokers.ccxt_picture import CcxtPicture
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.records import OrderEvent, Position, Quote, Snapshot

__all__ = ["CcxtShown"]


class CcxtShown:
    """The looking part of `Broker`.

    Attributes:
        feed: quotes and bars; see there for bars that came late.
        picture: account, positions, orders and events.
    """

    feed: CcxtFeed
    picture: CcxtPicture
    account_config: AccountConfig
    #: What taking costs, as a part of the value.
    _fee: float
    #: Guards the picture as a whole.
    _lock: AbstractContextManager[bool]

    def instrument(self, symbol: str) -> Instrument:
        """See `Broker.instrument`."""
        return self.feed.instrument(symbol)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        return self.feed.series(symbol, timeframe_ns)

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return self.feed.base_series(symbol)

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`."""
        return self.feed.quote(symbol)

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`; its instant is when the exchange was asked."""
        with self._lock:
            return self.picture.snapshot()

    def equity(self) -> float:
        """See `Broker.equity`."""
        return self.picture.money.equity

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        return self.picture.position(book, symbol)

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        return self.picture.positions(symbol)

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker.mailbox`."""
        return self.picture.mailbox(symbol)

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.entry_per_unit`."""
        return self._fee * price

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        return self._fee * price

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`."""
        quote = self.quote(symbol)
        spread = 0.0 if quote is None else quote.ask - quote.bid
        return price / self.account_config.leverage + spread
