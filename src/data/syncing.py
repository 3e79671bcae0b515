"""Bringing a store up to date from a source: asks for what nobody has answered yet, and for nothing else.

Runs in the thread that owns the store, which waits for the source. What has been answered is the store's sync log and
not the first and last bar: a hole in the middle is asked for like an end, and a window in which the source has nothing
is not asked for twice. A page of bars and its line in the log are one transaction, so that a kill between any two
moments loses at most one page and the next sync goes on behind it. Only bars that have closed by the source's clock are
stored. Reads no clock of its own.

Where bars begin is not assumed: weeks may begin on any day and days at any hour. So everything up to the last minute at
which a bar that has closed can have opened is asked for, and nothing behind it counts as answered.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from src.core.bars import BarSeries, IntArray
from src.core.errors import ConfigError
from src.core.timeframe import HOUR_NS, MINUTE_NS, format_duration, format_instant
from src.data.faults import bar_text, is_possible
from src.data.resample import freeze
from src.data.sources.port import BarSource, FundingSource, SourceSymbol
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, columns_of, least_step_ns, merge_windows
from src.data.synthetic import SOURCE_PREFIX
from src.data.tapes import FUNDING, RateTape
from src.data.windows import Window, paged, without

__all__ = ["FUNDING", "SyncReport", "answered_windows", "needed_windows", "sync_bars", "sync_funding"]

# So much funding is one transaction: a rate every hour for 40 days.
_FUNDING_PAGE_NS = 40 * 24 * HOUR_NS
# A rate may be published some time after it fell due: what is younger is asked for again by the next sync.
_FUNDING_LATE_NS = 8 * HOUR_NS

OnPage = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What one sync of one series did.

    Attributes:
        timeframe_ns: 0 for funding rates.
        start_ns, end_ns: the window that is stored now; it ends where the source has not closed a bar yet.
        asked: the windows that were asked for, in time order; empty when everything was there.
        pages: how many transactions that were.
        received: bars that the source had in them.
        written: those of them that are new in the store.
        refused: sentences about bars that cannot be right and were left out.
    """

    symbol: str
    timeframe_ns: int
    source: str
    start_ns: int
    end_ns: int
    asked: tuple[Window, ...]
    pages: int
    received: int
    written: int
    refused: tuple[str, ...] = ()


def answered_windows(
    store: HistoricalDataStore, symbol: str, timeframe_ns: int, source: str, price_side: str = "trade"
) -> list[Window]:
    """The windows that the source has answered and whose answers are still there.

    A window in which less is stored than was stored then has lost something, and does not count.
    """
    entries = store.sync_entries(symbol, timeframe_ns, source)
    if not entries:
        return []
    stamps = _stored_stamps(store, symbol, timeframe_ns, price_side)
    answered: list[Window] = []
    for start_ns, end_ns, bars in entries:  # the later one counts: a window may have been asked for again
        first, last = np.searchsorted(stamps, [start_ns, end_ns])
        window = [(start_ns, end_ns)]
        answered = merge_windows([*answered, *window]) if last - first >= bars else without(answered, window)
    return answered


def needed_windows(
    store: HistoricalDataStore, symbol: str, timeframe_ns: int, source: str, start_ns: int, end_ns: int,
    price_side: str = "trade",
) -> list[Window]:  # fmt: skip
    """What of `[start_ns, end_ns)` the source has to be asked for, in time order."""
    return without([(start_ns, end_ns)], answered_windows(store, symbol, timeframe_ns, source, price_side))


