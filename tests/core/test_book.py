"""The book of one position: its average, its risk and the trade that it becomes."""

import pytest

from src.core.book import Book
from src.core.errors import InternalError
from src.core.records import Fill, Side


def fill(number: int, side: Side, volume: float, price: float, **more: float | str | bool) -> Fill:
    """An execution at the instant `number`."""
    return Fill(
        fill_id=f"f{number}", order_id=f"o{number}", position_id="p1", book="sma", symbol="AAA", side=side,
        volume=volume, price=price, filled_ns=number, filled_from_ns=number, **more,  # type: ignore[arg-type]  # as named
    )  # fmt: skip


def test_each_fill_adds_its_own_risk_down_to_the_stop_of_its_moment() -> None:
    """Risk is the volume-weighted distance to the stop plus the cost of getting out, fixed when each fill happens."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.BUY, 2, 100), stop=97.0, target=None, stop_cost=0.5)
    book.protect(stop=99.0, target=None, kind="trailing")
    book.open(fill(2, Side.BUY, 1, 104), stop=None, target=None, stop_cost=9.0)

    assert book.position().initial_risk == 2 * 3.5 + 1 * 5.5
    assert (book.position().initial_stop, book.position().stop) == (97.0, 99.0)


@pytest.mark.parametrize(("side", "tighter", "wider"), [(Side.BUY, 99.0, 90.0), (Side.SELL, 101.0, 110.0)])
def test_an_addition_keeps_the_tighter_stop(side: Side, tighter: float, wider: float) -> None:
    """A stop that trails stays, and keeps its name, under an addition with a wider one."""
    book = Book("sma", "AAA")
    book.open(fill(1, side, 1, 100), stop=wider, target=None, stop_cost=0.0)
    book.protect(stop=tighter, target=None, kind="trailing")

    book.open(fill(2, side, 1, 100), stop=wider, target=None, stop_cost=0.0)

    assert (book.position().stop, book.position().stop_kind) == (tighter, "trailing")


def test_a_position_opened_without_a_stop_has_no_r_whatever_is_added() -> None:
    """A stop that comes with an addition guards the position, but there was no risk fixed at the entry."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.BUY, 100, 100), stop=None, target=None, stop_cost=0.0)
    book.open(fill(2, Side.BUY, 1, 100), stop=99.0, target=None, stop_cost=0.0)
    _, trade = book.reduce(fill(3, Side.SELL, 101, 110))

    assert trade is not None
    assert (trade.risk, trade.r, trade.initial_stop) == (None, None, None)


def test_a_stop_beyond_the_fill_counts_its_cost_only() -> None:
    """A gap through the stop makes the distance nothing, never negative."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.SELL, 2, 103), stop=102.0, target=None, stop_cost=0.25)

    assert book.position().initial_risk == 0.5


def test_parts_taken_away_one_by_one_leave_nothing() -> None:
    """0.3 less three times 0.1 is flat, although binary floats say otherwise."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.BUY, 0.3, 100), stop=None, target=None, stop_cost=0.0)
    trades = [book.reduce(fill(n, Side.SELL, 0.1, 101))[1] for n in (2, 3, 4)]

    assert [trade is not None for trade in trades] == [False, False, True]
    assert book.position().is_flat


def test_the_trade_adds_up_prices_costs_and_reasons_of_all_its_fills() -> None:
    """Entry and exit prices are volume-weighted over all fills, also over those after a partial exit."""
    book = Book("sma", "AAA")
    costs = {"commission": 1.0, "spread_cost": 0.25, "slippage_cost": 0.5}

    book.open(fill(1, Side.BUY, 2, 100, reason="cross", **costs), stop=None, target=None, stop_cost=0.0)
    book.reduce(fill(2, Side.SELL, 1, 104, kind="exit", **costs))
    book.open(fill(3, Side.BUY, 2, 103, reason="again", **costs), stop=None, target=None, stop_cost=0.0)
    _, trade = book.reduce(fill(4, Side.SELL, 3, 106, kind="target", reason="done", **costs))

    assert trade is not None
    assert (trade.entry_price, trade.exit_price, trade.volume) == (101.5, 105.5, 3.0)
    assert (trade.commission, trade.spread_cost, trade.slippage_cost) == (4.0, 1.0, 2.0)
    assert (trade.gross, trade.net) == (4 * 4.0 + 3.0, 4 * 4.0 - 4.0)
    assert (trade.entry_ns, trade.exit_ns, trade.exit_kind) == (1, 4, "target")
    assert (trade.entry_reason, trade.exit_reason) == ("cross", "done")


