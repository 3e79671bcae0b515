"""Instants that the sessions of a calendar give: when a day order ends, when a market was open for long enough.

Pure functions; any thread.
"""

from src.core.calendars import calendar_named

__all__ = ["after_open_time", "end_of_day"]


def end_of_day(calendar: str, begins_ns: int, expires_ns: int | None) -> int | None:
    """When a day order ends: at the close of the session in which it begins, or of the next one between sessions.

    Args:
        expires_ns: an earlier end that it was given; also the answer where the calendar knows no further session.
    """
    named = calendar_named(calendar)
    session = named.session_at(begins_ns)
    if session is None:
        opens_ns = named.next_open_ns(begins_ns)
        session = None if opens_ns is None else named.session_at(opens_ns)
    if session is None:
        return expires_ns
    return session[1] if expires_ns is None else min(session[1], expires_ns)


def after_open_time(calendar: str, from_ns: int, open_ns: int, before_ns: int) -> int | None:
    """The instant by which the market has been open for `open_ns` since `from_ns`; None unless it lies before another.

    Lunch breaks count as open.
    """
    sessions = calendar_named(calendar).sessions(from_ns, before_ns)
    left = open_ns
    for start, end in zip(sessions.open_ns.tolist(), sessions.close_ns.tolist(), strict=True):
        start = max(start, from_ns)
        if end - start > left:
            return start + left if start + left < before_ns else None
        left -= end - start
    return None
