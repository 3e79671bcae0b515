"""What goes wrong on purpose at the local venue, as the exchange's client sees it."""

from typing import Any

import pytest

from src.testing.venue import Fault, FaultKind, LocalVenue
from src.testing.venue_client import client_of
from tests.testing.venues import BTC, minute

ccxt = pytest.importorskip("ccxt")

#: What a client sees of a placement, and whether the order was accepted all the same.
UNSURE = [
    (FaultKind.LOST, "RequestTimeout", 0),
    (FaultKind.UNANSWERED, "RequestTimeout", 1),
    (FaultKind.RESET_BEFORE, "NetworkError", 0),
    (FaultKind.RESET_AFTER, "NetworkError", 1),
    (FaultKind.ERROR_BEFORE, "OperationFailed", 0),
    (FaultKind.ERROR_AFTER, "OperationFailed", 1),
    (FaultKind.UNKNOWN_AFTER, "RequestTimeout", 1),
    (FaultKind.RATE_LIMIT, "DDoSProtection", 0),
    (FaultKind.BANNED, "DDoSProtection", 0),
]


@pytest.mark.parametrize(("kind", "name", "accepted"), UNSURE)
def test_a_placement_goes_wrong(venue: LocalVenue, kind: FaultKind, name: str, accepted: int) -> None:
    """The client sees an error of the network; whether the order exists only the venue knows."""
    client = client_of(venue, timeout_s=0.2)
    client.load_markets()
    venue.fail(Fault(kind=kind, endpoint="POST order"))
    with pytest.raises(ccxt.OperationFailed) as caught:
        client.create_order(BTC, "limit", "buy", 1.0, 80.0, {"newClientOrderId": "lost"})
    found = client.fetch_open_orders(BTC)
    client.close()

    assert isinstance(caught.value, getattr(ccxt, name))
    assert [order["clientOrderId"] for order in found] == ["lost"] * accepted
    assert [call.fault for call in venue.calls if call.endpoint == "POST order"] == [kind]


def test_a_placement_arrives_late(venue: LocalVenue) -> None:
    """Who looks for it at once is told that there is none; later it is there, at the price of then."""
    client = client_of(venue, timeout_s=0.1)
    client.load_markets()
    venue.fail(Fault(kind=FaultKind.LATE, endpoint="POST order", seconds=90.0))
    lost = {"newClientOrderId": "late"}
    with pytest.raises(ccxt.RequestTimeout):
        client.create_order(BTC, "market", "buy", 1.0, None, lost)
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("", BTC, {"origClientOrderId": "late"})
    venue.advance_to(minute(5))
    order = client.fetch_order("", BTC, {"origClientOrderId": "late"})
    client.close()

    assert (order["status"], order["timestamp"]) == ("closed", minute(1.5) // 10**6)


@pytest.mark.parametrize("kind", ["market", "limit"])
def test_a_placement_that_arrives_twice_at_once_is_there_once(venue: LocalVenue, client: Any, kind: str) -> None:
    """The answer is that to the second one, whose id is taken."""
    venue.fail(Fault(kind=FaultKind.TWICE, endpoint="POST order"))
    with pytest.raises(ccxt.InvalidOrder, match="-4116"):
        client.create_order(BTC, kind, "buy", 1.0, 100.0, {"newClientOrderId": "again"})

    assert client.fetch_order("", BTC, {"origClientOrderId": "again"})["amount"] == 1.0
    assert len(client.fetch_orders(BTC)) == 1


def test_a_stop_is_rejected_with_success_and_no_id(venue: LocalVenue, client: Any) -> None:
    """The answer looks like an order that has no id, and nothing rests."""
    venue.fail(Fault(kind=FaultKind.NO_ID, endpoint="POST algoOrder"))
    order = client.create_order(BTC, "market", "sell", 1.0, None, {"stopLossPrice": 90.0})

    assert order["id"] is None
    assert client.fetch_open_orders(BTC, params={"trigger": True}) == []


def test_an_order_is_rejected_with_a_filled_part(venue: LocalVenue, client: Any) -> None:
    """Half of it has filled when it ends as rejected."""
    venue.fail(Fault(kind=FaultKind.PART_THEN_REJECTED, endpoint="POST order"))
    placed = client.create_order(BTC, "market", "buy", 3.0)
    order = client.fetch_order(placed["id"], BTC)

    assert (order["status"], order["amount"], order["filled"]) == ("rejected", 3.0, 1.5)
    assert client.fetch_positions([BTC])[0]["contracts"] == 1.5


def test_a_stale_answer_is_that_of_the_call_before(venue: LocalVenue, client: Any) -> None:
    """A reading call tells what was, once."""
    client.fetch_balance()
    before = client.fapiPrivateV3GetPositionRisk()
    client.create_order(BTC, "market", "buy", 1.0)
    venue.fail(Fault(kind=FaultKind.STALE, endpoint="GET positionRisk"))
    stale, fresh = client.fapiPrivateV3GetPositionRisk(), client.fapiPrivateV3GetPositionRisk()

    assert (before, stale) == ([], [])
    assert [row["positionAmt"] for row in fresh] == ["1"]


def test_a_fault_meets_the_call_that_it_names(venue: LocalVenue, client: Any) -> None:
    """By endpoint after so many good ones, so many times; or by the number of the call."""
    venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, endpoint="GET time", after=1, times=2))
    went_well = []
    for _ in range(4):
        try:
            went_well.append(client.fetch_time() > 0)
        except ccxt.OperationFailed:
            went_well.append(False)
    venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, call=venue.calls[-1].number + 2))
    client.fetch_time()
    with pytest.raises(ccxt.OperationFailed):
        client.fetch_bids_asks()

    assert went_well == [True, False, False, True]


def test_a_healed_venue_answers(venue: LocalVenue, client: Any) -> None:
    """Faults without an end are taken away."""
    venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, times=0))
    for _ in range(2):
        with pytest.raises(ccxt.OperationFailed):
            client.fetch_time()
    venue.heal()

    assert client.fetch_time() == venue.now_ns() // 10**6


def test_a_slow_answer_is_too_late_for_an_impatient_client(venue: LocalVenue) -> None:
    """The order was accepted long before its answer comes."""
    client = client_of(venue, timeout_s=0.1)
    client.load_markets()
    venue.fail(Fault(kind=FaultKind.SLOW, endpoint="POST order", seconds=0.3))
    with pytest.raises(ccxt.RequestTimeout):
        client.create_order(BTC, "market", "buy", 1.0)
    venue.advance_to(minute(2))
    held = client.fetch_positions([BTC])
    client.close()

    assert held[0]["contracts"] == 1.0
