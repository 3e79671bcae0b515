"""The venue of an account that has more than the plain one: stop-outs, swaps, funding, currencies, fees in coin. Pure.

Chosen at the start of a run that uses any of it, see `venue_of`; a plain run has the plain venue, which asks for none
of this. At the end of each step equity is kept as it is then.
"""

from collections.abc import Mapping, Sequence

from src.brokers.simulated.arrivals import would_take
from src.brokers.simulated.conversion import Rates
from src.brokers.simulated.desk import Desk
from src.brokers.simulated.full_ledger import FullLedger
from src.brokers.simulated.funding import FundingPayments, FundingRates
from src.brokers.simulated.ledger import Moment
from src.brokers.simulated.matching import match_interior, match_opens
from src.brokers.simulated.refusals import refused
from src.brokers.simulated.rules import Costs, FillRules
from src.brokers.simulated.sampled_venue import SampledVenue
from src.brokers.simulated.stop_out import StopOut
from src.brokers.simulated.swap import SwapNights
from src.brokers.simulated.venue import Venue
from src.brokers.simulated.volume import LimitedFullLedger
from src.brokers.simulated.working_order import WorkingOrder
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.records import Order, OrderRequest, OrderResult

__all__ = ["FullVenue", "needs_full_venue", "venue_of"]


def needs_full_venue(account: AccountConfig, instruments: Mapping[str, Instrument], costs: Costs) -> bool:
    """Whether anything is asked for that the plain venue does not have."""
    levels = account.margin_call_percent is not None or account.stop_out_percent is not None
    if levels or account.negative_balance == "zero" or account.books == "virtual" or not costs.commission.simple:
        return True
    return any(
        rules.quote_currency != account.currency or rules.margin_tiers or rules.swap is not None or rules.funding
        or rules.fees_in_base
        for rules in instruments.values()
    )  # fmt: skip


def venue_of(
    account: AccountConfig, instruments: Mapping[str, Instrument], base: Mapping[str, BarSeries], costs: Costs,
    rules: FillRules, funding: Mapping[str, FundingRates] | None = None,
    joining: Mapping[str, Instrument] | None = None,
) -> Venue:  # fmt: skip
    """The venue that an account needs; see `Venue` for the arguments.

    Args:
        funding: rates by symbol.
        joining: the rules of symbols that will join.
    """
    if needs_full_venue(account, {**instruments, **(joining or {})}, costs):
        return FullVenue(account, instruments, base, costs, rules, funding or {})
    return Venue(account, instruments, base, costs, rules)


