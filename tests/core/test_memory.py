"""What a bot remembers beyond one run: its day, its pauses, what its strategies keep."""

import json
from dataclasses import replace

from src.core.memory import Memory, RiskMemory
from tests.core.risk_desk import Desk, three_symbols


def test_what_is_remembered_survives_json() -> None:
    """Plain values there and back."""
    memory = Memory(
        risk=RiskMemory(day_ends_ns=5, day_equity=100.5, tripped=True, cool_until=(("b", "S", 7),)),
        states=(("s", "BTCUSDT", {"count": 3}),),
    )

    assert Memory.from_plain(json.loads(json.dumps(memory.to_plain()))) == memory


def test_a_day_that_was_stopped_stays_stopped_in_the_next_run() -> None:
    """Another risk manager, told what the first one remembered, refuses entries as that one did."""
    first = Desk(three_symbols(), daily_loss_limit_percent=3)
    first.risk.start_day()
    first.risk.trip()
    second = Desk(three_symbols(), daily_loss_limit_percent=3)

    second.risk.remember(first.risk.remembered())

    assert second.ask("buy").code == "daily_loss"
    assert second.risk.day_due_ns() == first.risk.day_due_ns()


def test_the_floor_of_a_day_is_the_one_it_began_with() -> None:
    """A loss of before counts: the limit is measured from the day's start and not from the restart."""
    desk = Desk(three_symbols(), daily_loss_limit_percent=3)
    desk.risk.start_day()
    before = desk.risk.remembered()

    desk.risk.remember(replace(before, day_equity=before.day_equity * 1.04))

    assert desk.risk.loss_limit_reached()


def test_a_pause_after_a_loss_goes_on_in_the_next_run() -> None:
    """Of the book and the symbol that had it, and of no other."""
    desk = Desk(three_symbols(), cool_down_after_loss="10m")
    until_ns = desk.venue.clock.now_ns() + 60 * 10**9

    desk.risk.remember(RiskMemory(cool_until=(("sma", "AAA", until_ns),)))

    assert desk.ask("buy", "AAA").code == "cool_down"
    assert desk.ask("buy", "BBB").accepted
