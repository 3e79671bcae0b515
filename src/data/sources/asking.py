"""Asking somebody who may not answer: again after a while, a bounded number of times.

Called by one thread, which waits here. The wait is handed in, so that nobody else has to know how time passes; the
delays double and hold no chance, so that the same answers give the same delays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from src.core.errors import BrokerUnavailable
from src.core.sync import Event

__all__ = ["OnRetry", "Patience", "Unanswered", "ask", "real_wait", "root_cause"]

T = TypeVar("T")

Wait = Callable[[float], object]
#: Called with a sentence before each wait, so that nobody has to guess why nothing happens.
OnRetry = Callable[[str], object]

_SHOWN = 160  # characters of a cause in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on.

    Attributes:
        tries: how often a question is put at most.
        first_s: the delay after the first failure, in seconds; each later one is twice as long.
        longest_s: no delay is longer, whatever the other side asks for.
    """

    tries: int = 7
    first_s: float = 1.0
    longest_s: float = 60.0

    def delay_s(self, failures: int, asked_for_s: float | None = None) -> float:
        """The delay after so many failures, in seconds; at least what the other side asked for."""
        return min(max(self.first_s * 2.0 ** (failures - 1), asked_for_s or 0.0), self.longest_s)


class Unanswered(Exception):  # never leaves this package: `ask` turns it into `BrokerUnavailable`
    """The question was not answered and may be put again.

    Args:
        reason: why, in a few words.
        after_s: not before so many seconds, when that is known.
        question: what was asked, such as an address; only the last sentence has it.
    """

    def __init__(self, reason: str, after_s: float | None = None, question: str = "") -> None:
        super().__init__(reason, after_s, question)
        self.reason = reason
        self.after_s = after_s
        self.question = question


def real_wait(seconds: float) -> None:
    """Let so many real seconds pass; Ctrl-C ends it."""
    Event().wait(seconds)


def root_cause(error: BaseException) -> str:
    """The text of the innermost exception behind an error, in one short line; of one without a text its name.

    What a client raises about a broken connection names the address alone; why it broke is said by the system.
    """
    seen = {id(error)}
    while True:
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    said = error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else str(error)
    # An HTTP error repeats the address, which the sentence around it has.
    text = " ".join(said.partition(" for url: ")[0].split()) or type(error).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def ask(
    call: Callable[[], T], who: str, wait: Wait, patience: Patience, on_retry: OnRetry | None = None
) -> T:  # fmt: skip
    """What `call` returns, put again after each `Unanswered`; any other error is not one of whoever is asked.

    Args:
        call: puts the question once.
        who: the name of whoever is asked.
        wait: lets so many seconds pass.
        patience: how often and how long.
        on_retry: is told before each wait that there was no answer, why, and how long the wait is.

    Raises:
        BrokerUnavailable: it was not answered as often as `patience` allows; the sentence has the last reason.
    """
    failures = 0
    while True:
        try:
            return call()
        except Unanswered as error:
            failures += 1
            if failures >= patience.tries:
                question = f" ({error.question})" if error.question else ""
                raise BrokerUnavailable(
                    f"{who} did not answer, asked {failures} times: {error.reason}{question}; what came before is "
                    f"stored, the same command goes on from there",
                    source=who, tries=failures,
                ) from error  # fmt: skip
            delay_s = patience.delay_s(failures, error.after_s)
            if on_retry is not None:
                on_retry(
                    f"{who}: no answer ({error.reason}), trying again in {delay_s:g} s, {failures} of {patience.tries}"
                )
            wait(delay_s)
