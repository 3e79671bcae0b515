"""Reading our docstrings for the site: an entry that explains several names together becomes one for each.

Called by mkdocstrings while a site is built, in one thread.
"""

import re
from typing import Any

from griffe import Extension

__all__ = ["SharedEntries"]

_SHARED = re.compile(r"^(?P<indent> {4,})(?P<names>\w+(?:, \w+)+): ", re.MULTILINE)


class SharedEntries(Extension):
    """`spread_percent, spread_points: ...` is read as an entry of two names and not as a name with a type."""

    def on_instance(self, *, obj: Any, **more: Any) -> None:
        """Part the entries of one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _SHARED.sub(_parted, obj.docstring.value)


def _parted(found: "re.Match[str]") -> str:
    *others, last = found["names"].split(", ")
    return "".join(f"{found['indent']}{name}: see `{last}`.\n" for name in others) + f"{found['indent']}{last}: "
