"""The one door to an exchange: ccxt's clients behind locks, with its keys, its clock and its errors made ours.

Any thread may call. There are two lines: questions go one after another, and so do requests that change something, so
that ccxt's rate limiter, which knows nothing of threads, holds for all threads; an order that hangs keeps no price
back, and no question an order. Whoever calls waits for its line, the limiter and the network; what the exchange wants
to be left alone for holds for both. A request that changes something is sent once and never again; a question may be
asked again a few times.

Times are the exchange's: each request is stamped with the caller's clock and the difference that was measured last.
The keys come from the environment, and appear in no text that leaves this module.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from src.brokers.ccxt_errors import CLOCK, NOT_ALLOWED, NOT_WORKING, RATE_LIMIT, Refusal, judged
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError, InternalError
from src.core.sync import Event, Lock, monotonic_ns, wall_ns
from src.core.timeframe import SECOND_NS, format_duration

__all__ = ["ENVIRONMENTS", "TESTED", "CcxtClient", "key_names"]

T = TypeVar("T")

ENVIRONMENTS = ("demo", "testnet", "real")
#: The exchanges that the tests of the adapter cover.
TESTED = ("binanceusdm", "binance")
#: What an exchange has to be able to do, in ccxt's words.
NEEDED = (
    "createOrder", "cancelOrder", "fetchOrder", "fetchOpenOrders", "fetchBalance", "fetchPositions", "fetchMyTrades",
    "fetchOHLCV", "fetchTime", "fetchBidsAsks",
)  # fmt: skip
#: Where ccxt still lists a testnet that the exchange has closed.
_CLOSED_TESTNETS = ("binance", "binanceusdm", "binancecoinm")

_MS = 1_000_000
#: The exchange refuses what arrives later than this after its stamp, so nothing is under way for longer.
RECEIVE_NS = 5 * SECOND_NS
#: A question is asked so often at most, with a pause between.
_TRIES = 3
_PAUSE_S = 0.2
_LONG_NS = 3 * SECOND_NS
_TIMEOUT_MS = 10_000
#: So far may the clock of this machine be off before somebody must set it; at a venue to test against, whose time may
#: run many times as fast, much further.
MOST_SKEW_NS, MOST_TEST_SKEW_NS = 1 * SECOND_NS, 30 * SECOND_NS
_CLOCK_READINGS = 3
#: How long nothing is sent after a rate limit that names no time, and after a ban that names none.
_REST_S, _BAN_S = 1.0, 120.0
#: A request that changes something is waited for so long; later the exchange would not take it any more.
_ACT_TIMEOUT_MS = RECEIVE_NS // _MS


def key_names(exchange: str, environment: str) -> tuple[str, str]:
    """The environment variables of key and secret: `LOCKSTEP_BINANCEUSDM_DEMO_KEY` and `..._SECRET`."""
    stem = f"LOCKSTEP_{exchange}_{environment}".upper()
    return f"{stem}_KEY", f"{stem}_SECRET"


#: What only an account may ask.
_SIGNED = ("the balance", "the positions", "the open orders", "the executions", "the orders", "the position mode")
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")
#: Whoever listens to its debug messages reads the address of each request, with its parameters and their signature.
_CONNECTIONS = logging.getLogger("urllib3.connectionpool")


def _hide_queries(record: logging.LogRecord) -> bool:
    """Take the parameters out of the addresses of a message."""
    if isinstance(record.args, tuple):
        record.args = tuple(re.sub(r"\?\S*", "?...", each) if isinstance(each, str) else each for each in record.args)
    return True


def _pause(seconds: float) -> None:
    Event().wait(seconds)


class CcxtClient:
    """An exchange, asked by any thread.

    Args:
        exchange: ccxt's name, such as `binanceusdm`.
        environment: `demo`, `testnet` or `real`.
        signed: False for public data alone, without keys.
        url: an address in place of the exchange's own, such as `http://127.0.0.1:8080`; the paths stay.
        options: settings of ccxt's client.
        now_ns: the present by the clock that the bot lives by.
        environ: where the keys are.
        wait: lets so many seconds pass.
        real_ns: a clock by which the seconds pass that the exchange wants to be left alone for.

    Raises:
        ConfigError: ccxt is not installed or has no such exchange, the exchange lacks an ability or the environment, or
            there are no keys.
    """

    def __init__(
        self, exchange: str, *, environment: str, signed: bool = True, url: str = "",
        options: Mapping[str, Any] | None = None, now_ns: Callable[[], int] = wall_ns,
        environ: Mapping[str, str] = os.environ, wait: Callable[[float], None] = _pause,
        real_ns: Callable[[], int] = monotonic_ns,
    ) -> None:  # fmt: skip
        self.exchange = exchange
        self.environment = environment
        self.signed = signed
        #: How far the exchange's clock is ahead of the caller's, nanoseconds; the last measurement.
        self.skew_ns = 0
        #: The exchange has refused a request for its time since the last measurement.
        self.clock_is_off = False
        self._took_ns = 0
        #: The exchange has taken the keys before.
        self._was_let_in = False
        self._secrets: tuple[str, ...] = ()
        self._errors = _ccxt()
        #: Held while a question is asked, and while something is done: each has its own connection, so that an order
        #: that hangs keeps nobody from seeing prices, and a question that hangs keeps no order back.
        self._lock, self._act_lock = Lock(), Lock()
        self._now_ns = now_ns
        self._wait = wait
        self._real_ns = real_ns
        #: Until when nothing is sent, because the exchange asked for it; by `real_ns`.
        self._rests_until_ns = 0
        if environment not in ENVIRONMENTS:
            raise ConfigError(f"expected environment {', '.join(ENVIRONMENTS)}, found {environment!r}")
        settings = {"enableRateLimit": True, "timeout": _TIMEOUT_MS, **(options or {})}
        self._ccxt = self._made(settings, environ)
        self._acting = self._made(settings, environ)
        self._moved = bool(url)
        for client in (self._ccxt, self._acting):
            self._enter_environment(client)
            if url:
                _move_to(client, url)

    def __repr__(self) -> str:
        return f"CcxtClient({self.exchange!r}, environment={self.environment!r})"

    # -- asking --------------------------------------------------------------------------------------------------------

    def read(self, what: str, call: Callable[[Any], T]) -> T:
        """Ask a question, again when there is no answer.

        Args:
            what: what is asked for, for messages.
            call: is given ccxt's client.

        Raises:
            BrokerUnavailable: no answer, or none now.
            ConfigError: the exchange does not accept the keys.
            BrokerContractError: the exchange refuses the question.
        """
        return self._answer(what, self._ask(what, call))

    def look(self, what: str, call: Callable[[Any], T]) -> T | None:
        """As `read`, for something that may not be there: None then."""
        answer = self._ask(what, call)
        if isinstance(answer, Refusal) and answer.code == NOT_WORKING:
            return None
        return self._answer(what, answer)

    def act(self, what: str, call: Callable[[Any], T]) -> T | Refusal:
        """Have something done, once.

        Returns:
            The answer, or why it was refused: then nothing was done.

        Raises:
            BrokerUnavailable: no answer; it may have been done or not.
        """
        answer = self._once(what, call, acts=True)
        if isinstance(answer, Refusal) and answer.code == CLOCK:
            self.clock_is_off = True  # measured soon; until then it is as after a rate limit: later, not otherwise
            return Refusal(code=RATE_LIMIT, message=answer.message)
        return answer

    def measure_clock(self) -> int:
        """Measure how far the exchange's clock is ahead of the caller's, nanoseconds, and stamp requests by it."""
        best: tuple[int, int] | None = None
        for _ in range(_CLOCK_READINGS):
            before = self._now_ns()
            told = int(self.read("the time", lambda client: client.fetch_time())) * _MS
            took = max(0, self._now_ns() - before)
            if best is None or took < best[0]:
                best = took, told - before - took // 2
        if best is not None:
            self._took_ns, self.skew_ns = best
        self.clock_is_off = False
        return self.skew_ns

    def check_clock(self, most_ns: int = MOST_SKEW_NS) -> None:
        """Hold that this machine's clock agrees with the exchange's, as far as it can be measured.

        Args:
            most_ns: how far it may be off; where `url` is another address `MOST_TEST_SKEW_NS` at least.

        Raises:
            ConfigError: it is off by more.
        """
        most_ns = max(most_ns, MOST_TEST_SKEW_NS) if self._moved else most_ns
        skew = self.measure_clock()
        if abs(skew) <= most_ns + self._took_ns:
            return
        side = "behind" if skew > 0 else "ahead of"
        raise ConfigError(
            f"expected this machine's clock within {format_duration(most_ns)} of the one of {self.exchange}, found it "
            f"{abs(skew) / SECOND_NS:.3f} s {side} it; set the clock",
            skew_ns=skew,
        )

    def market(self, name: str) -> dict[str, Any]:
        """The exchange's market of a name, its own (`BTCUSDT`) or ccxt's (`BTC/USDT:USDT`).

        Raises:
            ConfigError: it has no such market, or several.
        """
        markets = self.read("the markets", lambda client: client.load_markets())
        if name in markets:
            return dict(markets[name])
        found = list(self._ccxt.markets_by_id.get(name, []))
        if len(found) == 1:
            return dict(found[0])
        problem = "no" if not found else "more than one"
        raise ConfigError(f"expected {self.exchange} to have one market {name}, found {problem}", symbol=name)

    def venue_ms(self) -> int:
        """The present by the exchange's clock, milliseconds."""
        return (self._now_ns() + self.skew_ns) // _MS

    def has_steps(self) -> bool:
        """Whether precisions of markets are ticks and steps, and not numbers of digits."""
        return bool(self._ccxt.precisionMode == self._errors.TICK_SIZE)

    def close(self) -> None:
        """Let go of the connections."""
        for lock, client in ((self._lock, self._ccxt), (self._act_lock, self._acting)):
            with lock:
                session = getattr(client, "session", None)
                if session is not None:
                    session.close()

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _answer(self, what: str, answer: T | Refusal) -> T:
        if not isinstance(answer, Refusal):
            return answer
        if answer.code == NOT_ALLOWED and self._was_let_in:  # it says so as well of an address that it bans for a while
            raise BrokerUnavailable(f"expected an answer to {what}, found keys refused: {answer.message}", call=what)
        if answer.code == CLOCK:
            raise BrokerUnavailable(f"expected an answer to {what}, found a time refused: {answer.message}", call=what)
        if answer.code == NOT_ALLOWED:
            raise ConfigError(f"{self.exchange} does not accept the keys: {answer.message}; look at them", call=what)
        raise BrokerContractError(f"expected an answer to {what} from {self.exchange}: {answer.message}", call=what)

    def _ask(self, what: str, call: Callable[[Any], T]) -> T | Refusal:
        for attempt in range(1, _TRIES + 1):
            begun_ns = self._real_ns()
            try:
                answer = self._once(what, call)
            except BrokerUnavailable:
                # Who has waited long for nothing would wait as long again, and others with him.
                if attempt == _TRIES or self._real_ns() - begun_ns >= _LONG_NS:
                    raise
                self._wait(_PAUSE_S * attempt)
                continue
            if isinstance(answer, Refusal) and answer.code == RATE_LIMIT:
                raise BrokerUnavailable(f"expected an answer to {what}, found a rate limit: {answer.message}")
            if isinstance(answer, Refusal) and answer.code == CLOCK and attempt < _TRIES and what != "the time":
                self.measure_clock()
                continue
            return answer
        raise BrokerUnavailable(f"expected an answer to {what}, found none")

    def _once(self, what: str, call: Callable[[Any], T], *, acts: bool = False) -> T | Refusal:
        client = self._acting if acts else self._ccxt
        with self._act_lock if acts else self._lock:
            if self._real_ns() < self._rests_until_ns:
                return Refusal(code=RATE_LIMIT, message=f"{self.exchange} has asked to be left alone for a while")
            if acts and self._ccxt.markets and not client.markets:
                client.set_markets_from_exchange(self._ccxt)  # else it would ask for them itself
            usual_ms = client.timeout
            try:
                client.timeout = min(usual_ms, _ACT_TIMEOUT_MS) if acts else usual_ms
                answer = call(client)
                self._was_let_in |= self.signed and what in _SIGNED
                return answer
            except self._errors.BaseError as error:
                refusal = judged(self._errors, error, self._shown)
                if isinstance(error, (self._errors.DDoSProtection, self._errors.RateLimitExceeded)):
                    self._rest(client, str(error))
                why = f"{type(error).__name__}: {self._shown(str(error))}"
            except BrokerContractError as error:  # of who translates the answer: it has another form than it must
                refusal, why = None, self._shown(error.message)
            except (ConfigError, InternalError):
                raise
            except Exception as error:
                refusal, why = None, f"an answer that cannot be read ({type(error).__name__})"
            finally:
                client.timeout = usual_ms
        if refusal is not None:
            return refusal
        # Without the cause: the exception of ccxt and its frames have seen the keys.
        raise BrokerUnavailable(f"expected an answer to {what} from {self.exchange}, found none: {why}", call=what)

    def _rest(self, client: Any, told: str) -> None:
        headers = getattr(client, "last_response_headers", None) or {}
        banned = " 418 " in told or "banned" in told
        seconds = _BAN_S if banned else _REST_S
        until = _BANNED_UNTIL.search(told)
        named = [value for name, value in dict(headers).items() if str(name).lower() == "retry-after"]
        if until is not None:
            seconds = max(_REST_S, int(until.group(1)) / 1_000 - (self._now_ns() + self.skew_ns) / SECOND_NS)
        elif named and re.fullmatch(r"\d{1,7}(\.\d*)?", str(named[0]).strip()):
            seconds = max(_REST_S, float(named[0]))
        self._rests_until_ns = max(self._rests_until_ns, self._real_ns() + int(seconds * SECOND_NS))

    def _shown(self, text: str) -> str:
        """A text without keys, signatures and the rest of an address, on one line, and not long."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = re.sub(r"\?\S*", "?...", text)
        text = re.sub(r"signature=\w+", "signature=***", text)
        text = " ".join(text.split())
        return text if len(text) <= 300 else f"{text[:300]}..."

    def _made(self, settings: dict[str, Any], environ: Mapping[str, str]) -> Any:
        if self.exchange not in self._errors.exchanges:
            raise ConfigError(f"expected an exchange that ccxt knows, found {self.exchange!r}", found=self.exchange)
        if self.signed:
            names = key_names(self.exchange, self.environment)
            keys = tuple(environ.get(name, "").strip() for name in names)
            if not all(keys):
                missing = " and ".join(name for name, key in zip(names, keys, strict=True) if not key)
                raise ConfigError(f"expected the keys of {self.exchange} in {' and '.join(names)}; not set: {missing}")
            self._secrets = keys
            settings |= {"apiKey": keys[0], "secret": keys[1]}
        client = getattr(self._errors, self.exchange)(settings)
        lacking = [name for name in NEEDED if not client.has.get(name)]
        if lacking:
            raise ConfigError(f"{self.exchange} cannot do what trading needs: ccxt has no {', '.join(lacking)} for it")
        client.options.update({
            "maxRetriesOnFailure": 0,  # an order that is sent again may be a second order
            "fetchCurrencies": False, "fetchMargins": False, "recvWindow": RECEIVE_NS // _MS,
        })  # fmt: skip
        client.has["fetchCurrencies"] = False  # a private question at another address, and for nothing
        client.enableLastResponseHeaders = True
        client.verbose = False
        # It writes each request with its headers, the key among them, wherever somebody listens to its debug messages.
        client.logger = logging.Logger("ccxt", logging.CRITICAL + 1)
        # What is sent elsewhere would be sent twice, and with the key.
        client.session.max_redirects = 0
        _CONNECTIONS.addFilter(_hide_queries)
        client.nonce = self.venue_ms
        return client

    def _enter_environment(self, client: Any) -> None:
        if self.environment == "real":
            return
        urls = client.urls
        if self.environment == "demo" and urls.get("demo"):
            client.enable_demo_trading(True)
            return
        if self.environment == "testnet" and urls.get("test") and self.exchange not in _CLOSED_TESTNETS:
            client.set_sandbox_mode(True)
            return
        has = [name for name, key in (("demo", "demo"), ("testnet", "test")) if urls.get(key)]
        other = [name for name in has if name != "testnet" or self.exchange not in _CLOSED_TESTNETS]
        hint = f"take {' or '.join(other)}" if other else "it has real money alone"
        raise ConfigError(
            f"{self.exchange} has no environment {self.environment}; {hint}", environment=self.environment
        )


def _move_to(client: Any, url: str) -> None:
    to = urlsplit(url)

    def moved(address: str) -> str:
        return urlunsplit((to.scheme, to.netloc, *urlsplit(address)[2:]))

    api = client.urls["api"]
    client.urls["api"] = moved(api) if isinstance(api, str) else {key: moved(each) for key, each in api.items()}


def _ccxt() -> Any:
    try:
        return import_module("ccxt")  # Any: its classes are generated and typed loosely
    except ImportError:
        raise ConfigError("live trading needs a package that is not installed: pip install 'lockstep[live]'") from None
