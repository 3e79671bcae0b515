"""What is looked at before a bot may begin, or go on: whether the account is as the bot left it.

What filled since then is no difference. Anything else is told, and refused unless it was adopted. Called by one thread,
before the first turn.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from src.core.program import command
from src.core.records import Fill, Position, Snapshot
from src.core.timeframe import format_duration, format_instant
from src.core.words import counted
from src.live.account_state import AccountState
from src.live.feed import LiveSource
from src.live.reconcile import Difference, differences, open_differences, refusal_of
from src.live.world import SeriesKey

__all__ = ["check_start", "what_is_locked", "what_was_found"]


def check_start(
    source: LiveSource, state: AccountState, symbols: Iterable[str], *, expected: Snapshot | None, told: set[str],
    tell: Callable[[Difference], None], adopt: bool, about: Sequence[str] = (),
) -> None:  # fmt: skip
    """Hold that the venue shows what the bot expects, looking at what the source has told so far.

    Args:
        expected: what the bot saw last; None when it begins anew.
        told: executions that it has heard of.
        tell: told of each difference.
        adopt: take what is there as it is.
        about: the words that name this bot in a command.

    Raises:
        ConfigError: it does not; the error names each difference and the commands that resolve it.
    """
    names = tuple(symbols)
    fills: list[Fill] = []
    for symbol in names:
        for event in tuple(source.mailbox(symbol)):
            if event.fill is not None and event.fill.fill_id not in told:
                fills.append(event.fill)
    foreign: Mapping[str, float] = getattr(source, "foreign", {})
    found = differences(expected, source.snapshot(), foreign, names, fills=fills)
    left = open_differences(state, found)
    for each in left:
        tell(each)
    if left and not adopt:
        raise refusal_of(left, about)


def what_was_found(source: LiveSource, series: Iterable[SeriesKey]) -> str:
    """What is there when the bot begins or goes on, in one sentence: money, what is held, and bars to begin with."""
    snapshot = source.snapshot()
    account = snapshot.account
    held = ", ".join([_held(each) for each in snapshot.positions]) or "nothing"
    lengths: dict[int, int] = {}
    bare: dict[str, None] = {}
    from_ns: list[int] = []
    for symbol, length, _ in series:
        bars = source.series(symbol, length)
        lengths[length] = min(bars.length, lengths.get(length, bars.length))
        if bars.length:
            from_ns.append(int(bars.open_ns_at[0]))
        else:
            bare[symbol] = None
    least = ", ".join([f"{count} of {format_duration(length)}" for length, count in sorted(lengths.items())])
    since = f" since {format_instant(max(from_ns))}" if from_ns else ""
    missing = f"; NO BARS of {', '.join(bare)}" if bare else ""
    return (
        f"found: equity {account.equity:,.2f} {account.currency} (balance {account.balance:,.2f}); held: {held}; "
        f"{counted(len(snapshot.orders), 'order')}; bars of each symbol{since}: at least {least}{missing}"
    )


def what_is_locked(state: AccountState, about: Sequence[str] = ()) -> tuple[str, ...]:
    """That nothing will be opened, because somebody has killed or paused the bot, perhaps long ago; else nothing."""
    if state.latched is not None:
        return (f"KILLED: nothing is opened until `{command('resume', '--confirm', state.label, *about)}`",)
    return (f"PAUSED: nothing is opened until `{command('resume', *about)}`",) if state.paused else ()


def _held(position: Position) -> str:
    stop = "no stop" if position.stop is None else f"stop {position.stop:g}"
    return f"{position.volume:g} {position.symbol} at {position.entry_price:g}, {stop}"
