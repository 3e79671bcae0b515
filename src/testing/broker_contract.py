"""The conformance suite of the Broker port: numbered cases that every adapter passes; see `docs/broker-contract.md`.

An adapter's test makes a factory, which composes a fresh account and runs what it is given on a bench, in the turn of
a participant; says what the broker can do; and runs each case of `cases_for`. A case never sleeps by itself: how time
goes on is the bench's matter, so that the same cases run under a clock that controls time and under one that waits.
"""

from collections.abc import Callable, Iterable

from src.testing import contract_orders, contract_positions
from src.testing.contract_kit import Bench, Capability, Case, Talk, collected

__all__ = ["CASES", "Bench", "BenchFactory", "Capability", "Case", "cases_for", "check"]

#: Composes a fresh account and calls what it is given with its bench.
BenchFactory = Callable[[Callable[[Bench], None]], None]

#: The modules whose cases make the suite.
MODULES = (contract_orders, contract_positions)

#: All cases, by number. A number keeps its meaning for ever; a case that is dropped leaves a hole.
CASES: tuple[Case, ...] = collected()


def cases_for(capabilities: Iterable[Capability]) -> tuple[Case, ...]:
    """The cases that mean something for a broker that can do this."""
    able = frozenset(capabilities)
    return tuple(each for each in CASES if each.needs <= able and not each.without & able)


def check(case: Case, factory: BenchFactory) -> None:
    """Run one case on a fresh bench.

    Raises:
        BrokerContractError: the broker does not keep to the contract; the sentence begins with the case's number.
    """

    def run(bench: Bench) -> None:
        talk = Talk(bench, case.number)
        case.run(talk)
        talk.check_events()

    factory(run)