def test_an_exit_that_was_missed_adds_to_the_doubt_about_parts_closed_before() -> None:
    """One went at 105 and might have gone at 96; the other one went at 106 and might have gone at 97 before."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.BUY, 2, 100), stop=None, target=None, stop_cost=0.0)
    book.reduce(fill(2, Side.SELL, 1, 105, ambiguous=True, other_price=96.0))
    book.miss(97.0)
    _, trade = book.reduce(fill(3, Side.SELL, 1, 106))

    assert trade is not None
    assert (trade.net, trade.net_worst, trade.net_best) == (11.0, 11.0 - 9.0 - 9.0, 11.0)


def test_profits_of_the_parts_add_up_to_the_trade() -> None:
    """What was realised on the way is what the trade says at the end."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.SELL, 3, 100), stop=None, target=None, stop_cost=0.0)
    first, _ = book.reduce(fill(2, Side.BUY, 1, 95))
    book.open(fill(3, Side.SELL, 2, 90), stop=None, target=None, stop_cost=0.0)
    second, trade = book.reduce(fill(4, Side.BUY, 4, 97))

    assert trade is not None
    assert first + second == pytest.approx(trade.net, abs=1e-12)
    assert trade.net == pytest.approx((300 + 180) - (95 + 388), abs=1e-12)


def test_a_book_is_fresh_after_it_was_flat() -> None:
    """Stop, costs and risk of the last trade do not reach into the next one."""
    book = Book("sma", "AAA")

    book.open(fill(1, Side.BUY, 1, 100, commission=5.0), stop=90.0, target=120.0, stop_cost=1.0)
    book.reduce(fill(2, Side.SELL, 1, 90, ambiguous=True, other_price=120.0))
    book.open(fill(3, Side.SELL, 1, 100), stop=None, target=None, stop_cost=0.0)
    _, trade = book.reduce(fill(4, Side.BUY, 1, 99))

    assert trade is not None
    assert (trade.net, trade.commission, trade.risk, trade.ambiguous) == (1.0, 0.0, None, False)
    assert (trade.net_worst, trade.net_best) == (1.0, 1.0)


@pytest.mark.parametrize(("side", "volume"), [(Side.BUY, 1.0), (Side.SELL, 1.5)])
def test_reducing_the_wrong_way_or_too_much_is_a_defect(side: Side, volume: float) -> None:
    """A book never turns around by a reduction."""
    book = Book("sma", "AAA")
    book.open(fill(1, Side.BUY, 1, 100), stop=None, target=None, stop_cost=0.0)

    with pytest.raises(InternalError):
        book.reduce(fill(2, side, volume, 100))


def test_opening_against_the_position_is_a_defect() -> None:
    """Whoever owns the book reduces it first."""
    book = Book("sma", "AAA")
    book.open(fill(1, Side.BUY, 1, 100), stop=None, target=None, stop_cost=0.0)

    with pytest.raises(InternalError):
        book.open(fill(2, Side.SELL, 1, 100), stop=None, target=None, stop_cost=0.0)


def test_a_position_is_the_same_object_until_something_changes() -> None:
    """So that a reader may compare by identity."""
    book = Book("sma", "AAA")
    book.open(fill(1, Side.BUY, 1, 100), stop=None, target=None, stop_cost=0.0)

    before = book.position()
    assert book.position() is before
    book.protect(stop=90.0, target=None, kind="stop")

    assert (before.stop, book.position().stop) == (None, 90.0)
