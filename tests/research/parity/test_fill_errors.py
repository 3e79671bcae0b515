"""Requests of a run on a simulated account: errors of each fill, and the position that is brought back."""

import pytest

from src.brokers.simulated import Commission, Costs, Slippage
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.journal import JournalRecord
from src.core.timeframe import SECOND_NS
from src.research.parity.asked import asked_of, market_of
from src.research.parity.decisions import decisions_of
from src.research.parity.fill_errors import PAIRED, RECORDED_ONLY, SIMULATED_ONLY, FillReport, fill_errors
from src.research.parity.seen import evidence_of_recording
from tests.research.parity.journals import BOOK, Recorder, decided, filled, minute

RULE = Instrument(symbol="AAA", kind="spot", quote_currency="USD", tick=0.1, volume_step=0.1)
PLAIN = Costs(commission=Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=0.0)


class Session:
    """A recording of ten minutes with a quote each second, bid a tick below the ask, the ask 100 at the start."""

    def __init__(self, step: float = 0.0) -> None:
        self.recorder = Recorder()
        self.records: list[JournalRecord] = []
        self.calls: list[tuple[int, str, dict[str, object]]] = []
        self.step = step

    def enter(self, seconds: int, identity: str = "k", **values: object) -> None:
        """A market buy of one unit is sent."""
        at_ns = minute(0) + seconds * SECOND_NS
        request = {
            "client_id": identity, "book": BOOK, "symbol": "AAA", "side": "buy", "type": "market", "volume": 1.0,
            **values,
        }  # fmt: skip
        self.records.append(decided(at_ns, identity=identity))
        self.calls.append((at_ns, "place", {"request": request}))

    def close(self, seconds: int, identity: str = "c") -> None:
        """The position is closed."""
        at_ns = minute(0) + seconds * SECOND_NS
        self.records.append(decided(at_ns, "close", identity=identity, type="exit"))
        self.calls.append((at_ns, "close", {"position_id": "p", "client_id": identity, "volume": None, "kind": "exit"}))

    def fill(self, seconds: int, price: float, **values: object) -> None:
        """The venue told of an execution."""
        self.records.append(filled(minute(0) + seconds * SECOND_NS, price, **values))

    def report(self, costs: Costs = PLAIN, **more: object) -> FillReport:
        """Run it on the simulated account."""
        recorder = self.recorder
        sent = sorted(self.calls, key=lambda call: call[0])
        for second in range(600):
            at_ns = minute(0) + second * SECOND_NS
            ask = 100.0 + self.step * second
            recorder.quote(at_ns, ask - 0.1, ask)
            while sent and sent[0][0] == at_ns:
                recorder.call(*sent.pop(0))
        recorder.outcomes(sorted(self.records))
        evidence = evidence_of_recording(recorder.entries)
        asked, lost = asked_of(evidence, decisions_of(self.records), self.records)
        assert not lost
        return fill_errors(
            asked, evidence.fills, market_of(evidence), account=AccountConfig(currency="USD", balance=1000.0),
            instruments={"AAA": RULE}, costs=costs, **more,
        )  # fmt: skip


def test_a_fill_that_was_worse_is_measured_in_ticks_points_time_and_fee() -> None:
    """Bought two ticks and two seconds later than the simulation, which fills at the next quote."""
    session = Session()
    session.enter(10)
    session.fill(13, 100.2, commission=0.05)

    (found,) = session.report().fills

    assert (found.status, found.recorded_price, found.simulated_price) == (PAIRED, 100.2, 100.0)
    assert found.ticks == pytest.approx(2.0)
    assert found.basis_points == pytest.approx(20.0)
    assert found.time_ns == 2 * SECOND_NS
    assert found.fee == pytest.approx(0.05)


