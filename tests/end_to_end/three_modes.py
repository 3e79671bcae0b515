"""One bot in three modes over the same hours, each in a process of its own: backtest, paper, live at a local venue."""

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.config import BacktestConfig
from src.core.config_file import read_config
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.live.recording import FILE, read_entries
from src.testing.venue import KEY, SECRET, Fault
from src.testing.venue_run import venue_of
from tests.documentation.pages import block_of, commands
from tests.end_to_end.command import ROOT, Ended, run
from tests.patient_time import following, patient_time

__all__ = ["UNTIL_NS", "Played", "copied", "edited", "play", "play_with_faults", "project_in", "three_runs", "told"]

#: Decisions are compared until here: the live run ends a little later.
UNTIL_NS = parse_instant("2024-01-02 05:52:30")
#: By the first of these the bot has to have begun, a minute before its first entry; at the second it sends the next.
_BEGIN_NS, _ENTRIES_NS = parse_instant("2024-01-02 05:35"), parse_instant("2024-01-02 05:39")
#: How often the exchange is asked, in time of the market: half as often as by default, for it is sixty times as fast.
_POLL = "2s"
#: Paces of the market, one try after the other.
SPEEDS = (60, 60, 40, 30, 20)
#: What takes so many real seconds at the venue takes them at whatever pace.
FAULT_SPEEDS = (60,) * 5
_ENV = {
    "LOCKSTEP_BINANCEUSDM_DEMO_KEY": KEY, "LOCKSTEP_BINANCEUSDM_DEMO_SECRET": SECRET, "PYTHONIOENCODING": "utf-8",
}  # fmt: skip
#: How far behind the market a bot may be, in seconds of the market, so that what it does still falls into the same bar.
_BEHIND_NS = 45 * SECOND_NS


#: A name, a mode, and what goes wrong at the venue.
Job = tuple[str, str, Sequence[Fault]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The runs of one bot over the same hours, by mode."""

    folder: Path
    runs: dict[str, Path]
    ended: dict[str, Ended] = field(default_factory=dict)


def project_in(folder: Path) -> Path:
    """The delivered configuration with its strategy, in a folder of its own; the file."""
    folder.mkdir(parents=True)
    for name in ("live.yaml", "three_modes.py"):
        shutil.copy(ROOT / "configs" / name, folder)
    return folder / "live.yaml"


def play(folder: Path, modes: Sequence[str]) -> Played:
    """Run the bot in these modes, `paper` and `live`, at the same time."""
    return _in_pace(folder, [(mode, mode, ()) for mode in modes], "23m", UNTIL_NS, SPEEDS)


def play_with_faults(folder: Path, faults: Mapping[str, Fault]) -> Played:
    """Run the bot live once for each fault, at the same time; a little beyond the first entries."""
    jobs = [(name, "live", (fault,)) for name, fault in faults.items()]
    return _in_pace(folder, jobs, "15m", _ENTRIES_NS, FAULT_SPEEDS)


def told(mode: str, file: str, minutes: str = "") -> list[str]:
    """The words with which docs/venue.md starts a mode, of this configuration and for so many minutes."""
    lines = commands(block_of("docs/venue.md", "python main.py --mode paper"))
    (line,) = [line for line in lines if f" --mode {mode} " in line]
    here = {"configs/live.yaml": file, "40m": minutes}
    return [here.get(word, word) for word in shlex.split(line)[2:]]


def _in_pace(folder: Path, jobs: Sequence[Job], minutes: str, until_ns: int, speeds: Sequence[int]) -> Played:
    """The runs of bots that have kept pace with the market until an instant.

    They run again where this machine was so busy that one fell behind by most of a bar: at sixty times the pace that is
    a second, and says nothing about the bot.
    """
    for attempt, speed in enumerate(speeds):
        played = _play(folder / f"try-{attempt}", jobs, minutes, speed)
        if all(_kept_pace(each, until_ns) for each in played.runs.values()):
            return played
    pytest.fail(f"in {len(speeds)} tries a bot always fell more than {_BEHIND_NS // SECOND_NS} s behind the market")


def _play(folder: Path, jobs: Sequence[Job], minutes: str, speed: int) -> Played:
    """Each job, a name with mode and faults, in a folder and at a venue of its own."""
    running: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        time = stack.enter_context(patient_time())
        for name, mode, faults in jobs:
            config = project_in(folder / name)
            settings = read_config(config).validate(BacktestConfig)
            venue = stack.enter_context(venue_of(settings, config.parent, speed=speed))
            for fault in faults:
                venue.fail(fault)
            words = [*told(mode, config.name, minutes), "--set", f"{mode}.url={venue.url}", "--json"]
            words += ["--set", f"{mode}.speed={speed}", "--set", f"{mode}.poll={_POLL}"]
            words += ["--set", "backtest.runs=../runs", "--set", f"live.account={name}"]
            running[name] = subprocess.Popen(
                following(time, words), cwd=config.parent, env={**os.environ, **_ENV}, encoding="utf-8",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(running[name].kill)
        ended = {}
        for name, process in running.items():
            out, err = process.communicate(timeout=400)
            ended[name] = Ended(code=process.returncode, out=out, err=err)
            assert process.returncode == 0, err
    return Played(folder=folder, runs={name: Path(each.value["folder"]) for name, each in ended.items()}, ended=ended)


def _kept_pace(folder: Path, until_ns: int) -> bool:
    """Whether the bot was there in time, saw bars and got answers well before the next bar had closed."""
    sent: dict[int, int] = {}
    for entry in read_entries(folder / FILE):
        if entry.instant_ns >= until_ns:
            return True
        if entry.kind == "world" and "bars" in entry.body:
            closed_ns = max(open_ns + length_ns for _, length_ns, open_ns, *_ in entry.body["bars"])
            if entry.instant_ns - (_BEGIN_NS if entry.n == 0 else closed_ns + _BEHIND_NS) > 0:
                return False
        elif entry.kind == "call":
            sent[entry.body["n"]] = entry.instant_ns
        elif entry.kind == "reply" and entry.instant_ns // MINUTE_NS != sent.pop(entry.body["n"]) // MINUTE_NS:
            return False
    return True


def three_runs(folder: Path) -> Played:
    """The bot on paper and live at one venue, and as a backtest."""
    played = play(folder, ("paper", "live"))
    config = project_in(folder / "backtest")
    words = [*told("backtest", config.name), "--set", f"backtest.runs={played.runs['live'].parent}", "--json"]
    backtest = run(*words, cwd=config.parent)
    assert backtest.code == 0, backtest.err
    return Played(
        folder=played.folder, runs={**played.runs, "backtest": Path(backtest.value["folder"])},
        ended={**played.ended, "backtest": backtest},
    )  # fmt: skip


def copied(folder: Path, name: str) -> Path:
    """A copy of a run beside it."""
    return Path(shutil.copytree(folder, folder.with_name(name)))


def edited(folder: Path, symbol: str, open_ns: int, length_ns: int, close: float) -> int:
    """Give one recorded bar another close; how many entries were changed."""
    changed = 0
    with sqlite3.connect(folder / FILE) as db:
        rows = db.execute("SELECT n, body FROM entries WHERE kind IN ('world', 'reply')").fetchall()
        for n, text in rows:
            body: dict[str, Any] = json.loads(text)
            for bar in body.get("bars", ()):
                if bar[:3] == [symbol, length_ns, open_ns]:
                    bar[4], bar[5], bar[6] = max(bar[4], close), min(bar[5], close), close
                    db.execute("UPDATE entries SET body = ? WHERE n = ?", (json.dumps(body), n))
                    changed += 1
    db.close()
    return changed
