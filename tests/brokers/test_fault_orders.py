"""Orders of which nothing is known, that fall silent, or that turn up too late; and accounts that are old."""

from typing import Any

import pytest

from src.brokers.faults import Fault, FaultKind
from src.brokers.faulty import FaultyBroker
from src.core.bars import Bar
from src.core.broker import Connection
from src.core.errors import InternalError
from src.core.records import OrderResult
from src.core.steady_broker import SteadyBroker
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.fault_loop import fault_loop
from tests.brokers.fault_worlds import START_NS, Script, busy_world, lasting, play

LATE = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, order=1, after_ns=20 * SECOND_NS)
SILENT = Fault(kind=FaultKind.PARTLY_SILENT, order=1)


def _buy(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.buy(stop=bar.close - 10)


def _rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.buy(limit=95.0, stop=90.0)


def _out(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue says that nothing is under way for longer than five seconds, and does not keep to it."""
    promised = Connection(certain=False, in_flight_ns=5 * SECOND_NS)
    monkeypatch.setattr(FaultyBroker, "connection", lambda self: promised)


@pytest.mark.usefixtures("hasty")
def test_an_order_that_was_given_up_and_fills_all_the_same_is_closed() -> None:
    """Its slot and risk may have been given to another one."""
    away = lasting(FaultKind.DISCONNECT, 2.2, 4.5)

    played = play({("AAA", 2): _buy}, [LATE, away])

    assert [(kind, volume) for _, kind, volume in played.fills()] == [("entry", 2.0), ("late", 2.0)]
    assert ("flatten", "late") in played.recovered()
    assert played.held() == []


@pytest.mark.usefixtures("hasty")
def test_of_a_position_that_is_held_only_the_late_part_is_closed() -> None:
    """What the strategy has bought meanwhile stays, with its stop."""

    def again(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(stop=90.0)

    late = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, order=2, after_ns=20 * SECOND_NS)
    away = lasting(FaultKind.DISCONNECT, 4.2, 6.5)

    played = play({("AAA", 2): _buy, ("AAA", 4): again}, [late, away])

    assert played.held() == [("AAA", 2.0, 90.0)]
    assert [(kind, volume) for _, kind, volume in played.fills()][-1] == ("late", 2.0)


@pytest.mark.usefixtures("hasty")
def test_an_order_that_was_given_up_and_rests_all_the_same_is_cancelled() -> None:
    """Nobody counts it, so nobody may have it filled."""
    played = play({("AAA", 2): _rest}, [LATE], prices={"AAA": [100.0] * 6 + [94.0] * 8})

    assert played.fills() == []
    assert ("enter", "late") in played.recovered()
    assert played.controller.venue.snapshot().orders == ()


def test_an_entry_that_is_unknown_is_cancelled_when_it_is_found() -> None:
    """The strategy has said that it does not want it."""

    def twice(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.cancel(_rest(strategy, bar).order_id)

    played = play({("AAA", 2): twice}, [LATE], prices={"AAA": [100.0] * 5 + [94.0] * 9})

    assert played.answers == [(2, "unanswered")]
    assert (played.fills(), played.problems) == ([], [])
    assert ("cancel", "found") in played.recovered()


def test_an_entry_that_is_unknown_does_not_outlive_its_symbol() -> None:
    """Nobody would watch it any more."""

    def fails(strategy: BarStrategy, bar: Bar) -> OrderResult:
        _rest(strategy, bar)
        raise RuntimeError("broken")

    played = play(
        {("AAA", 2): fails}, [LATE], symbols=("AAA", "BBB"), prices={"AAA": [100.0] * 5 + [94.0] * 9},
        risk={"on_error": "stop_symbol"},
    )  # fmt: skip

    assert played.fills() == []
    assert played.controller.venue.snapshot().orders == ()


def test_an_entry_whose_cancellation_is_rejected_does_not_outlive_its_symbol() -> None:
    """It is asked for until the order has ended."""

    def fails(strategy: BarStrategy, bar: Bar) -> OrderResult:
        _rest(strategy, bar)
        raise RuntimeError("broken")

    played = play(
        {("AAA", 2): fails}, [Fault(kind=FaultKind.REJECT, call=2)], symbols=("AAA", "BBB"),
        prices={"AAA": [100.0] * 5 + [94.0] * 9}, risk={"on_error": "stop_symbol"},
    )  # fmt: skip

    assert played.fills() == []


def test_an_entry_that_is_unknown_does_not_outlive_the_day() -> None:
    """After a daily loss nothing is opened, not by an order that arrives late either."""

    def much(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=20, stop=10.0)

    late = Fault(kind=FaultKind.TIMEOUT_ACCEPTED, order=2, after_ns=20 * SECOND_NS)
    played = play(
        {("AAA", 1): much, ("BBB", 5): _rest}, [late], symbols=("AAA", "BBB"),
        prices={"AAA": [100.0] * 4 + [50.0] * 20, "BBB": [100.0] * 10 + [94.0] * 14},
        risk={"daily_loss_limit_percent": 5, "on_daily_loss": "block"},
    )  # fmt: skip

    assert played.fills("BBB") == []


def _triggered(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.buy(trigger=103.0, stop=95.0, volume=2)


def _dated(strategy: BarStrategy, bar: Bar) -> OrderResult:
    return strategy.buy(limit=95.0, stop=80.0, volume=2, time_in_force="gtd", expires_ns=START_NS + 7 * MINUTE_NS)


@pytest.mark.parametrize(
    ("entry", "then", "leaves"),
    [(_triggered, 104.0, False), (_dated, 94.0, False), (_rest, 94.0, True), (_dated, 94.0, True)],
)
def test_an_order_that_fell_silent_gives_its_slot_back(entry: Any, then: float, leaves: bool) -> None:
    """A triggered stop, an expired limit and one whose position is gone have nothing to wait for."""
    script: Script = {("AAA", 2): entry, ("BBB", 30): _buy}
    if leaves:
        script["AAA", 8] = _out

    played = play(
        script, [SILENT], symbols=("AAA", "BBB"), prices={"AAA": [100.0] * 4 + [then] * 30, "BBB": [100.0] * 34},
        risk={"max_open_positions": 1 if leaves else 2, "positions": "hedging"},
    )  # fmt: skip

    assert played.problems == []
    assert played.answers[-1] == (30, "")
    assert ("cancel", "silent after a part") in played.recovered()


@pytest.mark.parametrize("kind", [FaultKind.REJECTED_WITH_FILL, FaultKind.PARTLY_SILENT])
def test_of_a_volume_that_was_changed_a_part_fills_as_well(kind: FaultKind) -> None:
    """Half of four, and not all of it."""
    placed: list[str] = []

    def rest(strategy: BarStrategy, bar: Bar) -> OrderResult:
        result = _rest(strategy, bar)
        placed.append(result.order_id)
        return result

    script: Script = {("AAA", 2): rest, ("AAA", 3): lambda strategy, bar: strategy.modify(placed[0], volume=4)}

    played = play(script, [Fault(kind=kind, order=1)], prices={"AAA": [100.0] * 5 + [94.0] * 12})

    assert played.answers == [(2, ""), (3, "")]
    assert played.fills() == [(6, "entry", 2.0)]
    assert played.problems == []


def test_a_silent_order_whose_cancellation_is_rejected_is_cancelled_again() -> None:
    """A slot is not lost because the venue says no once."""
    played = play(
        {("AAA", 2): _buy, ("AAA", 4): _out}, [SILENT, Fault(kind=FaultKind.REJECT, call=3)],
        prices={"AAA": [100.0] * 24},
    )  # fmt: skip

    assert played.problems == []
    assert played.controller.trading_controller.risk.reserved == ()


def test_the_loop_notices_a_slot_that_is_never_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot goes on counting an order that has ended."""
    monkeypatch.setattr(SteadyBroker, "_is_not_silent", lambda *_: True)

    with pytest.raises(InternalError, match="which ended long ago"):
        fault_loop(lambda plan: busy_world(plan, bars=24), [Fault(kind=FaultKind.PARTLY_SILENT, call=1)])


def test_an_entry_is_not_sized_by_an_old_account() -> None:
    """After a stale answer to an order to close the account is asked for again."""

    def big(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=50, stop=50.0)

    def small(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(volume=1, stop=90.0)

    def sized(strategy: BarStrategy, bar: Bar) -> OrderResult:
        return strategy.buy(stop=90.0)

    script: Script = {("AAA", 2): big, ("BBB", 2): small, ("BBB", 3): _out, ("BBB", 6): sized}
    how: dict[str, Any] = {
        "symbols": ("AAA", "BBB"), "prices": {"AAA": [100.0] * 4 + [60.0] * 10}, "risk": {"size": {"risk_percent": 1}},
    }  # fmt: skip

    plain = play(script, [], **how)
    played = play(script, [Fault(kind=FaultKind.STALE_REPLY, order=3)], **how)

    assert played.fills("BBB") == plain.fills("BBB")
    assert played.fills("BBB")[-1][2] == 8.0


def test_a_disconnection_at_the_end_is_no_leak() -> None:
    """What cannot be known yet is not counted as lost."""
    away = lasting(FaultKind.DISCONNECT, 13, 20)

    assert play({("AAA", 13): _buy}, [away], away_ns=7 * MINUTE_NS).problems == []
