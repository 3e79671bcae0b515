"""Memory and time against the number of bars: `python benchmarks/scaling.py --json`.

W1 with 50,000 and with 500,000 bars, each in a process of its own, several rounds in turn. `bytes_per_bar` is the
difference of the peaks over the difference of the bars, `time_ratio` the median over the rounds of the larger run's
seconds over the smaller one's.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

RUN = Path(__file__).resolve().parent / "run.py"
FEW, MANY = 50_000, 500_000


def row(bars: int, runtime: str) -> dict[str, Any]:
    """One run of W1 with so many bars."""
    command = [sys.executable, str(RUN), "W1", "--bars", str(bars), "--runtime", runtime, "--json"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    values: dict[str, Any] = json.loads(out)
    return values


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", choices=("threads", "fibers"), default="threads")
    parser.add_argument("--json", action="store_true", help="the only format")
    given = parser.parse_args()
    pairs = [(row(FEW, given.runtime), row(MANY, given.runtime)) for _ in range(given.rounds)]
    peak = statistics.median((many["peak_rss_mb"] - few["peak_rss_mb"]) * 2**20 for few, many in pairs)
    ratio = statistics.median(many["seconds"] / few["seconds"] for few, many in pairs)
    print(
        json.dumps(
            {
                "bytes_per_bar": round(peak / (MANY - FEW), 1),
                "time_ratio": round(ratio, 2),
                "bars_ratio": MANY / FEW,
                "rounds": given.rounds,
                "rows": [row for pair in pairs for row in pair],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
