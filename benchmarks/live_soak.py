"""How a live bot fares over hours: `python benchmarks/live_soak.py [--minutes 300] [--speed 10] [--json]`.

Twenty symbols at the local venue, in a process of its own. On the way its prices stall for a minute and a half, its
exchange gives no answer for three and a half, and a worker hangs in its turn for more than a minute of real time. Told
are memory, threads and open files (the last quarter of the time against the second one), the alerts by kind, and what
was entered on a bar that had closed long ago. The exit code is 1 where anything is wrong with the account in the end.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.core.timeframe import MINUTE_NS  # noqa: E402 - the path has to be set first
from tests.live.live_soak import run_soak  # noqa: E402 - as above


def main() -> int:
    """Run it; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=int, default=300)
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="live-soak-") as folder:
        soak = run_soak(Path(folder), minutes=said.minutes, speed=said.speed)
    memory_mb, threads, files = soak.growth()
    last = soak.samples[-1]
    report = {
        "minutes": said.minutes, "trades": soak.trades, "memory_mb": last.memory_mb, "threads": last.threads,
        "files": last.files, "more_memory_mb": memory_mb, "more_threads": threads, "more_files": files,
        "alerts": dict(sorted(Counter(each["kind"] for each in soak.alerts if "kind" in each).items())),
        "entered_on_old_bars": len(soak.entered_on_old_bars(MINUTE_NS)), "problems": soak.problems,
    }  # fmt: skip
    print(
        json.dumps(report, indent=2) if said.json else "\n".join(f"{name}: {value}" for name, value in report.items())
    )
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
