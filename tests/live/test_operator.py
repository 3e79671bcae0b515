"""What the operator's commands do inside the bot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from src.core.config import RiskConfig
from src.core.errors import ConfigError
from src.core.order_desk import OrderDesk
from src.core.records import Side, make_order_result
from src.core.risk_manager import RiskManager, make_entry_intent
from src.core.timeframe import MINUTE_NS
from src.live.account_state import AccountState
from src.live.operator import Operator, known_symbol, switch
from tests.brokers.simulated.venue import Venue
from tests.core.risk_desk import three_symbols


class MovingClock:
    """The venue's clock, for whom to sleep is to let the market move."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def now_ns(self) -> int:
        """The venue's instant."""
        return self.venue.clock.now_ns()

    def sleep(self, duration_ns: int) -> None:
        """Let it pass."""
        self.venue.go_to(self.venue.minute + duration_ns / MINUTE_NS)


class Bench:
    """An operator of a bot that is long of AAA, short of BBB, and has an entry in each of AAA and CCC."""

    def __init__(self, on_stop: str = "keep", latency_s: float = 0.0) -> None:
        self.venue = three_symbols(account={"leverage": 100}, costs={"latency_s": latency_s})
        self.venue.buy(1.0)
        self.venue.sell(2.0, symbol="BBB")
        self.venue.go_to(6.5 if latency_s else 1)
        self.venue.buy(1.0, limit=90.0)
        self.venue.buy(1.0, limit=90.0, symbol="CCC")
        self.venue.sell(1.0, limit=110.0, reduce_only=True)
        self.stopped: list[str] = []
        broker, clock, journal = self.venue.broker, MovingClock(self.venue), self.venue.journal
        self.risk = risk = RiskManager(RiskConfig(size={"volume": 1}), broker, clock, hedging=False)  # type: ignore[arg-type]  # pydantic reads it; asked for the time only
        desk = OrderDesk("operator", "main", broker, risk, clock, journal)  # type: ignore[arg-type]  # asked for the time only
        self.operator = Operator(
            broker, desk, clock, journal, symbols=("AAA", "BBB", "CCC"), stop=self.stopped.append,  # type: ignore[arg-type]  # asked for the time and to sleep only
            block=risk.block, on_stop=on_stop,
        )  # fmt: skip

    def do(self, verb: str, **args: Any) -> tuple[bool, str]:
        """Execute a command; whether it was done, and the sentence."""
        answer = self.operator.execute({"id": 1, "verb": verb, "args": args, "by": "somebody"})
        self.venue.go_to(2)
        return answer.ok, answer.text

    @property
    def left(self) -> tuple[dict[str, float], list[str]]:
        """What is held, and the symbols of the orders that work."""
        found = self.venue.broker.snapshot()
        orders = [f"{each.request.symbol} {each.request.side}" for each in found.orders]
        return {each.symbol: each.volume for each in found.positions}, orders

    def decisions(self) -> list[tuple[Any, ...]]:
        """Action and verdict of each decision in the journal, and the words."""
        return [(values[1], values[2], values[-1]) for values in self.venue.recorded("decision")]


ALL = {"AAA": 1.0, "BBB": -2.0}


@pytest.mark.parametrize(
    ("verb", "args", "ok", "text", "held", "orders"),
    [
        ("pause", {}, True, "2 working entries cancelled", ALL, ["AAA sell"]),
        ("resume", {}, True, "entries go on", ALL, ["AAA buy", "AAA sell", "CCC buy"]),
        (
            "close",
            {"symbol": "AAA"},
            True,
            "closing 1 AAA long; 1 working entry",
            {"BBB": -2.0},
            ["AAA sell", "CCC buy"],
        ),
        ("close", {"symbol": "CCC"}, True, "nothing is held; 1 working entry", ALL, ["AAA buy", "AAA sell"]),
        ("flatten", {}, True, "closing 1 AAA long, 2 BBB short; 2 working", {}, ["AAA sell"]),
        ("kill", {}, True, "closing 1 AAA long, 2 BBB short", {}, ["AAA sell"]),
        ("kill", {"keep_positions": True}, True, "2 entries cancelled; positions stay", ALL, ["AAA sell"]),
        ("stop", {}, True, "the bot stops; positions stay", ALL, ["AAA buy", "AAA sell", "CCC buy"]),
        ("stop", {"positions": "flatten"}, True, "the bot stops; closing 1 AAA long", {}, ["AAA sell"]),
        ("adopt", {"symbol": "AAA"}, False, "nothing that it found", ALL, ["AAA buy", "AAA sell", "CCC buy"]),
        ("close", {"symbol": "AAB"}, False, "did you mean 'AAA'?", ALL, ["AAA buy", "AAA sell", "CCC buy"]),
        ("dance", {}, False, "expected one of pause", ALL, ["AAA buy", "AAA sell", "CCC buy"]),
    ],
)
def test_commands_do_what_they_say(
    verb: str, args: Mapping[str, Any], ok: bool, text: str, held: dict[str, float], orders: list[str]
) -> None:
    """Entries first, then positions; what only reduces opens nothing and stays with the strategy that placed it."""
    bench = Bench()

    found = bench.do(verb, **args)

    assert found[0] == ok
    assert text in found[1]
    assert bench.left == (held, orders)
    assert bench.stopped == (["stop, asked for by somebody"] if verb == "stop" else [])


