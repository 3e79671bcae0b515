"""Who wants to be out gets out, once: exits under two faults at a time, and parts of a position."""

from collections.abc import Callable
from typing import Any

import pytest

from src.backtesting.result import Outcome
from src.brokers.faults import Fault, FaultKind
from src.core.bars import Bar
from src.core.records import OrderResult
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS
from tests.brokers.fault_worlds import lasting, play

Act = Callable[[BarStrategy, Bar], OrderResult]


def _buy(volume: float | None = None, stop: float | None = 90.0) -> Act:
    return lambda strategy, bar: strategy.buy(volume=volume, stop=stop)


def _close(volume: float | None = None) -> Act:
    return lambda strategy, bar: strategy.close(volume=volume)


def _both(first: Act, second: Act) -> Act:
    def acts(strategy: BarStrategy, bar: Bar) -> OrderResult:
        first(strategy, bar)
        return second(strategy, bar)

    return acts


@pytest.mark.parametrize(
    ("script", "naked", "stale"),
    [
        ({("AAA", 2): _buy(), ("BBB", 2): _buy()}, 1, 2),
        ({("AAA", 2): _buy(), ("BBB", 2): _buy()}, 2, 1),
        ({("AAA", 2): _buy(), ("BBB", 1): _buy(), ("BBB", 2): _close()}, 2, 3),
    ],
)
def test_an_old_account_leaves_no_position_naked(script: Any, naked: int, stale: int) -> None:
    """The account from before the fill does not show the position, which is there all the same."""
    faults = [Fault(kind=FaultKind.STOP_WITHOUT_ID, order=naked), Fault(kind=FaultKind.STALE_REPLY, order=stale)]

    played = play(script, faults, symbols=("AAA", "BBB"))

    assert played.problems == []
    assert [stop for _, _, stop in played.held() if stop is None] == []
    assert "naked" in [fill.kind for fill in played.result.fills]


def test_an_exit_that_nobody_answered_is_looked_up_although_the_account_is_old() -> None:
    """The run goes on, and the position is closed once."""
    script = {("AAA", 2): _buy(), ("BBB", 2): _buy(), ("AAA", 3): _close()}
    faults = [Fault(kind=FaultKind.STALE_REPLY, order=2), Fault(kind=FaultKind.TIMEOUT_LOST, order=3)]

    played = play(script, faults, symbols=("AAA", "BBB"))

    assert (played.result.outcome, played.problems) == (Outcome.COMPLETED, [])
    assert [(kind, volume) for _, kind, volume in played.fills()] == [("entry", 2.0), ("exit", 2.0)]


def test_an_order_to_close_what_is_gone_raises_nothing_when_its_answer_is_lost() -> None:
    """The caller is told that nothing is known; nothing is looked up for a position that is not there."""
    played = play({("AAA", 2): _buy(), ("AAA", 4): _close()}, [lasting(FaultKind.DISCONNECT, 13.5, 20)])
    broker = played.controller.trading_controller._broker

    result = broker.close(played.result.fills[0].position_id, client_id="k1")

    assert (result.accepted, result.code) == (False, "unanswered")
    assert played.held() == []


def test_an_addition_without_its_stop_is_flattened_although_a_part_is_being_closed() -> None:
    """Only an order that closes everything makes another one needless."""
    script = {("AAA", 2): _buy(2, None), ("AAA", 5): _both(_buy(2, 95.0), _close(1))}

    played = play(script, [Fault(kind=FaultKind.STOP_WITHOUT_ID, order=2)])

    assert (played.held(), played.problems) == ([], [])
    assert sum(volume for _, kind, volume in played.fills() if kind in ("naked", "exit")) == 4.0


@pytest.mark.parametrize("first", ["naked", "whole"])
def test_a_part_does_not_replace_the_whole(first: str) -> None:
    """While all of a position waits to be closed, closing a part of it is refused and changes nothing."""
    limit = lasting(FaultKind.RATE_LIMIT, 1.5, 5.5, calls=1, per_ns=60 * MINUTE_NS)
    if first == "naked":
        script = {("AAA", 2): _buy(4), ("AAA", 3): _close(1)}
        faults = [Fault(kind=FaultKind.STOP_WITHOUT_ID, order=1), limit]
    else:
        script = {("AAA", 2): _buy(4), ("AAA", 4): _both(_close(), _close(1))}
        faults = [limit]

    played = play(script, faults, away_ns=4 * MINUTE_NS)

    assert (played.held(), played.problems) == ([], [])
    assert played.answers[-1][1] == "closing"
    assert [volume for _, _, volume in played.fills()] == [4.0, 4.0]


def test_the_whole_is_closed_although_a_part_was_lost() -> None:
    """Who asks for all while a part has had no answer gets out of all of it."""
    script = {("AAA", 2): _buy(4), ("AAA", 5): _both(_close(1), _close())}

    played = play(script, [Fault(kind=FaultKind.TIMEOUT_LOST, order=2)])

    assert (played.held(), played.problems) == ([], [])
    assert played.answers[-1] == (5, "unanswered")
    assert [volume for _, _, volume in played.fills()] == [4.0, 4.0]


def test_the_whole_is_closed_although_a_part_of_it_arrives_late() -> None:
    """Nothing is sent twice: the rest of the position is what another order closes."""
    script = {("AAA", 2): _buy(4), ("AAA", 5): _both(_close(1), _close())}

    played = play(script, [Fault(kind=FaultKind.TIMEOUT_ACCEPTED, order=2, after_ns=20 * 10**9)])

    assert (played.held(), played.problems) == ([], [])
    assert [volume for _, _, volume in played.fills()] == [4.0, 1.0, 3.0]


@pytest.mark.parametrize(("end", "code"), [(4.9, "closing"), (5.0, "closing"), (5.1, "rate_limit")])
def test_a_part_that_is_asked_for_again_is_closed_once(end: float, code: str) -> None:
    """Whether the bot or the strategy is first to ask after the end of a rate limit, only one of them does."""
    limit = lasting(FaultKind.RATE_LIMIT, 0.5, end, calls=1, per_ns=60 * MINUTE_NS)
    script = {("AAA", 1): _buy(4), ("AAA", 4): _close(1), ("AAA", 5): _close(1)}

    played = play(script, [limit], away_ns=MINUTE_NS)

    assert played.problems == []
    assert played.answers == [(1, ""), (4, "rate_limit"), (5, code)]
    assert [volume for _, kind, volume in played.fills() if kind == "exit"] == [1.0]
