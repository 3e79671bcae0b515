"""Cases of the broker contract: positions, protection, closing, the account and its money. See `contract_kit`."""

from src.core.records import OrderState, OrderType, Side
from src.testing.contract_kit import BOOK, Talk, case
from src.testing.contract_kit import Capability as Can


@case("BC-41")
def nothing_held(talk: Talk) -> None:
    """A book that holds nothing has a flat position, and so has one that nobody ever heard of."""
    for book in (BOOK, "nobody"):
        position = talk.broker.position(book, talk.symbol)
        talk.hold(position.is_flat and position.book == book, f"expected a flat position of {book}, found {position}")
    talk.equal(list(talk.broker.positions(talk.symbol)), [], "as open positions")


@case("BC-42")
def snapshot_agrees(talk: Talk) -> None:
    """The snapshot, the position and the equity tell of one instant and agree."""
    talk.bought()
    talk.resting()
    snapshot = talk.broker.snapshot()
    account = snapshot.account
    held = [each for each in snapshot.positions if each.symbol == talk.symbol]
    talk.equal(held, list(talk.broker.positions(talk.symbol)), "in the snapshot the positions")
    talk.equal(held, [talk.position()], "as the positions")
    talk.near(account.margin_free, account.equity - account.margin_used, "free margin")
    talk.near(account.equity, talk.broker.equity(), "equity")
    talk.hold(account.margin_used > 0, "expected a position to tie up margin, found none used")
    talk.hold(account.instant_ns <= talk.bench.now_ns(), "expected a snapshot of the present, found the future")


@case("BC-43")
def closing(talk: Talk) -> None:
    """A closed position is flat, its trade is told once, and what it made is the difference of its costs."""
    position = talk.bought()
    talk.filled(talk.close(position))
    talk.flat()
    trades = talk.trades()
    talk.equal([trade.trade_id for trade in trades], [position.position_id], "as the trades")
    trade = trades[0]
    costs = trade.commission + trade.spread_cost + trade.slippage_cost + trade.financing
    talk.near(trade.net, trade.gross - costs, "net profit")
    talk.equal(list(talk.broker.snapshot().positions), [], "after closing the positions")


@case("BC-44")
def closing_a_part(talk: Talk) -> None:
    """A part that is closed leaves the rest, under the same id and at the same entry price."""
    position = talk.bought(3)
    talk.filled(talk.close(position, talk.volume()))
    rest = talk.position()
    talk.near(rest.volume, talk.volume(2), "rest")
    talk.equal((rest.position_id, rest.entry_price), (position.position_id, position.entry_price), "of the rest the id")
    talk.equal(talk.trades(), [], "before the end the trades")


@case("BC-45")
def closing_nothing(talk: Talk) -> None:
    """To close or protect what is not held is refused with no_position."""
    talk.refused(talk.broker.close("nosuchposition", client_id=talk.next_id()), "no_position")
    talk.refused(talk.broker.protect("nosuchposition", stop=talk.price(0.9)), "no_position")
    position = talk.bought()
    talk.filled(talk.close(position))
    talk.refused(talk.broker.close(position.position_id, client_id=talk.next_id()), "no_position")


@case("BC-46", without=(Can.HEDGING,))
def reducing(talk: Talk) -> None:
    """A reducing order closes what is held and never opens anything, however large it is."""
    position = talk.bought()
    order_id = talk.sell(volume=talk.volume(3), reduce_only=True)
    talk.ended(order_id, OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED)
    talk.flat()
    talk.near(sum(fill.volume for fill in talk.fills(order_id)), position.volume, "reduced volume")


@case("BC-47", without=(Can.SPOT,))
def reducing_nothing(talk: Talk) -> None:
    """A reducing order without anything to reduce ends without a fill, or is refused."""
    result = talk.place(Side.SELL, reduce_only=True)
    if result.accepted:
        talk.ended(result.order_id, OrderState.CANCELLED, OrderState.REJECTED)
    talk.equal(talk.fills(), [], "of a reducing order the fills")
    talk.hold(talk.position().is_flat, "expected nothing to be opened, found a position")


@case("BC-48", Can.NETTING, Can.SHORT)
def netting(talk: Talk) -> None:
    """On a netting account an opposite order closes before it opens."""
    talk.bought()
    talk.filled(talk.sell(volume=talk.volume(3)))
    talk.near(talk.position().volume, -talk.volume(2), "position")
    talk.equal(len(talk.broker.positions(talk.symbol)), 1, "as the number of positions")


