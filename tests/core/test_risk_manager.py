"""The limits of the account: size, margin, slots and open risk."""

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from src.core.errors import ConfigError
from src.core.records import OrderRequest, OrderState, OrderType, Side, Snapshot
from src.core.risk_manager import EntryIntent
from tests.brokers.simulated.venue import Venue
from tests.core.risk_desk import FLAT, Desk, flat, three_symbols

# -- size ------------------------------------------------------------------------------------------------------------


def test_a_size_in_percent_of_risk_loses_that_much_at_the_stop() -> None:
    """Distance, the cost of getting in and the cost of getting out are all part of what is lost."""
    desk = Desk(Venue([FLAT], costs={"slippage_points": 0.5}), size={"risk_percent": 1})

    verdict = desk.ask(stop=98.0)

    assert verdict.stop_cost == 0.5
    assert verdict.volume == pytest.approx(100 / 3.0)


def test_a_size_in_percent_of_risk_needs_a_stop() -> None:
    """Without one the configuration is at fault, and says what to do."""
    desk = Desk(Venue([FLAT]), size={"risk_percent": 1})

    with pytest.raises(ConfigError, match="risk_percent needs a stop"):
        desk.ask()


def test_all_of_the_equity_at_leverage_one_fills() -> None:
    """100 percent leaves room for fees and for the price to move until the fill."""
    venue = Venue([FLAT, flat(100.5), flat(100.5)], costs={"commission_percent": 0.1, "slippage_percent": 0.05})
    desk = Desk(venue, size={"equity_percent": 100})

    assert desk.enter() == ""
    venue.run()

    assert venue.position.volume * 100 > 9_800
    assert [order.state for order in venue.broker.orders()] == [OrderState.FILLED]


def test_a_size_in_percent_of_equity_reverses_what_is_held() -> None:
    """The margin that the reversal frees is used again."""
    venue = Venue([FLAT, FLAT, FLAT, FLAT])
    desk = Desk(venue, size={"equity_percent": 90})

    desk.enter("buy", reverse=True)
    venue.go_to(1)
    assert desk.enter("sell", reverse=True) == ""
    venue.run()

    assert venue.position.volume == pytest.approx(-90.0)


def test_on_a_hedging_account_a_reversal_frees_no_margin() -> None:
    """Nothing is closed there, so the size shrinks to what is free."""
    venue = Venue([FLAT, FLAT, FLAT], account={"positions": "hedging"})
    desk = Desk(venue, size={"equity_percent": 60})

    desk.enter("buy", reverse=True)
    venue.go_to(1)
    verdict = desk.ask("sell", reverse=True)

    assert verdict.accepted
    assert verdict.volume == pytest.approx(40 * 0.99)


def test_a_size_is_rounded_down_to_the_step_and_refused_below_the_least() -> None:
    """Never up: that would risk more than was asked for."""
    venue = Venue([FLAT], instrument={"volume_step": 0.1, "min_volume": 0.5})

    assert Desk(venue, size={"equity_percent": 1.49}).ask().volume == 1.4
    assert Desk(venue, size={"equity_percent": 0.4}).ask().code == "too_small"


@pytest.mark.parametrize(
    "numbers",
    [{"volume": math.nan}, {"volume": math.inf}, {"stop": math.nan}, {"price": math.nan}, {"stop_distance": math.inf}],
)
def test_what_is_no_number_is_refused(numbers: dict[str, Any]) -> None:
    """No comparison with it would ever be true."""
    assert Desk(Venue([FLAT])).ask(**numbers).code == "not_a_number"


@pytest.mark.parametrize(("numbers", "code"), [
    ({"volume": 0.0}, "too_small"), ({"volume": -1.0}, "too_small"), ({"stop_distance": -2.0}, "distance"),
    ({"stop_distance": 0.0}, "distance"),
])  # fmt: skip
def test_volumes_and_distances_are_positive(numbers: dict[str, Any], code: str) -> None:
    """A negative distance would give risk back to the account."""
    assert Desk(Venue([FLAT]), max_open_risk_percent=1).ask(**{"stop": None, **numbers}).code == code


