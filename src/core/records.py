"""The records that cross a port: orders, fills, positions, trades, quotes, accounts.

Frozen, so any thread may keep and read one. Volumes are in base units, prices in the instrument's quote currency,
money in the account's currency, instants in nanoseconds UTC (`_ns`).
"""

from enum import StrEnum

from src.core.record import maker, record

__all__ = [
    "Account",
    "Fill",
    "Order",
    "OrderEvent",
    "OrderRequest",
    "OrderResult",
    "OrderState",
    "OrderType",
    "Payment",
    "Position",
    "Quote",
    "Side",
    "Snapshot",
    "TimeInForce",
    "Trade",
    "TriggerBy",
    "make_account",
    "make_fill",
    "make_order",
    "make_order_event",
    "make_order_request",
    "make_order_result",
    "make_position",
    "make_quote",
    "make_snapshot",
    "make_trade",
]


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "buy"
    SELL = "sell"

    #: +1 for a buy, -1 for a sell; a plain attribute, because it is read several times for each fill.
    sign: int


Side.BUY.sign, Side.SELL.sign = 1, -1


class OrderType(StrEnum):
    """How an order becomes a fill."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """How long an order works: until cancelled, until the session's close, until an instant, or for its first price."""

    GTC = "gtc"
    DAY = "day"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"


class TriggerBy(StrEnum):
    """Which price triggers a stop: the quote that it would fill at, the last trade, or the venue's mark."""

    QUOTE = "quote"
    LAST = "last"
    MARK = "mark"


class OrderState(StrEnum):
    """The life of an order, see `src.core.order_states` for which state may follow which.

    REJECTED may carry a filled part; UNKNOWN is a placement that nobody answered.
    """

    CREATED = "created"
    SENT = "sent"
    UNKNOWN = "unknown"
    WORKING = "working"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """True when the order can never change again."""
        return self in _FINAL


_FINAL = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})


@record
class Quote:
    """Bid and ask at an instant.

    `rate` is the account's money for one unit of the currency that the price is in, between the rate's bid and ask; 0
    when it is unknown.
    """

    symbol: str
    instant_ns: int
    bid: float
    ask: float
    rate: float = 1.0

    @property
    def mid(self) -> float:
        """Half way between bid and ask."""
        return (self.bid + self.ask) / 2


@record
class OrderRequest:
    """What is sent to a broker. Absolute `stop` and `target` stay as given; distances resolve against the fill.

    Attributes:
        client_id: identity of the order, a function of the decision (see `src.core.ids`).
        book: name of the strategy instance that the resulting position belongs to.
        price: limit price or stop trigger; None for a market order and for a trailing stop.
        target_r: the target as a multiple of the distance from fill to stop.
        stop_cost: expected cost, per unit of volume, of getting out at the stop; part of the initial risk.
        reduce_only: never opens or enlarges a position.
        reverse: first close whatever the book holds on the other side at the fill, then open `volume`.
        position_id: on a hedging account, the position to reduce.
        expires_ns: the order expires when it is still working at this instant.
        exit_kind: what a fill that closes something is called: `exit`, `time_exit`, `daily_loss` ...
        reason: the caller's words, kept with the trade.
        limit: the limit of a stop-limit order, whose trigger is `price`.
        trail_distance, trail_percent: how far a trailing stop order follows the price, exactly one of the two: in price
            units, or in percent of the price that it follows.
        time_in_force: GTD needs `expires_ns`, and `expires_ns` with GTC means GTD.
        post_only: refused when it would fill at once; for limits.
        trigger_by: which price triggers a stop, a stop-limit or a trailing stop.
        group: orders of one group (of one symbol) exclude each other: when one fills, wholly or partly, the others are
            cancelled at the same instant.
        parent: sleeps until the order of this id has filled; is cancelled when that one ends unfilled.
        stop_trail_distance, stop_trail_percent: the position's stop follows the price at this distance; the venue moves
            it. It starts at the fill when no stop is given.
        close_by: on a hedging account, the opposite position that `position_id` is closed against: both shrink by the
            smaller of the volumes, and neither pays a spread.
    """

    client_id: str
    book: str
    symbol: str
    side: Side
    type: OrderType
    volume: float
    price: float | None = None
    stop: float | None = None
    stop_distance: float | None = None
    target: float | None = None
    target_distance: float | None = None
    target_r: float | None = None
    stop_cost: float = 0.0
    reduce_only: bool = False
    reverse: bool = False
    position_id: str | None = None
    expires_ns: int | None = None
    exit_kind: str = "exit"
    reason: str = ""
    limit: float | None = None
    trail_distance: float | None = None
    trail_percent: float | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    trigger_by: TriggerBy = TriggerBy.QUOTE
    group: str = ""
    parent: str = ""
    stop_trail_distance: float | None = None
    stop_trail_percent: float | None = None
    close_by: str = ""


@record
class OrderResult:
    """A broker's answer to a request: an acknowledgement or a refusal, never a fill.

    `code` is a short constant such as `margin` or `volume_step` (empty when accepted); `message` is the sentence.
    """

    accepted: bool
    order_id: str = ""
    code: str = ""
    message: str = ""


