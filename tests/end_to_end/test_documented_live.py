"""What the pages about real time show is what happens: their configuration is read, their commands and queries run."""

import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.cli.app import main
from src.core.config_file import parse_config
from src.core.timeframe import MINUTE_NS, parse_instant
from src.live.config import LimitsSection, LiveSection, PaperSection, read_live_config
from src.live.recording import read_entries, read_meta
from src.testing.venue import KEY, SECRET, LocalVenue
from src.testing.worlds import bar_series
from tests.brokers.ccxt_benches import RULES
from tests.end_to_end.command import ROOT, Ended, Told, run

LIVE = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
RECORDING = (ROOT / "docs" / "recording.md").read_text(encoding="utf-8")
(SECTIONS,) = re.findall(r"```yaml\n(.*?)```", LIVE, re.DOTALL)
QUERIES = re.findall(r'^    sqlite3 "file:\S+" "(.*)"$', RECORDING, re.MULTILINE)
BOT = """
name: mine
account: {currency: USDT, balance: 10_000, leverage: 5}
instruments:
  BTCUSDT: {venue: "BTC/USDT:USDT", kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.01}
  ETHUSDT: {venue: "ETH/USDT:USDT", kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.01}
symbols: [BTCUSDT, ETHUSDT]
strategies: [{use: sma_cross, timeframe: 1m, params: {fast: 2, slow: 5}}]
risk: {size: {equity_percent: 5}}
"""
START_NS = parse_instant("2024-01-02")
SPEED = 60.0
HISTORY = 240


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the bot of the page, at a venue of its own, and the environment that it needs."""
    rng = np.random.default_rng(5)
    bars, rules = {}, {}
    for symbol, price in (("BTCUSDT", 100.0), ("ETHUSDT", 50.0)):
        path = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.001, HISTORY + 900))), 2)
        steps = zip(path[:-1].tolist(), path[1:].tolist(), strict=True)
        rows = [(a, max(a, b) + 0.01, min(a, b) - 0.01, b) for a, b in steps]
        bars[symbol] = bar_series(symbol, rows, "1m", START_NS - HISTORY * MINUTE_NS)
        rules[symbol] = replace(RULES, symbol=symbol)
    folder = tmp_path_factory.mktemp("bot")
    with LocalVenue(bars, rules, START_NS, balance=10_000.0, leverage=5.0, speed=SPEED) as venue:
        tested = SECTIONS.partition("notify:")[0]
        for name in ("paper", "live"):
            tested = tested.replace(f"{name}:\n", f"{name}:\n  url: {venue.url}\n  speed: {SPEED:g}\n")
        for patient in ("max_age: 5s", "protect_within: 5s"):
            tested = tested.replace(patient, patient.replace("5s", "10m"))
        (folder / "bot.yaml").write_text(BOT + tested, encoding="utf-8")
        names = ("LOCKSTEP_BINANCEUSDM_DEMO_KEY", "LOCKSTEP_BINANCEUSDM_DEMO_SECRET")
        yield folder, dict(zip(names, (KEY, SECRET), strict=True))


@pytest.fixture(scope="module")
def paper(world: tuple[Path, dict[str, str]]) -> Ended:
    """A run on paper that ended in order."""
    folder, _ = world
    return run("--mode", "paper", "--config", "bot.yaml", "--stop-after", "2m", "--json", cwd=folder)


@pytest.fixture(scope="module")
def live(world: tuple[Path, dict[str, str]]) -> Ended:
    """A run at the venue that ended in order."""
    folder, keys = world
    return run("--mode", "live", "--config", "bot.yaml", "--stop-after", "6m", cwd=folder, env=keys)


def tables(page: str, header: str) -> set[str]:
    """The names in the first column of the table under a header."""
    rows = page.partition(header)[2].partition("\n\n")[0].splitlines()[1:]
    return {name for line in rows for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])}


def test_the_sections_of_the_page_are_read_and_name_every_key() -> None:
    """A key that is added has to be explained; `url` and `speed` are explained below."""
    config = read_live_config(parse_config(BOT + SECTIONS, "bot.yaml", ROOT), "live")
    keys = {
        field.alias or name
        for model in (LiveSection, PaperSection, LimitsSection)
        for name, field in model.model_fields.items()
    }

    assert config.label == "my-bot"
    assert sorted(key for key in keys - {"url", "speed"} if f" {key}:" not in SECTIONS) == []


def test_the_options_of_the_page_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Every long option behind a command, in the text and in blocks, is one that some help page lists."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", LIVE))
    helps = [["--help"], *([verb, "--help"] for verb in ("stop", "status", "kill", "resume", "parity", "replay"))]
    listed = ""
    for words in [*helps, ["data", "sync", "--help"]]:
        main(words)
        listed += capsys.readouterr().out

    assert sorted(option for option in named if option not in listed) == []


@pytest.mark.slow
def test_a_start_and_an_end_print_what_the_page_shows(world: tuple[Path, dict[str, str]], live: Ended) -> None:
    """Lines are compared up to their numbers."""
    blocks = re.findall(r"```text\n(.*?)```", LIVE, re.DOTALL)
    printed = re.sub(r"python \S+main\.py", "python main.py", live.out + live.err)
    shown = [line for block in (blocks[0], blocks[1]) for line in block.splitlines()]
    beginnings = [re.split(r"\d|\.\.\.|interrupted", line)[0].rstrip() for line in shown]

    assert live.code == 0, live.err
    assert [each for each in beginnings if each not in printed and "refused:" not in each] == []


@pytest.mark.slow
def test_the_commands_of_the_morning_after_say_that_nothing_differs(
    world: tuple[Path, dict[str, str]], live: Ended, paper: Ended, told: Told
) -> None:
    """Those that need no exchange are run as they stand, each on one of the recordings."""
    folder, _ = world
    commands = re.findall(r"^    python main\.py ((?:parity|replay) RUN)$", LIVE, re.MULTILINE)
    runs = ["runs/my-bot-live-1", "runs/my-bot-paper-1"]
    codes = [
        told(*(each if word == "RUN" else word for word in shlex.split(command)), cwd=folder).code
        for each, command in zip(runs, commands, strict=True)
    ]

    assert (paper.code, paper.value["outcome"]) == (0, "STOPPED")
    assert codes == [0, 0]


@pytest.mark.slow
@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("query", QUERIES)
def test_each_query_of_the_page_finds_something(world: tuple[Path, dict[str, str]], query: str) -> None:
    """On the recording of a run with trades."""
    with sqlite3.connect(f"file:{world[0] / 'runs/my-bot-live-1/recording.sqlite'}?mode=ro", uri=True) as db:
        rows: list[Any] = db.execute(query).fetchall()
    db.close()

    assert rows
    assert all(value is not None for row in rows for value in row)


@pytest.mark.slow
@pytest.mark.usefixtures("live", "paper")
def test_every_kind_and_key_of_a_recording_is_in_the_tables_of_the_page(world: tuple[Path, dict[str, str]]) -> None:
    """Kinds of entries, keys of what became visible, and what is kept of the run as a whole."""
    kinds: set[str] = set()
    keys: set[str] = set()
    metas: set[str] = set()
    for path in sorted((world[0] / "runs").glob("*/recording.sqlite")):
        metas |= read_meta(path).keys()
        for entry in read_entries(path):
            kinds.add(entry.kind)
            keys |= (entry.body if entry.kind == "world" else entry.body.get("world", {})).keys()

    assert {"world", "turn", "call", "reply", "outcome", "paper", "command"} <= kinds
    assert kinds <= tables(RECORDING, "| kind | body | |\n")
    assert keys <= tables(RECORDING, "| key | |\n")
    assert sorted(key for key in metas if f"`{key}`" not in RECORDING) == []


@pytest.mark.slow
@pytest.mark.usefixtures("live")
def test_the_python_of_the_page_reads_the_recording(world: tuple[Path, dict[str, str]]) -> None:
    """It prints the mode, and a line for each trade."""
    (block,) = re.findall(r"```python\n(.*?)```", RECORDING, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=world[0], env={"PYTHONPATH": str(ROOT)}, capture_output=True,
        encoding="utf-8", check=True,
    )  # fmt: skip

    assert done.stdout.splitlines()[0] == "live"
