"""What the calls of a clock accept: lengths of time, counts, names and functions, refused with a sentence at the call.

Pure functions, called by participants in their turns before anything has changed.
"""

import operator

from src.core.texts import writable
from src.core.timeframe import DAY_NS

__all__ = [
    "checked_callable",
    "checked_count",
    "checked_duration",
    "checked_name",
    "checked_text",
    "checked_timeout",
]

#: Longer ones lead to instants that no calendar and no column of a table can hold.
MAX_YEARS = 100
MAX_DURATION_NS = MAX_YEARS * 366 * DAY_NS


def checked_duration(duration_ns: object, what: str = "duration_ns", *, passed: bool = False) -> int:
    """A length of time, as it is worked with.

    Args:
        what: the argument's name, for the message.
        passed: whether a negative one is allowed, because its time has merely passed already.

    Raises:
        TypeError: it is no whole number; a float is none, not even 2.0.
        ValueError: it is negative, or longer than a hundred years.
    """
    found = _whole(duration_ns)
    if found is None:
        raise TypeError(
            f"expected {what} as a whole number of nanoseconds such as 30 * SECOND_NS, found {_shown(duration_ns)}"
        )
    if abs(found) > MAX_DURATION_NS:
        raise ValueError(f"expected {what} of at most {MAX_YEARS} years in nanoseconds, found more")
    if found < 0 and not passed:
        raise ValueError(f"expected {what} of at least 0, found {found}")
    return found


def checked_timeout(timeout_ns: object, *, passed: bool = False) -> int | None:
    """A time-out, None for no end; see `checked_duration`."""
    return None if timeout_ns is None else checked_duration(timeout_ns, "timeout_ns", passed=passed)


def checked_count(count: object, what: str, least: int = 0) -> int:
    """A count such as that of a semaphore.

    Args:
        what: what has it, for the message: `a semaphore with a value`.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is less than `least`.
    """
    found = _whole(count)
    if found is None:
        raise TypeError(f"expected {what} that is a whole number, found {_shown(count)}")
    if found < least:
        raise ValueError(f"expected {what} of at least {least}, found {found}")
    return found


def checked_name(name: object, what: str) -> str:
    """A name, empty for none.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"expected the name of {what} as a text, found {_shown(name)}; write name='...'")
    return name


def checked_text(text: object, what: str) -> str:
    """A text that can be written down: a plain `str`, what UTF-8 has no bytes for spelled out.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected {what} as a text, found {_shown(text)}")
    return writable(str.__str__(text))


def checked_callable(call: object, what: str) -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: it cannot; often a call was written where the function itself belongs.
    """
    if not callable(call):
        raise TypeError(
            f"expected {what} that can be called, found {_shown(call)}; give the function itself, without brackets"
        )


def _whole(value: object) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # what has none raises; the integers of numpy have one
    except TypeError:
        return None


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)[:80]
    return f"a {type(value).__name__}"
