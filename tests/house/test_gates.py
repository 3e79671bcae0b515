"""Each gate of the house fails on a violation that is planted for it, and is silent on a tree that keeps the rule."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import gates
from tools.tree import tracked_files

Plant = Callable[[str, str], None]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write one file into a tree of the test's own."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize(("lines", "failures", "notes"), [(400, 0, 0), (401, 0, 1), (600, 0, 1), (601, 1, 0)])
def test_a_file_is_noted_above_400_lines_and_refused_above_600(
    plant: Plant, tmp_path: Path, lines: int, failures: int, notes: int
) -> None:
    """A Python file has at most 600 lines, and one of more than 400 is pointed out."""
    plant("src/long.py", "x = 1\n" * lines)

    assert len(gates.file_sizes(tmp_path)) == failures
    assert len(gates.file_size_notes(tmp_path)) == notes


@pytest.mark.parametrize(("lines", "failures"), [(70, 0), (71, 1)])
def test_a_function_of_more_than_70_lines_is_refused(plant: Plant, tmp_path: Path, lines: int, failures: int) -> None:
    """A function has at most 70 lines, wherever it stands."""
    plant("tools/long.py", "class A:\n    async def long(self):\n" + "        pass\n" * (lines - 1))

    found = gates.function_lengths(tmp_path)

    assert len(found) == failures
    assert all(finding.startswith("tools/long.py:2: long has 71 lines") for finding in found)


@pytest.mark.parametrize(
    "source",
    [
        "is_backtest = True\n",
        "def run(paper_money: float) -> None: ...\n",
        "class Simulator: ...\n",
        "import engine.replay\n",
        "from engine import replayer as other\n",
        "from engine import other as replayer\n",
        "mode = 'BackTest'\n",
        "mode = f'a {1} simulated {2}'\n",
        "run(paper=1)\n",
        "x = y.replayed\n",
        "def f():\n    global papers\n",
        "match x:\n    case {'a': 1, **papers}: ...\n",
        "mode = b'replay'\n",
    ],
)
def test_core_may_not_say_where_it_runs(plant: Plant, tmp_path: Path, source: str) -> None:
    """No identifier and no string literal of src/core contains a word for a kind of run."""
    plant("src/core/leak.py", source)

    assert len(gates.core_words(tmp_path)) == 1


def test_core_may_explain_itself_in_docstrings_and_comments(plant: Plant, tmp_path: Path) -> None:
    """The word list spares docstrings, comments, and everything outside src/core."""
    plant(
        "src/core/clock.py", '"""Also in a backtest."""\n\n\ndef f():\n    """Replayed."""\n    return 1  # simulated\n'
    )
    plant("src/backtesting/engine.py", "mode = 'backtest'\n")

    assert gates.core_words(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("src/core/clock.py", "import time\n"),
        ("src/core/sync.py", "import random\n"),
        ("src/core/rng.py", "from threading import Lock\n"),
        ("src/cli/app.py", "import uuid as ids\n"),
        ("src/research/pool.py", "from concurrent.futures import ThreadPoolExecutor\n"),
        ("main.py", "def f():\n    import multiprocessing\n"),
        ("src/core/order.py", "rows = sorted(rows, key=id)\n"),
        ("src/core/order.py", "rows.sort(key=hash)\n"),
    ],
)
def test_nondeterminism_enters_through_its_seam_only(plant: Plant, tmp_path: Path, path: str, source: str) -> None:
    """Each source of nondeterminism has one file that may import it, and no order comes from id or hash."""
    plant(path, source)

    assert [finding.split(":")[0] for finding in gates.seams(tmp_path)] == [path]


def test_a_seam_may_import_what_it_is_the_seam_for(plant: Plant, tmp_path: Path) -> None:
    """The two seams import their modules, and tests and tools may import any."""
    plant("src/core/sync.py", "import threading\nimport time\n")
    plant("src/core/rng.py", "import random\n")
    plant("tests/test_a.py", "import threading\n")

    assert gates.seams(tmp_path) == []


@pytest.mark.parametrize(
    ("docstring", "complaint"),
    [
        ("", "has no docstring"),
        ('    """Two rules. In one test."""\n', "more than one sentence"),
        ('    """One rule.\n\n    And a story.\n    """\n', "more than one sentence"),
        ('    """No full stop"""\n', "does not end like a sentence"),
    ],
)
def test_a_test_without_a_one_sentence_docstring_is_refused(
    plant: Plant, tmp_path: Path, docstring: str, complaint: str
) -> None:
    """Every test function states its rule in exactly one sentence."""
    plant("tests/core/test_a.py", f"def test_it():\n{docstring}    assert f()\n")

    (found,) = gates.test_docstrings(tmp_path)

    assert found.startswith("tests/core/test_a.py:1: test_it ")
    assert complaint in found


def test_one_sentence_may_run_over_two_lines(plant: Plant, tmp_path: Path) -> None:
    """A sentence with a line break or a decimal point in it is still one."""
    plant("tests/test_a.py", 'def test_it():\n    """A rule of 0.5 s,\n    e.g. This one.\n    """\n    assert f()\n')

    assert gates.test_docstrings(tmp_path) == []


@pytest.mark.parametrize(
    "source", ["import time\ntime.sleep(1)\n", "import time as t\nt.sleep(1)\n", "from time import sleep as s\ns(1)\n"]
)
def test_a_sleeping_test_is_refused(plant: Plant, tmp_path: Path, source: str) -> None:
    """No test waits in real time, under whatever name it imports the function."""
    plant("tests/test_a.py", source)

    assert len(gates.test_sleeps(tmp_path)) == 1


def test_virtual_sleep_and_the_delay_helper_are_allowed(plant: Plant, tmp_path: Path) -> None:
    """A clock's own sleep is no real delay, and real delays on purpose live in one helper."""
    plant("tests/test_a.py", "clock.sleep(5)\n")
    plant("tests/delays.py", "import time\ntime.sleep(0.001)\n")

    assert gates.test_sleeps(tmp_path) == []


