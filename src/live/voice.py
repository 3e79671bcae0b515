"""The alerts of a process that is no bot: one that has refused to start, or takes a bot out of the market.

Used by one thread, which waits for the targets at the end; nothing here raises, since what is told about matters more.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from src.core.errors import LockstepError
from src.core.sync import wall_ns
from src.live.alert_delivery import AppriseDelivery
from src.live.alerts import Alerts
from src.live.notify_section import NotifySection
from src.live.secrets import Secrets

__all__ = ["Tell", "voice"]

#: Real seconds for all targets together, and for one more try.
_WITHIN_S, _MORE_S = 6.0, 3.0


class Tell(Protocol):
    """See `Alerts.tell`."""

    def __call__(self, level: str, kind: str, text: str) -> None: ...


class Unheard(Protocol):
    """Told that an alert did not arrive, in a sentence."""

    def __call__(self, text: str) -> None: ...


@contextmanager
def voice(section: NotifySection, label: str, environ: Mapping[str, str], unheard: Unheard) -> Iterator[Tell]:
    """What tells the targets of a section while inside, and brings it to them at the end.

    Args:
        label: the bot's name, in titles.
        environ: holds the addresses.
        unheard: told what stands in the way.
    """

    def silent(level: str, kind: str, text: str) -> None:
        pass

    try:
        delivery = AppriseDelivery(section, environ)
    except LockstepError as error:
        unheard(f"nobody is told: {error.message}")
        yield silent
        return
    if not section.targets:
        yield silent
        return
    names = [target.url_env for target in section.targets]
    alerts = Alerts(section, delivery, wall_ns, label=label, secrets=Secrets(environ, names))
    try:
        yield alerts.tell
    finally:
        if not alerts.settle(_WITHIN_S):
            unheard("an alert was not delivered in time; look at the addresses of notify.targets")
        alerts.close(_MORE_S)