# -- slots, margin, open risk ------------------------------------------------------------------------------------------


def test_a_pending_order_takes_a_slot() -> None:
    """Working entries count like positions, by book and symbol."""
    desk = Desk(three_symbols(), max_open_positions=2)

    codes = [desk.enter("buy", "AAA", price=90.0), desk.enter("buy", "BBB", price=90.0), desk.enter("buy", "CCC")]

    assert codes == ["", "", "max_open_positions"]


def test_an_addition_takes_no_slot_of_its_own() -> None:
    """On a netting account the position stays one; on a hedging account each entry is one."""
    for positions, expected in (("netting", ""), ("hedging", "max_open_positions")):
        venue = three_symbols(account={"positions": positions})
        desk = Desk(venue, max_open_positions=1)
        desk.enter("buy", "AAA")
        venue.go_to(1)

        assert desk.enter("buy", "AAA") == expected


@pytest.mark.parametrize("how", ["refused", "cancelled", "expired", "rejected", "closed"])
def test_a_slot_comes_back(how: str) -> None:
    """However an entry ends, what was reserved for it is free again."""
    venue = three_symbols() if how != "rejected" else Venue({s: [FLAT, flat(300), flat(300)] for s in ("AAA", "BBB")})
    desk = Desk(venue, max_open_positions=1, size={"volume": 90} if how == "rejected" else {"volume": 1})
    if how == "refused":
        assert desk.enter("buy", "AAA", stop=101.0) == "stop_side"
    elif how == "cancelled":
        desk.enter("buy", "AAA", price=90.0)
        venue.broker.cancel("c1")
    elif how == "expired":
        verdict = desk.risk.reserve(desk.intent("buy", price=90.0))
        venue.place("buy", "limit", verdict.volume, price=90.0, client_id="c1", expires=1)
        desk.risk.sent("c1")
        assert desk.ask("buy", "BBB").code == "max_open_positions"
        venue.go_to(1)
    else:
        desk.enter("buy", "AAA")
        venue.go_to(1)
        if how == "closed":
            venue.close()
            venue.go_to(2)

    # A rejected entry was too large for the new price; a smaller one finds the slot free.
    assert desk.enter("buy", "BBB", volume=1.0) == ""


def test_margin_of_entries_under_way_is_not_given_twice() -> None:
    """Reserved and working entries both count before the next one is judged."""
    desk = Desk(three_symbols(), size={"volume": 60})

    assert desk.risk.reserve(desk.intent("buy", "AAA")).accepted
    assert desk.ask("buy", "BBB").code == "margin"


def test_margin_includes_the_cost_of_getting_in() -> None:
    """100 at 100 with a fee is more than 10,000."""
    desk = Desk(Venue([FLAT], costs={"commission_percent": 0.1}), size={"volume": 100})

    assert desk.ask().code == "margin"


def test_open_risk_counts_reservations_and_positions() -> None:
    """Two entries of 1 percent fit under 2 percent, a third does not; a stop at the entry makes room."""
    venue = three_symbols(account={"leverage": 5})
    desk = Desk(venue, max_open_risk_percent=2, size={"volume": 50})

    assert desk.enter("buy", "AAA", stop=98.0) == ""
    assert desk.risk.reserve(desk.intent("buy", "BBB", stop=98.0)).accepted
    assert desk.ask("buy", "CCC", stop=98.0).code == "open_risk"
    desk.risk.release("c2")
    venue.go_to(1)
    assert desk.enter("buy", "BBB", stop=98.0) == ""
    venue.go_to(2)
    assert desk.ask("buy", "CCC", stop=99.9).code == "open_risk"
    venue.broker.protect("c1", stop=99.9)

    assert desk.ask("buy", "CCC", stop=99.9).accepted


