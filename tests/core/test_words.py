"""One is told as one, and anything else as several."""

from src.core.words import closest, counted, meant


def test_one_is_not_told_as_many() -> None:
    """None are several too; long numbers have their commas, and odd plurals are given."""
    assert [counted(n, "bar") for n in (0, 1, 2, 12_345)] == ["0 bars", "1 bar", "2 bars", "12,345 bars"]
    assert [counted(n, "strategy", "strategies") for n in (1, 3)] == ["1 strategy", "3 strategies"]


def test_letters_in_another_order_are_likelier_than_other_letters() -> None:
    """`zone` has as much of `opne` as `open` has, by the measure for everything else."""
    assert closest("--opne", ["--zone", "--open"]) == "--open"
    assert closest("qqq", ["--zone", "--open"]) is None


def test_a_sentence_ends_with_what_was_meant_or_with_nothing() -> None:
    """In quotes, whatever its capitals; several where several are near, the likeliest first."""
    assert meant("BTCUSD", ["ETHUSDT", "BTCUSDT"]) == "; did you mean 'BTCUSDT'?"
    assert meant("account", ["Account", "count"]) == "; did you mean 'Account'?"
    assert meant("xnyz", ["XNYS", "XAZG", "XNZE"], 3) == "; did you mean 'XNZE' or 'XNYS'?"
    assert (meant("qqq", ["fast"]), meant(None, ["fast"]), meant("a", [])) == ("", "", "")
