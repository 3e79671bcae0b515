"""A plan of faults: who is hit by what, told by counts, instants and draws alone."""

import re
from pathlib import Path

import pytest
import yaml

from src.backtesting.config import BacktestConfig
from src.backtesting.fault_section import FaultSection
from src.brokers.faults import Call, Fault, FaultKind, FaultPlan
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS


def _call(name: str, identity: str = "k1", symbol: str = "AAA") -> Call:
    return Call(name=name, symbol=symbol, identity=identity)


def _hits(plan: FaultPlan, calls: list[Call], at_ns: int = 0) -> list[str]:
    found = [plan.hit(call, at_ns, lambda fault: True) for call in calls]
    return ["" if fault is None else str(fault.kind) for fault in found]


def test_calls_and_orders_are_counted_apart() -> None:
    """A cancel is a call and no order; a close is both."""
    plan = FaultPlan([Fault(kind=FaultKind.REJECT, order=2), Fault(kind=FaultKind.TIMEOUT_LOST, call=2)])

    hits = _hits(plan, [_call("place"), _call("cancel"), _call("close"), _call("place")])

    assert hits == ["", "timeout_lost", "reject", ""]
    assert (plan.calls, len(plan.acted)) == (4, 2)


def test_a_fault_of_one_symbol_counts_that_symbol_alone() -> None:
    """The second order of BBB is the second of BBB, whoever else placed orders before."""
    plan = FaultPlan([Fault(kind=FaultKind.REJECT, order=2, symbol="BBB")])

    hits = _hits(plan, [_call("place", symbol=symbol) for symbol in ("AAA", "BBB", "AAA", "BBB", "BBB")])

    assert hits == ["", "", "", "reject", ""]


def test_a_call_about_something_unknown_counts_once_and_is_of_no_symbol() -> None:
    """A cancel of an order that nobody knows is the first call, and no call of AAA."""
    first = FaultPlan([Fault(kind=FaultKind.REJECT, call=1)])
    own = FaultPlan([Fault(kind=FaultKind.REJECT, call=1, symbol="AAA")])
    calls = [_call("cancel", symbol=""), _call("place"), _call("cancel", symbol="")]

    assert _hits(first, calls) == ["reject", "", ""]
    assert _hits(own, calls) == ["", "reject", ""]


def test_a_draw_belongs_to_the_order_and_not_to_its_turn() -> None:
    """With chance_percent the same orders are hit in whatever order they are placed; another seed hits others."""
    calls = [_call("place", f"k{i}") for i in range(60)]

    def hit(order: list[Call], seed: int) -> set[str]:
        plan = FaultPlan([Fault(kind=FaultKind.REJECT, chance_percent=30)], seed)
        return {call.identity for call, kind in zip(order, _hits(plan, order), strict=True) if kind}

    assert hit(calls, 7) == hit(calls[::-1], 7)
    assert 5 < len(hit(calls, 7)) < 35
    assert hit(calls, 7) != hit(calls, 8)


def test_a_rate_limit_counts_anew_in_each_span_of_time() -> None:
    """Two calls a minute pass, the third is refused, and the next minute begins at nothing."""
    limit = Fault(kind=FaultKind.RATE_LIMIT, calls=2, per_ns=MINUTE_NS, from_ns=0, to_ns=10 * MINUTE_NS)
    plan = FaultPlan([limit])
    calls = [_call("cancel")] * 3

    assert _hits(plan, calls) == ["", "", "rate_limit"]
    assert _hits(plan, calls, MINUTE_NS) == ["", "", "rate_limit"]
    assert _hits(plan, calls, 10 * MINUTE_NS) == ["", "", ""]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(kind=FaultKind.REJECT), "expected one of call, order and chance_percent"),
        (Fault(kind=FaultKind.REJECT, call=1, order=1), "expected one of call, order and chance_percent"),
        (Fault(kind=FaultKind.DISCONNECT, call=1), "lasts for a while"),
        (Fault(kind=FaultKind.DISCONNECT, from_ns=5), "expected from and to"),
        (Fault(kind=FaultKind.DISCONNECT, from_ns=5, to_ns=5), "to must lie after from"),
        (Fault(kind=FaultKind.DISCONNECT, symbol="AAA", from_ns=0, to_ns=5), "cuts off the whole venue"),
        (Fault(kind=FaultKind.RATE_LIMIT, from_ns=0, to_ns=5), "expected calls of at least 1 and per"),
        (Fault(kind=FaultKind.SPREAD, from_ns=0, to_ns=5), "expected factor above 1"),
        (Fault(kind=FaultKind.PARTLY_SILENT, call=1, share=1.0), "expected share between 0 and 1"),
        (Fault(kind=FaultKind.REJECT, call=1, after_ns=5), "after is for timeout_accepted alone"),
        (Fault(kind=FaultKind.TIMEOUT_ACCEPTED, call=1, after_ns=61 * 10**9), "after of at most 30s"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_a_sentence(fault: Fault, said: str) -> None:
    """Each kind says what it needs; all problems of a plan are reported at once."""
    with pytest.raises(ConfigError, match=said) as refused:
        FaultPlan([fault, Fault(kind=FaultKind.REJECT)])

    assert "faults.1: reject" in refused.value.message


def _configuration(faults: list[dict[str, object]]) -> BacktestConfig:
    return BacktestConfig.model_validate(
        {
            "account": {"currency": "USD", "balance": 1000},
            "instruments": {"AAA": {"currency": "USD"}},
            "symbols": ["AAA"],
            "strategies": [{"use": "sma_cross"}],
            "risk": {"size": {"volume": 1}},
            "backtest": {"start": "2024-01-01", "end": "2024-01-02", "faults": faults},
        }
    )


def test_faults_belong_to_the_identity_of_a_run_and_no_faults_leave_it_alone() -> None:
    """A run with faults is another run; one without has the identity that it would have if there were no faults."""
    spelled = {"kind": "timeout_accepted", "order": 3, "after": "20s", "symbol": "AAA"}

    fault = _configuration([spelled]).backtest.faults[0].fault

    assert fault == Fault(kind=FaultKind.TIMEOUT_ACCEPTED, order=3, after_ns=20 * 10**9, symbol="AAA")
    assert "faults" not in _configuration([]).identity()["backtest"]
    assert _configuration([spelled]).identity()["backtest"]["faults"][0]["order"] == 3


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ({"kind": "reject", "order": 1, "symbol": "AAB"}, "backtest.faults.0.symbol"),
        ({"kind": "reject"}, "expected one of call, order and chance_percent"),
        ({"kind": "disconnect", "from": 2024, "to": "2025-01-01"}, "expected a date"),
        ({"kind": "storm", "order": 1}, "reject"),
        ({"kind": "reject", "order": 1, "share": 0.3}, "share is for partly_silent and rejected_with_fill alone"),
        ({"kind": "disconnect", "from": "2024-01-01", "to": "2024-01-02", "per": "1m"}, "per is for rate_limit alone"),
    ],
)
def test_a_configuration_with_an_impossible_fault_is_refused(spelled: dict[str, object], said: str) -> None:
    """Unknown kinds and symbols, years and counts that say nothing are found before anything runs."""
    with pytest.raises(ValueError, match=said):
        _configuration([spelled])


def test_each_fault_has_an_example_that_is_a_configuration() -> None:
    """The page about faults describes every kind, and its examples can be copied."""
    text = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(each) for each in re.findall(r"\{kind: [^}]*\}", text)]

    kinds = {FaultSection.model_validate(each).kind for each in examples}

    assert kinds == set(FaultKind)
