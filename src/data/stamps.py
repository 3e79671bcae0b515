"""Time stamps of foreign files as nanoseconds UTC.

Pure functions; any thread. A stamp without an offset says nothing about the instant until somebody names its zone, so
such stamps are kept apart; local times that exist twice or not at all are refused and never guessed.
"""

import datetime as dt
import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.core.bars import IntArray
from src.core.errors import ConfigError, DataError
from src.core.timeframe import MINUTE_NS

__all__ = ["Place", "Stamps", "epoch_integers_to_ns", "epochs_to_ns", "find_zone", "is_epoch", "parse_stamps", "to_utc"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: the origin of stamps whose zone is unknown
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_COMPACT = re.compile(r"^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:\d{6})?$")
_DOTTED = re.compile(r"^(\d{4})[./](\d{2})[./](\d{2})")
_OFFSET = re.compile(r"^([+-])(\d{2}):?(\d{2})$")
_QUARTER_NS = 15 * MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the rows of a file stand, for messages.

    Attributes:
        path: the file as the user named it.
        word: `line` of a text file, `row` of a Parquet file.
        numbers: shape (rows,), the number of each row's line, counted from 1.
    """

    path: str
    word: str
    numbers: IntArray

    def of(self, index: int) -> str:
        """`prices.csv, line 17`."""
        return f"{self.path}, {self.word} {int(self.numbers[index])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """Stamps of a file, shape (rows,).

    Attributes:
        ns: nanoseconds UTC where `is_utc`, else local wall-clock time read as if it were UTC.
        is_utc: the file itself tells the instant: by an offset, or because it counts from the epoch.
        is_epoch: the stamps are numbers.
    """

    ns: IntArray
    is_utc: bool
    is_epoch: bool = False


def parse_stamps(texts: Sequence[str], place: Place) -> Stamps:
    """Read stamps written as ISO text, `2017.01.02 00:05`, `20170102 000500`, or as epoch numbers of any unit.

    Raises:
        DataError: a stamp cannot be read, or only some of them carry an offset; the line is named.
    """
    if texts and is_epoch(texts[0]):
        return epochs_to_ns(texts, place)
    ns = np.empty(len(texts), np.int64)
    aware: bool | None = None
    for i, text in enumerate(texts):
        moment = _moment(text)
        if moment is None:
            raise DataError(
                f"{place.of(i)}: expected a time such as 2017-01-02 00:05, 2017-01-02T00:05:00Z or a number of "
                f"milliseconds since 1970, found {text!r}",
                path=place.path, found=text,
            )  # fmt: skip
        offset = moment.utcoffset()
        if aware is None:
            aware = offset is not None
        elif aware != (offset is not None):
            raise DataError(
                f"{place.of(i)}: expected {'an offset from UTC' if aware else 'no offset'} as in the rows before, "
                f"found {text!r}",
                path=place.path, found=text,
            )  # fmt: skip
        delta = moment.replace(tzinfo=None) - _EPOCH - (offset or dt.timedelta(0))
        ns[i] = ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000
    return Stamps(ns=ns, is_utc=bool(aware))


def epochs_to_ns(values: Sequence[str | int | float], place: Place) -> Stamps:
    """Read numbers since 1970; their size tells seconds, milliseconds, microseconds or nanoseconds, one for all rows.

    Raises:
        DataError: one is no number or has another unit than the first.
    """
    ns = np.empty(len(values), np.int64)
    first: int | None = None
    for i, value in enumerate(values):
        text = str(value)
        if not _NUMBER.match(text):
            raise DataError(
                f"{place.of(i)}: expected a number since 1970 as in the rows before, found {text!r}", path=place.path
            )
        whole, _, fraction = text.partition(".")
        unit = _unit_ns(abs(int(whole)))
        first = unit if first is None else first
        # A count near zero looks like a finer unit's; only a larger unit than the first one's is a contradiction.
        if unit < first:
            raise DataError(
                f"{place.of(i)}: expected a number in the unit of the first row, found {text!r}", path=place.path
            )
        rest = int(fraction[:9].ljust(9, "0")) * first // 1_000_000_000 if fraction else 0
        ns[i] = int(whole) * first + (-rest if whole.startswith("-") else rest)
    return Stamps(ns=ns, is_utc=True, is_epoch=True)


def epoch_integers_to_ns(values: IntArray) -> Stamps | None:
    """What `epochs_to_ns` makes of whole numbers, in one go; None when it would refuse them or they are too large."""
    if not len(values):
        return None
    first = _unit_ns(abs(int(values[0])))
    largest = max(abs(int(values.min())), abs(int(values.max())))
    if _unit_ns(largest) < first or largest * first >= 2**63:
        return None
    return Stamps(ns=values * first, is_utc=True, is_epoch=True)


def find_zone(name: str) -> dt.tzinfo:
    """The zone of an IANA name such as `America/New_York`, or of an offset such as `-05:00`.

    Raises:
        ConfigError: there is no such zone.
    """
    match = _OFFSET.match(name)
    if match is not None:
        offset = dt.timedelta(hours=int(match.group(2)), minutes=int(match.group(3)))
        if offset < dt.timedelta(days=1):
            return dt.timezone(-offset if match.group(1) == "-" else offset)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"zone: expected a name such as UTC, America/New_York or Europe/Helsinki, or an offset such as -05:00, "
            f"found {name!r}",
            found=name,
        ) from None


def to_utc(local_ns: IntArray, zone_name: str, place: Place) -> IntArray:
    """Instants of local wall-clock times, shape (rows,).

    Offsets are looked up once for each quarter of an hour that occurs; where one changes inside, row by row.

    Raises:
        ConfigError: there is no such zone.
        DataError: a local time does not exist or exists twice, because clocks are changed then.
    """
    zone = find_zone(zone_name)
    quarters, inverse = np.unique(local_ns // _QUARTER_NS, return_inverse=True)
    offsets = np.empty(len(quarters), np.int64)
    steady = np.ones(len(quarters), np.bool_)
    for k, quarter in enumerate(quarters.tolist()):
        start_ns = quarter * _QUARTER_NS
        first, last = _offsets_ns(start_ns, zone), _offsets_ns(start_ns + _QUARTER_NS - 1_000_000_000, zone)
        offsets[k] = first[0]
        steady[k] = first == last and first[0] == first[1]
    result = local_ns - offsets[inverse]
    for i in np.flatnonzero(~steady[inverse]).tolist():
        early_ns, late_ns = _offsets_ns(int(local_ns[i]), zone)
        if early_ns != late_ns:
            text = (_EPOCH + dt.timedelta(microseconds=int(local_ns[i]) // 1_000)).isoformat(" ")
            fate = "exists twice" if early_ns > late_ns else "does not exist"
            raise DataError(
                f"{place.of(i)}: the local time {text} {fate} in {zone_name}, because clocks are changed then; "
                f"expected stamps of that zone: is it another zone, or UTC?",
                path=place.path, zone=zone_name,
            )  # fmt: skip
        result[i] = local_ns[i] - early_ns
    return result


def _offsets_ns(local_ns: int, zone: dt.tzinfo) -> tuple[int, int]:
    """The offset of a local time before and after a change of clocks; different only where one happens."""
    moment = (_EPOCH + dt.timedelta(microseconds=local_ns // 1_000)).replace(tzinfo=zone)
    found = []
    for fold in (0, 1):
        offset = moment.replace(fold=fold).utcoffset() or dt.timedelta(0)
        found.append((offset.days * 86_400 + offset.seconds) * 1_000_000_000)
    return found[0], found[1]


def is_epoch(text: str) -> bool:
    """Whether a stamp is a number since 1970; eight or fourteen digits that read as a date are none."""
    # As a number they would lie in 1970 or in the far future.
    return bool(_NUMBER.match(text)) and not _COMPACT.match(text)


def _unit_ns(size: int) -> int:
    for limit, unit in ((10**11, 1_000_000_000), (10**14, 1_000_000), (10**17, 1_000)):
        if size < limit:
            return unit
    return 1


def _moment(text: str) -> dt.datetime | None:
    if text[4:5] in (".", "/"):
        text = _DOTTED.sub(r"\1-\2-\3", text)
    elif len(text) == 14 and _COMPACT.match(text):
        text = f"{text[:8]}T{text[8:]}"
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None
