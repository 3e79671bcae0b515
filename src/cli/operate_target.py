"""Which bot a verb is about, and how it is asked: by the configuration, through its durable state.

Runs in the main thread; to ask is to wait for some seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from src.cli.options import default_config
from src.cli.output import Output
from src.core.config_file import read_config
from src.core.errors import ConfigError, DataError
from src.core.program import command
from src.core.sync import Event
from src.core.words import meant
from src.live.account_state import AccountState
from src.live.config import LIVE, PAPER, LiveConfig

__all__ = ["ModeOption", "OperateConfigOption", "Target", "ask_bot", "target_of"]

OperateConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The bot's YAML file; configs/default.yaml if absent.")
]
ModeOption = Annotated[
    str | None, typer.Option("--mode", metavar="paper|live", help="The one that runs; live if both or none do.")
]

_BY = "operator"
_ANSWER_S, _LOOK_S = 10.0, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The bot that is meant.

    Attributes:
        path: of its durable state, which need not be there.
        folder: of the configuration file.
        about: the words behind a verb that name this bot, as they were typed.
    """

    config: LiveConfig
    mode: str
    label: str
    path: Path
    folder: Path
    about: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether a bot has run under this label in this mode, or somebody has given it a command."""
        return self.path.is_file()

    def unknown_words(self) -> str:
        """That nobody knows of such a bot: whoever has named another one by mistake believes it is stopped."""
        return (
            f"no bot has run as {self.label} in {self.mode} mode with its state in {self.path.parent}; look at "
            "--config, --set and --mode"
        )

    def command(self, *words: str) -> str:
        """A command about this bot and no other one, as it has to be typed."""
        return command(*words, *self.about)


def target_of(config: Path | None, overrides: list[str] | None, mode: str | None) -> Target:
    """The bot of a configuration.

    Args:
        mode: `paper` or `live`; by default the one that runs, and live where both do or none.

    Raises:
        ConfigError: the file is wrong, or has no such mode.
    """
    document = read_config(default_config() if config is None else config, overrides)
    found = document.validate(LiveConfig)
    if mode not in (None, PAPER, LIVE):
        raise ConfigError(f"--mode: expected {PAPER} or {LIVE}, found {mode!r}{meant(mode, (PAPER, LIVE))}", found=mode)
    if mode == LIVE and found.live is None:
        raise ConfigError(f"{document.name}: expected a section live, found none; give --mode {PAPER}, or write one")
    about = [] if config is None else ["--config", str(config)]
    for each in overrides or ():
        about += ["--set", each]
    paths = {each: found.state_path(each, document.folder) for each in (LIVE, PAPER)}
    if mode is None:
        # Where nobody can tell, the one with money is meant.
        paper = found.live is None or (_runs(paths[PAPER], otherwise=False) and not _runs(paths[LIVE], otherwise=True))
        mode = PAPER if paper else LIVE
    if mode == PAPER and found.live is not None:  # else a verb that finds no bot running means the one with money
        about += ["--mode", PAPER]
    return Target(
        config=found, mode=mode, label=found.label, path=paths[mode], folder=document.folder, about=tuple(about)
    )


def ask_bot(
    state: AccountState, verb: str, args: Mapping[str, Any], out: Output, target: Target
) -> tuple[bool, str]:  # fmt: skip
    """Give the bot a command and wait for what comes of it; whether it was done, and the sentence, which is told."""
    number, wait = state.submit(verb, args, _BY), Event()
    answer = None
    for _ in range(round(_ANSWER_S / _LOOK_S)):
        answer = state.answer_of(number)
        if answer is not None:
            break
        wait.wait(_LOOK_S)
    if answer is not None:
        ok, text = answer.ok, answer.text
    elif state.withdraw(number):
        ok = False
        text = (
            f"the bot did not take the command within {_ANSWER_S:g} s, and it was withdrawn; if it hangs, "
            f"`{target.command('kill')}` works without it"
        )
    else:
        ok = False
        text = f"the bot is at it and has not answered within {_ANSWER_S:g} s; look at `{target.command('status')}`"
    if ok:
        out.say(text)
    else:
        out.error(text)
    return ok, text


def _runs(path: Path, *, otherwise: bool) -> bool:
    if not path.is_file():
        return False
    try:
        with AccountState(path) as state:
            return state.is_owned
    except DataError:
        return otherwise
