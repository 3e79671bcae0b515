"""Which schedules are tried: a fixed mix that starts with the written order."""

import shlex
from itertools import permutations
from pathlib import Path

import pytest

from src.core.config_file import parse_config
from src.research.explore.schedules import Variant, command, override_words, variants

SYMBOLS = ("AAA", "BBB", "CCC")


def test_the_written_order_comes_first_and_the_kinds_take_turns() -> None:
    """A short exploration already tries every kind."""
    kinds = [variant.kind for variant in variants(SYMBOLS, 7, seed=7)]

    assert kinds == ["fifo", "seeded", "preemptive", "order", "seeded", "preemptive", "order"]


@pytest.mark.parametrize("count", [1, 2, 5, 30, 100])
def test_there_are_as_many_variants_as_asked_for_and_none_twice(count: int) -> None:
    """Also when there are fewer orders of the symbols than turns for them."""
    found = variants(SYMBOLS, count, seed=7)

    assert len(found) == len(set(found)) == count


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    """More schedules only add to what was seen."""
    assert variants(SYMBOLS, 100, seed=3)[:20] == variants(SYMBOLS, 20, seed=3)


def test_the_seed_decides_which_schedules() -> None:
    """The same seed tries the same ones, another seed others."""
    assert variants(SYMBOLS, 20, seed=3) == variants(SYMBOLS, 20, seed=3) != variants(SYMBOLS, 20, seed=4)


def test_every_order_of_few_symbols_is_tried_the_reverse_first() -> None:
    """All permutations but the configured one, each once."""
    orders = [variant.symbols for variant in variants(SYMBOLS, 60, seed=7) if variant.kind == "order"]

    assert orders[0] == ("CCC", "BBB", "AAA")
    assert sorted(order for order in orders if order) == sorted(set(permutations(SYMBOLS)) - {SYMBOLS})


def test_one_symbol_has_no_other_order() -> None:
    """Its list holds schedules only."""
    assert {variant.kind for variant in variants(["AAA"], 20, seed=7)} == {"fifo", "seeded", "preemptive"}


@pytest.mark.parametrize("symbols", [("BBB", "AAA"), ("BTC/USDT:USDT", "1INCH"), ("true", "x y")])
def test_the_overrides_of_a_variant_say_what_they_mean_whatever_the_names(symbols: tuple[str, ...]) -> None:
    """Read as a configuration, the words give the schedule and the names as text."""
    words = override_words(Variant(kind="order", schedule="1:seeded:5", symbols=symbols))
    values = parse_config("a: 1", "config.yaml", Path(), words).values

    assert (values["backtest"]["schedule"], values["symbols"]) == ("1:seeded:5", list(symbols))


def test_the_line_holds_every_override_and_survives_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variant's overrides come after the user's, so that they win."""
    monkeypatch.setattr("sys.argv", ["lockstep"])
    line = command("my config.yaml", ["a=b c"], Variant(kind="order", schedule="1:fifo", symbols=("B", "A")))

    assert shlex.split(line) == [
        "lockstep", "--mode", "backtest", "--config", "my config.yaml",
        "--set", "a=b c", "--set", "backtest.schedule=1:fifo", "--set", "symbols=[B,A]",
    ]  # fmt: skip
