"""Taking a bot out of the market from another process: over HTTP, at a local venue, by the unmodified client."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from src.brokers.ccxt_wire import CcxtWire
from src.core.errors import BrokerContractError, BrokerUnavailable
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.account_state import AccountState
from src.live.kill import Kill, KillReport, remember, remembered, sent_for, venue_clock
from src.testing.venue import Fault, FaultKind, LocalVenue
from tests.brokers.ccxt_benches import (
    ACCOUNT,
    COSTS,
    RULES,
    START_NS,
    SYMBOL,
    WITHIN_NS,
    CcxtBench,
    ccxt_bench,
    client_to,
    standing_prices,
)

ENTRY = OrderRequest(
    client_id="kentry", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0, stop=90.0,
    target=130.0,
)  # fmt: skip
RESTING = OrderRequest(
    client_id="krest", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=0.5, price=80.0
)
BREAKOUT = OrderRequest(
    client_id="kstop", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.STOP, volume=0.5, price=120.0
)
BY_HAND = OrderRequest(client_id="web-1", book="", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=0.4)
RESTING_BY_HAND = OrderRequest(
    client_id="web-2", book="", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=0.3, price=70.0
)


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """A bot with a position, its stop and target, and two entries that wait, one of them apart."""
    with ccxt_bench() as made:
        for request in (ENTRY, RESTING, BREAKOUT):
            assert made.broker.place(request).accepted
        made.venue.advance_to(made.now_ns() + MINUTE_NS)
        made.broker.refresh()
        yield made


def by_hand(bench: CcxtBench, *requests: OrderRequest) -> None:
    """What somebody does at the venue's web page."""
    client = client_to(bench.venue)
    wire = CcxtWire(client, {SYMBOL: client.market(SYMBOL)})
    for request in requests:
        wire.place(request)
    client.close()
    bench.venue.advance_to(bench.now_ns() + SECOND_NS)


def kill(
    bench: CcxtBench, known: Sequence[OrderRequest] = (ENTRY, RESTING, BREAKOUT), rounds: int = 60, **more: Any
) -> KillReport:
    """Kill, at a venue whose time moves while somebody waits."""
    client = client_to(bench.venue)
    try:
        return Kill(
            client, {SYMBOL: RULES}, "USDT", "mine", lambda: (list(known), START_NS), now_ns=bench.now_ns,
            wait=lambda seconds: bench.venue.advance_to(bench.now_ns() + 2 * SECOND_NS), rounds=rounds, **more,
        ).run()  # fmt: skip
    finally:
        client.close()


def there(bench: CcxtBench) -> tuple[float, list[str]]:
    """What the venue has: the volume held, and the orders that work by side, type and volume."""
    shown = bench.venue.broker.snapshot()
    orders = [f"{each.request.side} {each.request.type} {each.request.volume:g}" for each in shown.orders]
    return round(sum(each.volume for each in shown.positions), 9), sorted(orders)


def acts(bench: CcxtBench, first: int) -> list[str]:
    """The endpoints of the requests that have changed something, from a request on."""
    found = [call for call in bench.venue.calls if call.number > first and not call.endpoint.startswith("GET")]
    return [f"{call.endpoint} {call.params.get('type', '')}".strip() for call in found]


def test_nothing_is_left_and_the_order_of_things_is_kept(bench: CcxtBench) -> None:
    """Entries, then the position, then what protected it."""
    before, calls = there(bench), len(bench.venue.calls)

    report = kill(bench)

    assert before == (1.0, ["buy limit 0.5", "buy stop 0.5", "sell limit 1", "sell stop 1"])
    assert there(bench) == (0.0, [])
    assert (report.done, report.left, report.foreign) == (True, (), ())
    assert len(report.cancelled) == 3  # the venue itself cancels a limit with nothing left to reduce
    assert report.closed == ("1 BTCUSDT long of S",)
    done = acts(bench, calls)
    close = done.index("POST order MARKET")
    assert sorted(done[:close]) == ["DELETE algoOrder", "DELETE order"]
    assert done[close + 1 :] == ["DELETE algoOrder"]


