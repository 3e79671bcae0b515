"""The broker that offers the turn around its calls: the whole port, passed on unchanged."""

import inspect

import pytest

from src.backtesting.schedules.yielding import YieldingBroker
from src.core.broker import Broker

OFFERS = (
    "quote", "snapshot", "equity", "position", "positions",
    "place", "find_order", "cancel", "modify", "protect", "close",
)  # fmt: skip
CALLS = [name for name in dir(Broker) if not name.startswith("_")]


class Told:
    """Answers every call with what it was called with, and notes it."""

    def __init__(self, log: list[object]) -> None:
        self.log = log

    def __getattr__(self, name: str) -> object:
        def call(*args: object, **kwargs: object) -> object:
            self.log.append(name)
            return name, args, kwargs

        return call


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_passed_on_between_two_offers_of_the_turn(name: str) -> None:
    """Every call of the port arrives with all its arguments; those that go to the venue offer the turn twice."""
    log: list[object] = []
    broker = YieldingBroker(Told(log), lambda: log.append("offer"))  # type: ignore[arg-type]  # any call will do
    parameters = list(inspect.signature(getattr(Broker, name)).parameters.values())[1:]
    places = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    named = {each.name: f"value of {each.name}" for each in parameters if each.kind is each.KEYWORD_ONLY}

    answer = getattr(broker, name)(*places, **named)
    assert answer == (name, tuple(places), named)
    assert log == (["offer", name, "offer"] if name in OFFERS else [name])


def test_the_signatures_are_those_of_the_port() -> None:
    """Names, kinds and defaults, so that no caller can tell."""
    assert set(OFFERS) <= set(CALLS)
    assert {name: inspect.signature(getattr(YieldingBroker, name)) for name in CALLS} == {
        name: inspect.signature(getattr(Broker, name)) for name in CALLS
    }
