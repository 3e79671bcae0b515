"""Every block of README and docs is executed by a test, or nobody can, for a reason that is written down."""

import ast
import re
import shlex
import tomllib
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


def test_a_test_that_is_told_to_execute_a_block_takes_it_from_its_page() -> None:
    """That block or the whole page, by name: what a test writes down once more is another command the day after."""
    other = []
    for page, entries in REGISTER.items():
        for begins, how in entries:
            if isinstance(how, By):
                taken = taken_from(ROOT / how.test.partition("::")[0])
                named = any(each.startswith(begins) or begins.startswith(each) for each in taken.get(page, ()))
                if not named:
                    other.append(f"{how.test} does not take {begins!r} of {page}")

    assert other == []


def test_what_a_file_takes_from_pages_is_read_from_its_calls(tmp_path: Path) -> None:
    """A page that is only named in a sentence, and a command that is written down once more, count for nothing."""
    file = tmp_path / "test_it.py"
    file.write_text(
        '''"""docs/other.md: python main.py verify."""
PAGE = "docs/threads.md"
WORDS = "python main.py explore"
one, whole = block_of(PAGE, "python main.py verify"), blocks("README.md")
some = [block_of("docs/live.md", begins) for begins in ("look:", "STOPPED")]
''',
        encoding="utf-8",
    )

    assert taken_from(file) == {"docs/threads.md": {"python main.py verify"}, "README.md": {""}, "docs/live.md": set()}


def test_what_is_installed_exists() -> None:
    """Each extra that a page tells to install is one of the package."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = {
        name
        for page in page_names()
        for words in re.findall(r"pip install [^`\n]*\[([\w,]+)\]", text_of(page))
        for name in words.split(",")
    }

    assert told >= {"dev", "docs", "live", "tearsheet"}
    assert sorted(told - extras.keys()) == []


def test_what_is_left_out_of_a_block_stands_in_it_with_a_reason() -> None:
    """An exception of a command that is not there any more is taken out, and no block is left out as a whole."""
    wrong = []
    for page, entries in REGISTER.items():
        for block, (begins, how) in zip(blocks(page), entries, strict=True):
            without = getattr(how, "without", {})
            wrong += [f"{page}: {key!r}" for key in without if key not in block.text or len(without[key].split()) < 2]
            parts = [part for line in commands(block) for part in line.split(" && ")]
            if without and all(any(key in part for key in without) for part in parts):
                wrong.append(f"{page}: nothing is left of {begins!r}")

    assert wrong == []


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


def taken_from(path: Path) -> dict[str, set[str]]:
    """How the blocks begin that a file takes from pages, by page; the empty text for all of a page's blocks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        values = [constants.get(each.id) if isinstance(each, ast.Name) else getattr(each, "value", None)
                  for each in node.args]  # fmt: skip
        if node.func.id in ("blocks", "text_of") and values:
            found.setdefault(str(values[0]), set()).add("")
        elif node.func.id == "block_of" and len(values) == 2:
            # One that is computed, as in a loop over several, names none of them here.
            found.setdefault(str(values[0]), set()).update([values[1]] if isinstance(values[1], str) else [])
    return found


def functions(path: Path) -> set[str]:
    """The names of the functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
