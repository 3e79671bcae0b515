"""Finding a policy: names, replay strings, and what is said about the others."""

import pytest

from src.backtesting.schedules import POLICIES, SEEDED, policy_named
from src.backtesting.schedules._template import Backwards
from src.core.errors import ConfigError
from tests.backtesting.schedules.candidates import orders


@pytest.mark.parametrize("name", POLICIES)
def test_what_a_policy_says_of_itself_finds_it_again(name: str) -> None:
    """`describe` is a replay string that carries the seed, and needs no other."""
    text = policy_named(name, 42).describe()

    assert text == (f"1:{name}:42" if name in SEEDED else f"1:{name}")
    assert policy_named(text, 7).describe() == text


@pytest.mark.parametrize("seed", [0, -3, 10**30])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    """Whatever `backtest.seed` may be can be told in a replay string."""
    assert policy_named(policy_named("seeded", seed).describe(), 1).describe() == f"1:seeded:{seed}"


def test_the_replay_string_and_the_name_with_its_seed_are_the_same_schedule() -> None:
    """`1:seeded:42` decides as `seeded` with `seed: 42`, and not as with the seed of the configuration."""
    names, instants = ["a", "b", "c", "d"], range(50)

    told = orders(policy_named("1:seeded:42", 7), names, instants)
    assert told == orders(policy_named("seeded", 42), names, instants)
    assert told != orders(policy_named("seeded", 7), names, instants)


def test_written_order_alone_says_that_it_need_not_be_asked() -> None:
    """And only preemptive ones may take a turn away."""
    assert {name: policy_named(name, 1).preempts for name in ("fifo", "seeded", "preemptive")} == {
        "fifo": False,
        "seeded": False,
        "preemptive": True,
    }
    assert [name for name in ("fifo", "seeded", "preemptive") if policy_named(name, 1).in_order] == ["fifo"]
    assert orders(policy_named("fifo", 1), ["a", "b", "c"], range(1)) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seded", "expected a schedule among fifo, seeded, preemptive.* found 'seded'; did you mean 'seeded'"),
        ("1:sedeed:42", "found '1:sedeed:42'; did you mean '1:seeded:42'"),
        ("1:turn:5m@0.1", "did you mean '1:turns:5m@0.1'"),
        ("zzz", "or a replay string, found 'zzz'$"),
        ("", "found ''$"),
        ("replay", "to replay a schedule write the whole string that its run printed"),
        ("turns", "to replay a schedule write the whole string that its run printed"),
        ("2:seeded:42", "of version 1, such as 1:seeded:42, found '2' before the first colon; record it again"),
        ("seeded:42", "found 'seeded' before the first colon; did you mean 1:seeded:42"),
        ("1:seeded", "expected a whole number after 1:seeded: as its seed, found ''"),
        ("1:seeded:x", "as its seed, found 'x'; write 1:seeded:42, or seeded alone to use backtest.seed"),
        ("1:preemptive:007", "as its seed, found '007'"),
        ("1:seeded:4_2", "as its seed, found '4_2'"),
        ("1:seeded:\u0664", "as its seed, found"),
        ("1:fifo:3", "expected nothing after 1:fifo, found '3'"),
        ("1:fifo:", "expected nothing after 1:fifo, found ''"),
        (" fifo", "did you mean 'fifo'|did you mean ' fifo'|found ' fifo'"),
    ],
)
def test_a_wrong_schedule_is_refused_with_the_part_that_is_wrong(text: str, sentence: str) -> None:
    """The sentence names the part and what to write instead."""
    with pytest.raises(ConfigError, match=sentence):
        policy_named(text, 1)


def test_the_template_is_a_policy_that_works() -> None:
    """Whoever copies it begins with something that runs."""
    assert orders(Backwards(), ["a", "b", "c"], range(1)) == [["c", "b", "a"]]
