"""Where a peer may differ: each deal that two programs report differently, worked out again by both rules.

`docs/differences.md` says which rules these are and why ours is right. A difference counts as explained only when our
deal is exactly what our rule makes of the bars and the peer's deal exactly what its rule makes of them: bar, price and
kind of the exit, and the profit. Pure; knows neither engine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import workloads
from benchmarks.variants import Deal, Leg, Variant

__all__ = [
    "MONEY_TOLERANCE",
    "PARTINGS",
    "Bars",
    "Difference",
    "equal_entries",
    "equal_legs",
    "equal_money",
    "lapses",
    "value_of",
]

#: Prices are computed by the same formulas, profits are sums of some more of them.
PRICE_TOLERANCE, MONEY_TOLERANCE = 1e-9, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A deal that two programs report differently; one of them may not have it at all."""

    ours: Deal | None
    theirs: Deal | None


class Bars:
    """The bars of a variant by symbol."""

    def __init__(self, columns: Sequence[workloads.Columns]) -> None:
        self._rows: dict[str, list[tuple[float, float, float, float]]] = {
            one.symbol: list(
                zip(one.open.tolist(), one.high.tolist(), one.low.tolist(), one.close.tolist(), strict=True)
            )
            for one in columns
        }
        self._places = {one.symbol: {ns: i for i, ns in enumerate(one.open_ns.tolist())} for one in columns}
        self._stamps = {one.symbol: one.open_ns.tolist() for one in columns}

    def place(self, symbol: str, open_ns: int) -> int:
        """The index of a bar."""
        return self._places[symbol][open_ns]

    def open_ns(self, symbol: str, index: int) -> int:
        """When a bar opened."""
        return int(self._stamps[symbol][index])

    def row(self, symbol: str, index: int) -> tuple[float, float, float, float]:
        """Open, high, low and close of a bar."""
        return self._rows[symbol][index]

    def count(self, symbol: str) -> int:
        """How many there are."""
        return len(self._rows[symbol])

    def last_close(self, symbol: str) -> float:
        """The close of the last bar."""
        return self.row(symbol, -1)[3]


def same(mine: float, other: float, tolerance: float = PRICE_TOLERANCE) -> bool:
    """Whether two numbers are equal but for the rounding of their computation."""
    return abs(mine - other) <= tolerance * max(1.0, abs(mine))


def equal_entries(ours: Deal, theirs: Deal) -> bool:
    """Whether two deals were entered alike."""
    facts = (ours.symbol, ours.side, ours.entry_ns, ours.entry_kind)
    if facts != (theirs.symbol, theirs.side, theirs.entry_ns, theirs.entry_kind):
        return False
    return same(ours.volume, theirs.volume) and same(ours.entry_price, theirs.entry_price)


def equal_legs(ours: Deal, theirs: Deal) -> bool:
    """Whether two deals were left alike."""
    return len(ours.legs) == len(theirs.legs) and all(
        (mine.open_ns, mine.kind) == (other.open_ns, other.kind)
        and same(mine.price, other.price)
        and same(mine.volume, other.volume)
        for mine, other in zip(ours.legs, theirs.legs, strict=True)
    )


def equal_money(ours: Deal, theirs: Deal) -> bool:
    """Whether two deals have the same profit, or are both open."""
    if ours.net is None or theirs.net is None:
        return ours.net is theirs.net
    return abs(ours.net - theirs.net) <= MONEY_TOLERANCE


def adds_up(deal: Deal, bars: Bars) -> bool:
    """Whether the profit of a deal is what its prices make it; true of one that is open."""
    return deal.net is None or abs(deal.net - value_of(deal, bars)) <= MONEY_TOLERANCE


