"""What happened at the instant of a race, call by call, in the two orders that give different results.

Both orders are run once more, with what every participant asked of broker and risk manager and what it was told.
Called by one thread.
"""

from collections.abc import Callable
from typing import Any

from src.backtesting.schedules.accesses import PortCall, PortLogs
from src.core.record import record
from src.research.explore.diagnose import Race, Script, Seen

__all__ = ["Step", "Timelines", "timelines_of"]

#: So many calls of the instant are shown in each order.
_MOST_STEPS = 60

Steps = tuple["Step", ...]


@record
class Step:
    """One call of a participant.

    Attributes:
        participant: who asked.
        asked, told: the question and its answer, in words.
        differs: whether the other order has no such call of the participant at this place with this answer.
    """

    participant: str
    asked: str
    told: str
    differs: bool


@record
class Timelines:
    """The calls at the instant of the race, in the order in which they were answered.

    Attributes:
        written, swapped: in the two orders.
        left_out: how many calls were too many to be kept, of both.
    """

    instant_ns: int
    written: Steps
    swapped: Steps
    left_out: int = 0


def timelines_of(race: Race, run: Callable[[Script], Seen]) -> Timelines | None:
    """Run both orders of a race again and keep what happened at its instant; None where it has no instant.

    Raises:
        LockstepError: a run could not even begin.
    """
    at_ns = race.instant_ns
    if at_ns is None:
        return None
    calls = []
    for schedule, symbols in ((race.twin_schedule, race.twin_symbols), (race.schedule, race.symbols)):
        script = Script(schedule=schedule, symbols=symbols, watch_ns=at_ns, watch_only=True, logs_since_ns=at_ns)
        logs = run(script).logs
        calls.append([] if logs is None else _calls_at(logs, at_ns))
    written, swapped = calls
    left_out = max(0, len(written) - _MOST_STEPS) + max(0, len(swapped) - _MOST_STEPS)
    return Timelines(
        instant_ns=at_ns, written=_steps(written, swapped), swapped=_steps(swapped, written), left_out=left_out
    )


_Call = tuple[str, str, str]  # participant, question, answer


def _calls_at(logs: PortLogs, at_ns: int) -> list[_Call]:
    return [(who, _question(call), _answer(call)) for who, call in logs.at(at_ns) if who]


def _steps(calls: list[_Call], others: list[_Call]) -> Steps:
    """The calls with what is different in the other order: compared participant by participant, in order."""
    theirs: dict[str, list[_Call]] = {}
    for call in others:
        theirs.setdefault(call[0], []).append(call)
    counts: dict[str, int] = {}
    steps = []
    for call in calls:
        number = counts.get(call[0], 0)
        counts[call[0]] = number + 1
        own = theirs.get(call[0], [])
        differs = number >= len(own) or own[number] != call
        steps.append(Step(participant=call[0], asked=call[1], told=call[2], differs=differs))
    return tuple(steps[:_MOST_STEPS])


def _question(call: PortCall) -> str:
    if call.call in ("reserve", "amend"):
        intent = call.asked[0]
        size = "" if intent.volume is None else f" {intent.volume:.10g}"
        return f"may I {intent.side}{size} {intent.symbol}?"
    if call.call == "place":
        request = call.asked[0]
        return f"place {request.side} {request.type} {request.volume:.10g} {request.symbol}"
    if call.call in ("snapshot", "equity", "daily loss"):
        return {"snapshot": "look at the account", "equity": "look at the equity"}.get(call.call, call.call)
    if call.call in ("position", "positions", "event"):
        names = " ".join(str(each) for each in call.asked if each)
        return {"event": "next event"}.get(call.call, "look at the position") + f" of {names}"
    return {"close": "close the position", "protect": "move stop or target"}.get(call.call, f"{call.call} the order")


def _answer(call: PortCall) -> str:
    told: Any = call.answer
    if call.call in ("reserve", "amend", "loosen"):
        return f"no: {told[0]}" if told[0] else f"yes, {told[1]:.10g}"
    if call.call in ("place", "close", "protect", "cancel", "modify"):
        return f"refused: {told[0]}" if told[0] else "taken"
    if call.call == "snapshot":
        account = told.account
        return f"margin free {account.margin_free:,.2f}, {len(told.positions)} positions, {len(told.orders)} orders"
    if call.call == "equity":
        return f"{told:,.2f}"
    if call.call == "position":
        return "flat" if told.volume == 0 else f"{told.volume:.10g}"
    if call.call == "positions":
        return ", ".join(f"{each.volume:.10g}" for each in told) or "flat"
    if call.call == "event":
        return f"{told[1]}, filled {told[2]:.10g}" + (f", {told[3]}" if told[3] else "")
    return str(told)