def sync_bars(
    store: HistoricalDataStore,
    source: BarSource,
    symbol: str,
    timeframe_ns: int,
    start_ns: int,
    end_ns: int | None = None,
    *,
    again: bool = False,
    on_page: OnPage | None = None,
) -> SyncReport:
    """Store the closed bars of a window that are not there yet, a page at a time.

    Args:
        store: open for writing.
        symbol: the name under which the bars are stored; the source may know it by another.
        start_ns, end_ns: bars that open in `[start_ns, end_ns)`; until now without an end.
        again: ask for the whole window, also where the source has answered: it may have more by now.
        on_page: called before the first page and after each with the nanoseconds answered and those to answer.

    Returns:
        What was done. Doing it again asks for nothing but what has closed since.

    Raises:
        ConfigError: the source has no such symbol or timeframe, or the window is empty.
        DataError: another source is stored, or a stored bar comes again with other numbers.
        BrokerUnavailable: the source did not answer; the pages before are stored.
    """
    about = source.symbol(symbol)
    _refuse_other_market(store, source, about)
    closed_ns = source.now_ns()
    start_ns = _minute_above(start_ns)
    last_ns = (closed_ns - timeframe_ns) // MINUTE_NS * MINUTE_NS + MINUTE_NS  # what opens before it has closed
    end_ns = last_ns if end_ns is None else min(_minute_above(end_ns), last_ns)
    _refuse_nothing(symbol, format_duration(timeframe_ns), start_ns, end_ns, closed_ns)
    is_held = getattr(source, "is_held", False)
    answered: list[Window] = []
    if not again and not is_held:
        answered = answered_windows(store, symbol, timeframe_ns, source.name, about.price_side)
    needed = without([(start_ns, end_ns)], answered)
    total_ns = sum(stop_ns - begin_ns for begin_ns, stop_ns in needed)
    done_ns = pages = received = written = 0
    refused: list[str] = []
    if on_page is not None:
        on_page(0, total_ns)
    try:
        for begin_ns, stop_ns in paged(needed, source.page_bars * timeframe_ns):
            pieces = list(source.bars(symbol, timeframe_ns, begin_ns, stop_ns))
            series = _joined(symbol, timeframe_ns, about.price_side, pieces, closed_ns, refused)
            known_ns = _known_to(series, stop_ns) if stop_ns == last_ns else stop_ns
            with store.transaction():
                if series.loaded:
                    if store.read_instrument(symbol) is None and about.defaults:
                        store.write_instrument(symbol, about.kind, about.defaults)
                    written += store.write_bars(series, source=source.name, kind=about.kind, in_order=False)
                if not is_held:
                    store.log_sync(symbol, timeframe_ns, source.name, begin_ns, known_ns, series.loaded)
            done_ns += stop_ns - begin_ns
            pages += 1
            received += series.loaded
            if on_page is not None:
                on_page(done_ns, total_ns)
    finally:
        # Pages before stored bars lie where they came. A process that dies before this leaves that to the next sync.
        store.put_in_order(symbol, timeframe_ns, about.price_side)
    return SyncReport(
        symbol=symbol, timeframe_ns=timeframe_ns, source=source.name, start_ns=start_ns,
        end_ns=_last_close(store, symbol, timeframe_ns, about.price_side, end_ns) if end_ns == last_ns else end_ns,
        asked=tuple(needed), pages=pages, received=received, written=written, refused=tuple(refused),
    )  # fmt: skip


def sync_funding(
    store: HistoricalDataStore,
    source: FundingSource,
    symbol: str,
    start_ns: int,
    end_ns: int | None = None,
    *,
    again: bool = False,
    on_page: OnPage | None = None,
) -> SyncReport:
    """Store the funding rates that fell due in a window and are not there yet; otherwise like `sync_bars`.

    The last eight hours count as not answered, because a rate may be published late: they are asked for each time.
    """
    source.symbol(symbol)
    now_ns = source.now_ns()
    end_ns = now_ns if end_ns is None else min(end_ns, now_ns)
    _refuse_nothing(symbol, "funding", start_ns, end_ns, now_ns)
    needed = [(start_ns, end_ns)]
    if not again:
        needed = needed_windows(store, symbol, FUNDING, source.name, start_ns, end_ns)
    total_ns = sum(stop_ns - begin_ns for begin_ns, stop_ns in needed)
    done_ns = pages = received = written = 0
    if on_page is not None:
        on_page(0, total_ns)
    for begin_ns, stop_ns in paged(needed, _FUNDING_PAGE_NS):
        found = list(source.funding(symbol, begin_ns, stop_ns))
        stamps = np.concatenate([np.empty(0, np.int64), *(page.ts_ns for page in found)])
        rates = np.concatenate([np.empty(0), *(page.rate for page in found)])
        settled_ns = min(stop_ns, now_ns - _FUNDING_LATE_NS)
        with store.transaction():
            written += _write_rates(store, RateTape(symbol=symbol, ts_ns=stamps, rate=rates), source.name)
            if begin_ns < settled_ns:
                settled = int(np.count_nonzero(stamps < settled_ns))
                store.log_sync(symbol, FUNDING, source.name, begin_ns, settled_ns, settled)
        done_ns += stop_ns - begin_ns
        pages += 1
        received += len(stamps)
        if on_page is not None:
            on_page(done_ns, total_ns)
    return SyncReport(
        symbol=symbol, timeframe_ns=FUNDING, source=source.name, start_ns=start_ns, end_ns=end_ns,
        asked=tuple(needed), pages=pages, received=received, written=written,
    )  # fmt: skip


