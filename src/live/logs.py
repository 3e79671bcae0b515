"""The bot's log: JSON lines in files that are rotated, the same readable on the terminal, no secret in either.

Any thread writes; a line is short, and a disk or a terminal that fails never stops who writes. Each line has the
instant by the bot's clock, the participant whose turn it is, and the symbol and the order where there is one.
"""

import io
import logging
import logging.handlers
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from src.core.log import Log, make_log
from src.core.sync import failures_told
from src.live.secrets import Secrets

__all__ = ["BotLog"]

#: So large may one file of the log become, and so many older ones are kept.
MOST_BYTES = 10_000_000
KEPT_FILES = 10
#: What a line calls an order; the first that is there becomes `order_id`.
_ORDER_WORDS = ("order", "client_id")


class _Files(logging.handlers.RotatingFileHandler):
    """Rotated files; counts the lines that a failing disk has swallowed."""

    lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        self.lost += 1


class _Sink(io.TextIOBase):
    """What the logger writes its JSON lines to."""

    def __init__(self, files: _Files, secrets: Secrets) -> None:
        super().__init__()
        self._files = files
        self._secrets = secrets

    def write(self, text: str) -> int:
        line = self._secrets.masked_values(text.rstrip("\n"))
        self._files.handle(logging.LogRecord("lockstep", logging.INFO, "", 0, line, None, None))
        return len(text)


class _Terminal:
    """The same events for people, until the terminal is gone."""

    def __init__(self, stream: TextIO, secrets: Secrets) -> None:
        self._stream: TextIO | None = stream
        self._secrets = secrets
        self._render = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), pad_event_to=0, timestamp_key="instant",
            exception_formatter=structlog.dev.plain_traceback,
        )  # fmt: skip

    def show(self, logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        stream = self._stream
        if stream is not None:
            text = self._secrets.masked_values(self._render(logger, method, dict(event)))
            encoding = stream.encoding or "utf-8"
            try:
                stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
                stream.flush()
            except (OSError, ValueError, LookupError):  # closed, or nobody reads it any more
                self._stream = None
        return event


def _placed(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the symbol of a worker's turn, and one name for orders."""
    participant = str(event.get("participant", ""))
    if "symbol" not in event and participant.startswith("worker:"):
        event["symbol"] = participant.partition(":")[2].partition("/")[0]
    if "order_id" not in event:
        for word in _ORDER_WORDS:
            if word in event:
                event["order_id"] = event[word]
                break
    return event


class BotLog:
    """A log in `path`, such as `bot.log` in the run's folder.

    Args:
        path: the file that grows; older ones are `bot.log.1`, `bot.log.2` and so on.
        now_ns: the bot's clock; must not wait for anybody.
        secrets: what is masked.
        terminal: shows the same events; None for files alone.
        most_bytes: of one file.
        kept_files: older files that are kept.

    Attributes:
        log: the logger.
    """

    def __init__(
        self, path: Path, now_ns: Callable[[], int], *, secrets: Secrets, terminal: TextIO | None = None,
        most_bytes: int = MOST_BYTES, kept_files: int = KEPT_FILES,
    ) -> None:  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        self._secrets = secrets
        self._files = _Files(path, maxBytes=most_bytes, backupCount=kept_files, encoding="utf-8")
        processors: list[structlog.typing.Processor] = [
            _placed, structlog.processors.ExceptionRenderer(), secrets.processor,
        ]  # fmt: skip
        if terminal is not None:
            processors.append(_Terminal(terminal, secrets).show)
        # A logger needs of its stream what a text stream has, `write` and `flush`.
        self.log: Log = make_log(cast(TextIO, _Sink(self._files, secrets)), now_ns, *processors)

    def __enter__(self) -> "BotLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def lines_lost(self) -> int:
        """How many lines could not be written to the file."""
        return self._files.lost

    @contextmanager
    def catching(self, told: Callable[[str, BaseException], None] | None = None) -> Iterator[None]:
        """While inside, errors that nobody handles are logged with their traceback; main thread only.

        Those of threads go here and not to stderr, and then to `told`, with the thread's name. One that ends the
        program is written to stderr as well, without secrets.
        """

        def of_thread(name: str, error: BaseException) -> None:
            self.failed(name, error)
            if told is not None:
                told(name, error)

        def of_program(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            if isinstance(error, Exception):
                self.failed("main", error)
            sys.stderr.write(self._secrets.formatted(error))

        previous = sys.excepthook
        sys.excepthook = of_program
        try:
            with failures_told(of_thread):
                yield
        finally:
            sys.excepthook = previous

    def failed(self, thread: str, error: BaseException) -> None:
        """Log an error that has ended a thread."""
        self.log.error("thread failed", thread=thread, error=str(error), exc_info=error)

    def close(self) -> None:
        """Close the file; what is logged later opens it again."""
        self._files.close()
