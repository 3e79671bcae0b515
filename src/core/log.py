"""Structured logs: one JSON object a line, stamped with the clock's instant and the participant.

The logger writes to the stream it was made with; nothing is configured globally. Lines are for people, decisions are in
the journal: nothing reads a log back. Any participant may log in its turn; never once per bar.
"""

from collections.abc import Callable
from typing import Any, TextIO

import structlog

from src.core.sync import current_participant
from src.core.timeframe import format_instant

__all__ = ["Log", "make_log"]

Log = structlog.typing.FilteringBoundLogger


def make_log(stream: TextIO, now_ns: Callable[[], int], *processors: structlog.typing.Processor) -> Log:
    """A logger that writes to `stream` and asks `now_ns` for the instant of each line.

    Args:
        stream: gets one line a call.
        now_ns: must not wait for anybody.
        processors: see each event after it has been stamped and before it becomes text, in this order.
    """

    def stamp(_: Any, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {
            "instant": format_instant(now_ns()), "level": level, "participant": current_participant.get(), **event
        }  # fmt: skip

    log: Log = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[stamp, *processors, structlog.processors.JSONRenderer(sort_keys=False)],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=False,
    )
    return log
