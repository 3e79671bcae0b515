"""The client of an exchange: environments, keys that never appear, errors that mean one thing, the clock."""

import logging
import pickle
import traceback
from collections.abc import Callable
from decimal import InvalidOperation
from importlib import import_module
from typing import Any

import pytest

from src.brokers.ccxt_client import MOST_SKEW_NS, CcxtClient, key_names
from src.brokers.ccxt_errors import Refusal, judged
from src.core.errors import BrokerUnavailable, ConfigError
from src.core.sync import Event, start_thread
from src.core.timeframe import SECOND_NS
from src.testing.venue_http import VenueServer
from src.testing.venue_wire import Reply

ccxt: Any = import_module("ccxt")

KEY, SECRET = "planted-key-0123456789", "planted-secret-0123456789"


def client_with(environment: str = "demo", exchange: str = "binanceusdm", **more: Any) -> CcxtClient:
    """A client with planted keys, which asks nobody."""
    names = key_names(exchange, environment)
    return CcxtClient(
        exchange, environment=environment, environ=dict(zip(names, (KEY, SECRET), strict=True)),
        wait=lambda seconds: None, **more,
    )  # fmt: skip


def raising(error: Exception) -> Callable[[Any], Any]:
    """A call that fails in this way."""

    def call(client: Any) -> Any:
        raise error

    return call


def told(number: int, words: str = "Some words.") -> str:
    """The text of ccxt's exception for an answer of the exchange."""
    return f'binanceusdm {{"code":{number},"msg":"{words}"}}'


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (-2019, "margin"), (-2011, "not_working"), (-2013, "not_working"), (-2021, "stop_in_market"),
        (-2022, "nothing_to_reduce"), (-4116, "duplicate_id"), (-1121, "unknown_symbol"), (-4164, "min_notional"),
        (-5022, "post_only"), (-1003, "rate_limit"), (-1008, "rate_limit"), (-1015, "rate_limit"), (-1021, "clock"),
        (-2015, "not_allowed"), (-4003, "volume"), (-4014, "tick"), (-9999, "rejected"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [ccxt.ExchangeError, ccxt.BadResponse, ccxt.OperationFailed])
def test_the_number_decides_whatever_class_ccxt_gives(number: int, code: str, kind: type[Exception]) -> None:
    """ccxt's classes differ between the addresses of one exchange; the number does not."""
    refusal = judged(ccxt, kind(told(number)), str)

    assert refusal is not None
    assert refusal.code == code
    assert "Some words." in refusal.message


@pytest.mark.parametrize("number", [-1000, -1001, -1006, -1007])
def test_a_number_that_says_nothing_is_no_refusal(number: int) -> None:
    """The exchange itself does not know whether it was done."""
    assert judged(ccxt, ccxt.ExchangeError(told(number)), str) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ccxt.RequestTimeout("binanceusdm POST https://x"), None),
        (ccxt.ExchangeNotAvailable("503"), None),
        (ccxt.NetworkError("reset"), None),
        (ccxt.BadResponse("no JSON"), None),
        (ccxt.ExchangeError("{}"), None),
        (ccxt.DDoSProtection("binanceusdm 429 Too Many Requests {}"), "rate_limit"),
        (ccxt.InsufficientFunds("no"), "margin"),
        (ccxt.InvalidOrder("amount must be greater"), "rejected"),
        (ccxt.OrderNotFound("no"), "not_working"),
    ],
)
def test_without_a_number_only_what_is_sure_is_a_refusal(error: Exception, code: str | None) -> None:
    """An answer that nobody understands may be the answer to something that was done."""
    refusal = judged(ccxt, error, str)

    assert (None if refusal is None else refusal.code) == code


def test_a_filter_is_told_by_its_words() -> None:
    """-1013 stands for all filters."""
    refusal = judged(ccxt, ccxt.InvalidOrder(told(-1013, "Filter failure: LOT_SIZE")), str)

    assert refusal is not None
    assert refusal.code == "volume_step"


def test_what_changes_something_is_sent_once() -> None:
    """Whatever happens to it; a question is asked again."""
    client, count = client_with(), [0]

    def call(inner: Any) -> Any:
        count[0] += 1
        raise ccxt.RequestTimeout("nothing came")

    with pytest.raises(BrokerUnavailable):
        client.act("an order", call)
    acted = count[0]
    with pytest.raises(BrokerUnavailable):
        client.read("the balance", call)

    assert (acted, count[0]) == (1, 4)


def test_an_answer_that_cannot_be_read_is_no_answer() -> None:
    """The order may have been placed."""
    with pytest.raises(BrokerUnavailable, match="cannot be read"):
        client_with().act("an order", raising(KeyError("price")))


def test_after_a_rate_limit_nothing_is_sent_for_a_while() -> None:
    """The exchange bans who goes on asking."""
    client, count = client_with(), [0]

    def call(inner: Any) -> int:
        count[0] += 1
        return count[0]

    first = client.act("an order", raising(ccxt.RateLimitExceeded("429")))
    second = client.act("an order", call)

    assert [each.code for each in (first, second) if isinstance(each, Refusal)] == ["rate_limit", "rate_limit"]
    assert count == [0]


