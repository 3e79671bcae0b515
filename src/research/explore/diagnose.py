"""Which race makes the result depend on the order: two turns, and what their swap changes.

A run under another schedule is the written order plus a list of deviations from it. The shortest beginning of that
list that changes the result ends with the deviation that decides: in it somebody goes earlier than written. How late
that one may go and still change the result tells whom it has to precede: two turns, side by side, whose swap flips the
result. For another order of the symbols, the list is one of swaps of neighbours.

Both searches halve an interval of which the lower end gives the reference's result and the upper end another one, so
what they end with really is such a pair, also where more deviations undo what fewer did. All runs are made by a
callable that is handed in; their number grows with the logarithm of the deviations, and one of which it is only asked
whether it differs ends where it does. Called by one thread.
"""

from collections.abc import Callable, Sequence
from typing import Any

from src.backtesting.schedules.accesses import READS, Divergence, PortLogs, Retold, first_divergence, resource_of_code
from src.core.errors import invariant
from src.core.journal import JournalRecord
from src.core.record import record
from src.research.explore.differences import Difference, first_difference
from src.research.explore.schedules import REFERENCE, Variant

__all__ = ["OUTSIDE", "Choice", "Move", "Race", "Run", "Script", "Seen", "explain"]

#: What two participants raced for when broker and risk manager told each of them the same in both orders.
OUTSIDE = "state outside the ports"

#: At one instant, at the decision with this number, the ready participant with this index goes: a deviation.
Move = tuple[int, int, int]


@record
class Choice:
    """One decision of a schedule.

    Attributes:
        number: which decision at its instant, from 0.
        names: the ready participants in written order.
        index: whom the schedule chose.
    """

    instant_ns: int
    number: int
    names: tuple[str, ...]
    index: int

    @property
    def chosen(self) -> str:
        """Who went."""
        return self.names[self.index]


@record
class Script:
    """How to run the bot once.

    Attributes:
        schedule: a named schedule; None for the written order with `moves`.
        preempts: whether turns are also given away at broker calls.
        symbols: another order of the symbols.
        watch_ns: the instant of which all decisions are wanted.
        logs_since_ns: from when on the calls through the ports are wanted; None for not at all.
        unlike: the run ends as soon as its journal is another one than this; its key is none of a whole run then.
        watch_only: the run ends after `watch_ns`.
        retold: a participant whose reads are answered as in another run; only with `logs_since_ns`.
    """

    schedule: str | None = None
    moves: tuple[Move, ...] = ()
    preempts: bool = False
    symbols: tuple[str, ...] | None = None
    watch_ns: int | None = None
    logs_since_ns: int | None = None
    unlike: Sequence[JournalRecord] | None = None
    watch_only: bool = False
    retold: Retold | None = None


@record
class Seen:
    """What such a run showed.

    Attributes:
        key: digest, outcome and type of error: equal for equal results.
        deviations: the decisions that departed from the written order, in order.
        choices: all decisions at `Script.watch_ns`.
        logs: the calls through the ports, if they were wanted.
        replay: the value of `backtest.schedule` that repeats the run.
    """

    key: tuple[str, str, str]
    records: Sequence[JournalRecord]
    deviations: tuple[Move, ...] = ()
    choices: tuple[Choice, ...] = ()
    logs: PortLogs | None = None
    replay: str = REFERENCE


Run = Callable[[Script], Seen]


@record
class Race:
    """Two participants whose order decides.

    Attributes:
        first, second: the participants in the order that gives the reference's result.
        resource: `slot`, `margin`, `open risk`, `daily loss`, `order`, `position` ..., or `OUTSIDE`.
        instant_ns: when they met.
        difference: the first event that differs; None when only the way in which the runs ended does.
        schedule, symbols: what repeats the run in which they are swapped.
        digest: of that run.
        twin_schedule, twin_symbols: the same for the run that differs from it in this swap alone and has the
            reference's result.
    """

    first: str
    second: str
    resource: str
    instant_ns: int | None
    difference: Difference | None
    schedule: str
    symbols: tuple[str, ...] | None
    digest: str
    twin_schedule: str
    twin_symbols: tuple[str, ...] | None


