"""What a desk knows of the bars to come."""

from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def test_the_first_bar_from_an_instant_on_is_found_however_far_away_it_is() -> None:
    """As a look at one bar after the other finds it: at opens, between them, in a hole, and after the last bar."""
    world = Venue([FLAT, *([FLAT, None, None, FLAT] * 10)])
    world.go_to(7)
    desk = world.broker._venue.by_symbol["AAA"]
    opens = list(desk.series.open_ns_at[desk.index + 1 : desk.series.loaded])
    instants = [START_NS + half * MINUTE_NS // 2 for half in range(-2, 90)]

    found = [desk.first_from(instant) for instant in instants]

    walked = [sum(each < instant for each in opens) + desk.index + 1 for instant in instants]
    assert found == walked
    assert found[-1] == desk.series.loaded


def test_an_expiry_that_is_far_ahead_is_found_without_a_look_at_each_bar() -> None:
    """The opens of 5,000 bars are asked for a few times only."""
    world = Venue([FLAT] * 5_000)
    desk = world.broker._venue.by_symbol["AAA"]
    asked: list[int] = []

    class Counted(list[int]):
        def __getitem__(self, index: int) -> int:  # type: ignore[override]  # asked with one index at a time
            asked.append(index)
            return super().__getitem__(index)

    desk.series.open_ns_at = Counted(desk.series.open_ns_at)  # type: ignore[assignment]  # it is only looked at
    found = desk.first_from(START_NS + 4_000 * MINUTE_NS)

    assert found == 4_001
    assert len(asked) < 20
