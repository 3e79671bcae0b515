"""What one way through a bar leaves open when another way would have ended otherwise. Pure.

What a position lost or won by the choice of the way goes to its own executions: each part that was closed is compared
with what the other way gives for that part. What cannot be laid to a position that was held before, because the ways
open or enlarge different ones, goes to the last execution or to what is held at the close.
"""

from collections.abc import Mapping

from src.brokers.simulated.walk import Move, Other, Rehearsal

__all__ = ["Doubts"]

_NOISE = 1e-9


class Doubts:
    """The differences between the way that was chosen and another one.

    Args:
        chosen, other: both rehearsed.
        before: the signed volume of each position at the open.
        bid, ask: at the close.

    Attributes:
        others: for each execution of the chosen way that reduces, in their order, what the other way gives for it.
        missed: of what is held at the close: position, price of the exit that was missed, and its unsigned volume,
            None for all of it.
    """

    def __init__(
        self, chosen: Rehearsal, other: Rehearsal, before: Mapping[str, float], *, bid: float, ask: float
    ) -> None:
        self._mine = [move for move in chosen.moves if not move.opens]
        self._close = {1: bid, -1: ask}
        self._alternatives: list[float | None] = [None] * len(self._mine)
        self.missed: list[tuple[str, float, float | None]] = []
        self._rest = other.value() - chosen.value()
        enlarged = {move.position for run in (chosen, other) for move in run.moves if move.opens}
        plain = {key: volume for key, volume in before.items() if key not in enlarged}
        for key, volume in plain.items():
            self._compare(key, volume, [move for move in other.moves if move.position == key])
        held, others_held = chosen.held(), other.held()
        fresh = {key: volume for key, volume in held.items() if key not in plain}
        differs = fresh != {key: volume for key, volume in others_held.items() if key not in plain}
        if differs or abs(self._rest) > _NOISE * max(1.0, *(abs(m.signed * m.price) for m in chosen.moves or [_NONE])):
            self._lay_rest(plain, fresh, held)
        self.others = [
            Other(move.position, price, 0.0 if price is None else -move.signed * (price - move.price))
            for move, price in zip(self._mine, self._alternatives, strict=True)
        ]

    def _compare(self, key: str, volume: float, theirs: list[Move]) -> None:
        """Compare the parts of a position in the order in which they are closed; what is left has the close."""
        sign = 1 if volume > 0 else -1
        close = self._close[sign]
        parts = [[abs(move.signed), move.price] for move in theirs]
        left = abs(volume)
        for place, move in enumerate(self._mine):
            if move.position == key:
                wanted = abs(move.signed)
                left -= wanted
                worth = 0.0
                for part in [*parts, [wanted, close]]:
                    taken = min(wanted, part[0])
                    part[0] -= taken
                    wanted -= taken
                    worth += taken * part[1]
                alternative = worth / abs(move.signed)
                if abs(alternative - move.price) > _NOISE * abs(move.price):
                    self._alternatives[place] = alternative
                    self._rest -= -move.signed * (alternative - move.price)
        parts = [part for part in parts if part[0] > _NOISE * abs(volume)]
        if parts and left > 0:  # they exclude nothing of each other, so they are one exit at their average
            size = sum([part[0] for part in parts])
            price = sum([part[0] * part[1] for part in parts]) / size
            self.missed.append((key, price, size))
            self._rest -= sign * size * (price - close)

    def _lay_rest(self, plain: Mapping[str, float], fresh: Mapping[str, float], held: Mapping[str, float]) -> None:
        """Lay what is left to the last execution of what is new, to what is held of it, or to the last one at all."""
        last = [place for place, move in enumerate(self._mine) if move.position not in plain]
        kept = fresh or ({} if self._mine else held)
        if not last and not kept:
            last = [len(self._mine) - 1] if self._mine else []
        if last:
            move = self._mine[last[-1]]
            before = self._alternatives[last[-1]]
            self._alternatives[last[-1]] = (move.price if before is None else before) - self._rest / move.signed
        elif kept:
            key, volume = next(iter(kept.items()))
            sign = 1 if volume > 0 else -1
            at = next((place for place, missed in enumerate(self.missed) if missed[0] == key), None)
            if at is None:
                self.missed.append((key, self._close[sign] + self._rest / volume, None))
            else:  # both at once, not one or the other
                _, price, size = self.missed[at]
                self.missed[at] = key, price + sign * self._rest / (abs(volume) if size is None else size), size


_NONE = Move("", 0.0, 0.0, opens=False)
