"""What became of cancels, modified orders and moved stops after a run with faults; a part of the fault loop.

A call of these that nobody answered is made again until somebody does, so after a while the venue has what was asked
for last. Read from the journal, where decisions are the bot's and `order` and `protect` records the venue's.
"""

import math
from typing import Any

from src.backtesting.result import BacktestResult
from src.brokers.faults import ORDERS
from src.core.journal import JournalRecord
from src.core.records import OrderState, Side

__all__ = ["changes_not_made"]

#: What a call is told that is made again; any other refusal is final, and whoever asked has heard it.
_AGAIN = ("unanswered", "rate_limit")
#: What can be wanted of an order, and of a position; `end` is that it is cancelled.
_OF_ORDER = ("end", "volume", "price")
_OF_POSITION = ("stop", "target")
_ABOUT = {"modify": _OF_ORDER[1:], "protect": _OF_POSITION}


def changes_not_made(result: BacktestResult, at_most_ns: int) -> list[str]:
    """What was asked for last, of an order that works or a position that is held, and that the venue never had.

    Args:
        at_most_ns: how long the venue may be without it.

    Returns:
        A sentence for each.
    """
    wishes = _Wishes(result, at_most_ns)
    for each in result.records:
        wishes.see(each)
    return wishes.unmet()


class _Wishes:
    """The last words on each order and position, compared with what the venue has, record by record."""

    def __init__(self, result: BacktestResult, at_most_ns: int) -> None:
        self._at_most_ns = at_most_ns
        self._end_ns = result.end_ns
        self._sides = {fill.position_id: fill.side for fill in result.fills if fill.kind == "entry"}
        # The venue has another volume of these than it says, and moves the stops of those by itself.
        silent = {str(kind) for kind in ORDERS}
        kept = {each.values[2] for each in result.records if each.kind == "fault" and each.values[0] in silent}
        kept |= {each.values[0] for each in result.records if each.kind == "terms" and any(each.values[5:7])}
        kept |= {fill.position_id for fill in result.fills if fill.order_id in kept}
        self._skipped = kept
        #: By what it is about and which value of it: the value, and since when it is wanted.
        self._wanted: dict[tuple[str, str], tuple[float, int]] = {}
        self._has: dict[tuple[str, str], float | None] = {}
        self._ended: set[tuple[str, str]] = set()
        #: What was asked for last of each order and position, which a refusal takes back.
        self._last: dict[str, list[tuple[str, str]]] = {}
        self._unmet: list[str] = []

    def see(self, each: JournalRecord) -> None:
        """Take in one record; they come in the order of time."""
        values, now_ns = each.values, each.instant_ns
        if each.kind == "decision" and values[2] == "accepted":
            self._decided(values[1], values[3], values, now_ns)
        elif each.kind == "refusal":
            if values[2] not in _AGAIN:
                for key in self._last.get(values[1], ()):
                    if self._wanted.get(key, (0.0, -1))[1] == now_ns:
                        del self._wanted[key]
        elif each.kind == "recovery" and values[2] in _ABOUT and values[3] != "accepted":
            self._over(values[1], _ABOUT[values[2]], now_ns, judge=False)  # refused when it was asked for again
        elif each.kind == "order":
            identity, state = values[0], values[1]
            self._has |= {(identity, "volume"): values[4], (identity, "price"): values[5]}
            if OrderState(state).is_final:
                self._ended.update((identity, name) for name in _OF_ORDER)
                self._over(identity, _OF_ORDER, now_ns)
        elif each.kind == "protect":
            self._protected(*values)
        elif each.kind == "trade":
            self._ended.update((values[0], name) for name in _OF_POSITION)
            self._over(values[0], _OF_POSITION, now_ns)

    def unmet(self) -> list[str]:
        """All that was never done, up to the end of the run."""
        for identity, _ in list(self._wanted):
            self._over(identity, (*_OF_ORDER, *_OF_POSITION), self._end_ns)
        return self._unmet

    def _decided(self, action: str, identity: str, values: tuple[Any, ...], now_ns: int) -> None:
        words: dict[str, dict[str, float | None]] = {
            "cancel": {"end": 0.0}, "modify": {"volume": values[6], "price": values[7]},
            "protect": {"stop": values[8], "target": values[9]},
        }  # fmt: skip
        asked = words.get(action, {})
        self._last[identity] = [(identity, name) for name, value in asked.items() if value is not None]
        for name, value in asked.items():
            key = (identity, name)
            if value is not None and key not in self._ended:
                self._judge(key, now_ns)
                self._wanted.pop(key, None)
                if name != "stop" or not self._is_wider(identity, value):  # which is not asked for again
                    self._wanted[key] = (value, now_ns)

    def _protected(self, identity: str, stop: float | None, target: float | None, by: str) -> None:
        for name, value in (("stop", stop), ("target", target)):
            if value is not None:
                self._has[identity, name] = value
                if by == "entry":  # an addition brings its own
                    self._wanted.pop((identity, name), None)

    def _over(self, identity: str, names: tuple[str, ...], now_ns: int, *, judge: bool = True) -> None:
        for key in [(identity, name) for name in names if (identity, name) in self._wanted]:
            if judge:
                self._judge(key, now_ns)
            del self._wanted[key]

    def _judge(self, key: tuple[str, str], now_ns: int) -> None:
        wanted = self._wanted.get(key)
        if wanted is None or now_ns - wanted[1] <= self._at_most_ns or key[0] in self._skipped:
            return
        identity, name = key
        value, _ = wanted
        if name == "end":
            if (identity, "volume") in self._has:
                self._unmet.append(f"the order {identity} was to be cancelled, and it worked on")
            return
        found = self._has.get(key)
        if found is None and key not in self._has and name in ("volume", "price"):
            return  # the venue never had the order
        met = found is not None and math.isclose(found, value, rel_tol=1e-9)
        if not met and not (name == "stop" and self._is_wider(identity, value)):
            self._unmet.append(f"the {name} of {identity} was to be {value:g}, and the venue has {found}")

    def _is_wider(self, identity: str, stop: float) -> bool:
        """Whether a stop lies behind the one that the venue has."""
        found = self._has.get((identity, "stop"))
        if found is None:
            return False
        return stop < found if self._sides.get(identity) is Side.BUY else stop > found
