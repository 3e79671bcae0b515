"""The venue of a run in which prices come by themselves, quote by quote: each is worked like the open of a bar. Pure.

A quote is a bar that has nothing but an open, with a bid and an ask of its own: orders that wait for a price fill at
it, then stops, targets and resting orders that it reaches. Bars are only shown when they close and fill nothing.
Between two quotes nothing happens, so a latency shorter than a bar counts. Whoever calls holds what protects the
account and says what time it is.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.brokers.simulated.blown_spread import check_blown
from src.brokers.simulated.desk import Desk
from src.brokers.simulated.full_venue import FullVenue, needs_full_venue
from src.brokers.simulated.funding import FundingRates
from src.brokers.simulated.ledger import Moment
from src.brokers.simulated.matching import apply_changes, fill_market_orders, match_quote
from src.brokers.simulated.rules import Costs, FillRules
from src.brokers.simulated.sampled_venue import SampledVenue
from src.brokers.simulated.spread import PriceSide, QuoteRule, side_shares
from src.brokers.simulated.triggers import trigger_at_trade
from src.brokers.simulated.working_order import WorkingOrder
from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.records import TriggerBy
from src.core.timeframe import HOUR_NS

__all__ = ["FullQuoteVenue", "PriceTape", "QuoteDesk", "QuoteVenue", "quote_venue_of"]


#: Which trigger follows the prices of a tape that are no quotes, by what they are.
TRADED_AS = {"trade": TriggerBy.LAST, "mark": TriggerBy.MARK}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriceTape:
    """The prices of one symbol in the order in which they came.

    Attributes:
        ts_ns: nanoseconds UTC, never decreasing, shape (n,) as all columns; of several with one stamp the order of the
            rows is that in which they came.
        bid, ask: the quotes; NaN in rows that are trades.
        last: the prices of trades; NaN in rows that are quotes.
        side: which price `last` is; the configured spread lies around it where there are no quotes.
        note: what whoever reads the results has to know of the prices, a sentence; empty for nothing.
    """

    symbol: str
    ts_ns: IntArray
    bid: FloatArray
    ask: FloatArray
    last: FloatArray
    note: str = ""
    side: str = "trade"

    @property
    def has_quotes(self) -> bool:
        """Whether bid and ask are known; else the configured spread lies around the trades."""
        return bool(np.any(self.bid == self.bid))

    @property
    def has_trades(self) -> bool:
        """Whether anything was traded."""
        return bool(np.any(self.last == self.last))


class StandingQuote(QuoteRule):
    """Bid and ask as they stand now, whatever price is asked for; moved by each quote."""

    __slots__ = ("price",)

    price: float

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self.move(float("nan"), float("nan"), float("nan"))

    def move(self, bid: float, ask: float, price: float) -> None:
        """Stand at another quote; `price` is that of the bars' side."""
        put = object.__setattr__  # a rule is frozen for everybody else
        put(self, "bid_offset", -bid)
        put(self, "ask_offset", ask)
        put(self, "price", price)

    def bid(self, price: float) -> float:
        """See `QuoteRule.bid`."""
        return -self.bid_offset

    def ask(self, price: float) -> float:
        """See `QuoteRule.ask`."""
        return self.ask_offset

    def half(self, quote: float, *, ask: bool) -> float:
        """See `QuoteRule.half`."""
        return (self.ask_offset + self.bid_offset) / 2

    def across(self, quote: float, *, ask: bool) -> float:
        """See `QuoteRule.across`."""
        return -self.bid_offset if ask else self.ask_offset

    def shown(self, quote: float, *, ask: bool) -> float:
        """See `QuoteRule.shown`."""
        return self.price


