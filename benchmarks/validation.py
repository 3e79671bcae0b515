"""What judging 13,000 candidates costs: `python benchmarks/validation.py [cheap] [scale] [memory] [resume] --json`.

The candidates are those of the product's generator: eight years with about 50 trades a year, one in a hundred with an
edge of 0.6 R, a discovery cut-off after four years, dormant years waived.

**cheap**: the cheap phases of all candidates in this process, `phases_seconds` without the generator and without
reading; it has to stay below 10 s.

**scale**: `main.py walkforward` with one worker and with several. Results have to be the same, byte by byte.
`cheap_seconds` is what the product says of its cheap phases, reading of the trades included, `whole_seconds` what it
says of its walk-forward, with one worker and with several. Then the walk-forward by itself in turn, see `judging.py`:
`speed_up` is the median over the rounds of the seconds with one over those with several, starting of the processes not
included, since they start during the cheap phases; it has to reach 1.8 with two.

**memory**: the peak memory of the parent with a tenth of the candidates, with all, and with three times as many:
`parent_mb`, and `growth_bytes`, what each candidate more adds from the first to the second and from there to the third.
Flat means that `growth`, by what share the peak with three times as many lies above that with a tenth, is below 0.1:
thirty times the candidates, and not a tenth more. What the libraries take that every validation loads counts in both.

**resume**: killed when half of the walk-forward is on the disk, then run with `--resume`: files equal byte by byte, and
the database of verdicts row by row, to those of a validation that nobody has disturbed; and running that one again
changes no byte.

Everything is made in an ignored folder. Prints one JSON object; progress goes to the standard error. The exit code is 1
where a bound is broken, unless fewer candidates or workers were asked for. Real time, so let nothing else run.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import workloads  # noqa: E402 - the path has to be set first
from benchmarks.compare import ComparisonFailed, say  # noqa: E402 - as above
from benchmarks.judging import judged_rounds  # noqa: E402 - as above
from src.research.validation.phases import cheap_phases  # noqa: E402 - as above
from src.research.validation.ports import Status  # noqa: E402 - as above
from src.research.validation.section import ValidationSection  # noqa: E402 - as above
from src.research.validation.setup import read_validation  # noqa: E402 - as above
from src.research.validation.sources.generated import GeneratedSource  # noqa: E402 - as above

Row = dict[str, Any]

CANDIDATES, YEARS, SEED = 13_000, 8, 7
CHEAP_BOUND_S, SPEED_UP_BOUND, GROWTH_BOUND = 10.0, 1.8, 0.1
#: What a validation leaves beside what it has come to: its lock, and the trades of one that is not complete.
PASSING = (".lock", "trades.duckdb", "trades.duckdb.wal")
AT_ONCE = 500

CONFIG = """\
name: {name}
candidates:
  source: generated
  generated: {{candidates: {candidates}, planted: {planted}, years: {years}, edge: 0.6, seed: {seed}}}
