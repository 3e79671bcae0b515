"""What goes wrong at the local venue, as data: which call, in which way, how often. Under the venue's lock."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fault", "FaultKind", "VenueFaults"]


class FaultKind(StrEnum):
    """A way in which a call goes wrong.

    LOST: nothing is done and nothing is answered. UNANSWERED: it is done, and nothing is answered.
    RESET_BEFORE, RESET_AFTER: the connection is torn down before or after it was done.
    ERROR_BEFORE, ERROR_AFTER: status 503 before or after it was done; UNKNOWN_AFTER: done, and answered with -1007.
    RATE_LIMIT, BANNED: 429 with `Retry-After`, and 418; nothing is done.
    TWICE: it arrives two times at once, as when something on the way sends it again, and the second answer is given: of
    a placement with a client id that is -4116, for the first one works.
    STALE: a reading call gets the answer of the one before it; another one is done and answered as usual.
    NO_ID: a placement is not done, and answered with success and an order without an id.
    PART_THEN_REJECTED: half of an order's volume fills, the rest ends as REJECTED.
    SLOW: the answer comes `seconds` later. LATE: nothing is answered, and what was sent arrives `seconds` later, when
    whoever asks for it in between has been told that it does not exist.
    """

    LOST = "lost"
    UNANSWERED = "unanswered"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    UNKNOWN_AFTER = "unknown_after"
    RATE_LIMIT = "rate_limit"
    BANNED = "banned"
    TWICE = "twice"
    STALE = "stale"
    NO_ID = "no_id"
    PART_THEN_REJECTED = "part_then_rejected"
    SLOW = "slow"
    LATE = "late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        endpoint: `POST order`, `GET positionRisk`, the method and the path after its version; empty for every call.
        after: so many such calls go well first.
        times: so many then go wrong, one after the other; 0 for all of them.
        call: instead, the number of the call, from 1 on, among all that the venue ever got.
        seconds: real ones of SLOW, the venue's of LATE, and how long a client is told to wait by RATE_LIMIT and BANNED.
    """

    kind: FaultKind
    endpoint: str = ""
    after: int = 0
    times: int = 1
    call: int | None = None
    seconds: float = 1.0


class VenueFaults:
    """The faults that are planned, and how often each has been met."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._met: list[int] = []

    def plan(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        self._planned.append(fault)
        self._met.append(0)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._planned.clear()
        self._met.clear()

    def take(self, call: int, endpoint: str) -> Fault | None:
        """What goes wrong with this call; the fault that was planned first. Each of them counts the call."""
        chosen: Fault | None = None
        for i, fault in enumerate(self._planned):
            if fault.endpoint not in ("", endpoint):
                continue
            if fault.call is not None:
                hits = fault.call == call
            else:
                self._met[i] += 1
                place = self._met[i] - fault.after
                hits = place > 0 and (fault.times == 0 or place <= fault.times)
            if hits and chosen is None:
                chosen = fault
        return chosen
