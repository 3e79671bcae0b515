"""The simulated venue keeps to the broker contract under both clocks, and the contract notices who does not."""

from dataclasses import replace
from typing import Any

import pytest

from src.brokers.simulated import SimulatedBroker
from src.core.errors import BrokerContractError
from src.core.records import OrderRequest, OrderResult, OrderType, make_order_result
from src.testing.broker_contract import CASES, Capability, Case, cases_for, check
from tests.brokers.contract_benches import ACCOUNTS, bench_factory

RUNS = [
    pytest.param(clock, account, case, id=f"{case.number}-{account}-{clock}")
    for clock in ("virtual", "wall")
    for account, (_, able) in ACCOUNTS.items()
    for case in cases_for(able)
    if clock == "virtual" or account == "netting"
]


@pytest.mark.parametrize(("clock", "account", "case"), RUNS)
def test_the_simulated_venue_keeps_to_the_contract(clock: str, account: str, case: Case) -> None:
    """Each case that means something for the account holds under each clock."""
    check(case, bench_factory(clock, ACCOUNTS[account][0]))


def test_every_case_is_run_on_some_account() -> None:
    """No case is left out because of what it needs, and each has a number and a sentence of its own."""
    run = {case.number for _, able in ACCOUNTS.values() for case in cases_for(able)}

    assert run == {case.number for case in CASES}
    assert [case.number for case in CASES if not case.title.endswith(".")] == []


class Rounding(SimulatedBroker):
    """Rounds what it should refuse."""

    def place(self, request: OrderRequest) -> OrderResult:
        """Round the volume first."""
        volume = self.instrument(request.symbol).round_volume(request.volume) if request.symbol == "AAA" else 1.0
        return super().place(replace(request, volume=volume))


class Nameless(SimulatedBroker):
    """Acknowledges without an id."""

    def place(self, request: OrderRequest) -> OrderResult:
        """Leave the id out."""
        result = super().place(request)
        return make_order_result(accepted=True) if result.accepted else result


class Obliging(SimulatedBroker):
    """Cancels whatever it is asked to, there or not."""

    def cancel(self, order_id: str) -> OrderResult:
        """Always say yes."""
        super().cancel(order_id)
        return make_order_result(accepted=True, order_id=order_id)


class Stammering(SimulatedBroker):
    """Tells each event twice."""

    def mailbox(self, symbol: str) -> Any:
        """Double what lies there."""
        found = super().mailbox(symbol)
        found.extend(list(found))
        return found


class Unprotected(SimulatedBroker):
    """Accepts a stop and forgets it."""

    def place(self, request: OrderRequest) -> OrderResult:
        """Drop stop and target."""
        return super().place(replace(request, stop=None, target=None))


class Waiting(SimulatedBroker):
    """Accepts a stop-limit order and never triggers it."""

    def place(self, request: OrderRequest) -> OrderResult:
        """Put the trigger where no price comes."""
        if request.type is not OrderType.STOP_LIMIT or request.price is None or request.limit is None:
            return super().place(request)
        return super().place(replace(request, price=10 * request.price, limit=10 * request.limit))


class Sleeping(SimulatedBroker):
    """Lets an order with a parent sleep for ever."""

    def place(self, request: OrderRequest) -> OrderResult:
        """Put it where no price comes."""
        if not request.parent or request.price is None:
            return super().place(request)
        return super().place(replace(request, price=10 * request.price))


class Flattering(SimulatedBroker):
    """Tells of a trade that it made more than it did."""

    def mailbox(self, symbol: str) -> Any:
        """Add to the profit of what lies there."""
        found = super().mailbox(symbol)
        for i, event in enumerate(found):
            if event.trade is not None and event.trade.net < 100:
                found[i] = replace(event, trade=replace(event.trade, net=event.trade.net + 100))
        return found


@pytest.mark.parametrize(
    ("venue", "number"),
    [
        (Rounding, "BC-14"),
        (Nameless, "BC-04"),
        (Obliging, "BC-09"),
        (Stammering, "BC-06"),
        (Unprotected, "BC-53"),
        (Waiting, "BC-24"),
        (Sleeping, "BC-67"),
        (Flattering, "BC-50"),
    ],  # fmt: skip
)
def test_the_contract_notices_who_breaks_it(venue: type[SimulatedBroker], number: str) -> None:
    """A broker that breaks a rule fails the case about it, with the number in the sentence."""
    (case,) = [each for each in CASES if each.number == number]

    with pytest.raises(BrokerContractError, match=number):
        check(case, bench_factory("virtual", ACCOUNTS["netting"][0], venue))


def test_a_case_asks_for_what_it_needs() -> None:
    """A broker without a capability is not held to the cases about it."""
    able = ACCOUNTS["netting"][1]
    without = frozenset({Capability.EXPIRY})
    left_out = {case.number for case in cases_for(able)} - {case.number for case in cases_for(able - without)}

    assert left_out == {"BC-19"}


def test_the_page_lists_every_case(pytestconfig: pytest.Config) -> None:
    """The table in docs/broker-contract.md has each case with its sentence."""
    page = (pytestconfig.rootpath / "docs" / "broker-contract.md").read_text(encoding="utf-8")

    assert [case.number for case in CASES if f"| {case.number} | {case.title} |" not in page] == []