@case("BC-49", Can.HEDGING)
def hedging(talk: Talk) -> None:
    """On a hedging account each entry is a position of its own, closed by its name."""
    first, second = talk.buy(volume=talk.volume(2)), talk.sell()
    talk.filled(first)
    talk.filled(second)
    held = {each.position_id: each.volume for each in talk.broker.positions(talk.symbol)}
    talk.equal(sorted(held.values()), sorted([talk.volume(2), -talk.volume()]), "as the volumes")
    short = next(each for each in talk.broker.positions(talk.symbol) if each.is_short)
    talk.filled(talk.close(short))
    talk.equal([each.volume for each in talk.broker.positions(talk.symbol)], [talk.volume(2)], "as what is left")


@case("BC-50", Can.SHORT)
def short(talk: Talk) -> None:
    """A sale without a holding opens a short, and its profit is that of a falling price."""
    talk.filled(talk.sell())
    position = talk.position()
    talk.near(position.volume, -talk.volume(), "position")
    talk.filled(talk.close(position))
    talk.flat()
    (trade,), rate = talk.trades(), talk.fills()[-1].rate
    made = abs(position.volume) * (trade.entry_price - trade.exit_price) * rate
    talk.near(trade.net + trade.commission + trade.financing, made, "profit before commission")


@case("BC-51", Can.SPOT)
def no_short_on_spot(talk: Talk) -> None:
    """On a spot account a sale of more than is held is refused with short_on_spot."""
    talk.refused(talk.place(Side.SELL), "short_on_spot")
    talk.bought()
    talk.refused(talk.place(Side.SELL, volume=talk.volume(2)), "short_on_spot")
    talk.filled(talk.sell())
    talk.flat()


@case("BC-52", Can.REVERSE, Can.SHORT, Can.NETTING)
def reversing(talk: Talk) -> None:
    """A reversal closes whatever is held and opens its own volume the other way."""
    talk.bought(3)
    talk.filled(talk.sell(reverse=True))
    talk.near(talk.position().volume, -talk.volume(), "position")
    talk.equal(len(talk.trades()), 1, "as the number of trades")


@case("BC-53", Can.PROTECTION)
def protected_entry(talk: Talk) -> None:
    """Stop and target of an entry guard the position from its fill on, under their prices."""
    stop, target = talk.price(0.8), talk.price(1.2)
    position = talk.bought(stop=stop, target=target)
    talk.equal((position.stop, position.target), (stop, target), "as stop and target")


@case("BC-54", Can.PROTECTION)
def moving_protection(talk: Talk) -> None:
    """A stop can be moved; one that the market has passed is refused and the old one stays."""
    position = talk.bought(stop=talk.price(0.8))
    moved = talk.price(0.85)
    talk.accepted(talk.broker.protect(position.position_id, stop=moved))
    talk.hold(talk.bench.until(lambda: talk.position().stop == moved), f"expected the stop at {moved}")
    talk.refused(talk.broker.protect(position.position_id, stop=talk.price(1.1)), "stop_in_market")
    talk.refused(talk.broker.protect(position.position_id, target=talk.price(0.9)), "target_in_market")
    talk.equal((talk.position().stop, talk.position().target), (moved, None), "after refusals stop and target")


@case("BC-55", Can.PROTECTION)
def wrong_side(talk: Talk) -> None:
    """An entry whose stop or target lies on the wrong side of it is refused."""
    talk.refused(talk.place(Side.BUY, stop=talk.price(1.1)), "stop_side", "stop_in_market")
    talk.refused(talk.place(Side.BUY, target=talk.price(0.9)), "target_side", "target_in_market")
    talk.equal(talk.read(), [], "after refusals the events")


@case("BC-56", Can.PROTECTION, Can.MOVES_PRICES)
def stopped(talk: Talk) -> None:
    """A stop that is reached closes the whole position, not better than its price, and its sibling is gone."""
    stop = talk.price(0.95)
    talk.bought(2, stop=stop, target=talk.price(1.2))
    talk.bench.move_to(talk.price(0.9))
    talk.flat()
    last = talk.fills()[-1]
    talk.hold(last.price <= stop, f"expected an exit at {stop} or worse, found {last.price}")
    talk.equal((last.kind, last.volume), ("stop", talk.volume(2)), "of the exit kind and volume")
    count = len(talk.fills())
    talk.bench.move_to(talk.price(1.4))
    talk.bench.until(lambda: len(talk.fills()) > count)
    talk.equal(len(talk.fills()), count, "after the exit the number of fills")


@case("BC-57", Can.PROTECTION, Can.MOVES_PRICES)
def target_reached(talk: Talk) -> None:
    """A target that is passed closes the whole position at its price or better."""
    target = talk.price(1.05)
    talk.bought(stop=talk.price(0.8), target=target)
    talk.bench.move_to(talk.price(1.1))
    talk.flat()
    last = talk.fills()[-1]
    talk.hold(last.kind == "target" and last.price >= target, f"expected a target at {target} or better, found {last}")


