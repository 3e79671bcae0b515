"""The wall clock of tests in real time: it is the real one, and stands still while the machine does."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.core import sync
from src.testing import venue_clock
from tests import patient_time as module
from tests.patient_time import ROOT, patient_time

MILLISECOND_NS = 1_000_000


class Real:
    """The real clock, which a test moves."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * 1_000_000_000

    def time_ns(self) -> int:
        """See `time`."""
        return self.now_ns


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Real:
    """A clock that stands until it is moved."""
    made = Real()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def page(tmp_path: Path, real: Real) -> module._Page:
    """What processes share."""
    path = tmp_path / "time"
    path.write_bytes(bytes(100_000))
    made = module._Page(str(path))
    made.begin()
    return made


def test_it_is_the_real_time_while_everybody_is_there(real: Real, page: module._Page) -> None:
    """Step by step, and between two notes."""
    began_ns = real.now_ns
    for _ in range(100):
        real.now_ns += 7 * MILLISECOND_NS
        assert page.now_ns() == real.now_ns
        page.go_on()

    assert page.now_ns() == real.now_ns == began_ns + 700 * MILLISECOND_NS


def test_while_the_machine_is_away_a_moment_passes(real: Real, page: module._Page) -> None:
    """And afterwards time goes on from there; it never runs backwards."""
    began_ns = real.now_ns
    seen = []
    for away_ms in (5, 8_000, 5, 20_000, 5):
        real.now_ns += away_ms * MILLISECOND_NS
        seen.append(page.now_ns())
        page.go_on()
        seen.append(page.now_ns())

    assert [(each - began_ns) // MILLISECOND_NS for each in seen] == [5, 5, 55, 55, 60, 60, 110, 110, 115, 115]


def test_time_waits_for_a_process_that_is_away_and_not_for_one_that_is_gone(
    real: Real, page: module._Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has been killed keeps nobody waiting."""
    at = page.join()
    began_ns = real.now_ns
    for _ in range(1_000):
        real.now_ns += 5 * MILLISECOND_NS
        page.go_on()
    waited_ns = page.now_ns() - began_ns
    page.note(at)
    page.go_on()
    back_ns = page.now_ns() - began_ns
    monkeypatch.setattr(module, "_lives", lambda process: False)
    for _ in range(100):
        real.now_ns += 5 * MILLISECOND_NS
        page.go_on()

    assert waited_ns == 150 * MILLISECOND_NS
    assert back_ns == 150 * MILLISECOND_NS
    assert page.now_ns() - began_ns == 650 * MILLISECOND_NS


def test_the_product_reads_it_inside_and_the_real_one_afterwards() -> None:
    """In this process and in those that follow."""
    before = sync.wall_ns
    with patient_time() as path, patient_time() as again:
        inside = (sync.wall_ns, venue_clock.wall_ns)
        program = "import sys; from tests.patient_time import follow; follow(sys.argv[1]); from src.core import sync; "
        told = subprocess.run(
            [sys.executable, "-c", f"{program}print(sync.wall_ns())", path], cwd=ROOT, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        now_ns = sync.wall_ns()

    assert path == again
    assert inside[0] == inside[1] != before
    assert 0 <= now_ns - int(told.stdout) < 3600 * 1_000_000_000
    assert (sync.wall_ns, venue_clock.wall_ns) == (before, before)
