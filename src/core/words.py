"""Words in messages: such that go with numbers, and those that somebody meant. Pure; any thread."""

from collections.abc import Iterable
from difflib import get_close_matches  # noqa: TID251 - the one place that says what somebody meant

__all__ = ["closest", "counted", "meant", "nearest"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 bar`, `2,000 bars`, `0 strategies`.

    Args:
        one: what is counted, as one of it is called.
        many: as several of it are called; with an s behind it by default.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def nearest(word: str, known: Iterable[str], most: int) -> list[str]:
    """Up to `most` known words that a mistyped one may stand for, capitals or not, the likeliest first.

    Letters in another order are the likeliest slip: `opne` is `open`, although `zone` has as many in common.
    """
    lowered: dict[str, str] = {}
    for each in known:
        lowered.setdefault(each.lower(), each)
    swapped = [each for each in lowered if sorted(each) == sorted(word.lower())]
    close = get_close_matches(word.lower(), swapped, n=most) or get_close_matches(word.lower(), lowered, n=most)
    return [lowered[each] for each in close]


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a mistyped one most likely stands for; None where none is near."""
    return next(iter(nearest(word, known, 1)), None)


def meant(word: object, known: Iterable[str], most: int = 1) -> str:
    """What a sentence about an unknown word ends with: `; did you mean 'fast'?`, or nothing."""
    found = nearest(str(word), known, most)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""
