"""Records as plain values and back."""

import json

import pytest

from src.core.errors import DataError
from src.core.instrument import Instrument
from src.core.records import Account, Order, OrderRequest, OrderResult, OrderState, OrderType, Side, make_order
from src.core.records import make_order_request as made
from src.live.wire import from_plain, to_plain


def request() -> OrderRequest:
    """One with fields of every kind."""
    return made(client_id="a1", book="b", symbol="X", side=Side.SELL, type=OrderType.LIMIT, volume=0.1 + 0.2, price=3.0)


def test_a_record_comes_back_as_it_was_through_json() -> None:
    """Records inside records, enumerations and every digit of a number among it."""
    order = make_order(
        order_id="a1", request=request(), state=OrderState.PARTLY_FILLED, placed_ns=1, effective_ns=2, updated_ns=3,
        filled_volume=0.1,
    )  # fmt: skip

    back = from_plain(Order, json.loads(json.dumps(to_plain(order))))

    assert back == order
    assert back.state is OrderState.PARTLY_FILLED
    assert back.request.volume.hex() == (0.1 + 0.2).hex()


def test_what_is_as_by_default_is_left_out() -> None:
    """A result that was accepted is short."""
    assert to_plain(OrderResult(accepted=True)) == {"accepted": True}


def test_a_number_that_equals_its_default_in_another_type_is_kept() -> None:
    """A zero without a point is not the zero with one, since prices are printed."""
    plain = to_plain(Account(currency="USDT", instant_ns=0, balance=0, equity=0.0, margin_used=0.0))

    assert plain["balance"] == 0


def test_an_instrument_comes_back_as_it_was() -> None:
    """The rules of a symbol are kept with the recording."""
    rules = Instrument(
        symbol="X", kind="perpetual", quote_currency="USDT", base_currency="X", tick=0.1, volume_step=0.001,
        min_volume=0.001, calendar="24/7",
    )  # fmt: skip

    assert from_plain(Instrument, json.loads(json.dumps(to_plain(rules)))) == rules


@pytest.mark.parametrize("plain", [{"accepted": True, "odd": 1}, [1], 3, {}])
def test_values_of_something_else_are_told(plain: object) -> None:
    """The sentence shows what was found."""
    with pytest.raises(DataError, match="expected the values of a OrderResult"):
        from_plain(OrderResult, plain)
