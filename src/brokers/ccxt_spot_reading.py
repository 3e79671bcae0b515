"""Reading a spot account; see `ccxt_reading`: coins come and go without the bot, and none of that holds it up."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from src.brokers.ccxt_reading import CcxtReader
from src.brokers.ccxt_records import Execution, Held
from src.brokers.ccxt_spot_ledger import SpotLedger
from src.brokers.ccxt_spot_wire import SpotWire

__all__ = ["SpotReader"]


class SpotReader(CcxtReader):
    """See `CcxtReader`."""

    def __init__(
        self, wire: SpotWire, ledger: SpotLedger, lock: AbstractContextManager[bool], currency: str,
        now_ns: Callable[[], int], in_flight_ns: int, fee_part: float = 0.001,
    ) -> None:  # fmt: skip
        super().__init__(wire, ledger, lock, currency, now_ns, in_flight_ns, fee_part)
        self._spot = wire
        self._in_flight_ns = in_flight_ns

    def _take_for_foreign(self, holdings: dict[str, Held]) -> None:
        """Coins that come or go without an execution are other people's, also beside what the bot holds."""
        now = self._now_ns()
        for symbol in self._ledger.rules:
            if self._agrees(symbol, holdings) or self._is_owed(symbol):
                self._odd_since_ns.pop(symbol, None)
            elif now - self._odd_since_ns.setdefault(symbol, now) >= self._in_flight_ns:
                held, own = holdings.get(symbol), sum(book.volume for book in self._ledger.books(symbol))
                volume = (0.0 if held is None else held.volume) - own
                self._ledger.foreign[symbol] = self._ledger.clean(symbol, volume)

    def _fee(self, execution: Execution, rates: dict[str, float | None]) -> float:
        """See `CcxtReader._fee`; a fee in the coin that is traded counts at the price of its execution."""
        if execution.fee_currency == self._spot.coin(execution.symbol):
            return execution.fee * execution.price
        return super()._fee(execution, rates)