def test_all_of_several_positions_is_closed() -> None:
    """What was just sent for one symbol is not in the look by which the next is judged; one may be gone altogether."""
    rules = {name: replace(RULES, symbol=name) for name in (SYMBOL, "ETHUSDT", "XRPUSDT")}
    gone = {"LUNAUSDT": replace(RULES, symbol="LUNAUSDT")}
    bars = {name: standing_prices(name) for name in rules}
    entries = [replace(ENTRY, client_id=f"k{name}", symbol=name) for name in rules]
    with LocalVenue(bars, rules, START_NS + WITHIN_NS, account=ACCOUNT, costs=COSTS) as venue:
        bot = client_to(venue)
        wire = CcxtWire(bot, {name: bot.market(name) for name in rules})
        for entry in entries:
            wire.place(entry)
        bot.close()
        venue.advance_to(venue.now_ns() + MINUTE_NS)
        before = len(venue.broker.snapshot().positions)
        client = client_to(venue)
        report = Kill(
            client, {**gone, **rules}, "USDT", "mine", lambda: (entries, START_NS), now_ns=venue.now_ns,
            wait=lambda seconds: venue.advance_to(venue.now_ns() + 2 * SECOND_NS), rounds=60,
        ).run()  # fmt: skip
        client.close()

        assert before == 3
        assert (report.done, report.left, len(report.closed)) == (True, (), 3)
        assert venue.broker.snapshot().positions == ()


def test_a_question_that_is_refused_is_asked_again(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to be out is not left with a position because of one odd answer."""
    whole, refused = CcxtWire.open_orders, [True]

    def open_orders(self: CcxtWire, symbol: str, *, conditional: bool) -> Any:
        if refused:
            refused.pop()
            raise BrokerContractError("expected an answer to the open orders: the venue refuses with -1120")
        return whole(self, symbol, conditional=conditional)

    monkeypatch.setattr(CcxtWire, "open_orders", open_orders)

    report = kill(bench)

    assert (report.done, there(bench)) == (True, (0.0, []))


def test_positions_can_stay(bench: CcxtBench) -> None:
    """Entries are cancelled, and what is held keeps its protection."""
    report = kill(bench, keep_positions=True)

    assert report.done
    assert there(bench) == (1.0, ["sell limit 1", "sell stop 1"])


def test_what_is_not_the_bot_s_is_never_touched(bench: CcxtBench) -> None:
    """A position and an order from the venue's web page stay as they are, and are told of."""
    by_hand(bench, BY_HAND, RESTING_BY_HAND)

    report = kill(bench)

    assert report.done
    assert there(bench) == (0.4, ["buy limit 0.3"])
    assert len(report.foreign) == 2
    assert "0.4 BTCUSDT" in report.foreign[0]
    assert "web-2" in report.foreign[1]


def test_a_bot_that_has_sent_nothing_has_nothing(bench: CcxtBench) -> None:
    """Without its ids everything is other people's."""
    before, calls = there(bench), len(bench.venue.calls)

    report = kill(bench, known=())

    assert (report.done, there(bench), acts(bench, calls)) == (True, before, [])


@pytest.mark.parametrize(
    "kind", [FaultKind.UNANSWERED, FaultKind.LOST, FaultKind.RESET_AFTER, FaultKind.ERROR_AFTER, FaultKind.TWICE,
             FaultKind.LATE, FaultKind.RATE_LIMIT],
)  # fmt: skip
def test_a_close_that_nobody_answered_is_not_doubled(bench: CcxtBench, kind: FaultKind) -> None:
    """Other people hold the same, and a second close would take from it."""
    by_hand(bench, BY_HAND)
    bench.venue.fail(Fault(kind=kind, endpoint="POST order", seconds=3.0))

    report = kill(bench)

    assert report.done
    assert there(bench) == (0.4, [])


def test_what_the_bot_sends_meanwhile_is_found(bench: CcxtBench) -> None:
    """A request was under way when the latch was set, and arrives after the first look."""
    late = OrderRequest(
        client_id="klate", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=2.0, stop=90.0
    )
    known = [ENTRY, RESTING, BREAKOUT]
    sent: list[str] = []

    def told(sentence: str) -> None:
        if sentence.startswith("closing") and not sent:
            sent.append(sentence)
            known.append(late)
            by_hand(bench, late)

    report = kill(bench, known, tell=told)

    assert report.done
    assert there(bench) == (0.0, [])
    assert [words.split()[0] for words in report.closed] in (["3"], ["1", "2"])


def test_an_entry_that_was_under_way_is_waited_for() -> None:
    """Nothing is there at the first look, and an entry arrives after it."""
    with ccxt_bench() as fresh:
        fresh.venue.fail(Fault(kind=FaultKind.LATE, endpoint="POST order", seconds=6.0))
        with pytest.raises(BrokerUnavailable):
            fresh.broker.place(ENTRY)

        report = kill(fresh, [ENTRY])

        assert report.done
        assert report.closed == ("1 BTCUSDT long of S",)
        assert there(fresh) == (0.0, [])


def test_closing_orders_are_told_before_they_are_sent(bench: CcxtBench) -> None:
    """So the bot's next process recognises them."""
    remembered: list[tuple[OrderRequest, int]] = []

    kill(bench, remember=lambda request: remembered.append((request, len(bench.venue.calls))))

    [(request, calls)] = remembered
    sent = next(call for call in bench.venue.calls if call.params.get("newClientOrderId") == request.client_id)
    assert sent.number > calls
    assert (request.position_id, request.reduce_only) == ("kentry", True)


@pytest.mark.parametrize("known", [True, False])
def test_a_bot_that_runs_knows_what_was_closed_for_it(bench: CcxtBench, tmp_path: Path, known: bool) -> None:
    """It is not told that somebody else has traded in its account, when it was killed by its own people."""
    with AccountState(tmp_path / "mine.sqlite") as state:
        if known:
            bench.broker.know_what_others_send(partial(sent_for, state))
        kill(bench, remember=partial(remember, state))
        bench.broker.refresh()

    fills = [event.fill for event in bench.broker.mailbox(SYMBOL) if event.fill is not None]
    trades = [event.trade for event in bench.broker.mailbox(SYMBOL) if event.trade is not None]
    assert [each.kind for each in fills] == ["entry", "operator" if known else "foreign"]
    assert len(trades) == 1
    assert (bench.broker.positions(SYMBOL), bench.broker.foreign) == ((), {})
    assert bench.broker.snapshot().orders == ()


def test_closing_orders_are_remembered_with_the_positions_that_are_known(tmp_path: Path) -> None:
    """Those of positions of long ago are no concern of a new start."""
    closing = replace(ENTRY, client_id="kclose", side=Side.SELL, reduce_only=True, position_id="kentry")
    with AccountState(tmp_path / "mine.sqlite") as state:
        remember(state, closing)
        remember(state, replace(closing, client_id="kother", position_id="klong-ago"))

        assert remembered(state, [ENTRY, RESTING]) == [closing]
        assert remembered(state, [ENTRY, closing]) == []


def test_a_venue_that_comes_back_is_asked_again(bench: CcxtBench) -> None:
    """For a while nothing is answered."""
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, times=10))

    report = kill(bench)

    assert report.done
    assert there(bench) == (0.0, [])


