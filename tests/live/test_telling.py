"""What a person hears of what the bot does."""

from typing import Any, cast

import pytest

from src.core.broker import Broker
from src.core.journal import JournalRecord
from src.core.records import (
    OrderState,
    OrderType,
    Side,
    make_fill,
    make_order,
    make_order_event,
    make_order_request,
)
from src.live.alerts import Alerts
from src.live.health import Health
from src.live.telling import Telling
from src.live.wire import to_plain


class Heard:
    """Alerts, kept."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.levels: list[str] = []

    def tell(self, level: str, kind: str, text: str, key: str = "") -> None:
        """See `Alerts.tell`."""
        self.told.append((kind, text))
        self.levels.append(level)


def refusal(code: str) -> JournalRecord:
    """A placement that came to nothing, or to nobody knows what."""
    values: Any = ("book", "k1", code)
    return JournalRecord(instant_ns=1, stream="BTCUSDT", kind="refusal", participant="worker", values=values)


def test_an_order_that_nobody_answered_is_not_told_as_refused() -> None:
    """It may be there: whoever reads that it was refused gives another one by hand."""
    heard = Heard()
    telling = Telling(cast(Alerts, heard), Health(lambda: 0), needs_stops=True)

    telling.settled([refusal("unanswered"), refusal("margin")], quiet=False)

    assert [kind for kind, _ in heard.told] == ["unknown_order", "refused_order"]
    assert "refused" not in heard.told[0][1]
    assert "refused" in heard.told[1][1]


def test_who_has_refused_an_order_is_not_mistaken() -> None:
    """What the bot's own limits hold back has never been at the venue, and nobody should ask there."""
    heard = Heard()
    telling = Telling(cast(Alerts, heard), Health(lambda: 0), needs_stops=True)

    telling.settled([refusal("order_rate"), refusal("stale_price"), refusal("margin")], quiet=False)

    texts = [text for _, text in heard.told]
    assert ["held back by the bot" in text for text in texts] == [True, False]  # the limits tell it themselves
    assert not any("the venue" in text for text in texts)


@pytest.mark.parametrize(
    ("kind", "level"),
    [("entry", "info"), ("stop", "info"), ("foreign", "warning"), ("liquidation", "critical"), ("naked", "critical")],
)
def test_a_fill_that_nobody_has_wanted_is_told_louder(kind: str, level: str) -> None:
    """A target is told warnings by default, and who was liquidated has to hear of it."""
    heard = Heard()
    telling = Telling(cast(Alerts, heard), Health(lambda: 0), needs_stops=True)
    request = make_order_request(
        client_id="c", book="b", symbol="AAA", side=Side.SELL, type=OrderType.MARKET, volume=1.0
    )
    order = make_order(
        order_id="c", request=request, state=OrderState.FILLED, placed_ns=1, effective_ns=1, updated_ns=1
    )
    fill = make_fill(
        fill_id="f", order_id="c", position_id="p", book="b", symbol="AAA", side=Side.SELL, volume=1.0, price=9.0,
        filled_ns=1, filled_from_ns=1, kind=kind,
    )  # fmt: skip

    telling.seen({"events": {"AAA": [to_plain(make_order_event(order=order, fill=fill))]}}, cast(Broker, None))

    assert heard.levels == [level]
