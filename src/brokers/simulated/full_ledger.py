"""A ledger for what only some accounts have: other currencies, margin tiers, one position of several books, commission
by order, fees in coin, swaps and funding. Pure: no lock, clock or I/O.

It is chosen at the start of a run that uses any of it, so that the others pay nothing. Profits are converted at the
rate of the instant and at the side that costs more, marking is at the middle.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from src.brokers.simulated.conversion import Rates
from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.margin import TieredMargin
from src.brokers.simulated.working_order import WorkingOrder
from src.core.book import Book
from src.core.config import AccountConfig
from src.core.journal import ACCOUNT_STREAM
from src.core.records import Fill, Order, OrderRequest, OrderState, OrderType, Payment, Side, TimeInForce

__all__ = ["Dust", "FullLedger"]

#: Orders that never wait in the book.
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


class Dust:
    """What is left of a coin, too little to be sold: its volume and the average price at which it was left."""

    __slots__ = ("price", "volume")

    def __init__(self) -> None:
        self.volume = 0.0
        self.price = 0.0

    def add(self, volume: float, price: float) -> None:
        """Leave more of it."""
        self.price = (self.price * self.volume + price * volume) / (self.volume + volume)
        self.volume += volume


class FullLedger(Ledger):
    """See `Ledger` for what it shares with it.

    Args:
        rates: the account's money for other currencies.

    Attributes:
        needed: the margin that open positions need to stay open, as of the last `valued`.
        payments: money that came or went without an execution, in order.
        dust: what is left of each symbol's coin, by name.
        takers: limit orders that were in the market when they arrived; they do not wait in the book.
        note: takes a record for the journal: instant, stream, kind, participant, values.
    """

    def __init__(self, account: AccountConfig, desks: Sequence[Desk], rates: Rates) -> None:
        super().__init__(account, desks)
        self.rates = rates
        self.needed = 0.0
        self.payments: list[Payment] = []
        self.dust: dict[str, Dust] = {}
        self.takers: set[str] = set()
        self.note: Callable[..., None] = _nobody_listens
        self.late_rates = 0
        self._granted = 0.0
        #: What stays behind as dust of the execution that is worked out now.
        self._left = 0.0
        self._executed: dict[str, tuple[float, float]] = {}
        self._models: dict[str, TieredMargin] = {}

    # -- margin ------------------------------------------------------------------------------------

    def model(self, desk: Desk) -> TieredMargin:
        """The margin model of a symbol."""
        found = self._models.get(desk.symbol)
        if found is None:
            found = self._models[desk.symbol] = TieredMargin(desk.instrument.margin_tiers, self.account.leverage)
        return found

    def rate(self, desk: Desk) -> float:
        """The account's money for one unit of the currency that a symbol's prices are in; NaN when it is unknown."""
        return self.rates.mid(desk.instrument.quote_currency)

    def exposure(self, desk: Desk) -> float:
        """The volume of a symbol that margin is taken for: both sides of a hedging account, else the net of all."""
        if self.hedging:
            return sum([abs(book.volume) for book in desk.books])
        return abs(sum([book.volume for book in desk.books]))

    def valued(self) -> tuple[float, float]:
        """See `Ledger.valued`; works out `needed` as well."""
        if self.valuation is None:
            equity, margin, needed = self.balance, 0.0, 0.0
            for desk in self.holding():
                quotes, mark, rate = desk.quotes, desk.mark, self.rate(desk)
                bid, ask = quotes.bid(mark), quotes.ask(mark)
                profit = 0.0
                for book in desk.books:
                    profit += book.volume * ((bid if book.volume > 0 else ask) - book.entry_price)
                notional, model = self.exposure(desk) * mark, self.model(desk)
                equity += profit * rate
                margin += model.initial(notional) * rate
                needed += model.maintenance(notional) * rate
            if self.dust:
                equity += self.dust_profit()
                for symbol in sorted(self.dust):
                    desk = self._desk_named(symbol)
                    margin += self.dust[symbol].volume * desk.mark * self.rate(desk)
            self.needed = needed
            self.valuation = equity, margin
        return self.valuation

    def holding(self) -> list[Desk]:
        """The desks with open positions, in the order of their names."""
        if self._holding is None:
            self._holding = [desk for desk in self._by_name if desk.books]
        return self._holding

    def dust_profit(self) -> float:
        """What dust has gained since it was left, at the price that would sell it."""
        profit = 0.0
        for symbol in sorted(self.dust):
            desk, dust = self._desk_named(symbol), self.dust[symbol]
            profit += dust.volume * (desk.quotes.bid(desk.mark) - dust.price) * self.rate(desk)
        return profit

    def margin_reserved(self) -> float:
        """See `Ledger.margin_reserved`; orders of one symbol count together, on top of what is held."""
        total = 0.0
        for desk in self._by_name:
            more = self._working(desk)
            if more:
                model, held = self.model(desk), self.exposure(desk) * desk.mark
                total += (model.initial(held + more) - model.initial(held)) * self.rate(desk)
        return total

    def _working(self, desk: Desk) -> float:
        """The notional by which working entries would enlarge what is held."""
        more = 0.0
        for order in desk.orders():
            if not order.request.reduce_only:
                increase = self.increase(desk, order.request, order.volume - order.filled_volume)
                more += increase * (order.price or desk.mark)
        return more

    def need_of_order(
        self, desk: Desk, side: Side, volume: float, price: float, order_id: str = "", book: str = ""
    ) -> float:  # fmt: skip
        """See `Ledger.need_of_order`; on top of the tiers that working orders of the symbol would reach."""
        need = self._need(desk, side, volume, price, price, order_id, self._against(desk, side, book))
        more = self._working(desk)
        if not more:
            return need
        model, held, new = self.model(desk), self.exposure(desk) * desk.mark, volume * price
        dearer = model.initial(held + more + new) - model.initial(held + more)
        return need + max(0.0, dearer - model.initial(held + new) + model.initial(held)) * self.rate(desk)

    def need(self, desk: Desk, side: Side, volume: float, price: float, quote: float, order_id: str = "") -> float:
        """See `Ledger.need`; the margin is what the whole position needs afterwards, less what it ties up now."""
        return self._need(desk, side, volume, price, quote, order_id, 0.0)

    def _against(self, desk: Desk, side: Side, book: str) -> float:
        """What an order of a book closes before it opens anything."""
        held = 0.0 if self.hedging else desk.held_by(book)
        return max(0.0, -held * side.sign)

    def _need(
        self, desk: Desk, side: Side, volume: float, price: float, quote: float, order_id: str, against: float
    ) -> float:  # fmt: skip
        """See `need`; of an order that first closes what it is `against`, and then opens that much and `volume`."""
        buy, quotes = side is Side.BUY, desk.quotes
        shown = quotes.shown(quote, ask=buy)
        lost = abs(price - (quotes.bid(shown) if buy else quotes.ask(shown)))
        at, rate, model = max(price, shown), self.rate(desk), self.model(desk)
        if self.hedging:
            before = self.exposure(desk)
            after = before + volume
        elif self.account.books == "virtual":
            held = sum([book.volume for book in desk.books])
            before, after = abs(held), abs(held + side.sign * (2 * against + volume))
        elif against:
            before, after = against, against + volume
        else:
            before = max(0.0, sum([book.volume for book in desk.books]) * side.sign)
            after = before + volume
        margin = max(0.0, model.initial(after * at) - model.initial(before * at)) * rate
        return margin + self._fee(desk, order_id, volume, price, rate) + lost * volume * rate

    def _fee(self, desk: Desk, order_id: str, volume: float, price: float, rate: float) -> float:
        """What an execution is expected to add to the commission of its order, the taker's percentage."""
        commission = desk.costs.commission
        executed = commission.executed(volume, price, rate, maker=False)
        before, paid = self._executed.get(order_id, (0.0, 0.0))
        return commission.of_order(before + executed) - paid

    def fee_refusal(self, desk: Desk, volume: float, price: float, order_id: str = "") -> str | None:
        """See `Ledger.fee_refusal`."""
        rate = self.rate(desk)
        if not desk.instrument.fees_in_base or self._fee(desk, order_id, volume, price, rate) < volume * price * rate:
            return None
        return f"the fee of {volume:g} {desk.symbol} at {price:g} takes all that is bought; buy more"

    def _opening_refusal(
        self, desk: Desk, order: WorkingOrder, volume: float, price: float, quote: float, when: Moment
    ) -> tuple[str, str] | None:  # fmt: skip
        """See `Ledger._opening_refusal`; a rate is needed now, however long ago the order was placed."""
        missing = self.rates.missing(desk.instrument.quote_currency, when.filled_ns)
        if missing is not None:
            return "no_rate", missing
        if order.request.side is Side.BUY:
            refusal = self.fee_refusal(desk, volume, price, order.order_id)
            if refusal is not None:
                return "min_notional", refusal
        return super()._opening_refusal(desk, order, volume, price, quote, when)

    def unit_cost(self, desk: Desk, price: float) -> float:
        """See `Ledger.unit_cost`; what is counted by order is left out."""
        commission = desk.costs.commission
        rate = self.rate(desk)
        return commission.executed(1.0, price, rate, maker=False) + desk.costs.slippage.of(price) * rate

    def unit_margin(self, desk: Desk, price: float) -> float:
        """See `Ledger.unit_margin`; at the tier that the position has reached."""
        rate = self.model(desk).rate_at(self.exposure(desk) * price)
        return (price * rate + 2 * desk.quotes.half(price, ask=True)) * self.rate(desk)

    # -- executions --------------------------------------------------------------------------------

    def _open(
        self, desk: Desk, book: Book, order: WorkingOrder, volume: float, price: float, quote: float, when: Moment, *,
        number: int,
    ) -> None:  # fmt: skip
        if desk.instrument.quote_currency != self.account.currency:
            book.convert_at(self.rate(desk))
        super()._open(desk, book, order, volume, price, quote, when, number=number)

    def _reduce(
        self, desk: Desk, book: Book, order: Order, volume: float, price: float, quote: float, when: Moment, *,
        kind: str, other: float | None = None,
    ) -> None:  # fmt: skip
        if desk.instrument.fees_in_base:
            left = self._left = self._unsellable(desk, book, order, volume, kind)
            if left:
                volume = abs(book.volume)
                self.dust.setdefault(desk.symbol, Dust()).add(left, price)
                values = (book.position_id, book.book, left, price)
                self.note(when.filled_ns, desk.symbol, "dust", "broker", *values)
        super()._reduce(desk, book, order, volume, price, quote, when, kind=kind, other=other)

    def _unsellable(self, desk: Desk, book: Book, order: Order, volume: float, kind: str) -> float:
        """What stays behind of a coin when `volume` of a book is sold and the rest is too little to be sold, else 0.

        While an order fills in parts nothing stays behind yet, and the least volume is that of the order.
        """
        rules, held = desk.instrument, abs(book.volume)
        exit_id = f"{book.position_id}-{kind}"
        # A stop or target that the venue fills in parts is one order, and what is left of a stop is sold at the market.
        own = order.order_id.startswith(exit_id)
        more = order.state is OrderState.PARTLY_FILLED or (own and order.request.type is not OrderType.MARKET)
        if more and volume < held:
            return 0.0
        sold = rules.round_volume(volume)
        part = own and order.order_id != exit_id
        if not part and rules.round_volume(max(volume, order.request.volume)) < rules.min_volume:
            sold = 0.0
        left = held - sold
        sellable = rules.round_volume(left)
        return left if left > 1e-12 * held and (sellable <= 0 or sellable < rules.min_volume) else 0.0

    def _fill(
        self, desk: Desk, order_id: str, position_id: str, request: OrderRequest, volume: float, price: float,
        quote: float, when: Moment, *, kind: str, other: float | None = None, number: int = 1,
    ) -> Fill:  # fmt: skip
        fill = super()._fill(
            desk, order_id, position_id, request, volume, price, quote, when, kind=kind, other=other, number=number
        )
        rules, currency = desk.instrument, desk.instrument.quote_currency
        rate = self.rate(desk)
        entry = kind == "entry"
        if not entry and currency != self.account.currency:
            rate = self.rates.paid(currency, self._gain(desk, position_id, price))
        traded = volume
        if not entry and rules.fees_in_base:
            traded = rules.round_volume(volume - self._left)
        waits = request.type is OrderType.LIMIT and request.time_in_force not in _AT_ONCE
        maker = kind == "target" or (waits and order_id not in self.takers)
        # Where the venue fills a stop or target in parts they are one order, whatever their ids are.
        exit_id = f"{position_id}-{kind}"
        counted = exit_id if not entry and order_id.startswith(exit_id) else order_id
        in_coin = entry and rules.fees_in_base
        # A fee in coin is no money of another currency that has to be bought: it is only worth something.
        paid = rate if in_coin else self.rates.paid(currency, -1.0)
        commission = self._commission(desk, counted, traded, price, paid, maker=maker)
        fee_volume = commission / (price * rate) if in_coin else 0.0
        fill = replace(
            fill, rate=rate, commission=commission, spread_cost=fill.spread_cost * rate,
            slippage_cost=fill.slippage_cost * rate, volume=volume - fee_volume, fee_volume=fee_volume,
        )  # fmt: skip
        self.fills[-1] = fill
        return fill

    def _gain(self, desk: Desk, position_id: str, price: float) -> float:
        for book in desk.books:
            if book.position_id == position_id:
                return book.side.sign * (price - book.entry_price)
        return -1.0

    def _commission(
        self, desk: Desk, order_id: str, volume: float, price: float, rate: float, *, maker: bool
    ) -> float:  # fmt: skip
        """What an execution adds to the commission of its order."""
        if volume == 0.0:
            return 0.0
        model = desk.costs.commission
        executed = model.executed(volume, price, rate, maker=maker)
        if model.minimum == 0.0 and model.per_trade == 0.0:
            return executed
        before, paid = self._executed.get(order_id, (0.0, 0.0))
        due = model.of_order(before + executed)
        self._executed[order_id] = before + executed, due
        return due - paid

    # -- payments ----------------------------------------------------------------------------------

    def pay(
        self, desk: Desk, book: Book, kind: str, amount: float, rate: float, due_ns: int, now_ns: int
    ) -> None:  # fmt: skip
        """Credit a book with an amount of its price's currency, negative when it pays.

        Args:
            rate: what the amount was worked out with.
            due_ns: when it was due, the present or before.
        """
        amount *= self.rates.paid(desk.instrument.quote_currency, amount)
        book.finance(amount)
        self._pay(desk, amount, now_ns)
        payment = Payment(
            instant_ns=due_ns, symbol=desk.symbol, book=book.book, position_id=book.position_id, kind=kind,
            amount=amount, rate=rate,
        )  # fmt: skip
        self._keep(payment, now_ns)

    def let_go(self, instant_ns: int) -> None:
        """Give back what a flat account owes."""
        amount = -self.balance
        self._granted += amount
        self._paid += amount
        self._moved += amount
        self.balance += amount
        self.valuation = None
        self.balances.append((instant_ns, self.balance))
        payment = Payment(
            instant_ns=instant_ns, symbol="", book="", position_id="", kind="negative_balance", amount=amount
        )  # fmt: skip
        self._keep(payment, instant_ns)

    @property
    def flat(self) -> bool:
        """Whether nothing is held."""
        return not any(desk.books for desk in self._by_name)

    def _keep(self, payment: Payment, now_ns: int) -> None:
        self.payments.append(payment)
        self.note(
            now_ns, payment.symbol or ACCOUNT_STREAM, "payment", "broker", payment.position_id, payment.book,
            payment.kind, payment.amount, payment.rate, payment.instant_ns,
        )  # fmt: skip

    def _pay(self, desk: Desk, amount: float, instant_ns: int) -> None:
        super()._pay(desk, amount, instant_ns)
        self.balance += self._granted

    def _desk_named(self, symbol: str) -> Desk:
        return next(desk for desk in self._by_name if desk.symbol == symbol)


def _nobody_listens(*record: object) -> None:
    return
