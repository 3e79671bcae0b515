"""What a bot remembers, kept in the durable state of its account for the run after this one.

Looked at whenever something has become visible, written when it has changed. Called in turns. Where it cannot be
written it is told and tried again: this run is rebuilt from its recording, and goes on.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from src.core.errors import DataError
from src.core.memory import Memory
from src.live.account_state import AccountState
from src.live.assembly import Bot
from src.live.world import Change

__all__ = ["MEMORY", "Keeper", "memory_of"]

#: The key in the durable state.
MEMORY = "memory"


class Keeper:
    """Keeps what the bot remembers.

    Args:
        seen: called with each change first.
        not_kept: told why it could not be written.
    """

    def __init__(
        self, state: AccountState, bot: Bot, seen: Callable[[Change], object], not_kept: Callable[[str], object]
    ) -> None:
        self._state = state
        self._bot = bot
        self._seen = seen
        self._not_kept = not_kept
        self._kept = ""

    def seen(self, change: Change) -> None:
        """Something has become visible."""
        self._seen(change)
        if change.keys() & {"bars", "events"}:
            self.keep()

    def keep(self) -> None:
        """Write what is remembered now, if it is not what was written last."""
        text = json.dumps(_writable(self._bot.controller.remembered().to_plain()), sort_keys=True)
        if text != self._kept:
            try:
                self._state.keep(MEMORY, text)
            except DataError as error:
                self._not_kept(f"what the run after this one has to know cannot be kept: {error.message}")
            else:
                self._kept = text


def memory_of(meta: Mapping[str, str]) -> Memory | None:
    """What a recorded run began with; None for nothing."""
    text = meta.get(MEMORY)
    return Memory.from_plain(json.loads(text)) if text else None


def _writable(value: Any) -> Any:
    """A value without what JSON cannot write: a strategy may keep anything, and only plain values outlive a run."""
    if isinstance(value, dict):
        return {str(key): _writable(each) for key, each in value.items() if _is_plain(each)}
    if isinstance(value, (list, tuple)):
        return [_writable(each) for each in value if _is_plain(each)]
    return value


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, list, tuple, dict))
