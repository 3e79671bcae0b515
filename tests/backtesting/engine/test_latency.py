"""Virtual computing time: a participant that is late acts later, and the outcome says what that costs."""

from pathlib import Path
from typing import Any

import pytest

from src.backtesting.config import BacktestConfig
from src.backtesting.engine import wakes
from src.backtesting.engine.latency import Latency, latency_of
from src.backtesting.result import BacktestResult
from src.backtesting.run import execute, prepare
from src.core.bars import Bar
from src.core.config_file import read_config
from src.core.errors import ConfigError
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing import bar_series, bot_config, run_world
from tests.backtesting.engine.scripted import Deaf, Stage
from tests.cli.small import CONFIG

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])
MONITOR = "monitor:positions"


class Once(BarStrategy):
    """Buys at its first bar with a stop ten below."""

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 1:
            self.buy(stop=bar.close - 10)


# The second bar fills the entry at 100, the third goes to its R, the fourth falls back below the entry at once.
UP_AND_BACK: list[float | tuple[float, float, float, float]] = [
    100.0,
    100.0,
    (100.0, 112.0, 100.0, 111.0),
    (111.0, 111.0, 95.0, 96.0),
    (96.0, 96.0, 85.0, 86.0),
]


def guarded(runtime: str = "fibers", **latency: Latency) -> BacktestResult:
    """A run whose monitor moves the stop to the entry after one R."""
    config = bot_config(["AAA"], [Once], manage={"break_even": {"at_r": 1}})
    late = {MONITOR: latency["monitor"]} if latency else None
    return run_world([bar_series("AAA", UP_AND_BACK)], [Once], config, runtime=runtime, latency=late)


@both
def test_a_monitor_that_is_late_moves_its_stop_one_bar_later(runtime: str) -> None:
    """Two seconds are enough: the bar that is under way when the stop moves is matched against the old one."""
    prompt = guarded(runtime)
    late = guarded(runtime, monitor=Latency(delay_ns=2 * SECOND_NS))

    assert [(t.exit_price, t.exit_ns - prompt.start_ns) for t in prompt.trades] == [(100.0, 4 * MINUTE_NS)]
    assert [(t.exit_price, t.exit_ns - late.start_ns) for t in late.trades] == [(96.0, 5 * MINUTE_NS)]
    assert late.digest != prompt.digest


@both
def test_a_monitor_that_is_late_comes_late_to_its_timer_too(runtime: str) -> None:
    """A time exit that falls due at a bar's close then misses the open that follows at once."""

    def ends(latency: dict[str, Latency]) -> list[tuple[float, int]]:
        config = bot_config(["AAA"], [Once], manage={"time_exit": {"after": "3m"}})
        series = bar_series("AAA", [100.0 + i for i in range(9)])
        result = run_world([series], [Once], config, runtime=runtime, latency=latency)
        return [(trade.exit_price, trade.exit_ns - result.start_ns) for trade in result.trades]

    assert ends({}) == [(103.0, 4 * MINUTE_NS)]
    assert ends({MONITOR: Latency(delay_ns=2 * SECOND_NS)}) == [(104.0, 5 * MINUTE_NS)]


@both
@pytest.mark.parametrize("delay_ns", [0, 2 * SECOND_NS])
def test_a_delay_of_nothing_is_no_delay(delay_ns: int, runtime: str) -> None:
    """The digest is that of a run without latency; with a delay it is another, equal in both runtimes."""
    none = guarded(runtime)
    late = guarded(runtime, monitor=Latency(delay_ns=delay_ns))

    assert (late.digest == none.digest) is (delay_ns == 0)
    assert late.digest == guarded("fibers", monitor=Latency(delay_ns=delay_ns)).digest


