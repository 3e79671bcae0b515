"""A venue to test against: an HTTP server on this machine that speaks the dialect of Binance's USD-M futures, or of its
spot market where the account says `type: spot`.

Behind it is the real simulated broker on replayed prices, one account in one-way mode, perpetuals in the account's
currency; on spot it matches orders, and coins are counted beside it. Its clock can stand, be set, or run at any pace;
whatever is due happens when somebody asks. Faults are given as data. Any thread may call its methods; requests are
answered one after the other.

Time moves by base bars: a market order fills at once, at the open of the bar that is under way, and what rests is
tested on the whole of it. Where there are tapes it fills at the next quote, and is answered with NEW before.

What it does not imitate: order books and depth, queues, streams, sub-accounts, isolated margin, hedge mode, leverage by
symbol, price bands. A conditional entry is judged for margin when it is placed; the exchange does it when it is
triggered. A take-profit fills as a limit at its trigger. Of a stop with a limit the trigger shows only when it fills.
The margin that resting orders reserve is refused with -2019 and not shown.
"""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from src.brokers.simulated import Costs, FillRules, PriceTape, SimulatedBroker
from src.brokers.simulated.funding import FundingRates
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.sync import Lock
from src.core.timeframe import SECOND_NS
from src.testing.venue_account import VenueAccount
from src.testing.venue_clock import VenueClock
from src.testing.venue_faults import Fault, FaultKind, VenueFaults
from src.testing.venue_gate import VenueGate
from src.testing.venue_http import VenueServer
from src.testing.venue_market import VenueMarket
from src.testing.venue_orders import VenueOrders
from src.testing.venue_routes import Route, VenueRoutes
from src.testing.venue_spot import matching_of, spot_parts
from src.testing.venue_wire import Json, Params, Refusal, Reply
from src.testing.venue_world import VenueWorld
from src.testing.worlds import FREE

__all__ = ["KEY", "SECRET", "Fault", "FaultKind", "LocalVenue", "VenueCall"]

#: The credentials of the account unless others are given; worth nothing anywhere else.
KEY = "planted-key-of-the-local-venue"
SECRET = "planted-secret-of-the-local-venue"

