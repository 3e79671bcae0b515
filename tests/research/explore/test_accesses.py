"""Comparing what a participant asked of the ports and was told, in two runs."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from src.backtesting.schedules.accesses import Divergence, PortLogs, Retold, first_divergence
from src.core.broker import Broker
from src.core.clock import Clock, Participant
from src.core.records import Account, OrderResult, Position, Side, Snapshot
from src.core.risk_manager import EntryIntent, RiskManager, Verdict
from src.core.sync import current_participant

ME = "worker:AAA"


def account(margin_used: float = 0.0) -> Account:
    """An account of which only the margin in use differs."""
    return Account(currency="USD", instant_ns=0, balance=100.0, equity=100.0, margin_used=margin_used)


def position(volume: float) -> Position:
    """A position of some volume."""
    return Position(position_id="p", book="book", symbol="AAA", volume=volume)


@dataclass
class Ports:
    """Broker and risk manager that answer what they are told to."""

    held: float = 0.0
    margin_used: float = 0.0
    verdict: Verdict = field(default_factory=lambda: Verdict(volume=1.0))
    result: OrderResult = field(default_factory=lambda: OrderResult(accepted=True, order_id="o"))

    def position(self, book: str, symbol: str) -> Position:
        return position(self.held)

    def snapshot(self) -> Snapshot:
        return Snapshot(account=account(self.margin_used), positions=(), orders=())

    def cancel(self, order_id: str) -> OrderResult:
        return self.result

    def quote(self, symbol: str) -> str:
        return "a quote"

    def mailbox(self, symbol: str) -> deque[Any]:
        return deque()

    def reserve(self, intent: EntryIntent) -> Verdict:
        self.snapshot()
        return self.verdict


def logs_of(ports: Ports, calls: str, since_ns: int = 0, now_ns: int = 5, retold: Retold | None = None) -> PortLogs:
    """The log of one participant's calls: each letter is one."""
    logs = PortLogs(since_ns, retold)
    logs.clock(cast(Clock, ports), lambda: now_ns)
    broker, risk = logs.broker(cast(Broker, ports)), logs.risk(cast(RiskManager, ports))
    intent = EntryIntent(client_id="k", book="book", symbol="AAA", side=Side.BUY, stop=float("nan"))
    made: dict[str, Callable[[], object]] = {
        "p": lambda: broker.position("book", "AAA"),
        "s": broker.snapshot,
        "c": lambda: broker.cancel("o"),
        "q": lambda: broker.quote("AAA"),
        "r": lambda: risk.reserve(intent),
    }
    token = current_participant.set(ME)
    for letter in calls:
        made[letter]()
    current_participant.reset(token)
    return logs


@pytest.mark.parametrize(
    ("one", "other", "resource"),
    [
        (Ports(), Ports(verdict=Verdict(code="max_open_positions")), "slot"),
        (Ports(verdict=Verdict(code="open_risk")), Ports(), "open risk"),
        (Ports(), Ports(verdict=Verdict(volume=0.5)), "margin"),
        (Ports(), Ports(held=1.0), "position"),
        (Ports(), Ports(margin_used=9.0), "margin"),
        (Ports(), Ports(result=OrderResult(accepted=False, code="not_working")), "order"),
        (Ports(), Ports(result=OrderResult(accepted=False, code="venue_says_no")), "venue_says_no"),
    ],
)
def test_another_answer_to_the_same_question_names_the_resource(one: Ports, other: Ports, resource: str) -> None:
    """Whichever of the two runs was refused."""
    divergences = [
        first_divergence(logs_of(a, "psrc"), logs_of(b, "psrc"), ME) for a, b in ((one, other), (other, one))
    ]

    assert [each.resource if each else "" for each in divergences] == [resource, resource]


def test_another_question_after_the_same_answers_names_no_resource() -> None:
    """The participant had its reason from somewhere else."""
    found = first_divergence(logs_of(Ports(), "pr"), logs_of(Ports(), "pp"), ME)

    assert found == Divergence(instant_ns=5, index=1, call="position", resource="")


def test_a_question_too_many_names_no_resource() -> None:
    """Also at the end of a log."""
    found = first_divergence(logs_of(Ports(), "p"), logs_of(Ports(), "pc"), ME)

    assert found == Divergence(instant_ns=5, index=1, call="cancel", resource="")


def test_equal_logs_do_not_part_and_a_price_is_nobodys_doing() -> None:
    """Quotes cannot differ between two orders of turns; numbers that are none are equal to themselves here."""
    assert first_divergence(logs_of(Ports(), "prscp"), logs_of(Ports(), "qprqscp"), ME) is None


def test_what_the_risk_manager_asks_itself_is_part_of_its_verdict() -> None:
    """A reservation is one call."""
    dropped, calls = logs_of(Ports(), "r").of(ME)

    assert (dropped, [each.call for each in calls]) == (0, ["reserve"])


def test_calls_before_the_wanted_instant_are_not_kept() -> None:
    """They cannot differ there."""
    assert logs_of(Ports(), "pp", since_ns=6).of(ME) == (0, ())


def test_what_a_wake_asks_is_noted_for_nobody() -> None:
    """Predicates are asked in the name of whoever happens to park."""
    logs = PortLogs()
    broker = logs.broker(cast(Broker, Ports()))
    spawned: list[Participant] = []

    class Spawner:
        def spawn(self, participant: Participant, run: object) -> None:
            spawned.append(participant)

    class Wake:
        def __call__(self) -> bool:
            return broker.position("book", "AAA").volume == 0

        def next_due_ns(self) -> int | None:
            return int(broker.position("book", "AAA").volume)

    clock = logs.clock(cast(Clock, Spawner()), lambda: 0)
    clock.spawn(Participant(name=ME, phase=3, rank=0, wake=Wake()), lambda: None)
    token = current_participant.set(ME)
    asked = (spawned[0].wake(), spawned[0].wake.next_due_ns())
    current_participant.reset(token)

    assert asked == (True, 0)
    assert logs.of(ME) == (0, ())


def test_who_is_told_again_what_was_before_hears_it_until_asking_for_something_else() -> None:
    """Reads are replaced, verdicts are not."""
    before = logs_of(Ports(), "psrp")
    retold = Retold(participant=ME, begin=0, calls=tuple(before.of(ME)[1]))
    other = Ports(held=1.0, margin_used=9.0, verdict=Verdict(code="open_risk"))
    same, astray = logs_of(other, "psp", retold=retold), logs_of(other, "spp", retold=retold)
    verdict = logs_of(other, "psr", retold=retold)

    assert [each.answer for each in same.of(ME)[1]][:2] == [each.answer for each in before.of(ME)[1]][:2]
    assert [each.answer for each in astray.of(ME)[1]] == [
        Ports(margin_used=9.0).snapshot(), position(1.0), position(1.0)
    ]  # fmt: skip
    found = first_divergence(before, verdict, ME)
    assert found is not None
    assert (found.index, found.resource) == (2, "open risk")
