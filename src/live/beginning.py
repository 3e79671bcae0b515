"""What a process of a run begins with: whether it goes on with one, its source and limits, and what is written first.

Called by the main thread, before the bot's threads are there.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from src.brokers.ccxt_broker import CcxtBroker
from src.core.errors import ConfigError, DataError
from src.core.program import command
from src.core.records import Position
from src.core.sync import wall_ns
from src.core.timeframe import MINUTE_NS, format_instant
from src.live.account_state import AccountState
from src.live.alerts import Kind, Level
from src.live.clock import LiveClock
from src.live.config import LIVE, LimitsSection
from src.live.edge_limits import CODES, EdgeLimits
from src.live.feed import LiveSource
from src.live.kill import remembered, sent_for
from src.live.left_behind import HEARD, Left, left_behind
from src.live.paper import PaperBroker
from src.live.parts import Parts
from src.live.recording import FILE, Recording, read_entries, read_meta
from src.live.runs import RunUnderWay, Sent, holdings_of, run_before, sent_lately
from src.live.setting import Setting
from src.live.sources import Needs, live_source, paper_source, venue_time
from src.live.tape import Tape
from src.live.wire import to_plain
from src.live.world import World

__all__ = [
    "FAILED", "check_clock", "goes_on", "make_edge", "make_source", "meta_of", "origin_of", "start_source",
    "write_beginning",
]  # fmt: skip

#: So far may the clock have gone back since a run was recorded, real seconds.
_MOST_BACK_S = 5.0
#: Of a recording: why its run cannot be gone on with.
FAILED = "failed"


def goes_on(setting: Setting, recording: Path, needs: Needs) -> bool:
    """Whether the run that is under way is gone on with; else its holdings are taken over by a new one.

    Raises:
        ConfigError: the configuration is another one while something is held.
    """
    meta = read_meta(recording)
    failed = meta.get(FAILED, "")
    same = json.loads(meta["identity"]) == setting.config.identity()
    same = same and json.loads(meta["series"]) == json.loads(json.dumps(needs.series()))
    if same and not failed and not setting.options.accept_config_change:
        return True
    holdings = holdings_of(recording)
    if holdings.is_empty or setting.options.accept_config_change:
        return False
    held = ", ".join([f"{each.volume:g} {each.symbol}" for each in holdings.positions]) or "orders"
    if failed:
        raise ConfigError(
            f"expected a run that can be gone on with, because it holds {held}; found one that has failed: "
            f"{failed}; mend that and give --accept-config-change: a new run begins, and manages what is held"
        )
    raise ConfigError(
        f"expected the configuration that the run under way was begun with, because it holds {held}; found another "
        f"one: take the change back, close what is held (`{command('flatten', *setting.options.about)}`), or give "
        "--accept-config-change, and what is held is managed by the new configuration"
    )


def meta_of(setting: Setting, needs: Needs) -> dict[str, str]:
    """What a recording says of its run as a whole."""
    config = setting.config
    return {
        "mode": setting.mode,
        "name": config.name,
        "label": config.label,
        "identity": json.dumps(config.identity()),
        "configuration": json.dumps(setting.document, default=str),
        "folder": str(setting.folder),
        "series": json.dumps(needs.series()),
        "made_of": json.dumps(dict(setting.identity)),
        "started_ns": str(wall_ns()),
        "speed": repr(setting.speed),
        "max_age_ns": str(setting.max_age_ns),
    }


def check_clock(last_ns: int, present_ns: int, speed: float) -> None:
    """Hold that time has not gone back since the run was recorded.

    Raises:
        ConfigError: it has.
    """
    if present_ns < last_ns - _MOST_BACK_S * 1e9 * speed:
        raise ConfigError(
            f"expected a time after {format_instant(last_ns)}, at which the run under way was active, found "
            f"{format_instant(present_ns)}: the clock was set back, or was wrong before, or a local venue was started "
            "again; set it right, or begin a new run with what is held by --accept-config-change"
        )


def origin_of(setting: Setting) -> Callable[[], int | None]:
    """Where the clock begins when it is made: at the venue's time, where that is one to test against."""
    if setting.url is None:
        return lambda: None
    config = setting.config
    if setting.mode == LIVE and config.live is not None:
        told_ns, real_ns = venue_time(config.live.exchange, config.live.environment, setting.url)
    else:
        told_ns, real_ns = venue_time(config.paper_exchange or "", "real", setting.url)
    return lambda: told_ns + round((wall_ns() - real_ns) * setting.speed)


