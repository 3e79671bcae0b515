"""The naive ledger with everything else that an order can be: groups, parents, levels that follow, limits after
triggers, orders that end by themselves, and a spread that is wider for a while. As naive as the rest of it.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from tests.brokers.naive_ledger import NaiveLedger
from tests.brokers.naive_records import Bar, Paper, Stock

__all__ = ["NEVER", "LinkedLedger"]

#: A minute at which nothing happens any more: from then on counts what sleeps.
NEVER = Fraction(10**6)
#: So much later than an instant that what happens at the instant itself is over.
JUST_AFTER = Fraction(1, 10**9)


class LinkedLedger(NaiveLedger):
    """See the module's text.

    Args:
        wide: when spreads are wider: symbol (all with an empty one), from minute, to minute, how many times.
    """

    def __init__(
        self, symbols: tuple[str, ...], *, wide: Sequence[tuple[str, Fraction, Fraction, int]], **more: Any
    ) -> None:
        super().__init__(symbols, **more)
        self.wide = wide
        self.opened = dict.fromkeys(symbols, Fraction(-1))
        self.is_open = False
        self.sent_to: dict[tuple[str, Fraction], tuple[str, bool]] = {}

    # -- the spread ----------------------------------------------------------------------------------------------------

    def half_of(self, symbol: str) -> Fraction:
        """See `NaiveLedger.half_of`: that of the bar which gave the mark."""
        opened = self.opened[symbol]
        times = [n for name, start, end, n in self.wide if name in ("", symbol) and opened < end and opened + 1 > start]
        return self.half * max(times, default=1)

    def show(self, symbol: str, price: Fraction, opened: Fraction) -> None:
        """See `NaiveLedger.show`."""
        self.mark[symbol], self.opened[symbol] = price, opened

    # -- what is asked -------------------------------------------------------------------------------------------------

    def place(self, paper: Paper) -> str:
        """See `NaiveLedger.place`; a child sleeps, and of a group the stops come before the limits."""
        if any(each.name == paper.name for each in self.working(paper.symbol)):
            return "duplicate_id"
        if paper.parent and self.parent_of(paper) is None:
            return "no_parent"
        code = super().place(paper)
        if code:
            return code
        paper.arrives = paper.counts_from
        if paper.parent:
            paper.counts_from = NEVER
        elif paper.trail is not None and paper.arrives == paper.placed:
            paper.price = paper.trail.behind(self.judged_at(paper), -paper.sign)
        limits = [
            each for each in self.working(paper.symbol)
            if paper.group and each.group == paper.group and each.kind == "limit"
            and (not each.at_once or each.counts_from == NEVER)
        ]  # fmt: skip
        if limits and paper.kind not in ("market", "limit"):
            self.papers.remove(paper)
            parent = self.parent_of(paper)
            before = min(i for i, each in enumerate(self.papers) if each in limits)
            after = 0 if parent is None or parent.kind == "market" else self.papers.index(parent) + 1
            self.papers.insert(max(before, after), paper)
        return ""

    def parent_of(self, paper: Paper) -> Paper | None:
        """The order that another one waits for."""
        own = [each for each in self.working(paper.symbol) if paper.parent and each.name == paper.parent]
        return own[0] if own else None

    def judged_at(self, paper: Paper) -> Fraction:
        """See `NaiveLedger.judged_at`: of a child it is its parent's price, where that has one."""
        parent = self.parent_of(paper)
        return super().judged_at(paper) if parent is None or parent.price is None else parent.price

    def objection(self, paper: Paper) -> str:
        """See `NaiveLedger.objection`; what was triggered is judged as the limit order that it is."""
        before = paper.kind, paper.triggered
        if paper.triggered:
            paper.kind, paper.triggered = "limit", False
        code = super().objection(paper)
        paper.kind, paper.triggered = before
        return code

    def modify(self, name: str, price: Fraction, volume: Fraction, now: Fraction, inside: bool) -> str:
        """See `NaiveLedger.modify`; what follows the price has no price to change."""
        paper = self.find(name)
        if paper is not None and paper.trail is not None:
            return "volume" if volume <= 0 else "unused_price"
        if paper is not None:
            self.sent_to[name, now] = paper.kind, paper.triggered
        return super().modify(name, price, volume, now, inside)

    def change(self, paper: Paper, price: Fraction, volume: Fraction, at: Fraction) -> None:
        """See `NaiveLedger.change`; what was meant for a trigger does not change the limit that it has become."""
        if self.sent_to[paper.name, at] == (paper.kind, paper.triggered):
            if paper.triggered:
                paper.kind, paper.triggered = "limit", False
            super().change(paper, price, volume, at)

    # -- orders that end, and what hangs on them -----------------------------------------------------------------------

    def end(self, paper: Paper, state: str, now: Fraction) -> None:
        """See `NaiveLedger.end`; whoever waits for an order that did nothing ends with it."""
        paper.state = state
        for child in self.children_of(paper):
            if paper.filled:
                self.wake(child, now, now)
            else:
                self.end(child, "cancelled parent", now)

    def children_of(self, paper: Paper) -> list[Paper]:
        """Those that wait for an order."""
        asleep = [each for each in self.papers if each.is_working and each.counts_from == NEVER]
        return [each for each in asleep if each.parent == paper.name and each.symbol == paper.symbol]

    def wake(self, child: Paper, now: Fraction, since: Fraction) -> None:
        """The rest of the bar is the child's after a fill at its open; what takes its first price waits for one."""
        begins = since if self.is_open else now
        if child.at_once:
            begins = now if since != now else now + JUST_AFTER
        child.counts_from = max(begins, child.arrives)
        if child.reduce and child.position is None:
            stocks = [] if self.hedging else self.stocks(child.symbol)
            child.position = stocks[0].name if stocks else child.parent

    def closes(self, now: Fraction, bars: dict[str, Bar | None]) -> None:
        """See `NaiveLedger.closes`; a close ends what rests and is over, before anything else that ends then."""
        super().closes(now, bars)
        for paper in list(self.papers):
            rests = not paper.at_once or paper.counts_from == NEVER
            if rests and bars[paper.symbol] is not None:
                self.end_in_time(paper, now)

    def cancellations(self, now: Fraction, under_way: set[str]) -> None:
        """See `NaiveLedger.cancellations`; the same for the orders whose time is over."""
        for symbol in self.symbols:
            # Market orders end before others, oldest first; one that sleeps waits for no price, so it rests like these.
            papers = [each for each in self.papers if each.symbol == symbol]
            for paper in sorted(papers, key=lambda each: not each.at_once or each.counts_from == NEVER):
                if paper.at_once or symbol not in under_way:
                    self.end_in_time(paper, now)

    def end_in_time(self, paper: Paper, now: Fraction) -> None:
        """End an order whose cancellation has arrived, or whose time is over."""
        if paper.is_working and paper.cancel_at is not None and paper.cancel_at <= now:
            self.end(paper, "cancelled cancelled", now)
        elif paper.is_working and paper.expires is not None and paper.expires <= now:
            self.end(paper, "expired expired", now)

    def fill(self, paper: Paper, quote: Fraction, now: Fraction, since: Fraction, *, slips: bool) -> Stock | None:
        """See `NaiveLedger.fill`; the others of its group end, and those that waited for it wake."""
        if paper.at_once and paper.expires is not None and paper.expires <= now:
            self.end(paper, "expired expired", now)  # what ends at an instant ends before anything opens then
            return None
        if paper.at_once and paper.price is not None:  # a limit that takes its first price, and nothing worse
            slips = False
            if paper.sign * (quote - paper.price) > 0:
                self.end(paper, f"cancelled {paper.immediate}", now)
                return None
        before = len(self.done)
        stock = super().fill(paper, quote, now, since, slips=slips)
        done = self.done[before:]
        opened = any(each.kind == "entry" for each in done)
        paper.filled = opened or (bool(done) and not (paper.reverse and not paper.reduce))
        if paper.state != "filled":
            self.after(paper, now, since)
        if done and paper.group:
            for other in list(self.working(paper.symbol)):
                if other.group == paper.group and other.is_working:
                    self.end(other, "cancelled group", now)
        if paper.state == "filled":
            self.after(paper, now, since)
        return stock

    def after(self, paper: Paper, now: Fraction, since: Fraction) -> None:
        """An order has ended by what it did, or could not do."""
        for child in self.children_of(paper):
            if paper.filled:
                self.wake(child, now, since)
            else:
                self.end(child, "cancelled parent", now)

    # -- bars ----------------------------------------------------------------------------------------------------------

    def gets_open(self, paper: Paper, quote: Fraction) -> bool:
        """See `NaiveLedger.gets_open`; a level that follows may only move, and a trigger make a limit."""
        self.is_open = True
        if paper.trail is not None:
            if paper.price is not None and paper.sign * (quote - paper.price) >= 0:
                return True
            self.follow(paper, quote - paper.sign * self.half_of(paper.symbol))
            return False
        if paper.kind == "stop_limit" and not paper.triggered:
            paper.triggered = super().gets_open(paper, quote)
            return paper.triggered and paper.sign * (quote - (paper.limit or 0)) <= 0
        return super().gets_open(paper, quote)

    def leave_at_open(self, stock: Stock, opening: Fraction, now: Fraction) -> None:
        """See `NaiveLedger.leave_at_open`; what is still held is followed."""
        before = len(self.done)
        super().leave_at_open(stock, opening, now)
        if len(self.done) == before:
            self.follow(stock, opening)

    def inside(self, symbol: str, bar: Bar, now: Fraction) -> None:
        """See `NaiveLedger.inside`."""
        self.is_open = False
        super().inside(symbol, bar, now)

    def comes_to(self, paper: Paper, bar: Bar) -> bool:
        """See `NaiveLedger.comes_to`; what moves is always concerned."""
        return paper.trail is not None or super().comes_to(paper, bar)

    def leave_inside(self, stock: Stock, bar: Bar, now: Fraction) -> None:
        """See `NaiveLedger.leave_inside`; after the adverse extreme the stop follows the favourable one."""
        if any(self.reaches(stock, bar)):
            super().leave_inside(stock, bar, now)
        else:
            self.follow_to_close(stock, bar[1] if stock.volume > 0 else bar[2], bar, now)

    def follow_to_close(self, stock: Stock, shown: Fraction, bar: Bar, now: Fraction) -> None:
        """A stop follows a price of the bar, and the close is tested against it."""
        way, guard = (1 if stock.volume > 0 else -1), self.guards[stock.name]
        moved = self.follow(stock, shown)
        if moved and guard.stop is not None and way * (self.leaving(stock, bar[3]) - guard.stop) <= 0:
            self.leave(stock, "stop", guard.stop, now)

    def fill_inside(self, paper: Paper, bar: Bar, now: Fraction) -> None:
        """See `NaiveLedger.fill_inside`; where it fills, and whether the favourable extreme certainly comes after."""
        half, sign = self.half_of(paper.symbol), paper.sign
        price, certain, close = paper.level or Fraction(0), not paper.is_limit, bar[3] + sign * half
        if paper.trail is not None and not super().comes_to(paper, bar):
            moved = self.follow(paper, bar[2] if sign > 0 else bar[1])
            price, certain = paper.price or Fraction(0), False
            if not moved or sign * (close - price) < 0:
                return
        if paper.kind == "stop_limit" and not paper.triggered:
            paper.triggered = True
            limit = paper.limit or Fraction(0)
            if sign * (limit - price) < 0:  # it has to come back, and only the close proves that it did
                price, certain = limit, False
                if not self.through(sign * (limit - close)):
                    return
        opened = self.fill(paper, price, now, now - 1, slips=paper.slips)
        if opened is None:
            return
        name, before = opened.name, len(self.done)
        self.after_entry(opened, price, bar, now, certain=certain)
        if len(self.done) == before and any(each.name == name for each in self.stocks()):
            favourable = bar[1] if opened.volume > 0 else bar[2]
            self.follow_to_close(opened, favourable if certain else bar[3], bar, now)

    def follow(self, what: Stock | Paper, shown: Fraction) -> bool:
        """See `NaiveLedger.follow`."""
        half = self.half_of(what.symbol)
        if isinstance(what, Stock):
            guard, way = self.guards[what.name], 1 if what.volume > 0 else -1
            if guard.trail is None:
                return False
            level = guard.trail.behind(shown - way * half, way)
            if guard.stop is not None and way * (level - guard.stop) <= 0:
                return False
            guard.stop, guard.kind = level, "trailing"
            return True
        if what.trail is None:
            return False
        level = what.trail.behind(shown + what.sign * half, -what.sign)
        if what.price is not None and what.sign * (level - what.price) >= 0:
            return False
        what.price = level
        return True
