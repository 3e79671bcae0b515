"""The verbs beside `--mode`, each of which imports what it needs only when it is asked for.

Whoever starts one run waits for none of the others' modules. The help loads them all, because it shows their first
lines. Runs in the main thread; virtual time is not concerned.
"""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from src.cli.examples import epilog_of

__all__ = ["VERBS", "Verbs"]

#: Where each verb is, in the order of the help.
VERBS = {
    "adopt": "operate_commands:adopt_command",
    "close": "operate_commands:close_command",
    "explore": "explore_command:explore_command",
    "export": "export_command:export_command",
    "flatten": "operate_commands:flatten_command",
    "kill": "kill_command:kill_command",
    "lookahead": "lookahead_command:lookahead_command",
    "parity": "parity_command:parity_command",
    "pause": "operate_commands:pause_command",
    "preflight": "preflight_command:preflight_command",
    "replay": "replay_command:replay_command",
    "report": "report_command:report_command",
    "results": "results_command:results_command",
    "resume": "operate_commands:resume_command",
    "status": "operate_commands:status_command",
    "stop": "operate_commands:stop_command",
    "suite": "suite_command:suite_command",
    "venue": "venue_command:venue_command",
    "verify": "verify_command:verify_command",
    "walkforward": "walkforward_command:walkforward_command",
    "init": "init_command:init_command",
    "data": "data_commands:data_app",
}


class Verbs(TyperGroup):
    """All verbs by name; one that was not asked for is only its name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name in VERBS:
            self.commands[name] = TyperCommand(name=name)
        self._loaded: set[str] = set()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb with its options; None where there is no such verb."""
        if cmd_name in VERBS and cmd_name not in self._loaded:
            self.commands[cmd_name] = _load(cmd_name)
            self._loaded.add(cmd_name)
        return super().get_command(ctx, cmd_name)


def _load(name: str) -> Any:
    module, _, attribute = VERBS[name].partition(":")
    found = getattr(import_module(f"src.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(found)
        found = alone
    verb = get_command(found)
    verb.name = name
    _add_examples(verb, name)
    return verb


def _add_examples(verb: Any, name: str) -> None:
    verb.epilog = epilog_of(name)
    for word, below in getattr(verb, "commands", {}).items():
        _add_examples(below, f"{name} {word}")
