"""The order book of the spot market of the local venue, and the coins that its account has.

The simulated broker behind it matches orders and knows nothing of coins: its own account is large enough for anything.
What the owner has, what resting orders tie up, and what fees take are counted here from executions. Under the venue's
lock.
"""

from collections.abc import Mapping

from src.brokers.simulated import Commission
from src.core.instrument import Instrument
from src.core.records import Fill, OrderRequest, OrderType, Side, TimeInForce
from src.testing.venue_market import assets_of
from src.testing.venue_order import VenueOrder, VenueTrade
from src.testing.venue_orders import VenueOrders
from src.testing.venue_spot_order import OrderList, SpotOrder
from src.testing.venue_wire import Params, Refusal, refusal_of
from src.testing.venue_world import BOOK, VenueWorld

__all__ = ["SpotOrders"]

#: Numbers of coins have so many digits.
_DIGITS = 8
_FIRST_LIST, _FIRST_TRADE = 5_001, 100_000_001
_FORCES = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
_LIMITS = ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT")
_TRIGGERED = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT")
_TYPES = {
    "LIMIT": OrderType.LIMIT, "LIMIT_MAKER": OrderType.LIMIT, "MARKET": OrderType.MARKET, "STOP_LOSS": OrderType.STOP,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT, "TAKE_PROFIT": OrderType.LIMIT,
}  # fmt: skip
_POOR = "Account has insufficient balance for requested action."
_TAKES = "Order would immediately match and take."
_TRIGGERS = "Stop price would trigger immediately."
_REFUSALS: dict[str, tuple[int, str]] = {
    "unknown_symbol": (-1121, "Invalid symbol."), "volume": (-1013, "Invalid quantity."),
    "volume_step": (-1013, "Filter failure: LOT_SIZE"), "min_volume": (-1013, "Filter failure: LOT_SIZE"),
    "max_volume": (-1013, "Filter failure: LOT_SIZE"), "min_notional": (-1013, "Filter failure: NOTIONAL"),
    "tick": (-1013, "Filter failure: PRICE_FILTER"), "price": (-1013, "Filter failure: PRICE_FILTER"),
    "stop_in_market": (-2010, _TRIGGERS), "post_only": (-2010, _TAKES), "not_working": (-2011, "Unknown order sent."),
    "filled_part": (-2011, "Unknown order sent."), "no_price": (-1013, "Market is closed."),
    "no_data": (-1013, "Market is closed."), "closed": (-1013, "Market is closed."),
}  # fmt: skip