@record
class Order:
    """An order as the broker sees it at one moment."""

    order_id: str
    request: OrderRequest
    state: OrderState
    placed_ns: int
    effective_ns: int
    updated_ns: int
    filled_volume: float = 0.0
    average_price: float | None = None
    code: str = ""
    message: str = ""


@record
class Fill:
    """An execution. Costs are positive money amounts that made the result worse.

    Attributes:
        price: what was paid or received, spread and slippage included.
        filled_ns: when the fill became known; `filled_from_ns` is the earliest instant at which it can have
            happened (they differ for a fill inside a bar).
        kind: `entry`, `exit`, `stop`, `break_even`, `trailing`, `target`, `end_of_data` ...
        ambiguous: the bar allowed another outcome too; `other_price` is that outcome's price.
        rate: the account's money for one unit of the price's currency, at which the profit of this fill was converted.
        fee_volume: what the venue kept of the coins that were bought, as its commission; `volume` is what arrived.
    """

    fill_id: str
    order_id: str
    position_id: str
    book: str
    symbol: str
    side: Side
    volume: float
    price: float
    filled_ns: int
    filled_from_ns: int
    commission: float = 0.0
    spread_cost: float = 0.0
    slippage_cost: float = 0.0
    kind: str = "entry"
    reason: str = ""
    ambiguous: bool = False
    other_price: float | None = None
    rate: float = 1.0
    fee_volume: float = 0.0


@record
class Position:
    """What one book holds of one symbol at one moment.

    Attributes:
        volume: signed, positive when long; 0 when flat.
        initial_risk: money lost if the initial stop is hit, costs included; None without a stop.
        initial_volume: the largest absolute volume so far, the denominator of partial exits.
        stop_kind: `stop`, `break_even` or `trailing`: who set the current stop.
        stop_cost: expected money per unit of volume for getting out at the stop.
        rate: the account's money for one unit of the price's currency now, as `Quote.rate`.
    """

    position_id: str
    book: str
    symbol: str
    volume: float
    entry_price: float = 0.0
    opened_ns: int = 0
    stop: float | None = None
    target: float | None = None
    stop_kind: str = "stop"
    initial_stop: float | None = None
    initial_risk: float | None = None
    initial_volume: float = 0.0
    stop_cost: float = 0.0
    rate: float = 1.0

    @property
    def is_flat(self) -> bool:
        """True when nothing is held."""
        return self.volume == 0.0

    @property
    def is_long(self) -> bool:
        """True when a positive volume is held."""
        return self.volume > 0.0

    @property
    def is_short(self) -> bool:
        """True when a negative volume is held."""
        return self.volume < 0.0


@record
class Trade:
    """One book from flat to flat (on a hedging account, one position).

    `net = gross - commission - spread_cost - slippage_cost - financing`; `r` is `net / risk`, None without an initial
    stop. `financing` is what swaps and funding cost while it was open, negative when they paid.
    `net_worst` and `net_best` differ from `net` only when a fill was ambiguous.
    """

    trade_id: str
    book: str
    symbol: str
    side: Side
    volume: float
    entry_ns: int
    exit_ns: int
    entry_price: float
    exit_price: float
    gross: float
    commission: float
    spread_cost: float
    slippage_cost: float
    net: float
    risk: float | None
    r: float | None
    initial_stop: float | None
    exit_kind: str
    entry_reason: str = ""
    exit_reason: str = ""
    ambiguous: bool = False
    net_worst: float = 0.0
    net_best: float = 0.0
    financing: float = 0.0


@record
class Payment:
    """Money that came or went without an execution, in the account's currency.

    Attributes:
        instant_ns: when it was due.
        symbol, book, position_id: what it was for; empty for the account as a whole.
        kind: `swap`, `funding`, or `negative_balance` for a debt that the venue let go.
        amount: what was credited; negative when it was paid.
        rate: what it was worked out with: price units for each unit of volume, or the funding rate.
    """

    instant_ns: int
    symbol: str
    book: str
    position_id: str
    kind: str
    amount: float
    rate: float = 0.0


@record
class OrderEvent:
    """One change of one order, delivered in the turn of the symbol's worker.

    `fill` is set when the change is an execution, `trade` when that execution closed the trade.
    """

    order: Order
    fill: Fill | None = None
    trade: Trade | None = None


@record
class Account:
    """Money at one moment, in the account's currency."""

    currency: str
    instant_ns: int
    balance: float
    equity: float
    margin_used: float

    @property
    def margin_free(self) -> float:
        """What new positions may still use."""
        return self.equity - self.margin_used


@record
class Snapshot:
    """Account, open positions and live orders, all of one instant."""

    account: Account
    positions: tuple[Position, ...]
    orders: tuple[Order, ...]


# What is made for each order is made by functions; see `src.core.record`.
make_account = maker(Account)
make_fill = maker(Fill)
make_order = maker(Order)
make_order_event = maker(OrderEvent)
make_order_request = maker(OrderRequest)
make_order_result = maker(OrderResult)
make_position = maker(Position)
make_quote = maker(Quote)
make_snapshot = maker(Snapshot)
make_trade = maker(Trade)
