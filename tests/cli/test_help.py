"""The help of every verb ends with commands that can be pasted."""

import re
import shlex

import pytest

from src.cli.app import main
from src.cli.examples import EXAMPLES
from tests.cli.parsing import parse, verbs
from tests.end_to_end.command import ROOT

VERBS = dict(verbs())
EACH = [(verb, words) for verb, each in EXAMPLES.items() for words in each]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_shows_its_examples(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new verb gets an entry in the table of examples."""
    assert EXAMPLES.get(verb), f"`{verb}` has no example: write one or two into EXAMPLES of src/cli/examples.py"
    monkeypatch.setenv("COLUMNS", "300")

    code = main([*verb.split(), "--help"])
    shown = " ".join(capsys.readouterr().out.split())

    assert code == 0
    assert [words for words in EXAMPLES[verb] if " ".join(words.split()) not in shown] == []


def test_there_is_no_example_of_a_verb_that_is_not_there() -> None:
    """What a verb was called once is not told for ever."""
    assert sorted(EXAMPLES.keys() - VERBS.keys()) == []


@pytest.mark.parametrize(("verb", "words"), EACH, ids=[words for _, words in EACH])
def test_each_example_can_be_read(verb: str, words: str) -> None:
    """It begins with its verb, its options exist and have values that can be read, and its configuration is there."""
    if not words.endswith("--help"):
        parse(shlex.split(words))

    assert words.startswith(verb)
    assert [path for path in re.findall(r"configs/\S+", words) if not (ROOT / path).is_file()] == []
    assert len(words) <= 90, "too long to be read in a terminal"
