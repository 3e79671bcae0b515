"""The cost of handing the turn over: `python benchmarks/handover.py --json`.

Ours: a real TimeController with N workers that do nothing, over a market whose every step wakes all of them, so that
each turn ends with a hand-over to another participant. A figure is the time between the first and the last turn
of one participant over all turns in between: the hand-overs, everything the controller does for a turn, and each turn's
Nth part of a step. Nothing is subtracted.

Beside it the least that any such program must do: the raw baton, N threads of which each releases the raw lock of the
next and blocks on its own; and the raw switch, N greenlets of which each switches to the next. Everything runs on one
and the same processor core, in one process, in turn.

`threads_over_baton` and `fibers_over_greenlet` are our time over the raw one, for each N the best of all rounds over
the best of all rounds, and of those the largest: what else runs on the machine can only add to a time. Therefore many
short rounds, too. `median_ratios` are the medians over the rounds of the ratios of neighbouring runs, for comparison;
`us` holds the best in microseconds for each hand-over.
"""

import _thread
import argparse
import json
import os
import statistics
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import greenlet
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.backtesting.engine.time_controller import TimeController  # noqa: E402 - the path has to be set first
from src.core.bars import BarSeries, BarsView  # noqa: E402 - as above
from src.core.clock import PHASE_WORKER, Participant  # noqa: E402 - as above
from src.core.sync import runtime_named  # noqa: E402 - as above
from src.core.wake import Signals, WorkerWake  # noqa: E402 - as above

PARTICIPANTS = (2, 5, 10, 20)
#: What is measured, in the order in which a round does it: ours beside the raw one, so that a slow moment hits both.
KINDS = ("threads", "baton", "fibers", "greenlet")
RATIOS = {"threads_over_baton": ("threads", "baton"), "fibers_over_greenlet": ("fibers", "greenlet")}
#: A switch of greenlets takes a tenth of a switch of threads, so it needs more of them to be measured as well.
FIBER_FACTOR = 4


class EmptyMarket:
    """So many steps, a nanosecond apart, at each of which one bar closes for everybody and nothing else happens."""

    start_ns = 0

    def __init__(self, steps: int) -> None:
        self.end_ns = steps
        self.signals = Signals()
        stamps, prices = np.arange(steps, dtype=np.int64), np.ones(steps)
        self.series = BarSeries("S", 1, stamps, prices, prices, prices, prices, prices, length=0)

    def next_ns(self) -> int | None:
        """The next step, until the last."""
        step = self.series.length
        return step + 1 if step < self.end_ns else None

    def advance(self, instant_ns: int) -> Sequence[str]:
        """Take the step; the next one is told as the market of a backtest tells it."""
        self.series.length = instant_ns
        self.signals.close_ns = instant_ns + 1 if instant_ns < self.end_ns else None
        return ()


def ours(count: int, laps: int, runtime: str) -> float:
    """Seconds for each hand-over between `count` participants under the TimeController."""
    symbols = [f"S{i:02d}" for i in range(count)]
    clock = TimeController(symbols, runtime=runtime_named(runtime, pin=False))
    market = EmptyMarket(laps + 1)
    clock.attach(market)

    times: list[float] = []
    series = market.series

    def participant(symbol: str, rank: int) -> None:
        name, view = f"worker:{symbol}", BarsView(market.series, 0)

        def run() -> None:
            wait = clock.wait_for_next_step
            wait(name)  # the way there and what comes after the last lap are not measured, as with the others
            view.end = series.length
            if rank == 0:
                times.append(perf_counter())
            for _ in range(laps):
                wait(name)
                view.end = series.length
            if rank == 0:
                times.append(perf_counter())
            clock.leave(name)

        clock.spawn(
            Participant(name=name, phase=PHASE_WORKER, rank=rank, wake=WorkerWake((), [view]), symbol=symbol), run
        )

    for rank, symbol in enumerate(symbols):
        participant(symbol, rank)
    clock.drive()
    began, ended = times
    return (ended - began) / (laps * count)


def baton(count: int, laps: int) -> float:
    """Seconds for each hand-over between `count` threads in a ring, each with a raw lock."""
    locks = [_thread.allocate_lock() for _ in range(count)]
    times: list[float] = []
    for lock in locks:
        lock.acquire()

    def run(own: int) -> None:
        wait, wake = locks[own].acquire, locks[(own + 1) % count].release
        wait()
        if own == 0:
            times.append(perf_counter())
        for _ in range(laps):
            wake()
            wait()
        if own == 0:
            times.append(perf_counter())
        wake()

    threads = [threading.Thread(target=run, args=(own,)) for own in range(count)]
    for thread in threads:
        thread.start()
    locks[0].release()
    for thread in threads:
        thread.join()
    began, ended = times
    return (ended - began) / (laps * count)


