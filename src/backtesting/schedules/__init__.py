"""Who goes next: one policy per file, found by name or by the replay string that a run printed.

A new policy is one file and one line in `POLICIES`.
"""

import re
from importlib import import_module

from src.backtesting.schedules.deviations import KINDS
from src.backtesting.schedules.order import KIND as ORDER
from src.backtesting.schedules.order import make as make_order
from src.backtesting.schedules.policy import Candidate, EndChecked, SchedulePolicy
from src.backtesting.schedules.replay import make as make_replay
from src.core.errors import ConfigError
from src.core.words import closest

__all__ = ["POLICIES", "SEEDED", "Candidate", "EndChecked", "SchedulePolicy", "policy_named"]

POLICIES = {
    "fifo": "src.backtesting.schedules.fifo:make",
    "seeded": "src.backtesting.schedules.seeded:make",
    "preemptive": "src.backtesting.schedules.preemptive:make",
    "free": "src.backtesting.schedules.free:make",
}

#: Policies whose replay string names a seed, as in `1:seeded:42`.
SEEDED = frozenset({"seeded", "preemptive"})

_VERSION = "1"
_SEED = re.compile(r"0|-?[1-9]\d{0,999}", re.ASCII)


def policy_named(text: str, seed: int) -> SchedulePolicy:
    """The policy of that name, or the one that a replay string tells.

    Args:
        text: a name in `POLICIES`, or what `SchedulePolicy.describe` or `Recording.replay_string` gave.
        seed: used where the text names none.

    Raises:
        ConfigError: there is no such policy; the sentence names the part that is wrong.
    """
    version, colon, rest = text.partition(":")
    if not colon:
        return _made(_known(text, text), seed)
    if version != _VERSION:
        raise ConfigError(
            f"expected a replay string of version {_VERSION}, such as 1:seeded:42, found {version!r} before the first "
            f"colon{_wanted(version, rest)}"
        )
    kind, colon, argument = rest.partition(":")
    if kind in KINDS:
        return make_replay(kind, argument)
    if kind == ORDER:
        return make_order(argument)
    _known(kind, text)
    if kind not in SEEDED:
        if colon:
            raise ConfigError(f"expected nothing after {version}:{kind}, found {argument[:40]!r}; leave it out")
        return _made(kind, seed)
    if _SEED.fullmatch(argument) is None:
        raise ConfigError(
            f"expected a whole number after {version}:{kind}: as its seed, found {argument[:40]!r}; write "
            f"{version}:{kind}:42, or {kind} alone to use backtest.seed"
        )
    return _made(kind, int(argument))


def _known(kind: str, text: str) -> str:
    if kind in POLICIES:
        return kind
    known = [*POLICIES, *((*KINDS, ORDER) if kind != text else ())]
    near = closest(kind, known)
    hint = "" if near is None else f"; did you mean {text.replace(kind, near, 1)!r}?"
    if kind in ("replay", ORDER, *KINDS):
        hint = "; to replay a schedule write the whole string that its run printed"
    raise ConfigError(f"expected a schedule among {', '.join(POLICIES)} or a replay string, found {text[:60]!r}{hint}")


def _wanted(version: str, rest: str) -> str:
    """What to do about a string that does not begin with the version."""
    if version in POLICIES or version in KINDS:
        return f"; did you mean {_VERSION}:{version}:{rest[:40]}?"
    return "; record it again with this version"


def _made(kind: str, seed: int) -> SchedulePolicy:
    module, _, factory = POLICIES[kind].partition(":")
    policy: SchedulePolicy = getattr(import_module(module), factory)(seed)
    return policy
