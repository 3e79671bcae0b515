"""Bots that are killed without a word and started again, compared with the same bot that was left alone.

The strategy acts by the minute: every symbol has a span of four minutes, in the first of which it enters with a stop
and a target, and in the third of which it closes what is left; meanwhile its stop is moved. What happens in one span
depends on nothing before it. So a span whose order was given up can be left out on both sides, and everything else has
to be the same.

An order is given up when the process was killed after it was written down and before the venue had it: it is never sent
again, because nobody can know that it does not arrive. An entry that was being decided when the process was killed, and
whose price is too old when it is back, is refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from src.core.journal import JournalRecord
from src.core.rng import numpy_stream
from src.core.sync import Event
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.recording import FILE, read_meta
from src.research.parity.decisions import decision_digest
from src.research.replay import replay_recorded
from src.testing.venue_wire import Reply
from tests.live.live_bench import (
    START_NS,
    SYMBOLS,
    BenchVenue,
    BotProcess,
    Files,
    Nursery,
    Request,
    entries_of,
    journal_of,
    make_bench,
    planted_in,
    problems_of_account,
    real_ns,
    write_bot,
)

__all__ = ["KINDS", "Kill", "Moment", "Story", "compare", "random_moments", "run_story"]

SPAN = 4
SPANS = SYMBOLS[:4]
STRATEGY = f'''"""Enters in the first minute of a span and closes in the third."""
from src.core.features import atr
from src.core.strategy import BarStrategy

SYMBOLS = {SPANS!r}


class Spans(BarStrategy):
    """See the module."""

    timeframe = "1m"

    def features(self):
        """The mean range."""
        return {{"atr": atr(14)}}

    def on_bar(self, bar):
        """One step of the span."""
        place = SYMBOLS.index(bar.symbol)
        span, phase = divmod(bar.close_ns // {MINUTE_NS} + place, {SPAN})
        if phase == 0 and self.position.is_flat:
            volume, away = 1000 / bar.close, 1.5 * self.atr[-1]
            if (span + place) % 2:
                self.buy(volume=volume, stop=bar.close - away, target_r=2, reason=f"span {{span}}")
            else:
                self.sell(volume=volume, stop=bar.close + away, target_r=2, reason=f"span {{span}}")
        elif phase == 2 and not self.position.is_flat:
            self.close(reason=f"span {{span}}")
'''

#: Kinds of moments, with the endpoint that they wait for.
KINDS = {
    "launch": "",
    "start-up": "",
    "any request": "",
    "between requests": "",
    "entry or exit": "POST order",
    "stop or its new price": "POST algoOrder",
    "cancellation": "DELETE algoOrder",
    "look-up": "GET order",
}
#: What a moment waits for at most, venue's time; the process is killed anyway then.
_PATIENCE_NS = 3 * MINUTE_NS
#: After the last kill everything has to come to rest.
_QUIET_NS = 2 * MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a process is killed.

    Attributes:
        kind: one of `KINDS`.
        nth: at which request of that kind since the process was started.
        acted: after the venue has done it and before it answers; else before.
        delay_s: so many real seconds later instead, which is between requests; of `launch`, after it was started.
    """

    kind: str
    nth: int = 1
    acted: bool = False
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A kill that happened."""

    moment: Moment
    at_ns: int
    endpoint: str
    params: dict[str, str]

    @property
    def name(self) -> str:
        """What it counts as."""
        if self.moment.kind in ("launch", "between requests") or not self.endpoint:
            return self.moment.kind
        return f"{self.moment.kind}, {'acted and not answered' if self.moment.acted else 'not acted'}"


@dataclass(slots=True)
class Story:
    """A run over all its processes, and what the venue says of it."""

    venue: BenchVenue
    files: Files
    kills: list[Kill] = field(default_factory=list)
    lines: bytes = b""
    records: list[JournalRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    #: What was given up: symbol, span, the call that never got to the venue or `stale_price`, instant.
    lost: list[tuple[str, int, str, int]] = field(default_factory=list)
    replays: bool = False
    took_s: float = 0.0


class _Killer:
    """Kills a process when its moment has come; its hooks run in the venue's threads."""

    def __init__(self, venue: BenchVenue, story: Story) -> None:
        self._venue = venue
        self._story = story
        self._bot: BotProcess | None = None
        self._moment: Moment | None = None
        self._count = 0
        self._met: Request | None = None
        self.due = Event()
        self.killing = False
        venue.before = self._before
        venue.after = self._after

    def arm(self, bot: BotProcess, moment: Moment | None) -> None:
        self._bot, self._count, self._met = bot, 0, None
        self.due.clear()
        self.killing = False
        self._moment = moment

    def _before(self, request: Request) -> Reply | None:
        moment = self._moment
        if self._met is request or moment is None or moment.kind == "launch":
            return None
        endpoint = KINDS[moment.kind]
        if endpoint not in ("", request.endpoint):
            return None
        self._count += 1
        if self._count != moment.nth:
            return None
        self._met = request
        if moment.acted:
            return None
        if moment.delay_s:
            self.due.set()
            return None
        self.kill(request)
        return Reply(way="reset")

    def _after(self, request: Request, reply: Reply) -> Reply:
        moment = self._moment
        if moment is not None and self._met is not None and self._met.number == request.number and moment.acted:
            self.kill(request)
        return reply

    def kill(self, request: Request | None = None) -> None:
        """The venue's time stands from here on."""
        bot, moment = self._bot, self._moment
        if bot is None or moment is None:
            return
        self._moment, self.killing = None, True
        self._venue.clock.hold()
        bot.look()
        bot.kill()
        self._story.lines += bot.lines
        at_ns = self._venue.clock.now_ns()
        endpoint, params = ("", {}) if request is None else (request.endpoint, dict(request.params))
        if request is None and moment.kind not in ("launch", "between requests"):
            moment = replace(moment, kind="between requests")  # what it waited for did not come
        self._story.kills.append(Kill(moment=moment, at_ns=at_ns, endpoint=endpoint, params=params))
        self._venue.sleep()