class Diary(BarStrategy):
    """Writes down when it sees which bar."""

    pages: list[tuple[str, int, int]] = []

    def on_bar(self, bar: Bar) -> None:
        self.pages.append((self.symbol, len(self.bars), self.now_ns // SECOND_NS % 86_400))
        if len(self.bars) == 1 and self.symbol == "AAA":
            self.buy()

    def on_order(self, event: OrderEvent) -> None:
        self.pages.append((f"{self.symbol} {event.order.state}", 0, self.now_ns // SECOND_NS % 86_400))


def diary(latency: dict[str, Latency], runtime: str = "fibers", count: int = 3) -> list[tuple[str, int, int]]:
    """What the workers of AAA and BBB saw, and the second at which they saw it."""
    Diary.pages = []
    series = [bar_series(symbol, [100.0] * count) for symbol in ("AAA", "BBB")]
    result = run_world(series, [Diary], runtime=runtime, latency=latency)
    assert result.error is None
    return Diary.pages


@both
def test_a_late_worker_sees_bars_and_order_events_late_and_the_others_do_not(runtime: str) -> None:
    """Its market order fills at the next open after it decided; what is left when its data end, it sees at once."""
    pages = diary({"worker:AAA": Latency(delay_ns=30 * SECOND_NS)}, runtime)

    assert [page for page in pages if page[0].startswith("BBB")] == [("BBB", 1, 60), ("BBB", 2, 120), ("BBB", 3, 180)]
    assert [page for page in pages if page[0] == "AAA"] == [("AAA", 1, 90), ("AAA", 2, 150), ("AAA", 3, 180)]
    assert ("AAA filled", 0, 150) in pages


def test_a_worker_later_than_a_bar_is_long_sees_several_bars_in_one_turn() -> None:
    """The delay belongs to the first news; what comes meanwhile is seen with it, and no bar is left out."""
    pages = diary({"worker:*": Latency(delay_ns=90 * SECOND_NS)}, count=5)

    assert [page[1:] for page in pages if page[0] == "BBB"] == [(1, 150), (2, 150), (3, 270), (4, 270), (5, 300)]


def test_a_name_of_its_own_comes_before_the_pattern() -> None:
    """`worker:*` stands for the workers that are not named."""
    latencies = {"worker:*": Latency(delay_ns=5), "worker:AAA": Latency(delay_ns=1), "worker:CCC": Latency(delay_ns=0)}

    assert [latency_of(name, latencies) for name in ("worker:AAA", "worker:BBB", "worker:CCC", MONITOR)] == [
        Latency(delay_ns=1),
        Latency(delay_ns=5),
        None,
        None,
    ]


def test_jitter_is_a_function_of_seed_participant_and_instant() -> None:
    """Between nothing and all of it, both included, and another one for each of the three."""
    latency = Latency(delay_ns=100, jitter_ns=3)
    drawn = [latency.at(7, "worker:AAA", instant) for instant in range(200)]

    assert set(drawn) == {100, 101, 102, 103}
    assert drawn == [latency.at(7, "worker:AAA", instant) for instant in range(200)]
    assert drawn != [latency.at(8, "worker:AAA", instant) for instant in range(200)]
    assert drawn != [latency.at(7, "worker:BBB", instant) for instant in range(200)]


@both
def test_a_run_with_jitter_is_the_same_in_every_runtime(runtime: str) -> None:
    """Each bar is seen somewhere between the delay and the delay with all of its jitter."""
    pages = diary({"worker:*": Latency(delay_ns=20 * SECOND_NS, jitter_ns=30 * SECOND_NS)}, runtime, count=12)
    seen = [second - 60 * number for symbol, number, second in pages if symbol == "AAA" and number < 12]

    assert len(seen) == 11
    assert len(set(seen)) > 5
    assert all(20 <= late <= 50 for late in seen)
    assert pages == diary({"worker:*": Latency(delay_ns=20 * SECOND_NS, jitter_ns=30 * SECOND_NS)}, "fibers", count=12)


@both
def test_who_is_late_is_so_for_what_comes_after_its_turn_and_not_in_the_middle_of_it(runtime: str) -> None:
    """News that come while it sleeps inside a turn are late from the moment at which it parks."""
    stage = Stage(range(10, 100, 10), runtime=runtime)
    wake = Late(stage)

    def act() -> None:
        wake.hear()
        if stage.clock.now_ns() == 14:
            stage.clock.sleep(20)
            stage.note("after sleeping")

    stage.add("worker:AAA", act, symbol="AAA", wake=wake.late(4), timed=True)

    assert stage.run() == [
        (14, "worker:AAA"),
        (34, "after sleeping"),
        *((instant, "worker:AAA") for instant in (38, 44, 54, 64, 74, 84, 94)),
    ]


class Late(Deaf):
    """A bell behind the wake that is tested."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.market)
        self._clock = stage.clock

    def __call__(self) -> bool:
        return self._market.count > self.heard

    def late(self, delay_ns: int) -> Any:
        """The wake around this one."""
        clock = self._clock
        return wakes.Late(
            self,
            lambda: clock.instant_ns,
            lambda instant_ns: delay_ns,
            is_parked=lambda: clock.is_parked("worker:AAA"),
            has_ended=lambda: clock.has_ended("worker:AAA"),
        )


def small(tmp_path: Path, *words: str) -> Any:
    """The small configuration, prepared."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return read_config(path, ["backtest.runtime=fibers", *words])


def test_latency_in_the_configuration_is_part_of_the_runs_identity_and_changes_it(tmp_path: Path) -> None:
    """A worker half an hour late trades at other prices."""
    plain, late = prepare(small(tmp_path)), prepare(small(tmp_path, "backtest.latency={'worker:*': {delay: 30m}}"))
    results = [execute(each, report=False).result for each in (plain, late)]

    assert plain.run_id != late.run_id
    assert results[0].digest != results[1].digest
    assert results[0].bars == results[1].bars


def test_an_unknown_participant_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """Names are easily mistyped, and a latency that nobody has would change nothing."""
    document = small(tmp_path, "backtest.latency={'worker:BTCUSD': {delay: 1s}}")

    with pytest.raises(ConfigError, match=r"found 'worker:BTCUSD'; did you mean 'worker:BTCUSDT'\?"):
        document.validate(BacktestConfig)


def test_a_negative_delay_is_refused(tmp_path: Path) -> None:
    """Nobody acts before there is something to do."""
    with pytest.raises(ConfigError, match="latency"):
        small(tmp_path, "backtest.latency={'worker:*': {delay: -1s}}").validate(BacktestConfig)
