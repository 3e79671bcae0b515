"""The first event in which two journals differ. Pure; any thread."""

from collections.abc import Sequence

from src.core.errors import InternalError
from src.core.journal import ACCOUNT_STREAM, JournalRecord
from src.core.record import record
from src.core.timeframe import format_instant

__all__ = ["Difference", "event_text", "first_difference"]

#: Names of orders and fills: hashes that tell a reader nothing.
_IDENTITIES = {"id", "order", "fill", "trade", "position"}
_CODES = ("verdict", "code")


@record
class Difference:
    """The first event that only one of two runs has, or that both have in another form.

    Attributes:
        reference: the event as the first run has it; None when it has none there.
        other: the same for the second run.
    """

    reference: JournalRecord | None
    other: JournalRecord | None

    @property
    def event(self) -> JournalRecord:
        """The event, as the second run has it if it has it."""
        found = self.other if self.other is not None else self.reference
        if found is None:
            raise InternalError("a difference without an event")
        return found

    @property
    def instant_ns(self) -> int:
        """When it happened."""
        return self.event.instant_ns

    @property
    def participant(self) -> str:
        """Whose event it is; for an event of the broker, the worker of its symbol."""
        event = self.event
        if event.participant != "broker":
            return event.participant
        return "" if event.stream == ACCOUNT_STREAM else f"worker:{event.stream}"

    @property
    def code(self) -> str:
        """The refusal code in which the two sides differ; empty when they differ in something else."""
        codes = [_code(each) for each in (self.other, self.reference)]
        return next((code for code in codes if code), "") if codes[0] != codes[1] else ""


def first_difference(reference: Sequence[JournalRecord], other: Sequence[JournalRecord]) -> Difference | None:
    """The first difference of two journals in digest order; None when they are equal."""
    for a, b in zip(reference, other, strict=False):
        if a != b and repr(a) != repr(b):  # a value that is no number equals nothing, not even itself
            if (a.instant_ns, a.stream) == (b.instant_ns, b.stream):
                return Difference(reference=a, other=b)
            # One run has an event where the other one is already at a later instant or in a later stream.
            if (a.instant_ns, a.stream) < (b.instant_ns, b.stream):
                return Difference(reference=a, other=None)
            return Difference(reference=None, other=b)
    length = min(len(reference), len(other))
    if len(reference) == len(other):
        return None
    if len(reference) > length:
        return Difference(reference=reference[length], other=None)
    return Difference(reference=None, other=other[length])


def event_text(event: JournalRecord | None) -> str:
    """An event as a reader wants it: `2024-01-01T00:05:00Z AAA decision by worker:AAA: action enter, ...`."""
    if event is None:
        return "nothing"
    shown = [
        f"{name} {value}"
        for name, value in event.fields
        if name not in _IDENTITIES and value is not None and value != ""
    ]
    when = format_instant(event.instant_ns)
    return f"{when} {event.stream} {event.kind} by {event.participant}: {', '.join(shown)}"


def _code(event: JournalRecord | None) -> str:
    fields = {} if event is None else dict(event.fields)
    code = next((str(fields[name]) for name in _CODES if fields.get(name)), "")
    return "" if code == "accepted" else code
