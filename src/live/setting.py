"""Setting: what a bot in real time runs with, from its file and its start; made by the main thread, read by any."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from src.core.strategy import Strategy
from src.live.config import LIVE, LiveConfig, LiveSection, PaperSection
from src.live.secrets import Secrets

__all__ = ["LiveOptions", "Setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What is said at the start and not in the file.

    Attributes:
        accept_config_change: go on with what is held although the configuration is another one.
        stop_after_ns: stop by itself after so long, by the bot's clock; None for never.
        about: the words that name this bot in a command, such as `--config bot.yaml`.
    """

    accept_config_change: bool = False
    stop_after_ns: int | None = None
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a bot in real time runs with.

    Attributes:
        mode: `paper` or `live`.
        document: the configuration as plain values, kept in the recording.
        folder: of the configuration file.
        terminal: where the log is shown; None for files alone.
        tell: told in a sentence what somebody who watches wants to know.
        identity: what code it is, kept in the recording.
    """

    config: LiveConfig
    mode: str
    document: Mapping[str, Any]
    folder: Path
    classes: Mapping[str, type[Strategy]]
    options: LiveOptions
    environ: Mapping[str, str]
    terminal: TextIO | None
    tell: Callable[[str], None]
    identity: Mapping[str, Any]

    @property
    def section(self) -> LiveSection | PaperSection | None:
        """The part of the file that is about this mode."""
        return self.config.live if self.mode == LIVE else self.config.paper

    @property
    def url(self) -> str | None:
        """Of a venue to test against."""
        return None if self.section is None else self.section.url

    @property
    def speed(self) -> float:
        """How many times as fast as real time its time runs."""
        return 1.0 if self.section is None else self.section.speed

    @property
    def poll_ns(self) -> int:
        """How often the venue is asked, by the bot's clock."""
        return 10**9 if self.section is None else self.section.poll_ns

    @property
    def settle_ns(self) -> int:
        """How long a bar is waited for after its close."""
        return 0 if self.section is None else self.section.settle_ns

    @property
    def max_age_ns(self) -> int:
        """How old a quote may be on which something is entered."""
        section = self.config.live
        return LiveSection.model_fields["max_age_ns"].default if section is None else section.max_age_ns

    @property
    def needs_stops(self) -> bool:
        """Whether an entry has to bring a stop that rests at the venue."""
        return self.mode == LIVE and self.config.live is not None and self.config.live.needs_stops

    def secrets(self) -> Secrets:
        """What is masked wherever something is written."""
        return Secrets(self.environ, [target.url_env for target in self.config.notify.targets])
