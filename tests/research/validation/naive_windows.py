"""Windows by the calendar once more, slow and with dates: what the real ones are compared with."""

import datetime as dt


def naive_months(moment: dt.datetime, months: int) -> dt.datetime:
    """Month after month by hand, then back from a day that does not exist."""
    year, month = moment.year, moment.month
    for _ in range(abs(months)):
        month += 1 if months > 0 else -1
        if month in (0, 13):
            year, month = (year + 1, 1) if month == 13 else (year - 1, 12)
    for day in range(moment.day, 0, -1):
        try:
            return moment.replace(year=year, month=month, day=day)
        except ValueError:
            continue
    raise AssertionError


def naive_windows(
    start: dt.datetime, end: dt.datetime, cutoff: dt.datetime | None, *, rolling: bool, train: int, test: int
) -> list[tuple[dt.datetime, dt.datetime, dt.datetime, bool]]:
    """The windows once more with dates, one k after the other."""
    earliest = naive_months(start, train)
    late = cutoff is not None and cutoff > earliest
    found = []
    for k in range(2000):
        if late and cutoff is not None:
            begin, finish = naive_months(cutoff, k * test), naive_months(cutoff, (k + 1) * test)
            behind = naive_months(cutoff, k * test - train)
        else:
            begin, finish = naive_months(start, train + k * test), naive_months(start, train + (k + 1) * test)
            behind = naive_months(start, k * test)
        if begin >= end:
            break
        found.append((max(start, behind) if rolling else start, begin, min(finish, end), finish > end))
    return found


def since_epoch(moment: dt.datetime) -> int:
    """In nanoseconds."""
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 1000


def naive_counted(entries: list[int], train: int, test: int, cutoff: int | None) -> list[tuple[int, int, int, bool]]:
    """Windows by count of trades: where train and test begin and the test ends, and whether it is partial.

    The cursor goes from trade to trade, and takes those entered at the same instant together.
    """
    found = []
    cursor = 0
    while cursor < len(entries) and (cursor < train or (cutoff is not None and entries[cursor] < cutoff)):
        cursor += entries.count(entries[cursor])
    while cursor < len(entries):
        begin = entries.index(entries[cursor - train])
        end = cursor
        while end < len(entries) and end - cursor < test:
            end += entries.count(entries[end])
        found.append((begin, cursor, end, end - cursor < test))
        cursor = end
    return found
