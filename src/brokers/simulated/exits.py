"""Which stop or target of a position a bar reaches, and where it fills. Pure.

A gap fills at the open. Inside a bar the stop comes before the target unless the configured assumption says otherwise,
the entry bar included. Where the bar would have allowed another outcome, the fill is marked ambiguous with that
outcome's quote; where nothing was filled although another path would have filled something, the book remembers it.
"""

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.intrabar import Assumption, assumption_for
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.rules import FillRules
from src.brokers.simulated.trailing import follow
from src.core.book import Book
from src.core.records import Side

__all__ = ["exit_at_quote", "exit_inside", "exit_on_entry_bar"]


def exit_at_quote(
    ledger: Ledger, desk: Desk, book: Book, bid: float, ask: float, open_ns: int, when: Moment, rules: FillRules
) -> None:
    """Close a position whose stop or target lies at or beyond a quote: an open, or a quote that came."""
    stop, target = book.stop, book.target
    if book.volume > 0:
        quote = bid
        stopped = stop is not None and quote <= stop
        reached = target is not None and quote > target
    else:
        quote = ask
        stopped = stop is not None and quote >= stop
        reached = target is not None and quote < target
    if stopped:
        ledger.exit_book(desk, book, book.stop_kind, quote, when, slips=True)
    elif reached or (quote == target and rules.touched(f"{book.position_id}-target", open_ns)):
        ledger.exit_book(desk, book, "target", quote, when, slips=False)
    elif book.trail is not None:
        follow(book, desk.instrument, quote)


def exit_inside(ledger: Ledger, desk: Desk, book: Book, i: int, when: Moment, rules: FillRules) -> None:
    """Close a position that was held when bar `i` opened and whose stop or target lies inside the bar."""
    stopped, reached = _reach(desk, book, i, when, rules)
    stop, target = book.stop, book.target
    if book.trail is not None and not (reached and not stopped):
        _trail_inside(ledger, desk, book, i, when, rules, target if reached else None)
    elif stopped and stop is not None:
        if reached and target is not None and rules.intrabar != "worst" and _target_first(desk, book, i, rules):
            stopped_at = _stopped_at(ledger, desk, book, stop)
            ledger.exit_book(desk, book, "target", target, when, slips=False, other=stopped_at)
        else:
            other = target if reached else None
            ledger.exit_book(desk, book, book.stop_kind, stop, when, slips=True, other=other)
    elif reached and target is not None:
        ledger.exit_book(desk, book, "target", target, when, slips=False)


def exit_on_entry_bar(
    ledger: Ledger, desk: Desk, book: Book, entry: float, i: int, when: Moment, rules: FillRules, *,
    adverse_after: bool, favourable_after: bool,
) -> None:  # fmt: skip
    """Close a position that was entered or enlarged inside bar `i`, where the bar allows it.

    A stop inside the spread is in the market at once and gets the other side of the entry's quote.

    Args:
        entry: the quote of the entry.
        adverse_after, favourable_after: whether the bar's extreme on that side is certainly reached after the entry. A
            stop entry came from the side of its stop: the bar's adverse extreme may lie before it, the favourable one
            lies after it. A limit entry came from the other side, and it is the other way round.
    """
    long = book.volume > 0
    stopped, reached = _reach(desk, book, i, when, rules)
    last = desk.bids.close(i) if long else desk.asks.close(i)
    stop, target = book.stop, book.target
    exit_at_entry = desk.quotes.across(entry, ask=long)
    if stopped and stop is not None and (exit_at_entry <= stop if long else exit_at_entry >= stop):
        ledger.exit_book(desk, book, book.stop_kind, exit_at_entry, when, slips=True)  # no path of the bar avoids it
        return
    if reached and target is not None and (exit_at_entry > target if long else exit_at_entry < target):
        # A trigger that followed the price has gone beyond the target, which so gets the better price at once.
        ledger.exit_book(desk, book, "target", exit_at_entry, when, slips=False)
        return
    closed_beyond = False
    if reached and target is not None:
        beyond = last > target if long else last < target
        closed_beyond = beyond or (last == target and rules.touched(f"{book.position_id}-target", when.from_ns))
    stop_certain = adverse_after or (stop is not None and (last <= stop if long else last >= stop))
    target_certain = favourable_after or closed_beyond
    chosen = _choose(
        assumption_for(rules.intrabar, desk.bars, i, long=long), stopped=stopped, reached=reached,
        stop_certain=stop_certain, target_certain=target_certain, adverse_after=adverse_after,
        favourable_after=favourable_after,
    )  # fmt: skip
    if chosen == "stop" and stop is not None:
        other = target if reached else None if stop_certain else last
        if book.trail is not None and not reached:
            other = _followed_to(ledger, desk, book, i, other, stop)
        ledger.exit_book(desk, book, book.stop_kind, stop, when, slips=True, other=other)
    elif chosen == "target" and target is not None:
        if stopped and stop is not None:
            other = _stopped_at(ledger, desk, book, stop)
        else:
            other = None if target_certain else last
        ledger.exit_book(desk, book, "target", target, when, slips=False, other=other)
    else:
        if reached and target is not None:
            book.miss(target)
        elif stopped and stop is not None:
            book.miss(_stopped_at(ledger, desk, book, stop))
        if book.trail is not None:
            highest = desk.bids.high(i) if long else desk.asks.low(i)
            _trail_to_close(ledger, desk, book, highest if favourable_after else last, i, when)


