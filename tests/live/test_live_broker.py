"""The broker that the bot sees live: what is written before it is sent, and what becomes of it after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.core.broker import Connection
from src.core.clock import Participant
from src.core.errors import BrokerUnavailable, ConfigError, DataError, LockstepError, Stopping
from src.core.records import OrderRequest, OrderResult, OrderType, Side, make_order_request
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.broker import NOT_SENT, STALE_PRICE, LiveBroker, Venue
from src.live.clock import LiveClock
from src.live.recording import FILE, Recording, read_entries
from src.live.script import ReplayDivergedError, Script
from src.live.tape import Tape
from src.live.wire import to_plain
from src.live.world import World
from tests.live.live_world import START_NS, Exchange, Source


class Never:
    """There is nothing to do."""

    def __call__(self) -> bool:
        """See `Wake`."""
        return False

    def next_due_ns(self) -> None:
        """See `Wake`."""
        return


class Bench:
    """One participant with a broker over an exchange, and a recording.

    Attributes:
        got: what the participant's act gave or raised.
    """

    def __init__(
        self, folder: Path, exchange: Exchange, *, script: Script | None = None, certain: bool = False,
        replayed: bool = False, max_age_ns: int = 0,
    ) -> None:  # fmt: skip
        self.path = folder / FILE
        self.exchange = exchange
        recording = None if replayed else Recording(self.path)
        self.tape = Tape(recording, writing=script is None)
        at_end: Callable[[], None] | None = None if replayed or script is None else self.tape.begin
        self.clock = LiveClock(self.tape, script=script, at_end=at_end, origin_ns=START_NS)
        self.tape.failed = self.clock.void
        self.source = Source(exchange, {"AAA": (MINUTE_NS,)}, self.clock.present_ns, START_NS)
        self.source.start()
        self.world = World([("AAA", MINUTE_NS, "trade")], "USDT")
        connection = Connection(certain=certain, in_flight_ns=SECOND_NS)
        venue = Venue({"AAA": exchange.instrument("AAA")}, connection, None if replayed else self.source, max_age_ns)
        self.broker = LiveBroker(venue, self.world, self.clock, self.tape, script)
        if script is not None:
            script.handlers.reply_world = lambda change, _: self.world.apply(change)
        self.recording = recording
        self.got: list[Any] = []

    def act(self, act: Callable[[LiveBroker], Any], *, show: bool = True) -> None:
        """Let the participant do something and leave."""

        def run() -> None:
            if show and not self.clock.is_scripted:
                self.world.apply(self.world.collect(self.source))
            try:
                self.got.append(act(self.broker))
            except LockstepError as error:
                self.got.append(error)
            finally:
                self.clock.leave("w")

        self.clock.spawn(Participant(name="w", phase=1, rank=0, wake=Never(), poll_ns=SECOND_NS), run)
        try:
            self.clock.drive()
        except LockstepError as error:
            self.got.append(error)
        if self.recording is not None:
            self.recording.close()


def request(**more: Any) -> OrderRequest:
    """An entry."""
    return make_order_request(
        client_id="a1", book="b", symbol="AAA", side=Side.BUY, type=OrderType.MARKET, volume=1.0, **more
    )


@pytest.fixture
def exchange() -> Exchange:
    """With nothing on it."""
    return Exchange(("AAA",))


def test_a_placement_is_on_the_disk_before_it_is_sent(tmp_path: Path, exchange: Exchange) -> None:
    """And its reply with what became visible by it after that."""
    bench = Bench(tmp_path, exchange)
    found: list[list[str]] = []
    exchange.before = lambda _: found.append([each.kind for each in read_entries(bench.path)])

    bench.act(lambda broker: broker.place(request()))

    assert found == [["turn", "call"]]
    kinds = [(each.kind, each.body.get("n")) for each in read_entries(bench.path, kinds=("call", "reply"))]
    assert kinds == [("call", 0), ("reply", 0)]
    reply = next(iter(read_entries(bench.path, kinds=("reply",)))).body
    assert len(reply["world"]["positions"]) == 1
    assert bench.world.positions("AAA")[0].volume == 1.0


def test_what_cannot_be_written_is_not_sent(tmp_path: Path, exchange: Exchange) -> None:
    """Nor is anything after it."""
    bench = Bench(tmp_path, exchange)
    assert bench.recording is not None
    bench.recording.close()

    def act(broker: LiveBroker) -> None:
        for _ in range(2):
            with pytest.raises(Stopping):
                broker.place(request())

    bench.act(act)

    assert exchange.sent == []
    assert bench.clock.is_void
    assert isinstance(bench.got[-1], DataError)


@pytest.mark.parametrize("error", [BrokerUnavailable("nobody"), ConfigError("no"), DataError("no latch")])
def test_an_error_is_recorded_and_replayed_as_it_was(tmp_path: Path, exchange: Exchange, error: LockstepError) -> None:
    """With its type and its sentence."""

    def before(method: str) -> None:
        raise error

    exchange.before = before
    bench = Bench(tmp_path, exchange)
    bench.act(lambda broker: broker.place(request()))

    again = Bench(tmp_path, exchange, script=Script(read_entries(bench.path)), replayed=True)
    again.act(lambda broker: broker.place(request()))

    for one in (bench, again):
        assert type(one.got[0]) is type(error)
        assert one.got[0].message == error.message


def test_an_adapter_that_fails_leaves_the_order_unknown(tmp_path: Path, exchange: Exchange) -> None:
    """It may have been sent: nobody takes it for refused."""

    def after(method: str) -> None:
        raise AttributeError("no such thing")

    exchange.after = after
    bench = Bench(tmp_path, exchange)

    bench.act(lambda broker: broker.place(request()))

    assert isinstance(bench.got[0], BrokerUnavailable)
    assert "AttributeError: no such thing" in bench.got[0].message
    notes = [each.body["what"] for each in read_entries(bench.path, kinds=("note",))]
    assert notes == ["defect"]


def killed_before_the_reply(tmp_path: Path, exchange: Exchange, *, arrived: bool) -> Script:
    """What is left of a process that wrote a placement down and was killed before it had an answer."""
    bench = Bench(tmp_path, exchange)
    bench.act(lambda broker: broker.place(request()))
    if not arrived:
        exchange.become(Exchange(("AAA",)).copy())
    rows = [each for each in read_entries(bench.path) if each.kind != "reply"]
    bench.path.unlink()
    return Script(iter(rows))


@pytest.mark.parametrize("certain", [True, False])
def test_a_placement_of_a_killed_process_that_arrived_is_found(
    tmp_path: Path, exchange: Exchange, *, certain: bool
) -> None:
    """And not sent again."""
    script = killed_before_the_reply(tmp_path, exchange, arrived=True)
    bench = Bench(tmp_path, exchange, script=script, certain=certain)

    bench.act(lambda broker: broker.place(request()))

    assert bench.got == [OrderResult(accepted=True, order_id="a1")]
    assert exchange.sent == ["a1"]
    assert [each.kind for each in read_entries(bench.path)] == ["reply"]


@pytest.mark.parametrize("certain", [True, False])
def test_a_placement_of_a_killed_process_that_did_not_arrive_is_not_sent_later(
    tmp_path: Path, exchange: Exchange, *, certain: bool
) -> None:
    """A venue that can be relied on has refused it; of another one nobody knows yet."""
    script = killed_before_the_reply(tmp_path, exchange, arrived=False)
    bench = Bench(tmp_path, exchange, script=script, certain=certain)

    bench.act(lambda broker: broker.place(request()))

    assert exchange.sent == []
    if certain:
        assert (bench.got[0].accepted, bench.got[0].code) == (False, NOT_SENT)
    else:
        assert isinstance(bench.got[0], BrokerUnavailable)


def test_a_close_of_a_killed_process_is_looked_up_and_a_change_is_made_again(
    tmp_path: Path, exchange: Exchange
) -> None:
    """A change does no harm when it arrives twice."""
    exchange.fill(request(), START_NS)
    rows = [
        ("turn", {"what": "first"}),
        ("call", {"n": 0, "method": "protect",
                  "args": {"position_id": "p1", "stop": 99.0, "target": None, "kind": "stop"}}),
    ]  # fmt: skip
    path = tmp_path / "old.sqlite"
    recording = Recording(path)
    for kind, body in rows:
        recording.write(START_NS, kind, "w", body)
    recording.close()
    bench = Bench(tmp_path, exchange, script=Script(read_entries(path)))
    bench.source.start([request()])

    bench.act(lambda broker: broker.protect("p1", stop=99.0))

    assert bench.got[0].accepted
    assert exchange.positions["AAA"].stop == 99.0


def test_an_entry_on_an_old_price_is_not_sent(tmp_path: Path, exchange: Exchange) -> None:
    """What reduces is, since whoever wants to be out gets out."""
    bench = Bench(tmp_path, exchange, max_age_ns=SECOND_NS)
    bench.world.apply({"quotes": {"AAA": [START_NS - MINUTE_NS, 100.0, 100.0, 1.0]}})

    bench.act(
        lambda broker: (broker.place(request()).code, broker.place(request(reduce_only=True)).accepted), show=False
    )

    assert bench.got == [(STALE_PRICE, True)]
    assert len(exchange.sent) == 1


def test_without_a_price_nothing_is_entered(tmp_path: Path, exchange: Exchange) -> None:
    """A venue that has said nothing yet is no reason to buy."""
    bench = Bench(tmp_path, exchange, max_age_ns=SECOND_NS)

    bench.act(lambda broker: broker.place(request()), show=False)

    assert bench.got[0].code == STALE_PRICE
    assert exchange.sent == []


def test_a_replay_sends_nothing_and_ends_where_the_recording_does(tmp_path: Path, exchange: Exchange) -> None:
    """What it would do afterwards counts for nothing."""
    bench = Bench(tmp_path, exchange)
    bench.act(lambda broker: broker.place(request()))
    again = Bench(tmp_path, exchange, script=Script(read_entries(bench.path)), replayed=True)

    def act(broker: LiveBroker) -> Any:
        first = broker.place(request())
        with pytest.raises(Stopping):
            broker.cancel("a1")
        return first

    again.act(act)

    assert again.got == [OrderResult(accepted=True, order_id="a1")]
    assert exchange.sent == ["a1"]
    assert again.clock.is_void


def test_another_call_than_the_recorded_one_is_a_difference(tmp_path: Path, exchange: Exchange) -> None:
    """And goes nowhere."""
    bench = Bench(tmp_path, exchange)
    bench.act(lambda broker: broker.place(request()))
    script = Script(each for each in read_entries(bench.path) if each.kind in ("turn", "call", "reply"))
    again = Bench(tmp_path, exchange, script=script, replayed=True)

    def act(broker: LiveBroker) -> None:
        with pytest.raises(Stopping):
            broker.place(request(reason="another"))

    again.act(act)

    assert isinstance(again.got[-1], ReplayDivergedError)
    assert exchange.sent == ["a1"]


def test_what_is_read_at_once_is_recorded_and_replayed(tmp_path: Path, exchange: Exchange) -> None:
    """Costs may be others by the time of the replay."""
    bench = Bench(tmp_path, exchange)
    bench.act(lambda broker: broker.margin_per_unit("AAA", 50.0))
    assert bench.got == [5.0]

    again = Bench(tmp_path, exchange, script=Script(read_entries(bench.path)), replayed=True)
    again.source.margin_per_unit = lambda symbol, price: 7.0  # type: ignore[method-assign]  # another one for this test
    again.act(lambda broker: broker.margin_per_unit("AAA", 50.0))

    assert again.got == [5.0]


def test_an_order_to_close_is_recorded_with_what_it_is(tmp_path: Path, exchange: Exchange) -> None:
    """So that it is recognised after a restart."""
    exchange.fill(request(), START_NS)
    bench = Bench(tmp_path, exchange)
    bench.source.start([request()])

    bench.act(lambda broker: broker.close("p1", client_id="c1"))

    call = next(iter(read_entries(bench.path, kinds=("call",)))).body["args"]
    expected = make_order_request(
        client_id="c1", book="b", symbol="AAA", side=Side.SELL, type=OrderType.MARKET, volume=1.0, reduce_only=True,
        position_id="p1",
    )  # fmt: skip
    assert call["request"] == to_plain(expected)