def test_what_the_operator_does_is_journaled_as_its_decisions() -> None:
    """The command, and each order that follows from it, with who wanted it."""
    bench = Bench()

    bench.do("close", symbol="AAA")
    bench.do("adopt", symbol="AAA")

    words = "close, asked for by somebody"
    assert bench.decisions() == [
        ("close", "accepted", words), ("cancel", "accepted", words), ("close", "accepted", words),
        ("adopt", "refused", "adopt, asked for by somebody"),
    ]  # fmt: skip
    assert {fill.kind for fill in bench.venue.fills} == {"entry", "operator"}


def test_an_orderly_end_may_close_what_is_held() -> None:
    """As the configuration says, where the command does not."""
    bench = Bench(on_stop="flatten")

    bench.do("stop", reason="interrupted")

    assert bench.left == ({}, ["AAA sell"])
    assert bench.stopped == ["interrupted"]


def test_an_orderly_end_waits_until_nothing_is_held() -> None:
    """The venue takes a while to fill, and meanwhile nobody enters."""
    bench = Bench(on_stop="flatten", latency_s=59)

    answer = bench.operator.execute({"verb": "stop", "args": {}, "by": "somebody"})

    assert answer.ok
    entry = make_entry_intent(client_id="c", book="sma", symbol="AAA", side=Side.BUY)
    assert bench.venue.minute == pytest.approx(7)  # half a minute later the next bar opens
    assert bench.left == ({}, ["AAA sell"])
    assert bench.risk.reserve(entry).code == "blocked"


def test_an_orderly_end_also_closes_what_fills_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an entry that had left and could not be cancelled any more, as one whose fill is told of late."""
    bench = Bench(on_stop="flatten", latency_s=59)
    bench.venue.buy(1.0, symbol="CCC")
    monkeypatch.setattr(Operator, "_cancel_entries", lambda *_: 0)

    answer = bench.operator.execute({"verb": "stop", "args": {}, "by": "somebody"})

    assert answer.ok
    assert bench.left[0] == {}


def test_an_orderly_end_does_not_wait_for_ever() -> None:
    """What could not be closed is told, and the bot stops all the same."""
    bench = Bench(on_stop="flatten", latency_s=200)

    answer = bench.operator.execute({"verb": "stop", "args": {}, "by": "somebody"})

    assert not answer.ok
    assert "still held: 1 AAA, -2 BBB" in answer.text
    assert bench.stopped == ["stop, asked for by somebody"]


def test_a_refused_close_is_told() -> None:
    """The market is not there; the answer says so, and is no success."""
    bench = Bench()
    bench.venue.go_to(15)

    ok, text = bench.do("flatten")

    assert not ok
    assert "nothing was closed" in text
    assert "1 AAA long (" in text


def test_a_close_that_nobody_answered_is_not_told_as_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be done already: whoever reads that nothing was closed closes by hand, and a second time."""
    bench = Bench()
    unknown = make_order_result(accepted=False, order_id="k1", code="unanswered", message="the order k1 is looked up")
    monkeypatch.setattr(OrderDesk, "close", lambda *_, **__: unknown)

    ok, text = bench.do("close", symbol="AAA")

    assert not ok
    assert "nobody has answered yet whether this is closed" in text
    assert "nothing was closed" not in text
    assert "refused" not in text


def test_switches_are_set_before_the_bot_hears_of_a_command(tmp_path: Path) -> None:
    """They are in the durable state, and only the right label opens the latch."""
    with AccountState(tmp_path / "mine.sqlite") as state:
        switch(state, "pause", "somebody", 1)
        paused = state.paused
        switch(state, "kill", "somebody", 2, keep_positions=True)
        latch = state.latched
        for confirm in (None, "other"):
            with pytest.raises(ConfigError, match="mine"):
                switch(state, "resume", "somebody", 3, confirm=confirm)
        still = state.latched, state.paused
        switch(state, "resume", "somebody", 4, confirm="mine")
        switch(state, "close", "somebody", 5)

        assert paused
        assert still == (latch, True)
        assert latch is not None
        assert (latch.by, latch.keep_positions) == ("somebody", True)
        assert (state.latched, state.paused) == (None, False)


def test_a_symbol_in_small_letters_is_suggested() -> None:
    """It is not taken for another one by itself."""
    assert known_symbol("BTCUSDT", ("BTCUSDT",)) == "BTCUSDT"
    with pytest.raises(ConfigError, match="did you mean 'BTCUSDT'"):
        known_symbol("btcusd", ("BTCUSDT", "ETHUSDT"))
