"""One process of a run: everything that it consists of is made, looked at before the first turn, and let run.

Called by the main thread; the bot's threads live only inside `run`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from src.core.errors import LockstepError
from src.core.instrument import Instrument
from src.live.account_state import AccountState
from src.live.alerts import Kind, Level
from src.live.assembly import Bot, assemble
from src.live.beginning import check_clock, make_edge, make_source, meta_of, origin_of, start_source, write_beginning
from src.live.broker import Venue
from src.live.clock import LiveClock
from src.live.control import Control
from src.live.edge_limits import EdgeLimits
from src.live.ending import LiveResult, drive
from src.live.executor import executor_maker
from src.live.feed import Feed, LiveSource
from src.live.keeping import MEMORY, Keeper, memory_of
from src.live.left_behind import Left, left_behind
from src.live.parts import Parts
from src.live.reconcile import Difference
from src.live.recording import FILE, Recording, end_of_process, last_instant, read_meta, read_story
from src.live.runs import RunUnderWay, Sent, begin_run, holdings_of, known_requests, venue_of
from src.live.script import Script
from src.live.setting import Setting
from src.live.sources import Needs
from src.live.startup import check_start, what_is_locked, what_was_found
from src.live.tape import Tape
from src.live.telling import Telling
from src.live.wire import to_plain
from src.live.world import World, late_symbols

__all__ = ["LiveProcess"]


class LiveProcess:
    """See the module's text.

    Args:
        folder: of the run.
        before: a run whose holdings this new one takes over; None where there is none, or where one is gone on with.
        stack: closes what was opened.
        resumed: whether the run in the folder is gone on with.
        begun: called when a new run is under way.
    """

    def __init__(
        self, setting: Setting, state: AccountState, needs: Needs, folder: Path, before: RunUnderWay | None,
        stack: ExitStack, *, resumed: bool, begun: Callable[[], None],
    ) -> None:  # fmt: skip
        self._setting = setting
        self._state = state
        self._needs = needs
        self._folder = folder
        self._path = folder / FILE
        self._before = before
        self._resumed = resumed
        self._begun = begun
        values = {**meta_of(setting, needs), "memory": state.value(MEMORY) or ""}
        self._recording = Recording(self._path, values)
        stack.callback(self._recording.close)
        ends_at = end_of_process(self._path) if resumed else None
        #: Where what is gone on with ends.
        self._goes_to = self._recording.count if ends_at is None else ends_at
        self.parts = Parts(
            setting.config, setting.mode, state, folder, stack, environ=setting.environ, terminal=setting.terminal,
            secrets=setting.secrets(), poll_ns=setting.poll_ns, speed=setting.speed,
        )  # fmt: skip

    def run(self) -> LiveResult:
        """Make what it consists of, and let it run.

        Raises:
            ConfigError: what the venue holds is not what was expected, or the run cannot be gone on with.
            BrokerUnavailable: the venue gives no answer at the start.
        """
        setting, state, parts, resumed = self._setting, self._state, self.parts, self._resumed
        tape = Tape(self._recording, writing=not resumed)
        script = Script(read_story(self._path, self._goes_to)) if resumed else None
        clock = self._clock(tape, script)
        left = left_behind(self._path, self._goes_to) if resumed else None
        source, edge = self._at_the_venue(clock, left)
        rules = {symbol: source.instrument(symbol) for symbol in self._needs.instruments}
        if not resumed:
            self._recording.set_meta("instruments", json.dumps(to_plain(list(rules.values()))))
            self._recording.set_meta("connection", json.dumps(to_plain(source.connection())))
        # What was recorded was decided by the rules of then.
        meta = read_meta(self._path)
        instruments, connection = venue_of(meta)
        venue = Venue(instruments, connection, edge, setting.max_age_ns)
        world = World(self._needs.series(), setting.config.account.currency)
        if script is None:
            self._check(source, None)
            write_beginning(tape, world, world.collect(edge), clock.now_ns(), self._known())
            begin_run(state, self._folder)
            self._begun()
        telling = Telling(parts.alerts, parts.health, needs_stops=setting.needs_stops)
        bot = assemble(
            setting.config, setting.classes, venue, world, clock, tape,
            executor_maker(_answerer(state, clock), setting.config), script=script, log=parts.log.log,
            sink=lambda records: telling.settled(records, quiet=clock.is_scripted), memory=memory_of(meta),
        )  # fmt: skip
        keeper = Keeper(state, bot, lambda change: telling.seen(change, bot.broker), parts.not_kept)
        feed = Feed(
            source, world, clock, tape, bot.journal, setting.poll_ns, parts.health, let_see=bot.let_see,
            seen=keeper.seen, arrives=self._arriving(bot, venue, rules), resumed=resumed,
        )  # fmt: skip
        control = Control(clock, tape, bot.inbox, partial(_commands, state), setting.speed)
        feed.start()
        control.start()
        parts.look_after = feed.look_after
        if left is not None:
            # Before the run is rebuilt, because it is refused before any of it could act.
            self._check(source, left)
        locked, found = what_is_locked(state, setting.options.about), what_was_found(source, self._needs.series())
        setting.tell("\n  ".join([f"  {found}", f"recorded in {self._folder}", *locked]))
        result = drive(bot, control, parts, state, self._recording, setting.options, resumed=resumed)
        with suppress(LockstepError):  # a recording that could not be written is what ended the run
            self._recording.set_meta("outcome", result.outcome)
        return result

    # -- parts -----------------------------------------------------------------------------------------

    def _clock(self, tape: Tape, script: Script | None) -> LiveClock:
        origin = origin_of(self._setting)
        clock = LiveClock(
            tape, script=script, at_end=None if script is None else lambda: self._live_again(tape),
            watch=self.parts.health, speed=self._setting.speed, origin_ns=origin(),
        )  # fmt: skip
        self.parts.clock = clock
        if self._resumed:
            check_clock(last_instant(self._path), clock.present_ns(), self._setting.speed)
        return clock

    def _live_again(self, tape: Tape) -> None:
        tape.begin()
        tape.resumed(0, self._goes_to)
        self._setting.tell("the run of before is rebuilt from its recording, and goes on")

    def _known(self) -> Sequence[Sent]:
        """What was sent before and may matter still."""
        if self._resumed:
            return known_requests(self._path, self._goes_to)
        return [] if self._before is None else known_requests(self._before.recording)

    def _at_the_venue(self, clock: LiveClock, left: Left | None) -> tuple[LiveSource, EdgeLimits]:
        """Who is traded with, brought up to date, and what must never leave for there."""
        setting, before = self._setting, self._before
        source = make_source(setting, self._needs, clock, self._recording, self._folder, left, before)
        self.parts.source = source
        held = () if left is None else left.snapshot.positions
        if before is not None:
            held = holdings_of(before.recording).positions
        start_source(source, self._known(), self._state, held, self.parts)
        for text in source.differing:
            setting.tell(text)
        last = self._path if self._resumed else None
        return source, make_edge(setting, source, self._state, clock, self.parts, last)

    def _check(self, source: LiveSource, left: Left | None) -> None:
        live = self._setting.config.live

        def tell(found: Difference) -> None:
            self._setting.tell(found.sentence)
            self.parts.alerts.tell(Level.CRITICAL, Kind.RECONCILIATION_DIFFERENCE, found.sentence, found.key)

        check_start(
            source, self._state, self._setting.config.symbols, expected=None if left is None else left.snapshot,
            told=set() if left is None else left.told, tell=tell,
            adopt=self._setting.options.accept_config_change or (live is not None and live.on_start == "adopt"),
            about=self._setting.options.about,
        )  # fmt: skip

    def _arriving(
        self, bot: Bot, venue: Venue, rules: Mapping[str, Instrument]
    ) -> Callable[[dict[str, Any], int], None]:
        """What is done with what is about to become visible."""
        first = self._resumed

        def arrives(change: dict[str, Any], now_ns: int) -> None:
            nonlocal first
            # Nothing is acted on any more that came too late, or that a worker could not look at in time: because the
            # process had ended, or because a call of it or another one's turn hung.
            before_ns = now_ns - self._setting.max_age_ns - self._setting.settle_ns
            late = (*late_symbols(change, before_ns), *bot.controller.late_symbols(before_ns))
            if late:
                change["history"] = dict.fromkeys(late, before_ns)
            if not first:
                return
            first = False
            others = [each for symbol, each in rules.items() if each != venue.instruments[symbol]]
            if others:
                change["rules"] = to_plain(others)
                names = ", ".join(each.symbol for each in others)
                self._setting.tell(
                    f"the venue has other rules for {names} than when the run began; they count from now on"
                )

        return arrives


def _answerer(state: AccountState, clock: LiveClock) -> Callable[[int, bool, str], None]:
    def answer(number: int, ok: bool, text: str) -> None:
        if number and not clock.is_scripted:
            with suppress(LockstepError):  # whoever asked hears nothing, and the bot goes on
                state.answer(number, ok, text)

    return answer


def _commands(state: AccountState) -> Sequence[dict[str, Any]]:
    return [{"id": each.id, "verb": each.verb, "args": dict(each.args), "by": each.by} for each in state.take()]
