"""`--pause`, `--run-to` and `--break`: how a run is to be controlled from its start, and what shows it in the terminal.

Called by the main thread; what is shown while the run goes on may come from other threads.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from src.backtesting.config import BacktestConfig
from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.conditions import check_condition
from src.backtesting.engine.control import check_run_to
from src.backtesting.run import Watch
from src.cli.keys import ControlKeys, keys_available, keys_during, terminal_kept
from src.cli.output import Output
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.timeframe import format_instant, parse_instant

__all__ = ["Steering", "steered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What was asked for when the run was started.

    Attributes:
        pause: stand still before the first step.
        run_to: stand still after this instant.
        break_when: stand still when this condition holds.
        watched: a live view is shown, beside which the keys control the run where there is a terminal.
    """

    pause: bool = False
    run_to: str | None = None
    break_when: str | None = None
    watched: bool = False

    @property
    def pauses(self) -> bool:
        """Whether the run will wait for somebody."""
        return self.pause or self.run_to is not None or self.break_when is not None

    def check_window(self, start_ns: int, end_ns: int) -> None:
        """Refuse an instant at which a run over this window never stands still, before anything is shown.

        Raises:
            ConfigError: it lies outside the window.
        """
        if self.run_to is not None:
            check_run_to(parse_instant(self.run_to), start_ns, end_ns)

    def check(self, document: ConfigDocument) -> None:
        """Refuse what can be refused before anything is loaded.

        Raises:
            ConfigError: an instant that is none, a condition that cannot be one of a run of this configuration, a wrong
                configuration, or nobody at a terminal who could let a paused run go on.
        """
        if self.run_to is not None:
            parse_instant(self.run_to)
        if self.break_when is not None:
            check_condition(self.break_when, document.validate(BacktestConfig).symbols)
        if self.pauses and not keys_available():
            raise ConfigError(
                "--pause, --run-to and --break need somebody at a terminal who lets the run go on; found none on "
                "standard input: leave them out, or use BacktestController.pause() and its siblings from Python"
            )


def steered(steering: Steering, watch: Watch | None, out: Output) -> Watch:
    """What `execute` enters: the display given, and the keys around it when they are wanted.

    Also without keys it shows what somebody at the terminal has to know at once, through the controller's `tell`, which
    a display may set to its own; and it gives the terminal back its mode.
    """

    @contextmanager
    def during(controller: BacktestController) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(terminal_kept())
            controller.tell = out.warn
            if watch is not None:
                stack.enter_context(watch(controller))
            if steering.pauses or (steering.watched and keys_available()):
                stack.enter_context(keys_during(controller, controller.tell))
            if steering.pauses:
                controller.tell(ControlKeys.help)
                _begin(steering, controller)
            yield
            missed_ns = controller.control.state.run_to_ns
            if missed_ns is not None and controller.time_controller.stopped_because is None:
                # Known only now: bars may be missing up to the end.
                controller.tell(f"the run ended without a pause: no step came after {format_instant(missed_ns)}")

    return during


def _begin(steering: Steering, controller: BacktestController) -> None:
    if steering.break_when is not None:
        controller.break_when(steering.break_when)
    if steering.run_to is not None:
        controller.run_to(steering.run_to)
    if steering.pause:
        controller.pause()