def test_what_cannot_be_done_is_said_plainly(bench: CcxtBench) -> None:
    """The venue refuses every close; the protection stays as long as something is held."""
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, endpoint="POST order", times=1000))

    report = kill(bench, rounds=12)

    assert not report.done
    assert "1 BTCUSDT long of S" in " ".join(report.left)
    assert there(bench) == (1.0, ["sell limit 1", "sell stop 1"])


def test_other_people_on_the_other_side_stand_in_the_way() -> None:
    """The venue shows nothing that could be reduced; it is said, and nothing is opened."""
    with ccxt_bench() as fresh:
        by_hand(fresh, OrderRequest(client_id="web-3", book="", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET,
                                    volume=1.5))  # fmt: skip
        fresh.broker.place(ENTRY)
        fresh.venue.advance_to(fresh.now_ns() + MINUTE_NS)

        report = kill(fresh, [ENTRY])

        assert not report.done
        assert "cannot be closed" in report.left[0]
        assert there(fresh)[0] == -0.5


def test_a_venue_with_a_pace_has_its_own_present() -> None:
    """Its seconds pass so many times as fast."""
    real = [1_000]
    now_ns = venue_clock(60.0, 5_000_000, 1_000, lambda: real[0])
    first = now_ns()
    real[0] += 10

    assert (first, now_ns()) == (5_000_000, 5_000_600)
