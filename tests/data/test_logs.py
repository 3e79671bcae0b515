"""A store remembers what sources answered and what repairs changed, in order and across sessions."""

import pytest

from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.data.store import HealEntry, HistoricalDataStore
from src.data.stored import merge_windows


def test_answered_windows_are_merged(store: HistoricalDataStore) -> None:
    """Overlapping and touching windows become one, empty answers count, other series and sources do not."""
    for start, end, bars in ((50, 60, 10), (10, 20, 0), (20, 30, 5), (25, 40, 3), (70, 70, 0)):
        store.log_sync("BTCUSD", MINUTE_NS, "exchange", start, end, bars)
    store.log_sync("BTCUSD", HOUR_NS, "exchange", 0, 100, 1)
    store.log_sync("BTCUSD", MINUTE_NS, "other", 0, 100, 1)

    found = store.synced("BTCUSD", MINUTE_NS, "exchange")

    assert found == [(10, 40), (50, 60)]


def test_a_page_and_its_window_are_one(store: HistoricalDataStore) -> None:
    """A window that is logged in a transaction which fails was never answered."""

    def log_and_fail() -> None:
        with store.transaction():
            store.log_sync("BTCUSD", MINUTE_NS, "exchange", 0, 10, 1)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        log_and_fail()

    assert store.synced("BTCUSD", MINUTE_NS, "exchange") == []


def test_answers_can_be_forgotten(store: HistoricalDataStore) -> None:
    """Only those of the named series go, and the count of entries goes on."""
    for timeframe_ns in (MINUTE_NS, HOUR_NS):
        store.log_sync("BTCUSD", timeframe_ns, "exchange", 0, 10, 1)

    store.forget_synced("BTCUSD", MINUTE_NS)
    store.log_sync("BTCUSD", MINUTE_NS, "exchange", 20, 30, 1)

    assert store.synced("BTCUSD", MINUTE_NS, "exchange") == [(20, 30)]
    assert store.synced("BTCUSD", HOUR_NS, "exchange") == [(0, 10)]


def test_repairs_are_remembered_in_order(store: HistoricalDataStore) -> None:
    """Entries come back as they were logged, over several repairs and sessions."""

    def entry(minute: int, action: str, before: str, after: str) -> HealEntry:
        return HealEntry(symbol="BTCUSD", timeframe_ns=MINUTE_NS, price_side="trade", open_ns=minute * MINUTE_NS,
                         action=action, before=before, after=after)  # fmt: skip

    first = [entry(9, "removed duplicate", "1.5", ""), entry(3, "mended high", "1.0", "2.0")]
    second = [entry(1, "filled", "", "7.0")]
    store.log_heal(first)
    store.log_heal([])
    store.close()
    with HistoricalDataStore(store.path) as again:
        again.log_heal(second)

        assert again.read_heal_log() == [*first, *second]


@pytest.mark.parametrize(
    ("windows", "merged"),
    [([], []), ([(3, 3)], []), ([(5, 9), (1, 2)], [(1, 2), (5, 9)]), ([(1, 9), (2, 3), (9, 12)], [(1, 12)])],
)
def test_windows_merge(windows: list[tuple[int, int]], merged: list[tuple[int, int]]) -> None:
    """The result is in time order, disjoint, and covers the same instants."""
    assert merge_windows(windows) == merged