def test_open_risk_wants_a_stop_with_each_entry_and_counts_a_naked_position_whole() -> None:
    """Without a stop everything can be lost."""
    venue = three_symbols()
    venue.buy(1, symbol="BBB", book="other")
    venue.go_to(1)
    desk = Desk(venue, max_open_risk_percent=1)

    assert desk.ask("buy", "AAA").code == "no_stop"
    assert desk.ask("buy", "AAA", stop=99.0).code == "open_risk"


def test_a_reversal_does_not_count_the_risk_that_it_closes() -> None:
    """The position on the other side is gone when the entry stands."""
    venue = three_symbols()
    desk = Desk(venue, max_open_risk_percent=1, size={"risk_percent": 1})
    desk.enter("buy", "AAA", stop=98.0, reverse=True)
    venue.go_to(1)

    assert desk.ask("sell", "AAA", stop=102.0, reverse=True).accepted


def test_a_reversal_that_rests_counts_the_risk_that_is_held_until_it_fills() -> None:
    """At the market the position is gone with the fill; a limit may wait while both can lose."""
    venue = three_symbols()
    desk = Desk(venue, max_open_risk_percent=1, size={"risk_percent": 1})
    desk.enter("buy", "AAA", stop=98.0, reverse=True)
    venue.go_to(1)

    assert desk.ask("sell", "AAA", price=101.0, stop=103.0, reverse=True).code == "open_risk"
    assert desk.ask("sell", "AAA", stop=102.0, reverse=True).accepted


def test_an_addition_never_loosens_the_stop_of_what_is_held() -> None:
    """A small entry with a far stop risks what it risks, not the whole position; a nearer stop guards the whole."""
    venue = three_symbols()
    desk = Desk(venue, max_open_risk_percent=1.2)
    desk.enter(volume=50.0, stop=98.0)
    venue.go_to(1)

    assert desk.enter(volume=0.1, stop=50.0) == ""
    venue.go_to(2)
    assert (venue.position.volume, venue.position.stop) == (50.1, 98.0)
    assert desk.ask(volume=1.0, stop=50.0).code == "open_risk"
    assert desk.enter(volume=0.1, stop=99.0) == ""
    venue.go_to(3)

    assert venue.position.stop == 99.0


def test_a_filled_entry_stays_within_the_risk_that_was_allowed_for_it() -> None:
    """Slippage of the entry is part of the size, so the stop of the filled position fits under the limit."""
    venue = Venue([FLAT] * 4, costs={"commission_percent": 0.04, "slippage_percent": 0.05}, account={"leverage": 50})
    desk = Desk(venue, max_open_risk_percent=1, size={"risk_percent": 1})

    assert desk.enter(stop=99.0) == ""
    venue.go_to(1)

    held = venue.position
    assert held.stop is not None
    assert 0 < (held.entry_price - held.stop + held.stop_cost) * held.volume <= 100.0


def test_a_stop_is_loosened_only_within_the_open_risk() -> None:
    """What a looser stop adds counts at once for others too; a tighter one is never asked about."""
    venue = three_symbols(account={"leverage": 5})
    desk = Desk(venue, max_open_risk_percent=2)
    desk.enter("buy", "AAA", volume=50.0, stop=98.0)
    venue.go_to(1)

    assert desk.risk.loosen(venue.position, 50.0).code == "open_risk"
    assert desk.risk.loosen(venue.position, 99.0).accepted
    assert desk.ask("buy", "BBB", volume=50.0, stop=98.5).accepted
    assert desk.risk.loosen(venue.position, 97.0).accepted
    assert desk.ask("buy", "BBB", volume=50.0, stop=98.5).code == "open_risk"
    desk.risk.loosened(venue.position)

    assert desk.ask("buy", "BBB", volume=50.0, stop=98.5).accepted


def test_without_a_limit_a_stop_moves_anywhere() -> None:
    """Nobody asked for a limit."""
    venue = three_symbols()
    desk = Desk(venue)
    desk.enter("buy", "AAA", volume=50.0, stop=98.0)
    venue.go_to(1)

    assert desk.risk.loosen(venue.position, 1.0).accepted


