"""Which schedules to try: the written order first, then a fixed mix of other orders. Pure; any thread.

The list is a function of the run's seed and the symbols alone, and the list for a larger count begins with that for a
smaller one.
"""

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from src.core.program import program_words
from src.core.record import record
from src.core.rng import stable_hash, stream

__all__ = ["REFERENCE", "Variant", "command", "override_words", "variants"]

#: The written order, to which every other one is compared.
REFERENCE = "1:fifo"

_SEEDS = 1_000_000
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_NOT_NAMES = {"true", "false", "null", "nan", "inf"}


@record
class Variant:
    """One way to run the same bot.

    Attributes:
        kind: `fifo`, `seeded`, `preemptive` or `order`.
        schedule: the value of `backtest.schedule`.
        symbols: the order of the symbols; None for the configured one.
    """

    kind: str
    schedule: str
    symbols: tuple[str, ...] | None = None


def variants(symbols: Sequence[str], count: int, seed: int) -> list[Variant]:
    """`count` different variants, the reference first.

    Seeded orders, preemptive ones and other orders of the symbols take turns; the last are fewer when there are not so
    many permutations.
    """
    seeded, preemptive = _numbers(seed, "seeded"), _numbers(seed, "preemptive")
    orders = _orders(symbols, seed)
    found = [Variant(kind="fifo", schedule=REFERENCE)]
    while len(found) < count:
        found.append(Variant(kind="seeded", schedule=f"1:seeded:{next(seeded)}"))
        found.append(Variant(kind="preemptive", schedule=f"1:preemptive:{next(preemptive)}"))
        order = next(orders, None)
        if order is not None:
            found.append(Variant(kind="order", schedule=REFERENCE, symbols=order))
    return found[:count]


def override_words(variant: Variant) -> list[str]:
    """The `key=value` overrides that make a configuration run as this variant."""
    words = [f"backtest.schedule={variant.schedule}"]
    if variant.symbols is not None:
        words.append(f"symbols=[{','.join(map(_yaml_name, variant.symbols))}]")
    return words


def command(config: str, overrides: Sequence[str], variant: Variant) -> str:
    """The line that runs this variant by itself, for a shell.

    Args:
        config: the configuration file as it was given.
        overrides: the overrides that were given.
    """
    words = [*program_words(), "--mode", "backtest", "--config", config]
    for override in (*overrides, *override_words(variant)):
        words += ["--set", override]
    return shlex.join(words)


def _numbers(seed: int, kind: str) -> Iterator[int]:
    used: set[int] = set()
    i = 0
    while True:
        number = stable_hash(seed, "explore", kind, i) % _SEEDS
        i += 1
        if number not in used:
            used.add(number)
            yield number


def _orders(symbols: Sequence[str], seed: int) -> Iterator[tuple[str, ...]]:
    """All orders but the given one, the reverse first; each once."""
    given = tuple(symbols)
    possible = 1
    for i in range(2, len(given) + 1):
        possible *= i
    numbers = stream(seed, "explore orders")
    order, used = given[::-1], {given}
    while len(used) < possible:
        if order not in used:
            used.add(order)
            yield order
        order = tuple(numbers.sample(given, len(given)))


def _yaml_name(symbol: str) -> str:
    plain = _PLAIN_NAME.fullmatch(symbol) and symbol.lower() not in _NOT_NAMES
    return symbol if plain else json.dumps(symbol)