class QuoteDesk(Desk):
    """A desk whose price is the last quote.

    Args:
        instrument, series, costs, rank: see `Desk`.
        tape: the prices to come; those of before the start are the present at first.
    """

    __slots__ = (
        "ask_at", "bid_at", "last", "last_at", "reached", "standing", "taken", "traded", "traded_as", "ts_at", "ts_ns",
    )  # fmt: skip

    quoted = True

    def __init__(self, instrument: Instrument, series: BarSeries, costs: Costs, rank: int, tape: PriceTape) -> None:
        super().__init__(instrument, series, costs, rank)
        bid, ask = (tape.bid, tape.ask) if tape.has_quotes else _around(tape, costs)
        if costs.blow_outs:
            bid, ask = _blown_out(tape, bid, ask, series.price_side, costs)
        self.ts_ns, self.ts_at, self.bid_at, self.ask_at = tape.ts_ns, tape.ts_ns.data, bid.data, ask.data
        self.last_at = tape.last.data
        #: What triggers may follow besides the quote, None when nothing was traded.
        self.traded_as = TRADED_AS.get(tape.side) if tape.has_trades else None
        #: The last trade, and that of the row that has come just now, NaN where there is none.
        self.last = self.traded = float("nan")
        #: The trades that have reached triggers since the last quote, by the id of the order.
        self.reached: dict[str, float] = {}
        #: How many of them have come.
        self.taken = 0
        self.quotes = self.standing = StandingQuote()

    def begin(self, instant_ns: int) -> None:
        """Take what came up to an instant as the past: the last quote of it is the price now."""
        self.taken = bisect_right(self.ts_at, instant_ns)
        self.series.ticks = self.taken
        traded = (self.last_at[k] for k in range(self.taken - 1, -1, -1) if self.last_at[k] == self.last_at[k])
        self.last = next(traded, float("nan"))
        for k in range(self.taken - 1, -1, -1):
            if self.bid_at[k] == self.bid_at[k]:
                self._stand(self.bid_at[k], self.ask_at[k])
                return
        if self.index >= 0:
            below, above = self._distances(self.mark, instant_ns)
            self.standing.move(self.mark - below, self.mark + above, self.mark)

    def priced_ns(self) -> int:
        """See `Desk.priced_ns`; at the last quote, where there was one."""
        for k in range(self.taken - 1, -1, -1):
            if self.bid_at[k] == self.bid_at[k]:
                return self.ts_at[k]
        return super().priced_ns()

    def _distances(self, price: float, instant_ns: int) -> tuple[float, float]:
        """How far bid and ask lie from the close of a bar, before the first quote: the configured spread."""
        below, above = side_shares(self.series.price_side)
        spread = price * self.costs.spread_percent / 100 + self.costs.spread_points
        if self.costs.spread_by_hour is not None:
            spread = self.costs.spread_by_hour[instant_ns // HOUR_NS % 24]
        return spread * below, spread * above

    def take(self) -> bool:
        """Let the next price come; whether it is a quote."""
        k = self.taken
        self.taken = self.series.ticks = k + 1
        self.traded = traded = self.last_at[k]
        if traded == traded:
            self.last = traded
        bid = self.bid_at[k]
        if bid != bid:
            if self.resting:
                self._meet_triggers(traded, self.ts_at[k])
            return False
        self._stand(bid, self.ask_at[k])
        return True

    def _meet_triggers(self, traded: float, instant_ns: int) -> None:
        """Note what a trade triggers: it fills at the next quote, because the one that stands is older."""
        for order in self.resting:
            if order.request.trigger_by is not self.traded_as or order.triggered or order.order_id in self.reached:
                continue
            works = order.effective_ns <= instant_ns and order.ending(instant_ns) is None
            if works and trigger_at_trade(self, order, traded):
                self.reached[order.order_id] = traded

    def _stand(self, bid: float, ask: float) -> None:
        side = self.series.price_side
        self.mark = mark = bid if side == "bid" else ask if side == "ask" else (bid + ask) / 2
        self.standing.move(bid, ask, mark)

    def _trigger_prices(self) -> dict[TriggerBy, PriceSide]:
        """See `Desk._trigger_prices`: what bars show triggers nothing here."""
        return {}

    def knows(self, by: TriggerBy) -> bool:
        """See `Desk.knows`."""
        return by is self.traded_as

    def watched(self, order: WorkingOrder, opened: int) -> float:
        """See `Desk.watched`: the trade that came with the quote, or the one that reached the order before it."""
        return self.traded if self.traded == self.traded else self.reached.pop(order.order_id, self.traded)

    def watched_now(self, by: TriggerBy) -> float:
        """See `Desk.watched_now`."""
        return self.last if self.knows(by) else float("nan")

    def next_open_ns(self, effective_ns: int) -> int | None:
        """See `Desk.next_open_ns`: the first quote to come."""
        k = bisect_left(self.ts_at, effective_ns, self.taken)
        while k < len(self.ts_at):
            if self.bid_at[k] == self.bid_at[k]:
                return self.ts_at[k]
            k += 1
        return None

    def ends_within_bar(self, instant_ns: int) -> bool:
        """See `Desk.ends_within_bar`: an end is a step of its own."""
        return False

    def inside_bar(self, now_ns: int) -> bool:
        """See `Desk.inside_bar`: the next quote is as fresh as can be."""
        return False


def _around(tape: PriceTape, costs: Costs) -> tuple[FloatArray, FloatArray]:
    """Bid and ask of trades: the configured spread lies half below and half above the price."""
    if costs.spread_column:
        raise ConfigError(
            f"backtest.costs.spread: column needs quotes of {tape.symbol} when prices come one by one, found trades "
            "alone: write another spread"
        )
    below, above = side_shares(tape.side)
    spread = tape.last * (costs.spread_percent / 100) + costs.spread_points
    if costs.spread_by_hour is not None:
        spread = np.array(costs.spread_by_hour, dtype=np.float64)[(tape.ts_ns // HOUR_NS) % 24]
    return tape.last - spread * below, tape.last + spread * above


def _blown_out(
    tape: PriceTape, bid: FloatArray, ask: FloatArray, price_side: str, costs: Costs
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Bid and ask so many times farther from the price while the spread blows out."""
    times = np.ones(len(tape.ts_ns))
    for each in costs.blow_outs:
        if each.symbol in ("", tape.symbol):
            inside = (tape.ts_ns >= each.from_ns) & (tape.ts_ns < each.to_ns)
            times[inside] = np.maximum(times[inside], each.factor)
    price = bid if price_side == "bid" else ask if price_side == "ask" else (bid + ask) / 2
    wide = price - (price - bid) * times
    check_blown(tape.symbol, wide[times > 1].tolist())
    return np.where(times > 1, wide, bid), np.where(times > 1, price + (ask - price) * times, ask)


class QuoteVenue(SampledVenue):
    """See `Venue`; it takes quotes one by one, in the order of their instants.

    Args:
        tapes: the prices of each symbol.
        the others: as of `Venue`.
    """

    def __init__(self, tapes: Mapping[str, PriceTape], *args: Any) -> None:
        self._tapes = dict(tapes)
        super().__init__(*args)
        latency = self._costs.latency_ns
        self.latency_ns = dict.fromkeys(self.latency_ns, latency)
        self._paid = 0

    def _make_desk(self, instrument: Instrument, series: BarSeries, rank: int) -> Desk:
        tape = self._tapes.get(instrument.symbol)
        if tape is None:
            raise ConfigError(f"expected the quotes or trades of {instrument.symbol}, found none", symbol=series.symbol)
        return QuoteDesk(instrument, series, self._costs, rank, tape)

    def _delay(self, desk: Desk, what: str, identity: str) -> int:
        """See `Venue`: between quotes nothing happens, so every delay counts."""
        if self._jitter is None:
            return self.latency_ns[desk.symbol]
        return self._jitter.of(desk.symbol, what, identity)

    def coming_ns(self) -> list[IntArray]:
        """The stamps of the prices that are still to come, by rank."""
        return [desk.ts_ns[desk.taken :] for desk in self._quote_desks()]

    def notes(self) -> list[str]:
        """What has to be known of the prices, in the order of the symbols' ranks."""
        return [self._tapes[desk.symbol].note for desk in self.desks if self._tapes[desk.symbol].note]

    def _quote_desks(self) -> list[QuoteDesk]:
        return [desk for desk in self.desks if isinstance(desk, QuoteDesk)]

    # -- time --------------------------------------------------------------------------------------

    def rewind(self, instant_ns: int) -> None:
        """See `Venue.rewind`; the last quote up to then is the price."""
        super().rewind(instant_ns)
        for desk in self._quote_desks():
            desk.begin(instant_ns)
        self.ledger.valuation = None
        self._sample(instant_ns)

    def advance_price(self, rank: int, instant_ns: int) -> None:
        """The next price of a symbol comes: what waits for one fills at it, then what it reaches."""
        desk = self.desks[rank]
        self._begin_price(instant_ns)
        if desk.pending:
            apply_changes(desk, instant_ns - 1, Moment(instant_ns))  # what came before it met the quote that stood then
        if not desk.take():  # type: ignore[attr-defined]  # all desks are made by `_make_desk`
            return
        ledger = self.ledger
        ledger.valuation = None
        if desk.market_orders or desk.resting or desk.books or desk.pending:
            bid, ask = -desk.quotes.bid_offset, desk.quotes.ask_offset
            if desk.market_orders:
                fill_market_orders(ledger, desk, bid, ask, instant_ns, instant_ns)
            match_quote(ledger, desk, bid, ask, instant_ns, Moment(instant_ns), self.rules)
        self._end_price(instant_ns)

    def _begin_price(self, instant_ns: int) -> None:
        """What is due before a price comes: nothing of a plain account."""

    def _end_price(self, instant_ns: int) -> None:
        if len(self.ledger.balances) != self._paid:
            self._sample(instant_ns)

    def advance(self, instant_ns: int, closed: Sequence[int]) -> None:
        """See `Venue.advance`: the bars become visible, and nothing else."""
        for rank in closed:
            desk = self.desks[rank]
            desk.index = desk.series.length
            desk.series.length += 1
        self._end_step(instant_ns)

    def _await_open(self, desk: Desk, opens_ns: int) -> None:
        """See `Venue`: quotes are steps in any case, so nobody has to stop for one."""

    def _sample(self, instant_ns: int) -> None:
        """See `SampledVenue`: where bars closed and money moved."""
        super()._sample(instant_ns)
        self._paid = len(self.ledger.balances)


class FullQuoteVenue(QuoteVenue, FullVenue):
    """A `QuoteVenue` of an account with stop-outs, swaps, funding, currencies or fees in coin."""

    def _begin_price(self, instant_ns: int) -> None:
        self._pay_due(instant_ns)

    def _end_price(self, instant_ns: int) -> None:
        ledger, rule = self.ledger, self._stop_out
        if rule is not None and ledger.holding():
            rule.at_marks(instant_ns, lambda _: Moment(instant_ns), recover=True)
        if len(ledger.balances) != self._paid or self._foreign:
            self._settle(instant_ns)
        super()._end_price(instant_ns)


def quote_venue_of(
    tapes: Mapping[str, PriceTape], account: AccountConfig, instruments: Mapping[str, Instrument],
    base: Mapping[str, BarSeries], costs: Costs, rules: FillRules, funding: Mapping[str, FundingRates] | None,
    joining: Mapping[str, Instrument] | None,
) -> QuoteVenue:  # fmt: skip
    """The venue that an account needs when prices come by themselves; further arguments as of `venue_of`."""
    if costs.volume_share is not None:
        raise ConfigError(
            "a share of the volume that may fill is counted on bars: leave backtest.costs.volume_share out, or write "
            "backtest.granularity: bar"
        )
    if needs_full_venue(account, instruments, costs):
        return FullQuoteVenue(tapes, account, instruments, base, costs, rules, funding or {})
    return QuoteVenue(tapes, account, instruments, base, costs, rules)
