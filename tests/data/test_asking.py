"""Asking somebody who does not answer: what is said meanwhile, and what is no matter of patience."""

import socket

import pytest

from src.core.errors import BrokerUnavailable, ConfigError
from src.data.sources.asking import Patience, Unanswered, ask, root_cause
from src.data.sources.ccxt import ccxt_source


def chained(*errors: BaseException) -> BaseException:
    """The last of these errors, each raised because of the one before."""
    for inner, outer in zip(errors, errors[1:], strict=False):
        outer.__cause__ = inner
    return errors[-1]


def test_each_wait_is_told_before_it_begins() -> None:
    """Who, why, for how long, and how many of how many tries have failed; an answer ends it."""
    told: list[str] = []
    answers = iter([Unanswered("could not connect"), Unanswered("too many questions", 17.0), None])

    def call() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "here"

    answer = ask(call, "kraken", lambda seconds: told.append(f"waited {seconds:g}"), Patience(), told.append)

    assert answer == "here"
    assert told == [
        "kraken: no answer (could not connect), trying again in 1 s, 1 of 7", "waited 1",
        "kraken: no answer (too many questions), trying again in 17 s, 2 of 7", "waited 17",
    ]  # fmt: skip


def test_the_last_sentence_has_the_reason_and_the_question() -> None:
    """The reason alone does not say where; the address alone does not say why."""

    def call() -> None:
        raise Unanswered("NetworkError: Connection refused", None, "kraken GET https://here")

    with pytest.raises(BrokerUnavailable, match=r"asked 2 times: NetworkError: Connection refused \(kraken GET https"):
        ask(call, "kraken", lambda _: None, Patience(tries=2))


@pytest.mark.parametrize("error", [TypeError("ours"), ValueError("an option"), KeyError("x")])
def test_an_error_of_our_own_is_not_asked_again(error: Exception) -> None:
    """Nobody's patience mends a fault of this program or of its options."""
    waits: list[float] = []

    def call() -> None:
        raise error

    with pytest.raises(type(error)):
        ask(call, "kraken", waits.append, Patience())

    assert waits == []


def test_the_root_of_a_chain_is_named_in_short() -> None:
    """The system says why; clients around it repeat addresses, a circle of causes ends, an empty text is a name."""
    refused = chained(ConnectionRefusedError(111, "Connection refused"), OSError("Max retries"), ValueError("GET x"))
    status = chained(ValueError("500 Server Error: Oops for url: https://a"), ValueError("GET x"))
    circle = chained(ValueError("inner"), ValueError("outer"))
    assert circle.__cause__ is not None
    circle.__cause__.__cause__ = circle

    assert root_cause(refused) == "Connection refused"
    assert root_cause(status) == "500 Server Error: Oops"
    assert root_cause(circle) == "inner"
    assert root_cause(chained(TimeoutError(), ValueError("GET x"))) == "TimeoutError"
    assert root_cause(ValueError("a " * 200)) == ("a " * 200)[:160] + "..."


def test_an_exchange_that_cannot_be_reached_says_why() -> None:
    """The refusal of the system stands in what is told and in the end; not the address alone."""
    pytest.importorskip("ccxt")
    with socket.socket() as free:  # bound and not listening: whoever connects is refused
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        urls = {"api": {"fapiPublic": f"{address}/fapi/v1"}}
        told: list[str] = []
        source = ccxt_source(
            "binanceusdm", options={"urls": urls, "rateLimit": 1}, wait=lambda _: None, patience=Patience(tries=3)
        )
        source.on_retry = told.append
        with pytest.raises(BrokerUnavailable, match=r"refused.*\(binanceusdm GET http://127\.0\.0\.1"):
            source.symbol("BTCUSDT")
        source.close()

    assert len(told) == 2
    assert told[0].startswith("ccxt:binanceusdm: no answer (NetworkError: ")
    assert "refused" in told[0]
    assert told[1].endswith("trying again in 2 s, 2 of 3")


@pytest.mark.parametrize("options", [{"timeout": "soon"}, {"rateLimit": "soon"}])
def test_an_option_that_cannot_be_used_is_refused_at_once(options: dict[str, str]) -> None:
    """A wrong setting of the client is no exchange that is down."""
    pytest.importorskip("ccxt")
    waits: list[float] = []

    def asked() -> None:
        ccxt_source("binanceusdm", options=options, wait=waits.append).symbol("BTCUSDT")

    with pytest.raises(ConfigError, match="look at the options of the source"):
        asked()

    assert waits == []
