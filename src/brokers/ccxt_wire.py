"""The questions and requests of the ccxt broker in our own words: symbols, records, nanoseconds.

Any thread may call; each call waits for the network as `CcxtClient` does, and raises what that raises.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from src.brokers.ccxt_bars import Row
from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_errors import NO_CHANGE, Refusal, number_refusal
from src.brokers.ccxt_records import (
    Execution,
    Held,
    Money,
    Report,
    contracts_of,
    execution_of,
    held_of,
    money_of,
    placement_of,
    report_of,
    request_of,
)
from src.core.errors import BrokerContractError, BrokerUnavailable
from src.core.records import OrderRequest, OrderState
from src.core.timeframe import DAY_NS, parse_timeframe

__all__ = ["CcxtWire"]

_MS = 1_000_000
_PAGE = 1_000
#: The longest time that is asked for at once: exchanges answer for seven days.
_WINDOW_MS = 6 * DAY_NS // _MS

Item = TypeVar("Item")


class CcxtWire:
    """One account at one exchange.

    Args:
        client: the exchange.
        markets: ccxt's market of each symbol that is traded.
    """

    def __init__(self, client: CcxtClient, markets: Mapping[str, Mapping[str, Any]]) -> None:
        self.client = client
        self._names = {symbol: str(market["symbol"]) for symbol, market in markets.items()}
        self._symbols = {name: symbol for symbol, name in self._names.items()}
        self._sizes = {symbol: float(market.get("contractSize") or 1.0) for symbol, market in markets.items()}
        self._lengths = self.timeframes()

    # -- orders --------------------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> Report | Refusal:
        """Send an order, once; the report of one that was accepted without an id has none.

        Raises:
            BrokerUnavailable: no answer, or one that says nothing, or that an order of this id works already: then it
                may be this one, sent twice by something on the way.
        """
        name, size = self._names[request.symbol], self._sizes[request.symbol]
        kind, side, amount, price, params = placement_of(request, size)

        def send(client: Any) -> Report:
            return report_of(client.create_order(name, kind, side, amount, price, params), request.symbol, size)

        report = self.client.act("an order", send)
        if isinstance(report, Refusal):
            if report.code == "duplicate_id":
                raise BrokerUnavailable(f"expected an answer to {request.client_id}, found {report.message}")
            return report
        if report.state is not OrderState.REJECTED or report.filled:
            return report
        if not report.number:
            return Refusal(code="rejected", message=f"the venue rejects the order: {report.message}")
        refusal = number_refusal(report.number, report.message)
        if refusal is None:
            raise BrokerUnavailable(f"expected an answer to {request.client_id}, found {report.message}")
        return refusal

    def cancel(self, symbol: str, client_id: str, venue_id: str, *, conditional: bool) -> Refusal | None:
        """Cancel an order by the exchange's id, or by its client id where that is not known."""
        name, params = self._names[symbol], _which(client_id, venue_id, conditional)
        answer = self.client.act("a cancellation", lambda client: client.cancel_order(venue_id, name, params))
        return answer if isinstance(answer, Refusal) else None

    def modify(self, request: OrderRequest, venue_id: str) -> Refusal | None:
        """Give a limit order the price and volume of the request."""
        name, amount = self._names[request.symbol], contracts_of(request.volume, self._sizes[request.symbol])
        answer = self.client.act(
            "a change",
            lambda client: client.edit_order(venue_id, name, "limit", str(request.side), amount, request.price),
        )
        return answer if isinstance(answer, Refusal) and answer.code != NO_CHANGE else None

    def find(
        self, symbol: str, *, client_id: str = "", venue_id: str = "", conditional: bool = False
    ) -> tuple[Report, OrderRequest] | None:
        """An order by the exchange's id, or by its client id; with it what must have been asked for."""
        name, params = self._names[symbol], _which(client_id, venue_id, conditional)
        return self.client.look(
            "an order", lambda client: self._told(symbol, client.fetch_order(venue_id or None, name, params))
        )

    def open_orders(self, symbol: str, *, conditional: bool) -> list[Report]:
        """All orders of a symbol that work, other people's as well; one that cannot be read is left out."""
        name, params = self._names[symbol], {"trigger": True} if conditional else {}

        def ask(client: Any) -> list[Report]:
            found = []
            for each in client.fetch_open_orders(name, None, None, params):
                with suppress(BrokerContractError):  # if it is ours it is missed, and asked for by its id
                    found.append(report_of(each, symbol, self._sizes[symbol]))
            return found

        return self.client.read("the open orders", ask)

    def all_orders(self, symbol: str, since_ns: int, *, conditional: bool) -> list[tuple[Report, OrderRequest]]:
        """All orders of a symbol that were placed from an instant on, other people's as well."""
        name, params = self._names[symbol], {"trigger": True} if conditional else {}

        def page(from_ms: int, until_ms: int | None) -> list[tuple[Report, OrderRequest]]:
            more = params if until_ms is None else {**params, "until": until_ms}

            def ask(client: Any) -> list[tuple[Report, OrderRequest]]:
                return [self._told(symbol, each) for each in client.fetch_orders(name, from_ms, _PAGE, more)]

            return self.client.read("the orders", ask)

        found = self._pages(since_ns // _MS, page)
        return list({report.venue_id: (report, request) for report, request in found}.values())

    def executions(self, symbol: str, since_ms: int) -> list[Execution]:
        """All own executions of a symbol from an instant on, in order."""
        name, size = self._names[symbol], self._sizes[symbol]

        def page(from_ms: int, until_ms: int | None) -> list[Execution]:
            more = {} if until_ms is None else {"until": until_ms}

            def ask(client: Any) -> list[Execution]:
                return [execution_of(each, symbol, size) for each in client.fetch_my_trades(name, from_ms, _PAGE, more)]

            return self.client.read("the executions", ask)

        found = {each.trade_id: each for each in self._pages(since_ms, page)}
        return sorted(found.values(), key=lambda each: (each.at_ns, len(each.trade_id), each.trade_id))

    def _pages(self, since_ms: int, page: Callable[[int, int | None], list[Item]]) -> list[Item]:
        """All that has happened since, in windows of which the exchange cuts nothing off.

        An exchange answers for some days at most, and with so many rows at most; which of them it leaves out, the first
        or the last ones, is its own affair. So a window that comes back full is asked for again in halves.
        """
        found: list[Item] = []
        now_ms = self.client.venue_ms()
        while now_ms - since_ms > _WINDOW_MS:
            found += self._window(since_ms, since_ms + _WINDOW_MS, page)
            since_ms += _WINDOW_MS
        rows = page(since_ms, None)
        return found + (rows if len(rows) < _PAGE else self._window(since_ms, max(now_ms, since_ms + 1), page))

    def _window(self, from_ms: int, until_ms: int, page: Callable[[int, int | None], list[Item]]) -> list[Item]:
        rows = page(from_ms, until_ms)
        if len(rows) < _PAGE or until_ms - from_ms < 2:
            return rows
        middle_ms = (from_ms + until_ms) // 2
        return self._window(from_ms, middle_ms, page) + self._window(middle_ms, until_ms, page)

    # -- the account ---------------------------------------------------------------------------------------------------

    def money(self, currency: str) -> Money:
        """What the account has."""
        return self.client.read("the balance", lambda client: money_of(client.fetch_balance(), currency))

    def holdings(self) -> dict[str, Held]:
        """What is held of the symbols that are traded; those that are not held are absent."""
        names = list(self._names.values())

        def ask(client: Any) -> list[Held]:
            found = [each for each in client.fetch_positions(names) if each["symbol"] in self._symbols]
            return [held_of(each, self._symbols[each["symbol"]]) for each in found]

        return {each.symbol: each for each in self.client.read("the positions", ask) if each.volume}

    def one_way(self) -> bool:
        """Whether the account keeps one position of each symbol."""
        return self.client.read("the position mode", lambda client: not client.fetch_position_mode()["hedged"])

    def set_leverage(self, symbol: str, leverage: float) -> Refusal | None:
        """Set how many times its margin a position may be worth; the exchange has whole numbers alone."""
        name = self._names[symbol]
        if leverage != int(leverage):
            return Refusal(code="leverage", message=f"expected a whole number, found {leverage:g}")
        answer = self.client.act("the leverage", lambda client: client.set_leverage(int(leverage), name))
        return answer if isinstance(answer, Refusal) and answer.code != NO_CHANGE else None

    def rate(self, currency: str, into: str) -> float:
        """The last price of a currency in another one, of a perpetual or a spot market."""
        names = (f"{currency}/{into}:{into}", f"{currency}/{into}")

        def ask(client: Any) -> Any:
            known = [name for name in names if name in client.markets]
            return client.fetch_ticker(known[0]) if known else {}

        last = self.client.read("a rate", ask).get("last")
        if not last:
            raise BrokerContractError(f"expected a rate of {currency} in {into} for a fee, found none")
        return float(last)

    # -- the market ----------------------------------------------------------------------------------------------------

    def timeframes(self) -> dict[int, str]:
        """The lengths of bars that the exchange has, nanoseconds, and what it calls them; months have none."""
        names = self.client.read("the timeframes", lambda client: list(client.timeframes or ()))
        return {parse_timeframe(name): name for name in names if name[-1] in "mhdw"}

    def quotes(self, symbols: Iterable[str]) -> dict[str, tuple[float, float, int]]:
        """Bid, ask and the exchange's own time of them, milliseconds or 0, of symbols, in one request.

        Those without a price, or whose prices cross, are absent.
        """
        names = [self._names[symbol] for symbol in symbols]

        def ask(client: Any) -> dict[str, tuple[float, float, int]]:
            found: dict[str, tuple[float, float, int]] = {}
            for name, each in client.fetch_bids_asks(names).items():
                if name not in self._symbols or not each.get("bid") or not each.get("ask"):
                    continue
                bid, ask = float(each["bid"]), float(each["ask"])
                if 0 < bid <= ask < math.inf:
                    found[self._symbols[name]] = bid, ask, int((each.get("info") or {}).get("time") or 0)
            return found

        return self.client.read("the quotes", ask)

    def bars(self, symbol: str, timeframe_ns: int, since_ns: int, count: int) -> list[Row]:
        """Bars from an instant on, by their open; the last one may be under way."""
        name, text = self._names[symbol], self._lengths[timeframe_ns]

        def ask(client: Any) -> list[Row]:
            rows = client.fetch_ohlcv(name, text, since_ns // _MS, count)
            return [row for row in map(_bar, rows) if row is not None and row[0] >= since_ns]

        return self.client.read("bars", ask)

    def _told(self, symbol: str, order: dict[str, Any]) -> tuple[Report, OrderRequest]:
        report = report_of(order, symbol, self._sizes[symbol])
        return report, request_of(report, order)


def _which(client_id: str, venue_id: str, conditional: bool) -> dict[str, Any]:
    params: dict[str, Any] = {"trigger": True} if conditional else {}
    if not venue_id:
        params["clientOrderId"] = client_id
    return params


def _bar(row: Sequence[Any]) -> Row | None:
    """A bar; None for one that is none, because its prices are impossible."""
    o, high, low, c, volume = (float(value) for value in row[1:6])
    if not (0 < low <= min(o, c) <= max(o, c) <= high < math.inf and 0 <= volume < math.inf):
        return None
    return int(row[0]) * _MS, (o, high, low, c, volume)