@pytest.mark.parametrize(
    "directive",
    ["type: ignore", "type: ignore[arg-type]", "noqa", "noqa: E501", "noqa: E501, F401", "pragma: no cover"],
)
def test_an_ignore_needs_its_reason_on_the_line(plant: Plant, tmp_path: Path, directive: str) -> None:
    """A comment that silences a check says why beside it."""
    plant("src/a.py", f"x = f()  # {directive}\n")
    plant("src/b.py", f"x = f()  # {directive} - the stubs are wrong about f\n")
    plant("src/c.py", f"text = 'x  # {directive}'\n")

    assert [finding.split(":")[0] for finding in gates.ignore_reasons(tmp_path)] == ["src/a.py"]


@pytest.mark.parametrize(
    "line",
    [
        "path = '" + "/ho" + "me/somebody/x'",
        "see " + "/op" + "t/tool/bin",
        "C:" + "\\Users\\somebody",
        "https://py" + "pi.org/project/x",
        "pip install --index" + "-url x",
        "--find" + "-links=wheels",
        "https://mirror.example" + "/simple/",
    ],
)
def test_paths_of_a_machine_and_package_indexes_are_refused(plant: Plant, tmp_path: Path, line: str) -> None:
    """No file names a folder of somebody's machine or a place that packages come from."""
    plant("README.md", f"first line\n{line}\n")

    (found,) = gates.paths_and_hosts(tmp_path)

    assert found.startswith("README.md:2: ")


def test_relative_paths_and_other_addresses_are_allowed(plant: Plant, tmp_path: Path) -> None:
    """Relative paths, routes of an address and divisions are not taken for a machine's folders."""
    plant("README.md", "../shared/data/x src/data/y https://example.org/data/z a/tmp/b\n#!/usr/bin/env bash\n")

    assert gates.paths_and_hosts(tmp_path) == []


def test_a_big_file_is_refused(plant: Plant, tmp_path: Path) -> None:
    """A tracked file has at most 500,000 bytes."""
    plant("docs/small.txt", "x" * 500_000)
    plant("docs/big.txt", "x" * 500_001)

    assert [finding.split(":")[0] for finding in gates.big_files(tmp_path)] == ["docs/big.txt"]


def test_ignored_files_are_no_part_of_a_git_tree(plant: Plant, tmp_path: Path) -> None:
    """In a git tree the gates read what is tracked or new, and nothing that is ignored."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    plant(".gitignore", "runs/\n")
    plant("runs/big.txt", "x")
    plant("new.txt", "x")

    assert [path.as_posix() for path in tracked_files(tmp_path)] == [".gitignore", "new.txt"]