def explain(run: Run, reference: Seen, variant: Variant, symbols: Sequence[str]) -> Race | None:
    """The race that makes `variant` differ from the written order.

    Args:
        reference: the written order's run.
        symbols: the configured order.

    Returns:
        None when the variant, run once more, does not differ: then something else than the order decides.
    """
    if variant.symbols is not None:
        return _explain_order(run, reference, tuple(symbols), variant.symbols)
    return _explain_turns(run, reference, variant)


# -- another order of turns ------------------------------------------------------------------------


def _explain_turns(run: Run, reference: Seen, variant: Variant) -> Race | None:
    preempts = variant.kind == "preemptive"
    seen = run(Script(schedule=variant.schedule, unlike=reference.records))
    difference = first_difference(reference.records, seen.records)
    if seen.key == reference.key:
        return None
    # What comes after the first difference did not cause it.
    moves = tuple(each for each in seen.deviations if difference is None or each[0] <= difference.instant_ns)

    def make(script_moves: tuple[Move, ...], **wanted: Any) -> Seen:
        return run(Script(moves=script_moves, preempts=preempts, **wanted))

    def choices(script_moves: tuple[Move, ...], at: int) -> tuple[Choice, ...]:
        return make(script_moves, watch_ns=at, watch_only=True).choices

    known: dict[tuple[Move, ...], bool] = {}

    def flips(script_moves: tuple[Move, ...]) -> bool:
        if script_moves not in known:
            known[script_moves] = make(script_moves, unlike=reference.records).key != reference.key
        return known[script_moves]

    if not moves or flips(()) or not flips(moves):
        return None
    # Most often what decides lies at the very instant of the difference; then there is little to search.
    here = tuple(each for each in moves if difference is not None and each[0] == difference.instant_ns)
    if here and flips(here):
        moves = here
    count = _turning_point(len(moves), lambda n: flips(moves[:n]))
    before, move = _least(flips, moves[: count - 1], moves[count - 1])
    at = move[0]
    plain = [each for each in choices(before, at) if each.number >= move[1]]
    made = next((each for each in choices((*before, move), at) if each.number == move[1]), None)
    if made is None or not plain or plain[0].names != made.names:
        return None
    mover = made.chosen
    # The mover goes by itself at the decision where the written order comes to it.
    limit = next((i for i, each in enumerate(plain) if each.chosen == mover or mover not in each.names), len(plain))

    def delayed(n: int) -> tuple[Move, ...]:
        if n >= limit:
            return before
        choice = plain[n]
        return (*before, (at, choice.number, choice.names.index(mover)))

    wait = limit - _turning_point(limit, lambda n: flips(delayed(limit - n)))
    swapped, twin = make(delayed(wait), logs_since_ns=at), make(delayed(wait + 1), logs_since_ns=at)
    difference = first_difference(reference.records, swapped.records)
    if swapped.key == reference.key or twin.key != reference.key:
        return None
    first = plain[wait].chosen
    return Race(
        first=first,
        second=mover,
        resource=_raced_for(
            twin,
            swapped,
            (first, mover),
            difference,
            lambda retold: make(delayed(wait), logs_since_ns=at, retold=retold),
        ),
        instant_ns=at,
        difference=difference,
        schedule=swapped.replay,
        symbols=None,
        digest=swapped.key[0],
        twin_schedule=twin.replay,
        twin_symbols=None,
    )


def _least(
    flips: Callable[[tuple[Move, ...]], bool], before: tuple[Move, ...], move: Move
) -> tuple[tuple[Move, ...], Move]:
    """The fewest deviations before the deciding one with which it still decides: none, those of its instant, or all."""
    here = tuple(each for each in before if each[0] == move[0])
    if not before or flips((move,)):
        return (), move
    if here and here != before and not flips(here) and flips((*here, move)):
        return here, move
    return before, move


# -- another order of symbols ----------------------------------------------------------------------


