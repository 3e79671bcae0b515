"""A run that a signal ends: started by a test as a process of its own, it prints one JSON line about the result."""

import json
import os
import signal
import sys

from src.backtesting.engine.pacing import Pacer
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.testing import bar_series, run_world


class Interrupts(BarStrategy):
    """Sends its own process Ctrl-C at its third bar; the steps after it would take an hour each."""

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 3 and self.symbol == "AAA":
            PACER.step_s = 3_600.0
            os.kill(os.getpid(), signal.SIGINT)


class Switch(Pacer):
    """Slow from the moment on at which it is told so."""

    step_s = 0.0

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        self._step_s = self.step_s
        super().before_step(now_ns, at_ns, market=market)


PACER = Switch()

if __name__ == "__main__":
    result = run_world(
        [bar_series(symbol, [100.0] * 50) for symbol in ("AAA", "BBB")], [Interrupts], runtime=sys.argv[1], pacer=PACER
    )
    print(json.dumps({"outcome": result.outcome.value, "bars": result.bars, "error": str(result.error)}))
