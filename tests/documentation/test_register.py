"""Every block of README and docs is executed by a test, or nobody can, for a reason that is written down."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.parsing import parse
from tests.documentation.pages import blocks, commands, page_names, text_of
from tests.documentation.register import REGISTER, By, Except, Quoted, Same
from tests.end_to_end.command import ROOT

#: Words that stand for something in a command that is told, and are no value of theirs.
_STANDS_FOR_SOMETHING = re.compile(r"\.\.\.|[<>|]|\b[A-Z]+\.\.\.")


@pytest.mark.parametrize("page", page_names())
def test_each_block_of_a_page_has_an_entry(page: str) -> None:
    """In the page's order; the failure says which one is missing and what to do."""
    found = list(blocks(page))
    entries = REGISTER.get(page, [])
    said = [
        f"{page}:{block.line}: no test executes this block, which begins with {block.begins[:60]!r}"
        for i, block in enumerate(found)
        if i >= len(entries) or not block.begins.startswith(entries[i][0])
    ]

    assert said[:1] == [], (
        "write an entry for it into REGISTER of tests/documentation/register.py, at its place in the page's order: "
        "how it is executed there, the test that does it, or why nobody can"
    )
    assert len(entries) == len(found), f"{page}: more entries in tests/documentation/register.py than blocks"


def test_no_page_of_the_register_is_gone() -> None:
    """An entry of a page that is not there any more is taken out."""
    assert sorted(REGISTER.keys() - set(page_names())) == []


def test_each_test_of_the_register_is_there() -> None:
    """A file, and the function in it where one is named."""
    gone = []
    for entries in REGISTER.values():
        for _, how in entries:
            named = how.test if isinstance(how, By) else how.otherwise if isinstance(how, Except) else ""
            path, _, name = named.partition("::")
            missing = bool(named) and not (ROOT / path).exists()
            if missing or (name and name not in functions(ROOT / path)):
                gone.append(named)

    assert sorted(set(gone)) == []


def test_a_test_that_is_told_to_execute_a_page_reads_it() -> None:
    """A test of the documentation names its page; one of a command may have it as a fixture."""
    unread = []
    for page, entries in REGISTER.items():
        for _, how in entries:
            path = how.test.partition("::")[0] if isinstance(how, By) else ""
            if "documented" in path or path.startswith("tests/documentation"):
                text = (ROOT / path).read_text(encoding="utf-8")
                if Path(page).stem not in text:
                    unread.append(f"{path} does not name {page}")

    assert sorted(set(unread)) == []


def test_every_reason_says_something() -> None:
    """An exception has a reason of some words."""
    exceptions = [(page, how) for page, entries in REGISTER.items() for _, how in entries if isinstance(how, Except)]

    assert [page for page, how in exceptions if len(how.reason.split()) < 3] == []
    assert len(exceptions) <= 12, "so many exceptions are no exceptions"


@pytest.mark.parametrize("page", page_names())
def test_each_command_in_the_text_of_a_page_can_be_read(page: str) -> None:
    """`python main.py ...` and `lockstep ...` in prose, in tables and in blocks: verbs and options exist."""
    told = re.findall(r"`((?:python main\.py|lockstep) [^`\n]+)`", text_of(page))
    told += [line for block in blocks(page) for line in block.text.splitlines()
             if line.startswith(("python main.py", "lockstep "))]  # fmt: skip
    wrong = []
    for line in told:
        words = shlex.split(re.sub(r"\s+#\s.*|\s*\\$", "", line).replace("python main.py", "lockstep"))[1:]
        if _STANDS_FOR_SOMETHING.search(" ".join(words)) or "--help" in words or not words:
            continue
        try:
            parse(words)
        except Exception as error:
            wrong.append(f"{line}: {error}")

    assert wrong == []


def test_what_is_said_twice_is_the_same() -> None:
    """Each command stands on the other page too."""
    other = []
    for page, entries in REGISTER.items():
        for block, (_, how) in zip(blocks(page), entries, strict=False):
            if isinstance(how, Same):
                there = [line for each in blocks(how.page) for line in commands(each)]
                other += [line for line in commands(block) if line not in there]

    assert other == []


@pytest.mark.parametrize(("page", "place"), [
    (page, i) for page, entries in REGISTER.items() for i, (_, how) in enumerate(entries) if isinstance(how, Quoted)
])  # fmt: skip
def test_what_is_quoted_stands_in_its_file(page: str, place: int) -> None:
    """Line by line, however far it is indented there."""
    how = REGISTER[page][place][1]
    assert isinstance(how, Quoted)
    source = {line.strip() for line in (ROOT / how.file).read_text(encoding="utf-8").splitlines()}
    block = list(blocks(page))[place]

    assert [line for line in block.text.splitlines() if line.strip() and line.strip() not in source] == []


def functions(path: Path) -> set[str]:
    """The names of the functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
