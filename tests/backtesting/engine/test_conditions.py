"""Break conditions: what may be said, what it means, and that nothing else can be said."""

from typing import Any

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.condition_values import KINDS
from src.backtesting.engine.conditions import compile_condition
from src.backtesting.result import Outcome
from src.core.bars import Bar
from src.core.errors import ConfigError
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing import bar_series, bot_config, build_world
from tests.backtesting.engine.underway import Underway

START = parse_instant("2024-01-01")  # a Monday
FIELD_OF = (("order", "state"), ("fill", "fill_kind"), ("trade", "exit_kind"))


class Plan(BarStrategy):
    """AAA: bought after bar 2, stopped out in bar 8; BBB: an order far away after bar 4, cancelled after bar 6."""

    def on_bar(self, bar: Bar) -> None:
        n = len(self.bars)
        if self.symbol == "AAA" and n == 2:
            self.buy(stop=95, target=200)
        if self.symbol == "BBB" and n == 4:
            self.order = self.buy(limit=50, stop=40)
        if self.symbol == "BBB" and n == 6:
            self.cancel(self.order.order_id)


AAA = [100.0, 101.0, 102.0, 103.0, 104.0, 103.0, 101.0, 94.0, 95.0, 96.0, 97.0, 98.0]
BBB = [60.0, 61.0, 62.0, 61.0, 60.0, 59.0, 58.0, 57.0, 56.0, 55.0, 54.0, 53.0]


def world(**how: Any) -> BacktestController:
    """Two symbols and twelve minutes."""
    config = bot_config(["AAA", "BBB"], [Plan], balance=1_000.0)
    return build_world([bar_series("AAA", AAA), bar_series("BBB", BBB)], [Plan], config, **how)


def minute_of(expression: str) -> int | None:
    """In which minute the run pauses because of the condition; None when it never does."""
    controller = world()
    controller.break_when(expression)
    with Underway(controller) as run:
        if not run.control.wait_paused(30):
            return None
        state = run.control.state
        result = run.finished()
    assert result.outcome is Outcome.COMPLETED
    assert "cannot be told" not in state.why, state.why
    return (state.now_ns - START) // MINUTE_NS


