"""A naive, slow account that knows the fill rules from their description alone.

It keeps cash: every execution pays or receives its price and its fee. The balance is the cash plus what is held at its
average price, the equity the cash plus what is held at the price that would close it. No margin, no latency.
"""

from dataclasses import dataclass, field


@dataclass
class Ticket:
    """A working order of the naive account; `kind` is market, limit or stop, `holding` the one that it may close."""

    identity: str
    kind: str
    sign: int
    volume: float
    price: float = 0.0
    stop: float | None = None
    target: float | None = None
    reverse: bool = False
    reduce: bool = False
    holding: int | None = None


@dataclass
class Holding:
    """What is held of one symbol and what guards it."""

    volume: float = 0.0
    average: float = 0.0
    stop: float | None = None
    target: float | None = None
    mark: float = 100.0
    number: int = 0
    waiting: list[Ticket] = field(default_factory=list)
    resting: list[Ticket] = field(default_factory=list)


class NaiveAccount:
    """See the module's text; `half` is half the spread, on each side of a trade price."""

    def __init__(
        self, symbols: tuple[str, ...], cash: float, half: float, slip: float, fee: float, touch: bool
    ) -> None:
        self.cash, self.half, self.slip, self.fee, self.touch = cash, half, slip, fee, touch
        self.held = {symbol: Holding() for symbol in symbols}

    def balance(self) -> float:
        """Cash plus holdings at their average prices."""
        return self.cash + sum(h.volume * h.average for h in self.held.values())

    def equity(self) -> float:
        """Cash plus holdings at the prices that would close them."""
        return self.cash + sum(h.volume * self.leaving(h, h.mark) for h in self.held.values())

    def leaving(self, h: Holding, price: float) -> float:
        """What closing the holding gets when bars show `price`."""
        return price - self.half if h.volume > 0 else price + self.half

    # -- executions ------------------------------------------------------------------------------------------------

    def execute(self, h: Holding, signed: float, price: float) -> None:
        """Pay for a volume, and average the price when it enlarges what is held."""
        self.cash -= signed * price + abs(signed) * price * self.fee
        h.number += h.volume == 0
        if h.volume * signed >= 0:
            h.average = (abs(h.volume) * h.average + abs(signed) * price) / (abs(h.volume) + abs(signed))
        h.volume += signed
        if h.volume == 0:
            h.average, h.stop, h.target = 0.0, None, None

    def fill(self, h: Holding, ticket: Ticket, quote: float) -> bool:
        """Fill a ticket at a quote: what it closes, then what it opens; True when it opened something."""
        if ticket.holding not in (None, h.number):
            return False
        price = quote if ticket.kind == "limit" else quote + ticket.sign * self.slip
        against = abs(h.volume) if h.volume * ticket.sign < 0 else 0.0
        closing = against if ticket.reverse else min(against, ticket.volume)
        opening = ticket.volume if ticket.reverse else ticket.volume - closing
        if closing:
            self.execute(h, ticket.sign * closing, price)
        if ticket.reduce or not opening:
            return False
        self.execute(h, ticket.sign * opening, price)
        if ticket.stop is not None and (h.stop is None or ticket.sign * (ticket.stop - h.stop) > 0):
            h.stop = ticket.stop
        h.target = h.target if ticket.target is None else ticket.target
        return True

    def leave(self, h: Holding, quote: float, *, slips: bool) -> None:
        """Close all that is held at a quote."""
        away = -1 if h.volume > 0 else 1
        self.execute(h, -h.volume, quote + away * self.slip if slips else quote)

    # -- bars ------------------------------------------------------------------------------------------------------

    def open_bar(self, symbol: str, opening: float) -> None:
        """A bar opens for which market orders have waited."""
        h = self.held[symbol]
        if h.waiting:
            h.mark = opening
        while h.waiting:
            ticket = h.waiting.pop(0)
            self.fill(h, ticket, opening + ticket.sign * self.half)

    def close_bar(self, symbol: str, bar: list[float]) -> None:
        """A bar has ended: gaps at its open, then its inside, then its close is the mark."""
        h = self.held[symbol]
        opening, high, low, close = bar
        self.gap(h, opening)
        for ticket in list(h.resting):
            quote = opening + ticket.sign * self.half
            past = ticket.sign * (quote - ticket.price)  # above the price for a buy
            good = past >= 0 if ticket.kind == "stop" else past < 0 or (self.touch and past == 0)
            if good:
                h.resting.remove(ticket)
                if self.fill(h, ticket, quote):
                    self.gap(h, opening)
        self.inside(h, high, low)
        for ticket in list(h.resting):
            upward = (ticket.sign > 0) == (ticket.kind == "stop")
            extreme = (high if upward else low) + ticket.sign * self.half
            past = extreme - ticket.price if upward else ticket.price - extreme
            if past > 0 or (past == 0 and (ticket.kind == "stop" or self.touch)):
                h.resting.remove(ticket)
                if self.fill(h, ticket, ticket.price):
                    self.after_entry(h, ticket, high, low, close)
        h.mark = close

    def gap(self, h: Holding, opening: float) -> None:
        """The open lies beyond the stop or the target: it is what one gets."""
        if not h.volume:
            return
        quote, way = self.leaving(h, opening), 1 if h.volume > 0 else -1
        if h.stop is not None and way * (quote - h.stop) <= 0:
            self.leave(h, quote, slips=True)
        elif h.target is not None and self.beyond(way * (quote - h.target)):
            self.leave(h, quote, slips=False)

    def beyond(self, past: float) -> bool:
        """Whether a limit that was passed by so much is filled."""
        return past > 0 or (self.touch and past == 0)

    def reaches(self, h: Holding, high: float, low: float) -> tuple[bool, bool]:
        """Whether the bar reaches the stop and the target."""
        way = 1 if h.volume > 0 else -1
        worst, best = self.leaving(h, low if way > 0 else high), self.leaving(h, high if way > 0 else low)
        stopped = h.stop is not None and way * (worst - h.stop) <= 0
        reached = h.target is not None and self.beyond(way * (best - h.target))
        return stopped, reached

    def inside(self, h: Holding, high: float, low: float) -> None:
        """The stop comes before the target."""
        if not h.volume:
            return
        stopped, reached = self.reaches(h, high, low)
        if stopped and h.stop is not None:
            self.leave(h, h.stop, slips=True)
        elif reached and h.target is not None:
            self.leave(h, h.target, slips=False)

    def after_entry(self, h: Holding, ticket: Ticket, high: float, low: float, close: float) -> None:
        """The worst path after an entry inside the bar: the stop if the bar has it, the target only if certain."""
        stopped, reached = self.reaches(h, high, low)
        way = 1 if h.volume > 0 else -1
        if stopped and h.stop is not None:
            at_once = ticket.price - way * 2 * self.half
            self.leave(h, min(h.stop, at_once) if way > 0 else max(h.stop, at_once), slips=True)
        elif reached and h.target is not None:
            certain = ticket.kind == "stop" or self.beyond(way * (self.leaving(h, close) - h.target))
            if certain:
                self.leave(h, h.target, slips=False)