def _explain_order(run: Run, reference: Seen, configured: tuple[str, ...], order: tuple[str, ...]) -> Race | None:
    orders = _by_neighbours(configured, order)

    def flips(symbols: tuple[str, ...]) -> bool:
        return run(Script(symbols=symbols, unlike=reference.records)).key != reference.key

    if not flips(order):
        return None
    count = _turning_point(len(orders) - 1, lambda n: flips(orders[n]))
    twin_symbols, symbols = orders[count - 1], orders[count]
    a, b = next(pair for pair in zip(twin_symbols, symbols, strict=True) if pair[0] != pair[1])
    alone = _swapped(configured, a, b)
    if abs(configured.index(a) - configured.index(b)) == 1 and alone != symbols and flips(alone):
        twin_symbols, symbols = configured, alone
    twin = run(Script(symbols=twin_symbols, logs_since_ns=0))
    swapped = run(Script(symbols=symbols, logs_since_ns=0))
    difference = first_difference(reference.records, swapped.records)
    if swapped.key == reference.key or twin.key != reference.key:
        return None
    first, second = (f"worker:{name}" for name in (a, b))
    if twin_symbols.index(a) > twin_symbols.index(b):
        first, second = second, first
    met = [each.instant_ns for name in (first, second) if (each := _divergence(twin, swapped, name)) is not None]
    met += [] if difference is None else [difference.instant_ns]
    return Race(
        first=first,
        second=second,
        resource=_raced_for(
            twin,
            swapped,
            (first, second),
            difference,
            lambda retold: run(Script(symbols=symbols, logs_since_ns=0, retold=retold)),
        ),
        instant_ns=min(met, default=None),
        difference=difference,
        schedule=REFERENCE,
        symbols=symbols,
        digest=swapped.key[0],
        twin_schedule=REFERENCE,
        twin_symbols=twin_symbols,
    )


def _by_neighbours(start: tuple[str, ...], end: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The orders on the way from one to the other, each a swap of two neighbours away from the one before."""
    now, orders = list(start), [start]
    for place, name in enumerate(end):
        for i in range(now.index(name), place, -1):
            now[i - 1], now[i] = now[i], now[i - 1]
            orders.append(tuple(now))
    return orders


def _swapped(order: tuple[str, ...], a: str, b: str) -> tuple[str, ...]:
    return tuple({a: b, b: a}.get(name, name) for name in order)


# -- both ------------------------------------------------------------------------------------------


def _turning_point(count: int, flips: Callable[[int], bool]) -> int:
    """An n of 1 to `count` with `flips(n)` and not `flips(n - 1)`, known that `flips(count)` and not `flips(0)`."""
    invariant(count > 0, "a search for what decides needs something that may")
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if flips(middle):
            high = middle
        else:
            low = middle
    return high


def _raced_for(
    twin: Seen, swapped: Seen, pair: tuple[str, str], difference: Difference | None, again: Callable[[Retold], Seen]
) -> str:
    """What the answer speaks of in which broker or risk manager told one of the two something else than before.

    The one whose event differs is asked first. What it was granted or refused names the resource at once. What it only
    read may have been the mere consequence of what the other one did: then the swapped run is made once more, in which
    it reads what it read in the twin. If it now does the same as there, the reading decided; if it still does something
    else, it had its reason from outside, as has one that did something else although it was told the same.

    Args:
        again: the swapped run with other answers.
    """
    loser = "" if difference is None else difference.participant
    for name in sorted(pair, key=lambda name: name != loser):
        divergence = _divergence(twin, swapped, name)
        if divergence is None:
            continue
        if divergence.resource and divergence.call in READS and twin.logs is not None:
            skipped, calls = twin.logs.of(name)
            told = again(
                Retold(participant=name, begin=divergence.index, calls=tuple(calls[divergence.index - skipped :]))
            )
            still = _divergence(twin, told, name)
            return divergence.resource if still is None else still.resource or OUTSIDE
        return divergence.resource or OUTSIDE
    if difference is not None and loser in pair and difference.code:
        return resource_of_code(difference.code)
    return OUTSIDE


def _divergence(twin: Seen, swapped: Seen, name: str) -> Divergence | None:
    if twin.logs is None or swapped.logs is None:
        return None
    return first_divergence(twin.logs, swapped.logs, name)