def switch(count: int, laps: int) -> float:
    """Seconds for each switch between `count` greenlets in a ring."""
    ring: list[greenlet.greenlet] = []
    times: list[float] = []

    def run(own: int) -> None:
        wake = ring[(own + 1) % count].switch
        if own == 0:
            times.append(perf_counter())
        for _ in range(laps):
            wake()
        if own == 0:
            times.append(perf_counter())

    def starter(own: int) -> Callable[[], None]:
        return lambda: run(own)

    ring.extend(greenlet.greenlet(starter(own)) for own in range(count))
    ring[0].switch()
    for fiber in ring:  # the others stand in their last lap
        while not fiber.dead:
            fiber.switch()
    began, ended = times
    return (ended - began) / (laps * count)


def one(kind: str, count: int, handovers: int) -> float:
    """One measurement of one kind, in microseconds for each hand-over."""
    if kind in ("fibers", "greenlet"):
        handovers *= FIBER_FACTOR
    laps = max(1, handovers // count)
    if kind == "baton":
        seconds = baton(count, laps)
    elif kind == "greenlet":
        seconds = switch(count, laps)
    else:
        seconds = ours(count, laps, kind)
    return seconds * 1e6


def measure(participants: Sequence[int], rounds: int, handovers: int) -> dict[str, Any]:
    """All kinds for each number of participants, in turn.

    Returns:
        The two fields, under `ratios` and `median_ratios` those of each N, under `us` the microseconds of each kind and
        N, and under `rounds_us` what each round measured.
    """
    runs: dict[int, dict[str, list[float]]] = {count: {kind: [] for kind in KINDS} for count in participants}
    for _ in range(rounds):
        for count in participants:
            for kind in KINDS:
                runs[count][kind].append(one(kind, count, handovers))
    best = {kind: {count: min(runs[count][kind]) for count in participants} for kind in KINDS}
    ratios, medians = {}, {}
    for field, (mine, raw) in RATIOS.items():
        ratios[field] = {str(count): round(best[mine][count] / best[raw][count], 3) for count in participants}
        medians[field] = {str(count): _median_ratio(runs[count][mine], runs[count][raw]) for count in participants}
    return {
        **{field: max(by_count.values()) for field, by_count in ratios.items()},
        "ratios": ratios,
        "median_ratios": medians,
        "us": {kind: {str(count): round(us, 4) for count, us in best[kind].items()} for kind in KINDS},
        "rounds_us": {
            kind: {str(count): [round(us, 4) for us in runs[count][kind]] for count in participants} for kind in KINDS
        },
        "rounds": rounds,
        "handovers": handovers,
    }


def _median_ratio(mine: Sequence[float], raw: Sequence[float]) -> float:
    return round(statistics.median([own / other for own, other in zip(mine, raw, strict=True)]), 3)


def stay_on_one_core() -> int | None:
    """Bind this thread, and with it all that it starts, to one core; returns which, None where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def table(report: dict[str, Any]) -> str:
    """The report for a reader."""
    counts = list(report["us"][KINDS[0]])
    lines = ["participants           " + "".join(f"{count:>9}" for count in counts)]
    lines += [f"{kind:<23}" + "".join(f"{report['us'][kind][n]:9.3f}" for n in counts) + " us" for kind in KINDS]
    lines += [
        f"{field:<23}" + "".join(f"{values[n]:9.2f}" for n in counts) for field, values in report["ratios"].items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The cost of a hand-over beside that of the raw means.")
    parser.add_argument("--rounds", type=int, default=40, help="of all kinds in turn (default: 40)")
    parser.add_argument("--handovers", type=int, default=1_000, help="in each run of threads (default: 1,000)")
    parser.add_argument("--participants", type=int, nargs="+", default=PARTICIPANTS, help="default: 2 5 10 20")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.handovers < 1 or min(given.participants) < 2:
        parser.error("expected at least one round, one hand-over and two participants")
    core = stay_on_one_core()
    report = {**measure(given.participants, given.rounds, given.handovers), "core": core}
    print(json.dumps(report) if given.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
