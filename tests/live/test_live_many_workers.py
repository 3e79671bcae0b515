"""Twenty workers and one slot: whatever the network does, the account never holds two positions at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.core.rng import numpy_stream
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind
from src.testing.venue_wire import Reply
from tests.live.live_bench import (
    SYMBOLS,
    BenchVenue,
    Request,
    journal_of,
    make_bench,
    planted_in,
    problems_of_account,
    run_here,
    write_bot,
)

STRATEGY = f'''"""A third of all symbols want in at each bar; whoever is in leaves after a minute or two."""
from src.core.strategy import BarStrategy

SYMBOLS = {SYMBOLS!r}


class Crowd(BarStrategy):
    """See the module."""

    timeframe = "1m"

    def on_bar(self, bar):
        """Enter or leave."""
        place, minute = SYMBOLS.index(bar.symbol), bar.close_ns // {MINUTE_NS}
        if self.position.is_flat:
            if (minute + place) % 3 == 0:
                act, sign = (self.buy, -1) if place % 2 else (self.sell, 1)
                act(volume=500 / bar.close, stop=bar.close * (1 + sign * 0.002), target_r=1, reason="in")
        elif minute % 2:
            self.close(reason="out")
'''
#: Ways to go wrong that cost a client no time.
QUICK = (
    FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.ERROR_BEFORE, FaultKind.ERROR_AFTER,
    FaultKind.UNKNOWN_AFTER, FaultKind.TWICE, FaultKind.NO_ID, FaultKind.PART_THEN_REJECTED, FaultKind.STALE,
)  # fmt: skip


def make_unsteady(venue: BenchVenue, seed: int, *, share: float, kinds: tuple[FaultKind, ...] = QUICK) -> None:
    """Answer after random delays, and let a share of all calls fail in random ways."""
    rng = numpy_stream(seed, "an unsteady network")

    def before(request: Request) -> Reply | None:
        if venue.polls > 20 and rng.random() < share * (10 if request.endpoint.startswith(("POST", "DELETE")) else 1):
            kind = kinds[int(rng.integers(len(kinds)))]
            venue.fail(Fault(kind=kind, endpoint=request.endpoint))
        return None

    def after(_: Request, reply: Reply) -> Reply:
        return replace(reply, delay_s=reply.delay_s + float(rng.uniform(0, 0.01)))

    venue.before, venue.after = before, after


def most_at_once(venue: BenchVenue) -> int:
    """How many symbols held something at once, fill by fill."""
    held: dict[str, float] = {}
    most = 0
    for fill in venue.broker.fills():
        held[fill.symbol] = held.get(fill.symbol, 0.0) + fill.side.sign * fill.volume
        most = max(most, int(np.sum([abs(volume) > 1e-9 for volume in held.values()])))
    return most


def one_slot(folder: Path, stop_after: str, *, speed: float, seed: int) -> BenchVenue:
    """Run twenty workers that have one slot, and look at what came of it."""
    with make_bench(SYMBOLS, minutes=200, speed=speed) as venue:
        files = write_bot(
            folder, venue, STRATEGY, "Crowd", SYMBOLS, speed=speed,
            risk={"size": {"equity_percent": 1}, "max_open_positions": 1},
        )  # fmt: skip
        make_unsteady(venue, seed, share=0.008)
        code, said = run_here(files, stop_after, "--set", "live.on_stop=flatten")

        assert code == 0, said
        assert most_at_once(venue) == 1
        assert venue.audit.most == 1
        # What cannot be protected in time is flattened; half a second of real time for that.
        assert problems_of_account(venue, protect_within_ns=round((60 + speed / 2) * SECOND_NS)) == []
        assert planted_in(folder) == []
        wanted = [each for each in journal_of(files) if each.kind == "decision" and each.values[1] == "enter"]
        assert len({each.stream for each in wanted}) == len(SYMBOLS)
        return venue


@pytest.mark.slow
def test_twenty_workers_with_one_slot_never_hold_two_positions(tmp_path: Path) -> None:
    """Over fifteen minutes in which answers come late and calls fail, fill by fill at the venue."""
    venue = one_slot(tmp_path, "15m", speed=60.0, seed=5)

    assert len(venue.broker.trades()) >= 3
    assert sum(call.fault != "" for call in venue.calls) >= 3


@pytest.mark.soak
def test_twenty_workers_with_one_slot_for_an_hour(tmp_path: Path) -> None:
    """The same for longer, with other delays and faults."""
    venue = one_slot(tmp_path, "60m", speed=60.0, seed=11)

    assert len(venue.broker.trades()) >= 15
