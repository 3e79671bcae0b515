"""Feeds that more than one fault has killed."""

from src.brokers.faults import Fault, FaultKind
from src.brokers.faulty_feed import FaultyFeed
from src.core.timeframe import MINUTE_NS
from tests.brokers.case_world import series_from


def _dead(kind: FaultKind, start: float, end: float, symbol: str = "") -> Fault:
    return Fault(kind=kind, symbol=symbol, from_ns=int(start * MINUTE_NS), to_ns=int(end * MINUTE_NS))


def test_a_freeze_that_begins_in_another_one_holds_the_first_price() -> None:
    """A dead feed says nothing new when a second fault begins, in whichever order the two are written."""
    series = series_from("AAA", [[price] * 4 for price in (100.0, 101.0, 102.0, 103.0, 104.0)], 0, "trade")
    freezes = [_dead(FaultKind.PRICE_FREEZE, 2, 4, "AAA"), _dead(FaultKind.PRICE_FREEZE, 1, 3)]

    shown = [FaultyFeed(each).of(series) for each in (freezes, freezes[::-1])]

    assert [each.close.tolist() for each in shown] == [[100.0, 100.0, 100.0, 100.0, 104.0]] * 2


def test_a_feed_is_dead_since_the_first_of_several_faults_without_a_gap() -> None:
    """Faults that touch are one silence; after a gap another one begins."""
    feed = FaultyFeed(
        [_dead(FaultKind.PRICE_FREEZE, 3, 4), _dead(FaultKind.FEED_HOLE, 1, 3), _dead(FaultKind.FEED_HOLE, 6, 7)]
    )

    since = [feed.dead_since("AAA", int(minute * MINUTE_NS)) for minute in (0.5, 1, 3.5, 4, 6.5)]

    assert since == [None, MINUTE_NS, MINUTE_NS, None, 6 * MINUTE_NS]
