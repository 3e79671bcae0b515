"""The journal: the ordered outcome records of a run, and the digest over them.

The digest does not follow turn order. At each instant the records are grouped by stream (a symbol, or `account`),
streams are sorted by name, and inside a stream records keep their own order; a SHA-256 chain runs over the instants.
So permuting participants that do not influence each other leaves the digest unchanged, and any change of an outcome
changes it.

`record` may be called from any thread, also while holding a lock: it is a single append and takes none itself.
`settle` and `close` are called by one thread at a time, whoever moves time.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from src.core.errors import InternalError

__all__ = ["ACCOUNT_STREAM", "FIELDS", "Journal", "JournalRecord", "encode"]

ACCOUNT_STREAM = "account"

#: The fields of each kind of record, in the order of its values.
FIELDS: dict[str, tuple[str, ...]] = {
    "decision": ("book", "action", "verdict", "id", "side", "type", "volume", "price", "stop", "target", "reason"),
    "refusal": ("book", "id", "code"),
    "order": ("order", "state", "side", "type", "volume", "price", "filled", "code"),
    "protect": ("position", "stop", "target", "by"),
    "fill": (
        "fill",
        "book",
        "side",
        "volume",
        "price",
        "commission",
        "fill_kind",
        "from_ns",
        "ambiguous",
        "other",
    ),  # fmt: skip
    "trade": ("trade", "book", "net", "risk", "exit_kind"),
    "account": ("balance",),
    "limit": ("limit", "equity", "action"),
    "participant": ("how", "bars", "error"),
    "terms": (
        "id",
        "time_in_force",
        "limit_price",
        "trail_distance",
        "trail_percent",
        "stop_trail_distance",
        "stop_trail_percent",
        "post_only",
        "reduce_only",
        "trigger_by",
        "group",
        "parent",
    ),  # fmt: skip
    "adjusted": ("id", "what", "asked", "given"),
    "payment": ("position", "book", "what", "amount", "rate", "due_ns"),
    "margin": ("what", "level", "equity", "needed"),
    "dust": ("position", "book", "volume", "price"),
    "recovery": ("book", "id", "action", "outcome"),
    "fault": ("fault", "call", "id"),
}


class JournalRecord(NamedTuple):
    """One outcome: when, in which stream, of what kind, by which participant, and its values in the order of `FIELDS`.

    Values are str, int, float, bool or None.
    """

    instant_ns: int
    stream: str
    kind: str
    participant: str
    values: tuple[Any, ...]

    @property
    def fields(self) -> tuple[tuple[str, Any], ...]:
        """Names and values."""
        return tuple(zip(FIELDS[self.kind], self.values, strict=True))


_COUNTS = {kind: len(names) for kind, names in FIELDS.items()}

Sink = Callable[[list[JournalRecord]], None]

_by_instant = itemgetter(0)
_by_stream = itemgetter(1)
#: Makes a record without the detour through its keyword constructor.
_new = tuple.__new__


class Journal:
    """Collects records, keeps the digest, and hands settled records to a sink.

    Args:
        sink: called with settled records in digest order; may be None.

    Attributes:
        pending: records that wait to be settled, to look at only.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self._sink = sink
        self.pending: deque[JournalRecord] = deque()
        self._chain = hashlib.sha256(b"lockstep journal 1").digest()
        self._count = 0

    def record(self, instant_ns: int, stream: str, kind: str, participant: str, *values: Any) -> None:
        """Add one outcome record; floats are hashed exactly."""
        self.pending.append(_new(JournalRecord, (instant_ns, stream, kind, participant, values)))

    def settle(self, before_ns: int | None = None) -> None:
        """Finish the instants before `before_ns`, or all of them, when none of their records can come any more."""
        pending = self.pending
        entries: list[JournalRecord] = []
        while pending and (before_ns is None or pending[0].instant_ns < before_ns):
            entries.append(pending.popleft())
        if not entries:
            return
        entries.sort(key=_by_instant)  # they come nearly in order, and so cost nearly nothing
        chain, sha256 = self._chain, hashlib.sha256
        ordered: list[JournalRecord] = []
        for _, group in groupby(entries, _by_instant):
            at_once = sorted(group, key=_by_stream)  # stable: inside a stream the order of recording stays
            # A lone surrogate, of a file name perhaps, has no bytes in UTF-8.
            chain = sha256(chain + _encode_all(at_once).encode("utf-8", "backslashreplace")).digest()
            ordered += at_once
        self._chain = chain
        self._count += len(ordered)
        if self._sink is not None:
            self._sink(ordered)

    def close(self) -> str:
        """Settle what is left and return the digest, 64 hexadecimal characters."""
        self.settle()
        return self._chain.hex()

    @property
    def count(self) -> int:
        """How many records were settled."""
        return self._count


