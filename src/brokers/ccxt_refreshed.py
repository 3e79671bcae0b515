"""What keeps the ccxt broker up to date: how it begins, and how it reads and protects again and again.

One thread calls `start` and then `refresh`. See `ccxt_broker`, whose other half sends what the bot wants.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from src.brokers.ccxt_client import MOST_SKEW_NS, RECEIVE_NS, CcxtClient
from src.brokers.ccxt_feed import SETTLE_NS, CcxtFeed
from src.brokers.ccxt_guards import CcxtGuards
from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_picture import PROTECT_WITHIN_NS, CcxtPicture
from src.brokers.ccxt_reading import CcxtReader
from src.brokers.ccxt_restart import adopt_levels
from src.brokers.ccxt_shown import CcxtShown
from src.brokers.ccxt_wire import CcxtWire
from src.core.broker import Connection
from src.core.config import AccountConfig
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError
from src.core.instrument import Instrument
from src.core.records import OrderRequest, TriggerBy
from src.core.sync import Lock, wall_ns
from src.core.timeframe import DAY_NS, MINUTE_NS, format_duration

__all__ = ["CcxtRefreshed"]

#: So many passes at most until everything agrees.
_PASSES = 8
#: How long what has ended is remembered at least; executions are read again for two days at most.
KEPT_NS = 4 * DAY_NS
#: How often the exchange's clock is compared.
MEASURE_EVERY_NS = 10 * MINUTE_NS


class CcxtRefreshed(CcxtShown):
    """The reading part of `Broker`; made by its constructor, begun by `start`, kept up to date by `refresh`.

    Args:
        client: the exchange.
        account: the account as configured; its leverage is set at the exchange.
        instruments: the symbols as configured, whose `venue` names the exchange's market.
        timeframes: of each symbol the lengths of the bars that are wanted, nanoseconds.
        now_ns: the present of the bot's clock.
        bars_from_ns: bars from here on are read at the start; the present by default.
        fee_percent: what taking costs, of the notional, for estimates.
        trigger_by: which price triggers the stops of positions.
        settle_ns: how long after its end a bar may still change.
        max_skew_ns: how far this machine's clock may be off at the start.
        protect_within_ns: what has filled has its stop resting at the exchange within this time, or is flattened.

    Attributes:
        signals: its `changes` grows with each order event.
        picture: what is shown.
        feed: quotes and bars; see there for bars that came late.
        differing: sentences about rules that the configuration has otherwise.
    """

    #: What is traded, and how the exchange is asked.
    KIND = "perpetual"
    WIRE: type[CcxtWire] = CcxtWire
    #: Whether the exchange adds up what is other people's and what is the bot's.
    ONE_POSITION = True

    def __init__(
        self, client: CcxtClient, account: AccountConfig, instruments: Mapping[str, Instrument],
        timeframes: Mapping[str, Sequence[int]], *, now_ns: Callable[[], int] = wall_ns,
        bars_from_ns: int | None = None, fee_percent: float = 0.05, trigger_by: TriggerBy = TriggerBy.LAST,
        settle_ns: int = SETTLE_NS, protect_within_ns: int = PROTECT_WITHIN_NS, max_skew_ns: int = MOST_SKEW_NS,
    ) -> None:  # fmt: skip
        self._check_account(account)
        if protect_within_ns <= 0:
            raise ConfigError(f"expected a positive time to protect within, found {format_duration(protect_within_ns)}")
        self.client = client
        self._max_skew_ns = max_skew_ns
        self.account_config = account
        self._clock_ns = now_ns
        self._connection = Connection(certain=False, in_flight_ns=2 * RECEIVE_NS)
        self._fee = fee_percent / 100
        self.feed = CcxtFeed(
            client,
            instruments,
            timeframes,
            now_ns=now_ns,
            bars_from_ns=bars_from_ns,
            settle_ns=settle_ns,
            wire=self.WIRE,
        )
        self._rules, self.differing = self.feed.rules, self.feed.differing
        for symbol, rules in self._rules.items():
            if rules.quote_currency != account.currency or rules.kind != self.KIND:
                raise ConfigError(
                    f"expected {symbol} to be a {self.KIND} in {account.currency}, the account's currency, found a "
                    f"{rules.kind} in {rules.quote_currency}"
                )
        self._wire = self.feed.wire
        self._lock = Lock()
        self._refreshing = Lock()
        self._ledger: CcxtLedger
        self._reader: CcxtReader
        self._guards: CcxtGuards
        self._make_parts(trigger_by, protect_within_ns)
        self.signals = self.picture.signals
        #: When the exchange's clock is to be looked at again.
        self._measure_ns = now_ns() + MEASURE_EVERY_NS

    def _check_account(self, account: AccountConfig) -> None:
        if account.type != "margin" or account.positions != "netting":
            raise ConfigError("expected a netting margin account, which is all that this broker has; change account")

    def _make_parts(self, trigger_by: TriggerBy, protect_within_ns: int) -> None:
        in_flight_ns, currency = self._connection.in_flight_ns, self.account_config.currency
        self._ledger = CcxtLedger(self._rules)
        self.picture = CcxtPicture(self._rules, currency, protect_within_ns)
        self._reader = CcxtReader(
            self._wire, self._ledger, self._lock, currency, self._venue_ns, in_flight_ns, self._fee
        )  # fmt: skip
        self._guards = CcxtGuards(
            self._wire, self._ledger, self._lock, trigger_by, self._clock_ns, in_flight_ns, protect_within_ns
        )  # fmt: skip

    # -- whoever feeds the bot -----------------------------------------------------------------------------------------

    def start(
        self, known: Iterable[OrderRequest] = (), since_ns: int | None = None, sent_ns: Mapping[str, int] | None = None
    ) -> None:
        """Check clock and account, set the leverage, and take what is there; once, before everything else.

        Orders of before are recognised by their client ids, their executions counted and told again from the first one
        on. What is held besides is other people's, and is never touched.

        Args:
            known: what this bot has asked for before, the entries of all that may still be open among them.
            since_ns: when the first of them was sent; the present by default. Nothing else of theirs may have been
                executed in the seconds before.
            sent_ns: when each of them was sent, by its client id, so that instants are those of before; `since_ns`
                where it is absent.

        Raises:
            ConfigError: the clock is off, the account keeps long and short apart, or the leverage is refused.
            BrokerUnavailable: no answer.
        """
        self.client.check_clock(self._max_skew_ns)
        if not self._wire.one_way():
            raise ConfigError("expected an account in one-way mode, found hedge mode; change it at the exchange")
        for symbol in self._rules:
            refusal = self._wire.set_leverage(symbol, self.account_config.leverage)
            if refusal is not None:
                raise ConfigError(f"the leverage of {symbol} cannot be set: {refusal.message}", symbol=symbol)
        # Neither clock is known to the millisecond, and what is overlooked here would count as other people's.
        from_ns = None if since_ns is None else since_ns + self.client.skew_ns - RECEIVE_NS
        self._reader.begin(known, from_ns, sent_ns or {})
        for _ in range(_PASSES):
            if self._reader.read():
                break
        with self._lock:
            adopt_levels(self._ledger)
        self.refresh()

    def refresh(self) -> None:
        """Read the account and protect what has filled, then bars and quotes; show bars together with their account.

        Raises:
            BrokerUnavailable: no answer to some of it, or no account that agrees with itself; what was shown of that
                before stays, and the rest is new. Bars are not shown before the account was read after them.
        """
        problems: list[BrokerUnavailable] = []

        def has(step: Callable[[], object]) -> bool:
            try:
                return step() is not False
            except (BrokerUnavailable, BrokerContractError) as error:
                problems.append(BrokerUnavailable(error.message))
                return False

        with self._refreshing:
            known = has(self._refresh_account)
            has(self._keep_time)
            if not (known or has(self.feed.refresh_quotes)):
                raise problems[0]  # nobody is there
            fetched = has(self.feed.fetch_bars) or self.feed.has_bars()
            # After the bars, so that nobody acts on a bar at a price from before its close.
            has(self.feed.refresh_quotes)
            if fetched:
                known = has(self._refresh_account)
            if known:
                self.feed.show_bars()
        if problems:
            raise problems[0]

    def tell_what_is_given_up(self, tell: Callable[[str, str], object]) -> None:
        """Have somebody told the symbol, and in a sentence what of a position's protection was given up.

        Args:
            tell: called by whoever reads the account or moves a level; must wait for nobody.
        """
        self._guards.tell = tell

    def know_stop_kinds(self, kinds: Mapping[str, str]) -> None:
        """Take over who had set the stops of positions of before, by their ids; before `start`."""
        with self._lock:
            self._ledger.stop_kinds.update(kinds)

    def know_what_others_send(self, sent_for_us: Callable[[str], OrderRequest | None]) -> None:
        """Have somebody asked whether an order that this process has not sent is the bot's all the same.

        Args:
            sent_for_us: the order of a client id that another process has sent for this bot, None when it knows of
                none; called by whoever reads the account.
        """
        self._reader.sent_for_us = sent_for_us

    @property
    def skew_ns(self) -> int:
        """How far the exchange's clock is ahead of the bot's, as measured last."""
        return self.client.skew_ns

    @property
    def foreign(self) -> dict[str, float]:
        """By symbol, what is held there and not this bot's, positive when long; without those that hold nothing so."""
        with self._lock:
            return {symbol: volume for symbol, volume in self._ledger.foreign.items() if volume}

    def refresh_account(self) -> None:
        """Read the account alone; see `refresh`."""
        with self._refreshing:
            self._refresh_account()

    def _keep_time(self) -> None:
        now = self._clock_ns()
        if now >= self._measure_ns or self.client.clock_is_off:
            self._measure_ns = now + MEASURE_EVERY_NS
            self.client.measure_clock()

    def _refresh_account(self) -> None:
        for _ in range(_PASSES):
            asked_ns = self._clock_ns()
            try:
                agrees = self._reader.read()
            finally:  # whatever was not read, what is known of is protected
                acted, unprotected = self._guards.settle(self._rules)
            if agrees and not acted:
                with self._lock:
                    now = self._clock_ns()
                    self.picture.show(self._ledger, self._reader.money, asked_ns, now, unprotected)
                    self._ledger.prune(now - KEPT_NS)
                return
        raise BrokerUnavailable(f"expected an account that agrees with itself, found none in {_PASSES} readings")

    def _venue_ns(self) -> int:
        return self._clock_ns() + self.client.skew_ns

    def connection(self) -> Connection:
        """See `Broker.connection`; nothing is certain."""
        return self._connection
