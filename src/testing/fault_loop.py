"""The fault loop: a scenario is run with its first call to the venue failing, then its second, until none is hit.

After each run everything has to add up: money, positions, orders, stops and reservations. Called from a test's own
thread; every run has a clock of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.reconcile import check_money
from src.backtesting.result import BacktestResult, Outcome
from src.brokers.faults import CALLS, Fault, FaultKind, FaultPlan
from src.core.broker import IN_FLIGHT_NS
from src.core.errors import InternalError
from src.core.journal import JournalRecord
from src.core.record import record
from src.core.records import OrderState, Position
from src.core.timeframe import MINUTE_NS, SECOND_NS, format_duration
from src.testing.fault_changes import changes_not_made

__all__ = ["EVERY_FAULT", "FaultRun", "Scenario", "fault_loop", "problems_of"]

#: Makes the composed run, ready to go, with a plan of faults.
Scenario = Callable[[FaultPlan], BacktestController]

#: A scenario with more calls than this is too large for a loop that runs it once for each of them.
MOST_CALLS = 1_000

#: Each way in which one call can fail; an answer may be lost of a request that arrives at once, or later.
EVERY_FAULT = (
    *(Fault(kind=kind, call=1) for kind in FaultKind if kind in CALLS),
    Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=1, after_ns=20 * SECOND_NS),
)

#: How long it may take until who wanted out is out, when an order has fallen silent and another one has to fill.
SILENT_AT_MOST_NS = 7 * MINUTE_NS

#: How long an order may be UNKNOWN: twice the in-flight limit, and the pause until it is looked up again.
UNKNOWN_AT_MOST_NS = 3 * IN_FLIGHT_NS

#: The same when an order was lost, or has ended too soon.
OUT_AT_MOST_NS = UNKNOWN_AT_MOST_NS + MINUTE_NS


@record
class FaultRun:
    """One run of the loop.

    Attributes:
        call: which call was to fail.
        acted: whether the fault could happen to that call.
    """

    kind: FaultKind
    call: int
    acted: bool
    digest: str


def fault_loop(
    scenario: Scenario,
    faults: Iterable[Fault] = EVERY_FAULT,
    *,
    seed: int = 7,
    most_positions: int | None = None,
) -> list[FaultRun]:
    """Run a scenario with call 1 failing, call 2 ... until a run completes in which no call was left to fail.

    Args:
        scenario: composes a run of its own each time.
        faults: in which ways calls fail; the call that each names is replaced by 1, 2 ...
        seed: of the plans.
        most_positions: how many books may hold something at once.

    Returns:
        All runs in order, the untouched one of each kind last.

    Raises:
        InternalError: something does not add up; the message names the fault as a configuration has it, and everything
            that is wrong.
    """
    untouched: set[str] = set()
    runs: list[FaultRun] = []
    for fault in faults:
        for call in range(1, MOST_CALLS + 1):
            plan = FaultPlan([replace(fault, call=call)], seed)
            controller = scenario(plan)
            result = controller.run()
            problems = problems_of(controller, result, most_positions=most_positions)
            over = call > plan.calls
            if over:
                untouched.add(result.digest)
                if len(untouched) > 1:
                    problems.append("two runs in which nothing failed have two digests")
            if problems:
                text = "; ".join(problems)
                where = f"[{{kind: {fault.kind}, call: {call}, after: {fault.after_ns // 10**9}s}}]"
                raise InternalError(f"with faults: {where}: {text}", kind=str(fault.kind), call=call)
            runs.append(FaultRun(kind=fault.kind, call=call, acted=bool(plan.acted), digest=result.digest))
            if over:
                break
        else:
            raise InternalError(f"expected a scenario of at most {MOST_CALLS} calls, found more")
    return runs


def problems_of(
    controller: BacktestController, result: BacktestResult, *, most_positions: int | None = None, away_ns: int = 0
) -> list[str]:
    """What does not add up after a run with faults, a sentence each; empty when everything does.

    Args:
        controller: what ran.
        result: what it returned.
        most_positions: how many books may hold something at once.
        away_ns: for how long the venue could not be reached; what needs an answer may take so much longer, and as much
            again for the pauses between two attempts.
    """
    problems: list[str] = []
    if result.outcome is not Outcome.COMPLETED:
        problems.append(f"the run is {result.outcome}: {result.error or result.failures}")
    try:
        check_money(result)
    except InternalError as error:
        problems.append(error.message)
    answered_ns = UNKNOWN_AT_MOST_NS + 2 * away_ns
    # What is sent again inside a bar fills when that bar is over; the limits are those of minutes.
    longest_ns = max(series.timeframe_ns for series in controller.venue.all_base_series())
    filled_ns = 2 * away_ns + max(0, longest_ns - MINUTE_NS)
    problems += _order_problems(result)
    problems += _unknown_problems(result, answered_ns)
    problems += _reservation_problems(controller, result, SILENT_AT_MOST_NS + filled_ns)
    problems += _naked_problems(controller, result, UNKNOWN_AT_MOST_NS + filled_ns)
    problems += _exit_problems(result, filled_ns)
    problems += changes_not_made(result, answered_ns)
    if most_positions is not None:
        most, taken = max(_held(result), default=0), max(_taken(result), default=0)
        if most > most_positions:
            problems.append(f"{most} books held something at once, {most_positions} were allowed")
        elif taken > most_positions:
            problems.append(f"{taken} books held something or had an entry at work, {most_positions} were allowed")
    return problems


def _order_problems(result: BacktestResult) -> Iterator[str]:
    """Every order was decided once and sent once."""
    decided = {each.values[3] for each in _of_kind(result, "decision") if each.values[2] == "accepted"}
    decided |= {each.values[1] for each in _of_kind(result, "recovery") if each.values[2] == "close again"}
    sent = Counter(order.order_id for order in result.orders)
    for identity, times in sent.items():
        parent, dash, _ = identity.partition("-")  # the legs of a position are named after its entry
        if times > 1 and not dash:
            yield f"the order {identity} was sent {times} times"
        if parent not in decided:
            yield f"the order {identity} was decided by nobody"


def _unknown_problems(result: BacktestResult, at_most_ns: int) -> Iterator[str]:
    """What became of each unanswered order was found out in time."""
    for identity, since_ns in _unknown_since(result).items():
        if result.end_ns - since_ns > at_most_ns:
            yield f"what became of the order {identity} was never found out"


def _unknown_since(result: BacktestResult) -> dict[str, int]:
    """The orders of which nothing was known at the end, and since when."""
    open_ns: dict[str, int] = {}
    for each in _of_kind(result, "recovery"):
        _, identity, _, outcome = each.values
        if outcome == "unknown":
            open_ns[identity] = each.instant_ns
        else:
            open_ns.pop(identity, None)
    return open_ns


def _reservation_problems(controller: BacktestController, result: BacktestResult, at_most_ns: int) -> Iterator[str]:
    """The bot reserves for what works at the venue, and for nothing that ended long ago."""
    risk = controller.trading_controller.risk
    risk.settle()
    reserved = risk.reserved
    living = {order.order_id: order for order in controller.venue.snapshot().orders}
    for identity, order in living.items():
        if not order.request.reduce_only and identity not in reserved:
            yield f"the order {identity} works at the venue and the bot does not count it"
    decided = {each.values[3]: each for each in _of_kind(result, "decision") if each.values[1] == "enter"}
    last_ns = {fill.order_id: fill.filled_ns for fill in result.fills}
    held = {each.position_id for each in result.open_positions}
    resting = {fill.order_id for fill in result.fills if fill.position_id in held}
    unknown = _unknown_since(result)
    for identity in reserved:
        if identity in living or identity in unknown or identity not in decided:
            continue
        since_ns = last_ns.get(identity, decided[identity].instant_ns)
        # Of a limit that is partly filled the bot cannot know that the venue has forgotten the rest.
        waits = identity in resting and decided[identity].values[5] == "limit"
        if not waits and result.end_ns - since_ns > at_most_ns:
            yield f"something is reserved for the order {identity}, which ended long ago"


def _naked_problems(controller: BacktestController, result: BacktestResult, at_most_ns: int) -> Iterator[str]:
    """No position of which any entry had a stop stands without one, unless it is being closed."""
    with_stop = {each.values[3] for each in _of_kind(result, "decision") if each.values[8] is not None}
    closing = {order.request.position_id for order in controller.venue.snapshot().orders if order.request.reduce_only}
    stopped = with_stop | {each.position_id for each in result.fills if each.order_id in with_stop}
    for position in result.open_positions:
        if _is_naked(position, stopped) and position.position_id not in closing:
            yield f"the position {position.position_id} in {position.symbol} has no stop"
    for trade in result.trades:
        naked_ns = trade.exit_ns - trade.entry_ns
        if trade.initial_stop is None and trade.trade_id in with_stop and naked_ns > at_most_ns:
            yield f"the trade {trade.trade_id} in {trade.symbol} went on for {format_duration(naked_ns)} without a stop"


def _is_naked(position: Position, with_stop: set[str]) -> bool:
    return position.stop is None and position.position_id in with_stop


def _exit_problems(result: BacktestResult, longer_ns: int) -> Iterator[str]:
    """Whoever wanted out of a position, and was not told that it is impossible, got out.

    Args:
        longer_ns: how much longer that may take than where nothing else is wrong and bars are minutes.
    """
    told = {each.values[1]: each.values[2] for each in _of_kind(result, "refusal")}
    silent = {each.values[2] for each in _of_kind(result, "fault") if each.values[0] == FaultKind.PARTLY_SILENT}
    spans = [(trade.book, trade.symbol, trade.entry_ns, trade.exit_ns) for trade in result.trades]
    still = [(each.book, each.symbol, each.opened_ns, result.end_ns) for each in result.open_positions]
    for each in _of_kind(result, "decision"):
        book, action, _, identity, _, _, volume, *_ = each.values
        if action != "close" or volume is not None or told.get(identity, "unanswered") != "unanswered":
            continue
        at_most_ns = longer_ns + (SILENT_AT_MOST_NS if identity in silent else OUT_AT_MOST_NS)
        until_ns = min(each.instant_ns + at_most_ns, result.end_ns)
        own = [span for span in spans if span[:2] == (book, each.stream) and span[2] <= each.instant_ns <= span[3]]
        own += [span for span in still if span[:2] == (book, each.stream) and span[2] <= each.instant_ns]
        late = bool(own) and all(span[3] > until_ns for span in own)
        if late and until_ns < result.end_ns:
            yield f"the order {identity} was to close what {book} holds of {each.stream}, and it is still held"


def _held(result: BacktestResult) -> Iterator[int]:
    """How many books hold something after each fill."""
    held: dict[str, float] = {}
    for fill in result.fills:
        volume = held.get(fill.position_id, 0.0) + fill.side.sign * fill.volume
        if abs(volume) < 1e-9:
            held.pop(fill.position_id, None)
        else:
            held[fill.position_id] = volume
        yield len(held)


def _taken(result: BacktestResult) -> Iterator[int]:
    """How many books hold something or have an entry at work at the venue, at the end of each instant."""
    entries = {each.values[3]: each for each in _of_kind(result, "decision") if each.values[1] == "enter"}
    fills = {fill.fill_id: fill for fill in result.fills}
    held: dict[str, float] = {}
    owners: dict[str, tuple[str, str]] = {}
    working: dict[str, tuple[str, str]] = {}
    # Of one instant the symbols' records lie one after the other, whatever came first.
    for _, records in groupby(result.records, key=attrgetter("instant_ns")):
        for each in records:
            if each.kind == "order" and each.values[0] in entries:
                working[each.values[0]] = entries[each.values[0]].values[0], each.stream
                if OrderState(each.values[1]).is_final:
                    del working[each.values[0]]
            elif each.kind == "fill":
                fill = fills[each.values[0]]
                owners[fill.position_id] = fill.book, fill.symbol
                held[fill.position_id] = held.get(fill.position_id, 0.0) + fill.side.sign * fill.volume
        standing = [owners[position_id] for position_id, volume in held.items() if abs(volume) > 1e-9]
        yield len({*standing, *working.values()})


def _of_kind(result: BacktestResult, kind: str) -> Sequence[JournalRecord]:
    return [each for each in result.records if each.kind == kind]
