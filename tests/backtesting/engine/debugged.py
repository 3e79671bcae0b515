"""A run with `breakpoint()` in its strategy: started by a test at a terminal of its own, it prints one JSON line."""

import json
import sys

from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.testing import bar_series, build_world


class Stops(BarStrategy):
    """Asks for the debugger at its third bar, and trades besides."""

    def on_bar(self, bar: Bar) -> None:
        count = len(self.bars)
        if count == 3 and DEBUG:
            breakpoint()
        if count == 4:
            self.buy(stop=bar.close - 50)


DEBUG = "debug" in sys.argv

if __name__ == "__main__":
    series = [bar_series(symbol, [100.0 + i for i in range(8)]) for symbol in ("AAA", "BBB")]
    # A turn may take next to no time, but what is spent in the debugger does not count.
    controller = build_world(series, [Stops], runtime=sys.argv[1], stall_s=0.5)
    controller.tell = print
    result = controller.run()
    print(json.dumps({"outcome": result.outcome.value, "digest": result.digest, "error": str(result.error)}))