def run_story(
    folder: Path, moments: Sequence[Moment], *, minutes: int, speed: float, seed: int = 3,
    nursery: Nursery | None = None,
) -> Story:  # fmt: skip
    """Run the bot for so many minutes of the venue, killing it at each moment in turn as long as there is time.

    Args:
        nursery: who starts the processes, all but the first one.
    """
    began_ns = real_ns()
    with make_bench(SPANS, minutes=minutes + 10, speed=speed, seed=seed) as venue:
        files = write_bot(
            folder, venue, STRATEGY, "Spans", SPANS, speed=speed,
            manage={"break_even": {"at_r": 0.3}, "trailing": {"start_r": 0.5, "distance_atr": 1}},
        )  # fmt: skip
        story = Story(venue=venue, files=files)
        killer = _Killer(venue, story)
        end_ns = START_NS + minutes * MINUTE_NS + 20 * SECOND_NS
        left = list(moments)
        while True:
            moment = left.pop(0) if left and venue.now_ns() < end_ns - _QUIET_NS - MINUTE_NS else None
            bot = BotProcess(files, nursery=nursery if story.kills else None)
            killer.arm(bot, moment)
            if moment is None or not _wait_for_kill(venue, killer, bot, moment, story, end_ns):
                break
        _come_to_the_end(venue, bot, end_ns, story)
        story.lines += bot.lines
        _look_at(venue, story)
    story.took_s = (real_ns() - began_ns) / 1e9
    return story


def _wait_for_kill(
    venue: BenchVenue, killer: _Killer, bot: BotProcess, moment: Moment, story: Story, end_ns: int
) -> bool:
    """Whether the process was killed; else it goes on to the end."""
    kills, since_ns = len(story.kills), venue.now_ns()
    if moment.kind == "launch":
        Event().wait(moment.delay_s)
        killer.kill()
        return True
    while len(story.kills) == kills:
        if killer.due.wait(0.05):
            Event().wait(moment.delay_s)
            killer.kill()
        now_ns = venue.now_ns()
        if len(story.kills) > kills:
            break
        if bot.code is not None and not killer.killing:
            return False
        if now_ns >= end_ns - _QUIET_NS:
            killer.arm(bot, None)
            return len(story.kills) > kills
        if now_ns - since_ns > _PATIENCE_NS:
            killer.kill()
    return True


