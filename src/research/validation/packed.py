"""Long sequences in memory that does not grow: what is known of thousands of candidates.

Items are kept in blocks, pickled and compressed, and made anew whenever somebody looks at them; going through them in
order unpacks one block at a time. The first megabyte of blocks stands in memory; what is more goes into a file without
a name in the folder for temporary files, which is gone with the sequence and with the process, however that ends. One
thread at a time.
"""

import pickle
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar, overload

from src.core.errors import DataError
from src.research.validation.ports import Candidate, PhaseResult, Status, Verdict

__all__ = ["Packed", "packed_candidates", "packed_phases", "packed_values", "packed_verdicts", "temporary_folder"]

Item = TypeVar("Item")

#: So many items make a block.
_BLOCK = 64
#: Fast; more effort saves a tenth.
_LEVEL = 1
#: So many bytes of blocks stand in memory before they go to the disk.
_IN_MEMORY = 1 << 20


class Packed(Sequence[Item], Generic[Item]):
    """Items in the order in which they were appended; equal to any sequence of equal items.

    Args:
        plain: makes of an item values that pickle well: numbers, texts, and tuples of them.
        made: makes the item again.

    Raises:
        DataError: of whatever is asked of it: the disk refused a block.
    """

    def __init__(self, plain: Callable[[Item], Any], made: Callable[[Any], Item]) -> None:
        self._plain, self._made = plain, made
        # Where each block begins in the file, and where the next one will.
        self._places = array("q", [0])
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it lives as long as this
        weakref.finalize(self, _close, self._file)
        self._waiting: list[Any] = []
        self._open: tuple[int, list[Any]] = (-1, [])

    def append(self, item: Item) -> None:
        """One more."""
        self._waiting.append(self._plain(item))
        if len(self._waiting) == _BLOCK:
            self._keep(zlib.compress(pickle.dumps(self._waiting, pickle.HIGHEST_PROTOCOL), _LEVEL))
            self._waiting = []

    @property
    def packed_bytes(self) -> int:
        """How many bytes the whole blocks have."""
        return self._places[-1]

    def __len__(self) -> int:
        return self._count * _BLOCK + len(self._waiting)

    def __iter__(self) -> Iterator[Item]:
        for block in range(self._count):
            yield from map(self._made, self._unpacked(block))
        yield from map(self._made, tuple(self._waiting))

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(f"there is no item {place} among {len(self)}")
        block, within = divmod(at, _BLOCK)
        if block == self._count:
            return self._made(self._waiting[within])
        if self._open[0] != block:
            self._open = (block, self._unpacked(block))
        return self._made(self._open[1][within])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(other) != len(self):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} items)"

    @property
    def _count(self) -> int:
        """How many whole blocks there are."""
        return len(self._places) - 1

    def _keep(self, block: bytes) -> None:
        begin = self._places[-1]
        with _kept():
            self._file.seek(begin)
            self._file.write(block)
        self._places.append(begin + len(block))

    def _unpacked(self, block: int) -> list[Any]:
        begin, end = self._places[block], self._places[block + 1]
        with _kept():
            self._file.seek(begin)
            text = self._file.read(end - begin)
        found: list[Any] = pickle.loads(zlib.decompress(text))
        return found


@contextmanager
def _kept() -> Iterator[None]:
    """The end of whatever the disk refuses: what was written may get there when something else is read."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"what is known of the candidates could not be kept in {temporary_folder()}: {error.strerror or error}; "
            "make room there, or name another folder in TMPDIR"
        ) from None


def _close(file: "tempfile.SpooledTemporaryFile[bytes]") -> None:
    """Let go of the file; what a full disk has not taken yet is wanted by nobody any more."""
    with suppress(OSError):
        file.close()


def temporary_folder() -> str:
    """The folder for temporary files, for people; on a disk that is full from the beginning none can be told."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return "the folder for temporary files"


def packed_values() -> Packed[Any]:
    """For plain values of any depth, which come back as they were."""
    return Packed(_as_it_is, _as_it_is)


def packed_candidates(candidates: Iterable[Candidate] = ()) -> Packed[Candidate]:
    """For candidates, these to begin with."""
    packed = Packed(_plain_candidate, _candidate)
    for each in candidates:
        packed.append(each)
    return packed


def packed_phases() -> Packed[tuple[PhaseResult, ...]]:
    """For the results of the phases of one candidate after the other."""
    return Packed(_plain_phases, _phases)


def packed_verdicts() -> Packed[Verdict]:
    """For verdicts."""
    return Packed(_plain_verdict, _verdict)


def _as_it_is(value: Any) -> Any:
    return value


def _plain_candidate(each: Candidate) -> tuple[Any, ...]:
    return each.number, each.candidate_id, each.labels, each.given, each.trial, each.planted


def _candidate(plain: tuple[Any, ...]) -> Candidate:
    number, candidate_id, labels, given, trial, planted = plain
    return Candidate(
        number=number, candidate_id=candidate_id, labels=labels, given=given, trial=trial, planted=planted
    )  # fmt: skip


def _plain_phases(phases: Sequence[PhaseResult]) -> tuple[Any, ...]:
    return tuple((each.phase, each.status.value, each.reason, each.warning, each.figures) for each in phases)


def _phases(plain: tuple[Any, ...]) -> tuple[PhaseResult, ...]:
    return tuple(
        PhaseResult(phase=phase, status=_STATUSES[status], reason=reason, warning=warning, figures=figures)
        for phase, status, reason, warning, figures in plain
    )


def _plain_verdict(verdict: Verdict) -> tuple[Any, ...]:
    return (
        verdict.candidate_id, verdict.status.value, verdict.reason, _plain_phases(verdict.phases), verdict.p_value,
        verdict.adjusted,
    )  # fmt: skip


def _verdict(plain: tuple[Any, ...]) -> Verdict:
    candidate_id, status, reason, phases, p_value, adjusted = plain
    return Verdict(
        candidate_id=candidate_id, status=_STATUSES[status], reason=reason, phases=_phases(phases), p_value=p_value,
        adjusted=adjusted,
    )  # fmt: skip


#: Calling the class for a value takes longer than making a record.
_STATUSES = {each.value: each for each in Status}
