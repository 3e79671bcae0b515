"""A monitor that comes a little after a bar has closed, as a live one does, manages by the close all the same."""

from src.backtesting.engine.latency import Latency
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.core.timeframe import SECOND_NS
from src.core.trading_controller import MONITOR
from src.testing.worlds import bar_series, bot_config, price_tape, run_world

CLOSES = [100.0, 100.0, 111.0, 105.0]
#: After the close at 111 the price falls to 105 at once: the entry's R of ten is reached by the close alone.
QUOTES = [(1, 100, 100), (61, 100, 100), (179, 111, 111), (181, 105, 105), (239, 105, 105)]


class Once(BarStrategy):
    """Buys after the first bar."""

    timeframe = "1m"

    def on_bar(self, bar: Bar) -> None:
        """See the class."""
        if len(self.bars) == 1:
            self.buy(stop=bar.close - 10)


def moves(delay_s: int) -> list[tuple[float, str]]:
    """The stops that were set, with the rule, when the monitor comes so late."""
    config = bot_config(["AAA"], [Once], manage={"break_even": {"at_r": 1}})
    latency = {MONITOR: Latency(delay_ns=delay_s * SECOND_NS)} if delay_s else None
    result = run_world(
        [bar_series("AAA", CLOSES)], [Once], config, tapes={"AAA": price_tape("AAA", QUOTES)}, latency=latency,
        at_end="keep",
    )  # fmt: skip
    assert result.error is None, result.error
    return [(record.values[1], record.values[3]) for record in result.records if record.kind == "protect"]


def test_a_late_monitor_moves_the_stop_by_the_close_of_the_bar() -> None:
    """What has happened since the close changes nothing: two seconds late it decides as at once."""
    assert moves(0) == moves(2) == [(90.0, "entry"), (100.0, "break_even")]