class Interrupting:
    """The venue's broker; once, between taking a snapshot and returning it, something else happens."""

    def __init__(self, venue: Venue, meanwhile: Callable[[], None]) -> None:
        self._broker = venue.broker
        self._meanwhile: Callable[[], None] | None = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def snapshot(self) -> Snapshot:
        """What stood before the interruption."""
        seen = self._broker.snapshot()
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return seen


def test_an_entry_sent_while_another_is_judged_is_counted() -> None:
    """The snapshot is older than the order, so neither shows it: the judgement is repeated."""
    venue = three_symbols()
    desk = Desk(venue, max_open_positions=1)
    codes: list[str] = []
    desk.risk._broker = Interrupting(venue, lambda: codes.append(desk.enter("buy", "BBB")))

    codes.append(desk.enter("buy", "AAA"))

    assert codes == ["", "max_open_positions"]


def test_an_entry_filled_while_another_is_judged_is_counted() -> None:
    """Its reservation was settled by a newer snapshot, and the older one does not have the position."""
    venue = three_symbols()
    desk = Desk(venue, max_open_positions=1)
    codes = [desk.enter("buy", "BBB")]

    def meanwhile() -> None:
        venue.go_to(1)
        codes.append(desk.enter("buy", "CCC"))

    desk.risk._broker = Interrupting(venue, meanwhile)
    codes.append(desk.enter("buy", "AAA"))

    assert codes == ["", "max_open_positions", "max_open_positions"]


def over_limit(venue: Venue) -> list[float]:
    """What of slots, notional and risk of all positions and entries is more than two entries of 40 may have."""
    snapshot = venue.broker.snapshot()
    entries = [order.request for order in snapshot.orders if not order.request.reduce_only]
    slots = {position.symbol for position in snapshot.positions} | {request.symbol for request in entries}
    volume = sum(position.volume for position in snapshot.positions) + sum(request.volume for request in entries)
    return [len(slots), volume] if len(slots) > 2 or volume > 80 else []


def test_no_interleaving_of_real_threads_exceeds_a_limit() -> None:
    """Threads that enter and leave without any order among them never hold more slots, margin or risk than allowed."""
    symbols = [f"S{i}" for i in range(6)]
    rounds = 60
    venue = Venue({symbol: [FLAT] * (2 * rounds + 3) for symbol in symbols}, minutes=2 * rounds + 2)
    desk = Desk(venue, max_open_positions=2, max_open_risk_percent=1.7, size={"volume": 40})
    together = threading.Barrier(len(symbols) + 1, timeout=240)
    over: list[list[float]] = []
    entered: list[str] = []

    def trade(symbol: str) -> None:
        for number in range(rounds):
            together.wait()
            for attempt in range(4):
                identity = f"{symbol}-{number}-{attempt}"
                held = venue.broker.positions(symbol)
                if held:
                    venue.broker.close(held[0].position_id, client_id=identity)
                    break
                intent = EntryIntent(client_id=identity, book=symbol, symbol=symbol, side=Side.BUY, stop=98.0)
                if not desk.risk.reserve(intent).accepted:
                    continue
                request = OrderRequest(
                    client_id=identity, book=symbol, symbol=symbol, side=Side.BUY, type=OrderType.MARKET, volume=40.0,
                    stop=98.0,
                )  # fmt: skip
                if venue.broker.place(request).accepted:
                    desk.risk.sent(identity)
                    entered.append(identity)
                else:
                    desk.risk.release(identity)

    threads = [threading.Thread(target=trade, args=(symbol,)) for symbol in symbols]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for _ in range(rounds):
            together.wait()
            for _ in range(4):
                venue.step()
                over.append(over_limit(venue))
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()

    assert [each for each in over if each] == []
    assert entered  # how many is up to the machine's scheduling
