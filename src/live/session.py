"""A bot in real time from its configuration to its end: go on or begin, run, and leave everything in order.

Called by the main thread; the bot's threads live only inside `run`.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from src.core.strategy import Strategy
from src.core.sync import terminations_interrupt
from src.live.account_state import AccountState
from src.live.beginning import goes_on
from src.live.config import LiveConfig
from src.live.ending import LiveResult
from src.live.process import LiveProcess
from src.live.runs import RunUnderWay, new_folder, run_under_way
from src.live.setting import LiveOptions, Setting
from src.live.sources import Needs, needs_of

__all__ = ["LiveOptions", "LiveResult", "LiveSession"]


class LiveSession:
    """One process of a bot in real time.

    Args:
        mode: `paper` or `live`.
        document: the configuration as plain values, kept in the recording.
        folder: of the configuration file.
        terminal: where the log is shown; None for files alone.
        tell: told in a sentence what somebody who watches wants to know.
        identity: what code it is, kept in the recording.
    """

    def __init__(
        self, config: LiveConfig, mode: str, document: Mapping[str, Any], folder: Path,
        classes: Mapping[str, type[Strategy]], options: LiveOptions | None = None, *,
        environ: Mapping[str, str] = os.environ, terminal: TextIO | None = None,
        tell: Callable[[str], None] = lambda _: None, identity: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._setting = Setting(
            config=config, mode=mode, document=document, folder=folder, classes=classes,
            options=options or LiveOptions(), environ=environ, terminal=terminal, tell=tell, identity=identity or {},
        )  # fmt: skip
        self._process: LiveProcess | None = None
        #: The folder of a run that has not begun yet.
        self._unused: Path | None = None

    def run(self) -> LiveResult:
        """Run until somebody stops it or it cannot go on.

        Raises:
            ConfigError: it cannot begin as it is configured, or what the venue holds is not what was expected.
            BrokerUnavailable: the venue gives no answer at the start.
        """
        setting, config = self._setting, self._setting.config
        needs = needs_of(config, setting.classes, None if config.live is None else config.live.warm_up)
        with terminations_interrupt(), ExitStack() as stack:
            stack.callback(self._leave_nothing)  # at the very end, when its files are closed
            state = stack.enter_context(AccountState(config.state_path(setting.mode, setting.folder)))
            stack.enter_context(state.own())
            before = run_under_way(state)
            if before is not None and goes_on(setting, before.recording, needs):
                return self._run(state, needs, before.folder, None, stack, resumed=True)
            self._unused = new_folder(config.runs_dir(setting.folder), config.label, setting.mode)
            return self._run(state, needs, self._unused, before, stack, resumed=False)

    @property
    def has_told_its_end(self) -> bool:
        """Whether the targets of alerts have heard that it has ended."""
        return self._process is not None and self._process.parts.has_ended

    def _run(
        self, state: AccountState, needs: Needs, folder: Path, before: RunUnderWay | None, stack: ExitStack, *,
        resumed: bool,
    ) -> LiveResult:  # fmt: skip
        self._process = LiveProcess(
            self._setting, state, needs, folder, before, stack, resumed=resumed, begun=self._begun
        )
        return self._process.run()

    def _begun(self) -> None:
        self._unused = None

    def _leave_nothing(self) -> None:
        """A run that could not begin leaves no folder."""
        if self._unused is not None:
            shutil.rmtree(self._unused, ignore_errors=True)
