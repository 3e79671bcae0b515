"""docs/python.md and the example notebook: every block and command is run in a clone, and every column has its row."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.backtesting import Run
from tests.documentation.pages import blocks, commands, text_of
from tests.end_to_end.command import ROOT, Ended, Told

pytestmark = pytest.mark.slow

PAGE = text_of("docs/python.md")
BLOCKS = [block.text for block in blocks("docs/python.md") if block.language == "python"]
COMMANDS = [line for block in blocks("docs/python.md") if not block.language for line in commands(block)]
NOTEBOOK = ROOT / "examples" / "backtest.ipynb"
TABLES = ("trades", "fills", "orders", "journal")
RUN_NOTEBOOK = """
import sys
import nbclient, nbformat
path = sys.argv[1]
book = nbformat.read(path, as_version=4)
nbclient.NotebookClient(book, timeout=450, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(book, path)
"""


def python(*words: str | Path, cwd: Path) -> Ended:
    """Python in a folder, as somebody who has installed Lockstep starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "IPYTHONDIR": str(cwd)}
    # Neither settings of who runs the tests, nor files beside them.
    environment |= {"JUPYTER_CONFIG_DIR": str(cwd), "JUPYTER_RUNTIME_DIR": str(cwd), "JUPYTER_DATA_DIR": str(cwd)}
    environment["JUPYTER_PLATFORM_DIRS"] = "1"
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=500,
        check=False,
    )  # fmt: skip
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def page(default_folder: Path) -> Ended:
    """The blocks of the page, run as one script in a clone."""
    pytest.importorskip("empyrical", reason="empyrical-reloaded is not installed")
    script = default_folder / "page.py"
    script.write_text("\n\n".join(BLOCKS), encoding="utf-8")
    return python(script, cwd=default_folder)


@pytest.fixture(scope="module")
def stored(page: Ended, default_folder: Path) -> Run:
    """The first run of the page."""
    found = re.search(r"^COMPLETED (\w{16}) (\w{16}) (\w+) True$", page.out, re.MULTILINE)
    assert found is not None, page.out + page.err
    assert found[1] == found[3]
    return Run(default_folder / "runs" / found[1])


def test_the_blocks_of_the_page_run_from_top_to_bottom(page: Ended, default_folder: Path) -> None:
    """Its assertions hold, it says what was wrong where it means to, and its picture is there."""
    assert page.code == 0, page.err
    assert "unknown key 'max_open_position'; did you mean 'max_open_positions'?" in page.out
    assert (default_folder / "equity.html").stat().st_size > 100_000


def test_the_class_of_the_page_is_kept_with_its_run(stored: Run) -> None:
    """Another run beside the first, with its text."""
    others = [Run(path.parent) for path in stored.folder.parent.glob("*/manifest.json") if path.parent != stored.folder]
    texts = [text for other in others for text in other.manifest.get("strategy_sources", {}).values()]

    assert any(text.startswith("class Pullback(BarStrategy):") for text in texts)


def test_each_command_of_the_page_writes_what_it_says(stored: Run, default_folder: Path, told: Told) -> None:
    """Run as they stand, but for the name of the run."""
    if not COMMANDS:
        pytest.fail("the page has no commands")
    pytest.importorskip("quantstats", reason="quantstats is not installed")
    for command in COMMANDS:
        words = [stored.run_id if word == "RUN" else word for word in shlex.split(command)[2:]]
        ended = told(*words, "--config", "configs/default.yaml", cwd=default_folder)
        assert ended.code == 0, ended.err

    assert {"trades.csv", "equity.csv"} <= {path.name for path in stored.folder.iterdir()}
    assert {path.name for path in (default_folder / "spreadsheets").iterdir()} == {
        f"{name}.csv" for name in (*TABLES, "equity", "returns")
    }
    sheet = (default_folder / "tearsheets" / "tearsheet.html").read_text(encoding="utf-8")
    assert f"{stored.run_id} (SYNTHETIC market)" in sheet
    assert not re.search(r"""(?:src|href)=["']https?://(?!quantstats\.io)""", sheet.partition("<body")[0])


@pytest.mark.parametrize("name", TABLES)
def test_each_column_has_its_row(name: str, stored: Run) -> None:
    """In a table of its own, each once and none besides."""
    section = PAGE.partition(f"### {name}\n")[2].partition("\n###")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    documented = [column for row in rows for column in re.findall(r"`(\w+)`", row[1])]

    assert sorted(documented) == sorted(getattr(stored, name).columns)
    for row in rows:
        for column in re.findall(r"`(\w+)`", row[1]):
            assert (row[2].strip() == "UTC") == (str(getattr(stored, name)[column].dtype) == "datetime64[ns, UTC]")


def test_the_example_notebook_is_kept_without_outputs() -> None:
    """What is shown comes from running it, and cannot be of another version."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]

    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_the_example_notebook_runs(default_folder: Path) -> None:
    """In a kernel of its own: the bar, the table with its label, trades, figures and the picture."""
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    folder = default_folder / "examples"
    folder.mkdir(exist_ok=True)
    copy = folder / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())

    ended = python("-c", RUN_NOTEBOOK, copy, folder, cwd=default_folder)

    assert ended.code == 0, ended.err
    outputs: dict[str, list[Any]] = {
        cell["id"]: cell.get("outputs", []) for cell in json.loads(copy.read_text(encoding="utf-8"))["cells"]
    }
    drawn = "".join("".join(part.get("text", "")) for part in outputs["run"])
    (table,) = [part["data"]["text/html"] for part in outputs["run"] if "data" in part]
    assert "2024-01-15 00:00: 100%" in drawn
    assert "SYNTHETIC" in "".join(table)
    assert "entry_at" in "".join(outputs["trades"][0]["data"]["text/html"])
    assert "application/vnd.plotly.v1+json" in outputs["plot"][0]["data"]
    assert outputs["again"][0]["data"]["text/plain"] == ["True"]
    kinds = [part["output_type"] for parts in outputs.values() for part in parts]
    assert "error" not in kinds