def _write_rates(store: HistoricalDataStore, tape: RateTape, source: str) -> int:
    """Store those rates that are not stored yet, also between stored ones; how many that were."""
    if not len(tape):
        return 0
    if not any(one.symbol == tape.symbol and one.kind == "funding" for one in store.list_tapes()):
        return store.write_funding(tape, source=source)
    stored = store.read_funding(tape.symbol)
    store.write_funding(_part(tape, np.empty(0, np.int64)), source=source)  # refuses another source
    place = np.searchsorted(stored.ts_ns, tape.ts_ns)
    at = np.minimum(place, len(stored) - 1)
    rows = np.flatnonzero((stored.ts_ns[at] != tape.ts_ns) | (stored.rate[at] != tape.rate))
    # A tape takes a span that holds no other events; a rate that is stored with another number is refused by it.
    runs = np.split(rows, np.flatnonzero(np.diff(place[rows])) + 1)
    return sum(store.write_funding(_part(tape, run), source=source) for run in runs)


def _part(tape: RateTape, rows: IntArray) -> RateTape:
    return RateTape(symbol=tape.symbol, ts_ns=tape.ts_ns[rows], rate=tape.rate[rows])


def _stored_stamps(store: HistoricalDataStore, symbol: str, timeframe_ns: int, price_side: str) -> IntArray:
    if timeframe_ns == FUNDING:
        if not any(one.symbol == symbol and one.kind == "funding" for one in store.list_tapes()):
            return np.empty(0, np.int64)
        return store.read_funding(symbol).ts_ns
    key = (symbol, timeframe_ns, price_side)
    if not any((one.symbol, one.timeframe_ns, one.price_side) == key for one in store.list_series()):
        return np.empty(0, np.int64)
    # Each once: a bar that is there twice makes up for none that is lost.
    return np.unique(store.read_bars(symbol, timeframe_ns, price_side=price_side).open_ns)


def _joined(
    symbol: str, timeframe_ns: int, price_side: str, pieces: list[BarSeries], closed_ns: int, refused: list[str]
) -> BarSeries:
    """The closed and possible bars of the pieces as one series; sentences about the impossible go to `refused`."""
    columns = {
        name: np.concatenate([np.empty(0, np.int64 if name == "open_ns" else np.float64), *parts])
        for name in COLUMNS
        for parts in [[columns_of(piece)[name] for piece in pieces]]
    }
    keep = columns["open_ns"] + timeframe_ns <= closed_ns
    columns = {name: column[keep] for name, column in columns.items()}
    possible = is_possible(columns)
    for row in np.flatnonzero(~possible).tolist():
        at = format_instant(int(columns["open_ns"][row]))
        refused.append(f"{symbol} {format_duration(timeframe_ns)}: no bar can be {at} {bar_text(columns, row)}")
    stamps, *values = freeze(*(np.ascontiguousarray(columns[name][possible]) for name in COLUMNS))
    return BarSeries(symbol, timeframe_ns, stamps, *values, price_side=price_side)


def _known_to(series: BarSeries, stop_ns: int) -> int:
    """Up to where a page answers that ends where bars are still forming: its last bar leaves no room for another."""
    if not series.loaded:
        return stop_ns
    return max(stop_ns, int(series.open_ns[-1]) + least_step_ns(series.timeframe_ns))


def _last_close(store: HistoricalDataStore, symbol: str, timeframe_ns: int, price_side: str, end_ns: int) -> int:
    """The close of the bar that lies over the end of a window, or the end itself."""
    key = (symbol, timeframe_ns, price_side)
    for one in store.list_series():
        if (one.symbol, one.timeframe_ns, one.price_side) == key and one.last_ns < end_ns:
            return max(end_ns, one.last_ns + timeframe_ns)
    return end_ns


def _minute_above(instant_ns: int) -> int:
    return -(-instant_ns // MINUTE_NS) * MINUTE_NS


def _refuse_other_market(store: HistoricalDataStore, source: BarSource, about: SourceSymbol) -> None:
    """Refuse generated bars of another class or calendar than those that are stored: they are another market's."""
    if not source.name.startswith(SOURCE_PREFIX):
        return
    stored = store.read_instrument(about.symbol)
    if stored is None or all(one.source != source.name for one in store.list_series() if one.symbol == about.symbol):
        return
    there, wanted = ((one.get("kind"), one.get("calendar")) for one in (stored, about.defaults))
    if there != wanted:
        raise ConfigError(
            f"{about.symbol}: expected kind {there[0]} and calendar {there[1]}, as its stored bars from {source.name} "
            f"were generated, found kind {wanted[0]} and calendar {wanted[1]}; ask for what is stored, or delete "
            f"it first",
            symbol=about.symbol,
        )


def _refuse_nothing(symbol: str, what: str, start_ns: int, end_ns: int, closed_ns: int) -> None:
    if end_ns <= start_ns:
        raise ConfigError(
            f"{symbol} {what}: expected a window that begins before it ends and before now, found "
            f"{format_instant(start_ns)} to {format_instant(end_ns)}; the source's clock says "
            f"{format_instant(closed_ns)}",
            symbol=symbol,
        )  # fmt: skip
