"""What the ccxt broker of a spot account shows; see `ccxt_picture`: coins of the bot count with its money."""

from collections.abc import Callable, Iterable

from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_picture import CcxtPicture
from src.brokers.ccxt_records import Money
from src.core.records import Quote, Side

__all__ = ["SpotPicture"]


class SpotPicture(CcxtPicture):
    """See `CcxtPicture`.

    Args:
        quote: the last quote of a symbol.
    """

    def __init__(
        self, symbols: Iterable[str], currency: str, protect_within_ns: int, quote: Callable[[str], Quote | None]
    ) -> None:  # fmt: skip
        super().__init__(symbols, currency, protect_within_ns)
        self._quote = quote

    def show(self, ledger: CcxtLedger, money: Money, asked_ns: int, now_ns: int, unprotected: set[str]) -> None:
        """See `CcxtPicture.show`.

        Args:
            money: of the account's currency what there is in all (`balance`) and what is free (`equity`).
        """
        super().show(ledger, self._whole(ledger, money), asked_ns, now_ns, unprotected)

    def _whole(self, ledger: CcxtLedger, money: Money) -> Money:
        cost = worth = reserved = 0.0
        for symbol in ledger.rules:
            quote = self._quote(symbol)
            for book in ledger.books(symbol):
                cost += book.volume * book.entry_price
                worth += book.volume * (book.entry_price if quote is None else quote.bid)
            for order in ledger.live(symbol):
                request = order.request
                if request.side is Side.BUY and order.acknowledged:  # what it ties up is reserved by whoever sizes
                    reserved += (request.volume - order.filled) * (request.limit or request.price or 0.0)
        equity = money.balance + worth
        free = min(money.balance, money.equity + reserved)
        return Money(balance=money.balance + cost, equity=equity, margin_used=equity - free)
