"""At which instants a run is worth cutting off, and at which another one can fairly begin.

Pure; any thread.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from src.core.bars import BarSeries
from src.core.journal import ACCOUNT_STREAM, JournalRecord
from src.core.records import OrderState, Side
from src.research.lookahead.observing import Observation

__all__ = ["balance_at", "calm_starts", "edges", "spread"]

#: What is left of a volume after as much was bought as sold is noise of floats when it is this small a share.
_NOISE = 1e-9


def spread(values: Sequence[int], count: int) -> list[int]:
    """Up to `count` of the values, evenly chosen, the first and the last among them; each once."""
    if len(values) <= count:
        return list(values)
    if count == 1:
        return [values[len(values) // 2]]
    return [values[i * (len(values) - 1) // (count - 1)] for i in range(count)]


def edges(decisions: Sequence[JournalRecord], series: BarSeries, start_ns: int, last_ns: int, count: int) -> list[int]:
    """Where to change the future: right after decisions, and for those that were not taken, at some bars' closes.

    Args:
        series: the bars of the strategy.
        last_ns: no edge lies there or later.
        count: of decisions; half as many bars are added.
    """
    taken = sorted({each.instant_ns for each in decisions if start_ns < each.instant_ns < last_ns})
    first, end = series.count_closed(start_ns), series.count_closed(last_ns - 1)
    closes = [int(each) for each in series.closes(first, end)]
    inner = spread(closes, count // 2 + 3)[1:-1]
    return sorted({*spread(taken, count), *inner})


def calm_starts(observed: Observation, series: BarSeries, start_ns: int, last_ns: int, count: int) -> list[int]:
    """Closes of bars at which nothing is held and no order works; fewer where there are none.

    A strategy that starts there finds what it found in the whole run. Up to `count` lie one bar before a decision,
    which then is the first thing that the strategy has to see, and half as many are spread over the window.
    """
    closes = [int(each) for each in series.closes(series.count_closed(start_ns), series.count_closed(last_ns - 1))]
    instants, calm = _calm(observed.records)

    def is_calm(at_ns: int) -> bool:
        i = bisect_right(instants, at_ns) - 1
        return i < 0 or calm[i]

    taken = sorted({each.instant_ns for each in observed.decisions})
    before = [closes[i - 1] for at_ns in taken if 0 < (i := bisect_left(closes, at_ns)) < len(closes)]
    some = max(1, count // 2)
    found = set(spread([at_ns for at_ns in before if is_calm(at_ns)], count))
    for n in range(some):
        low, high = (int(len(closes) * (n + part) / (some + 1)) for part in (0.5, 1.5))
        found.update([at_ns for at_ns in closes[low:high] if is_calm(at_ns)][:1])
    return sorted(found)


def balance_at(records: Sequence[JournalRecord], instant_ns: int, at_first: float) -> float:
    """The account's balance after everything that happened at the instant."""
    found = at_first
    for each in records:
        if each.instant_ns > instant_ns:
            break
        if each.stream == ACCOUNT_STREAM and each.kind == "account":
            found = float(each.values[0])
    return found


def _calm(records: Sequence[JournalRecord]) -> tuple[list[int], list[bool]]:
    """After which instants nothing is held and nothing works, from the records of a single book."""
    instants: list[int] = []
    calm: list[bool] = []
    working: set[str] = set()
    held = most = 0.0
    for each in records:
        fields = dict(each.fields)
        if each.kind == "order":
            if OrderState(fields["state"]).is_final:
                working.discard(fields["order"])
            else:
                working.add(fields["order"])
        elif each.kind == "fill":
            held += Side(fields["side"]).sign * fields["volume"]
            most = max(most, abs(held))
        else:
            continue
        if not instants or instants[-1] != each.instant_ns:
            instants.append(each.instant_ns)
            calm.append(True)
        calm[-1] = not working and abs(held) <= _NOISE * most
    return instants, calm
