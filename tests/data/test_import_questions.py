"""What an import asks, suggests and refuses: nothing is guessed that the file does not tell."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.importing import ImportAnswers, inspect_file
from src.data.sources import source_named

START_NS = parse_instant("2024-01-02")
COMPLETE = ImportAnswers(symbol="EURUSD", kind="fx", stamp="open", price="bid")


def put(folder: Path, step_ns: int, rows: int, symbols: tuple[str, ...] = ("EURUSD",), name: str = "a.csv") -> Path:
    """A file of bars of each symbol, so far apart."""
    lines = ["timestamp,symbol,open,high,low,close,volume"]
    for i in range(rows):
        at_ms = (START_NS + i * step_ns) // 1_000_000
        lines += [f"{at_ms},{symbol},1,2,1,2,5" for symbol in symbols]
    path = folder / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def test_the_length_of_a_bar_is_not_asked_while_the_symbol_is_open(tmp_path: Path) -> None:
    """With several symbols the rows of one tell it as soon as it is chosen; until then nothing is suggested."""
    path = put(tmp_path, DAY_NS, 3, ("EURUSD", "USDJPY"))
    asked = inspect_file(path, ImportAnswers())
    chosen = inspect_file(path, COMPLETE)

    assert [question.key for question in asked.questions] == ["symbol", "kind", "stamp", "price"]
    assert "--timeframe" not in asked.command
    assert chosen.require_complete().timeframe_ns == DAY_NS


@pytest.mark.parametrize(
    ("given", "step_ns", "rows", "found"),
    [("1m", DAY_NS, 3, "1d"), ("1m", 5 * MINUTE_NS, 12, "5m"), ("1h", MINUTE_NS, 3, "1m"), ("1d", HOUR_NS, 3, "1h")],
)
def test_a_length_that_the_rows_contradict_is_refused(
    given: str, step_ns: int, rows: int, found: str, tmp_path: Path
) -> None:
    """Daily rows are no bars of a minute; the sentence says what the file holds, also before all is answered."""
    path = put(tmp_path, step_ns, rows)

    for answers in (COMPLETE, ImportAnswers()):
        with pytest.raises(ConfigError, match=f"--timeframe {given}: .* which is mostly {found};"):
            inspect_file(path, answers.having({"timeframe": given}))


def test_a_length_that_the_rows_leave_open_is_taken(tmp_path: Path) -> None:
    """A short file of a thin market may have nothing but holes between its bars; a long one has neighbours."""
    short = inspect_file(put(tmp_path, 5 * MINUTE_NS, 3), COMPLETE.having({"timeframe": "1m"}))
    path = put(tmp_path, 5 * MINUTE_NS, 12, name="b.csv")
    last = START_NS + 11 * 5 * MINUTE_NS + MINUTE_NS
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{last // 1_000_000},EURUSD,1,2,1,2,5\n")
    long = inspect_file(path, COMPLETE.having({"timeframe": "1m"}))

    assert short.require_complete().timeframe_ns == long.require_complete().timeframe_ns == MINUTE_NS


def test_a_kind_that_nothing_tells_is_not_suggested(tmp_path: Path) -> None:
    """A name that could be anything: neither the kind nor the price that would follow from it is guessed."""
    path = tmp_path / "AIG.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2024-01-02T00:00Z,1,2,1,2,5\n2024-01-03T00:00Z,1,2,1,2,5\n")
    asked = inspect_file(path, ImportAnswers(symbol="AIG", zone="UTC"))
    known = inspect_file(path, ImportAnswers(symbol="AIG", zone="UTC", kind="equity"))

    assert [(one.key, one.default) for one in asked.questions] == [("kind", None), ("stamp", "open"), ("price", None)]
    assert asked.command.endswith("--kind '?' --zone UTC --stamp open --price '?'")
    assert len(asked.preview) == 2
    assert [(one.key, one.default) for one in known.questions] == [("stamp", "open"), ("price", "trade")]


def test_the_command_names_the_store(tmp_path: Path) -> None:
    """What is pasted goes where the refused command would have gone."""
    plan = replace(inspect_file(put(tmp_path, DAY_NS, 3), ImportAnswers()), store=Path("my data/x.duckdb"))

    with pytest.raises(ConfigError, match=r"--store 'my data/x\.duckdb'$"):
        plan.refuse_questions()


def test_a_file_to_sync_from_asks_for_options_of_the_source(tmp_path: Path) -> None:
    """Whoever syncs or heals is not sent to an import: the words to add are those of the source, and they do."""
    path = put(tmp_path, DAY_NS, 3, ("EURUSD", "USDJPY"))
    with pytest.raises(ConfigError) as raised:
        source_named(f"csv:{path}", options={"price": "ask"})
    words = [word for word in shlex.split(raised.value.message.splitlines()[-1]) if word != "--source-option"]
    source = source_named(f"csv:{path}", options=dict(word.split("=") for word in words))

    assert "data import" not in raised.value.message
    assert raised.value.message.startswith(f"csv:{path} does not say everything")
    assert words == ["symbol=EURUSD", "kind=fx", "stamp=open", "price=ask"]
    assert source.symbol("EURUSD").price_side == "ask"
