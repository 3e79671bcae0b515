"""A tape comes back event by event in the order in which it was written, and takes nothing that does not fit."""

from collections.abc import Sequence

import numpy as np
import pytest

from src.core.errors import DataError, PreflightError
from src.data.store import HistoricalDataStore, TapeInfo
from src.data.tapes import QuoteTape, RateTape, TradeTape


def quotes(stamps: Sequence[int], *, symbol: str = "BTCUSD", first: int = 0) -> QuoteTape:
    """Quotes at the given stamps; every number tells its place, counted from `first`."""
    number = np.arange(first, first + len(stamps), dtype=np.float64)
    return QuoteTape(
        symbol=symbol, ts_ns=np.array(stamps, np.int64), bid=100 + number, ask=99.5 + number, bid_size=number,
        ask_size=number / 3,
    )  # fmt: skip


def places(tape: QuoteTape) -> list[float]:
    """The places that the sizes of a tape tell."""
    return [float(size) for size in tape.bid_size]


def test_a_tape_comes_back_in_the_order_of_its_rows(store: HistoricalDataStore) -> None:
    """Events that share a stamp keep their order, to the last bit, in read-only arrays; crossed quotes stay."""
    written = TradeTape(
        symbol="BTCUSD", ts_ns=np.array([5, 5, 5, 7]), price=np.array([3.0, 1.0, 0.1 + 0.2, 2.0]),
        volume=np.array([1.0, 2.0, 3.0, 4.0]), buyer_is_maker=np.array([True, False, True, True]),
        trade_id=np.array([9, 2**60, 1, 4]),
    )  # fmt: skip

    count = store.write_trades(written, source="venue")
    found = store.read_trades("BTCUSD")

    assert count == len(found) == 4
    for name in ("ts_ns", "price", "volume", "buyer_is_maker", "trade_id"):
        column = getattr(found, name)
        assert column.tolist() == getattr(written, name).tolist()
        assert column.dtype == getattr(written, name).dtype
        assert not column.flags.writeable


def test_quotes_and_rates_have_tapes_of_their_own(store: HistoricalDataStore) -> None:
    """Each kind is listed with its source, count and ends; the kinds of a symbol may have several sources."""
    store.write_quotes(quotes([3, 3, 8]), source="feed")
    store.write_funding(RateTape(symbol="BTCUSD", ts_ns=np.array([4]), rate=np.array([-1e-4])), source="venue")

    assert store.list_tapes() == [
        TapeInfo(symbol="BTCUSD", kind="funding", source="venue", events=1, first_ns=4, last_ns=4),
        TapeInfo(symbol="BTCUSD", kind="quotes", source="feed", events=3, first_ns=3, last_ns=8),
    ]
    assert store.read_funding("BTCUSD").rate.tolist() == [-1e-4]


def test_a_window_of_a_tape_includes_its_start_and_excludes_its_end(store: HistoricalDataStore) -> None:
    """All events of the first stamp are in, none of the last."""
    store.write_quotes(quotes([1, 2, 2, 3, 4, 4]), source="feed")

    assert places(store.read_quotes("BTCUSD", 2, 4)) == [1, 2, 3]
    assert places(store.read_quotes("BTCUSD", 9)) == []


def test_a_tape_grows_behind_before_and_between(store: HistoricalDataStore) -> None:
    """Spans that are free are taken in any order, and the rows end up in time order."""
    counts = [
        store.write_quotes(quotes(stamps, first=first), source="feed")
        for stamps, first in (([30, 30, 31], 4), ([50], 9), ([10, 10], 0), ([20, 21], 2), ([31 + 1, 40], 7))
    ]

    found = store.read_quotes("BTCUSD")

    assert counts == [3, 1, 2, 2, 2]
    assert found.ts_ns.tolist() == [10, 10, 20, 21, 30, 30, 31, 32, 40, 50]
    assert places(found) == list(range(10))
    assert store.list_tapes()[0] == TapeInfo(
        symbol="BTCUSD", kind="quotes", source="feed", events=10, first_ns=10, last_ns=50
    )