def test_keys_appear_nowhere() -> None:
    """Neither in a repr nor in an error, its traceback, its cause or its pickled form."""
    client = client_with()
    text = f"binanceusdm GET https://x/fapi/v3/account?timestamp=1&signature=abc {KEY} {SECRET}"
    texts, errors = [repr(client), str(client)], []
    for error in (ccxt.RequestTimeout(text), ccxt.ExchangeError(told(-2019, text)), ccxt.InvalidOrder(text)):
        try:
            texts.append(repr(client.act("an order", raising(error))))
        except BrokerUnavailable as unavailable:
            errors.append(unavailable)
    texts += ["".join(traceback.format_exception(each)) for each in errors]
    texts += [repr(pickle.dumps(each)) for each in errors]
    shown = "\n".join(texts)

    assert [(each.__cause__, each.__context__) for each in errors] == [(None, None)]
    assert KEY not in shown
    assert SECRET not in shown
    assert "signature=abc" not in shown


def test_missing_keys_are_named_and_not_shown() -> None:
    """The sentence says which environment variable is not set."""
    key, secret = key_names("binanceusdm", "real")
    with pytest.raises(ConfigError, match=f"not set: {secret}") as caught:
        CcxtClient("binanceusdm", environment="real", environ={key: KEY})

    assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("exchange", "environment", "words"),
    [
        ("binanceusdm", "testnet", "no environment testnet; take demo"),
        ("kraken", "demo", "no environment demo|cannot do"),
        ("binanceusdm", "paper", "expected environment demo, testnet, real"),
        ("nosuchexchange", "real", "expected an exchange that ccxt knows"),
    ],
)
def test_what_an_exchange_does_not_have_is_refused(exchange: str, environment: str, words: str) -> None:
    """An environment is never replaced by another one."""
    with pytest.raises(ConfigError, match=words):
        client_with(environment, exchange)


def test_demo_money_is_asked_for_at_the_demo_address() -> None:
    """And real money at the exchange's own; an address in its place keeps the paths."""
    demo, real, moved = client_with(), client_with("real"), client_with(url="http://127.0.0.1:8080")
    addresses = [each._ccxt.urls["api"]["fapiPrivate"] for each in (demo, real, moved)]

    assert addresses == [
        "https://demo-fapi.binance.com/fapi/v1", "https://fapi.binance.com/fapi/v1", "http://127.0.0.1:8080/fapi/v1",
    ]  # fmt: skip