class FullVenue(SampledVenue):
    """See `Venue` for what it shares with it.

    Args:
        funding: rates by symbol, of those that pay any.
    """

    ledger: FullLedger
    tells_makers = True

    def __init__(
        self, account: AccountConfig, instruments: Mapping[str, Instrument], base: Mapping[str, BarSeries],
        costs: Costs, rules: FillRules, funding: Mapping[str, FundingRates],
    ) -> None:  # fmt: skip
        super().__init__(account, instruments, base, costs, rules)
        self.rates = self.ledger.rates
        call, out = account.margin_call_percent, account.stop_out_percent
        self._stop_out = StopOut(self.ledger, call, out) if call is not None or out is not None else None
        self._lets_go = account.negative_balance == "zero"
        self._funding_rates = dict(funding)
        self._swaps: list[tuple[Desk, SwapNights]] = []
        self._funding: list[tuple[Desk, FundingPayments]] = []
        self._foreign = [desk for desk in self.desks if desk.instrument.quote_currency != account.currency]
        self._matched = False

    def _make_ledger(self, account: AccountConfig) -> FullLedger:
        instruments = {desk.symbol: desk.instrument for desk in self.desks}
        rates = Rates(account.currency, self.by_symbol.__getitem__, instruments, account.conversion_max_age_ns)
        share = self._costs.volume_share
        if share is None:
            return FullLedger(account, self.desks, rates)
        return LimitedFullLedger(account, self.desks, rates, share=share, wait=self._await_price)

    def add_desk(self, instrument: Instrument, series: BarSeries) -> None:
        """See `Venue.add_desk`."""
        super().add_desk(instrument, series)
        self.rates.add(instrument)
        desk = self.desks[-1]
        if instrument.quote_currency != self.ledger.account.currency:
            self._foreign.append(desk)
        self._plan_payments(desk, self._sampled_ns[-1])

    def place(self, request: OrderRequest, now_ns: int) -> tuple[OrderResult, WorkingOrder | None]:
        """See `Venue.place`; without a rate that converts its profit nothing is opened."""
        desk = self.by_symbol.get(request.symbol)
        if desk is not None and not request.reduce_only:
            missing = self.rates.missing(desk.instrument.quote_currency, now_ns)
            if missing is not None:
                return refused("no_rate", missing), None
        result, order = super().place(request, now_ns)
        if desk is not None and order is not None and not request.parent and order.effective_ns == now_ns:
            self._tell_maker(desk, order, desk.mark)
        return result, order

    def modify(
        self, order_id: str, price: float | None, limit: float | None, volume: float | None, now_ns: int
    ) -> tuple[OrderResult, Order | WorkingOrder | None]:
        """See `Venue.modify`; whether the order takes liquidity is decided anew when its change arrives."""
        result, changed = super().modify(order_id, price, limit, volume, now_ns)
        if isinstance(changed, WorkingOrder):
            desk = self.by_symbol[changed.request.symbol]
            self._tell_maker(desk, changed, desk.mark)
        return result, changed

    def _judge(self, desk: Desk, order: WorkingOrder, price: float, when: Moment) -> None:
        """See `Venue._judge`."""
        super()._judge(desk, order, price, when)
        self._tell_maker(desk, order, price)

    def _tell_maker(self, desk: Desk, order: WorkingOrder, price: float) -> None:
        """Note whether a limit is in the market at a price, and so takes liquidity, or will wait in the book."""
        self.ledger.takers.discard(order.order_id)
        if would_take(desk, order, price):
            self.ledger.takers.add(order.order_id)

    def rate_for(self, desk: Desk, now_ns: int) -> float:
        """The account's money for one unit of the currency of a symbol's prices; 0 when nothing may be opened by it."""
        currency = desk.instrument.quote_currency
        return 0.0 if self.rates.missing(currency, now_ns) is not None else self.rates.mid(currency)

    # -- time --------------------------------------------------------------------------------------

    def rewind(self, instant_ns: int) -> None:
        """See `Venue.rewind`; nights and rates count from here."""
        super().rewind(instant_ns)
        self._swaps.clear()
        self._funding.clear()
        for desk in self.by_name:
            self._plan_payments(desk, instant_ns)
        self._sample(instant_ns)

    def advance(self, instant_ns: int, closed: Sequence[int]) -> None:
        """See `Venue.advance`; what was due before the bars opened is paid first, the rest by who still holds then."""
        self._pay_due(instant_ns)
        self._matched = False
        super().advance(instant_ns, closed)
        if not self._matched and self._stop_out is not None and self.ledger.holding():
            self._match([self.desks[rank] for rank in closed], [], instant_ns)
        paid = len(self.ledger.payments)
        self._settle(instant_ns)
        if self._stop_out is not None and len(self.ledger.payments) > paid:
            self._test_after_payments(self._stop_out, [self.desks[rank] for rank in closed], instant_ns)
        self._sample(instant_ns)

    def open_market(self, instant_ns: int) -> None:
        """See `Venue.open_market`; a pair that converts counts at its own open, where it has one now."""
        self._pay_due(instant_ns)
        for symbol in self.rates.symbols([desk.instrument.quote_currency for desk in self._foreign]):
            desk = self.by_symbol[symbol]
            i = desk.first_from(instant_ns)
            if i < desk.series.loaded and desk.series.open_ns_at[i] == instant_ns:
                desk.open_bar(i, instant_ns)
        super().open_market(instant_ns)
        self._end_step(instant_ns)

    def _match(self, closed: list[Desk], touched: list[Desk], instant_ns: int) -> None:
        self._matched = True
        rule = self._stop_out
        if rule is None:
            super()._match(closed, touched, instant_ns)
            return
        ledger = self.ledger
        opens = {desk.symbol: desk.series.open_ns_at[desk.index] for desk in closed}
        for desk in closed:
            desk.mark = desk.series.open_at[desk.index]
        ledger.valuation = None
        for desk in touched:
            match_opens(ledger, desk, desk.index, instant_ns, self.rules)
        ended = rule.at_marks(
            instant_ns, lambda desk: Moment(instant_ns, opens.get(desk.symbol)), recover=False, fresh=opens
        )
        rule.begin(closed)
        ended |= rule.on_the_way(instant_ns)
        before = {book.position_id: book.volume for desk in ledger.holding() for book in desk.books}
        stops = {book.position_id: book.stop for desk in ledger.holding() for book in desk.books}
        filled = len(ledger.fills)
        for desk in touched:
            match_interior(ledger, desk, desk.index, instant_ns, self.rules)
        began = {
            book.position_id: book.entry_price
            for desk in ledger.holding()
            for book in desk.books
            if abs(book.volume) > abs(before.get(book.position_id, 0.0))
        }
        if began:
            # The adverse extreme comes first: what a target of this bar has closed was there until then.
            fills = [fill for fill in ledger.fills[filled:] if fill.kind != "entry" and fill.position_id in stops]
            left = [(self.by_symbol[fill.symbol], fill, stops[fill.position_id]) for fill in fills]
            ended |= rule.on_the_way(instant_ns, began, left)
        for desk in closed:
            desk.mark = desk.series.close_at[desk.index]
        ledger.valuation = None
        ended |= rule.at_marks(instant_ns, lambda desk: Moment(instant_ns), recover=True, fresh=opens)
        for desk in self.desks:
            if desk.symbol in ended or desk in touched:
                desk.review()

    # -- money -------------------------------------------------------------------------------------

    def _plan_payments(self, desk: Desk, begin_ns: int) -> None:
        if desk.instrument.swap is not None:
            self._swaps.append((desk, SwapNights(desk.instrument.swap, begin_ns)))
        if desk.instrument.funding and desk.symbol in self._funding_rates:
            self._funding.append((desk, FundingPayments(self._funding_rates[desk.symbol], begin_ns)))

    def _pay_due(self, instant_ns: int) -> None:
        """Pay swaps and funding up to an instant; what is due inside a bar that is under way waits for its matching."""
        ledger = self.ledger
        for desk, night in self._swaps:
            if night.next_ns > instant_ns:
                continue
            until_ns = _certain_until(desk, instant_ns)
            while night.next_ns <= until_ns:
                for book in desk.books:
                    points = night.points(book.volume)
                    amount = points * abs(book.volume)
                    ledger.pay(desk, book, "swap", amount, points, night.next_ns, instant_ns)
                night.advance()
        for desk, due in self._funding:
            if due.next_ns is None or due.next_ns > instant_ns:
                continue
            until_ns = _certain_until(desk, instant_ns)
            while due.next_ns is not None and due.next_ns <= until_ns:
                for book in desk.books:
                    amount = -book.volume * desk.mark * due.rate
                    ledger.pay(desk, book, "funding", amount, due.rate, due.next_ns, instant_ns)
                due.advance()

    def _test_after_payments(self, rule: StopOut, closed: list[Desk], instant_ns: int) -> None:
        """What was due at the very close of bars may be more than the account carries."""
        fresh = {desk.symbol: desk.series.open_ns_at[desk.index] for desk in closed}
        self.ledger.valuation = None
        ended = rule.at_marks(instant_ns, lambda desk: Moment(instant_ns), recover=True, fresh=fresh)
        for desk in self.desks:
            if desk.symbol in ended:
                desk.review()

    def _end_step(self, instant_ns: int) -> None:
        """See `SampledVenue._end_step`."""
        self._settle(instant_ns)
        self._sample(instant_ns)

    def _settle(self, instant_ns: int) -> None:
        self._pay_due(instant_ns)
        ledger = self.ledger
        if self._lets_go and ledger.balance < 0 and ledger.flat:
            ledger.let_go(instant_ns)
        if self._foreign:
            ledger.valuation = None  # a rate may have moved while the symbol itself did not
            for desk in self._foreign:
                for book in desk.books:
                    book.convert_at(ledger.rate(desk))

    def fidelity(self) -> dict[str, str]:
        """What is left that cannot be sold: a sentence by rule."""
        left = [
            f"{dust.volume:g} {symbol} worth {dust.volume * self.by_symbol[symbol].mark:.4g}"
            for symbol, dust in sorted(self.ledger.dust.items())
        ]
        return {"dust": f"too little to be sold is left: {', '.join(left)}"} if left else {}


def _certain_until(desk: Desk, instant_ns: int) -> int:
    """Until when it is known what a desk holds: the open of the bar that is under way, or the instant itself."""
    following = desk.index + 1
    if following < desk.series.loaded and desk.inside_bar(instant_ns):
        return desk.series.open_ns_at[following]
    return instant_ns
