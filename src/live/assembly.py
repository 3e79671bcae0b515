"""The bot composed over real time: one of the two places that compose it, for a live run and for its replay alike.

Called by one thread, before the clock runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from src.core.config import BotConfig
from src.core.instrument import Instrument
from src.core.journal import Journal, JournalRecord
from src.core.log import Log
from src.core.memory import Memory
from src.core.records import OrderEvent
from src.core.strategy import Strategy
from src.core.trading_controller import TradingController
from src.live.broker import LiveBroker, Venue
from src.live.clock import LiveClock
from src.live.control import Executor, Inbox, OperatorThread
from src.live.script import ReplayDivergedError, Script
from src.live.tape import Tape
from src.live.wire import from_plain
from src.live.world import Change, World

__all__ = ["Bot", "ExecutorMaker", "assemble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """The parts of a bot that is ready to run; `controller.wait` lets it.

    Attributes:
        let_see: lets a change become visible, in a turn that belongs to nobody of the bot.
    """

    controller: TradingController
    broker: LiveBroker
    world: World
    clock: LiveClock
    journal: Journal
    inbox: Inbox
    let_see: Callable[[Change, int], None]


#: Makes what executes the operator's commands.
ExecutorMaker = Callable[[TradingController, LiveBroker, LiveClock, Journal], Executor]


def assemble(
    config: BotConfig, classes: Mapping[str, type[Strategy]], venue: Venue, world: World, clock: LiveClock, tape: Tape,
    make_executor: ExecutorMaker, *, script: Script | None = None, log: Log | None = None,
    sink: Callable[[Sequence[JournalRecord]], None] | None = None, memory: Memory | None = None,
) -> Bot:  # fmt: skip
    """Make the bot; with a script, what was visible before its first turn is applied.

    Args:
        world: what was visible before the first turn is in it already where there is no script.
        sink: told of settled records of the journal, besides.
        memory: what a run of before has left.

    Raises:
        ConfigError: see `TradingController.initialize`.
    """
    outcomes = _Outcomes(tape, clock, script, sink)
    journal = Journal(outcomes)
    broker = LiveBroker(venue, world, clock, tape, script)
    inbox = Inbox()
    controller = TradingController(config, broker, clock, journal, classes, log)

    def let_see(change: Change, instant_ns: int) -> None:
        for plain in change.get("rules", ()):
            rules = from_plain(Instrument, plain)
            venue.instruments[rules.symbol] = rules
        _journal_events(world.apply(change), journal, instant_ns)
        for symbol, before_ns in change.get("history", {}).items():
            controller.pass_over(symbol, before_ns)

    def see(change: Change, instant_ns: int) -> None:
        let_see(change, instant_ns)
        journal.settle(instant_ns)

    broker.let_see = let_see
    tape.failed = clock.void
    if script is not None:
        script.apply_first(world.apply)
        script.handlers.world = see
        script.handlers.reply_world = let_see
        script.handlers.command = inbox.waiting.append
        script.handlers.ended = clock.stop
        clock.when_script_ends(outcomes.write_late)
    controller.initialize()
    if memory is not None:
        controller.remember(memory)
    controller.start()
    OperatorThread(clock, inbox, make_executor(controller, broker, clock, journal)).start()
    return Bot(controller=controller, broker=broker, world=world, clock=clock, journal=journal, inbox=inbox,
               let_see=let_see)  # fmt: skip


def _journal_events(events: Sequence[OrderEvent], journal: Journal, instant_ns: int) -> None:
    """The venue's own records, in the form in which a simulated venue keeps them, when the bot could first know."""
    for event in events:
        order, fill, trade = event.order, event.fill, event.trade
        request = order.request
        journal.record(
            instant_ns, request.symbol, "order", "broker", order.order_id, order.state, request.side, request.type,
            request.volume, request.price, order.filled_volume, order.code,
        )  # fmt: skip
        if fill is not None:
            journal.record(
                instant_ns, fill.symbol, "fill", "broker", fill.fill_id, fill.book, fill.side, fill.volume, fill.price,
                fill.commission, fill.kind, fill.filled_from_ns, fill.ambiguous, fill.other_price,
            )  # fmt: skip
        if trade is not None:
            journal.record(
                instant_ns, trade.symbol, "trade", "broker", trade.trade_id, trade.book, trade.net, trade.risk,
                trade.exit_kind,
            )  # fmt: skip


class _Outcomes:
    """Where settled records go: compared with the script as long as it lasts, written down from then on."""

    def __init__(
        self,
        tape: Tape,
        clock: LiveClock,
        script: Script | None,
        sink: Callable[[Sequence[JournalRecord]], None] | None,
    ) -> None:
        self._tape = tape
        self._clock = clock
        self._script = script
        self._sink = sink
        #: What was settled after the last entry of the script, and before the clock goes on by itself.
        self._late: list[JournalRecord] = []

    def __call__(self, records: list[JournalRecord]) -> None:
        if self._clock.is_void:
            return
        if self._script is None or not self._clock.is_scripted:
            self._tape.outcomes(records)
        else:
            self._compare(self._script, records)
        if self._sink is not None:
            self._sink(records)

    def _compare(self, script: Script, records: list[JournalRecord]) -> None:
        for each in records:
            if script.ended:
                self._late.append(each)
                continue
            try:
                script.check_outcome(each)
            except ReplayDivergedError as error:
                self._clock.diverged(error)
                return

    def write_late(self) -> None:
        """The script has ended."""
        self._tape.outcomes(self._late)
        self._late.clear()
