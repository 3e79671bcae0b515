"""A run with `breakpoint()` in its strategy: started by a test at a terminal of its own, it prints one JSON line."""

import json
import pdb  # noqa: F401 - else the turn that asks for it takes as long as it takes to load it
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
    # A turn may take less than what is spent in the debugger, which does not count.
    controller = build_world(series, [Stops], runtime=sys.argv[1], stall_s=2.0)
    controller.tell = print
    result = controller.run()
    print(json.dumps({"outcome": result.outcome.value, "digest": result.digest, "error": str(result.error)}))
