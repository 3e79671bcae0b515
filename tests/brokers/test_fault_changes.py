"""Changes of stops, targets and orders: the last word counts, whatever is lost or comes late."""

import pytest

from src.brokers.faults import Fault, FaultKind
from src.core.bars import Bar
from src.core.records import OrderResult
from src.core.strategy import BarStrategy
from src.core.timeframe import SECOND_NS
from tests.brokers.fault_worlds import Script, play

LATE = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=2, after_ns=20 * SECOND_NS)
LOST = Fault(kind=FaultKind.TIMEOUT_LOST, call=2)


def _in(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.buy(stop=bar.close - 10)


def _stops(*stops: float) -> Script:
    def moves(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return [strategy.move_stop(stop) for stop in stops][-1]

    return {("AAA", 2): _in, ("AAA", 4): moves}


def test_a_stop_that_arrives_late_does_not_undo_a_newer_one() -> None:
    """The older change is accepted by the venue after the newer one, which is then asked for again."""
    played = play(_stops(92.0, 97.0), [LATE])

    assert played.answers[-1] == (4, "")
    assert (played.held(), played.problems) == ([("AAA", 2.0, 97.0)], [])


def test_a_price_that_arrives_late_does_not_undo_a_newer_one() -> None:
    """An order that was moved away from the market stays there."""
    placed: list[OrderResult] = []

    def rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
        placed.append(strategy.buy(limit=90.0, stop=80.0))
        return placed[0]

    def moves(strategy: BarStrategy, bar: Bar) -> OrderResult:
        order_id = placed[0].order_id
        strategy.modify(order_id, price=99.0)
        return strategy.modify(order_id, price=85.0)

    script: Script = {("AAA", 1): rest, ("AAA", 3): moves}

    played = play(script, [LATE], prices={"AAA": [100.0] * 6 + [98.0] * 8})

    assert (played.fills(), played.problems) == ([], [])


def test_a_price_that_was_lost_is_not_forgotten_for_a_volume() -> None:
    """Both changes count: the one that nobody answered is asked for again."""
    placed: list[OrderResult] = []

    def rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
        placed.append(strategy.buy(limit=90.0, stop=80.0))
        return placed[0]

    def moves(strategy: BarStrategy, bar: Bar) -> OrderResult:
        order_id = placed[0].order_id
        strategy.modify(order_id, price=95.0)
        return strategy.modify(order_id, volume=3.0)

    script: Script = {("AAA", 1): rest, ("AAA", 3): moves}

    played = play(script, [LOST], prices={"AAA": [100.0] * 6 + [94.0] * 8})

    assert [volume for _, _, volume in played.fills()] == [3.0]
    assert ("modify", "accepted") in played.recovered()


def test_a_limit_that_was_lost_is_asked_for_again() -> None:
    """The price jumps from 100 to 107, past the trigger: within the new limit of 108, and beyond the old one of 105."""
    placed: list[OrderResult] = []

    def rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
        placed.append(strategy.buy(trigger=105.0, trigger_limit=105.0, stop=90.0))
        return placed[0]

    script: Script = {
        ("AAA", 1): rest,
        ("AAA", 3): lambda strategy, bar: strategy.modify(placed[0].order_id, limit=108.0),
    }

    played = play(script, [LOST], prices={"AAA": [100.0] * 8 + [107.0] * 6})

    assert [volume for _, _, volume in played.fills()] == [2.0]
    assert ("modify", "accepted") in played.recovered()


@pytest.mark.parametrize("first", ["stop", "target"])
def test_a_stop_and_a_target_do_not_replace_each_other(first: str) -> None:
    """What was lost is asked for again, also when the other one is changed next."""

    def moves(strategy: BarStrategy, bar: Bar) -> OrderResult:
        if first == "stop":
            strategy.move_stop(95.0)
            return strategy.move_target(120.0)
        strategy.move_target(120.0)
        return strategy.move_stop(95.0)

    played = play({("AAA", 2): _in, ("AAA", 4): moves}, [LOST])

    position = played.result.open_positions[0]
    assert (position.stop, position.target, played.problems) == (95.0, 120.0, [])


def test_a_wider_stop_that_may_still_arrive_takes_its_risk() -> None:
    """The limit on open risk holds while nobody knows whether a stop becomes wider."""

    def other(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=4, stop=80.0)

    script = {**_stops(60.0), ("BBB", 4): other, ("BBB", 8): other}

    played = play(script, [LATE], symbols=("AAA", "BBB"), risk={"max_open_risk_percent": 1})

    assert played.answers[1:] == [(4, "unanswered"), (4, "open_risk"), (8, "open_risk")]
    assert (played.held(), played.problems) == ([("AAA", 2.0, 60.0)], [])


def test_a_wider_stop_that_was_lost_gives_its_risk_back() -> None:
    """When it cannot arrive any more the risk is free again."""

    def other(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=4, stop=80.0)

    script = {**_stops(60.0), ("BBB", 4): other, ("BBB", 8): other}

    played = play(script, [LOST], symbols=("AAA", "BBB"), risk={"max_open_risk_percent": 1})

    assert played.answers[1:] == [(4, "unanswered"), (4, "open_risk"), (8, "")]
    assert played.held() == [("AAA", 2.0, 90.0), ("BBB", 4.0, 80.0)]


def test_an_addition_whose_stop_was_refused_gets_it() -> None:
    """The wider stop of what was held before is not what the addition was sized for."""

    def first(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=2, stop=80.0)

    def more(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=2, stop=95.0)

    script: Script = {("AAA", 2): first, ("AAA", 5): more}

    played = play(script, [Fault(kind=FaultKind.STOP_WITHOUT_ID, order=2)])

    assert (played.held(), played.problems) == ([("AAA", 4.0, 95.0)], [])
    assert ("protect", "the stop was refused") in played.recovered()
