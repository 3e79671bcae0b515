"""The text of a recorded schedule: the few decisions in which it deviates from `fifo`.

`28401121m@0.2+1.3_5m@0.1` says that 28401121 minutes after 1970 the decision number 0 fell on the ready participant
with index 2 and decision 1 on index 3, and that 5 minutes later decision 0 fell on index 1; all others fell as in
`fifo`. Long texts are compressed, and then begin with `z`. Every character is safe in a shell and in YAML. Pure.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from src.core.errors import ConfigError

__all__ = ["KINDS", "Deviation", "packed", "parse_deviations", "replay_string", "unpacked"]

#: What stands after the version, and whether running participants may lose their turn.
KINDS = {"turns": False, "yields": True}

_UNITS = {"m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_STEP = re.compile(r"(\d{1,19})(m|s|ms|us|ns)@(\d{1,9}\.\d{1,9}(?:\+\d{1,9}\.\d{1,9})*)", re.ASCII)
_LONGEST_PLAIN = 72
_LONGEST_UNPACKED = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Deviation:
    """One decision that fell otherwise than in `fifo`.

    Attributes:
        number: which decision of that instant, from 0; only those with at least two ready participants count.
        index: the place of the chosen one among the ready participants in key order.
    """

    instant_ns: int
    number: int
    index: int


def replay_string(deviations: Iterable[Deviation], *, preempts: bool) -> str:
    """The value of `backtest.schedule` that deviates from `fifo` in just these decisions.

    Args:
        deviations: in order, without two for one decision.
        preempts: whether they were recorded under a policy that preempts.
    """
    plain = _plain(deviations)
    if not plain:
        return "1:fifo"
    if len(plain) > _LONGEST_PLAIN:
        plain = packed(plain)
    return f"1:{'yields' if preempts else 'turns'}:{plain}"


def _plain(deviations: Iterable[Deviation]) -> str:
    steps: list[str] = []
    last_ns: int | None = None
    for each in deviations:
        decision = f"{each.number}.{each.index}"
        if each.instant_ns == last_ns:
            steps[-1] += f"+{decision}"
            continue
        delta_ns = each.instant_ns - (last_ns or 0)
        unit = next(unit for unit, length_ns in _UNITS.items() if delta_ns % length_ns == 0)
        steps.append(f"{delta_ns // _UNITS[unit]}{unit}@{decision}")
        last_ns = each.instant_ns
    return "_".join(steps)


def parse_deviations(text: str, *, preempts: bool) -> list[Deviation]:
    """What follows the version and the kind in a replay string.

    Raises:
        ConfigError: the text is not one that `replay_string` makes; the sentence names the part.
    """
    plain = unpacked(text[1:]) if text.startswith("z") else text
    deviations: list[Deviation] = []
    instant_ns = 0
    for position, step in enumerate(plain.split("_"), start=1):
        match = _STEP.fullmatch(step)
        if match is None:
            raise ConfigError(
                f"expected part {position} of the replay string to look like 5m@0.1 or 5m@0.2+1.3 (time since the part "
                f"before, then number and index of each decision), found {_short(step)!r}; copy the whole string"
            )
        instant_ns += int(match[1]) * _UNITS[match[2]]
        for decision in match[3].split("+"):
            number, index = decision.split(".")
            deviations.append(Deviation(instant_ns=instant_ns, number=int(number), index=int(index)))
    _check(plain, deviations, preempts=preempts)
    return deviations


def _check(plain: str, deviations: Sequence[Deviation], *, preempts: bool) -> None:
    """Refuse what no recording prints: one schedule has one text."""
    for one, other in zip(deviations, deviations[1:], strict=False):
        if (one.instant_ns, one.number) >= (other.instant_ns, other.number):
            raise ConfigError(
                f"expected the decisions of a replay string in order, found {one.number}.{one.index} before "
                f"{other.number}.{other.index} at {other.instant_ns} ns; copy the whole string"
            )
    idle = None if preempts else next((each for each in deviations if each.index == 0), None)
    if idle is not None:
        raise ConfigError(
            f"expected only deviations from fifo in a replay string, found the decision {idle.number}.0 at "
            f"{idle.instant_ns} ns, which is what fifo does; leave it out"
        )
    for position, (found, printed) in enumerate(zip(plain.split("_"), _plain(deviations).split("_"), strict=True), 1):
        if found != printed:
            raise ConfigError(f"expected part {position} of the replay string as {printed!r}, found {found!r}")


def packed(plain: str) -> str:
    """An ASCII text, compressed: `z` and then characters that are safe in a shell and in YAML."""
    return "z" + base64.urlsafe_b64encode(zlib.compress(plain.encode("ascii"), 9)).decode("ascii").rstrip("=")


def unpacked(text: str) -> str:
    """The text that `packed` made into what stands after the `z`.

    Raises:
        ConfigError: the text is damaged or cut off.
    """
    problem = "it is damaged or cut off; copy the whole string"
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        inflate = zlib.decompressobj()
        plain = inflate.decompress(data, _LONGEST_UNPACKED)
        if not inflate.eof or inflate.unused_data:
            raise ConfigError(f"expected a whole compressed replay string, found {_short(text)!r}: {problem}")
        return plain.decode("ascii")
    except (binascii.Error, zlib.error, ValueError):
        raise ConfigError(f"expected a compressed replay string after 'z', found {_short(text)!r}: {problem}") from None


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
