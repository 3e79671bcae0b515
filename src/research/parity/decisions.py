"""What a bot decided, read from a journal in a form that two runs of it can be compared in. Pure; any thread.

The ids of orders and positions are functions of the instant, and a live run decides some milliseconds after the bar
at which a backtest decides. So a decision says which order or position it is about by counting, and its instant is
kept beside it. The decisions of one book of one symbol are a stream; inside it their order counts.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from src.core.instrument import Instrument
from src.core.journal import FIELDS, JournalRecord
from src.core.record import record
from src.live.control import OPERATOR

__all__ = ["COMPARED", "Decision", "Stream", "decision_digest", "decisions_of", "streams_of"]

#: A symbol and a book.
Stream = tuple[str, str]

#: What has to be equal for two decisions to be the same one.
COMPARED = (
    "participant", "action", "side", "type", "volume", "price", "stop", "target", "verdict", "reason", "terms", "about",
)  # fmt: skip

_DECISION = FIELDS["decision"]
_TERMS = FIELDS["terms"]
_ORDER_IDS, _POSITION_IDS = ("enter", "reduce"), ("protect", "close_by")
_OF_ORDERS = ("cancel", "modify")
_CLOSE_BY = "close_by"


@record
class Decision:
    """An intent of a participant with the risk manager's verdict, or a limit of the account that was reached.

    Attributes:
        instant_ns: when it was decided; never compared as it is.
        type: of an entry the order's type, of a closing or a protection what it is called.
        volume, price, stop, target: as the instrument's rules round them; None where nothing was stated.
        verdict: `accepted`, or the code of the refusal.
        terms: names and values of the order's further terms, those that were stated.
        about: of a change, a cancellation or a protection, how many orders or positions of its stream came into the
            journal after the one it is about; None for a decision about nothing older.
        ordinal: the number of its order or position in the stream, by first appearance.
        identity: the id itself; never compared.
    """

    participant: str
    instant_ns: int
    symbol: str
    book: str
    action: str
    side: str | None = None
    type: str | None = None
    volume: float | None = None
    price: float | None = None
    stop: float | None = None
    target: float | None = None
    verdict: str = "accepted"
    reason: str = ""
    terms: tuple[tuple[str, Any], ...] = ()
    about: int | None = None
    ordinal: int = 0
    identity: str = ""

    @property
    def stream(self) -> Stream:
        """Where its order among others counts."""
        return self.symbol, self.book

    @property
    def content(self) -> tuple[Any, ...]:
        """The values of `COMPARED`; equal for the same decision at another instant."""
        return tuple([getattr(self, name) for name in COMPARED])


class _Names:
    """Counts the ids of one stream."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.orders: list[str] = []
        self.positions: list[str] = []

    def ordinal(self, identity: str) -> int:
        return self.known.setdefault(identity, len(self.known) + 1)

    def behind(self, action: str, identity: str) -> int | None:
        """How many came after the one that a decision is about; one that was never heard of is the newest."""
        if action in _ORDER_IDS:
            self.orders.append(identity)
            return None
        if action not in _OF_ORDERS and action not in _POSITION_IDS:
            return None
        shelf = self.orders if action in _OF_ORDERS else self.positions
        if identity not in shelf:
            shelf.append(identity)
        return len(shelf) - 1 - shelf.index(identity)


def decisions_of(records: Iterable[JournalRecord], rules: Mapping[str, Instrument] | None = None) -> list[Decision]:
    """The decisions of a journal, in its order.

    Args:
        rules: by symbol; prices and volumes of the others are taken as they are.
    """
    entries = list(records)
    terms = _terms_of(entries)
    names: dict[Stream, _Names] = {}
    found = []
    for place, entry in enumerate(entries):
        if entry.kind == "limit":
            limit, _, action = entry.values
            found.append(
                Decision(
                    participant=entry.participant, instant_ns=entry.instant_ns, symbol=entry.stream, book="",
                    action=str(action), reason=str(limit),
                )
            )  # fmt: skip
        elif entry.kind == "decision":
            values = dict(zip(_DECISION, entry.values, strict=True))
            own = names.setdefault((entry.stream, values["book"]), _Names())
            found.append(_decision(entry, values, terms.get(place, ()), own, (rules or {}).get(entry.stream)))
    return found


def _decision(
    entry: JournalRecord, values: dict[str, Any], terms: tuple[tuple[str, Any], ...], names: _Names,
    rule: Instrument | None,
) -> Decision:  # fmt: skip
    action, identity, kind = values["action"], values["id"], _text(values["type"])
    about = names.behind(action, identity)
    if action == _CLOSE_BY and kind is not None:
        kind = str(names.behind(action, kind))  # the opposite position, by its id
    volume = _number(values["volume"])
    prices = [_number(values[name]) for name in ("price", "stop", "target")]
    if rule is not None:
        volume = None if volume is None else rule.round_volume(volume)
        prices = [None if each is None else rule.round_price(each) for each in prices]
    return Decision(
        participant=entry.participant, instant_ns=entry.instant_ns, symbol=entry.stream, book=values["book"],
        action=action, side=_text(values["side"]), type=kind, volume=volume, price=prices[0], stop=prices[1],
        target=prices[2], verdict=values["verdict"], reason=values["reason"],
        terms=tuple([(name, names.ordinal(value) if name == "parent" else value) for name, value in terms]),
        about=about, ordinal=names.ordinal(identity), identity=identity,
    )  # fmt: skip


def decision_digest(
    records: Iterable[JournalRecord], rules: Mapping[str, Instrument] | None = None, *, commands: bool = True
) -> str:
    """SHA-256 over what was decided, without the instants: 64 hexadecimal characters.

    It is the same for two runs that decided the same in each stream, at whatever milliseconds they did, and in whatever
    order the streams took their turns.

    Args:
        rules: as of `decisions_of`.
        commands: whether what the operator commanded counts; a backtest has no operator.
    """
    chain = hashlib.sha256(b"lockstep decisions 1")
    counted = [each for each in decisions_of(records, rules) if commands or each.participant != OPERATOR]
    for stream, decisions in sorted(streams_of(counted).items()):
        for each in decisions:
            values = (*stream, each.ordinal, *each.content)
            chain.update(("\x1f".join(map(_canonical, values)) + "\n").encode("utf-8", "backslashreplace"))
    return chain.hexdigest()


def streams_of(decisions: Iterable[Decision]) -> dict[Stream, list[Decision]]:
    """The decisions by stream, each in its order."""
    found: dict[Stream, list[Decision]] = {}
    for each in decisions:
        found.setdefault(each.stream, []).append(each)
    return found


def _terms_of(entries: list[JournalRecord]) -> dict[int, tuple[tuple[str, Any], ...]]:
    """The stated terms by the place of the decision that they belong to: those of an order follow it at once."""
    found: dict[int, tuple[tuple[str, Any], ...]] = {}
    last: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if entry.kind == "decision":
            last[entry.stream] = place
        elif entry.kind == "terms" and entry.stream in last:
            stated = [
                (name, value.value if hasattr(value, "value") else value)
                for name, value in zip(_TERMS, entry.values, strict=True)
                if name != "id" and value not in (None, "")
            ]
            found[last[entry.stream]] = tuple(stated)
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value) + 0.0  # of the two zeros the positive one


def _canonical(value: Any) -> str:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, tuple):
        return "(" + ",".join(map(_canonical, value)) + ")"
    # A reason may hold anything and must not look like two values.
    return str(value).encode("unicode_escape").decode()