def test_the_errors_of_a_trade_are_added_up() -> None:
    """A tick at the entry and a tick at the exit are two ticks of one trade."""
    session = Session()
    session.enter(10)
    session.fill(11, 100.1)
    session.close(100)
    session.fill(101, 99.8, side="sell")
    session.enter(200, "k2")
    session.fill(201, 100.0)

    found = session.report()

    assert [(each.trade, each.fills, each.unpaired) for each in found.trades] == [(1, 2, 0), (2, 1, 0)]
    assert [each.ticks for each in found.trades] == [pytest.approx(2.0), pytest.approx(0.0)]
    assert found.spread("ticks").worst == pytest.approx(2.0)
    assert found.spread("basis_points").median == pytest.approx(10.0, abs=0.1)
    assert found.resyncs == 0


def test_partial_fills_are_matched_by_volume() -> None:
    """The venue filled in two parts what the simulation fills at once."""
    session = Session()
    session.enter(10)
    session.fill(11, 100.0, volume=0.4)
    session.fill(12, 100.3, volume=0.6, fill="second")

    found = session.report()

    assert [each.status for each in found.fills] == [PAIRED, PAIRED]
    assert [each.ticks for each in found.fills] == [pytest.approx(0.0), pytest.approx(3.0)]


def test_a_fill_that_the_simulation_never_has_brings_the_position_back() -> None:
    """The venue filled a limit that the quotes never reached; its exit is compared again."""
    session = Session()
    session.enter(10, type="limit", price=99.0)
    session.fill(20, 99.0)
    session.close(300)
    session.fill(301, 99.9, side="sell")

    found = session.report()

    assert [each.status for each in found.fills] == [RECORDED_ONLY, PAIRED]
    assert found.resyncs == 1
    assert found.fills[1].ticks == pytest.approx(0.0)


def test_a_fill_that_the_venue_never_had_brings_the_position_back() -> None:
    """The quotes reached a limit, the venue did not fill it; the next entry is compared again."""
    session = Session(step=-0.01)
    session.enter(10, type="limit", price=99.0)
    session.enter(400, "k2")
    session.fill(402, 95.99)

    found = session.report()

    assert [each.status for each in found.fills] == [SIMULATED_ONLY, PAIRED]
    assert found.resyncs == 1


def test_protection_of_the_venue_works_in_the_simulation() -> None:
    """The stop of the entry is reached by the quotes, some seconds before the venue told of it."""
    session = Session(step=-0.01)
    session.enter(10, stop=98.0)
    session.fill(11, 99.89)
    session.fill(195, 97.9, side="sell", fill_kind="stop")

    found = session.report()

    assert [each.status for each in found.fills] == [PAIRED, PAIRED]
    assert found.fills[1].simulated_price == pytest.approx(98.0, abs=0.011)
    assert found.fills[1].time_ns is not None
    assert found.fills[1].time_ns > 0


def test_a_refused_request_is_not_simulated() -> None:
    """The venue did not take it, so nothing is to be filled."""
    session = Session()
    session.recorder.call(
        minute(0) + SECOND_NS // 2, "place",
        {"request": {"client_id": "k", "book": BOOK, "symbol": "AAA", "side": "buy", "type": "market", "volume": 1.0}},
        result={"accepted": False, "code": "margin"},
    )  # fmt: skip

    assert session.report().fills == ()


def test_what_was_held_at_the_start_can_be_closed() -> None:
    """A bot that went on with a position closes it in the simulation too."""
    session = Session()
    session.close(100)
    session.fill(101, 99.9, side="sell")

    found = session.report(held={("AAA", BOOK): 1.0})

    assert [each.status for each in found.fills] == [PAIRED]
    assert found.resyncs == 0


def test_commission_of_the_configuration_is_the_one_to_compare_with() -> None:
    """The venue took less than the models say."""
    session = Session()
    session.enter(10)
    session.fill(11, 100.0, commission=0.06)
    costs = Costs(commission=Commission(percent=0.1), slippage=Slippage(), spread_percent=0.0, spread_points=0.0)

    (found,) = session.report(costs).fills

    assert found.fee == pytest.approx(-0.04)
