"""A reversal at an exchange: what is held is closed first, then the entry; nothing opens too much."""

from dataclasses import replace

from src.brokers.ccxt_reversal import closing_id, closing_part, with_closing_parts
from src.core.records import OrderRequest, OrderType, Side


def entry(side: Side = Side.SELL) -> OrderRequest:
    """A reversing entry of half a coin."""
    return OrderRequest(
        client_id="k" + "1" * 31, book="b", symbol="BTCUSDT", side=side, type=OrderType.MARKET, volume=0.5, reverse=True
    )


def test_what_is_held_on_the_other_side_is_closed_by_an_order_that_only_reduces() -> None:
    """Of all of it, at the market, under an id that follows from the entry's."""
    part = closing_part(entry(), 2.0, "p1")

    assert part is not None
    assert (part.volume, part.side, part.reduce_only, part.position_id) == (2.0, Side.SELL, True, "p1")
    assert part.client_id == closing_id(entry().client_id) != entry().client_id
    assert len(part.client_id) == 32


def test_nothing_is_closed_where_nothing_is_held_or_the_same_side_is() -> None:
    """Then the entry goes alone."""
    assert closing_part(entry(), 0.0, "") is None
    assert closing_part(entry(), -1.0, "p1") is None
    assert closing_part(entry(Side.BUY), 1.0, "p1") is None


def test_after_a_restart_both_orders_of_a_reversal_are_known() -> None:
    """The closing one first; what reverses nothing stands for itself."""
    plain = replace(entry(), client_id="k" + "2" * 31, reverse=False)

    ids = [each.client_id for each in with_closing_parts([entry(), plain])]

    assert ids == [closing_id(entry().client_id), entry().client_id, plain.client_id]
