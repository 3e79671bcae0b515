"""Every way in which an exchange fails, one after the other, while a whole live bot trades there."""

from collections import Counter
from pathlib import Path

import pytest

from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind
from src.testing.venue_wire import Reply
from tests.live.live_bench import (
    START_NS,
    BenchVenue,
    Request,
    entries_of,
    journal_of,
    make_bench,
    planted_in,
    problems_of_account,
    run_here,
    write_bot,
)
from tests.live.live_kills import SPANS, STRATEGY, span_of

#: What is asked and what is done, the calls that matter most first.
ENDPOINTS = (
    "POST order", "POST algoOrder", "DELETE algoOrder", "GET positionRisk", "GET userTrades", "GET openOrders",
    "GET openAlgoOrders", "GET account", "GET order", "GET klines", "GET ticker/bookTicker",
)  # fmt: skip
#: A client waits until it gives up; every other kind is over at once.
SILENT = frozenset({FaultKind.LOST, FaultKind.UNANSWERED, FaultKind.LATE})
LOUD = tuple(kind for kind in FaultKind if kind not in SILENT)


class Loop:
    """Has the next call of an endpoint fail in the next way, as soon as the one before has happened.

    Args:
        kinds: the ways, in turn at each endpoint.
        until_ns: after that everything goes well.
    """

    def __init__(self, venue: BenchVenue, kinds: tuple[FaultKind, ...], until_ns: int) -> None:
        self._venue = venue
        self._until_ns = until_ns
        self._left = {endpoint: list(kinds) for endpoint in ENDPOINTS}
        self._last_ns = 0
        venue.before = self._before

    def _before(self, request: Request) -> Reply | None:
        # Some seconds apart, so that each is met by a bot that trades.
        left = self._left.get(request.endpoint)
        rare = request.endpoint.startswith(("POST", "DELETE"))
        pause_ns = MINUTE_NS // (30 if rare else 12)
        due = request.at_ns < self._until_ns and request.at_ns - self._last_ns >= pause_ns
        if left and due and self._venue.polls > 20:
            self._last_ns = request.at_ns
            self._venue.fail(Fault(kind=left.pop(0), endpoint=request.endpoint, seconds=1))
        return None


def run_with_faults(
    folder: Path, kinds: tuple[FaultKind, ...], *, minutes: int, speed: float, late_s: float
) -> Counter[str]:
    """Trade while everything fails, come to rest, and look at what came of it; the faults that happened, by kind.

    Args:
        late_s: for how much longer than is configured a position may be without a stop, real seconds.
    """
    with make_bench(SPANS, minutes=minutes + 30, speed=speed) as venue:
        files = write_bot(
            folder, venue, STRATEGY, "Spans", SPANS, speed=speed,
            manage={"break_even": {"at_r": 0.3}, "trailing": {"start_r": 0.5, "distance_atr": 1}},
        )  # fmt: skip
        Loop(venue, kinds, START_NS + (minutes - 5) * MINUTE_NS)
        code, said = run_here(files, f"{minutes}m", "--set", "live.on_stop=flatten")

        assert code == 0, said
        late_ns = round(SECOND_NS * speed * late_s)
        assert problems_of_account(venue, protect_within_ns=60 * SECOND_NS + late_ns) == []
        assert planted_in(folder) == []
        assert venue.held == ([], [])
        sent = Counter(
            request["client_id"]
            for request in (each.body["args"].get("request") for each in entries_of(files, "call"))
            if request is not None
        )
        assert [identity for identity, times in sent.items() if times > 1] == []
        entries = Counter(
            (order.request.symbol, span_of(order.request.symbol, order.placed_ns))
            for order in venue.broker.orders()
            if not order.request.reduce_only and order.filled_volume > 0
        )
        assert [span for span, count in entries.items() if count > 1] == []
        told = sum(float(each.values[2]) for each in journal_of(files) if each.kind == "trade")
        assert told == pytest.approx(sum(each.net for each in venue.broker.trades()), abs=1e-6)
        return Counter(call.fault for call in venue.calls if call.fault)


@pytest.mark.slow
def test_whatever_fails_no_order_is_doubled_no_money_is_missing_and_nothing_is_left(tmp_path: Path) -> None:
    """Every kind that answers or hangs up, at one endpoint after the other."""
    # What cannot be protected in time is flattened, which takes two calls, and these may fail too; on a busy machine
    # each takes its time.
    met = run_with_faults(tmp_path, LOUD, minutes=20, speed=30.0, late_s=2.0)

    assert set(met) == {kind.value for kind in LOUD}


@pytest.mark.soak
def test_all_kinds_of_failures_with_those_that_never_answer(tmp_path: Path) -> None:
    """Some of them one upon the other: what a silent exchange keeps waiting for is added to the time without a stop."""
    # An order that is not answered is waited for during 5 s, and each of three questions about it during 10 s.
    met = run_with_faults(tmp_path, tuple(FaultKind), minutes=60, speed=20.0, late_s=35.0)

    assert set(met) == {kind.value for kind in FaultKind}


@pytest.mark.slow
def test_an_error_with_its_traceback_shows_no_key(tmp_path: Path) -> None:
    """The exchange refuses the signature, and everything that can be said of it is said."""
    with make_bench(SPANS, minutes=10, secret="another-secret") as venue:
        files = write_bot(tmp_path, venue, STRATEGY, "Spans", SPANS, speed=30.0)

        code, said = run_here(files, "1m", "--debug")

    assert code != 0
    assert "error" in said
    assert planted_in(tmp_path, said.encode()) == []