def value_of(deal: Deal | None, bars: Bars) -> float:
    """What a deal adds to the final equity, worked out from its prices; what is open is valued at the last close."""
    if deal is None:
        return 0.0
    left, cost = deal.volume, deal.volume * deal.entry_price
    gained = 0.0
    for leg in deal.legs:
        left -= leg.volume
        cost += leg.volume * leg.price
        gained += leg.volume * deal.side * (leg.price - deal.entry_price)
    gained += left * deal.side * (bars.last_close(deal.symbol) - deal.entry_price)
    return gained - cost * workloads.COST_PER_SIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Stop and target of a deal; both exist in every variant on which a peer may differ."""

    stop: float
    target: float


def levels_of(deal: Deal, variant: Variant, bars: Bars) -> Levels | None:
    """The stop and target that a deal was entered with, None where they cannot be known.

    They are measured from the close before a market entry and from the price of a limit or stop entry. That price is
    the fill's, except after a gap, when our exit tells it.
    """
    place = bars.place(deal.symbol, deal.entry_ns)
    opening = bars.row(deal.symbol, place)[0]
    if variant.stop is None or variant.target is None or variant.decimals is not None:
        return None
    origin = deal.entry_price
    if variant.entry == "market":
        origin = bars.row(deal.symbol, place - 1)[3]
    elif deal.entry_price == opening and deal.legs:
        leg = deal.legs[0]
        distance = -variant.stop if leg.kind == "stop" else variant.target
        origin = leg.price / (1 + deal.side * distance)
    stop, target = variant.stop_at(origin, deal.side), variant.target_at(origin, deal.side)
    return None if stop is None or target is None else Levels(stop=stop, target=target)


def our_exit(deal: Deal, variant: Variant, levels: Levels, bars: Bars) -> Leg | None:
    """Where our rule ends a deal: on each bar the open first, then the stop, then the target.

    On the bar of the entry only what lies after the entry counts: a limit entry's target needs the close beyond it.
    """
    first = bars.place(deal.symbol, deal.entry_ns)
    for i in range(first, bars.count(deal.symbol)):
        opening, high, low, close = bars.row(deal.symbol, i)
        adverse, favourable = (low, high) if deal.side > 0 else (high, low)
        # What a gap filled at the open is held from there on, whatever kind of order it was.
        entered_inside = i == first and deal.entry_price != opening
        found: tuple[float, str] | None = None
        if not entered_inside and deal.side * (opening - levels.stop) <= 0:
            found = opening, "stop"
        elif not entered_inside and deal.side * (opening - levels.target) >= 0:
            found = opening, "target"
        elif deal.side * (adverse - levels.stop) <= 0:
            found = levels.stop, "stop"
        elif deal.side * (favourable - levels.target) >= 0:
            proved = variant.entry != "limit" or deal.side * (close - levels.target) >= 0
            if not entered_inside or proved:
                found = levels.target, "target"
        if found is not None:
            return Leg(bars.open_ns(deal.symbol, i), found[0], deal.volume, found[1])
    return None


def peer_exit(deal: Deal, levels: Levels, bars: Bars, skip: int) -> Leg | None:
    """Where both peers end a deal: on each bar the stop first, at its price or a worse open, then the target.

    Args:
        skip: bars from the entry's own on that are not looked at.
    """
    for i in range(bars.place(deal.symbol, deal.entry_ns) + skip, bars.count(deal.symbol)):
        opening, high, low, _ = bars.row(deal.symbol, i)
        adverse, favourable = (low, high) if deal.side > 0 else (high, low)
        if deal.side * (adverse - levels.stop) <= 0:
            price = min(deal.side * opening, deal.side * levels.stop) * deal.side
            return Leg(bars.open_ns(deal.symbol, i), price, deal.volume, "stop")
        if deal.side * (favourable - levels.target) >= 0:
            price = max(deal.side * opening, deal.side * levels.target) * deal.side
            return Leg(bars.open_ns(deal.symbol, i), price, deal.volume, "target")
    return None


def follows(deal: Deal, expected: Leg | None, bars: Bars) -> bool:
    """Whether a deal ended as a rule says, or at an open that came before.

    That open is where the next signal closes it at the market; the following deal tells whether it was right.
    """
    if len(deal.legs) > 1 or not adds_up(deal, bars):
        return False
    if not deal.legs:
        return expected is None
    leg = deal.legs[0]
    if not same(leg.volume, deal.volume):
        return False
    if leg.kind == "market":
        opening = bars.row(deal.symbol, bars.place(deal.symbol, leg.open_ns))[0]
        return same(leg.price, opening) and (expected is None or leg.open_ns <= expected.open_ns)
    return expected is not None and (leg.open_ns, leg.kind) == (expected.open_ns, expected.kind) and same(
        leg.price, expected.price
    )  # fmt: skip


def _explained(difference: Difference, variant: Variant, bars: Bars, skip: int) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if ours is None or theirs is None or not equal_entries(ours, theirs):
        return False
    levels = levels_of(ours, variant, bars)
    if levels is None:
        return False
    return follows(ours, our_exit(ours, variant, levels, bars), bars) and follows(
        theirs, peer_exit(theirs, levels, bars, skip), bars
    )


def by_entry_bar(difference: Difference, variant: Variant, bars: Bars) -> bool:
    """We end a position on the bar of its entry; the peer looks at its stop and target from the next bar on."""
    ours = difference.ours
    inside = ours is not None and any(leg.open_ns == ours.entry_ns for leg in ours.legs)
    return inside and _explained(difference, variant, bars, skip=1)


def by_open_first(difference: Difference, variant: Variant, bars: Bars) -> bool:
    """A bar opens beyond the target and comes back to the stop: we leave at the open, the peer at the stop."""
    ours, theirs = difference.ours, difference.theirs
    if ours is None or theirs is None or len(ours.legs) != 1 or len(theirs.legs) != 1:
        return False
    mine, other = ours.legs[0], theirs.legs[0]
    if (mine.kind, other.kind) != ("target", "stop") or mine.open_ns != other.open_ns:
        return False
    return any(_explained(difference, variant, bars, skip=skip) for skip in (0, 1))


def by_stop_limit_gap(difference: Difference, variant: Variant, bars: Bars) -> bool:
    """A bar opens beyond the trigger of a stop-limit entry: we fill at that open, the peer at the trigger.

    Ours fills at the limit where the bar opens beyond that as well. The order is found again by the close that it was
    measured from, and no bar since then may have reached its trigger.
    """
    ours, theirs = difference.ours, difference.theirs
    if ours is None or theirs is None or not equal_entries(ours, theirs._replace(entry_price=ours.entry_price)):
        return False
    if not (equal_legs(ours, theirs) and adds_up(ours, bars) and adds_up(theirs, bars)):
        return False
    side, place = ours.side, bars.place(ours.symbol, ours.entry_ns)
    opening = bars.row(ours.symbol, place)[0]
    for i in range(place - 1, -1, -1):
        _, high, low, close = bars.row(ours.symbol, i)
        trigger, limit = variant.trigger_at(close, side), variant.limit_at(close, side)
        if trigger is None or limit is None:
            return False
        if same(trigger, theirs.entry_price):
            expected = opening if side * (limit - opening) >= 0 else limit
            if side * (opening - trigger) > 0 and same(ours.entry_price, expected):
                return True
        if side * ((high if side > 0 else low) - theirs.entry_price) >= 0:
            return False
    return False


def lapses(variant: Variant, deals: Sequence[Deal], bars: Bars) -> list[Deal]:
    """Our deals that are not what our own rule makes of the bars; for variants with exits on which a peer may differ.

    Without this, an engine that took over the peer's rule would be called equal.
    """
    found = []
    for deal in deals:
        levels = levels_of(deal, variant, bars)
        if levels is not None and not follows(deal, our_exit(deal, variant, levels, bars), bars):
            found.append(deal)
    return found


#: By the name that a variant calls them by.
PARTINGS: dict[str, Callable[[Difference, Variant, Bars], bool]] = {
    "entry-bar": by_entry_bar,
    "open-first": by_open_first,
    "stop-limit-gap": by_stop_limit_gap,
}
