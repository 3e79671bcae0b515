"""Whether the money of a finished run adds up: fills, trades, open positions and balance tell one story.

Pure functions over a result; any thread. The sums here are made from the fills alone, apart from the ledger that
produced the balance, so a mistake in either shows.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from src.backtesting.result import BacktestResult, Outcome
from src.core.errors import invariant
from src.core.records import Fill, Payment

__all__ = ["OpenLeg", "Replay", "check_money", "open_payments", "replay_fills"]

_RELATIVE = 1e-6
_DUST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLeg:
    """What the fills of a position that is not flat add up to.

    Attributes:
        volume: signed, positive when long.
        realised: what the position has already changed the balance by: entry commission, parts that were closed.
    """

    position_id: str
    book: str
    symbol: str
    volume: float
    entry_price: float
    opened_ns: int
    realised: float
    commission: float
    spread_cost: float
    slippage_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The fills of a run, position by position.

    Attributes:
        realised: what all fills together changed the balance by.
        open_legs: positions that are not flat after the last fill, in the order of their first fill.
        held_ns: (from, to) of every position that became flat.
    """

    realised: float
    open_legs: tuple[OpenLeg, ...]
    held_ns: tuple[tuple[int, int], ...]


class _Leg:
    __slots__ = ("commission", "entry_price", "first", "largest", "realised", "slippage", "spread", "volume")

    def __init__(self, first: Fill) -> None:
        self.first = first
        self.volume = self.entry_price = self.largest = self.realised = 0.0
        self.commission = self.spread = self.slippage = 0.0

    def add(self, fill: Fill) -> float:
        signed = fill.side.sign * fill.volume
        held = self.volume
        change = -fill.commission
        if held * signed >= 0:
            self.volume = held + signed
            self.entry_price += (fill.price - self.entry_price) * signed / self.volume
            self.largest = max(self.largest, abs(self.volume))
        else:
            left = abs(held) - fill.volume
            invariant(
                left >= -_DUST * self.largest,
                f"fill {fill.fill_id} closes {fill.volume:g} {fill.symbol} of a position that holds {abs(held):g}",
            )
            change += (1 if held > 0 else -1) * (fill.price - self.entry_price) * fill.volume * fill.rate
            self.volume = 0.0 if left <= _DUST * self.largest else math.copysign(left, held)
        self.realised += change
        self.commission += fill.commission
        self.spread += fill.spread_cost
        self.slippage += fill.slippage_cost
        return change


def replay_fills(fills: list[Fill]) -> Replay:
    """Go through the fills in their order and keep the account of each position.

    Raises:
        InternalError: a fill closes more than its position holds.
    """
    legs: dict[str, _Leg] = {}
    changes: list[float] = []
    held: list[tuple[int, int]] = []
    for fill in fills:
        leg = legs.get(fill.position_id)
        if leg is None:
            leg = legs[fill.position_id] = _Leg(fill)
        changes.append(leg.add(fill))
        if leg.volume == 0.0:
            held.append((leg.first.filled_ns, fill.filled_ns))
            del legs[fill.position_id]
    open_legs = tuple(
        OpenLeg(
            position_id=position_id, book=leg.first.book, symbol=leg.first.symbol, volume=leg.volume,
            entry_price=leg.entry_price, opened_ns=leg.first.filled_ns, realised=leg.realised,
            commission=leg.commission, spread_cost=leg.spread, slippage_cost=leg.slippage,
        )
        for position_id, leg in legs.items()
    )  # fmt: skip
    return Replay(realised=math.fsum(changes), open_legs=open_legs, held_ns=tuple(held))


def open_payments(payments: Iterable[Payment], replay: Replay) -> list[float]:
    """The payments that belong to no closed trade: of positions that are open, and of the account as a whole."""
    held = {leg.position_id for leg in replay.open_legs}
    return [each.amount for each in payments if not each.position_id or each.position_id in held]


def check_money(result: BacktestResult, replay: Replay | None = None) -> None:
    """Hold that start balance, fills and payments make the end balance, and that trades and positions agree with it.

    Amounts may differ by 1e-6 of the larger of start and end balance.

    Raises:
        InternalError: with the two amounts that should be one.
    """
    replay = replay_fills(result.fills) if replay is None else replay
    start, balance = result.initial_balance, result.account.balance
    room = _RELATIVE * max(abs(start), abs(balance), 1e-6)

    def differs(found: float, expected: float) -> bool:
        return not (abs(found - expected) <= room and math.isfinite(found) and math.isfinite(expected))

    def same(found: float, expected: float, sentence: str) -> None:
        close = not differs(found, expected)
        invariant(close, f"{sentence}: {found!r} is not {expected!r}", found=found, expected=expected)

    paid = math.fsum(each.amount for each in result.payments)
    made = start + replay.realised + paid
    same(made, balance, "start balance, the net of all fills and the payments do not make the end balance")
    for trade in result.trades:
        costs = trade.commission + trade.spread_cost + trade.slippage_cost + trade.financing
        if differs(trade.gross - costs, trade.net):  # asked of each trade, and hardly ever worth a sentence
            same(trade.gross - costs, trade.net, f"gross less costs of trade {trade.trade_id} is not its net")
    closed = math.fsum(trade.net for trade in result.trades)
    begun = math.fsum([*(leg.realised for leg in replay.open_legs), *open_payments(result.payments, replay)])
    same(start + closed + begun, balance, "start balance, closed trades and open positions do not make the end balance")
    if result.outcome is Outcome.COMPLETED and len(result.equity):
        same(float(result.equity[-1]), result.account.equity, "the last equity sample is not the end equity")
    _check_volumes(result, replay)


def _check_volumes(result: BacktestResult, replay: Replay) -> None:
    held: dict[tuple[str, str], float] = defaultdict(float)
    for leg in replay.open_legs:
        held[leg.book, leg.symbol] += leg.volume
    for position in result.open_positions:
        held[position.book, position.symbol] -= position.volume
    largest = max((abs(leg.volume) for leg in replay.open_legs), default=0.0)
    for (book, symbol), rest in sorted(held.items()):
        invariant(
            abs(rest) <= _RELATIVE * largest,
            f"the fills of {book} in {symbol} and its open positions differ by {rest:g}",
            book=book,
            symbol=symbol,
        )