def _come_to_the_end(venue: BenchVenue, bot: BotProcess, end_ns: int, story: Story) -> None:
    pause = Event()
    polls: int | None = None
    # So many answers after the last bar has closed it is decided on; and the bot's clock must not run ahead for long.
    while bot.code is None and (venue.now_ns() < end_ns or polls is None or venue.polls < polls + 6):
        if polls is None and venue.now_ns() >= end_ns - end_ns % MINUTE_NS:
            polls = venue.polls
        pause.wait(0.01)
    venue.clock.hold()
    bot.look()
    if bot.code is not None:
        story.problems.append(f"a process ended by itself: {bot.output.read_text()[-1500:]}")
    code = bot.stop()
    if code != 0:
        story.problems.append(f"the exit code is {code}: {bot.output.read_text()[-1500:]}")


def _look_at(venue: BenchVenue, story: Story) -> None:
    story.problems += problems_of_account(venue)
    story.problems += planted_in(story.files.folder, story.lines)
    begun = [each for each in story.files.runs if "instruments" in read_meta(each / FILE)]
    if begun != story.files.runs[-1:]:  # a process that is killed before its run begins leaves a folder
        story.problems.append(f"expected one run, found {[each.name for each in begun]}")
    story.records = journal_of(story.files)
    story.lost = list(_lost(venue, story))
    replayed = replay_recorded(story.files.runs[-1])
    story.replays = replayed.same
    if not replayed.same:
        story.problems.append(f"it does not replay: {replayed.difference}")
    entries = Counter(
        (request.params["symbol"], span_of(request.params["symbol"], request.at_ns))
        for request in venue.placed.values()
        if request.params.get("reduceOnly") != "true"
    )
    story.problems += [f"{count} entries in one span: {span}" for span, count in entries.items() if count > 1]
    story.lost += _too_late(story)
    for symbol, span, method, instant_ns in story.lost:
        near = [each for each in story.kills if abs(each.at_ns - instant_ns) < 60 * SECOND_NS]
        if not near:
            story.problems.append(f"{method} of {symbol} in span {span} was lost without a kill")
        traded = [each for each in venue.trades if each[0] == symbol and span_of(symbol, each[1]) == span]
        if method != "close" and traded:
            story.problems.append(f"the entry of {symbol} in span {span} was given up, and it was traded: {traded}")
        if len(traded) > 1 or any(span_of(symbol, each[2] - 1) != span for each in traded):
            story.problems.append(f"the exit of {symbol} in span {span} was lost, and it was not closed: {traded}")
    if len(story.lost) > len(story.kills):
        story.problems.append(f"{len(story.lost)} orders were given up by {len(story.kills)} kills")


def _lost(venue: BenchVenue, story: Story) -> Iterable[tuple[str, int, str, int]]:
    """What was written down and never got to the venue."""
    placed = venue.placed
    replies = {each.body["n"]: each.body for each in entries_of(story.files, "reply")}
    for entry in entries_of(story.files, "call"):
        body = entry.body
        if body["method"] not in ("place", "close"):
            continue
        request = body["args"]["request"]
        if request["client_id"] in placed:
            continue
        result = replies.get(body["n"], {}).get("result")
        if result is not None:
            story.problems.append(f"{body['method']} of {request['symbol']} was refused: {result}")
            continue
        symbol = request["symbol"]
        yield symbol, span_of(symbol, entry.instant_ns), str(body["method"]), entry.instant_ns


def _too_late(story: Story) -> Iterable[tuple[str, int, str, int]]:
    """Entries whose price was too old when the bot was back."""
    for each in story.records:
        if each.kind == "refusal" and each.values[2] == "stale_price":
            yield each.stream, span_of(each.stream, each.instant_ns), "stale_price", each.instant_ns


