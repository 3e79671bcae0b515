"""Which bars of an exchange have closed: the bars of one symbol and one length, as they are told again and again.

A bar has closed when a later one exists, or when its end has passed by the time in which an exchange may still change
it (`settle_ns`). What the exchange does not have by then is absent, as in a store. A closed bar is handed on once and
never changed; what is told of it afterwards is noted, as late where it was absent, as revised where it was another one.

Pure: whoever reads owns it. Times are the caller's clock, nanoseconds.
"""

from collections.abc import Sequence

from src.core.bars import BarSeries
from src.core.timeframe import DAY_NS

__all__ = ["CcxtBars", "Row", "Values"]

#: Open, high, low, close, volume.
Values = tuple[float, float, float, float, float]
#: A bar by its open.
Row = tuple[int, Values]

#: So many closed bars are read again with each new one, to see whether they are still the same.
LOOK_BACK = 3
PAGE = 1_000
_WEEK_NS = 7 * DAY_NS
#: The epoch was a Thursday; weeks begin on Mondays.
_MONDAY_NS = 4 * DAY_NS


class CcxtBars:
    """See the module's text.

    Args:
        series: where closed bars are shown.
        from_ns: bars from here on are wanted.

    Attributes:
        decided_ns: of the bars that end until here it is known whether there are any.
        closed: those that have closed and are not shown yet, by their opens.
        failed: whether the last question had no answer.
    """

    def __init__(self, series: BarSeries, from_ns: int) -> None:
        self.series = series
        self.length_ns = series.timeframe_ns
        self.decided_ns = self._grid(from_ns)
        self.closed: dict[int, Values] = {}
        self.failed = False
        #: The last bars as they were told last, None for one that is absent.
        self._told: dict[int, Values | None] = {}

    def _grid(self, instant_ns: int) -> int:
        """The last instant until this one at which a bar begins."""
        anchor_ns = _MONDAY_NS if self.length_ns % _WEEK_NS == 0 else 0
        return instant_ns - (instant_ns - anchor_ns) % self.length_ns

    def ends_at(self, instant_ns: int) -> bool:
        """Whether bars of this length end at an instant."""
        return self._grid(instant_ns) == instant_ns

    def question(self, now_ns: int) -> tuple[int, int] | None:
        """From where on and how many bars are to be asked for; None while none can have closed."""
        if self.decided_ns + self.length_ns > now_ns:
            return None
        since_ns = min(self._told, default=self.decided_ns)
        return since_ns, min(PAGE, (now_ns - since_ns) // self.length_ns + 2)

    def take(
        self, rows: Sequence[Row], count: int, asked_ns: int, settle_ns: int
    ) -> tuple[bool, list[Row], list[Row]]:  # fmt: skip
        """Take an answer.

        Args:
            count: how many bars were asked for.
            asked_ns: when.

        Returns:
            Whether there may be more to ask for, the bars that came late, and those that were revised.
        """
        last_ns = max((opens_ns for opens_ns, _ in rows), default=0)
        begun_ns = decided_ns = self.decided_ns
        late: list[Row] = []
        revised: list[Row] = []
        for opens_ns, values in sorted(rows):
            ends_ns = opens_ns + self.length_ns
            if opens_ns < begun_ns:
                self._compare(opens_ns, values, late, revised)
            elif ends_ns <= asked_ns and (opens_ns < last_ns or ends_ns + settle_ns <= asked_ns):
                self.closed[opens_ns] = values
                decided_ns = ends_ns
        full = len(rows) >= count
        if not full:
            decided_ns = max(decided_ns, self._grid(asked_ns - settle_ns))
        self._decide(decided_ns)
        return full and decided_ns > begun_ns, late, revised

    def _compare(self, opens_ns: int, values: Values, late: list[Row], revised: list[Row]) -> None:
        if opens_ns in self.closed:  # nobody has seen it yet
            self.closed[opens_ns] = values
        elif opens_ns not in self._told or self._told[opens_ns] == values:
            return
        elif self._told[opens_ns] is None:
            late.append((opens_ns, values))
        else:
            revised.append((opens_ns, values))
        self._told[opens_ns] = values

    def _decide(self, decided_ns: int) -> None:
        first_ns = max(self.decided_ns, decided_ns - LOOK_BACK * self.length_ns)
        for opens_ns in range(first_ns, decided_ns, self.length_ns):
            self._told[opens_ns] = self.closed.get(opens_ns)
        kept_ns = decided_ns - LOOK_BACK * self.length_ns
        self._told = {opens_ns: values for opens_ns, values in self._told.items() if opens_ns >= kept_ns}
        self.decided_ns = decided_ns

    def show(self, opens_ns: int) -> None:
        """Show a bar that has closed."""
        o, h, low, c, volume = self.closed.pop(opens_ns)
        self.series.append(opens_ns, o, h, low, c, volume)
