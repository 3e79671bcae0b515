"""The ccxt broker of a spot account keeps to the broker contract, over real HTTP against a local venue."""

import pytest

from src.testing.broker_contract import Case, cases_for, check
from tests.brokers.ccxt_spot_benches import ABLE, run_on_bench


@pytest.mark.parametrize("case", cases_for(ABLE), ids=lambda case: case.number)
def test_the_ccxt_broker_keeps_to_the_contract_on_spot(case: Case) -> None:
    """Each case that means something there holds."""
    check(case, run_on_bench)
