"""Long sequences in little memory: they are what the plain ones are."""

import errno
import gc
import os
import tempfile
from pathlib import Path

import pytest

from src.core.errors import DataError
from src.research.validation import packed as module
from src.research.validation.packed import packed_candidates, packed_phases, packed_values, packed_verdicts
from src.research.validation.ports import Candidate, PhaseResult, Status, Verdict

PHASES = (
    PhaseResult(phase="sample", status=Status.PASS, warning="few", figures=(("trades", 31),)),
    PhaseResult(
        phase="years", status=Status.REJECT, reason="too few",
        figures=(("full", None), ("share", 0.1 + 0.2), ("by_year", ((2016, "full", 3, -0.0), (2017, "none", 1, None)))),
    ),
)  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 200])
def test_what_is_packed_comes_back_in_its_order(count: int) -> None:
    """Whole blocks and what waits for one, from both ends, and in slices."""
    items = [(number, "text", None, 0.1 * number) for number in range(count)]
    packed = packed_values()
    for each in items:
        packed.append(each)

    assert list(packed) == items
    assert packed == items
    assert items == packed
    assert len(packed) == count
    assert [packed[place] for place in range(-count, count)] == items * 2
    assert packed[1:-1] == items[1:-1]
    with pytest.raises(IndexError, match=f"no item {count} among {count}"):
        packed[count]


def test_packed_sequences_differ_where_an_item_does() -> None:
    """In a value, in the number of items, and from what is no sequence."""
    packed = packed_values()
    for each in (1, 2):
        packed.append(each)

    assert packed != [1, 3]
    assert packed != [1]
    assert packed != 1


def test_phases_and_verdicts_come_back_as_the_same_records() -> None:
    """Every figure with its type, and the status as what it is."""
    verdict = Verdict(
        candidate_id="a", status=Status.REJECT, reason="years: too few", phases=PHASES, p_value=1.0, adjusted=None
    )
    phases, verdicts = packed_phases(), packed_verdicts()
    for _ in range(70):
        phases.append(PHASES)
        verdicts.append(verdict)
    phases.append(())

    assert [*phases] == [PHASES] * 70 + [()]
    assert repr(phases[0]) == repr(PHASES)
    assert [*verdicts] == [verdict] * 70
    assert verdicts[0].status is Status.REJECT


def test_thousands_of_phases_take_little_memory() -> None:
    """A tenth of a kilobyte or two for each, where the records take several."""
    packed = packed_phases()
    for number in range(6400):
        figures = (
            ("trades", number),
            ("mean", number / 7),
            ("by_year", tuple((y, "full", y, y / 3) for y in range(8))),
        )
        packed.append((PhaseResult(phase="years", status=Status.PASS, figures=figures),))

    assert packed.packed_bytes / len(packed) < 300


def test_what_is_more_than_memory_may_hold_goes_to_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back all the same, also while more is appended, and nothing is left when the sequence goes."""
    monkeypatch.setattr(module, "_IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    packed = packed_values()
    for number in range(1000):
        packed.append((number, str(number)))
        if number % 200 == 199:
            assert packed[number // 2] == (number // 2, str(number // 2))

    assert list(zip(packed, packed, strict=True))[640] == ((640, "640"), (640, "640"))
    assert packed.packed_bytes > 100
    assert list(tmp_path.iterdir()) == []
    file = packed._file
    del packed
    gc.collect()
    assert file.closed


def test_a_disk_that_refuses_a_block_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which folder it is, and what to do."""
    packed = packed_values()

    def refuses(block: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packed._file, "write", refuses, raising=False)
    for number in range(63):
        packed.append(number)
    with pytest.raises(DataError, match="could not be kept in .*: No space left on device; make room there"):
        packed.append(63)


def test_a_disk_that_is_full_from_the_beginning_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder can be told then, because none takes a file."""

    def refuses() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(module, "_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "gettempdir", refuses)
    packed = packed_values()
    for number in range(63):
        packed.append(number)
    with pytest.raises(DataError, match="kept in the folder for temporary files: No usable temporary .*; make room"):
        packed.append(63)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk there is full on purpose")
def test_what_a_full_disk_has_not_taken_is_let_go_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence has been said; closing the file tries once more to write what is left, and fails again."""
    packed = packed_values()
    with Path("/dev/full").open("wb") as full:
        full.write(b"waits")
        packed._file._file = full

        del packed
        gc.collect()

        assert full.closed
    assert capsys.readouterr().err == ""


def test_candidates_come_back_as_the_same_records() -> None:
    """With everything that their source knows of them."""
    candidates = [
        Candidate(number=number, candidate_id=f"c{number}", labels=(("fast", number),), given=(("sharpe", 0.1),),
                  trial="t", planted=None if number % 2 else True)
        for number in range(70)
    ]  # fmt: skip

    assert packed_candidates(candidates) == candidates
