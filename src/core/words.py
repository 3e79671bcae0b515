"""Words in messages: such that go with numbers, and those that somebody meant. Pure; any thread."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["closest", "counted", "meant"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 bar`, `2,000 bars`, `0 strategies`.

    Args:
        one: what is counted, as one of it is called.
        many: as several of it are called; with an s behind it by default.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a mistyped one most likely stands for, capitals or not; None where none is near.

    Letters in another order are the likeliest slip: `opne` is `open`, although `zone` has as many in common.
    """
    lowered: dict[str, str] = {}
    for each in known:
        lowered.setdefault(each.lower(), each)
    swapped = [each for each in lowered if sorted(each) == sorted(word.lower())]
    close = get_close_matches(word.lower(), swapped, n=1) or get_close_matches(word.lower(), lowered, n=1)
    return lowered[close[0]] if close else None


def meant(word: object, known: Iterable[str]) -> str:
    """What a sentence about an unknown word ends with: `; did you mean 'fast'?`, or nothing."""
    found = closest(str(word), known)
    return "" if found is None else f"; did you mean {found!r}?"
