"""The order in which turns began, by the names of who began: kept, printed as a text, and followed again.

What a free run leaves of its order. A text is `1:order:z...`: compressed, safe in a shell and in YAML. Only the
instants are in it at which a turn began out of the order of keys; at all others the order was that of `fifo`.

The policy follows it as far as it fits and chooses as `fifo` does everywhere else, and that is no error: where turns
overlapped, one may have waited for something that is free when turns come one after the other, and then the program
takes another path. `TurnOrder` belongs to whoever holds the clock's state, the policy to the holder of the turn.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from src.backtesting.schedules.deviations import packed, unpacked
from src.backtesting.schedules.policy import Candidate, SchedulePolicy, undisturbed
from src.core.errors import ConfigError

__all__ = ["KIND", "Began", "Ordered", "TurnOrder", "make", "order_string", "parse_order"]

#: What stands after the version in a replay string of this kind.
KIND = "order"


class Began(NamedTuple):
    """A turn that began; `alone` when nobody else was ready to begin at that moment."""

    name: str
    alone: bool


class TurnOrder:
    """Keeps the beginnings of turns, of the instants at which they are not in the order of keys."""

    def __init__(self) -> None:
        self._kept: dict[int, list[Began]] = {}
        self._here: list[Began] = []
        self._instant_ns = self._step = -1
        self._last_key: tuple[int | str, ...] = ()

    def began(self, instant_ns: int, step: int, name: str, key: tuple[int | str, ...], *, alone: bool) -> None:
        """A turn begins.

        Args:
            step: how many steps of the market have been made; an instant may have several.
            key: its place in `fifo` among those that are ready at the same time.
            alone: whether nobody else is ready to begin.
        """
        if instant_ns != self._instant_ns:
            self._instant_ns, self._here = instant_ns, []
        elif key < self._last_key and step == self._step:
            self._kept[instant_ns] = self._here  # the same list: what begins later at this instant is kept as well
        self._step, self._last_key = step, key
        self._here.append(Began(name, alone))

    def replay_string(self) -> str:
        """The value of `backtest.schedule` that follows this order."""
        return order_string(self._kept)


class Ordered:
    """Follows an order of turns where it fits.

    Args:
        order: who began, in order, at each instant.
        text: as it was given, for `describe`; made from the order otherwise.
    """

    in_order = False
    preempts = False

    def __init__(self, order: Mapping[int, Sequence[Began]], *, text: str = "") -> None:
        self._order = dict(order)
        self._text = text or order_string(order)
        self._now_ns = -1
        self._left: list[Began] = []

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`; never refuses."""
        if now_ns != self._now_ns:
            self._now_ns, self._left = now_ns, list(self._order.get(now_ns, ()))
        if self._left:
            places = {candidate.name: place for place, candidate in enumerate(ready)}
            # A policy is not asked about who is ready alone, so such a turn is most likely over already.
            for alone in (False, True):
                for i, began in enumerate(self._left):
                    if began.alone is alone and began.name in places:
                        del self._left[i]
                        return places[began.name]
        return undisturbed(ready)

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        return self._text


def order_string(order: Mapping[int, Sequence[Began]]) -> str:
    """The replay string of an order; `1:fifo` for one without an instant."""
    return f"1:{KIND}:{packed(_plain(order))}" if order else "1:fifo"


def _plain(order: Mapping[int, Sequence[Began]]) -> str:
    places: dict[str, int] = {}
    steps: list[list[int]] = []
    last_ns = 0
    for instant_ns in sorted(order):
        # The name's number and, in the lowest bit, whether it was alone.
        codes = [2 * places.setdefault(each.name, len(places)) + each.alone for each in order[instant_ns]]
        steps.append([instant_ns - last_ns, *codes])
        last_ns = instant_ns
    return json.dumps([list(places), steps], separators=(",", ":"))


def parse_order(text: str) -> dict[int, list[Began]]:
    """What follows `1:order:` in a replay string.

    Raises:
        ConfigError: the text is not one that `order_string` makes.
    """
    plain = unpacked(text[1:]) if text.startswith("z") else ""
    try:
        order = _read(json.loads(plain))
    except (ValueError, RecursionError):
        order = {}
    if not order or _plain(order) != plain:
        found = text if len(text) <= 40 else f"{text[:40]}..."
        raise ConfigError(
            f"expected the order of turns that a free run printed after 1:{KIND}:, found {found!r}; copy the whole "
            "string"
        )
    return order


def _read(value: Any) -> dict[int, list[Began]]:
    """The order in a decoded text, empty where it is none."""
    order: dict[int, list[Began]] = {}
    instant_ns = 0
    try:
        names, steps = value
        for delta_ns, *codes in steps:
            if not all(type(each) is int and each >= 0 for each in (delta_ns, *codes)):
                return {}
            instant_ns += delta_ns
            order[instant_ns] = [Began(str(names[code // 2]), bool(code % 2)) for code in codes]
    except (TypeError, ValueError, IndexError, KeyError):
        return {}
    return order


def make(text: str) -> SchedulePolicy:
    """The policy of a replay string.

    Args:
        text: what follows `1:order:`.

    Raises:
        ConfigError: the text is not one that a free run prints.
    """
    return Ordered(parse_order(text), text=f"1:{KIND}:{text}")
