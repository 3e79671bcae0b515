"""What a run saw and was told, in a form in which two runs can be held side by side.

It is read from a recording, which has everything, or from a journal with the bars that were traded on, which is what a
backtest leaves. Pure; any thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.core.bars import BarSeries
from src.core.journal import FIELDS, JournalRecord
from src.core.record import record
from src.live.recording import Entry

__all__ = [
    "BarKey",
    "Evidence",
    "SeenBar",
    "SeenCall",
    "SeenFill",
    "SeenNote",
    "SeenQuote",
    "SeenTurn",
    "evidence_of_journal",
    "evidence_of_recording",
    "records_of_entries",
    "with_records",
]

#: Symbol, length of the bar, its open; both nanoseconds.
BarKey = tuple[str, int, int]

_FILL = FIELDS["fill"]
#: What a call is about, by the first of these that its arguments have.
_IDENTITIES = ("client_id", "order_id", "position_id")


@record
class SeenBar:
    """One closed bar: open, high, low, close, volume, and when it became visible."""

    values: tuple[float, ...]
    seen_ns: int


@record
class SeenQuote:
    """Bid and ask with the venue's own stamp, and when they became visible.

    `rate` is the account's money for one unit of the currency that the price is in.
    """

    symbol: str
    instant_ns: int
    bid: float
    ask: float
    seen_ns: int
    rate: float = 1.0


@record
class SeenCall:
    """One request to the broker.

    Attributes:
        number: in its recording.
        identity: the order or position that it is about.
        args: its arguments as plain values.
        answered_ns: when the reply came, None when none did.
        accepted: what the reply said; None where it was an error or never came.
        answer: the code of a refusal, or the name of an error; empty otherwise.
    """

    number: int
    method: str
    participant: str
    identity: str
    args: Mapping[str, Any]
    sent_ns: int
    answered_ns: int | None = None
    accepted: bool | None = None
    answer: str = ""

    @property
    def is_lost(self) -> bool:
        """Nobody said what became of it."""
        return self.accepted is None

    @property
    def delay_ns(self) -> int:
        """How long the reply took; 0 when none came."""
        return 0 if self.answered_ns is None else self.answered_ns - self.sent_ns


@record
class SeenFill:
    """One execution, as the journal has it.

    `instant_ns` is when the bot heard of it, `filled_ns` when it happened as far as the venue said so.
    """

    identity: str
    symbol: str
    book: str
    side: str
    volume: float
    price: float
    commission: float
    kind: str
    instant_ns: int
    filled_ns: int

    @property
    def signed(self) -> float:
        """The volume, negative for a sale."""
        return self.volume if self.side == "buy" else -self.volume


@record
class SeenTurn:
    """A participant went on."""

    participant: str
    instant_ns: int


@record
class SeenNote:
    """Something that was noted and not acted on."""

    what: str
    symbol: str
    instant_ns: int
    values: Mapping[str, Any]


@record
class Evidence:
    """Everything that may explain why a run decided as it did, each kind by time.

    Attributes:
        bars: by symbol, length and open.
        calls: empty for a backtest, whose venue answers at once.
        turns: empty where nobody wrote them down; `order` then is the order in which participants of one instant went.
        balances: (instant, balance).
        unanswered: ids of the orders that were in doubt at some time, with the instant.
        held: (symbol, book, signed volume) of what was held before the first turn.
        began_ns: when the last bar closed that was there before the first turn, and so was history; 0 without any.
    """

    bars: Mapping[BarKey, SeenBar]
    quotes: tuple[SeenQuote, ...] = ()
    calls: tuple[SeenCall, ...] = ()
    fills: tuple[SeenFill, ...] = ()
    turns: tuple[SeenTurn, ...] = ()
    order: tuple[str, ...] = ()
    notes: tuple[SeenNote, ...] = ()
    balances: tuple[tuple[int, float], ...] = ()
    unanswered: tuple[tuple[int, str], ...] = ()
    held: tuple[tuple[str, str, float], ...] = ()
    began_ns: int = 0


def records_of_entries(entries: Iterable[Entry]) -> list[JournalRecord]:
    """The journal that a recording holds, in digest order."""
    return [
        JournalRecord(
            each.instant_ns, each.body["stream"], each.body["kind"], each.participant,
            tuple(each.body["values"]),
        )
        for each in entries
        if each.kind == "outcome"
    ]  # fmt: skip


def evidence_of_recording(entries: Iterable[Entry], records: Sequence[JournalRecord] | None = None) -> Evidence:
    """What a recording tells.

    Args:
        entries: all of them, in order.
        records: a journal to take instead of the recorded one: that of a replay, which saw the same.
    """
    found = _Reader()
    outcomes = []
    for each in entries:
        if each.kind == "outcome":
            outcomes.append(each)
        else:
            found.take(each)
    own = records_of_entries(outcomes) if records is None else records
    fills, balances, unanswered = _of_journal(own, found.filled_ns)
    return Evidence(
        bars=found.bars, quotes=tuple(found.quotes), calls=tuple(found.calls.values()), fills=fills,
        turns=tuple(found.turns), notes=tuple(found.notes), balances=balances, unanswered=unanswered,
        held=found.held, began_ns=found.began_ns,
    )  # fmt: skip


def with_records(evidence: Evidence, records: Sequence[JournalRecord]) -> Evidence:
    """The same with another journal: that of a replay, which saw and was told the same."""
    fills, balances, unanswered = _of_journal(records, {each.identity: each.filled_ns for each in evidence.fills})
    return replace(evidence, fills=fills, balances=balances, unanswered=unanswered)


def evidence_of_journal(
    records: Sequence[JournalRecord], series: Iterable[BarSeries] = (), order: Sequence[str] = ()
) -> Evidence:
    """What a backtest tells.

    Args:
        series: the bars that it was run on, of all timeframes; each was seen at its close.
        order: the participants in configured order, in which those of one instant took their turns.
    """
    bars = {}
    for each in series:
        columns = (each.open, each.high, each.low, each.close, each.volume)
        rows = zip(*(column[: each.loaded].tolist() for column in columns), strict=True)
        closes = each.closes(0, each.loaded).tolist()
        for open_ns, close_ns, values in zip(each.open_ns[: each.loaded].tolist(), closes, rows, strict=True):
            bars[each.symbol, each.timeframe_ns, open_ns] = SeenBar(values=values, seen_ns=close_ns)
    fills, balances, unanswered = _of_journal(records, {})
    return Evidence(bars=bars, fills=fills, order=tuple(order), balances=balances, unanswered=unanswered)


class _Reader:
    """Collects what the entries of a recording tell."""

    def __init__(self) -> None:
        self.bars: dict[BarKey, SeenBar] = {}
        self.quotes: list[SeenQuote] = []
        self.calls: dict[int, SeenCall] = {}
        self.turns: list[SeenTurn] = []
        #: When executions happened, by their ids.
        self.filled_ns: dict[str, int] = {}
        self.held: tuple[tuple[str, str, float], ...] = ()
        self.began_ns = 0
        self.notes: list[SeenNote] = []

    def take(self, entry: Entry) -> None:
        kind, body = entry.kind, entry.body
        if kind == "world":
            self._world(body, entry.instant_ns)
        elif kind == "turn":
            self.turns.append(SeenTurn(participant=entry.participant, instant_ns=entry.instant_ns))
        elif kind == "call":
            self._call(entry)
        elif kind == "reply":
            self.turns.append(SeenTurn(participant=entry.participant, instant_ns=entry.instant_ns))
            self._reply(entry)
        elif kind == "note":
            values = {name: value for name, value in body.items() if name != "what"}
            self.notes.append(
                SeenNote(
                    what=str(body.get("what", "")), symbol=str(body.get("symbol", "")), instant_ns=entry.instant_ns,
                    values=values,
                )
            )  # fmt: skip

    def _world(self, change: Mapping[str, Any], instant_ns: int) -> None:
        for symbol, length_ns, open_ns, *values in change.get("bars", ()):
            numbers = tuple(map(float, values[:5]))
            # What was there at the start was history; for nobody was it late.
            seen_ns = instant_ns if self.turns else open_ns + length_ns
            if not self.turns:
                self.began_ns = max(self.began_ns, open_ns + length_ns)
            # The first time counts: what came again later was not acted on.
            self.bars.setdefault((symbol, length_ns, open_ns), SeenBar(values=numbers, seen_ns=seen_ns))
        for symbol, (stamp_ns, bid, ask, rate) in change.get("quotes", {}).items():
            self.quotes.append(
                SeenQuote(symbol=symbol, instant_ns=stamp_ns, bid=bid, ask=ask, seen_ns=instant_ns, rate=rate)
            )
        if "positions" in change and not self.turns:
            self.held = tuple((each["symbol"], each["book"], each["volume"]) for each in change["positions"])
        for events in change.get("events", {}).values():
            for fill in [each["fill"] for each in events if each.get("fill") is not None]:
                self.filled_ns[str(fill["fill_id"])] = int(fill["filled_ns"])

    def _call(self, entry: Entry) -> None:
        args = entry.body.get("args", {})
        number = int(entry.body["n"])
        self.calls[number] = SeenCall(
            number=number, method=str(entry.body["method"]), participant=entry.participant, identity=_identity(args),
            args=args, sent_ns=entry.instant_ns,
        )  # fmt: skip

    def _reply(self, entry: Entry) -> None:
        body = entry.body
        if "world" in body:
            self._world(body["world"], entry.instant_ns)
        call = self.calls.get(int(body["n"]))
        if call is None:
            return
        result, error = body.get("result"), body.get("error")
        accepted = None
        answer = ""
        if isinstance(error, Mapping):
            answer = str(error.get("type", ""))
        elif isinstance(result, Mapping) and "accepted" in result:
            accepted, answer = bool(result["accepted"]), str(result.get("code", ""))
        else:
            accepted = True
        if answer == _UNANSWERED:
            accepted = None  # a reply that says that none came
        self.calls[call.number] = SeenCall(
            number=call.number, method=call.method, participant=call.participant, identity=call.identity,
            args=call.args, sent_ns=call.sent_ns, answered_ns=entry.instant_ns, accepted=accepted, answer=answer,
        )  # fmt: skip


_UNANSWERED = "unanswered"


def _identity(args: Any) -> str:
    if not isinstance(args, Mapping):
        return ""
    request = args.get("request")
    for source in (request if isinstance(request, Mapping) else {}, args):
        for name in _IDENTITIES:
            if name in source:
                return str(source[name])
    return ""


def _of_journal(
    records: Sequence[JournalRecord], filled_ns: Mapping[str, int]
) -> tuple[tuple[SeenFill, ...], tuple[tuple[int, float], ...], tuple[tuple[int, str], ...]]:
    fills, balances, unanswered = [], [], []
    for each in records:
        if each.kind == "fill":
            values = dict(zip(_FILL, each.values, strict=True))
            fills.append(
                SeenFill(
                    identity=str(values["fill"]), symbol=each.stream, book=str(values["book"]),
                    side=str(values["side"]), volume=values["volume"], price=values["price"],
                    commission=values["commission"], kind=str(values["fill_kind"]), instant_ns=each.instant_ns,
                    filled_ns=filled_ns.get(str(values["fill"]), each.instant_ns),
                )
            )  # fmt: skip
        elif each.kind == "account":
            balances.append((each.instant_ns, float(each.values[0])))
        elif each.kind == "order" and str(each.values[1]) == "unknown":
            unanswered.append((each.instant_ns, str(each.values[0])))
    return tuple(fills), tuple(balances), tuple(unanswered)
