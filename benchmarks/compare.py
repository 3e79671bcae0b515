"""Speed against other programs on this machine: `python benchmarks/compare.py --rounds 3`.

Runs W1 of `benchmarks/run.py` in turn with backtesting.py, and W2 in turn with backtrader, each in a new process and
never two at once, and prints one JSON object: the median over the rounds of our bars a second over theirs, and every
figure it is made of. Each round is one pair of neighbouring runs, so a machine that slows down slows both.

A ratio between programs that did different work says nothing: where entries or final equity differ, within a pair or
from the documented result, it says so and exits with 1. Progress goes to the standard error. One thread; real time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.workloads import BENCH_FOLDER, WORKLOADS, make_bench_folder, prepare  # noqa: E402 - started as a program

RUN = ROOT / "benchmarks" / "run.py"
# Two values that agree to the sixth decimal may still be printed one unit apart.
EQUITY_TOLERANCE = 1.5e-6

Row = dict[str, Any]


class ComparisonFailed(RuntimeError):
    """A program did not run, or two programs did not do the same work; the sentence says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One comparison: a workload, and the program that runs it in turn with ours.

    Attributes:
        key: name of the ratio in the report.
        workload: W1 or W2.
        peer: name of the peer, and of its environment.
        script: its program in `benchmarks/peers/`.
        requirements: what its environment holds; pinned, since a figure belongs to a version.
    """

    key: str
    workload: str
    peer: str
    script: str
    requirements: tuple[str, ...]


PAIRS = (
    Pair(
        key="w1_over_backtesting",
        workload="W1",
        peer="backtesting",
        script="backtesting_py.py",
        requirements=("backtesting==0.6.6", "numpy>=2,<3", "pandas>=3,<4"),
    ),
    Pair(
        key="w2_over_backtrader",
        workload="W2",
        peer="backtrader",
        script="backtrader_peer.py",
        requirements=("backtrader==1.9.78.123", "numpy>=2,<3"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the report; return the exit code: 0, or 1 where there is no valid comparison."""
    options = parse_arguments(arguments)
    pairs = [pair for pair in PAIRS if pair.workload in options.workloads]
    try:
        prepare()
        pythons = {pair.key: interpreter(pair, getattr(options, f"{pair.peer}_python")) for pair in pairs}
        rows = {pair.key: measure(pair, pythons[pair.key], options) for pair in pairs}
    except (ComparisonFailed, subprocess.CalledProcessError) as failure:
        say(str(failure))
        return 1
    print(json.dumps(report(rows, rounds=options.rounds, runtime=options.runtime), indent=2))
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure this engine in turn with other programs.")
    parser.add_argument("workloads", nargs="*", metavar="W1|W2", help="which to compare; both by default")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each workload (default: 3)")
    parser.add_argument("--runtime", choices=("threads", "fibers"), default="threads", help="of our runs")
    parser.add_argument("--bars", type=int, help="fewer bars of each symbol, to try the comparison out")
    for pair in PAIRS:
        parser.add_argument(
            f"--{pair.peer}-python",
            metavar="PYTHON",
            help=f"interpreter with {pair.requirements[0]}; by default an environment made in {BENCH_FOLDER.name}/",
        )
    options = parser.parse_args(arguments)
    options.workloads = [name.upper() for name in options.workloads] or sorted(WORKLOADS)
    unknown = sorted(set(options.workloads) - set(WORKLOADS))
    if unknown:
        parser.error(f"expected W1 or W2, found {', '.join(unknown)}")
    if options.rounds < 1:
        parser.error(f"expected at least one round, found {options.rounds}")
    return options


