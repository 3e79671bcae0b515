"""Stability: how the trades of one candidate do in one test window after the other.

Nothing is chosen on the train; it is what the efficiency is measured against, and it is kept clear of the test.
A trade belongs to the window of its entry. Decisions are made on counts and on figures. Pure; any thread.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from src.core.bars import IntArray
from src.core.timeframe import format_instant
from src.research.validation.figures import figure, needed, total_r
from src.research.validation.phases import found_text, result
from src.research.validation.ports import CandidateTrades, Period, PhaseResult
from src.research.validation.section import WalkforwardSection
from src.research.validation.windows import Window, entered_in, time_windows

__all__ = ["judged_windows", "stability", "trade_windows"]

_EARLIEST = -(2**63)

Places = tuple[int, int, int]
"""Of a window: where among the trades its train begins, its test begins, and its test ends."""


def stability(
    trades: CandidateTrades, section: WalkforwardSection, period: Period, cutoff_ns: int | None
) -> tuple[PhaseResult, tuple[dict[str, Any], ...]]:
    """The verdict over all windows, and one plain dict for each window.

    A window is `valid` if its test is whole and has `minimum_trades`; else `partial` or `few`, and not counted.
    Of the train two kinds of trades are left out: those that end at or after the beginning of the test (purged), and
    of the others those entered within the embargo before it. The embargo `longest` is the longest holding time among
    those that were not purged, which are the ones known when the test begins.

    PASS: enough valid windows, enough of them positive, and the mean R of all trades in their tests above the bound.
    The efficiency is the mean R of the tests over the mean R of the trains, sums over all valid windows; None where
    the train's mean is not above 0.

    Returns:
        the phase, and the windows, each: number, train_from, train_to, test_from, test_to (texts, UTC), train_trades,
        purged, embargoed, train_r, test_trades, test_r (sums), label (valid, partial, few), positive.

    Raises:
        InternalError: the trades are not in order of entry, or one ends before it begins.
    """
    trades = entered_in(trades, period)
    if section.windows == "trades":
        cut = trade_windows(trades.entry_ns, section, cutoff_ns)
    else:
        windows = time_windows(period, section, cutoff_ns)
        places = np.searchsorted(trades.entry_ns, _edges(windows)).tolist()
        cut = tuple(zip(windows, map(tuple, places), strict=True))
    rows = tuple(_row(trades, window, places, section) for window, places in cut)
    return judged_windows(rows, section), rows


def trade_windows(
    entry_ns: IntArray, section: WalkforwardSection, cutoff_ns: int | None
) -> tuple[tuple[Window, Places], ...]:
    """The windows by count of trades, each with its places: a test of `test_trades` after a train of `train_trades`.

    Trades of one entry instant are never torn apart: a test that would end among them ends behind them, a train that
    would begin among them begins before them. With a cut-off the first test begins with the first trade entered at or
    after it that has a whole train before it. A last test of fewer trades is partial.

    Args:
        entry_ns: entries in order; shape (n,).
    """
    count = len(entry_ns)
    first = section.train_trades
    if cutoff_ns is not None:
        first = max(first, int(np.searchsorted(entry_ns, cutoff_ns)))
    found: list[tuple[Window, Places]] = []
    middle = _behind_equals(entry_ns, first)
    while middle < count:
        begin = int(np.searchsorted(entry_ns, entry_ns[middle - section.train_trades]))
        end = _behind_equals(entry_ns, min(middle + section.test_trades, count))
        test_from = int(entry_ns[middle])
        test_to = int(entry_ns[end]) if end < count else int(entry_ns[-1]) + 1
        window = Window(
            number=len(found) + 1, train_from_ns=int(entry_ns[begin]), train_to_ns=test_from, test_from_ns=test_from,
            test_to_ns=test_to, partial=end - middle < section.test_trades,
        )  # fmt: skip
        found.append((window, (begin, middle, end)))
        middle = end
    return tuple(found)


def _behind_equals(entry_ns: IntArray, place: int) -> int:
    """The place, or behind it the first that does not continue the entry instant before it."""
    if not 0 < place < len(entry_ns):
        return place
    return int(np.searchsorted(entry_ns, entry_ns[place - 1], side="right"))


@lru_cache(maxsize=64)
def _edges(windows: tuple[Window, ...]) -> IntArray:
    edges = [(each.train_from_ns, each.test_from_ns, each.test_to_ns) for each in windows]
    return np.array(edges, dtype=np.int64).reshape(-1, 3)


@lru_cache(maxsize=4096)
def _text(instant_ns: int) -> str:
    return format_instant(instant_ns)


def _row(trades: CandidateTrades, window: Window, places: Sequence[int], section: WalkforwardSection) -> dict[str, Any]:
    begin, middle, end = places
    entry, exits = trades.entry_ns[begin:middle], trades.exit_ns[begin:middle]
    kept = exits < window.test_from_ns
    purged = len(kept) - int(np.count_nonzero(kept))
    embargo = section.embargo
    if isinstance(embargo, str):
        embargo = int((exits - entry)[kept].max(initial=0))
    if embargo:
        kept[np.searchsorted(entry, max(window.test_from_ns - embargo, _EARLIEST)) :] = False
    train = trades.r_net[begin:middle][kept].tolist()
    test_r = total_r(trades.r_net[middle:end].tolist())
    label = "partial" if window.partial else "few" if end - middle < section.minimum_trades else "valid"
    return {
        "number": window.number,
        "train_from": _text(window.train_from_ns),
        "train_to": _text(window.train_to_ns),
        "test_from": _text(window.test_from_ns),
        "test_to": _text(window.test_to_ns),
        "train_trades": len(train),
        "purged": purged,
        "embargoed": middle - begin - purged - len(train),
        "train_r": total_r(train),
        "test_trades": end - middle,
        "test_r": test_r,
        "label": label,
        "positive": test_r is not None and test_r > 0,
    }


def _mean(rows: Sequence[dict[str, Any]], part: str) -> tuple[int, float | None, float | None]:
    """Trades, sum and mean of all trains or tests together."""
    count = sum(each[f"{part}_trades"] for each in rows)
    sums = [each[f"{part}_r"] for each in rows]
    total = None if None in sums else total_r(sums)
    return count, total, figure(total / count) if count and total is not None else None


def judged_windows(rows: Sequence[dict[str, Any]], section: WalkforwardSection) -> PhaseResult:
    """What all windows together have to show; see `stability`, whose plain dicts these are."""
    valid = [each for each in rows if each["label"] == "valid"]
    positive = sum(each["positive"] for each in valid)
    partial = sum(each["label"] == "partial" for each in rows)
    few = len(rows) - len(valid) - partial
    asked = needed(section.positive_share, len(valid))
    test_trades, test_r, expectancy = _mean(valid, "test")
    train_trades, train_r, train_expectancy = _mean(valid, "train")
    efficiency = None
    if test_r is not None and test_trades and train_r is not None and train_r > 0:
        efficiency = figure(test_r * train_trades / (test_trades * train_r))
    wrong = []
    if len(valid) < section.valid_windows:
        wrong.append(
            f"expected at least {section.valid_windows} valid windows, found {len(valid)} of {len(rows)} "
            f"({partial} partial, {few} with fewer than {section.minimum_trades} trades)"
        )
    if positive < asked:
        share = f"{section.positive_share * 100:g} %"
        wrong.append(f"expected at least {asked} of {len(valid)} valid windows positive ({share}), found {positive}")
    if valid and (expectancy is None or not expectancy > section.expectancy_above):
        bound, found = section.expectancy_above, found_text(expectancy, section.expectancy_above)
        wrong.append(f"expected a mean R out of sample above {bound:g}, found {found} over {test_trades} trades")
    figures = (
        ("windows", len(rows)), ("valid", len(valid)), ("positive", positive), ("needed", asked),
        ("partial", partial), ("few", few), ("test_trades", test_trades), ("test_r", test_r),
        ("test_mean_r", expectancy), ("train_trades", train_trades), ("train_r", train_r),
        ("train_mean_r", train_expectancy), ("efficiency", efficiency),
    )  # fmt: skip
    return result("stability", wrong, figures)