def _choose(
    assumption: Assumption, *, stopped: bool, reached: bool, stop_certain: bool, target_certain: bool,
    adverse_after: bool, favourable_after: bool,
) -> str:  # fmt: skip
    """Which exit an entry bar gives under an assumption: `stop`, `target`, or nothing, as an empty word."""
    if assumption is Assumption.WORST:
        return "stop" if stopped else "target" if reached and target_certain else ""
    if assumption is Assumption.BEST:
        return "target" if reached else "stop" if stopped and stop_certain else ""
    if favourable_after:  # a stop entry: it happened on the way to the favourable extreme
        if reached:
            return "target"
        after = assumption is Assumption.FAVOURABLE_FIRST
        return "stop" if stopped and (stop_certain or after) else ""
    if adverse_after:  # a limit entry: it happened on the way to the adverse extreme
        if stopped:
            return "stop"
        after = assumption is Assumption.ADVERSE_FIRST
        return "target" if reached and (target_certain or after) else ""
    return "stop" if stopped and stop_certain else "target" if reached and target_certain else ""


def _reach(desk: Desk, book: Book, i: int, when: Moment, rules: FillRules) -> tuple[bool, bool]:
    """Whether bar `i` reaches the book's stop and its target."""
    stop, target = book.stop, book.target
    if book.volume > 0:
        favourable = desk.bids.high(i)
        stopped = stop is not None and desk.bids.low(i) <= stop
        reached = target is not None and favourable > target
    else:
        favourable = desk.asks.low(i)
        stopped = stop is not None and desk.asks.high(i) >= stop
        reached = target is not None and favourable < target
    if favourable == target and not reached:
        reached = rules.touched(f"{book.position_id}-target", when.from_ns)
    return stopped, reached


def _target_first(desk: Desk, book: Book, i: int, rules: FillRules) -> bool:
    assumption = assumption_for(rules.intrabar, desk.bars, i, long=book.volume > 0)
    return assumption in (Assumption.BEST, Assumption.FAVOURABLE_FIRST)


def _stopped_at(ledger: Ledger, desk: Desk, book: Book, stop: float) -> float:
    """What a stop would have brought that was not taken: it slips as one that is taken does."""
    side = Side.SELL if book.volume > 0 else Side.BUY
    return ledger.price_of(desk, side, stop, abs(book.volume), slips=True)


def _followed_to(
    ledger: Ledger, desk: Desk, book: Book, i: int, other: float | None, stop: float
) -> float | None:  # fmt: skip
    """The better outcome of a stop that was taken on the entry bar: the close, or where it would have followed to."""
    long = book.volume > 0
    sign = 1.0 if long else -1.0
    moved = book.trail.level(desk.bids.high(i) if long else desk.asks.low(i), sign, desk.instrument)
    if sign * (moved - stop) <= 0:
        return other
    moved = _stopped_at(ledger, desk, book, moved)
    return moved if other is None or sign * (moved - other) > 0 else other


def _trail_inside(
    ledger: Ledger, desk: Desk, book: Book, i: int, when: Moment, rules: FillRules, target: float | None
) -> None:
    """Work a stop that follows the price inside bar `i`; `target` is a target that the bar reaches as well."""
    long = book.volume > 0
    sign = 1.0 if long else -1.0
    favourable, adverse = (desk.bids.high(i), desk.bids.low(i)) if long else (desk.asks.low(i), desk.asks.high(i))
    stop, trail = book.stop, book.trail
    if trail is None or stop is None:
        return
    moved = trail.level(favourable, sign, desk.instrument)
    moved = moved if sign * (moved - stop) > 0 else stop
    first = rules.intrabar != "worst" and _target_first(desk, book, i, rules)
    if sign * (adverse - stop) <= 0:
        if target is not None and first:
            stopped_at = _stopped_at(ledger, desk, book, stop)
            ledger.exit_book(desk, book, "target", target, when, slips=False, other=stopped_at)
        elif first and moved != stop:
            stopped_at = _stopped_at(ledger, desk, book, stop)
            book.protect(stop=moved, target=None, kind="trailing")
            ledger.exit_book(desk, book, book.stop_kind, moved, when, slips=True, other=stopped_at)
        else:
            other = target
            if other is None and moved != stop:
                other = _stopped_at(ledger, desk, book, moved)
            ledger.exit_book(desk, book, book.stop_kind, stop, when, slips=True, other=other)
        return
    first = first and rules.intrabar == "path"
    _trail_to_close(ledger, desk, book, favourable, i, when, adverse=adverse, favourable_first=first)


def _trail_to_close(
    ledger: Ledger, desk: Desk, book: Book, quote: float, i: int, when: Moment, *, adverse: float | None = None,
    favourable_first: bool = False,
) -> None:  # fmt: skip
    """Let the stop follow a quote of bar `i`, and test the close against it; `adverse` may have come after the move."""
    if not follow(book, desk.instrument, quote) or book.stop is None:
        return
    long, level = book.volume > 0, book.stop
    last = desk.bids.close(i) if long else desk.asks.close(i)
    if last <= level if long else last >= level:
        ledger.exit_book(desk, book, book.stop_kind, level, when, slips=True)
    elif adverse is not None and (adverse <= level if long else adverse >= level):
        if favourable_first:  # the close lies beyond the level, so this is never the better outcome
            ledger.exit_book(desk, book, book.stop_kind, level, when, slips=True, other=last)
        else:
            book.miss(_stopped_at(ledger, desk, book, level))