def encode(entry: JournalRecord) -> str:
    """The canonical text of a record: values in order, floats as `float.hex()`.

    Raises:
        InternalError: there is no such kind, or the values do not fit it.
    """
    count = _COUNTS.get(entry.kind)
    if count is None:
        raise InternalError(f"{entry.kind!r} is no kind of record; expected one of {', '.join(_COUNTS)}")
    if len(entry.values) != count:
        raise InternalError(f"a {entry.kind} record has {len(entry.values)} values, expected {count}")
    texts = [str(entry.instant_ns), entry.stream, entry.kind, entry.participant, *map(_text_of, entry.values)]
    line = "\x1f".join(texts)
    if "\n" in line or line.count("\x1f") != len(texts) - 1:
        # A reason may hold anything; it must not look like more than one value, nor like what its escapes spell.
        line = _ESCAPED + "\x1f".join([text.encode("unicode_escape").decode() for text in texts])
    return line


#: Begins a line whose values are escaped; no instant begins with it.
_ESCAPED = "\x1e"


def _text_of(value: object) -> str:
    if value.__class__ is float:
        return value.hex()
    # What a kind of str says of itself is its class's choice; what it holds is the value.
    return str.__str__(value) if isinstance(value, str) else str(value)


def _encode_all(entries: list[JournalRecord]) -> str:
    """The records of one instant, a line each; what `encode` gives, but quicker.

    Raises:
        InternalError: there is no such kind, or values do not fit theirs.
    """
    at = str(entries[0].instant_ns)
    separators = 0
    lines = []
    for entry in entries:
        _, stream, kind, participant, values = entry
        try:
            lines.append(_LINE_OF[kind](at, stream, participant, values))
        except (KeyError, TypeError, ValueError):
            lines.append(encode(entry))  # a value of another type than the field mostly has, or something is wrong
        separators += _SEPARATORS[kind]
    text = "\n".join(lines)
    if text.count("\n") != len(entries) - 1 or text.count("\x1f") != separators:
        return "\n".join(map(encode, entries))  # some value holds a separator itself
    return text


#: The fields that are always text.
_TEXTS = frozenset(
    ("book", "action", "verdict", "id", "side", "type", "reason", "code", "order", "state", "position", "by", "fill",
     "fill_kind", "trade", "exit_kind", "limit", "how", "error")
)  # fmt: skip

_SEPARATORS = {kind: len(names) + 3 for kind, names in FIELDS.items()}


#: Texts of floats: a volume comes again for ever, a price for as long as its order lives.
_hex_of: dict[float, str] = {}
_MOST_KNOWN = 4096


def _hexed(value: float) -> str:
    text = value.hex()
    if value:  # the two zeros are equal and have different texts
        if len(_hex_of) >= _MOST_KNOWN:
            _hex_of.clear()
        _hex_of[value] = text
    return text


def _line_of(kind: str) -> Callable[[str, str, str, tuple[Any, ...]], str]:
    """What makes one line, with a place for each value: several records are encoded for every order.

    It raises TypeError or ValueError for values that do not fit, which `encode` then takes or refuses.
    """
    texts = [
        name
        if name in _TEXTS
        else f'(known({name}) or hexed({name})) if {name}.__class__ is F else "None" if {name} is None else S({name})'
        for name in FIELDS[kind]
    ]
    head = f"{', '.join(FIELDS[kind])}, = values"
    lines = ("def line(at, stream, participant, values):", head, f'return join((at, stream, "{kind}", participant,')
    names: dict[str, Any] = {"F": float, "S": str, "join": "\x1f".join, "known": _hex_of.get, "hexed": _hexed}
    exec("\n    ".join((*lines, ", ".join(texts) + "))")), names)
    line: Callable[[str, str, str, tuple[Any, ...]], str] = names["line"]
    return line


_LINE_OF = {kind: _line_of(kind) for kind in FIELDS}
