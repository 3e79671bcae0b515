"""A backtest that goes on in a thread of its own while the test controls it from outside."""

import threading
from types import TracebackType

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import BacktestResult

#: So many real seconds a pause may take to arrive before the test is given up.
PATIENCE_S = 120.0


class Underway:
    """Starts the run when entered; when left, the run is over, stopped if need be."""

    def __init__(self, controller: BacktestController) -> None:
        self.controller = controller
        self.control = controller.control
        self._results: list[BacktestResult] = []
        self._thread = threading.Thread(target=lambda: self._results.append(controller.run()), name="run")

    def __enter__(self) -> "Underway":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.controller.stop("the test is over")
        self._thread.join(PATIENCE_S)

    def paused_at(self) -> int:
        """Wait for the pause and return its instant."""
        assert self.control.wait_paused(PATIENCE_S), self.control.state
        return self.controller.time_controller.statistics().now_ns

    def finished(self) -> BacktestResult:
        """Let it go on to its end and return the result."""
        self.controller.resume()
        return self.ended()

    def ended(self) -> BacktestResult:
        """Wait for its end and return the result."""
        self._thread.join(PATIENCE_S)
        assert self._results, "the run did not end"
        return self._results[0]
