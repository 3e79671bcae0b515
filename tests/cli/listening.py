"""Who hears the alerts of processes that are no bots."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from src.live import voice as voice_module
from src.live.alert_delivery import Message
from src.live.notify_section import NotifySection

__all__ = ["Heard", "heard"]


class Heard:
    """Delivery that keeps what it has brought, or fails."""

    bodies: ClassVar[list[str]] = []
    fails: ClassVar[bool] = False

    def __init__(self, section: NotifySection, environ: Mapping[str, str]) -> None:
        self.targets = [target.url_env for target in section.targets]

    def __call__(self, target: str, message: Message) -> None:
        """See `Deliver`."""
        if self.fails:
            raise OSError("no network")
        self.bodies.append(message.body)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> type[Heard]:
    """What the targets of alerts hear of processes that are no bots."""
    monkeypatch.setattr(voice_module, "AppriseDelivery", Heard)
    monkeypatch.setattr(voice_module, "_WITHIN_S", 120.0)
    monkeypatch.setattr(voice_module, "_MORE_S", 0.1)
    monkeypatch.setattr(Heard, "bodies", [])
    monkeypatch.setenv("LOCKSTEP_NOTIFY_URL", "json://127.0.0.1:9")
    return Heard
