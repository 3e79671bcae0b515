"""The command itself: one line per gate, the details of what is wrong, and an exit code that says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import check, gates


def test_a_gate_that_holds_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A gate without findings prints its name after an ok."""
    held = check.report(check.Gate(name="sizes", run=list))

    assert held
    assert capsys.readouterr().out.split()[:2] == ["ok", "sizes"]


def test_a_gate_that_fails_prints_its_findings(capsys: pytest.CaptureFixture[str]) -> None:
    """A gate with findings prints FAIL, its name, and each finding on a line of its own."""
    held = check.report(check.Gate(name="sizes", run=lambda: ["a.py: too long", "b.py: too long"]))

    lines = capsys.readouterr().out.splitlines()
    assert not held
    assert lines[0].split()[:2] == ["FAIL", "sizes"]
    assert [line.strip() for line in lines[1:]] == ["a.py: too long", "b.py: too long"]


def test_a_file_that_is_not_python_fails_its_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that cannot parse a file fails with the file's name instead of ending the command."""
    (tmp_path / "broken.py").write_text("def (:\n", encoding="utf-8")

    held = check.report(check.Gate(name="lengths", run=lambda: gates.function_lengths(tmp_path)))

    assert not held
    assert "broken.py" in capsys.readouterr().out


def test_a_failing_tool_shows_its_output(tmp_path: Path) -> None:
    """What a checker printed becomes the finding, and a silent failure is still one."""
    assert check.tool(tmp_path, "-c", "print('bad line'); raise SystemExit(3)") == ["bad line"]
    assert check.tool(tmp_path, "-c", "raise SystemExit(3)") == ["exit code 3 without a word"]
    assert check.tool(tmp_path, "-c", "print('all well')") == []


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_is_one_when_any_gate_fails(monkeypatch: pytest.MonkeyPatch, holds: bool, code: int) -> None:
    """The command ends with 0 when all gates hold and with 1 otherwise."""
    found = [] if holds else ["wrong"]
    chosen = [check.Gate(name="first", run=lambda: found), check.Gate(name="second", run=list)]
    monkeypatch.setattr(check, "all_gates", lambda options, root: chosen)

    assert check.main(["--no-tests"]) == code


def test_the_options_choose_the_gates(tmp_path: Path) -> None:
    """Tests run unless they are declined, and pyright only when it is asked for."""
    names = {
        arguments: {gate.name for gate in check.all_gates(check.parse_arguments(arguments.split()), tmp_path)}
        for arguments in ("", "--no-tests", "--pyright --fast")
    }

    assert names[""] - names["--no-tests"] == {"pytest"}
    assert names["--pyright --fast"] - names[""] == {"pyright"}


@pytest.mark.parametrize(("imports", "code"), [("import src.brokers.b", 1), ("import src.core.a", 0)])
def test_the_layers_refuse_an_import_between_siblings(
    tmp_path: Path, pytestconfig: pytest.Config, imports: str, code: int
) -> None:
    """A strategy may import core and may not import a broker, its sibling."""
    for name in ("core/a", "brokers/b", "strategies/s"):
        path = tmp_path / "src" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text("", encoding="utf-8")
        (path.parent / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "src" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "src" / "strategies" / "s.py").write_text(imports + "\n", encoding="utf-8")
    settings = (pytestconfig.rootpath / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")

    found = check.tool(tmp_path, "-c", check.LAYERS, "--no-cache")

    assert bool(found) == bool(code)
    assert code == 0 or any("src.strategies.s" in line for line in found)


@pytest.mark.parametrize(
    ("path", "source", "rule"),
    [
        ("src/core/clock.py", "import time\n", "TID251"),
        ("src/core/clock.py", "from . import errors\n", "TID252"),
        ("src/core/clock.py", "print(1)\n", "T201"),
        ("src/core/clock.py", "import datetime\n\nx = datetime.datetime.now(datetime.UTC)\n", "TID251"),
        ("src/core/clock.py", "import datetime\n\nx = datetime.datetime(2024, 1, 1)\n", "DTZ001"),
        ("src/core/clock.py", "x = f()  # type: ignore\n", "PGH003"),
    ],
)
def test_the_linter_refuses_what_the_conventions_forbid(
    pytestconfig: pytest.Config, path: str, source: str, rule: str
) -> None:
    """Clocks, relative imports, printing, naive stamps and blanket ignores are lint errors under src."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "--stdin-filename", path]

    done = subprocess.run(
        [*command, "-"], cwd=pytestconfig.rootpath, input=source, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert rule in done.stdout
