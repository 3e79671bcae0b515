"""Words that go with numbers, so that one is not told as many. Pure; any thread."""

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 bar`, `2,000 bars`, `0 strategies`.

    Args:
        one: what is counted, as one of it is called.
        many: as several of it are called; with an s behind it by default.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