class SpotOrders(VenueOrders):
    """See the module's text.

    Args:
        coins: what is there at first, by currency.
        commission: what an execution costs, of its value: in what was bought where the instrument says so, else in what
            it is paid with.

    Attributes:
        lists: the lists of orders, by number.
    """

    def __init__(self, world: VenueWorld, coins: Mapping[str, float], commission: Commission) -> None:
        super().__init__(world)
        self._commission = commission
        self.lists: list[OrderList] = []
        self.totals: dict[str, float] = dict(coins)

    # -- coins -------------------------------------------------------------------------------------

    def locked(self) -> dict[str, float]:
        """What resting orders tie up of each currency; the orders of a list together as much as the largest."""
        found: dict[str, float] = {}
        lists: dict[int, tuple[str, float]] = {}
        for order in self.spot_working(None):
            asset, amount = self._needs(order)
            if order.in_list is None:
                found[asset] = found.get(asset, 0.0) + amount
            elif order.in_list.number not in lists or lists[order.in_list.number][1] < amount:
                lists[order.in_list.number] = asset, amount
        for asset, amount in lists.values():
            found[asset] = found.get(asset, 0.0) + amount
        return {asset: round(amount, _DIGITS) for asset, amount in found.items()}

    def free(self, asset: str) -> float:
        """What an order may use of a currency."""
        return round(self.totals.get(asset, 0.0) - self.locked().get(asset, 0.0), _DIGITS)

    def _needs(self, order: SpotOrder) -> tuple[str, float]:
        base, quote = assets_of(self._world.instruments[order.symbol])
        left = order.quantity - order.executed
        if order.side == "SELL":
            return base, left
        price = order.price or order.trigger
        if not price:
            told = self._world.broker.quote(order.symbol)
            price = 0.0 if told is None else told.ask
        return quote, left * price

    def _add(self, asset: str, amount: float) -> None:
        self.totals[asset] = round(self.totals.get(asset, 0.0) + amount, _DIGITS)

    # -- asking ------------------------------------------------------------------------------------

    def place(self, rules: Instrument, params: Params, *, cut: bool = False) -> SpotOrder:
        """See `VenueOrders.place`; an order by itself."""
        order = self._read(rules, params, "", params.text("type"), "newClientOrderId")
        self._check(rules, order)
        self._afford(order)
        order.cut = cut
        self._accept(rules, order)
        self._settle()
        return order

    def place_oco(self, rules: Instrument, params: Params) -> OrderList:
        """Two orders on either side of the price, of which one cancels the other."""
        above = self._read(rules, params, "above", params.text("aboveType"), "aboveClientOrderId")
        below = self._read(rules, params, "below", params.text("belowType"), "belowClientOrderId")
        quote = self._world.broker.quote(rules.symbol)
        if above.client_id == below.client_id:
            raise Refusal(-2010, "Duplicate order sent.")
        high, low = (each.trigger or each.price for each in (above, below))
        if quote is None or not low < (quote.bid if above.side == "SELL" else quote.ask) < high:
            raise Refusal(-2010, "The relationship of the prices for the orders is not correct.")
        for each in (above, below):
            self._check(rules, each)
        self._afford(max(above, below, key=lambda each: self._needs(each)[1]))
        client_id = params.client_id("listClientOrderId")
        if any(each.live and each.client_id == client_id for each in self.lists):
            raise Refusal(-2010, "Duplicate order sent.")
        number = _FIRST_LIST + len(self.lists)
        found = OrderList(
            number=number, client_id=client_id or f"list{number}", symbol=rules.symbol,
            created_ns=self._world.now_ns, orders=[above, below],
        )  # fmt: skip
        self.lists.append(found)
        for each in (above, below):
            each.in_list = found
            self._accept(rules, each)
        self._settle()
        return found

    def _read(self, rules: Instrument, params: Params, leg: str, kind: str, identity: str) -> SpotOrder:
        """An order as it is asked for, alone or as a part of a list."""

        def name(text: str) -> str:
            return leg + text[0].upper() + text[1:] if leg else text

        for unknown in ("reduceOnly", "positionSide", "closePosition", "workingType", "goodTillDate", "quoteOrderQty"):
            if params.has(unknown):
                raise Refusal(-1104, "Not all sent parameters were read; read '8' parameter(s) but was sent '9'.")
        side = params.text("side")
        if side not in ("BUY", "SELL"):
            raise Refusal(-1117, "Invalid side.")
        if kind not in _TYPES:
            raise Refusal(-1116, "Invalid orderType.")
        needs_force = kind in ("LIMIT", "STOP_LOSS_LIMIT")
        force = params.text(name("timeInForce")) if needs_force else "GTC"
        if force not in _FORCES:
            raise Refusal(-1115, "Invalid timeInForce.")
        if params.has(name("timeInForce")) and not needs_force:
            raise Refusal(-1106, "Parameter 'timeInForce' sent when not required.")
        client_id = params.client_id(identity)
        if client_id in self.orders.by_client and self.orders.by_client[client_id].live:
            raise Refusal(-2010, "Duplicate order sent.")
        self._numbers += 1
        now_ns = self._world.now_ns
        return SpotOrder(
            number=self._numbers, client_id=client_id or f"venue{self._numbers}", symbol=rules.symbol, side=side,
            kind=kind, quantity=params.number("quantity", _DIGITS), identity=f"o{self._numbers}", created_ns=now_ns,
            updated_ns=now_ns, force=force, price=params.number(name("price"), _DIGITS) if kind in _LIMITS else 0.0,
            trigger=params.number(name("stopPrice"), _DIGITS) if kind in _TRIGGERED else 0.0,
        )  # fmt: skip

    def _check(self, rules: Instrument, order: SpotOrder) -> None:
        """Hold an order against the filters, and its trigger against the price."""
        quote = self._world.broker.quote(order.symbol)
        if quote is None:
            raise _refusal("no_price")
        at = quote.ask if order.side == "BUY" else quote.bid
        price = order.price or order.trigger or at
        if order.quantity <= 0 or price <= 0:
            raise _refusal("volume" if order.quantity <= 0 else "price")
        if order.quantity < rules.min_volume:
            raise _refusal("min_volume")
        if order.quantity * price < rules.min_notional:
            raise _refusal("min_notional")
        up = order.side == "BUY"
        if order.kind == "TAKE_PROFIT":
            up = not up
        if order.kind in _TRIGGERED and (order.trigger <= at if up else order.trigger >= at):
            raise _refusal("stop_in_market")

    def _afford(self, order: SpotOrder) -> None:
        asset, amount = self._needs(order)
        if amount > self.free(asset) + 10**-_DIGITS / 2:
            raise Refusal(-2010, _POOR)

    def _accept(self, rules: Instrument, order: SpotOrder) -> None:
        kind, limit = order.kind, order.kind in ("LIMIT", "LIMIT_MAKER")
        quote = self._world.broker.quote(order.symbol)
        crosses = quote is not None and (order.price >= quote.ask if order.side == "BUY" else order.price <= quote.bid)
        order.maker = limit and not crosses
        self._send(
            rules, order,
            OrderRequest(
                client_id=order.identity, book=BOOK, symbol=order.symbol, side=Side(order.side.lower()),
                type=_TYPES[kind], volume=rules.round_volume(order.quantity / 2) if order.cut else order.quantity,
                price=order.price if limit else order.trigger or None,
                limit=order.price if kind == "STOP_LOSS_LIMIT" else None,
                time_in_force=_FORCES[order.force] if kind == "LIMIT" else TimeInForce.GTC,
                post_only=kind == "LIMIT_MAKER",
                group="" if order.in_list is None else f"list{order.in_list.number}",
            ),
        )  # fmt: skip
        self.orders.add(order)

    def _send(self, rules: Instrument, order: VenueOrder, request: OrderRequest) -> None:
        self._by_identity[order.identity] = order
        result = self._world.broker.place(request)
        if not result.accepted:
            del self._by_identity[order.identity]
            raise _refusal(result.code) if result.code in _REFUSALS else refusal_of(result)

    def cancel_list(self, found: OrderList) -> None:
        """End a list.

        Raises:
            Refusal: it has ended.
        """
        if not found.live:
            raise Refusal(-2011, "Unknown order sent.")
        for order in found.orders:
            if order.live:
                self._world.broker.cancel(order.identity)
        self.sync()

    def find_list(self, params: Params) -> OrderList:
        """The list that is asked for by its number or else by its client id, of those the last one."""
        number, client_id = params.whole("orderListId", 0), params.values.get("listClientOrderId", "")
        client_id = client_id or params.values.get("origClientOrderId", "")
        for each in reversed(self.lists):
            if (each.number == number) if number else (each.client_id == client_id):
                return each
        raise Refusal(-2018, "Order list does not exist.")

    # -- what happened -----------------------------------------------------------------------------

    def _end_idle(self) -> bool:
        """Nothing only reduces here."""
        return False

    def _executed(self, order: VenueOrder, fill: Fill) -> VenueOrder:
        rules = self._world.instruments[fill.symbol]
        base, quote = assets_of(rules)
        value, bought = fill.volume * fill.price, fill.side is Side.BUY
        percent = self._commission.percent
        if order.maker and self._commission.maker_percent is not None:
            percent = self._commission.maker_percent
        in_coin = bought and rules.fees_in_base
        fee = round((fill.volume if in_coin else value) * percent / 100, _DIGITS if in_coin else 12)
        self._add(base, fill.side.sign * fill.volume - (fee if in_coin else 0.0))
        self.totals[quote] = self.totals.get(quote, 0.0) - fill.side.sign * value - (0.0 if in_coin else fee)
        trade = VenueTrade(
            number=_FIRST_TRADE + len(self.trades), order=order.number, symbol=fill.symbol, side=fill.side.upper(),
            quantity=fill.volume, price=fill.price, commission=fee, asset=base if in_coin else quote, realized=0.0,
            filled_ns=max(fill.filled_ns, order.created_ns), maker=order.maker,
        )  # fmt: skip
        self.trades.append(trade)
        order.trades.append(trade)
        return order

    def told_by(self, trade: VenueTrade) -> SpotOrder:
        """The order that an execution belongs to."""
        return next(each for each in self.spot_all(trade.symbol) if each.number == trade.order)

    def spot_all(self, symbol: str) -> list[SpotOrder]:
        """All orders of a symbol, in the order in which they were accepted."""
        return [each for each in self.orders.all if isinstance(each, SpotOrder) and each.symbol == symbol]

    def spot_working(self, symbol: str | None) -> list[SpotOrder]:
        """The working orders of a symbol, or of all."""
        return [each for each in self.working(symbol, self.orders) if isinstance(each, SpotOrder)]

    def with_coins(self, asset: str, amount: float) -> None:
        """Let somebody bring coins, or take some away."""
        self._add(asset, amount)


def _refusal(code: str) -> Refusal:
    return Refusal(*_REFUSALS[code])
