"""The venue's ledger against a naive one written from the rules: random orders, protection, cancels and bars."""

from typing import Any

import pytest
from hypothesis import given, settings

from tests.brokers.simulated.naive import NaiveAccount, Ticket
from tests.brokers.simulated.venue import Venue
from tests.generators import Action, Story, stories

START = 1_000_000.0
SYMBOLS = ("AAA", "BBB")


def near(value: float) -> Any:
    """A number up to rounding."""
    return pytest.approx(value, abs=1e-9, rel=1e-12)


class Pair:
    """The venue and the naive account, told the same."""

    def __init__(self, story: Story) -> None:
        bars = {s: [[100.0] * 4, *(minute[s] for _, minute in story.minutes)] for s in SYMBOLS}
        self.venue = Venue(
            bars,
            account={"balance": START, "leverage": 100},
            costs={
                "spread_points": story.spread, "slippage_points": story.slippage,
                "commission_percent": story.fee_percent,
            },
            rules={"limit_fill": "touch" if story.touch else "through", "at_end": "keep"},
        )  # fmt: skip
        self.naive = NaiveAccount(
            SYMBOLS, START, story.spread / 2, story.slippage, story.fee_percent / 100, touch=story.touch
        )

    def do(self, action: Action) -> None:
        """Ask both; the naive account follows only what its own reading of the rules allows."""
        if action.what in ("market", "limit", "stop"):
            self.enter(action)
        elif action.what == "close":
            self.close(action)
        elif action.what == "protect":
            self.protect(action)
        else:
            self.cancel(action)

    def enter(self, action: Action) -> None:
        """An entry, with protection on its side or, with a distance of 0, at its own price."""
        h, sign, half = self.naive.held[action.symbol], 1 if action.buy else -1, self.naive.half
        quote = h.mark + sign * half
        price = quote if action.what == "market" else h.mark + action.offset
        stop = None if action.guard is None else price - sign * action.guard
        target = None if action.goal is None else price + sign * action.goal
        ticket = Ticket(
            "", action.what, sign, float(action.volume), price, stop, target, action.reverse and not action.reduce,
            action.reduce,
        )  # fmt: skip
        allowed = not (action.what == "stop" and sign * (price - quote) <= 0)
        if not action.reduce:
            allowed &= stop is None or sign * (price - sign * 2 * half - stop) > 0
            allowed &= target is None or sign * (target - price) > 0

        result = self.venue.place(
            "buy" if action.buy else "sell", action.what, ticket.volume, symbol=action.symbol,
            price=None if action.what == "market" else price, stop=stop, target=target, reverse=ticket.reverse,
            reduce_only=ticket.reduce,
        )  # fmt: skip

        assert result.accepted == allowed, result
        if allowed:
            ticket.identity = result.order_id
            (h.waiting if action.what == "market" else h.resting).append(ticket)

    def close(self, action: Action) -> None:
        """Close a part of what is held, or all of it."""
        h = self.naive.held[action.symbol]
        position = self.venue.broker.position("sma", action.symbol)
        assert bool(h.volume) == bool(self.venue.broker.positions(action.symbol))
        if h.volume:
            volume = min(float(action.volume), abs(h.volume))
            result = self.venue.close(position.position_id, volume)
            assert result.accepted
            way = -1 if h.volume > 0 else 1
            h.waiting.append(Ticket(result.order_id, "market", way, volume, reduce=True, holding=h.number))

    def protect(self, action: Action) -> None:
        """Move stop and target, on their side or on the wrong one."""
        h = self.naive.held[action.symbol]
        if not h.volume:
            return
        way, quote = (1 if h.volume > 0 else -1), self.naive.leaving(h, h.mark)
        stop = None if action.guard is None else quote - way * (action.guard - 1)
        target = None if action.goal is None else quote + way * (action.goal - 1)
        allowed = (stop is None or action.guard != 0 and way * (quote - stop) > 0) and (
            target is None or way * (target - quote) > 0
        )
        identity = self.venue.broker.position("sma", action.symbol).position_id

        result = self.venue.broker.protect(identity, stop=stop, target=target)

        assert result.accepted == allowed, result
        if allowed:
            h.stop = h.stop if stop is None else stop
            h.target = h.target if target is None else target

    def cancel(self, action: Action) -> None:
        """Cancel one of the working orders."""
        h = self.naive.held[action.symbol]
        working = [*h.waiting, *h.resting]
        if working:
            ticket = working[action.pick % len(working)]
            (h.waiting if ticket in h.waiting else h.resting).remove(ticket)
            assert self.venue.broker.cancel(ticket.identity).accepted

    def advance(self, story: Story, minute: int) -> None:
        """Both live through a minute; orders that have waited through a hole fill at the next minute's open."""
        now = story.minutes[minute][1]
        later = story.minutes[minute + 1][1] if minute + 1 < len(story.minutes) else {}
        for symbol in SYMBOLS:
            bar = now[symbol]
            if bar is not None:
                self.naive.open_bar(symbol, bar[0])
                self.naive.close_bar(symbol, bar)
            following = later.get(symbol)
            if following is not None:
                self.naive.open_bar(symbol, following[0])
        self.venue.go_to(minute + 1)

    def compare(self) -> None:
        """Positions, protection, balance and equity agree, and the fills account for all the money."""
        broker = self.venue.broker
        paid = START
        for fill in broker.fills():
            paid -= fill.side.sign * fill.volume * fill.price + fill.commission
        held = 0.0
        for symbol, h in self.naive.held.items():
            position = broker.position("sma", symbol)
            assert position.volume == h.volume
            if h.volume:
                assert position.entry_price == near(h.average)
                assert (position.stop, position.target) == (h.stop, h.target)
            held += position.volume * position.entry_price
        account = broker.snapshot().account
        assert account.balance == near(self.naive.balance())
        assert account.equity == near(self.naive.equity())
        assert account.balance == near(paid + held)
        for trade in broker.trades():
            costs = trade.commission + trade.spread_cost + trade.slippage_cost
            assert trade.gross - costs == near(trade.net)


@pytest.mark.slow
@settings(max_examples=400)
@given(stories())
def test_the_ledger_agrees_with_a_naive_one(story: Story) -> None:
    """After every minute of any story both have the same positions, balance and equity, and money is conserved."""
    pair = Pair(story)
    for minute, (actions, _) in enumerate(story.minutes):
        for action in actions:
            pair.do(action)
        pair.advance(story, minute)
        pair.compare()
