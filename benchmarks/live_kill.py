"""What a kill does to a live bot: `python benchmarks/live_kill.py [--kills 200] [--seed 1] [--json]`.

A bot trades four symbols at the local venue and is killed with SIGKILL at seeded moments: at a request before the venue
acts, after it has acted and before it answers, between two requests, while it starts and while it goes on with its run,
often twice in a row. The venue's time stands from the kill until the next process has asked for it. In the end its
trades, positions, orders and stops at the venue and what it decided are compared with those of a bot that was left
alone, and the recording of all processes together is replayed. What is left out, on both sides, is counted: orders that
were written down and not sent, which are never sent again, and entries whose price was too old when the bot was back.
Never allowed: two entries for one signal, an order without a position, a position that has no stop for longer than
`live.protect_within` of the venue's time while one process lives, money that the trades do not explain, a key anywhere.

The exit code is 1 where anything differs. Progress goes to the standard error.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.compare import say  # noqa: E402 - the path has to be set first
from tests.live.live_bench import Nursery  # noqa: E402 - as above
from tests.live.live_kills import Story, compare, random_moments, run_story  # noqa: E402 - as above

#: Kills that are tried in one run, and the minutes for them.
KILLS, MINUTES = 14, 16
#: More of the venue's seconds for one of the machine, and bars pass while a process starts.
SPEED, ALONE_SPEED = 20.0, 30.0


def main() -> int:
    """Run it; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--json", action="store_true")
    said = parser.parse_args()
    counts: Counter[str] = Counter()
    given_up: Counter[str] = Counter()
    problems: list[str] = []
    figures = {"kills": 0, "runs": 0, "trades": 0, "records": 0, "naked_s": 0.0, "took_s": 0.0}
    with tempfile.TemporaryDirectory(prefix="live-kill-") as name, Nursery() as nursery:
        folder = Path(name)
        alone = run_story(folder / "alone", [], minutes=MINUTES, speed=ALONE_SPEED, nursery=nursery)
        problems += [f"alone: {each}" for each in alone.problems]
        seed = said.seed * 1000
        while figures["kills"] < said.kills:
            seed += 1
            moments = random_moments(seed, min(KILLS, said.kills - int(figures["kills"])))
            story = run_story(folder / str(seed), moments, minutes=MINUTES, speed=said.speed, nursery=nursery)
            found = [f"seed {seed}: {each}" for each in (*story.problems, *compare(story, alone))]
            problems += found
            _count(story, counts, given_up, figures)
            say(f"{figures['kills']} of {said.kills} kills, {story.took_s:.0f} s, {len(found)} problems")
            for each in found:
                say(f"  {each}")
    report = {
        **figures, "moments": dict(sorted(counts.items())), "given_up": dict(sorted(given_up.items())),
        "problems": problems,
    }  # fmt: skip
    print(json.dumps(report, indent=2) if said.json else _table(report))
    return 1 if problems else 0


def _count(story: Story, counts: Counter[str], given_up: Counter[str], figures: dict[str, Any]) -> None:
    before = None
    for kill in story.kills:
        counts[kill.name] += 1
        if before is not None and kill.at_ns - before < 20 * 10**9:
            counts["(of these: within 20 s of the one before)"] += 1
        before = kill.at_ns
    given_up.update(method for _, _, method, _ in story.lost)
    figures["kills"] += len(story.kills)
    figures["runs"] += 1
    figures["trades"] += len(story.venue.trades)
    figures["records"] += len(story.records)
    figures["naked_s"] = max(figures["naked_s"], story.venue.audit.naked_ns / 1e9)
    figures["took_s"] += story.took_s


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['kills']} kills in {report['runs']} runs, {report['took_s']:.0f} s, {report['trades']} trades"]
    lines += ["", "| moment | kills |", "| --- | ---: |"]
    lines += [f"| {name} | {count} |" for name, count in report["moments"].items()]
    lines += ["", "| given up | |", "| --- | ---: |"]
    lines += [f"| {name} | {count} |" for name, count in report["given_up"].items()]
    lines += ["", f"longest without a stop: {report['naked_s']:.1f} s of the venue's time"]
    lines += ["", f"problems: {len(report['problems'])}", *report["problems"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
