"""Virtual books on one netting position, and spot accounts whose fees are taken in coin."""

import pytest

from src.brokers.simulated import Commission
from src.core.config import AccountConfig
from src.core.records import Position
from tests.brokers.simulated.accounts import AccountVenue, still

VIRTUAL = {"books": "virtual", "leverage": 10}
COIN = {"AAA": {"kind": "spot", "fees_in_base": True, "volume_step": 0.01, "min_volume": 0.01}}


def held(venue: AccountVenue) -> dict[str, Position]:
    """The open positions by book."""
    return {position.book: position for position in venue.broker.positions("AAA")}


def test_virtual_books_keep_holdings_stops_and_trades_apart() -> None:
    """One is long with a stop, the other short with a target."""
    bars = {"AAA": [still(100), still(100), [100, 100, 94, 96], still(96)]}
    venue = AccountVenue(bars, account=VIRTUAL)

    venue.buy(3, book="one", stop=95.0)
    venue.sell(1, book="two", target=90.0)
    venue.go_to(1)
    both = held(venue)
    venue.run()

    assert [(name, position.volume) for name, position in both.items()] == [("one", 3.0), ("two", -1.0)]
    assert [(trade.book, trade.net) for trade in venue.trades] == [("one", -15.0)]
    assert list(held(venue)) == ["two"]


def test_margin_of_virtual_books_is_that_of_their_sum() -> None:
    """3 long and 1 short are 2 at the venue; a hedging account would pay for 4."""
    venue = AccountVenue({"AAA": [still(100)] * 3}, account=VIRTUAL)

    venue.buy(3, book="one")
    venue.sell(1, book="two")
    venue.go_to(1)

    assert venue.account.margin_used == 20.0


def test_a_book_that_lowers_the_sum_needs_no_margin() -> None:
    """Nearly all is tied up; the short of the other book sets some free."""
    venue = AccountVenue({"AAA": [still(100)] * 4}, account={**VIRTUAL, "balance": 1_000})

    venue.buy(99, book="one")
    venue.go_to(1)

    assert venue.buy(5, book="two").code == "margin"
    assert venue.sell(50, book="two").accepted
    assert venue.go_to(2).account.margin_used == 490.0


def test_the_sum_of_the_books_is_the_money_of_the_account() -> None:
    """Balance and trades tell the same."""
    bars = {"AAA": [still(100), still(100), still(110), still(120), still(120)]}
    venue = AccountVenue(bars, account=VIRTUAL)

    venue.buy(3, book="one")
    venue.sell(1, book="two")
    venue.go_to(2)
    venue.broker.close("o1", client_id="x1")
    venue.broker.close("o2", client_id="x2")
    venue.run()

    assert [(trade.book, trade.net) for trade in venue.trades] == [("one", 60.0), ("two", -20.0)]
    assert venue.account.balance == 10_040.0


def test_virtual_books_are_for_netting_accounts() -> None:
    """On a hedging account every position stands apart anyway."""
    with pytest.raises(ValueError, match="a hedging account keeps every position apart"):
        AccountConfig(currency="USD", balance=1, positions="hedging", books="virtual")


def spot(prices: list[float], fee: float = 0.1) -> AccountVenue:
    """A spot account of 10,000 whose buys pay their fee in coin."""
    return AccountVenue(
        {"AAA": [still(price) for price in prices]}, account={"type": "spot"}, symbols=COIN, commission=Commission(fee)
    )


def test_a_fee_in_coin_is_kept_of_what_was_bought() -> None:
    """0.1 percent of 10 coins; it costs the account as much as a fee in money would."""
    venue = spot([100, 100, 110])

    venue.buy(10)
    venue.run()

    fill = venue.fills[0]
    assert fill.volume == pytest.approx(9.99)
    assert fill.fee_volume == pytest.approx(0.01)
    assert fill.commission == 1.0
    assert venue.position.volume == pytest.approx(9.99)
    assert venue.account.balance == 9_999.0
    assert venue.account.equity == pytest.approx(10_000 - 1_000 + 9.99 * 110)


def test_what_is_below_the_step_cannot_be_sold_and_is_reported_as_dust() -> None:
    """4.995 coins arrive, 4.99 are sold, half a hundredth stays and is worth what the price says."""
    venue = spot([100, 100, 110, 110, 120])

    venue.buy(5)
    venue.go_to(1).close()
    venue.run()

    assert venue.position.is_flat
    assert len(venue.trades) == 1
    cash = 10_000 - 500 + 4.99 * 110 * (1 - 0.001)
    assert venue.account.equity == pytest.approx(cash + 0.005 * 120, abs=1e-9)
    assert venue.broker.fidelity()["dust"].startswith("too little to be sold is left: 0.005 AAA worth 0.6")
    assert venue.recorded("dust") == [("o1", "sma", pytest.approx(0.005), 110.0)]


def test_a_stop_leaves_dust_as_well() -> None:
    """The venue sells what can be sold."""
    venue = spot([100, 100, 90, 90])

    venue.buy(5, stop=95.0)
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "stop"]
    assert venue.trades[0].exit_kind == "stop"
    assert venue.account.equity == pytest.approx(10_000 - 500 + 4.99 * 90 * 0.999 + 0.005 * 90, abs=1e-9)


def test_a_part_that_leaves_enough_leaves_no_dust() -> None:
    """Two of 4.995 are sold; the rest can be sold later."""
    venue = spot([100, 100, 110, 110])

    venue.buy(5)
    venue.go_to(1).close(volume=2)
    venue.run()

    assert venue.position.volume == pytest.approx(2.995)
    assert venue.recorded("dust") == []


@pytest.mark.parametrize("way", ["close", "stop"])
def test_what_is_sold_in_parts_leaves_only_what_the_whole_leaves(way: str) -> None:
    """4.995 coins of which at least 4 are sold by an order, one a bar: each part is less, and so is what is left."""
    bars = {"AAA": [still(100)] * 6 + [still(90)] * 8}
    coin = {"AAA": {**COIN["AAA"], "volume_step": 0.1, "min_volume": 4.0}}
    venue = AccountVenue(
        bars, account={"type": "spot"}, symbols=coin, commission=Commission(0.1), volume_share=1.0
    )  # fmt: skip

    venue.buy(5, stop=95.0 if way == "stop" else None)
    venue.go_to(5)
    if way == "close":
        venue.close()
    venue.run()

    assert [fill.volume for fill in venue.fills if fill.kind != "entry"] == pytest.approx([1, 1, 1, 1, 0.995])
    assert [values[2] for values in venue.recorded("dust")] == pytest.approx([0.095])
    assert venue.position.is_flat


def test_a_holding_below_the_least_volume_is_dust_as_a_whole() -> None:
    """The fee has left 3.996 of 4 coins, and less than 4 cannot be sold; for selling nothing nobody pays."""
    coin = {"AAA": {**COIN["AAA"], "min_volume": 4.0}}
    venue = AccountVenue(
        {"AAA": [still(100)] * 4}, account={"type": "spot"}, symbols=coin, commission=Commission(0.1)
    )  # fmt: skip

    venue.buy(4)
    venue.go_to(1).close()
    venue.run()

    assert [values[2] for values in venue.recorded("dust")] == pytest.approx([3.996])
    assert venue.fills[-1].commission == 0.0
