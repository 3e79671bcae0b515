"""A bot that uses orders of all kinds, in a whole run: the same in threads and fibers, and written down."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from src.backtesting.artifacts.tables import orders_table, write_table
from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import Bar
from src.core.records import OrderEvent
from src.core.rng import stream
from src.core.strategy import BarStrategy
from src.testing import bar_series, bot_config, run_world

SYMBOLS = ("AAA", "BBB")


class Versatile(BarStrategy):
    """Enters in another way at each third bar or so, and changes and cancels what still works."""

    def on_start(self) -> None:
        self.entry = ""
        self.told: Counter[str] = Counter()

    def on_bar(self, bar: Bar) -> None:
        number, price = len(self.bars), bar.close
        if number % 3 == 0 and self.entry:
            self.modify(self.entry, price=price - 0.6, reason="nearer")
        if number % 7 == 0 and self.entry:
            self.cancel(self.entry)
        if not self.position.is_flat or number % 3:
            return
        if number % 9 == 0:
            for side, away in ((self.buy, 0.4), (self.sell, -0.4)):
                side(volume=1.0, trigger=price + away, trigger_limit=price + 2 * away, group="breakout",
                     time_in_force="day", stop_trail_atr=1.5, atr_length=3)  # fmt: skip
        elif number % 9 == 3:
            self.entry = self.buy(volume=1.0, limit=price - 0.5, post_only=True).order_id
            for word, away in (("limit", 0.5), ("trigger", -1.5)):
                self.sell(reduce_only=True, parent=self.entry, group="exit", **{word: price + away})
        else:
            self.buy(volume=1.0, trail_percent=0.3, stop_trail_distance=0.7)

    def on_order(self, event: OrderEvent) -> None:
        self.told[event.order.code or event.order.state.value] += 1


def a_run(runtime: str) -> BacktestResult:
    """Both symbols on a random walk around 100."""
    series = []
    for symbol in SYMBOLS:
        numbers, price, prices = stream(5, "versatile", symbol), 100.0, []
        for _ in range(300):
            price = round(price + numbers.uniform(-0.5, 0.5) + 0.02 * (100 - price), 2)
            prices.append(price)
        series.append(bar_series(symbol, prices))
    return run_world(series, [Versatile], bot_config(SYMBOLS, [Versatile], balance=10_000.0), runtime=runtime)


@pytest.mark.slow
def test_orders_of_all_kinds_give_one_digest_in_threads_and_fibers(tmp_path: Path) -> None:
    """Every kind has filled, every way to end has happened, and the stored orders have their terms."""
    runs = [a_run(runtime) for runtime in ("threads", "fibers")]

    assert [run.outcome for run in runs] == [Outcome.COMPLETED] * 2, runs[0].error
    assert runs[0].digest == runs[1].digest
    filled = {order.request.type.value for order in runs[0].orders if order.filled_volume}
    ended = {order.code for order in runs[0].orders}
    assert filled >= {"limit", "stop", "stop_limit", "trailing_stop"}
    assert {"", "group", "parent", "cancelled"} <= ended
    assert {"stop", "trailing", "exit"} & {trade.exit_kind for trade in runs[0].trades}
    write_table(orders_table(runs[0].orders), tmp_path / "orders.parquet")
    stored = pq.read_table(tmp_path / "orders.parquet").to_pydict()
    assert {"day", "gtc"} <= set(stored["time_in_force"])
    assert {"", "breakout", "exit"} <= set(stored["group"])
    assert [order.request.parent for order in runs[0].orders] == stored["parent"]
    assert sum(trade.net for trade in runs[0].trades) == pytest.approx(runs[0].equity[-1] - 10_000.0)
