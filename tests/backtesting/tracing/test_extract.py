"""What a report keeps of a trace: sums by stretch that add up to the whole, and the longest turns with their spans."""

import math
from typing import Any

import pytest

from src.backtesting.tracing import Probe, trace_extract
from src.backtesting.tracing.extract import LONGEST_TURNS, MOST_SPANS, STRETCHES
from src.backtesting.tracing.track import Kind
from tests.backtesting.tracing.worlds import Counter, traced_world


def extracted(probe: Probe) -> dict[str, Any]:
    """The extract of a small run."""
    traced_world(probe).run()
    found = trace_extract(probe)
    assert found is not None
    return found


def test_the_stretches_add_up_to_the_sums_of_the_run() -> None:
    """Busy time of each thread, and own time of each kind over all threads, as the probe counted them."""
    probe = Probe(max_spans=100_000, reading=Counter())
    found = extracted(probe)
    own = {
        name: sum(track.own_ns[kind] for track in probe.tracks) / 1e9
        for name, kind in (("bot", Kind.TURN), ("strategy", Kind.STRATEGY), ("broker", Kind.BROKER),
                           ("lock", Kind.LOCK), ("step", Kind.STEP))
    }  # fmt: skip

    assert {name: math.fsum(values) for name, values in found["busy"].items()} == pytest.approx(
        {track.name: track.busy_ns / 1e9 for track in probe.tracks}, abs=1e-6
    )
    assert {name: math.fsum(values) for name, values in found["parts"].items()} == pytest.approx(own, abs=1e-6)
    assert {len(values) for part in ("busy", "parts") for values in found[part].values()} == {STRETCHES}
    assert own["strategy"] > 0


def test_the_longest_turns_come_first_with_what_they_called() -> None:
    """As long as the longest turn that was counted; the turn itself begins at 0, and its calls lie inside it."""
    probe = Probe(max_spans=100_000, reading=Counter())
    found = extracted(probe)
    lengths = [one.end_ns - one.begin_ns for t in probe.tracks for one in t.spans if one.kind is Kind.TURN]
    lengths.sort(reverse=True)
    names = found["threads"]

    assert [each["seconds"] for each in found["turns"]] == [length / 1e9 for length in lengths[:LONGEST_TURNS]]
    for each in found["turns"]:
        own = [span for span in each["spans"] if names[span[0]] == each["thread"]]
        turn = next(span for span in own if span[1] == "turn" and span[3] == 0)
        assert turn[4] == pytest.approx(each["seconds"] * 1e6, abs=0.06)
        assert any(span[1] in ("strategy", "broker") and 0 <= span[3] <= span[4] <= turn[4] for span in own)
        assert len(each["spans"]) <= MOST_SPANS


def test_a_trace_whose_room_was_full_says_so() -> None:
    """It reaches to the last span that was kept."""
    probe = Probe(max_spans=200, reading=Counter())
    found = extracted(probe)

    assert not found["complete"]
    assert found["elapsed_s"] * 1e9 < (probe.ended_ns or 0) - (probe.began_ns or 0)


def test_sums_alone_have_no_extract() -> None:
    """Without a trace nothing is kept of single spans."""
    probe = Probe(reading=Counter())
    traced_world(probe).run()

    assert trace_extract(probe) is None
