"""Who goes next: one policy per file, found by name.

A new policy is one file and one line in `POLICIES`.
"""

from importlib import import_module

from src.backtesting.schedules.policy import SchedulePolicy
from src.core.errors import ConfigError

__all__ = ["POLICIES", "SchedulePolicy", "policy_named"]

POLICIES = {
    "fifo": "src.backtesting.schedules.fifo:make",
    "seeded": "src.backtesting.schedules.seeded:make",
}


def policy_named(name: str, seed: int) -> SchedulePolicy:
    """The policy of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in POLICIES:
        raise ConfigError(f"expected a schedule among {', '.join(POLICIES)}, found {name!r}")
    module, _, factory = POLICIES[name].partition(":")
    policy: SchedulePolicy = getattr(import_module(module), factory)(seed)
    return policy
