"""Which state of an order may follow which."""

import pickle
import re
from itertools import product
from pathlib import Path

import pytest

from src.core.errors import InternalError
from src.core.order_states import LEGAL, check
from src.core.records import OrderState


def test_every_state_has_its_row() -> None:
    """The table speaks of all states and of no others."""

    assert list(LEGAL) == list(OrderState)


def test_what_is_final_stays_as_it_is() -> None:
    """An ended order never changes again; everything else may."""

    assert {state for state, following in LEGAL.items() if not following} == {
        state for state in OrderState if state.is_final
    }


def test_an_unanswered_order_is_found_or_was_never_there() -> None:
    """UNKNOWN comes after SENT alone, and is left for what a venue can know."""
    before = {state for state, following in LEGAL.items() if OrderState.UNKNOWN in following}

    assert before == {OrderState.SENT}
    assert {OrderState.CREATED, OrderState.SENT, OrderState.UNKNOWN}.isdisjoint(LEGAL[OrderState.UNKNOWN])


@pytest.mark.parametrize("pair", list(product(OrderState, OrderState)), ids="-".join)
def test_a_step_is_taken_or_is_an_error(pair: tuple[OrderState, OrderState]) -> None:
    """A transition of the table passes in silence; any other names both states and the order, and can be pickled."""
    state, following = pair
    if following in LEGAL[state]:
        check(state, following)
        return

    with pytest.raises(InternalError, match=f"that is {state} to become .* found {following}") as raised:
        check(state, following, "o1")
    assert pickle.loads(pickle.dumps(raised.value)).order_id == "o1"


def test_the_documented_table_is_the_one_that_holds() -> None:
    """Each row of `docs/orders.md` names the states that may follow."""
    text = (Path(__file__).parents[2] / "docs" / "orders.md").read_text(encoding="utf-8")
    table = text.split("## States")[1].split("##")[0]
    documented: dict[str, set[str]] = {}
    for line in table.splitlines():
        cells = [re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:3]]
        documented.update({state: set(cells[1]) for state in cells[0]} if cells else {})

    assert documented == {str(state): {str(each) for each in following} for state, following in LEGAL.items()}
