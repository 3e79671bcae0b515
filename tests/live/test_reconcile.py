"""What is found at the venue against what was expected there."""

from typing import Any

import pytest

from src.core.errors import ConfigError
from src.core.records import (
    Account,
    Fill,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Position,
    Side,
    Snapshot,
)
from src.live.reconcile import Difference, adopt, differences, open_differences, refusal_of

SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Texts:
    """Texts in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def value(self, key: str) -> str | None:
        return self.kept.get(key)

    def keep(self, key: str, value: str | None) -> None:
        self.kept.pop(key, None)
        if value is not None:
            self.kept[key] = value


def position(volume: float, symbol: str = "BTCUSDT", **more: Any) -> Position:
    """A position of the book `sma`."""
    return Position(**{"position_id": f"{symbol}1", "book": "sma", "symbol": symbol, "volume": volume, **more})


def snapshot(*positions: Position) -> Snapshot:
    """An account with positions."""
    account = Account(currency="USDT", instant_ns=1, balance=1.0, equity=1.0, margin_used=0.0)
    return Snapshot(account=account, positions=positions, orders=())


def fill(side: Side, volume: float, symbol: str = "BTCUSDT") -> Fill:
    """An execution of the book `sma`."""
    return Fill(
        fill_id="f", order_id="o", position_id=f"{symbol}1", book="sma", symbol=symbol, side=side, volume=volume,
        price=1.0, filled_ns=1, filled_from_ns=1,
    )  # fmt: skip


def told(found: tuple[Difference, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Symbol, kind and commands."""
    return [(each.symbol, each.kind, each.resolved_by) for each in found]


BOTH = ("adopt BTCUSDT", "close BTCUSDT")


def test_what_is_as_expected_is_no_difference() -> None:
    """The same positions with moved stops, or what the executions since then tell."""
    before = snapshot(position(1.0, stop=90.0), position(-2.0, "ETHUSDT"))

    assert differences(before, snapshot(position(1.0, stop=95.0), position(-2.0, "ETHUSDT")), {}, SYMBOLS) == ()
    assert differences(before, snapshot(position(-2.0, "ETHUSDT")), {}, SYMBOLS, fills=[fill(Side.SELL, 1.0)]) == ()
    assert differences(None, snapshot(position(0.3)), {}, SYMBOLS, fills=[fill(Side.BUY, 0.1)] * 3) == ()
    assert differences(None, snapshot(), {}, SYMBOLS) == ()


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (snapshot(position(1.0)), snapshot(), [("BTCUSDT", "volume", BOTH)]),
        (snapshot(position(1.0)), snapshot(position(0.5)), [("BTCUSDT", "volume", BOTH)]),
        (snapshot(), snapshot(position(1.0)), [("BTCUSDT", "volume", BOTH)]),
        (None, snapshot(position(1.0)), [("BTCUSDT", "volume", BOTH)]),
        (snapshot(position(1.0, stop=9.0)), snapshot(position(1.0)), [("BTCUSDT", "stop", BOTH)]),
        (snapshot(position(1.0, target=9.0)), snapshot(position(1.0)), [("BTCUSDT", "target", BOTH)]),
        (snapshot(position(1.0, "XRPUSDT")), snapshot(), []),
    ],
)
def test_each_difference_names_the_commands_that_resolve_it(
    before: Snapshot | None, after: Snapshot, kinds: list[Any]
) -> None:
    """Volumes that no execution explains, and protection that is gone; only symbols that are traded."""
    assert told(differences(before, after, {}, SYMBOLS)) == kinds


def test_what_is_other_people_s_is_listed_and_cannot_be_closed() -> None:
    """It is left alone, whoever wants what."""
    request = OrderRequest(
        client_id="web1", book="", symbol="ETHUSDT", side=Side.BUY, type=OrderType.LIMIT, volume=1.0, price=5.0
    )
    order = Order(order_id="web1", request=request, state=OrderState.WORKING, placed_ns=0, effective_ns=0, updated_ns=0)

    found = differences(None, snapshot(), {"BTCUSDT": 0.5, "XRPUSDT": 1.0}, SYMBOLS, foreign_orders=[order])

    assert told(found) == [
        ("BTCUSDT", "foreign", ("adopt BTCUSDT",)),
        ("ETHUSDT", "foreign_order", ("adopt ETHUSDT",)),
    ]
    assert all(each.is_foreign and "left alone" in each.sentence for each in found)


def test_other_people_on_the_other_side_are_told_apart() -> None:
    """The venue adds both up, so this bot could not close all of its own."""
    mine = snapshot(position(1.0))

    found = differences(mine, mine, {"BTCUSDT": -0.4}, SYMBOLS)

    assert told(found) == [("BTCUSDT", "opposed", BOTH)]


def test_what_was_adopted_is_not_told_again_as_long_as_it_is_the_same() -> None:
    """Another volume is another difference; what went away and comes back is new."""
    state = Texts()
    half, more = (differences(None, snapshot(), {"BTCUSDT": volume}, SYMBOLS) for volume in (0.5, 0.6))

    first = open_differences(state, half)
    taken = adopt(state, "BTCUSDT")
    again = open_differences(state, half)
    larger = open_differences(state, more)
    back = open_differences(state, half)

    assert (first, again, larger, back) == (half, (), more, half)
    assert taken == (half[0].sentence,)


def test_only_what_was_found_can_be_adopted() -> None:
    """A symbol without a difference is refused, and those with one are named."""
    state = Texts()
    with pytest.raises(ConfigError, match="start the bot"):
        adopt(state, "BTCUSDT")
    open_differences(state, differences(None, snapshot(), {"BTCUSDT": 0.5}, SYMBOLS))

    with pytest.raises(ConfigError, match="found in BTCUSDT"):
        adopt(state, "ETHUSDT")


def test_the_refusal_tells_each_difference_and_what_to_do() -> None:
    """One line each, with commands that can be copied."""
    found = differences(snapshot(position(1.0)), snapshot(), {"ETHUSDT": 1.0}, SYMBOLS)

    message = refusal_of(found).message

    assert "found 2 differences:\n  BTCUSDT: the book sma was expected to hold 1 long" in message
    assert "adopt BTCUSDT` or `" in message
    assert message.endswith("adopt ETHUSDT`")
