"""RunControl: pause, go on, step, run to an instant, break on a condition, change the pace, while a run goes on.

Every method may be called from any thread, also before the run starts and from inside a turn; what it asks for takes
effect between two steps, in the thread that performs them, and is kept as a control record with that instant. It
decides when a step happens, never what happens in it, so that no digest changes. A run that nobody controls has no gate
between its steps; one that is given up again (nothing to wait for any more) takes itself away.
"""

import datetime as dt
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from src.backtesting.engine.conditions import Condition, World, compile_condition
from src.backtesting.engine.pacing import Pacer, TimeMode, pace_named
from src.backtesting.engine.ports import Gate
from src.core.errors import ConfigError
from src.core.sync import Event, Lock, monotonic_ns
from src.core.timeframe import format_instant, parse_instant

__all__ = ["ControlState", "Controllable", "RunControl", "check_run_to"]

_MOST_STEPS = 10**9


def check_run_to(until_ns: int, start_ns: int, end_ns: int) -> None:
    """Refuse an instant at which a run over this window can never stand still.

    Raises:
        ConfigError: it lies before the window, at its end or after it.
    """
    if start_ns <= until_ns < end_ns:
        return
    if until_ns < start_ns:
        why = "the run begins later, and time does not go back"
    else:
        why = "the run is over then, with nothing left to pause before"
    raise ConfigError(
        f"expected an instant to run to from {format_instant(start_ns)} to before {format_instant(end_ns)}, found "
        f"{format_instant(until_ns)}: {why}"
    )


