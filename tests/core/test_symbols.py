"""Symbols that join and leave a bot: what is refused, and that it works on a clock that really waits."""

import io
import json

import pytest

from src.brokers.simulated import SimulatedBroker
from src.core.bars import Bar, BarSeries
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.journal import Journal
from src.core.log import make_log
from src.core.strategy import BarStrategy
from src.core.symbols import ADD, REMOVE, Roster
from src.core.timeframe import MINUTE_NS
from src.core.trading_controller import TradingController
from src.core.wall_clock import WallClock
from src.testing import bot_config
from src.testing.worlds import FREE


class Idle(BarStrategy):
    """Does nothing."""

    def on_bar(self, bar: Bar) -> None:
        return


def roster() -> Roster:
    """Two of four symbols."""
    config = bot_config(["AAA", "BBB", "CCC", "DDD"], [Idle])
    return Roster(config.model_copy(update={"symbols": ("AAA", "BBB")}))


def test_newcomers_come_after_all_others_and_keep_their_places() -> None:
    """The rank is the place among all that were ever there."""
    symbols = roster()
    for action, symbol in ((ADD, "DDD"), (REMOVE, "AAA"), (ADD, "CCC")):
        symbols.change(action, symbol)

    assert symbols.traded == ("BBB", "DDD", "CCC")
    assert symbols.known == ("AAA", "BBB", "DDD", "CCC")


def test_a_copy_is_changed_by_itself() -> None:
    """What is tried on it leaves the original as it is."""
    symbols = roster()
    symbols.remove("AAA")
    tried = symbols.copy()
    tried.add("CCC")

    assert (symbols.traded, tried.traded) == (("BBB",), ("BBB", "CCC"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([(ADD, "AAA")], "AAA is traded already"),
        ([(ADD, "EEE")], "EEE has no entry under instruments"),
        ([(REMOVE, "AAA"), (ADD, "AAA")], "AAA was removed from this run and cannot come back"),
        ([(REMOVE, "CCC")], "expected one of the symbols AAA, BBB, found 'CCC'"),
        ([(REMOVE, "AAA"), (REMOVE, "AAA")], "AAA was removed already"),
        ([(REMOVE, "AAA"), (REMOVE, "BBB")], "BBB is the last symbol"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(changes: list[tuple[str, str]], sentence: str) -> None:
    """The last change of each list is the impossible one."""
    symbols = roster()
    *possible, (action, symbol) = changes
    for change in possible:
        symbols.change(*change)
    before = symbols.traded

    with pytest.raises(ConfigError, match=sentence):
        symbols.change(action, symbol)

    assert symbols.traded == before


def test_the_name_of_the_accounts_stream_is_no_symbol() -> None:
    """Its records could not be told apart."""
    config = bot_config(["AAA"], [Idle])
    symbols = Roster(config.model_copy(update={"instruments": {"account": config.instruments["AAA"]}}))

    with pytest.raises(ConfigError, match="'account' is taken"):
        symbols.add("account")


def growing(symbol: str) -> BarSeries:
    """A series of one-minute bars to which the test appends."""
    return BarSeries.empty(symbol, MINUTE_NS)


def spot(symbol: str) -> Instrument:
    """An instrument without further rules."""
    return Instrument(symbol=symbol, kind="spot", quote_currency="USD")


def grow(series: BarSeries) -> None:
    """One more bar closes."""
    series.append(series.loaded * MINUTE_NS, 100.0, 101.0, 99.0, 100.0, 1.0)


def test_a_bot_on_a_clock_that_really_waits_takes_them_up_and_gives_them_up() -> None:
    """Inside a turn, with the newcomer's thread started at once and the other's ended."""
    said: list[str] = []
    series = {symbol: growing(symbol) for symbol in ("AAA", "BBB")}
    config = bot_config(["AAA", "BBB"], [Idle]).model_copy(update={"symbols": ("AAA",)})
    clock = WallClock(20_000.0, origin_ns=0)
    journal = Journal()
    broker = SimulatedBroker(config.account, {"AAA": spot("AAA")}, {"AAA": series["AAA"]}, {}, FREE)
    broker.bind(clock, journal)

    class Changes(BarStrategy):
        def on_start(self) -> None:
            said.append(f"{self.symbol} starts")
            if self.symbol == "BBB":
                controller.remove_symbol("AAA")
                grow(series["BBB"])

        def on_bar(self, bar: Bar) -> None:
            said.append(f"{self.symbol} bar")
            if self.symbol == "AAA":
                broker.add_symbol(spot("BBB"), series["BBB"], {})
                controller.add_symbol("BBB")
            else:
                self.clock.sleep(10 * MINUTE_NS)
                clock.stop("done")

        def on_stop(self) -> None:
            said.append(f"{self.symbol} stops")

    lines = io.StringIO()
    controller = TradingController(config, broker, clock, journal, {"Idle": Changes}, make_log(lines, clock.now_ns))
    controller.initialize()
    controller.start()
    grow(series["AAA"])
    controller.wait()

    for symbol in ("AAA", "BBB"):  # who comes first after the change, the system's threads decide
        heard = [each for each in said if each.startswith(symbol)]
        assert heard == [f"{symbol} {what}" for what in ("starts", "bar", "stops")]
    assert said[:3] == ["AAA starts", "AAA bar", "BBB starts"]
    assert controller.roster.traded == ("BBB",)
    events = [json.loads(line).get("event") for line in lines.getvalue().splitlines()]
    assert [each for each in events if each and each.startswith("symbol ")] == ["symbol added", "symbol removed"]
