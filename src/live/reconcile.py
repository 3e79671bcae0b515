"""What a bot finds at the venue against what it expected to find, before its first decision.

What filled since then is no difference: it is told through order events. What else is otherwise is named in a sentence,
with the command that resolves it. Orders and positions without this bot's ids are listed and never touched. The
comparison is pure; what was adopted is kept in the durable state of the account.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from src.core.errors import ConfigError
from src.core.program import command
from src.core.record import record
from src.core.records import Fill, Order, Position, Snapshot

__all__ = ["Difference", "Texts", "adopt", "differences", "open_differences", "refusal_of"]

#: Volumes are sums of floats.
_NOISE = 1e-9
_FOUND, _ADOPTED = "differences", "adopted"

_Key = tuple[str, str]


@record
class Difference:
    """Something that is not as the bot expected it.

    Attributes:
        kind: `volume`, `stop`, `target`, `opposed`, `foreign` or `foreign_order`.
        found: what is there, in a word; one that was adopted is adopted as long as this is the same.
        resolved_by: the commands that resolve it, such as `adopt BTCUSDT`; none where only somebody at the venue can.
        is_foreign: it is other people's, and is never touched.
    """

    symbol: str
    kind: str
    found: str
    sentence: str
    resolved_by: tuple[str, ...]
    is_foreign: bool = False

    @property
    def key(self) -> str:
        """What names it."""
        return f"{self.symbol} {self.kind} {self.found}"


class Texts(Protocol):
    """Texts under keys that outlive the process."""

    def value(self, key: str) -> str | None: ...
    def keep(self, key: str, value: str | None) -> None: ...


def differences(
    expected: Snapshot | None, found: Snapshot, foreign: Mapping[str, float], symbols: Sequence[str], *,
    fills: Iterable[Fill] = (), foreign_orders: Iterable[Order] = (),
) -> tuple[Difference, ...]:  # fmt: skip
    """All differences, by symbol in the order of `symbols`.

    Args:
        expected: what the bot saw last; None when it never ran, and then it expects nothing of its own.
        found: what is there of this bot's, recognised by its ids.
        foreign: by symbol, what is held besides, positive when long.
        fills: executions of this bot's orders since `expected`.
        foreign_orders: other people's orders that work in the symbols.
    """
    before = {} if expected is None else _by_book(expected.positions)
    after = _by_book(found.positions)
    moved: dict[_Key, float] = {}
    for fill in fills:
        key = fill.symbol, fill.book
        moved[key] = moved.get(key, 0.0) + fill.side.sign * fill.volume
    strange: dict[str, list[Order]] = {}
    for order in foreign_orders:
        strange.setdefault(order.request.symbol, []).append(order)
    out: list[Difference] = []
    for symbol in symbols:
        for key in sorted({key for key in (*before, *after, *moved) if key[0] == symbol}):
            out += _of_book(key, before.get(key), after.get(key), moved.get(key, 0.0))
        own = sum(each.volume for key, each in after.items() if key[0] == symbol)
        out += _of_others(symbol, own, foreign.get(symbol, 0.0))
        out += [_of_order(order) for order in strange.get(symbol, ())]
    return tuple(out)


def _by_book(positions: Iterable[Position]) -> dict[_Key, Position]:
    """One position of each book; of several in a hedging account the first, with the sum of the volumes."""
    found: dict[_Key, Position] = {}
    for position in positions:
        key = position.symbol, position.book
        first = found.get(key)
        found[key] = position if first is None else _joined(first, position)
    return found


def _joined(first: Position, other: Position) -> Position:
    return Position(
        position_id=first.position_id, book=first.book, symbol=first.symbol, volume=first.volume + other.volume,
        stop=first.stop, target=first.target,
    )  # fmt: skip


def _of_book(key: _Key, before: Position | None, after: Position | None, moved: float) -> list[Difference]:
    symbol, book = key
    expected = (0.0 if before is None else before.volume) + moved
    volume = 0.0 if after is None else after.volume
    if abs(expected - volume) > _NOISE * max(1.0, abs(expected), abs(volume)):
        return [
            Difference(
                symbol=symbol, kind="volume", found=f"{book}={volume:g}",
                sentence=f"{symbol}: the book {book} was expected to hold {_volume(expected)}, the venue shows "
                f"{_volume(volume)}, and no execution tells why",
                resolved_by=_commands(symbol),
            )
        ]  # fmt: skip
    out = []
    if before is not None and after is not None and before.volume * after.volume > 0:
        for kind, was, now in (("stop", before.stop, after.stop), ("target", before.target, after.target)):
            if was is not None and now is None:
                out.append(
                    Difference(
                        symbol=symbol, kind=kind, found=f"{book} none",
                        sentence=f"{symbol}: the {kind} of the book {book} at {was:g} does not rest at the venue any "
                        "more",
                        resolved_by=_commands(symbol),
                    )
                )  # fmt: skip
    return out


def _of_others(symbol: str, own: float, foreign: float) -> list[Difference]:
    if abs(foreign) <= _NOISE:
        return []
    if own * foreign < 0:
        sentence = (
            f"{symbol}: this bot holds {_volume(own)} and somebody else {_volume(foreign)}; the venue shows the "
            "difference of the two, so this bot could not close all of its own"
        )
        return [
            Difference(symbol=symbol, kind="opposed", found=f"{own:g}/{foreign:g}", sentence=sentence,
                       resolved_by=_commands(symbol), is_foreign=True)
        ]  # fmt: skip
    sentence = f"{symbol}: {_volume(foreign)} is held without this bot's ids; it is left alone"
    return [
        Difference(symbol=symbol, kind="foreign", found=f"{foreign:g}", sentence=sentence,
                   resolved_by=(f"adopt {symbol}",), is_foreign=True)
    ]  # fmt: skip


def _of_order(order: Order) -> Difference:
    request = order.request
    price = "" if request.price is None else f" at {request.price:g}"
    return Difference(
        symbol=request.symbol, kind="foreign_order", found=order.order_id,
        sentence=f"{request.symbol}: an order without this bot's ids works there, {request.side} {request.volume:g}"
        f"{price} ({order.order_id}); it is left alone",
        resolved_by=(f"adopt {request.symbol}",), is_foreign=True,
    )  # fmt: skip


def _volume(volume: float) -> str:
    return "nothing" if not volume else f"{abs(volume):g} {'long' if volume > 0 else 'short'}"


def _commands(symbol: str) -> tuple[str, ...]:
    return f"adopt {symbol}", f"close {symbol}"


# -- what was adopted --------------------------------------------------------------------------------------------------


def open_differences(state: Texts, found: Iterable[Difference]) -> tuple[Difference, ...]:
    """Those that nobody has adopted; they are kept, so that `adopt` knows what it is asked to take.

    What was adopted and is not there any more is forgotten: when it comes again, it is new.
    """
    found = tuple(found)
    adopted = _list(state, _ADOPTED)
    still = [each.key for each in found if each.key in adopted]
    if still != adopted:
        state.keep(_ADOPTED, json.dumps(still))
    left = tuple(each for each in found if each.key not in adopted)
    state.keep(_FOUND, json.dumps([[each.symbol, each.key, each.sentence] for each in left]) if left else None)
    return left


def adopt(state: Texts, symbol: str) -> tuple[str, ...]:
    """Take what was found in a symbol at the last start as it is; the sentences of what was taken.

    Raises:
        ConfigError: nothing was found there.
    """
    text = state.value(_FOUND)
    rows = [] if text is None else json.loads(text)
    taken = [row for row in rows if row[0] == symbol]
    if not taken:
        others = sorted({row[0] for row in rows})
        hint = f"; differences were found in {', '.join(others)}" if others else "; start the bot, and it tells them"
        raise ConfigError(f"expected a difference in {symbol} that can be adopted, found none{hint}", symbol=symbol)
    state.keep(_ADOPTED, json.dumps([*_list(state, _ADOPTED), *(row[1] for row in taken)]))
    left = [row for row in rows if row[0] != symbol]
    state.keep(_FOUND, json.dumps(left) if left else None)
    return tuple(row[2] for row in taken)


def refusal_of(left: Sequence[Difference], about: Sequence[str] = ()) -> ConfigError:
    """Why the bot does not begin: each difference, and the commands that resolve it.

    Args:
        about: the words that name this bot in a command, such as `--config bot.yaml`.
    """
    lines = []
    for each in left:
        commands = " or ".join(f"`{command(*words.split(), *about)}`" for words in each.resolved_by)
        lines.append(f"{each.sentence}: {commands}" if commands else each.sentence)
    many = "a difference" if len(left) == 1 else f"{len(left)} differences"
    return ConfigError(
        f"expected the account as this bot left it, found {many}:\n  " + "\n  ".join(lines),
        differences=[each.sentence for each in left],
    )


def _list(state: Texts, key: str) -> list[str]:
    text = state.value(key)
    return [] if text is None else list(json.loads(text))
