"""What a bot knew when its process ended, read from its recording; called by one thread before it goes on."""

import json
from dataclasses import dataclass
from pathlib import Path

from src.core.records import Snapshot
from src.live.recording import last_instant, last_world, read_entries, read_meta, skips_of
from src.live.world import World

__all__ = ["HEARD", "Left", "left_behind"]

#: Of a recording: how many order events of each symbol were told before it began.
HEARD = "heard"


@dataclass(slots=True)
class Left:
    """What the bot knew when its process ended.

    Attributes:
        snapshot: what it saw last.
        told: executions that it had heard of.
        events: how many order events it had heard of, by symbol.
        instant_ns: when it last saw anything.
    """

    snapshot: Snapshot
    told: set[str]
    events: dict[str, int]
    instant_ns: int


def left_behind(path: Path, before: int | None) -> Left:
    """What the bot knew before entry number `before`, or at the end."""
    meta = read_meta(path)
    world = World([(symbol, length, side) for symbol, length, side in json.loads(meta["series"])], "")
    # Of an account on paper that was taken over its bot has heard before.
    events: dict[str, int] = json.loads(meta.get(HEARD, "{}"))
    skips = skips_of(path)
    for entry in read_entries(path, kinds=("world", "reply"), about=("positions", "orders", "events")):
        if before is not None and entry.n >= before:
            break
        if any(first <= entry.n <= last for first, last in skips):
            continue
        change = entry.body if entry.kind == "world" else entry.body.get("world", {})
        world.apply({key: value for key, value in change.items() if key not in ("bars", "quotes")})
        for symbol, told in change.get("events", {}).items():
            events[symbol] = events.get(symbol, 0) + len(told)
    account = last_world(path, "account", before)
    if account is not None and account["instant_ns"] > world.snapshot().account.instant_ns:
        world.apply({"account": account})
    instant_ns = last_instant(path, before)
    return Left(snapshot=world.snapshot(), told=set(world.told), events=events, instant_ns=instant_ns)
