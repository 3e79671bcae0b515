"""One command for everything: `python tools/check.py` runs lint, types, layers, the rules of the house, and the tests.

Prints one line per gate and, below it, what is wrong; exits with 1 if anything failed. `--fast` leaves out slow tests,
`--no-tests` all of them, `--pyright` adds a second type checker. Runs in one thread; the real time it prints is for
the reader only.
"""

import argparse
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import gates  # noqa: E402 - started as a program, Python puts tools/ on the path and not the root

LAYERS = "from importlinter.cli import lint_imports_command as run; run()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One line of the report: a name and a function that returns what is wrong (nothing, if all is well)."""

    name: str
    run: Callable[[], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    fast: bool
    tests: bool
    pyright: bool


def main(arguments: list[str] | None = None) -> int:
    """Run all gates, print the report, return the exit code: 0 if all hold, else 1."""
    # A console with a narrow encoding must not turn a finding into a crash.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    options = parse_arguments(arguments)
    failed = [gate.name for gate in all_gates(options, ROOT) if not report(gate)]
    for note in gates.file_size_notes(ROOT):
        print(f"note  {note}")
    print(f"FAILED: {', '.join(failed)}" if failed else "all gates hold")
    return 1 if failed else 0


def parse_arguments(arguments: list[str] | None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check everything: lint, types, layers, the house rules, tests.")
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("--no-tests", action="store_true", help="run the gates only")
    parser.add_argument("--pyright", action="store_true", help="run pyright too (downloads it at its first use)")
    parsed = parser.parse_args(arguments)
    return Options(fast=parsed.fast, tests=not parsed.no_tests, pyright=parsed.pyright)


def all_gates(options: Options, root: Path) -> list[Gate]:
    """Return the gates in the order in which they run: the quick ones first, the tests last."""
    chosen = [
        Gate(name="ruff check", run=lambda: tool(root, "-m", "ruff", "check", "--quiet", "--output-format=concise")),
        Gate(name="ruff format", run=lambda: tool(root, "-m", "ruff", "format", "--check", ".")),
        Gate(name="file sizes", run=lambda: gates.file_sizes(root)),
        Gate(name="function lengths", run=lambda: gates.function_lengths(root)),
        Gate(name="words in src/core", run=lambda: gates.core_words(root)),
        Gate(name="seams", run=lambda: gates.seams(root)),
        Gate(name="test docstrings", run=lambda: gates.test_docstrings(root)),
        Gate(name="no sleeping tests", run=lambda: gates.test_sleeps(root)),
        Gate(name="reasons for ignores", run=lambda: gates.ignore_reasons(root)),
        Gate(name="paths and hosts", run=lambda: gates.paths_and_hosts(root)),
        Gate(name="big files", run=lambda: gates.big_files(root)),
        Gate(name="import layers", run=lambda: tool(root, "-c", LAYERS, "--no-cache")),
        Gate(name="errors pickle", run=lambda: gates.errors_pickle(root)),
        Gate(name="mypy", run=lambda: tool(root, "-m", "mypy", "--no-error-summary", *typed_paths(root))),
    ]
    if options.pyright:
        chosen.append(Gate(name="pyright", run=lambda: tool(root, "-m", "pyright", "--pythonpath", sys.executable)))
    if options.tests:
        chosen.append(Gate(name="pytest", run=lambda: tests(root, fast=options.fast)))
    return chosen


def report(gate: Gate) -> bool:
    """Run one gate and print its line; say whether it holds. A gate that raises has failed."""
    begin = time.perf_counter()
    try:
        findings = gate.run()
    except (SyntaxError, OSError, subprocess.CalledProcessError) as error:
        findings = [f"{type(error).__name__}: {error}"]
    seconds = time.perf_counter() - begin
    print(f"{'FAIL' if findings else 'ok':<5} {gate.name:<22} {seconds:6.1f} s", flush=True)
    for finding in findings:
        print(f"      {finding}", flush=True)
    return not findings


def tool(root: Path, *arguments: str) -> list[str]:
    """Run a checker with this interpreter in the tree; return its output if it failed, else nothing."""
    # Without a colour and with a wide line the output reads the same in a terminal and in a log.
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return []
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines or [f"exit code {done.returncode} without a word"]


def typed_paths(root: Path) -> list[str]:
    """Return the parts of the tree that are under strict types, as far as they exist."""
    return [name for name in ("src", "main.py", "tools") if (root / name).exists()]


def tests(root: Path, *, fast: bool) -> list[str]:
    """Run the tests with their output shown as it comes; return a finding if they failed."""
    command = [sys.executable, "-m", "pytest", "-q"]
    if fast:
        command += ["-m", "not slow and not soak"]
    code = subprocess.run(command, cwd=root, check=False).returncode
    return [f"pytest ended with exit code {code}; see above"] if code else []


if __name__ == "__main__":
    raise SystemExit(main())
