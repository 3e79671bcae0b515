"""From an intent to an order: rounding, refusals as values, reservations that come back, and what is recorded."""

import math
from typing import Any

import pytest

from src.core.config import RiskConfig
from src.core.order_desk import OrderDesk
from src.core.records import OrderResult, OrderType, Side
from src.core.risk_manager import RiskManager
from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]
NOTHING: dict[str, Any] = dict.fromkeys(
    ("volume", "limit", "trigger", "stop", "stop_distance", "target", "target_distance", "target_r", "expires_ns")
)


class Trader:
    """An order desk before a venue whose prices stand still."""

    def __init__(self, *, limits: dict[str, Any] | None = None, **venue: Any) -> None:
        self.venue = Venue({symbol: [FLAT] * 10 for symbol in ("AAA", "BBB")}, **venue)
        broker, clock, journal = self.venue.broker, self.venue.clock, self.venue.journal
        config = RiskConfig(**{"size": {"volume": 1}, **(limits or {})})
        risk = RiskManager(config, broker, clock, hedging=False)  # type: ignore[arg-type]  # asked for the time only
        self.desk = OrderDesk("worker", "main", broker, risk, clock, journal)  # type: ignore[arg-type]  # as above

    def enter(self, side: str = "buy", symbol: str = "AAA", **order: Any) -> OrderResult:
        """An entry of the book `sma`."""
        return self.desk.enter("sma", symbol, Side(side), **{**NOTHING, "reason": "test", **order})


def test_prices_go_out_on_the_tick() -> None:
    """Limit, stop and target are rounded; distances are not, they follow the fill."""
    trader = Trader(instrument={"tick": 0.5})

    trader.enter(limit=98.3, stop=95.1, target=104.9)

    (order,) = trader.venue.broker.snapshot().orders
    assert (order.request.type, order.request.price) == (OrderType.LIMIT, 98.5)
    assert (order.request.stop, order.request.target) == (95.0, 105.0)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"limit": 99.0, "trigger": 101.0}, "limit_and_trigger"),
        ({"stop": math.inf}, "not_a_number"),
        ({"limit": math.nan}, "not_a_number"),
        ({"target": math.inf}, "price"),
        ({"target": math.nan}, "price"),
        ({"target_distance": math.nan}, "distance"),
        ({"stop": 101.0}, "stop_side"),
        ({"trigger": 99.0}, "stop_in_market"),
        ({"volume": 500.0}, "margin"),
        ({"volume": -1.0}, "too_small"),
    ],
)
def test_a_refused_entry_is_a_value_and_leaves_nothing_reserved(order: dict[str, Any], code: str) -> None:
    """Whoever refused, slot and margin are free for the next one, and the refusal is counted once."""
    trader = Trader(limits={"max_open_positions": 1}, instrument={"tick": 0.5})

    result = trader.enter(**order)

    assert (result.accepted, result.code, trader.desk.refusals) == (False, code, {code: 1})
    assert result.message
    assert trader.enter(symbol="BBB", volume=99.0).accepted


def test_a_size_that_is_left_open_reverses_and_a_stated_one_does_not() -> None:
    """`sell()` turns a position around, `sell(volume=...)` sells that much."""
    trader = Trader()
    trader.enter("buy", volume=3.0)
    trader.venue.go_to(1)
    trader.enter("sell", volume=1.0)
    trader.venue.go_to(2)
    assert trader.venue.position.volume == 2.0

    trader.enter("sell")
    trader.venue.go_to(3)

    assert trader.venue.position.volume == -1.0


def test_each_intent_of_an_instant_has_an_identity_of_its_own() -> None:
    """A function of who, what, when and the number within the instant: the same again in another run."""
    ids = []
    for _ in range(2):
        trader = Trader()
        ids.append([trader.enter(limit=90.0).order_id, trader.enter(limit=91.0).order_id])

    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_a_partial_close_is_rounded_down_and_refused_when_nothing_is_left() -> None:
    """A part below the step is no volume."""
    trader = Trader(instrument={"volume_step": 0.5})
    trader.enter(volume=2.0)
    trader.venue.go_to(1)
    position = trader.venue.position

    assert trader.desk.close(position, volume=0.3, kind="exit", reason="").code == "volume"
    assert trader.desk.close(position, volume=math.nan, kind="exit", reason="").code == "volume"
    assert trader.desk.close(position, volume=0.8, kind="exit", reason="part").accepted
    trader.venue.go_to(2)
    assert trader.venue.position.volume == 1.5


def test_a_stop_that_a_strategy_loosens_is_refused_beyond_the_open_risk() -> None:
    """The refusal is a value with its code; a rule of the monitor only tightens and is not asked about."""
    trader = Trader(limits={"max_open_risk_percent": 1.2})
    trader.enter(volume=50.0, stop=98.0)
    trader.venue.go_to(1)
    position = trader.venue.position

    far = trader.desk.protect(position, stop=50.0, target=None, kind="stop", reason="")
    near = trader.desk.protect(position, stop=97.75, target=None, kind="stop", reason="")

    assert (far.code, near.code, trader.desk.refusals) == ("open_risk", "", {"open_risk": 1})
    assert far.message
    assert trader.venue.position.stop == 97.75
    assert [values[2] for values in trader.venue.recorded("decision")] == ["accepted", "open_risk", "accepted"]


def test_decisions_and_refusals_are_recorded() -> None:
    """The risk manager's verdict stands in the decision, the broker's refusal in a record of its own."""
    trader = Trader()
    trader.enter(volume=500.0)
    trader.enter(stop=101.0)

    assert [values[2] for values in trader.venue.recorded("decision")] == ["margin", "accepted"]
    assert [values[-1] for values in trader.venue.recorded("refusal")] == ["stop_side"]


@pytest.mark.parametrize("reason", [5, None, ("x", 1), b"bytes"])
def test_a_reason_is_a_text(reason: object) -> None:
    """Anything else is refused at the call, where the line of the mistake is known, and not when the run is written."""
    trader = Trader()

    with pytest.raises(TypeError, match="expected a reason as a text, found"):
        trader.enter(reason=reason)
    assert not trader.venue.broker.snapshot().orders


def test_a_reason_without_bytes_in_utf_8_is_spelled_out() -> None:
    """A lone surrogate, as an odd file name has it, can be written down everywhere."""
    trader = Trader()

    trader.enter(reason="from \udcff")

    (order,) = trader.venue.broker.snapshot().orders
    assert order.request.reason == r"from \udcff"
