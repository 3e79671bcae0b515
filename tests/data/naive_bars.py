"""The naive definition of a derived bar: bars added one after the other as they come, sessions looked up in a list."""

from src.core.bars import BarSeries
from src.core.timeframe import DAY_NS, MINUTE_NS
from tests.generators import TableCalendar

#: open_ns, close_ns, open, high, low, close, volume
Row = tuple[int, int, float, float, float, float, float]


def rows(series: BarSeries) -> list[Row]:
    """The loaded bars as tuples."""
    names = ("open", "high", "low", "close", "volume")
    stamps = [(int(series.open_ns[i]), series.close_of(i)) for i in range(series.loaded)]
    values = zip(*(getattr(series, name)[: series.loaded].tolist() for name in names), strict=True)
    return [(*at, *value) for at, value in zip(stamps, values, strict=True)]


def span(calendar: TableCalendar, instant_ns: int, timeframe_ns: int) -> tuple[int, int] | None:
    """Open and close of the bar that a base bar with this open belongs to."""
    if timeframe_ns // MINUTE_NS in (5, 15, 30, 60, 240):
        start = instant_ns - instant_ns % timeframe_ns
        return start, start + timeframe_ns
    held = next((row for row in calendar.rows if row[0] <= instant_ns < row[1]), None)
    if held is None:
        return None
    open_ns, close_ns, day = held
    if timeframe_ns < DAY_NS:
        start = instant_ns - (instant_ns - open_ns) % timeframe_ns
        return start, min(start + timeframe_ns, close_ns)
    days = timeframe_ns // DAY_NS
    monday = 4 if days % 7 == 0 else 0
    first = day - (day - monday) % days
    same = [row for row in calendar.rows if first <= row[2] < first + days]
    return same[0][0], same[-1][1]


def naive(base: BarSeries, timeframe_ns: int, until_ns: int, calendar: TableCalendar) -> list[Row]:
    """What `resample` has to give, one bar after the other."""
    found: dict[int, list[float]] = {}
    closes: dict[int, int] = {}
    for at_ns, _, open_, high, low, close, volume in rows(base):
        held = span(calendar, at_ns, timeframe_ns)
        if held is None:
            continue
        closes[held[0]] = held[1]
        bar = found.setdefault(held[0], [open_, high, low, close, 0.0])
        bar[1], bar[2], bar[3], bar[4] = max(bar[1], high), min(bar[2], low), close, bar[4] + volume
    return [
        (at_ns, closes[at_ns], bar[0], bar[1], bar[2], bar[3], bar[4])
        for at_ns, bar in found.items()
        if closes[at_ns] <= until_ns
    ]