def test_the_same_events_again_add_nothing_and_a_longer_file_adds_its_end(store: HistoricalDataStore) -> None:
    """A span that is stored with the same rows is skipped; what comes behind it is stored, though it shares a stamp."""
    store.write_quotes(quotes([1, 2, 2]), source="feed")

    counts = [store.write_quotes(quotes(stamps), source="feed") for stamps in ([1, 2, 2], [1, 2, 2, 2, 3])]

    assert counts == [0, 2]
    assert places(store.read_quotes("BTCUSD")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("stamps", "first"), [([2, 3], 7), ([1, 2], 0), ([0, 9], 0), ([1, 2, 2, 5, 9], 0), ([2, 2, 5, 5], 2)]
)
def test_a_span_with_other_stored_events_is_refused(store: HistoricalDataStore, stamps: list[int], first: int) -> None:
    """Rows that share stamps with stored ones have no known order among them; nothing is changed."""
    store.write_quotes(quotes([1, 2, 2, 5]), source="feed")
    if (stamps, first) == ([1, 2, 2, 5, 9], 0):
        store.write_quotes(quotes([20]), source="feed")
    before = store.list_tapes()

    with pytest.raises(DataError, match="a span that is not stored yet, found .* other stored ones"):
        store.write_quotes(quotes(stamps, first=first), source="feed")

    assert store.list_tapes() == before


def test_what_no_tape_can_hold_is_refused(store: HistoricalDataStore) -> None:
    """Decreasing stamps, numbers that are not finite and columns of another length are named with their row."""
    broken = quotes([1, 2, 3])
    object.__setattr__(broken, "ask", np.array([1.0, np.inf, 1.0]))

    with pytest.raises(DataError, match="in time order, found .* in row 3"):
        store.write_quotes(quotes([1, 5, 4]), source="feed")
    with pytest.raises(DataError, match=r"a number as ask in row 2 .*, found inf"):
        store.write_quotes(broken, source="feed")
    with pytest.raises(DataError, match="expected 2 values as rate"):
        RateTape(symbol="BTCUSD", ts_ns=np.array([1, 2]), rate=np.array([0.1]))

    assert store.list_tapes() == []


def test_a_tape_has_one_source(store: HistoricalDataStore) -> None:
    """Events from another source are refused with both named."""
    store.write_quotes(quotes([1]), source="feed")

    with pytest.raises(DataError, match="quotes is stored with the source 'feed' and comes now with 'other'"):
        store.write_quotes(quotes([2]), source="other")


def test_a_tape_can_be_deleted(store: HistoricalDataStore) -> None:
    """Only the named one goes; an absent one is answered with what there is."""
    store.write_quotes(quotes([1, 2]), source="feed")
    store.write_quotes(quotes([1], symbol="ETHUSD"), source="feed")

    assert store.delete_tape("BTCUSD", "quotes") == 2
    with pytest.raises(PreflightError, match=r"no quotes of BTCUSD; it has ETHUSD quotes from .* \(1 events\)"):
        store.read_quotes("BTCUSD")
    assert len(store.read_quotes("ETHUSD")) == 1


def test_an_empty_tape_leaves_no_trace(store: HistoricalDataStore) -> None:
    """Writing no events is allowed and lists nothing."""
    assert store.write_quotes(quotes([]), source="feed") == 0
    assert store.list_tapes() == []


def test_the_arrays_of_a_caller_stay_writeable() -> None:
    """A tape holds read-only views; what it was made of belongs to the caller."""
    rate = np.array([0.1])

    tape = RateTape(symbol="BTCUSD", ts_ns=np.array([1]), rate=rate)

    assert rate.flags.writeable
    assert not tape.rate.flags.writeable
