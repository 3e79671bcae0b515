"""The short life of a bot on a spot account where other people's coins of the same kind lie; see `ccxt_story`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from src.core.errors import BrokerUnavailable
from src.core.records import Side
from src.testing.venue import Fault
from tests.brokers.ccxt_benches import CcxtBench
from tests.brokers.ccxt_spot_benches import RULES, spot_bench
from tests.brokers.ccxt_story import Story, tell

__all__ = ["THEIRS", "tell_on_spot"]

#: More than the bot ever has: whatever is sold twice is there to be sold.
THEIRS = 30.0


@contextmanager
def _bench() -> Iterator[CcxtBench]:
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as bench:
        yield bench


def tell_on_spot(fault: Fault | None = None) -> Story:
    """Let it happen, with one thing going wrong; see `tell`."""
    return tell(fault, _bench, _look_for_problems)


def _look_for_problems(bench: CcxtBench, story: Story) -> None:
    """The venue's own truth against what the bot believes."""
    venue = bench.venue
    venue.heal()
    with suppress(BrokerUnavailable):
        bench.broker.refresh()
    coins, money = venue.coins["BTC"], venue.coins["USDT"]
    if not THEIRS <= coins < THEIRS + RULES.volume_step:
        story.problems.append(f"{THEIRS} coins were other people's, and there are {coins}")
    working = venue.broker.snapshot().orders
    if working:
        story.problems.append(f"working in the end: {[each.request for each in working]}")
    if bench.broker.snapshot().positions:
        story.problems.append(f"believed in the end: {bench.broker.snapshot().positions}")
    fills = [event.fill for event in story.events if event.fill is not None]
    net = sum(event.trade.net for event in story.events if event.trade is not None)
    if abs(net - (money - 10_000)) > 1e-6:
        story.problems.append(f"the trades made {net} and the account changed by {money - 10_000}")
    if len({fill.fill_id for fill in fills}) != len(fills):
        story.problems.append(f"executions told twice: {fills}")
    bought = sum(fill.volume + fill.fee_volume for fill in fills if fill.side is Side.BUY)
    if bought > 1.0 + 1e-9:
        story.problems.append(f"bought {bought}, wanted 1")
    ended = {event.order.order_id: event.order.state for event in story.events}
    open_ids = [order_id for order_id, state in ended.items() if not state.is_final]
    if [each for each in open_ids if not each.startswith(("ps", "pt"))]:
        story.problems.append(f"never ended: {open_ids}")
