"""Money of one currency in another: the rate of the instant, from the symbols that the venue has prices of. Pure.

A rate is never guessed. Where no symbol joins two currencies, or its last price is too old, there is none, and who asks
is refused.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from src.brokers.simulated.desk import Desk
from src.core.instrument import Instrument

__all__ = ["Rates", "conversion_route"]

#: The currency over which two others are joined when no symbol joins them directly.
OVER = "USD"

#: Steps from one currency to another: the symbol, and whether it is quoted the other way round.
Route = tuple[tuple[str, bool], ...]


def conversion_route(currency: str, account: str, instruments: Mapping[str, Instrument]) -> Route | None:
    """How money of a currency becomes the account's: one symbol whose pair joins the two, or two over USD.

    Args:
        instruments: in the order of the configuration; of several that would do the first is taken.

    Returns:
        No step at all for the account's own currency; None when there is no way.
    """
    if currency == account:
        return ()
    direct = _step(currency, account, instruments)
    if direct is not None:
        return (direct,)
    if OVER in (currency, account):
        return None
    first, second = _step(currency, OVER, instruments), _step(OVER, account, instruments)
    return None if first is None or second is None else (first, second)


def _step(one: str, other: str, instruments: Mapping[str, Instrument]) -> tuple[str, bool] | None:
    for symbol, rules in instruments.items():
        if not rules.base_currency:
            continue
        if (rules.base_currency, rules.quote_currency) == (one, other):
            return symbol, False
        if (rules.base_currency, rules.quote_currency) == (other, one):
            return symbol, True
    return None


class Rates:
    """The account's money for one unit of other currencies, at the prices of now.

    Args:
        account: the account's currency.
        desk: the desk of a symbol.
        instruments: the symbols that have desks.
        max_age_ns: an older price gives no rate for something new.
    """

    def __init__(
        self, account: str, desk: Callable[[str], Desk], instruments: Mapping[str, Instrument], max_age_ns: int
    ) -> None:
        self._account = account
        self._desk = desk
        self._instruments = dict(instruments)
        self._max_age_ns = max_age_ns
        self._routes: dict[str, Route | None] = {}

    def add(self, instrument: Instrument) -> None:
        """Count one more symbol, after all others."""
        self._instruments[instrument.symbol] = instrument
        self._routes.clear()

    def symbols(self, currencies: Iterable[str]) -> list[str]:
        """The symbols that convert them, by name."""
        return sorted({symbol for currency in currencies for symbol, _ in self._route(currency) or ()})

    def mid(self, currency: str) -> float:
        """Between bid and ask, for marking; NaN without a rate."""
        route = self._route(currency)
        if route is None:
            return float("nan")
        rate = 1.0
        for symbol, inverse in route:
            desk = self._desk(symbol)
            middle = (desk.quotes.bid(desk.mark) + desk.quotes.ask(desk.mark)) / 2
            rate *= 1.0 / middle if inverse else middle
        return rate

    def paid(self, currency: str, amount: float) -> float:
        """The rate of money that is really exchanged: gains are sold at the bid, losses bought at the ask."""
        route = self._route(currency)
        if route is None:
            return float("nan")
        rate = 1.0
        for symbol, inverse in route:
            desk = self._desk(symbol)
            if (amount > 0) != inverse:
                price = desk.quotes.bid(desk.mark)
            else:
                price = desk.quotes.ask(desk.mark)
            rate *= 1.0 / price if inverse else price
        return rate

    def missing(self, currency: str, now_ns: int) -> str | None:
        """Why there is no rate now, as a sentence; None when there is one."""
        if currency == self._account:
            return None
        route = self._route(currency)
        if route is None:
            return f"no symbol joins {currency} and {self._account}"
        for symbol, _ in route:
            desk = self._desk(symbol)
            if math.isnan(desk.mark):
                return f"{symbol}, which converts {currency} into {self._account}, has no price yet"
            known_ns = desk.priced_ns()
            if now_ns - known_ns > self._max_age_ns:
                hours = (now_ns - known_ns) / 3.6e12
                return f"the price of {symbol}, which converts {currency} into {self._account}, is {hours:.1f} h old"
        return None

    def _route(self, currency: str) -> Route | None:
        if currency not in self._routes:
            self._routes[currency] = conversion_route(currency, self._account, self._instruments)
        return self._routes[currency]