@case("BC-58", Can.PROTECTION, Can.MOVES_PRICES)
def protection_follows_the_volume(talk: Talk) -> None:
    """After a part was closed the stop guards the rest, and no more than the rest."""
    position = talk.bought(3, stop=talk.price(0.95))
    talk.filled(talk.close(position, talk.volume()))
    talk.bench.move_to(talk.price(0.9))
    talk.flat()
    talk.near(talk.fills()[-1].volume, talk.volume(2), "stopped volume")


@case("BC-59", Can.PROTECTION)
def distances(talk: Talk) -> None:
    """Distances and multiples resolve against the fill's price, on the tick."""
    rules = talk.broker.instrument(talk.symbol)
    distance = talk.price(0.1)
    position = talk.bought(stop_distance=distance, target_r=2.0)
    stop = rules.round_price(position.entry_price - distance)
    target = rules.round_price(position.entry_price + 2 * abs(position.entry_price - stop))
    talk.equal((position.stop, position.target), (stop, target), "as stop and target")


@case("BC-60")
def money_adds_up(talk: Talk) -> None:
    """When everything is flat again, the balance has changed by the net profit of the trades, to the last digit."""
    before = talk.broker.snapshot().account.balance
    for times in (1, 2):
        position = talk.bought(times)
        talk.filled(talk.close(position))
    talk.flat()
    account = talk.broker.snapshot().account
    talk.near(account.balance - before, sum(trade.net for trade in talk.trades()), "change of the balance")
    talk.near(account.equity, account.balance, "of a flat account the equity")
    talk.near(account.margin_used, 0.0, "of a flat account the margin")


@case("BC-61")
def costs_are_told(talk: Talk) -> None:
    """Costs of a fill are never negative, and the estimates for sizing are not either."""
    talk.bought()
    for fill in talk.fills():
        talk.hold(min(fill.commission, fill.spread_cost) >= 0, f"expected costs of 0 or more, found {fill}")
    price = talk.quote().ask
    for estimate in (talk.broker.entry_per_unit, talk.broker.exit_per_unit, talk.broker.margin_per_unit):
        talk.hold(estimate(talk.symbol, price) >= 0, f"expected {estimate.__name__} of 0 or more")


@case("BC-62")
def adding(talk: Talk) -> None:
    """A second purchase enlarges the holding at the average of both prices; each has its own fill."""
    first, second = talk.buy(), talk.buy(volume=talk.volume(2))
    talk.filled(first)
    talk.filled(second)
    fills = talk.fills()
    volume = sum(fill.volume for fill in fills)
    talk.near(sum(each.volume for each in talk.broker.positions(talk.symbol)), volume, "holding")
    worth = sum(fill.volume * fill.price for fill in fills)
    held = sum(each.volume * each.entry_price for each in talk.broker.positions(talk.symbol))
    talk.near(held, worth, "value at the entry prices")


@case("BC-63", Can.TRAILING_PROTECTION, Can.MOVES_PRICES)
def trailing_protection(talk: Talk) -> None:
    """A trailing stop of a position is moved by the venue, towards the profit only."""
    position = talk.bought(stop_trail_distance=talk.price(0.1))
    start = position.entry_price
    talk.bench.move_to(talk.price(1.3))
    talk.bench.until(lambda: (talk.position().stop or 0.0) > start)
    raised = talk.position().stop
    talk.hold(raised is not None and raised > start, f"expected a stop above the entry at {start}, found {raised}")
    talk.bench.move_to(talk.price(0.8))
    talk.flat()
    talk.hold(talk.fills()[-1].price > start, "expected an exit above the entry, found one below")


@case("BC-64", Can.PROTECTION)
def protected_resting_entry(talk: Talk) -> None:
    """An entry that rests shows its protection with the order; nothing is held before it fills."""
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(0.8), stop=talk.price(0.7)))
    talk.equal(talk.working()[order_id].request.stop, talk.price(0.7), "with the order its stop")
    talk.hold(talk.position().is_flat, "expected nothing to be held, found a position")


@case("BC-65", Can.HEDGING, Can.CLOSE_BY)
def closing_by_each_other(talk: Talk) -> None:
    """Two opposite positions closed by each other both shrink by the smaller one, and pay no spread for it."""
    long, short = talk.buy(volume=talk.volume(3)), talk.sell(volume=talk.volume(2))
    talk.filled(long)
    talk.filled(short)
    held = {each.is_long: each.position_id for each in talk.broker.positions(talk.symbol)}
    order_id = talk.sell(volume=talk.volume(2), reduce_only=True, position_id=held[True], close_by=held[False])
    talk.ended(order_id, OrderState.FILLED)
    left = list(talk.broker.positions(talk.symbol))
    talk.equal([each.position_id for each in left], [held[True]], "as what is left")
    talk.near(left[0].volume, talk.volume(), "rest")
    closing = [fill for fill in talk.fills() if fill.kind == "close_by"]
    talk.equal([fill.spread_cost for fill in closing], [0.0, 0.0], "as the spread that was paid")