def interpreter(pair: Pair, given: str | None) -> str:
    """Return the Python that runs the peer: the one given, else that of an environment made for it when first needed.

    Raises:
        ComparisonFailed: What was given is no program.
        subprocess.CalledProcessError: The environment could not be made; what is there of it is removed.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise ComparisonFailed(f"Expected a Python with {pair.requirements[0]}, found no program {given}.")
        # Absolute, because the runs have another working folder; not resolved, because a link is what makes it a venv.
        return os.path.abspath(found)
    home = make_bench_folder() / "peers" / pair.peer
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # Written last, so an environment that was interrupted, or holds other versions, is made again.
    receipt = home / "requirements.txt"
    wanted = "".join(f"{line}\n" for line in pair.requirements)
    if receipt.is_file() and receipt.read_text(encoding="utf-8") == wanted:
        return str(python)
    say(f"making an environment with {' '.join(pair.requirements)}")
    shutil.rmtree(home, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pair.requirements]
        subprocess.run(install, check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(home, ignore_errors=True)
        raise
    receipt.write_text(wanted, encoding="utf-8")
    return str(python)


def measure(pair: Pair, python: str, options: argparse.Namespace) -> list[tuple[Row, Row]]:
    """Run one pair for all rounds: ours, theirs, ours, theirs; return the two rows of each round.

    Raises:
        ComparisonFailed: A program did not run, or the results differ.
    """
    fewer = ["--bars", str(options.bars)] if options.bars else []
    ours = [sys.executable, str(RUN), pair.workload, "--runtime", options.runtime, "--json", *fewer]
    theirs = [python, str(ROOT / "benchmarks" / "peers" / pair.script), pair.workload, *fewer]
    rounds = []
    for number in range(1, options.rounds + 1):
        rows = (run_one(ours), run_one(theirs))
        check_same_work(pair.workload, rows, whole=not options.bars)
        rounds.append(rows)
        mine, other = rows
        say(
            f"{pair.workload} round {number}: {mine['bars_per_s']:,.0f} bars/s, "
            f"{pair.peer} {other['bars_per_s']:,.0f}, ratio {ratio(rows):.3f}"
        )
    return rounds


def run_one(command: list[str]) -> Row:
    """Run one program to its end and return the JSON object that it prints.

    Raises:
        ComparisonFailed: It could not be started, failed, or printed no such object.
    """
    shown = " ".join(Path(part).name for part in command)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    except OSError as error:
        raise ComparisonFailed(f"Expected to start {shown}, found: {error}.") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or len(lines) != 1:
        raise ComparisonFailed(
            f"Expected one JSON object from {shown}, found {len(lines)} and exit code {done.returncode}:\n"
            f"{done.stderr.strip()[-2000:]}"
        )
    row: Row = json.loads(lines[0])
    return row


def check_same_work(workload: str, rows: Sequence[Row], *, whole: bool) -> None:
    """See that all rows have the same entries and final equity, and for whole workloads the documented ones.

    Raises:
        ComparisonFailed: They differ.
    """
    expected = WORKLOADS[workload]
    trades, equity = rows[0]["trades"], rows[0]["final_equity"]
    if whole:
        trades, equity = expected.entries, expected.final_equity
    for row in rows:
        if row["trades"] != trades or abs(row["final_equity"] - equity) > EQUITY_TOLERANCE:
            raise ComparisonFailed(
                f"Expected {trades:,} entries and a final equity of {equity:,.6f} in {workload}, "
                f"found {row['trades']:,} and {row['final_equity']:,.6f} from {row.get('peer', 'benchmarks/run.py')}: "
                "the programs did not do the same work."
            )


def ratio(rows: tuple[Row, Row]) -> float:
    """Our bars a second over theirs."""
    ours, theirs = rows
    return float(ours["bars_per_s"]) / float(theirs["bars_per_s"])


def report(rows: dict[str, list[tuple[Row, Row]]], *, rounds: int, runtime: str) -> Row:
    """Return the report: the median ratios by key, and under `figures` the ratios and rows of all rounds."""
    medians = {key: round(statistics.median(map(ratio, pairs)), 3) for key, pairs in rows.items()}
    figures = {
        key: {
            "ratios": [round(ratio(pair), 3) for pair in pairs],
            "ours": [ours for ours, _ in pairs],
            "theirs": [theirs for _, theirs in pairs],
        }
        for key, pairs in rows.items()
    }
    return {**medians, "rounds": rounds, "runtime": runtime, "figures": figures}


def say(text: str) -> None:
    """Tell the reader how far it is; the standard output is the report's."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
