"""Whether the account is as the bot left it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from src.core.errors import ConfigError
from src.core.records import OrderType, Side, Snapshot, make_order_request
from src.core.timeframe import MINUTE_NS
from src.live.account_state import AccountState
from src.live.reconcile import Difference
from src.live.startup import check_start, what_was_found
from tests.live.live_world import START_NS, Exchange, Source

ENTRY = make_order_request(
    client_id="a1", book="b", symbol="AAA", side=Side.BUY, type=OrderType.MARKET, volume=1.0, stop=90.0
)


class Bench:
    """An exchange, a source that begins on it, and the state of the account."""

    def __init__(self, state: AccountState) -> None:
        self.state = state
        self.exchange = Exchange(("AAA", "BBB"))
        lengths = {"AAA": (MINUTE_NS,), "BBB": (MINUTE_NS,)}
        self.source = Source(self.exchange, lengths, lambda: START_NS, START_NS - 3 * MINUTE_NS)
        self.told: list[Difference] = []

    def check(self, expected: Snapshot | None, told: set[str] | None = None, *, adopt: bool = False) -> None:
        """Look."""
        check_start(
            self.source, self.state, ("AAA", "BBB"), expected=expected, told=told or set(), tell=self.told.append,
            adopt=adopt,
        )  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """With nothing on it."""
    with AccountState(tmp_path / "bot.sqlite") as state:
        yield Bench(state)


def test_an_empty_account_may_be_begun_on(bench: Bench) -> None:
    """There is nothing to tell."""
    bench.source.start()

    bench.check(None)

    assert bench.told == []


def test_what_filled_while_nobody_looked_is_no_difference(bench: Bench) -> None:
    """An execution tells why."""
    bench.source.start()
    expected = bench.source.snapshot()
    bench.exchange.fill(ENTRY, START_NS)
    bench.source.start([ENTRY])

    bench.check(expected)

    assert bench.told == []


def test_what_no_execution_tells_of_is_refused_unless_it_is_adopted(bench: Bench) -> None:
    """The position is gone, and the bot has heard of everything."""
    bench.exchange.fill(ENTRY, START_NS)
    bench.source.start([ENTRY])
    expected = bench.source.snapshot()
    del bench.exchange.positions["AAA"]
    bench.source.refresh()

    with pytest.raises(ConfigError, match="AAA"):
        bench.check(expected, {"f1"})
    assert len(bench.told) == 1
    bench.check(expected, {"f1"}, adopt=True)

    assert len(bench.told) == 2


def test_what_was_found_is_one_sentence(bench: Bench) -> None:
    """Money, what is held, and from when on there are bars."""
    bench.exchange.fill(ENTRY, START_NS)
    bench.source.start([ENTRY])

    text = what_was_found(bench.source, [("AAA", MINUTE_NS, "trade"), ("BBB", MINUTE_NS, "trade")])  # type: ignore[arg-type]  # as much of a broker as is looked at

    assert "held: 1 AAA at" in text
    assert "at least 3 of 1m" in text