@pytest.mark.parametrize(("ahead_ns", "side"), [(3 * MOST_SKEW_NS, "behind"), (-3 * MOST_SKEW_NS, "ahead of")])
def test_a_clock_that_is_off_is_refused(monkeypatch: pytest.MonkeyPatch, ahead_ns: int, side: str) -> None:
    """Requests are stamped by the exchange's time all the same."""
    client = client_with(now_ns=lambda: 10**18)
    monkeypatch.setattr(client._ccxt, "fetch_time", lambda: (10**18 + ahead_ns) // 1_000_000)

    with pytest.raises(ConfigError, match=side):
        client.check_clock()
    assert client._ccxt.nonce() == (10**18 + ahead_ns) // 1_000_000


def test_a_clock_that_agrees_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small difference is only taken into account."""
    client = client_with(now_ns=lambda: 10**18)
    monkeypatch.setattr(client._ccxt, "fetch_time", lambda: 10**12 + 20)

    client.check_clock()

    assert client.skew_ns == 20_000_000


@pytest.mark.parametrize("error", [StopIteration(), RuntimeError(f"?signature={SECRET}"), InvalidOperation()])
def test_whatever_an_answer_does_to_its_reader_the_order_may_exist(error: Exception) -> None:
    """And neither the error nor its traceback shows what was sent."""
    client = client_with()

    with pytest.raises(BrokerUnavailable, match="cannot be read") as caught:
        client.act("an order", raising(error))

    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("told_by", "headers", "seconds"),
    [
        (ccxt.RateLimitExceeded("429"), {}, 1), (ccxt.DDoSProtection("429"), {"Retry-After": "7"}, 7),
        (ccxt.DDoSProtection("429"), {"Retry-After": "Wed, 21 Oct"}, 1),
        (ccxt.DDoSProtection("binanceusdm 418 I'm a teapot {}"), {}, 120),
        (ccxt.DDoSProtection(f"418 {told(-1003, 'IP banned until 1000000030000.')}"), {"Retry-After": "5"}, 30),
    ],
)  # fmt: skip
def test_after_a_rate_limit_or_a_ban_nothing_is_sent_for_as_long_as_it_lasts(
    told_by: Exception, headers: dict[str, str], seconds: int
) -> None:
    """By the header or the words of the exchange; a ban that names no time lasts two minutes at least."""
    real_ns = [0]
    client = client_with(real_ns=lambda: real_ns[0], now_ns=lambda: 10**18)
    client._acting.last_response_headers = headers
    client.act("an order", raising(told_by))

    def allowed(at_ns: int) -> bool:
        real_ns[0] = at_ns
        return client.act("an order", lambda inner: "sent") == "sent"

    assert not allowed(seconds * SECOND_NS - 1)
    assert allowed(seconds * SECOND_NS)


def test_keys_that_were_taken_and_are_refused_later_are_no_reason_to_end() -> None:
    """An exchange says so as well of an address that it bans for a while."""
    client = client_with()
    refused = raising(ccxt.AuthenticationError(told(-2015)))
    with pytest.raises(ConfigError):
        client.read("the balance", refused)

    client.read("the balance", lambda inner: 1)

    with pytest.raises(BrokerUnavailable, match="keys refused"):
        client.read("the balance", refused)


def test_a_time_that_is_refused_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is asked again then, an order is not; the next reading measures first."""
    client = client_with(now_ns=lambda: 10**18)
    monkeypatch.setattr(client._ccxt, "fetch_time", lambda: 10**12 + 500)
    refused = raising(ccxt.InvalidNonce(told(-1021)))

    result = client.act("an order", refused)
    off = client.clock_is_off
    with pytest.raises(BrokerUnavailable, match="time refused"):
        client.read("the balance", refused)

    assert isinstance(result, Refusal)
    assert (result.code, off, client.clock_is_off, client.skew_ns) == ("rate_limit", True, False, 500_000_000)


def test_a_request_is_sent_to_no_other_place() -> None:
    """A redirection would send an order twice, and the key to somebody else."""
    asked: list[str] = []

    def answer(method: str, path: str, query: str, headers: Any) -> Reply:
        asked.append(path)
        return Reply(status=307, headers={"Location": "/elsewhere"}, body={})

    server = VenueServer(answer)
    try:
        client = client_with(url=f"http://127.0.0.1:{server.port}")
        with pytest.raises(BrokerUnavailable):
            client.act("an order", lambda inner: inner.fapiPrivatePostOrder({"symbol": "BTCUSDT"}))
    finally:
        server.close()

    assert asked == ["/fapi/v1/order"]


def test_the_addresses_of_requests_are_not_logged_with_their_signatures(caplog: pytest.LogCaptureFixture) -> None:
    """The library that sends them tells them to whoever listens to its debug messages."""
    caplog.set_level(logging.DEBUG)
    server = VenueServer(lambda method, path, query, headers: Reply(body={}))
    try:
        client_with(url=f"http://127.0.0.1:{server.port}").act("a look", lambda inner: inner.fapiPrivateGetOrder({}))
    finally:
        server.close()

    assert "/fapi/v1/order" in caplog.text
    assert "signature" not in caplog.text
    assert "timestamp" not in caplog.text


def test_keys_are_read_without_the_blanks_around_them() -> None:
    """A line's end in a header is an error that shows the header."""
    names = key_names("binanceusdm", "demo")
    client = CcxtClient("binanceusdm", environment="demo", environ=dict.fromkeys(names, f" {KEY}\n"))

    assert client._ccxt.apiKey == KEY


def test_orders_are_not_waited_for_longer_than_the_exchange_would_take_them() -> None:
    """Questions are."""
    client, waited = client_with(), []

    client.act("an order", lambda inner: waited.append(inner.timeout))
    client.read("the markets", lambda inner: waited.append(inner.timeout))

    assert waited == [5_000, 10_000]


@pytest.mark.parametrize("hangs", ["question", "order"])
def test_a_request_that_hangs_keeps_none_of_the_other_kind_waiting(hangs: str) -> None:
    """Prices are read while an order has no answer, and an order leaves while a question has none."""
    client, begun, go_on = client_with(), Event(), Event()

    def hang(inner: Any) -> None:
        begun.set()
        assert go_on.wait(120.0)

    calls: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
        "question": lambda call: client.read("the time", call), "order": lambda call: client.act("an order", call)
    }  # fmt: skip
    thread = start_thread("hangs", lambda: calls[hangs](hang))
    assert begun.wait(120.0)

    done = [call(lambda inner: "done") for name, call in calls.items() if name != hangs]

    go_on.set()
    thread.join()
    assert done == ["done"]


def test_what_the_exchange_wants_to_be_left_alone_for_holds_for_both_lines() -> None:
    """A rate limit that a question hit keeps the next order back as well."""
    client = client_with()

    def too_many(inner: Any) -> None:
        raise ccxt.RateLimitExceeded("429 Too Many Requests")

    with pytest.raises(BrokerUnavailable):
        client.read("the time", too_many)
    answer = client.act("an order", lambda inner: "sent")

    assert isinstance(answer, Refusal)
    assert answer.code == "rate_limit"


def test_a_question_that_was_waited_for_long_is_not_asked_again() -> None:
    """An exchange that is away would keep everybody waiting for three times as long."""
    real_ns, count = [0], [0]
    client = client_with(real_ns=lambda: real_ns[0])

    def call(inner: Any) -> None:
        count[0] += 1
        real_ns[0] += 10 * SECOND_NS
        raise ccxt.RequestTimeout("nothing came")

    with pytest.raises(BrokerUnavailable):
        client.read("the balance", call)

    assert count == [1]
