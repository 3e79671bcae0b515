"""The ccxt broker keeps to the broker contract, over real HTTP against a local venue."""

import pytest

from src.testing.broker_contract import Case, cases_for, check
from tests.brokers.ccxt_benches import ABLE, run_on_bench

#: Cases that the capabilities would name and that the exchange has nothing for.
LEFT_OUT = {"BC-66": "a conditional order cannot be changed at the exchange"}


@pytest.mark.parametrize(
    "case", [case for case in cases_for(ABLE) if case.number not in LEFT_OUT], ids=lambda case: case.number
)  # fmt: skip
def test_the_ccxt_broker_keeps_to_the_contract(case: Case) -> None:
    """Each case that means something at the exchange holds."""
    check(case, run_on_bench)