class Controllable(Protocol):
    """What is asked of the clock: present, window, and a place for a gate between its steps; see `TimeController`."""

    @property
    def instant_ns(self) -> int: ...
    @property
    def window_ns(self) -> tuple[int, int]: ...
    @property
    def pacer(self) -> Gate | None: ...
    def post(self, request: Callable[[], None]) -> None: ...
    def set_pacer(self, pacer: Gate | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlState:
    """How a run is being controlled, at one moment.

    Attributes:
        status: `running`, `pausing` (asked, not yet there), `paused` or `ended`.
        why: why it is paused, a sentence; empty when it is not.
        now_ns: virtual time.
        pace: a time mode, or a factor of market time such as `60x`; as last asked for.
        break_when: the expression at which it will pause, None without one.
        run_to_ns: it will pause after everything of this instant, None without one.
        steps_left: it will pause after so many steps, None without a number.
    """

    status: str
    why: str
    now_ns: int
    pace: str
    break_when: str | None
    run_to_ns: int | None
    steps_left: int | None


class RunControl:
    """The control of one run; a `Gate` of its clock while there is something to control.

    Args:
        clock: the run's time controller.
        world: what break conditions read.
    """

    def __init__(self, clock: Controllable, world: World) -> None:
        self._clock = clock
        self._world = world
        self._replaced = clock.pacer
        self._pacer = self._replaced if isinstance(self._replaced, Pacer) else None
        self._pace = _name_of(self._pacer)
        self._lock = Lock()  # guards the requests and whether the gate stands; all else is the step's own
        self._requests: deque[Callable[[int], None]] = deque()
        self._installed = False
        self._pause_asked = False
        self._changed = Event()
        self._settled = Event()
        self._stopping = False
        self._ended = False
        self._why = ""
        self._steps: int | None = None
        self._run_to_ns: int | None = None
        self._condition: Condition | None = None
        self._once = True
        self._held = False
        self._passed: tuple[int, int] | None = None
        self._records: list[dict[str, Any]] = []
        self._listeners: list[Callable[[ControlState], None]] = []

    # -- what anybody may ask ----------------------------------------------------------------------

    def pause(self) -> None:
        """Stand still after the present instant's turns, before the next step.

        Raises:
            ConfigError: the run is over, as for all that follows but `resume` and `clear_break`.
        """
        self._refuse_after_the_end("paused")
        self._pause_asked = True
        self._ask(self._do_pause)

    def resume(self) -> None:
        """Go on, to the next break, instant or end."""
        self._ask(self._do_resume, lifts=True)

    def step(self, count: int = 1) -> None:
        """Make so many steps at once, whatever the pace, and pause.

        Raises:
            ConfigError: the number is not positive.
        """
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= _MOST_STEPS:
            raise ConfigError(f"expected a number of steps from 1 to {_MOST_STEPS}, found {count!r}")
        self._refuse_after_the_end("stepped")

        def do(now_ns: int) -> None:
            self._go_on()
            self._steps, self._passed = count, None
            self._record(now_ns, "step", count=count)

        self._ask(do, lifts=True)

    def run_to(self, instant: str | int) -> None:
        """Go on until everything up to and at an instant has happened, and pause.

        Raises:
            ConfigError: it is no instant, or it lies outside the run's window or in the past.
        """
        if isinstance(instant, bool) or not isinstance(instant, str | int | dt.date):
            raise ConfigError(f"expected an instant such as 2024-01-31 12:00 or nanoseconds, found {instant!r}")
        until_ns = parse_instant(instant)
        self._refuse_after_the_end("run to an instant")
        check_run_to(until_ns, *self._clock.window_ns)
        now_ns = self._clock.instant_ns
        if until_ns < now_ns:
            raise ConfigError(
                f"expected an instant at or after the present, {format_instant(now_ns)}, found "
                f"{format_instant(until_ns)}; time does not go back"
            )

        def do(now_ns: int) -> None:
            self._go_on()
            self._run_to_ns = until_ns
            self._record(now_ns, "run_to", until_ns=until_ns)

        self._ask(do, lifts=True)

    def break_when(self, expression: str, once: bool = True) -> None:
        """Pause when a condition holds between two steps; see `compile_condition` for what it may say.

        Args:
            once: forget it when it held; otherwise it pauses again each time it begins to hold.

        Raises:
            ConfigError: the expression is wrong.
        """
        condition = compile_condition(expression, self._world)
        self._refuse_after_the_end("made to pause")

        def do(now_ns: int) -> None:
            self._condition, self._once, self._held = condition, once, False
            self._record(now_ns, "break_when", expression=expression, once=once)
            self._world.forget()
            self._try_condition()

        self._ask(do)

    def clear_break(self) -> None:
        """Forget the condition."""

        def do(now_ns: int) -> None:
            if self._condition is not None:
                self._condition = None
                self._record(now_ns, "clear_break")

        self._ask(do)

    def set_pace(self, pace: str | TimeMode | None) -> None:
        """Change how fast virtual time may run: `60x` of market time, a time mode, None for no delay.

        Raises:
            ConfigError: it is no pace.
        """
        if pace is not None and not isinstance(pace, str):
            raise ConfigError(f"expected a pace such as 60x, or one of {', '.join(TimeMode)}, found {pace!r}")
        pacer = pace_named(pace)
        self._refuse_after_the_end("given another pace")
        name = self._pace = _name_of(pacer)

        def do(now_ns: int) -> None:
            self._pacer = pacer
            self._record(now_ns, "pace", pace=name)

        self._ask(do)

    @property
    def state(self) -> ControlState:
        """How things stand at this moment; from any thread."""
        why, condition = self._why, self._condition
        if self._ended:
            status = "ended"
        elif why and not self._stopping:
            status = "paused"
        else:
            status = "pausing" if self._pause_asked else "running"
        return ControlState(
            status=status,
            why=why if status == "paused" else "",
            now_ns=self._clock.instant_ns,
            pace=self._pace,
            break_when=None if condition is None else condition.expression,
            run_to_ns=self._run_to_ns,
            steps_left=self._steps,
        )

    @property
    def records(self) -> tuple[dict[str, Any], ...]:
        """What took effect so far, in order: `instant_ns`, `action` and the action's own values."""
        return tuple(self._records)

    def wait_paused(self, timeout_s: float | None = None) -> bool:
        """Block, in real time, until the run stands still or is over; not from inside a turn.

        Returns:
            True when it is paused, False when it has ended or the time is over.
        """
        self._settled.wait(timeout_s)
        return self.state.status == "paused"

    def listen(self, listener: Callable[[ControlState], None]) -> None:
        """Call `listener`, between steps, whenever the run begins to stand still or goes on; it must be quick."""
        self._listeners.append(listener)

    def close(self) -> None:
        """The run is over: nothing is held any more, and whoever waits for a pause goes on."""
        self._ended = True
        self.wake_up()
        self._settled.set()

    # -- for what takes effect between steps besides, see `src.backtesting.engine.symbols` ----------

    def note(self, action: str, **values: Any) -> None:
        """Keep a record of something that took effect now; between steps, or after the run."""
        self._record(self._clock.instant_ns, action, **values)

    def ask_again(self) -> None:
        """The step that was let through is not made after all; between steps."""
        self._passed = None

    # -- the gate ----------------------------------------------------------------------------------

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        """See `Gate.before_step`."""
        self._arrive(now_ns, at_ns)
        began_ns = monotonic_ns()
        announced = False
        while True:
            self._changed.clear()  # before looking, so that nothing that is asked meanwhile is missed
            if self._stopping:
                return
            self._take_requests(now_ns)
            if not self._why and self._run_to_ns is not None and at_ns > self._run_to_ns:
                self._stand(f"everything up to {format_instant(self._run_to_ns)} has happened")
                self._run_to_ns = None
            if self._why:
                if not announced:
                    announced = True
                    self._record(now_ns, "pause", why=self._why)
                    self._tell()
                if self._settle():
                    self._changed.wait()
                began_ns = monotonic_ns()
                continue
            if announced:
                announced = False
                self._tell()
            left_s = self._delay_s(now_ns, at_ns, market) - (monotonic_ns() - began_ns) / 1e9
            if left_s <= 0:
                break
            self._changed.wait(left_s)
        self._passed = (now_ns, at_ns)
        self._retire_if_idle()

    def wake_up(self) -> None:
        """See `Gate.wake_up`; takes no lock, so that a signal handler may call it."""
        self._stopping = True
        self._changed.set()

    def _arrive(self, now_ns: int, at_ns: int) -> None:
        """What the last step and its turns brought about."""
        # The clock asks again about the same step when a request came in between; that is no step made.
        if self._steps is not None and self._passed is not None and self._passed != (now_ns, at_ns):
            self._steps -= 1
            if self._steps == 0:
                self._stand("the steps are made")
        if self._condition is not None:
            self._world.look()
            self._try_condition()

    def _try_condition(self) -> None:
        condition = self._condition
        if condition is None:
            return
        try:
            holds = condition.holds()
        except (ArithmeticError, ValueError, TypeError) as error:
            self._condition = None
            self._stand(f"the break condition {condition.expression} cannot be told ({error}) and was forgotten")
            return
        if holds and not self._held:
            self._stand(f"{condition.expression} holds")
            if self._once:
                self._condition = None
        self._held = holds

    def _take_requests(self, now_ns: int) -> None:
        while True:
            with self._lock:
                if not self._requests:
                    return
                request = self._requests.popleft()
            request(now_ns)

    def _settle(self) -> bool:
        """Let those know who wait for the pause; False when something was asked meanwhile."""
        with self._lock:
            if self._requests:
                return False
            self._settled.set()
            return True

    def _delay_s(self, now_ns: int, at_ns: int, market: bool) -> float:
        if self._pacer is None or self._steps is not None:
            return 0.0
        return self._pacer.delay_s(now_ns, at_ns, market=market)

    def _retire_if_idle(self) -> None:
        if self._pacer is not None or self._condition is not None:
            return
        if self._steps is not None or self._run_to_ns is not None:
            return
        with self._lock:
            if not self._requests:
                self._installed = False
                self._clock.set_pacer(None)  # this is the thread that performs the step

    # -- requests, between steps -------------------------------------------------------------------

    def _refuse_after_the_end(self, what: str) -> None:
        if self._ended:
            raise ConfigError(f"the run is over and cannot be {what} any more; make another BacktestController")

    def _ask(self, request: Callable[[int], None], *, lifts: bool = False) -> None:
        with self._lock:
            if lifts:
                self._pause_asked = False
                if not self._ended:
                    self._settled.clear()
            self._requests.append(request)
            if not self._installed and not self._ended:
                self._installed = True
                self._clock.post(lambda: self._clock.set_pacer(self))
                if self._replaced is not None:
                    self._replaced.wake_up()  # whose delay this one goes on with
                    self._replaced = None
        self._changed.set()

    def _do_pause(self, now_ns: int) -> None:
        self._steps = None
        self._stand("as asked")

    def _do_resume(self, now_ns: int) -> None:
        if self._why:
            self._record(now_ns, "resume")
        self._go_on()

    def _stand(self, why: str) -> None:
        self._why = self._why or why
        self._pause_asked = False
        self._steps = None

    def _go_on(self) -> None:
        self._why = ""
        self._steps = None

    def _record(self, now_ns: int, action: str, **values: Any) -> None:
        self._records.append({"instant_ns": now_ns, "action": action, **values})

    def _tell(self) -> None:
        state = self.state
        for listener in self._listeners:
            listener(state)


def _name_of(pacer: Pacer | None) -> str:
    return TimeMode.MAX_SPEED.value if pacer is None else pacer.name
