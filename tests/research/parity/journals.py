"""Small journals and recordings, written by hand."""

from collections.abc import Mapping
from typing import Any

from src.core.journal import FIELDS, JournalRecord
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.live.recording import Entry

START_NS = parse_instant("2024-01-02T00:00:00Z")
BOOK = "sma"


def minute(number: float) -> int:
    """So many minutes after the start."""
    return START_NS + round(number * MINUTE_NS)


def decided(
    instant_ns: int, action: str = "enter", *, symbol: str = "AAA", by: str = "", identity: str = "", **values: Any
) -> JournalRecord:
    """A decision with the values that are named."""
    given = {
        "book": BOOK, "action": action, "verdict": "accepted", "id": identity or f"k{symbol}{instant_ns}{action}",
        "reason": "", **values,
    }  # fmt: skip
    if action == "enter":
        given = {"side": "buy", "type": "market", "volume": 1.0, **given}
    return _record(instant_ns, symbol, "decision", by or f"worker:{symbol}", given)


def filled(instant_ns: int, price: float, *, symbol: str = "AAA", side: str = "buy", **values: Any) -> JournalRecord:
    """An execution of one unit."""
    given = {
        "fill": f"f{symbol}{instant_ns}", "book": BOOK, "side": side, "volume": 1.0, "price": price, "commission": 0.0,
        "fill_kind": "entry" if side == "buy" else "exit", "from_ns": instant_ns, "ambiguous": False, **values,
    }  # fmt: skip
    return _record(instant_ns, symbol, "fill", "broker", given)


def _record(instant_ns: int, symbol: str, kind: str, by: str, values: Mapping[str, Any]) -> JournalRecord:
    return JournalRecord(instant_ns, symbol, kind, by, tuple([values.get(name) for name in FIELDS[kind]]))


class Recorder:
    """Writes the entries of a recording that is only in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._calls = 0

    def add(self, instant_ns: int, kind: str, participant: str = "", /, **body: Any) -> None:
        """Add an entry."""
        self.entries.append(Entry(len(self.entries), instant_ns, kind, participant, body))

    def bar(self, number: int, close: float, *, symbol: str = "AAA", late_ns: int = SECOND_NS) -> None:
        """The bar of a minute is seen a second after its end."""
        values = [minute(number), close, close + 1, close - 1, close, 1.0]
        self.add(minute(number + 1) + late_ns, "world", bars=[[symbol, MINUTE_NS, *values]])

    def quote(self, instant_ns: int, bid: float, ask: float, symbol: str = "AAA") -> None:
        """A quote is seen when it is made."""
        self.add(instant_ns, "world", quotes={symbol: [instant_ns, bid, ask, 1.0]})

    def call(
        self, instant_ns: int, method: str, args: Mapping[str, Any], *, after_ns: int | None = SECOND_NS // 10,
        **result: Any,
    ) -> None:  # fmt: skip
        """A request, and what came back, nothing when `after_ns` is None."""
        number, self._calls = self._calls, self._calls + 1
        self.add(instant_ns, "call", "worker:AAA", n=number, method=method, args=dict(args))
        if after_ns is not None:
            told = result or {"result": {"accepted": True}}
            self.add(instant_ns + after_ns, "reply", "worker:AAA", n=number, **told)

    def turn(self, instant_ns: int, participant: str) -> None:
        """A participant goes on."""
        self.add(instant_ns, "turn", participant, what="step")

    def outcomes(self, records: list[JournalRecord]) -> None:
        """The journal of the run."""
        for each in records:
            body = {"stream": each.stream, "kind": each.kind, "values": list(each.values)}
            self.add(each.instant_ns, "outcome", each.participant, **body)