_HIDDEN = frozenset({"signature", "timestamp", "recvWindow"})
#: So many requests and answers are remembered.
_MOST_CALLS, _MOST_EARLIER = 100_000, 256
_PLACEMENTS = ("POST order", "POST algoOrder", "POST orderList/oco")
_OWN_IDS = ("newClientOrderId", "clientAlgoId", "listClientOrderId")
_BEFORE = {FaultKind.LOST: "silent", FaultKind.RESET_BEFORE: "reset"}
_AFTER = {FaultKind.UNANSWERED: "silent", FaultKind.RESET_AFTER: "reset", FaultKind.LATE: "silent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCall:
    """A request that came.

    Attributes:
        number: from 1 on.
        endpoint: method and path after its version, `POST order`.
        params: without signature and timestamp.
        code: the exchange's code of a refusal, 0 without.
        fault: what went wrong on purpose, empty for nothing.
        at_ns: the venue's time.
    """

    number: int
    endpoint: str
    params: Mapping[str, str]
    status: int
    code: int
    fault: str
    at_ns: int


class LocalVenue:
    """See the module's text; a context manager, which serves while inside.

    Args:
        bars: the base bars of each symbol, shown as klines; they fill orders where there are no tapes.
        instruments: the rules of each symbol.
        start_ns: the venue's time at first; bars that have closed by then are history.
        balance, leverage: of the account, in the currency of the instruments.
        account: instead, the account as it is configured.
        speed: seconds of the venue for each real second; 0 lets its clock stand until it is moved.
        waits: its clock stands until the first request comes.
        tapes: quotes to trade on, by symbol.
        coins: on spot, what is there at first of other currencies than the account's.
        port: 0 for any that is free.
        weight_limit, order_limit: request weight and placements a minute; by default what the exchange allows.

    Attributes:
        clock: the venue's.
        coins: on spot, what there is of each currency, free or not.
        calls: the last requests, without secrets.
    """

    def __init__(
        self, bars: Mapping[str, BarSeries], instruments: Mapping[str, Instrument], start_ns: int, *,
        balance: float = 10_000.0, leverage: float = 5.0, account: AccountConfig | None = None, costs: Costs = FREE,
        rules: FillRules | None = None, tapes: Mapping[str, PriceTape] | None = None,
        funding: Mapping[str, FundingRates] | None = None, speed: float = 0.0, waits: bool = False,
        key: str = KEY, secret: str = SECRET, port: int = 0, weight_limit: int | None = None,
        order_limit: int = 1200, coins: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        if account is None:
            currency = next(iter(instruments.values())).quote_currency
            account = AccountConfig.model_validate({"currency": currency, "balance": balance, "leverage": leverage})
        self.clock = VenueClock(start_ns, 0.0 if waits else speed)
        self._waiting_speed = speed if waits else 0.0
        self._lock = Lock()
        rules = rules or FillRules(at_end="keep")
        spot = account.type == "spot"
        matching, fills = matching_of(account, costs) if spot else (account, costs)
        self._world = VenueWorld(bars, instruments, matching, fills, rules, self.clock, start_ns, tapes, funding)
        self._gate = VenueGate(
            key, secret, lambda: self._world.now_ns, lambda: self.clock.speed,
            weight_limit=weight_limit or (6000 if spot else 2400), order_limit=order_limit,
        )  # fmt: skip
        self._market: VenueMarket
        self._orders: VenueOrders
        self._routes: VenueRoutes
        #: On spot, what of each currency is there.
        self.coins: dict[str, float] = {}
        if spot:
            parts = spot_parts(self._world, account, costs, coins or {}, self._gate.told_limits())
            self._market, self._orders, self._routes = parts.market, parts.orders, parts.routes
            self.coins = parts.orders.totals
        else:
            self._market = VenueMarket(self._world, self._gate.told_limits())
            self._orders = VenueOrders(self._world)
            told = VenueAccount(self._world, self._market, self._orders)
            self._routes = VenueRoutes(self._market, self._orders, told)
        self._faults = VenueFaults()
        self._earlier: dict[str, Json] = {}
        self._port = port
        self._server: VenueServer | None = None
        #: What is still on its way, the earliest first, with the instant at which it arrives.
        self._coming: list[tuple[int, Route, Params]] = []
        self._count = 0
        self.calls: deque[VenueCall] = deque(maxlen=_MOST_CALLS)

    def __enter__(self) -> Self:
        self._server = VenueServer(self._asked, self._port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        if self._server is not None:
            self._server.close()
            self._server = None

    def __repr__(self) -> str:
        return f"LocalVenue({', '.join(self._world.instruments)})"

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        port = self._server.port if self._server is not None else self._port
        return f"http://127.0.0.1:{port}"

    @property
    def broker(self) -> SimulatedBroker:
        """What is behind it, as the venue itself sees it: for comparing with what a client believes."""
        return self._world.broker

    @property
    def end_ns(self) -> int:
        """The last instant at which it has prices."""
        return self._world.end_ns

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What can be asked, `GET klines` and so on."""
        return self._routes.endpoints

    # -- what a test does with it ------------------------------------------------------------------

    def now_ns(self) -> int:
        """The venue's present."""
        return self.clock.now_ns()

    def hold(self) -> None:
        """Let its time stand still; it goes on answering."""
        self.clock.hold()

    def go_on(self, speed: float | None = None) -> None:
        """Let its time run on, at the pace of before or at another one."""
        self.clock.go_on(speed)

    def advance_to(self, instant_ns: int) -> None:
        """Set its time to a later instant; what is due until then has happened when this returns."""
        self.clock.advance_to(instant_ns)
        self.catch_up()

    def catch_up(self) -> None:
        """Let happen what is due by now, as the next request would."""
        with self._lock:
            self._catch_up()

    def _catch_up(self) -> None:
        now_ns = self.clock.now_ns()
        while self._coming and self._coming[0][0] <= now_ns:
            due_ns, route, params = self._coming.pop(0)
            self._world.catch_up(due_ns)
            self._orders.sync()
            with suppress(Refusal):  # nobody waits for the answer any more
                route.answer(params)
        self._world.catch_up(now_ns)
        self._orders.sync()

    def fail(self, fault: Fault) -> None:
        """Let something go wrong."""
        with self._lock:
            self._faults.plan(fault)

    def heal(self) -> None:
        """Let nothing go wrong any more, and show all bars at once."""
        with self._lock:
            self._faults.clear()
            for symbol in self._world.instruments:
                self._market.delay_bars(symbol, 0)

    def delay_bars(self, symbol: str, late_ns: int) -> None:
        """Show the klines of a symbol so much later than they come, 0 for at once."""
        with self._lock:
            self._market.delay_bars(symbol, late_ns)

    # -- requests ----------------------------------------------------------------------------------

    def _asked(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        with self._lock:
            if self._waiting_speed:
                self.clock.go_on(self._waiting_speed)
                self._waiting_speed = 0.0
            self._catch_up()
            self._count = number = self._count + 1
            parts = path.strip("/").split("/", 2)
            endpoint = f"{method} {parts[-1]}"
            fault = self._faults.take(number, endpoint)
            values = dict(parse_qsl(query, keep_blank_values=True))
            key = next((value for name, value in headers.items() if name.upper() == "X-MBX-APIKEY"), "")
            reply = self._answer(endpoint, parts, query, values, key, fault)
            code = reply.body.get("code", 0) if isinstance(reply.body, dict) else 0
            shown = {name: value for name, value in values.items() if name not in _HIDDEN}
            self.calls.append(
                VenueCall(
                    number=number, endpoint=endpoint, params=shown, status=reply.status, code=int(code or 0),
                    fault="" if fault is None else fault.kind.value, at_ns=self._world.now_ns,
                )
            )  # fmt: skip
            return reply

    def _answer(
        self, endpoint: str, parts: list[str], query: str, values: dict[str, str], key: str, fault: Fault | None
    ) -> Reply:  # fmt: skip
        early = None if fault is None else _instead(fault)
        if early is not None:
            return early
        route = self._routes.find(endpoint, parts[1] if len(parts) > 1 else "")
        params = Params(values)
        if route is None:
            return Reply(status=404, body={"code": -5000, "msg": f"Path {'/'.join(parts)} is invalid"})
        try:
            weight = route.weight if params.has("symbol") or not route.weight_all else route.weight_all
            headers = self._gate.weigh(weight, orders=route.orders)
            if route.signed:
                self._gate.check(key, query, params)
            body = self._act(route, params, endpoint, fault)
        except Refusal as refusal:
            return refusal.reply()
        return _spoiled(Reply(body=body, headers=headers), fault)

    def _act(self, route: Route, params: Params, endpoint: str, fault: Fault | None) -> Json:
        kind = None if fault is None else fault.kind
        self._routes.cut_next = kind is FaultKind.PART_THEN_REJECTED
        if kind is FaultKind.NO_ID and endpoint in _PLACEMENTS:
            return {"symbol": params.text("symbol"), "side": params.text("side"), "positionSide": "BOTH"}
        if kind is FaultKind.TWICE and not route.reads:
            route.answer(params)
            if _names_itself(endpoint, params):
                raise Refusal(*self._routes.duplicate)
        if fault is not None and kind is FaultKind.LATE and not route.reads:
            self._coming.append((self._world.now_ns + round(fault.seconds * SECOND_NS), route, params))
            self._coming.sort(key=itemgetter(0))
            return None
        body = route.answer(params)
        if route.reads:
            same = f"{endpoint} {sorted((k, v) for k, v in params.values.items() if k not in _HIDDEN)}"
            earlier = self._earlier.pop(same, body)
            self._earlier[same] = body
            if len(self._earlier) > _MOST_EARLIER:
                del self._earlier[next(iter(self._earlier))]
            return earlier if kind is FaultKind.STALE else body
        return body


def _names_itself(endpoint: str, params: Params) -> bool:
    """Whether it is a placement under a client id."""
    return endpoint in _PLACEMENTS and any(params.has(name) for name in _OWN_IDS)


def _instead(fault: Fault) -> Reply | None:
    """What is answered in place of doing anything, None when it is done."""
    if fault.kind in _BEFORE:
        return Reply(way=_BEFORE[fault.kind])
    wait = {"Retry-After": str(max(1, round(fault.seconds)))}
    if fault.kind is FaultKind.RATE_LIMIT:
        return Refusal(-1003, "Too many requests; please slow down.", 429, wait).reply()
    if fault.kind is FaultKind.BANNED:
        return Refusal(-1003, "Way too many requests; IP banned.", 418, wait).reply()
    if fault.kind is FaultKind.ERROR_BEFORE:
        return Refusal(-1008, "Request throttled by system-level protection. Please try again.", 503).reply()
    return None


def _spoiled(reply: Reply, fault: Fault | None) -> Reply:
    """What becomes of the answer to something that was done."""
    if fault is None:
        return reply
    if fault.kind in _AFTER:
        return Reply(way=_AFTER[fault.kind])
    if fault.kind is FaultKind.ERROR_AFTER:
        return Refusal(-1000, "Unknown error, please check your request or try again later.", 503).reply()
    if fault.kind is FaultKind.UNKNOWN_AFTER:
        sentence = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        return Refusal(-1007, sentence, 408).reply()
    if fault.kind is FaultKind.SLOW:
        return Reply(status=reply.status, body=reply.body, headers=reply.headers, delay_s=fault.seconds)
    return reply