runs: {runs}
discovery_cutoff: "2020-01-01"
phases: {{years: {{dormant: {{atr_below: 0.5}}}}}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report; the exit code: 0, or 1 where a bound is broken or there is no valid figure."""
    options = parse_arguments(arguments)
    report: Row = {"candidates": options.candidates, "cores": len(os.sched_getaffinity(0))}
    try:
        for part, measure in PARTS.items():
            if part in options.parts:
                report[part] = measure(options)
    except (ComparisonFailed, subprocess.CalledProcessError) as failure:
        say(str(failure))
        return 1
    print(json.dumps(report, indent=2))
    return 0 if holds(report) else 1


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure the validation of many candidates.")
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="what to measure; all by default")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help=f"how many (default: {CANDIDATES})")
    parser.add_argument("--workers", type=int, default=2, help="processes to be compared with one (default: 2)")
    parser.add_argument("--rounds", type=int, default=15, help="of the walk-forward (default: 15)")
    parser.add_argument("--json", action="store_true", help="the only format")
    options = parser.parse_args(arguments)
    options.parts = options.parts or list(PARTS)
    if set(options.parts) - set(PARTS):
        parser.error(f"expected {', '.join(PARTS)}, found {', '.join(options.parts)}")
    return options


def holds(report: Row) -> bool:
    """Whether the bounds hold; those of time only for the full work on enough cores."""
    whole = report["candidates"] >= CANDIDATES
    cheap, scale = report.get("cheap"), report.get("scale")
    if cheap is not None and whole and cheap["phases_seconds"] >= CHEAP_BOUND_S:
        return False
    if whole and report.get("memory", {"growth": 0})["growth"] >= GROWTH_BOUND:
        return False
    if scale is not None and whole and scale["workers"] == 2 <= report["cores"]:
        return bool(scale["speed_up"] >= SPEED_UP_BOUND and scale["cheap_seconds"] < CHEAP_BOUND_S)
    return True


def config_of(folder: Path, name: str, candidates: int, runs: str) -> Path:
    """Write the configuration of a validation into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{runs}.yaml"
    text = CONFIG.format(
        name=name, candidates=candidates, planted=max(1, candidates // 100), years=YEARS, seed=SEED, runs=runs
    )
    path.write_text(text, encoding="utf-8")
    return path


# -- the cheap phases ------------------------------------------------------------------------------


def measure_cheap(options: argparse.Namespace) -> Row:
    """The cheap phases alone, over candidates that are drawn some at a time."""
    section = ValidationSection.model_validate(
        {
            "candidates": {
                "source": "generated",
                "generated": {"candidates": options.candidates, "planted": 1, "years": YEARS, "seed": SEED},
            },
            "phases": {"years": {"dormant": {"atr_below": 0.5}}},
        }
    )
    assert section.candidates is not None
    source = GeneratedSource(section.candidates.generated)
    drawing = phases = 0.0
    survivors = trades = 0
    stream = source.trades()
    while True:
        began = time.perf_counter()
        some = list(islice(stream, AT_ONCE))
        drawn = time.perf_counter()
        drawing += drawn - began
        if not some:
            break
        for _, each in some:
            told = cheap_phases(each, section.phases, source.period, waivers=True)
            survivors += all(result.status is Status.PASS for result in told)
        phases += time.perf_counter() - drawn
        trades += sum(len(each) for _, each in some)
    say(f"cheap phases of {options.candidates:,} candidates: {phases:.2f} s")
    return {
        "phases_seconds": round(phases, 3), "generator_seconds": round(drawing, 3), "survivors": survivors,
        "trades": trades,
    }  # fmt: skip


# -- workers ---------------------------------------------------------------------------------------


def measure_scale(options: argparse.Namespace) -> Row:
    """One worker in turn with several.

    Raises:
        ComparisonFailed: A validation did not complete, or the results differ.
    """
    folder = workloads.make_bench_folder() / "validation"
    one = validate(folder, options.candidates, "runs-1", workers=1)
    many = validate(folder, options.candidates, "runs-n", workers=options.workers)
    check_same(folder / "runs-1", folder / "runs-n")
    judged = [json.loads(line)["judged"] for line in judged_lines(folder / "runs-n")]
    setup = read_validation(config_of(folder, "bench", options.candidates, "runs-n"), [])
    rounds = judged_rounds(
        setup, folder / "judging", [(each["number"], each["id"]) for each in judged], options.rounds, options.workers,
        lambda number, alone, beside: say(f"scale round {number}: {alone / beside:.3f}, of {alone:.2f} s"),
    )  # fmt: skip
    ratios = [alone / beside for alone, beside in rounds]
    return {
        "workers": options.workers,
        "speed_up": round(statistics.median(ratios), 3),
        "ratios": [round(each, 3) for each in ratios],
        "seconds": [[round(each, 3) for each in pair] for pair in rounds],
        "whole_seconds": [round(each["timing"]["walkforward_seconds"], 3) for each in (one, many)],
        "cheap_seconds": round(max(each["timing"]["cheap_seconds"] for each in (one, many)), 3),
        "judged": len(judged),
    }


def measure_memory(options: argparse.Namespace) -> Row:
    """The parent alone, whose memory must not grow with what it has seen.

    Raises:
        ComparisonFailed: A validation did not complete.
    """
    folder = workloads.make_bench_folder() / "validation"
    counts = [max(1, options.candidates // 10), options.candidates, 3 * options.candidates]
    peaks = []
    for count in counts:
        peaks.append(validate(folder, count, "runs-memory", workers=options.workers)["peak"])
        say(f"memory of the parent with {count:,} candidates: {peaks[-1] / 2**20:.0f} MB")
    return {
        "candidates": counts,
        "parent_mb": [round(each / 2**20, 1) for each in peaks],
        "growth_bytes": [
            round((peaks[place + 1] - peaks[place]) / max(1, counts[place + 1] - counts[place])) for place in (0, 1)
        ],
        "growth": round(peaks[-1] / peaks[0] - 1, 4),
    }


def command_of(folder: Path, candidates: int, runs: str, workers: int, *more: str) -> list[str]:
    """What starts a validation whose results are put into `runs` of the folder."""
    config = config_of(folder, "bench", candidates, runs)
    return [sys.executable, str(ROOT / "main.py"), "walkforward", str(config), "--workers", str(workers), *more]


def validate(folder: Path, candidates: int, runs: str, *more: str, workers: int, anew: bool = True) -> Row:
    """Run a validation and return what `--json` prints of it, and its parent's peak memory in bytes as `peak`.

    Raises:
        ComparisonFailed: It did not complete.
    """
    if anew:
        shutil.rmtree(folder / runs, ignore_errors=True)
    told, problems = folder / f"{runs}.out", folder / f"{runs}.err"
    command = command_of(folder, candidates, runs, workers, "--json", *more)
    with told.open("wb") as out, problems.open("wb") as err:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.05)
    lines = [line for line in told.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    if process.returncode != 0 or len(lines) != 1:
        raise ComparisonFailed(
            f"Expected one JSON object from {' '.join(command[1:])}, found {len(lines)} and exit code "
            f"{process.returncode}:\n{problems.read_text(encoding='utf-8').strip()[-2000:]}"
        )
    row: Row = json.loads(lines[0])
    return {**row, "peak": peak}


def memory_of(pid: int) -> int:
    """The most that a process has held so far, in bytes, where the system tells that, else what it holds; 0 of none."""
    try:
        told = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        most = next((line for line in told.splitlines() if line.startswith("VmHWM:")), None)
        return int(most.split()[1]) * 1024 if most else int(psutil.Process(pid).memory_info().rss)
    except (OSError, psutil.Error):
        return 0


# -- what came of it -------------------------------------------------------------------------------


def validation_folder(runs: Path) -> Path | None:
    """The folder of the one validation in a folder of runs; None before there is one."""
    found = sorted(path for path in (runs / "validations").glob("*") if path.is_dir())
    if len(found) > 1:
        raise ComparisonFailed(f"Expected one validation in {runs}, found {len(found)}.")
    return found[0] if found else None


def judged_lines(runs: Path) -> list[bytes]:
    """The whole lines of candidates that were judged so far."""
    folder = validation_folder(runs)
    path = None if folder is None else folder / "records.jsonl"
    if path is None or not path.is_file():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n")]


def contents(runs: Path) -> Row:
    """What a validation has left: the hash of each file of its folder, and of the rows of each table of verdicts."""
    folder = validation_folder(runs)
    if folder is None:
        raise ComparisonFailed(f"Expected a validation in {runs}, found none.")
    told: Row = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in PASSING
    }
    with duckdb.connect(str(runs / "validation.duckdb"), read_only=True) as connection:
        tables = [str(name) for (name,) in connection.execute("show tables").fetchall()]
        for table in sorted(tables):
            rows = connection.execute(f'select * from "{table}" order by all').fetchall()
            told[f"table {table}"] = [len(rows), hashlib.sha256(repr(rows).encode()).hexdigest()]
    return told


def check_same(one: Path, other: Path) -> Row:
    """See that two validations have come to the same, and return what.

    Raises:
        ComparisonFailed: They have not.
    """
    first, second = contents(one), contents(other)
    differing = [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
    if differing:
        raise ComparisonFailed(
            f"Expected the same results in {one.name} and {other.name}, found {len(differing)} that differ, the first "
            f"one {differing[0]}: {first.get(differing[0])} and {second.get(differing[0])}."
        )
    return first


# -- killed and resumed ----------------------------------------------------------------------------


def measure_resume(options: argparse.Namespace) -> Row:
    """Kill a validation half way through its walk-forward, resume it, and compare.

    Raises:
        ComparisonFailed: The results differ, or it ended before it could be killed.
    """
    folder = workloads.make_bench_folder() / "validation"
    validate(folder, options.candidates, "runs-whole", workers=options.workers)
    whole = len(judged_lines(folder / "runs-whole"))
    database = folder / "runs-whole" / "validation.duckdb"
    before = (hashlib.sha256(database.read_bytes()).hexdigest(), contents(folder / "runs-whole"))
    validate(folder, options.candidates, "runs-whole", workers=options.workers, anew=False)
    if (hashlib.sha256(database.read_bytes()).hexdigest(), contents(folder / "runs-whole")) != before:
        raise ComparisonFailed("Expected a second identical validation to change no byte, found that it did.")
    shutil.rmtree(folder / "runs-killed", ignore_errors=True)
    killed_at = kill_half_way(folder, options, whole)
    validate(folder, options.candidates, "runs-killed", "--resume", workers=options.workers, anew=False)
    told = check_same(folder / "runs-whole", folder / "runs-killed")
    say(f"killed after {killed_at} of {whole} candidates and resumed: identical")
    return {"judged": whole, "killed_at": killed_at, "identical": True, "repeat_identical": True, "compared": len(told)}


def kill_half_way(folder: Path, options: argparse.Namespace, whole: int) -> int:
    """Start a validation and kill all its processes when half of its candidates are judged; how many were."""
    command = command_of(folder, options.candidates, "runs-killed", options.workers, "--json")
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in waiting(process):
            if len(judged_lines(folder / "runs-killed")) * 2 >= whole:
                break
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    found = len(judged_lines(folder / "runs-killed"))
    if not whole <= found * 2 < whole * 2:
        raise ComparisonFailed(f"Expected to kill it between half of {whole} candidates and all, found {found} judged.")
    return found


def waiting(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Every few milliseconds while a process runs."""
    while process.poll() is None:
        yield
        time.sleep(0.005)


PARTS = {"cheap": measure_cheap, "scale": measure_scale, "memory": measure_memory, "resume": measure_resume}


if __name__ == "__main__":
    sys.exit(main())