@pytest.mark.parametrize(
    ("expression", "minute"),
    [
        ('now >= "2024-01-01 00:03"', 3),
        ('clock > "2024-01-01T00:03:00Z"', 4),
        ('"2024-01-01 00:03" <= now', 3),
        ("clock.minute == 7", 7),
        ('clock.hour == 0 and clock.weekday == 0 and clock.date == "2024-01-01" and clock.time == "00:05:00"', 5),
        ("clock.second > 0", None),
        ("AAA.close > 102.5", 4),
        ("AAA.high >= 104 and not AAA.low > 103", 5),
        ("AAA.open < AAA.close and BBB.open > BBB.close", 4),
        ("AAA.bars == 6 and AAA.volume == 1", 6),
        ("AAA.bid == 94 or AAA.ask == 94", 8),
        ('symbol("BBB").close < 57.5', 8),
        ("-AAA.close < -103.5", 5),
        ("AAA.close - BBB.close > 44.5", 12),
        ("abs(AAA.close - 98) < 0.5", 12),
        ("min(AAA.close, BBB.close) < 60", 6),
        ("max(AAA.close, 103.5) == 104 and round(AAA.close / 2, 1) == 52", 5),
        ("100 < AAA.close < 101.5 and AAA.bars > 3", 7),
        ("AAA.close // 10 == 9 and AAA.bars % 2 == 0", 8),
        ("AAA.close in (94, 95)", 8),
        ("AAA.bars > 0 and AAA.close not in [100, 101, 102]", 4),
        ("account.equity > 1001.5", 4),
        ("account.balance < 1000", 8),
        ("account.margin_used > 100 and account.margin_free < 1000", 2),
        ("position.AAA.is_long", 2),
        ("position.AAA.is_flat and AAA.bars > 2", 8),
        ("position.AAA.volume == 1 and position.AAA.entry_price == 101 and position.AAA.profit == 2", 4),
        ("position.AAA.stop == 95 and position.AAA.target == 200 and position.AAA.risk == 6", 2),
        ('position("AAA", "Plan").is_long and not position("BBB").is_short', 2),
        ('now - position.AAA.opened >= "3m"', 5),
        ('position.AAA.opened > "2024-01-01 00:01"', 2),
        ("position.AAA.opened.minute == 2", 2),
        ("position.BBB.stop < 1e9 or position.BBB.stop > -1e9", None),
        ("position.BBB.opened.hour < 24", None),
        ('event("fill")', 2),
        ('event("fill", kind="stop", symbol="AAA", side="sell")', 8),
        ('event("trade")', 8),
        ('event("order", kind="cancelled")', 6),
        ('event(kind="working", symbol="BBB")', 4),
        ('event("fill", symbol="BBB")', None),
        ("fills", 2),
        ("len(trades) > 0", 8),
        ('any(order.symbol == "BBB" for order in orders)', 4),
        ('any(each.price < 100 for each in fills if each.kind == "stop")', 8),
        ('all(each.event == "decision" for each in events) and events', None),
        ("sum(each.net for each in trades) < -5", 8),
        ("True and not False and AAA.bars == 3", 3),
    ],
)
def test_a_condition_pauses_where_it_begins_to_hold(expression: str, minute: int | None) -> None:
    """After the turns of the first instant at which it does."""
    assert minute_of(expression) == minute


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('event("fill", kind="bogus")', "is no kind of fill; there are entry, exit, stop, target"),
        ('event("trade", kind="stopp")', "did you mean 'stop'?"),
        ('event("order", kind="fill")', "is no kind of order; did you mean 'filled'?"),
        ("acount.equity < 1", "did you mean 'account'?"),
        ("aaa.close > 1", "did you mean 'AAA'?"),
        ("AAA.clos > 1", "did you mean 'close'?"),
        ("account.equty > 1", "did you mean 'equity'?"),
        ("position.AAB.volume > 1", "'position.AAB' is no symbol of this run; did you mean 'AAA'?"),
        ('position("CCC").volume > 1', "there are AAA, BBB"),
        ('symbol("AAA", "BBB").close > 1', "the wrong number of arguments"),
        ("position().volume > 1", "the wrong number of arguments"),
        ("position(AAA).volume > 1", "texts in quotes"),
        ('event("fil")', "did you mean 'fill'?"),
        ('event("fill", sid="buy")', "did you mean 'side'?"),
        ('event("fill", kind=3)', "is a number, expected a text"),
        ('event("fill", "order")', "more than one event"),
        ("event(**{})", "asks for"),
        ('now > "yesterday"', "expected a date such as"),
        ('now - position.AAA.opened > "soon"', "expected a duration such as"),
        ("now > 3", "compares a number with an instant"),
        ("AAA > 3", "compares a number with a symbol"),
        ('account.equity < "3"', "compares a number with a text"),
        ("account.equity = 3", "write == to compare"),
        ("account.equity <", "cannot be read"),
        ("", "cannot be read"),
        ("AAA.close > 1; BBB.close", "cannot be read"),
        ("AAA.stop == 1", "is unknown"),
        ("position.AAA.stop is None", "compares with `is`"),
        ("AAA", "not a condition"),
        ("account", "is the account, not a condition"),
        ("now and True", "is an instant, not a condition"),
        ('"text"', "is a text, not a condition"),
        ("position", "all positions, not a condition"),
        ("position.volume > 1", "is no symbol of this run"),
        ("AAA.close + now > 1", "where a number was expected"),
        ("AAA.close ** 2 > 1", "something else than"),
        ("AAA.close in 3", "nothing to look in"),
        ('AAA.close in (1, "x")', "is a text where a number was expected"),
        ("len(account) > 1", "counts something else"),
        ("len(fills, fills) > 1", "takes one"),
        ("any(fills)", "needs something like any("),
        ("any(each for each in fills)", "where a number or a condition was expected"),
        ('sum(each.kind for each in fills) == ""', "no numbers"),
        ("any(each.volume > 1 for each in AAA)", "cannot be gone through"),
        ("any(account.volume > 1 for account in fills)", "take another letter"),
        ("any(each.volum > 1 for each in fills)", "did you mean 'volume'?"),
        ("any(a.volume > b.volume for a in fills for b in fills)", "nothing that a break condition may hold"),
        ("abs() > 1", "no argument"),
        ("abs(1, 2) > 1", "the wrong number of arguments"),
        ("max(1) > 1", "the wrong number of arguments"),
        ("abs(x=1) > 1", "names arguments"),
        ("sbs(1) > 1", "did you mean 'abs'?"),
        ("not " * 900 + "True", "at most|nested too deeply|cannot be read"),
    ],
)
def test_what_is_wrong_is_refused_at_once_with_a_way_out(expression: str, message: str) -> None:
    """Before the run goes on; nothing takes effect."""
    controller = world()

    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace("?", r"\?").replace("*", r"\*")):
        controller.break_when(expression)
    assert controller.run().outcome is Outcome.COMPLETED
    assert controller.control_records == ()


@pytest.mark.parametrize(
    "expression",
    [
        '__import__("os").system("true")',
        "().__class__.__bases__",
        "account.__class__.__init__.__globals__",
        "account._broker",
        "AAA._series.length > 1",
        "account.equity.real > 1",
        'eval("1")',
        'open("/etc/passwd")',
        "[x for x in ().__class__.__bases__]",
        "(lambda: 1)()",
        "any(each.__class__ for each in fills)",
        "any((each := 1) for x in fills)",
        "f'{account}' == ''",
        "{1: 2}[1] > 1",
        "fills[0].volume > 1",
        "event.__globals__",
        "position.__globals__",
        'account.equity if True else __import__("os")',
        '"a" * 10 == "x"',
        "print",
        "await x",
        "b'x' == b'x'",
        "1j",
        "...",
        "max(*fills) > 1",
        "any(True for x in fills) and exit()",
    ],
)
def test_nothing_else_can_be_reached(expression: str) -> None:
    """No attribute but those of the tables, no call but those named, no name from outside."""
    with pytest.raises(ConfigError):
        compile_condition(expression, world().control._world)


def test_events_are_those_since_the_last_step() -> None:
    """One that was seen is not seen again, and what was before the condition was given is not seen at all."""
    controller = world()
    controller.run_to("2024-01-01 00:05")
    seen = []
    with Underway(controller) as run:
        run.paused_at()
        controller.break_when("events", once=False)
        controller.resume()
        while run.control.wait_paused(30):
            seen.append((run.control.state.now_ns - START) // MINUTE_NS)
            controller.resume()

    # Minute 6: BBB's order is cancelled; 8: AAA's stop; the rest of the run is quiet.
    assert seen == [6, 8]


def test_every_kind_that_a_run_has_is_known() -> None:
    """What is refused can never happen."""
    controller = world()
    records = controller.run().records
    seen = {
        (entry.kind, dict(entry.fields)[field]) for entry in records for kind, field in FIELD_OF if entry.kind == kind
    }

    assert seen
    assert [each for each in sorted(seen) if each[1] not in KINDS[each[0]]] == []
