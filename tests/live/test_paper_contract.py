"""A paper account keeps to the broker contract, over a feed that moves under a clock that really waits."""

import pytest

from src.testing.broker_contract import Case, cases_for, check
from tests.brokers.contract_benches import ACCOUNTS
from tests.live.paper_world import paper_bench

RUNS = [
    pytest.param(account, case, id=f"{case.number}-{account}")
    for account, (_, able) in ACCOUNTS.items()
    for case in cases_for(able)
    if account == "netting" or case not in cases_for(ACCOUNTS["netting"][1])
]


@pytest.mark.parametrize(("account", "case"), RUNS)
def test_a_paper_account_keeps_to_the_contract(account: str, case: Case) -> None:
    """Each case holds on the account that it means something for."""
    check(case, paper_bench(ACCOUNTS[account][0]))