def make_source(
    setting: Setting, needs: Needs, clock: LiveClock, recording: Recording, folder: Path, left: Left | None,
    before: RunUnderWay | None,
) -> LiveSource:  # fmt: skip
    """Who the bot trades with.

    Args:
        left: what the bot knew when its last process ended, where the run is gone on with.
        before: the run whose holdings this one takes over.
    """
    # What closed while no process ran is read too, however long that was.
    now_ns = clock.now_ns()
    from_ns = min(now_ns, now_ns if left is None else left.instant_ns) - needs.warm_up_ns
    config = setting.config
    if setting.mode == LIVE:
        if config.live is None:
            raise ConfigError("expected a section live, found none")
        return live_source(config, config.live, needs, clock.now_ns, from_ns, setting.environ)

    def happened(event: Mapping[str, Any]) -> None:
        recording.write(int(event["at"]), "paper", "", event)
        recording.commit()

    def made() -> PaperBroker:
        return paper_source(config, needs, clock.now_ns, from_ns, happened)

    paper = made()
    events = [entry.body for entry in read_entries(folder / FILE, kinds=("paper",))]
    if events:
        paper.restore(events, None if left is None else left.events)
    elif before is not None and not holdings_of(before.recording).is_empty:
        try:
            events = [entry.body for entry in read_entries(before.recording, kinds=("paper",))]
            heard = left_behind(before.recording, None).events
            paper.restore(events, heard)
        except DataError as error:
            setting.tell(f"the account on paper begins anew: {error.message}")
            return made()
        recording.set_meta(HEARD, json.dumps(heard))
        for event in events:
            recording.write(int(event["at"]), "paper", "", event)
    return paper


def start_source(
    source: LiveSource, known: Sequence[Sent], state: AccountState, held: Iterable[Position], parts: Parts
) -> None:
    """Begin with what was sent before, by the bot and by those who closed for it.

    Args:
        held: the positions that the bot saw last.
    """
    if isinstance(source, CcxtBroker):
        source.tell_what_is_given_up(parts.given_up)
        source.know_what_others_send(partial(sent_for, state))
        source.know_stop_kinds({each.position_id: each.stop_kind for each in held})
    if not known:
        source.start()
        return
    requests = [each.request for each in known]
    sent_ns = {each.request.client_id: each.instant_ns for each in known}
    source.start([*requests, *remembered(state, requests)], known[0].instant_ns, sent_ns)


def make_edge(
    setting: Setting, source: LiveSource, state: AccountState, clock: LiveClock, parts: Parts, resumed: Path | None
) -> EdgeLimits:
    """What must never leave, with the orders of the last minute.

    Args:
        resumed: the recording that is gone on with; None for that of the run before.
    """
    config = setting.config
    limits = LimitsSection() if config.live is None else config.live.limits
    last = resumed or run_before(state)
    lately = [] if last is None else sent_lately(last, clock.present_ns() - MINUTE_NS, CODES)
    return EdgeLimits(
        source, limits, state, clock.now_ns, setting.max_age_ns, need_stop=setting.needs_stops,
        hedging=config.account.positions == "hedging", sent_ns=lately,
        on_refusal=lambda request, result: parts.alerts.tell(
            Level.WARNING, Kind.LIMIT_HIT, f"{request.symbol}: {result.message} ({request.client_id})", result.code
        ),
    )  # fmt: skip


def write_beginning(tape: Tape, world: World, first: dict[str, Any], now_ns: int, known: Sequence[Sent]) -> None:
    """Write down what a run begins with; only then is it under way."""
    tape.world(now_ns, first)
    world.apply(first)
    for each in known:
        tape.known(each.instant_ns, to_plain(each.request), answered=each.answered)
    tape.commit()