def span_of(symbol: str, instant_ns: int) -> int:
    """The number of the span in which an instant lies."""
    return (instant_ns // MINUTE_NS + SPANS.index(symbol)) // SPAN


def compare(story: Story, alone: Story) -> list[str]:
    """What is otherwise than in the run that nobody killed, a sentence each; spans with an order given up left out."""
    left_out = {(symbol, span) for symbol, span, _, _ in story.lost}
    # Whoever had to be closed twice may be out only when the next span has begun, which has no entry then.
    left_out |= {(symbol, span + 1) for symbol, span in left_out if _ends_late(story, symbol, span)}

    def kept(records: Iterable[JournalRecord]) -> list[JournalRecord]:
        return [
            each for each in records
            if each.kind in ("decision", "terms", "limit") and not _beside_a_close(each)
            and (each.stream not in SPANS or (each.stream, span_of(each.stream, each.instant_ns)) not in left_out)
        ]  # fmt: skip

    def outside(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [each for each in rows if (each[0], span_of(each[0], each[1])) not in left_out]

    problems = []
    ours, theirs = kept(story.records), kept(alone.records)
    if decision_digest(ours) != decision_digest(theirs):
        problems.append(f"other decisions: {_first_difference(ours, theirs)}")
    if outside(story.venue.trades) != outside(alone.venue.trades):
        apart = set(outside(story.venue.trades)) ^ set(outside(alone.venue.trades))
        problems.append(f"other trades at the venue: {sorted(apart)[:4]}")
    now = {symbol for symbol in SPANS if (symbol, span_of(symbol, alone.venue.now_ns())) in left_out}
    for what, mine, other in zip(("positions", "orders"), story.venue.held, alone.venue.held, strict=True):
        mine, other = [[each for each in rows if each[0] not in now] for rows in (mine, other)]
        if mine != other:
            problems.append(f"other {what} at the venue: {mine} instead of {other}")
    return problems


def _ends_late(story: Story, symbol: str, span: int) -> bool:
    own = [each for each in story.venue.trades if each[0] == symbol and span_of(symbol, each[1]) == span]
    return any(span_of(symbol, each[2]) > span for each in own)


def _beside_a_close(record: JournalRecord) -> bool:
    """Whether it is a stop that was moved while the strategy closed: which of the two is first is up to the network."""
    if record.stream not in SPANS or record.kind != "decision" or record.values[1] != "protect":
        return False
    return (record.instant_ns // MINUTE_NS + SPANS.index(record.stream)) % SPAN == 2


def _first_difference(ours: Sequence[JournalRecord], theirs: Sequence[JournalRecord]) -> str:
    for symbol in SPANS:
        mine, other = ([each for each in rows if each.stream == symbol] for rows in (ours, theirs))
        for i in range(max(len(mine), len(other))):
            pair = [(rows[i].kind, rows[i].values) if i < len(rows) else None for rows in (mine, other)]
            shown = [None if each is None else _without_ids(each[1]) for each in pair]
            if shown[0] != shown[1]:
                at = [(rows[i].instant_ns - START_NS) / MINUTE_NS if i < len(rows) else None for rows in (mine, other)]
                return f"{symbol} at minute {at}: {pair[0]} instead of {pair[1]}"
    return "in their order"


def _without_ids(values: Sequence[Any]) -> list[Any]:
    return [each for each in values if not (isinstance(each, str) and len(each) > 20)]


def random_moments(seed: int, count: int) -> list[Moment]:
    """So many moments of all kinds; a process that was just killed is often killed again while it starts."""
    rng = numpy_stream(seed, "live kills")
    found: list[Moment] = []
    kinds = ["entry or exit", "stop or its new price", "cancellation", "any request", "between requests", "start-up"]
    weights = np.array([0.3, 0.2, 0.12, 0.13, 0.15, 0.1])
    while len(found) < count:
        kind = kinds[int(rng.choice(len(kinds), p=weights))]
        acted = bool(rng.integers(2))
        if kind == "start-up":
            if rng.random() < 0.3:
                found.append(Moment(kind="launch", delay_s=float(rng.uniform(0.1, 2.5))))
            else:
                found.append(Moment(kind=kind, nth=int(rng.integers(1, 45)), acted=acted))
        elif kind == "between requests":
            found.append(Moment(kind=kind, nth=int(rng.integers(10, 250)), delay_s=float(rng.uniform(0.0005, 0.05))))
        elif kind == "any request":
            found.append(Moment(kind=kind, nth=int(rng.integers(40, 300)), acted=acted))
        else:
            found.append(Moment(kind=kind, nth=int(rng.integers(1, 4)), acted=acted))
        if rng.random() < 0.15:
            found.append(Moment(kind="start-up", nth=int(rng.integers(1, 45)), acted=bool(rng.integers(2))))
    return found[:count]
