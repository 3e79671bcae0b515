"""A naive, slow venue and ledger, written from the rules alone, against which the simulated one is held.

Everything is a fraction, so nothing is ever rounded. Nothing is remembered that can be worked out: what is held, its
average price, the balance, the equity and the margin are found by going through all executions again, each time they
are asked for. Time is in minutes; bars are one minute long. It imports nothing of the product.
"""

from copy import copy, deepcopy
from fractions import Fraction
from math import ceil

from tests.brokers import naive_margin
from tests.brokers.naive_records import Bar, Execution, Guard, Paper, Stock, Tie
from tests.brokers.naive_walker import Walker

__all__ = ["NaiveLedger"]


class NaiveLedger:
    """See the module's text.

    Args:
        symbols: in the order in which the venue works them.
        half: half the spread, on each side of a trade price.
        slip: price units by which market and stop orders are worse.
        fee: share of the notional.
        latency: minutes from a request to the moment at which it counts.
        stop_out: the share of the margin at or below which equity no longer carries the positions.
        pairs: for a symbol whose profit is money of another currency, the symbol that is its price in the account's.
    """

    def __init__(
        self, symbols: tuple[str, ...], *, cash: Fraction, half: Fraction, slip: Fraction, fee: Fraction,
        leverage: Fraction, touch: bool, hedging: bool, latency: Fraction, pairs: dict[str, str] | None = None,
        stop_out: Fraction | None = None,
    ) -> None:  # fmt: skip
        self.symbols, self.cash, self.half, self.slip, self.fee = symbols, cash, half, slip, fee
        self.leverage, self.touch, self.hedging, self.latency = leverage, touch, hedging, latency
        self.pairs = pairs or {}
        self.stop_out = stop_out
        self.slippage = slip
        self.tries = False
        self.mark = dict.fromkeys(symbols, Fraction(100))
        self.papers: list[Paper] = []
        self.done: list[Execution] = []
        self.guards: dict[str, Guard] = {}

    # -- what there is, worked out anew each time --------------------------------------------------------------------

    def stocks(self, symbol: str | None = None) -> list[Stock]:
        """What is held, in the order in which it was opened."""
        found: dict[str, Stock] = {}
        for each in self.done:
            stock = found.get(each.position)
            if stock is None:
                found[each.position] = Stock(each.position, each.symbol, each.signed, each.price)
                continue
            if stock.volume * each.signed > 0:
                worth = abs(stock.volume) * stock.average + abs(each.signed) * each.price
                stock.average = worth / (abs(stock.volume) + abs(each.signed))
            stock.volume += each.signed
        return [each for each in found.values() if each.volume != 0 and symbol in (None, each.symbol)]

    def balance(self) -> Fraction:
        """The money of the beginning, and what the executions brought and cost."""
        return self.cash + sum((each.profit - each.fee for each in self.done), Fraction(0))

    def equity(self) -> Fraction:
        """The balance and the profit of closing everything at the marks, at the middle of the rates."""
        total = self.balance()
        for each in self.stocks():
            gained = each.volume * (self.leaving(each, self.mark[each.symbol]) - each.average)
            total += gained * self.rate(each.symbol)
        return total

    def margin(self) -> Fraction:
        """What is tied up at the marks."""
        total = Fraction(0)
        for each in self.stocks():
            total += abs(each.volume) * self.mark[each.symbol] / self.leverage * self.rate(each.symbol)
        return total

    def rate(self, symbol: str, amount: Fraction | None = None) -> Fraction:
        """The account's money for one of a symbol's: the middle, or where an amount is changed the side that costs."""
        pair = self.pairs.get(symbol)
        if pair is None:
            return Fraction(1)
        if amount is None:
            return self.mark[pair]
        return self.mark[pair] - self.half_of(pair) if amount > 0 else self.mark[pair] + self.half_of(pair)

    def half_of(self, symbol: str) -> Fraction:
        """Half the spread of a symbol at its mark."""
        return self.half

    def leaving(self, stock: Stock, shown: Fraction) -> Fraction:
        """What closing gets when bars show a price."""
        half = self.half_of(stock.symbol)
        return shown - half if stock.volume > 0 else shown + half

    def working(self, symbol: str | None = None) -> list[Paper]:
        """The orders that can still fill: those of the market first, each in the order of placing."""
        live = [each for each in self.papers if each.is_working and symbol in (None, each.symbol)]
        return [each for each in live if each.at_once] + [each for each in live if not each.at_once]

    def held_against(self, paper: Paper) -> Stock | None:
        """The position that an order meets, None when there is none or it opens one of its own."""
        stocks = self.stocks(paper.symbol)
        if paper.position is not None:
            return next((each for each in stocks if each.name == paper.position), None)
        return None if self.hedging or not stocks else stocks[0]

    # -- what is asked -----------------------------------------------------------------------------------------------

    def place(self, paper: Paper) -> str:
        """Take an order, or say why not."""
        code = self.objection(paper)
        if not code:
            self.papers.append(paper)
        return code

    def objection(self, paper: Paper) -> str:
        """The code of the first rule that an order breaks, judged at the marks; empty when there is none."""
        sign, half, quote = paper.sign, self.half_of(paper.symbol), self.judged_at(paper)
        if paper.volume <= 0:
            return "volume"
        price = quote if paper.price is None else paper.price
        price = price if paper.trail is None else paper.trail.behind(quote, -sign)
        if price <= 0:
            return "price"
        if paper.kind in ("stop", "stop_limit") and sign * (price - quote) <= 0:
            return "stop_in_market"
        if paper.reduce:
            return ""
        # A limit that is in the market already gets the quote.
        entry = min(price * sign, quote * sign) * sign if paper.kind == "limit" else price
        if paper.stop is not None:
            if sign * (entry - paper.stop) <= 0:
                return "stop_side"
            if sign * (entry - sign * 2 * half - paper.stop) <= 0:
                return "stop_in_market"
        if paper.target is not None and sign * (paper.target - entry) <= 0:
            return "target_side"
        more = self.growth(paper)
        if more > 0:
            others = [each for each in self.working() if each is not paper and not each.reduce]
            reserved = sum((self.reserved(each) for each in others), Fraction(0))
            if self.exceeds(
                self.taken(paper.symbol, sign, more, price, price), self.equity() - self.margin() - reserved
            ):
                return "margin"
        return ""

    def judged_at(self, paper: Paper) -> Fraction:
        """The quote by which an order is judged."""
        return self.mark[paper.symbol] + paper.sign * self.half_of(paper.symbol)

    def reserved(self, paper: Paper) -> Fraction:
        """The margin that a working entry reserves, at its price or the last one."""
        price = self.mark[paper.symbol] if paper.price is None else paper.price
        return self.growth(paper) * price / self.leverage * self.rate(paper.symbol)

    def growth(self, paper: Paper) -> Fraction:
        """By how much a fill would enlarge what is held."""
        held = Fraction(0) if self.hedging else sum((s.volume for s in self.stocks(paper.symbol)), Fraction(0))
        if held * paper.sign >= 0:
            return paper.volume
        after = paper.volume if paper.reverse else paper.volume - abs(held)
        return max(Fraction(0), after - abs(held))

    def taken(self, symbol: str, sign: int, volume: Fraction, price: Fraction, quote: Fraction) -> Fraction:
        """What a fill takes from the free margin: its margin, its fee, and what leaving at once would cost."""
        half = self.half_of(symbol)
        shown = quote - sign * half
        lost = abs(price - (shown - sign * half))
        each = max(price, shown) / self.leverage + price * self.fee + lost
        return volume * each * self.rate(symbol)

    def exceeds(self, need: Fraction, free: Fraction) -> bool:
        """Whether there is too little; a difference that floats cannot show ends the story."""
        if self.tries:  # what is only thought through has all the money that it needs
            return False
        if abs(need - free) < Fraction(1, 10**9):
            raise Tie
        return need > free

    def cancel(self, name: str, now: Fraction, inside: bool) -> str:
        """End an order, now or when the request arrives; a bar under way on which it counts may still fill it."""
        paper = self.find(name)
        if paper is None:
            return "not_working"
        if self.latency or (inside and not paper.at_once and paper.counts_from <= ceil(now) - 1):
            paper.cancel_at = now + self.latency if paper.cancel_at is None else paper.cancel_at
        else:
            self.end(paper, "cancelled cancelled", now)
        return ""

    def end(self, paper: Paper, state: str, now: Fraction) -> None:
        """An order ends without a further fill."""
        paper.state = state

    def modify(self, name: str, price: Fraction, volume: Fraction, now: Fraction, inside: bool) -> str:
        """Change a resting order, which is judged as a new one in its place; on a bar under way it works as it was."""
        paper = self.find(name)
        if paper is None or paper.at_once:
            return "not_working"
        before = paper.price, paper.volume
        paper.price, paper.volume = price, volume
        code = self.objection(paper)
        ends = [each for each in (paper.cancel_at, paper.expires) if each is not None and each <= now]
        if not code and not ends:  # what is over by then is not changed any more
            paper.coming.append((now, price, volume))
        paper.price, paper.volume = before
        if not inside or paper.counts_from > ceil(now) - 1:
            self.land(paper, now)
        return code

    def protect(
        self, position: str, stop: Fraction | None, target: Fraction | None, now: Fraction, inside: bool
    ) -> str:
        """Move stop and target: at once, or later when the request is under way or a bar is."""
        stock = next((each for each in self.stocks() if each.name == position), None)
        if stock is None:
            return "no_position"
        way, quote = (1 if stock.volume > 0 else -1), self.leaving(stock, self.mark[stock.symbol])
        for price in (stop, target):
            if price is not None and price <= 0:
                return "price"
        if stop is not None and way * (quote - stop) <= 0:
            return "stop_in_market"
        if target is not None and way * (target - quote) <= 0:
            return "target_in_market"
        guard = self.guards[position]
        guard.coming.append((now + self.latency, stop, target))
        if not self.latency and not inside:
            self.arrive(stock.symbol, now)
        return ""

    def find(self, name: str) -> Paper | None:
        """A working order by name."""
        return next((each for each in self.papers if each.name == name and each.is_working), None)

    # -- time --------------------------------------------------------------------------------------------------------

    def cancellations(self, now: Fraction, under_way: set[str]) -> None:
        """End the orders whose cancellation has arrived; the close of a bar that is under way ends resting ones."""
        for paper in self.papers:
            waits_for_close = not paper.at_once and paper.symbol in under_way
            if paper.is_working and paper.cancel_at is not None and paper.cancel_at <= now and not waits_for_close:
                self.end(paper, "cancelled cancelled", now)

    def opens(self, now: Fraction, bars: dict[str, Bar | None]) -> None:
        """Bars open: the market orders that count get the price; a pair that converts is known at its open too."""
        waiting = {
            symbol: [each for each in self.working(symbol) if each.at_once and each.counts_from <= now]
            for symbol in self.symbols
            if bars[symbol] is not None
        }
        for pair in self.pairs.values() if any(waiting.values()) else ():
            opening = bars[pair]
            if opening is not None:
                self.show(pair, opening[0], now)
        for symbol, papers in waiting.items():
            bar = bars[symbol]
            if bar is not None and papers:
                self.show(symbol, bar[0], now)
                for paper in papers:
                    if paper.is_working:
                        self.fill(paper, bar[0] + paper.sign * self.half_of(symbol), now, now, slips=True)

    def show(self, symbol: str, price: Fraction, opened: Fraction) -> None:
        """A bar that opened at a minute shows a price."""
        self.mark[symbol] = price

    def closes(self, now: Fraction, bars: dict[str, Bar | None]) -> None:
        """Bars end: all opens, then the inside of each, then the closes are the marks."""
        ended = {symbol: bar for symbol in self.symbols if (bar := bars[symbol]) is not None}
        began = now - 1
        for symbol, bar in ended.items():
            self.show(symbol, bar[0], began)
        for symbol, bar in ended.items():
            self.arrive(symbol, began)
            for stock in self.stocks(symbol):
                self.leave_at_open(stock, bar[0], now)
            for paper in [each for each in self.papers if each.symbol == symbol]:
                quote = bar[0] + paper.sign * self.half_of(symbol)
                if self.rests(paper, began) and self.gets_open(paper, quote):
                    opened = self.fill(paper, quote, now, began, slips=paper.slips)
                    if opened is not None:
                        self.leave_at_open(opened, bar[0], now)
        naive_margin.at_marks(self, now, ended)
        nets = dict.fromkeys(self.symbols, Fraction(0))
        for each in self.stocks():
            nets[each.symbol] += each.volume
        share = naive_margin.on_the_way(self, ended, now, nets, set(), Fraction(0))
        before = {each.name: abs(each.volume) for each in self.stocks()}
        for symbol, bar in ended.items():
            self.inside(symbol, bar, now)
        if self.stop_out is not None:
            if any(abs(each.volume) > before.get(each.name, abs(each.volume)) for each in self.stocks()):
                raise Tie  # from where on a position counts that was enlarged inside the bar is nowhere said
            fresh = {each.name for each in self.stocks() if each.name not in before}
            if fresh:
                for each in self.stocks():
                    nets[each.symbol] = nets[each.symbol] or each.volume
                naive_margin.on_the_way(self, ended, now, nets, fresh, share)
        for symbol, bar in ended.items():
            self.arrive(symbol, now)
            self.mark[symbol] = bar[3]
        naive_margin.at_marks(self, now, ended)

    def resting(self, symbol: str, began: Fraction) -> list[Paper]:
        """Limits and stops that counted when the bar began."""
        return [each for each in self.working(symbol) if self.rests(each, began)]

    def rests(self, paper: Paper, began: Fraction) -> bool:
        """Whether it is one of them."""
        return paper.is_working and not paper.at_once and paper.counts_from <= began

    def gets_open(self, paper: Paper, quote: Fraction) -> bool:
        """Whether an order fills at the quote of an open."""
        past = paper.sign * (quote - (paper.level or 0))
        return past < 0 or (self.touch and past == 0) if paper.is_limit else past >= 0

    def arrive(self, symbol: str, now: Fraction) -> None:
        """Changes of orders, stops and targets that have arrived."""
        for paper in self.working(symbol):
            self.land(paper, now)
        for stock in self.stocks(symbol):
            guard = self.guards[stock.name]
            for change in [each for each in guard.coming if each[0] <= now]:
                guard.coming.remove(change)
                if change[1] is not None:
                    guard.stop, guard.kind = change[1], "stop"
                guard.target = guard.target if change[2] is None else change[2]

    def land(self, paper: Paper, now: Fraction) -> None:
        """Changes of an order that have arrived."""
        for at, price, volume in [each for each in paper.coming if each[0] <= now]:
            paper.coming.remove((at, price, volume))
            self.change(paper, price, volume, at)

    def change(self, paper: Paper, price: Fraction, volume: Fraction, at: Fraction) -> None:
        """An order becomes another one, which counts from an instant on."""
        paper.price, paper.volume, paper.counts_from = price, volume, max(paper.counts_from, at)

    def inside(self, symbol: str, bar: Bar, now: Fraction) -> None:
        """Where a bar has one thing to do for a position, it is done; where it has several, the bar is gone through."""
        for mine, ours in self.families(symbol, now - 1):
            hit = [each for each in ours if self.comes_to(each, bar)]
            concerned = [each for each in mine if any(self.reaches(each, bar)) or self.guards[each.name].trail]
            if len(hit) + len(concerned) > 1:
                self.go_through(symbol, [each.name for each in mine], ours, hit, bar, now)
            elif concerned:
                self.leave_inside(concerned[0], bar, now)
            elif hit:
                self.fill_inside(hit[0], bar, now)

    def families(self, symbol: str, began: Fraction) -> list[tuple[list[Stock], list[Paper]]]:
        """What is held and what rests, put together as far as one acts on the other."""
        stocks, papers = self.stocks(symbol), self.resting(symbol, began)
        if not self.hedging:
            return [(stocks, papers)]
        sets: list[set[str]] = []
        for names in [{each.name} for each in stocks] + [self.names_of(each) for each in papers]:
            touching = [each for each in sets if each & names]
            first = touching[0] if touching else set()
            first.update(names, *touching[1:])
            sets = [each for each in sets if not each & names or each is first] + ([] if touching else [first])
        return [
            ([each for each in stocks if each.name in names], [each for each in papers if self.names_of(each) & names])
            for names in sets
        ]

    def names_of(self, paper: Paper) -> set[str]:
        """What an order acts on: the position that it names or makes, and the others of its group."""
        return {paper.position or paper.name, *([f"group {paper.group}"] if paper.group else [])}

    def comes_to(self, paper: Paper, bar: Bar) -> bool:
        """Whether a bar comes to the price of an order."""
        upward = (paper.sign > 0) is not paper.is_limit
        extreme = (bar[1] if upward else bar[2]) + paper.sign * self.half_of(paper.symbol)
        past = (extreme - (paper.level or 0)) * (1 if upward else -1)
        return self.through(past) if paper.is_limit else past >= 0

    def fill_inside(self, paper: Paper, bar: Bar, now: Fraction) -> None:
        """An order fills at its price, and what it opens may leave on the same bar."""
        opened = self.fill(paper, paper.price or Fraction(0), now, now - 1, slips=paper.slips)
        if opened is not None:
            self.after_entry(opened, paper.price or Fraction(0), bar, now, certain=paper.kind == "stop")

    def leave_inside(self, stock: Stock, bar: Bar, now: Fraction) -> None:
        """The stop if the bar has it, else the target."""
        guard, (stopped, _) = self.guards[stock.name], self.reaches(stock, bar)
        kind, price = ("stop", guard.stop) if stopped else ("target", guard.target)
        if price is not None:
            self.leave(stock, kind, price, now)

    def go_through(
        self, symbol: str, held: list[str], papers: list[Paper], hit: list[Paper], bar: Bar, now: Fraction
    ) -> None:
        """Take the way through a bar that is worth least; of equal ones the adverse one, or that of the first order."""
        net = sum((each.volume for each in self.stocks(symbol) if each.name in held), Fraction(0))
        up = net < 0 if net else (hit[0].sign > 0) is not hit[0].is_limit
        names = [each.name for each in papers]
        ways = [(first, turns) for turns in (False, True) for first in (up, not up)]
        worths = []
        for first, turns in ways:
            trial = copy(self)
            trial.done, trial.guards = list(self.done), deepcopy(self.guards)
            trial.papers = [copy(each) for each in self.papers]
            trial.fee = Fraction(0)
            trial.tries = True
            Walker(trial, symbol, held, names, bar, now).go(up=first, turns=turns)
            worth = -sum((each.signed * each.price for each in trial.done[len(self.done) :]), Fraction(0))
            for stock in trial.stocks(symbol):
                if not self.hedging or stock.name in held or stock.name in names:
                    worth += stock.volume * trial.leaving(stock, bar[3])
            worths.append(worth)
        first, turns = ways[worths.index(min(worths))]
        Walker(self, symbol, held, names, bar, now).go(up=first, turns=turns)

    def follow(self, what: Stock | Paper, shown: Fraction) -> bool:
        """Let a level that follows the price move to where bars show it, if it does so at all; whether it moved."""
        return False

    def reaches(self, stock: Stock, bar: Bar) -> tuple[bool, bool]:
        """Whether a bar reaches the stop and the target."""
        way, guard = (1 if stock.volume > 0 else -1), self.guards[stock.name]
        worst = self.leaving(stock, bar[2] if way > 0 else bar[1])
        best = self.leaving(stock, bar[1] if way > 0 else bar[2])
        stopped = guard.stop is not None and way * (worst - guard.stop) <= 0
        return stopped, guard.target is not None and self.through(way * (best - guard.target))

    def through(self, past: Fraction) -> bool:
        """Whether a limit that was passed by so much is filled."""
        return past > 0 or (self.touch and past == 0)

    def leave_at_open(self, stock: Stock, opening: Fraction, now: Fraction) -> None:
        """A gap through the stop or the target: the open is what one gets."""
        way, guard, quote = (1 if stock.volume > 0 else -1), self.guards[stock.name], self.leaving(stock, opening)
        if guard.stop is not None and way * (quote - guard.stop) <= 0:
            self.leave(stock, "stop", quote, now)
        elif guard.target is not None and self.through(way * (quote - guard.target)):
            self.leave(stock, "target", quote, now)

    def after_entry(self, stock: Stock, entry: Fraction, bar: Bar, now: Fraction, *, certain: bool) -> None:
        """The worst path after an entry inside a bar: a stop that the bar has, a target only when it is `certain`."""
        stopped, reached = self.reaches(stock, bar)
        way, guard, last = (1 if stock.volume > 0 else -1), self.guards[stock.name], self.leaving(stock, bar[3])
        at_once = entry - way * 2 * self.half_of(stock.symbol)
        if guard.stop is not None and way * (at_once - guard.stop) <= 0:
            self.leave(stock, "stop", at_once, now)
        elif guard.target is not None and way * (at_once - guard.target) > 0:
            self.leave(stock, "target", at_once, now)
        elif stopped and guard.stop is not None:
            self.leave(stock, "stop", guard.stop, now)
        elif reached and guard.target is not None and (certain or self.through(way * (last - guard.target))):
            self.leave(stock, "target", guard.target, now)

    # -- executions --------------------------------------------------------------------------------------------------

    def fill(self, paper: Paper, quote: Fraction, now: Fraction, since: Fraction, *, slips: bool) -> Stock | None:
        """Fill an order: what it closes, then what it opens; the position that it opened or enlarged."""
        price = quote + paper.sign * self.slip if slips else quote
        stock = self.held_against(paper)
        against = abs(stock.volume) if stock is not None and stock.volume * paper.sign < 0 else Fraction(0)
        closing = against if paper.reverse else min(against, paper.volume)
        opening = paper.volume if paper.reverse else paper.volume - closing
        if paper.reduce:
            opening = Fraction(0)
        if not closing and not opening:
            paper.state = "cancelled nothing_to_reduce"
            return None
        if closing and stock is not None:
            kind = "reverse" if opening else paper.exit_kind
            self.execute(paper.name, stock.name, paper.symbol, paper.sign * closing, price, kind, now, since)
            stock = next((each for each in self.stocks(paper.symbol) if each.name == stock.name), None)
        paper.state = "filled"
        if not opening:
            return None
        if self.exceeds(self.taken(paper.symbol, paper.sign, opening, price, quote), self.equity() - self.margin()):
            paper.state = "rejected margin"
            return None
        name = paper.name if stock is None else stock.name
        self.execute(paper.name, name, paper.symbol, paper.sign * opening, price, "entry", now, since)
        guard = self.guards.setdefault(name, Guard())
        stop = paper.stop
        if stop is None and paper.follow is not None:
            stop = paper.follow.behind(quote + paper.sign * self.slippage if slips else quote, paper.sign)
        if stop is not None and (guard.stop is None or paper.sign * (stop - guard.stop) > 0):
            guard.stop, guard.kind = stop, "stop"
        guard.trail = paper.follow or guard.trail
        guard.target = guard.target if paper.target is None else paper.target
        return next(each for each in self.stocks(paper.symbol) if each.name == name)

    def leave(self, stock: Stock, kind: str, quote: Fraction, now: Fraction) -> None:
        """Close a whole position at its stop or target."""
        sign = -1 if stock.volume > 0 else 1
        kind = self.guards[stock.name].kind if kind == "stop" else kind
        price = quote if kind == "target" else quote + sign * self.slip
        self.execute(f"{stock.name}-{kind}", stock.name, stock.symbol, -stock.volume, price, kind, now, now - 1)

    def execute(
        self, order: str, position: str, symbol: str, signed: Fraction, price: Fraction, kind: str, now: Fraction,
        since: Fraction,
    ) -> None:  # fmt: skip
        """Write an execution down."""
        fee = abs(signed) * price * self.fee * self.rate(symbol, Fraction(-1))
        stock = next((each for each in self.stocks(symbol) if each.name == position), None)
        profit = Fraction(0)
        if stock is not None and stock.volume * signed < 0:
            gained = -signed * (price - stock.average)
            profit = gained * self.rate(symbol, gained)
        self.done.append(Execution(order, symbol, position, signed, price, fee, profit, kind, now, since))
